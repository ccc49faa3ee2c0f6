//! Which setting an engine speaks of when it refuses a load.

use crucible_config::tuning::TUNINGS;

use super::EngineError;

/// The engines' names of load options, and the rows that set them.
const OPTIONS: [(&str, u8); 14] = [
    // LM Studio, REST and WebSocket API.
    ("offloadRatio", 2),
    ("eval_batch_size", 7),
    ("evalBatchSize", 7),
    ("flash_attention", 8),
    ("flashAttention", 8),
    ("KCacheQuantization", 9),
    ("VCacheQuantization", 10),
    ("context_length", 13),
    ("contextLength", 13),
    // Ollama.
    ("num_thread", 25),
    ("num_ctx", 27),
    ("num_batch", 29),
    ("use_mmap", 30),
    ("num_gpu", 32),
];

/// Names the setting behind the option that a refusal names, and what it takes.
pub(crate) fn named(error: EngineError) -> EngineError {
    let EngineError::Refused { status, message } = error else {
        return error;
    };
    let row = OPTIONS
        .iter()
        .find(|(option, _)| message.contains(option))
        .and_then(|(_, number)| TUNINGS.iter().find(|row| row.number == *number));
    let message = match row {
        Some(row) => format!(
            "{message} (set by {}, row {}: {})",
            row.path(),
            row.number,
            row.kind.expected()
        ),
        None => message,
    };
    EngineError::Refused { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &str) -> String {
        let refused = EngineError::Refused {
            status: 400,
            message: message.to_owned(),
        };
        named(refused).to_string()
    }

    #[test]
    fn a_refused_option_names_its_row_and_range() {
        // LM Studio 0.4.25, and Ollama 0.33.
        let lmstudio = told("Unrecognized key(s) in object: 'eval_batch_size'");
        assert!(
            lmstudio.contains("(set by tuning.lmstudio.batch_size, row 7: an integer from 1 to "),
            "{lmstudio}"
        );
        let ollama = told("option \"num_thread\" must be of type integer");
        assert!(
            ollama.contains("tuning.ollama.num_threads, row 25: "),
            "{ollama}"
        );
        assert_eq!(told("model not found"), "model not found");
        assert_eq!(named(EngineError::Timeout), EngineError::Timeout);
    }

    #[test]
    fn every_row_that_is_named_is_there() {
        for (option, number) in OPTIONS {
            assert!(TUNINGS.iter().any(|row| row.number == number), "{option}");
        }
    }
}

//! The recognition of the setting that an engine names when it refuses a load.

use crucible_config::tuning::TuningId;

use super::EngineError;

/// The engines' names of load options, and the rows that set them.
const OPTIONS: [(&str, TuningId); 14] = [
    // LM Studio, REST and WebSocket API.
    ("offloadRatio", TuningId::LmstudioGpuLayers),
    ("eval_batch_size", TuningId::LmstudioBatchSize),
    ("evalBatchSize", TuningId::LmstudioBatchSize),
    ("flash_attention", TuningId::LmstudioFlashAttention),
    ("flashAttention", TuningId::LmstudioFlashAttention),
    ("KCacheQuantization", TuningId::LmstudioKeyCacheQuantization),
    (
        "VCacheQuantization",
        TuningId::LmstudioValueCacheQuantization,
    ),
    ("context_length", TuningId::LmstudioContextLength),
    ("contextLength", TuningId::LmstudioContextLength),
    // Ollama.
    ("num_thread", TuningId::OllamaNumThreads),
    ("num_ctx", TuningId::OllamaContextSize),
    ("num_batch", TuningId::OllamaBatchSize),
    ("use_mmap", TuningId::OllamaUseMmap),
    ("num_gpu", TuningId::EnvironmentOllamaNumGpu),
];

/// Names the setting behind the option that a refusal names, and what it takes.
pub(crate) fn named(error: EngineError) -> EngineError {
    let EngineError::Refused { status, message } = error else {
        return error;
    };
    let set_by = OPTIONS.iter().find(|(option, _)| message.contains(option));
    let message = match set_by {
        Some((_, id)) => format!(
            "{message} (set by {}, row {}: {})",
            id.path(),
            id.number(),
            id.row().kind.expected()
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
}

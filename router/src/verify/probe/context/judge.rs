//! The verdict on a context by the fate of the prompts that were sent.

use super::outcome::{ContextProbe, ContextVerdict};

/// The fate of a long prompt that a probe has sent: it was read, with the tokens that the engine
/// counted, or it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PromptFate {
    /// The engine read so many tokens of the prompt.
    Read(u64),
    /// The engine refused the prompt as too long; the context in tokens, where the refusal names
    /// it.
    Refused(Option<u64>),
}

/// A prompt that was sent, with its size and its fate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// The tokens of the prompt, as estimated.
    pub(super) tokens: u64,
    /// Whether the engine read or refused it, with the tokens that the engine told.
    pub(super) fate: PromptFate,
}

// === impl Sent ===

impl Sent {
    /// Returns the number of tokens that were read, where it is more than 5 % below the number
    /// sent; the estimate is that inexact.
    fn cut_to(&self) -> Option<u64> {
        match self.fate {
            PromptFate::Read(read) if read < self.tokens / 20 * 19 => Some(read),
            _ => None,
        }
    }
}

/// Judges the `stated` context by the fate of the prompt that should fit and of the one that should
/// not, where that was sent.
pub(super) fn judge(stated: u64, fit: Sent, over: Option<Sent>) -> ContextProbe {
    let (verdict, words) = verdict(stated, fit, over);
    ContextProbe {
        stated,
        verdict,
        words,
    }
}

fn verdict(stated: u64, fit: Sent, over: Option<Sent>) -> (ContextVerdict, String) {
    let named = |context: Option<u64>| match context {
        Some(context) => format!("refused for a context of {context}"),
        None => "refused".to_owned(),
    };
    let sent = fit.tokens;
    if let PromptFate::Refused(context) = fit.fate {
        let words = format!("a prompt of about {sent} tokens was {}", named(context));
        return (ContextVerdict::Smaller, words);
    }
    if let Some(read) = fit.cut_to() {
        let words = format!("only {read} of a prompt of about {sent} tokens were read");
        return (ContextVerdict::Smaller, words);
    }
    let fitted = format!("a prompt of about {sent} tokens was read whole");
    let Some(over) = over else {
        let words = format!("{fitted}, a longer one was not tried");
        return (ContextVerdict::Holds, words);
    };
    let sent = over.tokens;
    match (over.fate, over.cut_to()) {
        (PromptFate::Refused(context), _) => {
            let smaller = context.is_some_and(|context| context < stated / 20 * 19);
            let words = format!("{fitted}, one of about {sent} was {}", named(context));
            let verdict = if smaller {
                ContextVerdict::Smaller
            } else {
                ContextVerdict::Holds
            };
            (verdict, words)
        }
        (_, Some(read)) => {
            let words = format!("{fitted}, one of about {sent} was cut to {read} without a word");
            (ContextVerdict::Cuts, words)
        }
        (_, None) => {
            let words = format!("{fitted}, and so was one of about {sent}: it has more");
            (ContextVerdict::Holds, words)
        }
    }
}

/// Returns the refusal of a prompt with the context that it names, where `message` is one: those of
/// llama.cpp b10488 and servers that pass its words on (`... available context size (4096
/// tokens)`), Ollama 0.33 and LM Studio 0.4.
pub(super) fn overflow(message: &str) -> Option<PromptFate> {
    const ABOUT: [&str; 4] = ["context size", "context length", "context window", "n_ctx"];
    let message = message.to_ascii_lowercase();
    if !ABOUT.iter().any(|about| message.contains(about)) {
        return None;
    }
    let named = message.split_once("context size (").and_then(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    Some(PromptFate::Refused(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(tokens: u64, fate: PromptFate) -> Sent {
        Sent { tokens, fate }
    }

    #[test]
    fn a_context_that_is_refused_beyond_its_size_holds() {
        let fit = sent(2400, PromptFate::Read(2391));
        let told = |over| verdict(4096, fit, over);
        let (holds, words) = told(Some(sent(4672, PromptFate::Refused(Some(4096)))));
        assert_eq!(holds, ContextVerdict::Holds);
        assert_eq!(
            words,
            "a prompt of about 2400 tokens was read whole, one of about 4672 was refused for a \
             context of 4096"
        );
        let unnamed = told(Some(sent(4672, PromptFate::Refused(None))));
        let more = told(Some(sent(4672, PromptFate::Read(4660))));
        for (holds, _) in [unnamed, more, told(None)] {
            assert_eq!(holds, ContextVerdict::Holds);
        }
        let (cuts, words) = told(Some(sent(4672, PromptFate::Read(2048))));
        assert_eq!(cuts, ContextVerdict::Cuts);
        let expected = "one of about 4672 was cut to 2048 without a word";
        assert!(words.ends_with(expected), "{words}");
    }

    #[test]
    fn a_context_that_does_not_take_what_fits_is_smaller() {
        let over = Some(sent(4672, PromptFate::Refused(Some(2560))));
        let (smaller, words) = verdict(4096, sent(2400, PromptFate::Read(1024)), over);
        assert_eq!(smaller, ContextVerdict::Smaller);
        assert_eq!(
            words,
            "only 1024 of a prompt of about 2400 tokens were read"
        );
        let refused = sent(2400, PromptFate::Refused(Some(2048)));
        let (smaller, words) = verdict(4096, refused, over);
        assert_eq!(smaller, ContextVerdict::Smaller);
        assert!(
            words.ends_with("was refused for a context of 2048"),
            "{words}"
        );
        // It fits, but the refusal of the other names less than is stated.
        let fits = sent(2400, PromptFate::Read(2400));
        assert_eq!(verdict(4096, fits, over).0, ContextVerdict::Smaller);
    }

    #[test]
    fn refusals_about_the_context_are_known() {
        let llama = "request (4200 tokens) exceeds the available context size (4096 tokens), try";
        assert_eq!(overflow(llama), Some(PromptFate::Refused(Some(4096))));
        let ollama = "the prompt is longer than the context length currently available";
        assert_eq!(overflow(ollama), Some(PromptFate::Refused(None)));
        let lmstudio = "Cannot truncate prompt with n_keep >= n_ctx";
        assert_eq!(overflow(lmstudio), Some(PromptFate::Refused(None)));
        assert_eq!(overflow("context canceled"), None);
    }
}

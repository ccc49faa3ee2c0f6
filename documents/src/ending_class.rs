//! How people are told the end of a request: answered, left by its client, or failed.
//!
//! The documents about requests that have ended have two members for it, `status` and `outcome`. Whoever counts or
//! shows them divides them into these three, by the same rule: a person who stops an answer has not met a failure.
//!
//! ```
//! use crucible_documents::EndingClass;
//!
//! assert_eq!(EndingClass::of("ok", 200), EndingClass::Answered);
//! assert_eq!(EndingClass::of("client_gone", 499), EndingClass::Left);
//! assert_eq!(EndingClass::of("engine_cut", 200), EndingClass::Failed);
//! ```

/// The `outcome` of a request whose answer reached its client whole.
pub const ANSWERED_OUTCOME: &str = "ok";
/// The `outcome` of a request whose client left before the end of the answer.
pub const CLIENT_GONE_OUTCOME: &str = "client_gone";
/// The `status` of such a request; nginx coined the number.
pub const CLIENT_GONE_STATUS: u16 = 499;

/// The class of a request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndingClass {
    /// The answer reached the client whole.
    Answered,
    /// The client left before the end of the answer: somebody stopped it, or a program gave it up.
    Left,
    /// An error ended it, or its client was given up because it did not read.
    Failed,
}

// === impl EndingClass ===

impl EndingClass {
    /// Returns the class of a request by the members `outcome` and `status` of its document.
    ///
    /// Event logs that were written before `client_gone` was an outcome have `ok` beside the status 499.
    pub fn of(outcome: &str, status: u16) -> Self {
        match outcome {
            CLIENT_GONE_OUTCOME => Self::Left,
            ANSWERED_OUTCOME if status == CLIENT_GONE_STATUS => Self::Left,
            ANSWERED_OUTCOME => Self::Answered,
            _ => Self::Failed,
        }
    }

    /// Returns the word for it: `answered`, `left` or `failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct EndingCases {
        ending: Vec<(Ended, String)>,
    }

    #[derive(Deserialize)]
    struct Ended {
        outcome: String,
        status: u16,
    }

    /// The script of the live page is held to the same cases.
    #[test]
    fn documents_and_the_page_divide_endings_alike() {
        let cases = include_str!("../../tests/page/words.json");
        let cases: EndingCases = serde_json::from_str(cases).unwrap();
        assert!(cases.ending.len() > 3);
        for (Ended { outcome, status }, word) in cases.ending {
            let class = EndingClass::of(&outcome, status);
            assert_eq!(class.as_str(), word, "{outcome} {status}");
        }
    }
}

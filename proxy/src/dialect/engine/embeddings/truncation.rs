//! Texts that an engine would cut to its context without a word (LM Studio 0.4), and how that is noticed.
//!
//! A text that is surely short enough is sent as it is. Of any other a copy is sent beside it that is
//! longer by some words: where both vectors are the same, the engine has read neither to its end. So a
//! cut is seen by its effect and not guessed from an estimate.

/// Words that stand at the end of the longer copies.
const MORE: &str = " quartz jackdaw sphinx vow";
/// The part of a text by which its copy is longer at least, so that its vector differs visibly.
const LONGER_BY: usize = 32;
/// The least bytes by which a copy is longer.
const LEAST: usize = 256;
/// The bytes of a token that no text has on average: what has more is too long in any case.
const MOST_BYTES_PER_TOKEN: u64 = 16;

/// The texts of a request for an engine that cuts them, with longer copies of some.
#[derive(Debug)]
pub(crate) struct LengthenedInputs {
    /// The list of texts and copies, as JSON.
    pub(crate) list: String,
    /// The places of the texts whose copies follow the texts, in this order.
    pub(crate) copied: Vec<usize>,
}

// === impl LengthenedInputs ===

impl LengthenedInputs {
    /// Adds longer copies of the texts that may not fit so many tokens; `None` where all texts surely
    /// fit.
    ///
    /// # Errors
    /// The place of a text that cannot fit in any case.
    pub(crate) fn of(inputs: &[&str], context: u64) -> Result<Option<Self>, usize> {
        let too_long = |input: &&str| input.len() as u64 / MOST_BYTES_PER_TOKEN > context;
        if let Some(at) = inputs.iter().position(too_long) {
            return Err(at);
        }
        let may_not_fit = |input: &str| most_tokens(input) > context;
        let places = inputs.iter().enumerate();
        let copied: Vec<usize> = places
            .filter(|(_, input)| may_not_fit(input))
            .map(|(at, _)| at)
            .collect();
        if copied.is_empty() {
            return Ok(None);
        }
        let mut list = format!("[{}", inputs.join(","));
        for at in &copied {
            let text = inputs[*at];
            let more = (text.len() / LONGER_BY).max(LEAST).div_ceil(MORE.len());
            list.push(',');
            list.push_str(text.strip_suffix('"').unwrap_or(text));
            list.push_str(&MORE.repeat(more));
            list.push('"');
        }
        list.push(']');
        Ok(Some(Self { list, copied }))
    }
}

/// Returns the most tokens that the text of a JSON string may have: words in pieces of two letters, and
/// each other byte but a blank by itself.
fn most_tokens(text: &str) -> u64 {
    let (mut tokens, mut letters) = (8, 0);
    for byte in text.bytes() {
        if byte.is_ascii_alphabetic() {
            letters += 1;
            tokens += letters % 2;
            continue;
        }
        letters = 0;
        tokens += u64::from(byte != b' ');
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_not_fit_is_copied() {
        let short = r#""a short text""#;
        assert!(LengthenedInputs::of(&[short; 9], 512).unwrap().is_none());
        let long = format!("\"{}\"", "word ".repeat(400));
        let inputs = [short, &*long, short];
        let lengthened = LengthenedInputs::of(&inputs, 512).unwrap().unwrap();
        assert_eq!(lengthened.copied, [1]);
        let list: Vec<String> = serde_json::from_str(&lengthened.list).unwrap();
        assert_eq!(list.len(), 4);
        assert_eq!(list[1], "word ".repeat(400));
        assert!(list[3].starts_with(&list[1]) && list[3].len() >= list[1].len() + LEAST);
        assert!(LengthenedInputs::of(&inputs, 4096).unwrap().is_none());
    }

    #[test]
    fn what_cannot_fit_is_not_sent() {
        let long = format!("\"{}\"", "x".repeat(2000));
        assert_eq!(LengthenedInputs::of(&["\"a\"", &long], 100).unwrap_err(), 1);
    }

    #[test]
    fn no_tokenizer_makes_more_of_a_text() {
        for (text, tokens) in [
            ("\"\"", 10),
            ("\"abcd\"", 12),
            ("\"a b\"", 12),
            ("\"0x7f\"", 14),
            ("\"漢字\"", 16),
        ] {
            assert_eq!(most_tokens(text), tokens, "{text}");
        }
    }
}

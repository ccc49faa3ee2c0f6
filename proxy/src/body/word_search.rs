//! The search for a few short texts in one pass over many bytes.

use aho_corasick::packed::Searcher;
use memchr::memmem;

/// A set of texts that are searched for together.
pub(crate) struct WordSearch<const N: usize> {
    words: [&'static str; N],
    /// `None` on processors without the vector instructions that it needs.
    packed: Option<Searcher>,
}

// === impl WordSearch ===

impl<const N: usize> WordSearch<N> {
    /// Prepares the search for these words; the result serves any number of texts.
    pub(crate) fn new(words: [&'static str; N]) -> Self {
        Self {
            packed: Searcher::new(words),
            words,
        }
    }

    /// Calls `found` with the number of each word that stands in `text` and the place behind it. Words
    /// that overlap may not all be found.
    pub(crate) fn each(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        if let Some(packed) = &self.packed {
            for word in packed.find_iter(text) {
                found(word.pattern().as_usize(), word.end());
            }
        } else {
            for (number, word) in self.words.iter().enumerate() {
                for at in memmem::find_iter(text, word) {
                    found(number, at + word.len());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_with_and_without_vector_instructions() {
        let fast = WordSearch::new(["null", ":[", "\"content\":{"]);
        let slow = WordSearch {
            packed: None,
            ..WordSearch::new(["null", ":[", "\"content\":{"])
        };
        for (text, ends) in [
            (r#"{"a":null,"b":[1]}"#.to_owned(), vec![(0, 9), (1, 15)]),
            (format!("{}\"content\":{{", "x".repeat(200)), vec![(2, 211)]),
            ("nul l : [".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            for words in [&fast, &slow] {
                let mut found = Vec::new();
                words.each(text.as_bytes(), |word, end| found.push((word, end)));
                assert_eq!(found, ends, "{text}");
            }
        }
    }
}

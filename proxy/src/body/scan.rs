//! The members of a JSON object, found in one pass that builds nothing.
//!
//! The whole text is checked (RFC 8259), but what stands below the top level is only skipped: for
//! `{"model": "a", "messages": [..]}` the visitor gets two members, each as the byte ranges of its key
//! and of its value.
//!
//! It is written by hand because no library gives these ranges without building a value for each
//! member, and the splice of [`edit`](super::edit) needs nothing else. A prompt of 64 KiB that is full of
//! escapes takes a third of the 80 us that `serde_json`'s raw values took in four passes, and the whole
//! reading of a body is a tenth of a request's instructions (`docs/benchmark.md`). It takes exactly what
//! `serde_json` takes; property tests and the fuzz target `json_splice` compare the two.

use std::ops::Range;

use super::string;

/// The reasons for which a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonFault {
    /// The text is no JSON, or no object.
    Syntax,
    /// The text is nested deeper than allowed.
    Depth,
}

/// A member of the object: the ranges of its key, with quotes, and of its value.
pub(crate) struct JsonMember {
    /// The byte range of the key, with its quotes.
    pub(crate) key: Range<usize>,
    /// The byte range of the value, as it is written.
    pub(crate) value: Range<usize>,
    /// The number of lists and objects that the value consists of, at any depth.
    pub(crate) brackets: usize,
    /// The number of nulls in the value, at any depth.
    pub(crate) nulls: usize,
}

/// The outcome of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScannedObject {
    /// The place of the closing brace.
    pub(crate) close: usize,
    /// Whether some string has the escape of half of a surrogate pair.
    pub(crate) has_surrogates: bool,
}

/// Takes what [`object`] finds, in order of its end: each member of the object, each element of a
/// list that is a member's value, and each string at any depth.
pub(crate) trait MemberVisitor {
    /// Takes a member of the object, after all of its strings.
    fn member(&mut self, member: JsonMember);
    /// Takes an element of a list that is a member of the object, after all of its strings and before the
    /// member.
    fn element(&mut self, _value: Range<usize>) {}
    /// Takes a string at any depth, which is a key or a value; the range is without its quotes.
    fn string(&mut self, _inside: Range<usize>, _is_key: bool) {}
}

/// The tokens that may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedToken {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

struct GrammarState<V> {
    max_depth: usize,
    expect: ExpectedToken,
    /// Whether each open bracket is an object's.
    open: Vec<bool>,
    key: Range<usize>,
    value: usize,
    element: usize,
    /// Of the member that is being scanned.
    brackets: usize,
    nulls: usize,
    visit: V,
}

/// Scans an object and hands each of its members to `visit`.
///
/// # Errors
/// The text is no JSON object, or is nested deeper than `max_depth`.
pub(crate) fn object(
    text: &str,
    max_depth: usize,
    visit: impl MemberVisitor,
) -> Result<ScannedObject, JsonFault> {
    let text = text.as_bytes();
    let mut grammar = GrammarState {
        max_depth,
        expect: ExpectedToken::Value,
        open: Vec::with_capacity(16),
        key: 0..0,
        value: 0,
        element: 0,
        brackets: 0,
        nulls: 0,
        visit,
    };
    let mut has_surrogates = false;
    let mut last = 0;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let begin = at;
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'"' => {
                let end = string::end(text, at, &mut has_surrogates).ok_or(JsonFault::Syntax)?;
                at = end + 1;
                grammar.string(begin..at)?;
                // As a rule, the colon stands right behind the key.
                if grammar.expect == ExpectedToken::Colon && text.get(at) == Some(&b':') {
                    grammar.expect = ExpectedToken::Value;
                    at += 1;
                }
            }
            sign @ (b'{' | b'}' | b'[' | b']' | b',' | b':') => grammar.sign(*sign, begin)?,
            _ => {
                let rest = text[at..].iter();
                at += rest
                    .take_while(|byte| IS_OF_WORD[usize::from(**byte)])
                    .count();
                grammar.word(&text[begin..at], begin)?;
            }
        }
        last = begin;
    }
    match grammar.expect {
        ExpectedToken::Nothing => Ok(ScannedObject {
            close: last,
            has_surrogates,
        }),
        _ => Err(JsonFault::Syntax),
    }
}

// === impl MemberVisitor ===

impl<F: FnMut(JsonMember)> MemberVisitor for F {
    fn member(&mut self, member: JsonMember) {
        self(member);
    }
}

// === impl GrammarState ===

impl<V: MemberVisitor> GrammarState<V> {
    fn string(&mut self, quoted: Range<usize>) -> Result<(), JsonFault> {
        let is_key = matches!(self.expect, ExpectedToken::Key | ExpectedToken::KeyOrEnd);
        self.visit.string(quoted.start + 1..quoted.end - 1, is_key);
        if !is_key {
            return self.scalar(quoted);
        }
        if self.open.len() == 1 {
            self.key = quoted;
        }
        self.expect = ExpectedToken::Colon;
        Ok(())
    }

    /// Takes a number, `true`, `false` or `null`.
    fn word(&mut self, word: &[u8], at: usize) -> Result<(), JsonFault> {
        if !matches!(word, b"true" | b"false" | b"null") && !is_number(word) {
            return Err(JsonFault::Syntax);
        }
        self.nulls += usize::from(word == b"null");
        self.scalar(at..at + word.len())
    }

    fn scalar(&mut self, value: Range<usize>) -> Result<(), JsonFault> {
        let wanted = matches!(
            self.expect,
            ExpectedToken::Value | ExpectedToken::ValueOrEnd
        );
        if !wanted || self.open.is_empty() {
            return Err(JsonFault::Syntax);
        }
        self.value_begins(value.start);
        self.value_ends(value.end);
        Ok(())
    }

    fn sign(&mut self, sign: u8, at: usize) -> Result<(), JsonFault> {
        let value_may_begin = matches!(
            self.expect,
            ExpectedToken::Value | ExpectedToken::ValueOrEnd
        );
        match sign {
            b':' if self.expect == ExpectedToken::Colon => self.expect = ExpectedToken::Value,
            b',' if self.expect == ExpectedToken::CommaOrEnd => {
                self.expect = match self.open.last() {
                    Some(true) => ExpectedToken::Key,
                    _ => ExpectedToken::Value,
                };
            }
            b'{' if value_may_begin => self.opens(at, true)?,
            b'[' if value_may_begin && !self.open.is_empty() => self.opens(at, false)?,
            b'}' if matches!(
                self.expect,
                ExpectedToken::KeyOrEnd | ExpectedToken::CommaOrEnd
            ) =>
            {
                self.closes(at, true)?;
            }
            b']' if matches!(
                self.expect,
                ExpectedToken::ValueOrEnd | ExpectedToken::CommaOrEnd
            ) =>
            {
                self.closes(at, false)?;
            }
            _ => return Err(JsonFault::Syntax),
        }
        Ok(())
    }

    fn opens(&mut self, at: usize, object: bool) -> Result<(), JsonFault> {
        if self.open.len() >= self.max_depth {
            return Err(JsonFault::Depth);
        }
        self.value_begins(at);
        // The object itself belongs to no member.
        self.brackets += usize::from(!self.open.is_empty());
        self.open.push(object);
        self.expect = if object {
            ExpectedToken::KeyOrEnd
        } else {
            ExpectedToken::ValueOrEnd
        };
        Ok(())
    }

    fn closes(&mut self, at: usize, object: bool) -> Result<(), JsonFault> {
        if self.open.pop() != Some(object) {
            return Err(JsonFault::Syntax);
        }
        self.value_ends(at + 1);
        Ok(())
    }

    fn value_begins(&mut self, at: usize) {
        match self.open.len() {
            1 => self.value = at,
            2 => self.element = at,
            _ => {}
        }
    }

    fn value_ends(&mut self, end: usize) {
        self.expect = ExpectedToken::CommaOrEnd;
        match self.open.len() {
            0 => self.expect = ExpectedToken::Nothing,
            1 => self.visit.member(JsonMember {
                key: self.key.clone(),
                value: self.value..end,
                brackets: std::mem::take(&mut self.brackets),
                nulls: std::mem::take(&mut self.nulls),
            }),
            2 if !self.open[1] => self.visit.element(self.element..end),
            _ => {}
        }
    }
}

/// The bytes that belong to a word, which a blank, a quote or a sign ends.
const IS_OF_WORD: [bool; 256] = {
    let mut all = [true; 256];
    let ends = b" \t\n\r\"{}[],:";
    let mut n = 0;
    while n < ends.len() {
        all[ends[n] as usize] = false;
        n += 1;
    }
    all
};

fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    if whole == text.len() {
        return true;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    let Some(power) = rest.strip_prefix(b"e").or(rest.strip_prefix(b"E")) else {
        return rest.is_empty();
    };
    let power = power
        .strip_prefix(b"+")
        .or(power.strip_prefix(b"-"))
        .unwrap_or(power);
    !power.is_empty() && digits(power) == power.len()
}

#[cfg(test)]
mod tests;

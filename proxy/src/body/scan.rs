//! The members of a JSON object, found in one pass that builds nothing.
//!
//! The whole text is checked (RFC 8259), but what stands below the top level is only skipped.

use std::ops::Range;

use super::marks;

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not JSON, or not an object.
    Syntax,
    /// Nested deeper than allowed.
    Depth,
}

/// A member of the object: where its key (with quotes) and its value stand.
pub(super) struct Member {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// The closing quote of a key.
    KeyClosed,
    /// The closing quote of a value.
    StringClosed,
    Nothing,
}

struct Grammar<'a, F> {
    text: &'a [u8],
    max_depth: usize,
    expect: Expect,
    /// For each open bracket, whether it is an object's.
    open: Vec<bool>,
    /// End of the last token.
    at: usize,
    key: Range<usize>,
    value: usize,
    found: F,
}

/// Calls `found` for each member of the object; gives the place of its closing brace.
pub(super) fn object(
    text: &str,
    max_depth: usize,
    found: impl FnMut(Member),
) -> Result<usize, Fault> {
    let mut grammar = Grammar {
        text: text.as_bytes(),
        max_depth,
        expect: Expect::Value,
        open: Vec::with_capacity(16),
        at: 0,
        key: 0..0,
        value: 0,
        found,
    };
    marks::each(text.as_bytes(), |at| grammar.mark(at))?;
    if grammar.expect != Expect::Nothing || !blank(&grammar.text[grammar.at..]) {
        return Err(Fault::Syntax);
    }
    Ok(grammar.at - 1)
}

// === impl Grammar ===

impl<F: FnMut(Member)> Grammar<'_, F> {
    fn mark(&mut self, at: usize) -> Result<(), Fault> {
        match self.expect {
            Expect::KeyClosed => {
                if self.open.len() == 1 {
                    self.key.end = at + 1;
                }
                self.expect = Expect::Colon;
            }
            Expect::StringClosed => self.value_ends(at + 1),
            _ => {
                if self.at < at {
                    self.between(at)?;
                }
                self.token(at)?;
            }
        }
        self.at = at + 1;
        Ok(())
    }

    /// What stands between two marks is blank, or a number or a word.
    fn between(&mut self, at: usize) -> Result<(), Fault> {
        let gap = &self.text[self.at..at];
        let Some(first) = gap.iter().position(|b| !is_blank(*b)) else {
            return Ok(());
        };
        let end = gap.iter().rposition(|b| !is_blank(*b)).unwrap_or(first) + 1;
        let wanted = matches!(self.expect, Expect::Value | Expect::ValueOrEnd);
        if !wanted || self.open.is_empty() || !is_scalar(&gap[first..end]) {
            return Err(Fault::Syntax);
        }
        self.value_begins(self.at + first);
        self.value_ends(self.at + end);
        Ok(())
    }

    fn token(&mut self, at: usize) -> Result<(), Fault> {
        let value_may_begin = matches!(self.expect, Expect::Value | Expect::ValueOrEnd);
        match self.text[at] {
            b'"' if value_may_begin && !self.open.is_empty() => {
                self.value_begins(at);
                self.expect = Expect::StringClosed;
            }
            b'"' if matches!(self.expect, Expect::Key | Expect::KeyOrEnd) => {
                if self.open.len() == 1 {
                    self.key.start = at;
                }
                self.expect = Expect::KeyClosed;
            }
            b'{' if value_may_begin => self.opens(at, true)?,
            b'[' if value_may_begin && !self.open.is_empty() => self.opens(at, false)?,
            b'}' if matches!(self.expect, Expect::KeyOrEnd | Expect::CommaOrEnd) => {
                self.closes(at, true)?;
            }
            b']' if matches!(self.expect, Expect::ValueOrEnd | Expect::CommaOrEnd) => {
                self.closes(at, false)?;
            }
            b':' if self.expect == Expect::Colon => self.expect = Expect::Value,
            b',' if self.expect == Expect::CommaOrEnd => {
                self.expect = match self.open.last() {
                    Some(true) => Expect::Key,
                    _ => Expect::Value,
                };
            }
            _ => return Err(Fault::Syntax),
        }
        Ok(())
    }

    fn opens(&mut self, at: usize, object: bool) -> Result<(), Fault> {
        if self.open.len() >= self.max_depth {
            return Err(Fault::Depth);
        }
        self.value_begins(at);
        self.open.push(object);
        self.expect = if object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
        Ok(())
    }

    fn closes(&mut self, at: usize, object: bool) -> Result<(), Fault> {
        if self.open.pop() != Some(object) {
            return Err(Fault::Syntax);
        }
        self.value_ends(at + 1);
        Ok(())
    }

    fn value_begins(&mut self, at: usize) {
        if self.open.len() == 1 {
            self.value = at;
        }
    }

    fn value_ends(&mut self, end: usize) {
        self.expect = Expect::CommaOrEnd;
        match self.open.len() {
            0 => self.expect = Expect::Nothing,
            1 => (self.found)(Member {
                key: self.key.clone(),
                value: self.value..end,
            }),
            _ => {}
        }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn blank(text: &[u8]) -> bool {
    text.iter().all(|b| is_blank(*b))
}

/// A number, `true`, `false` or `null`.
fn is_scalar(text: &[u8]) -> bool {
    matches!(text, b"true" | b"false" | b"null") || is_number(text)
}

fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
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
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;

    fn members(text: &str) -> Result<Vec<(String, String)>, Fault> {
        let mut all = Vec::new();
        object(text, 64, |member| {
            all.push((text[member.key].to_owned(), text[member.value].to_owned()));
        })
        .map(|_| all)
    }

    #[test]
    fn members_are_found_with_their_raw_text() {
        let found =
            members(" { \"a\" : -1.5e3 , \"b\":[1,{\"c\":2}],\"d\":\"\\\"\",\"e\":{} }\n").unwrap();
        let pairs: Vec<(&str, &str)> = found.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            pairs,
            [
                ("\"a\"", "-1.5e3"),
                ("\"b\"", "[1,{\"c\":2}]"),
                ("\"d\"", "\"\\\"\""),
                ("\"e\"", "{}"),
            ]
        );
        assert_eq!(object("{\"a\":1} ", 64, |_| {}), Ok(6));
        assert_eq!(object("{}", 64, |_| {}), Ok(1));
    }

    #[test]
    fn what_is_no_object_is_a_fault() {
        for text in [
            "",
            " ",
            "7",
            "\"a\"",
            "[]",
            "null",
            "{",
            "}",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\" 1}",
            "{\"a\":1 2}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":tru}",
            "{\"a\":[1,]}",
            "{\"a\":[1}",
            "{\"a\":[,1]}",
            "{} {}",
            "{}x",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":NaN}",
            "{a:1}",
            "{\"a\":1e}",
            "{\"a\":- 1}",
        ] {
            assert_eq!(members(text), Err(Fault::Syntax), "{text}");
        }
    }

    #[test]
    fn depth_counts_open_brackets() {
        assert_eq!(object("{\"a\":[]}", 2, |_| {}), Ok(7));
        assert_eq!(object("{\"a\":[]}", 1, |_| {}), Err(Fault::Depth));
    }

    /// Bytes that matter to the grammar, and some that do not.
    fn jsonish() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\\"", "\\n", "\\u00e9", "\\u12", "\"a\"",
            "\"k\":", "1", "-0.5e-7", "00", "true", "null", "nul", " ", "\n", "\u{1}", "é", "x",
        ]);
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~é\\\\\"\n]{0,90}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[a-z\\\\\"]{0,9}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn refuses_what_serde_json_refuses(inner in jsonish(), wrapped in any::<bool>()) {
            let text = if wrapped { format!("{{\"a\":{inner}}}") } else { inner };
            let is_object = serde_json::from_str::<IgnoredAny>(&text).is_ok()
                && text.trim_start().starts_with('{');
            prop_assert_eq!(members(&text).is_ok(), is_object, "{}", text);
        }

        #[test]
        fn finds_every_member_of_any_object(
            values in prop::collection::vec(json(), 0..6),
            pretty in any::<bool>(),
        ) {
            let keyed = values.iter().enumerate().map(|(i, v)| (format!("k{i}"), v.clone()));
            let whole = Value::Object(keyed.collect());
            let text = if pretty {
                serde_json::to_string_pretty(&whole).unwrap()
            } else {
                whole.to_string()
            };
            let found: Vec<Value> = members(&text)
                .unwrap()
                .iter()
                .map(|(_, value)| serde_json::from_str(value).unwrap())
                .collect();
            let sent: Vec<Value> = serde_json::from_str::<Value>(&text)
                .unwrap()
                .as_object()
                .unwrap()
                .values()
                .cloned()
                .collect();
            prop_assert_eq!(found, sent);
        }
    }
}

//! Vectors as engines write them and as clients want them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

/// The encoding of vectors in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VectorEncoding {
    /// A list of numbers.
    Float,
    /// The base64 of 32-bit floats, little-endian.
    Base64,
}

/// A vector of an engine's answer, with its text.
#[derive(Debug)]
pub(super) struct EngineVector<'a> {
    raw: &'a str,
    /// The numbers of the vector, decoded from base64 where the engine wrote that.
    pub(super) numbers: Vec<f32>,
}

// === impl EngineVector ===

impl<'a> EngineVector<'a> {
    /// Reads a list of numbers, or base64; `None` where it is neither.
    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
        let raw = raw.get();
        let numbers = if raw.starts_with('"') {
            let text: String = serde_json::from_str(raw).ok()?;
            let bytes = STANDARD.decode(text).ok()?;
            let (numbers, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return None;
            }
            numbers
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        } else {
            serde_json::from_str::<Vec<f32>>(raw).ok()?
        };
        let is_good = !numbers.is_empty() && numbers.iter().all(|number| number.is_finite());
        is_good.then_some(Self { raw, numbers })
    }

    /// Appends the vector as JSON. A list of numbers for a client that wants one keeps the engine's text.
    pub(super) fn write(&self, encoding: VectorEncoding, out: &mut String) {
        match encoding {
            VectorEncoding::Float if self.raw.starts_with('[') => out.push_str(self.raw),
            VectorEncoding::Float => {
                out.push('[');
                for (at, number) in self.numbers.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&serde_json::Value::from(*number).to_string());
                }
                out.push(']');
            }
            VectorEncoding::Base64 => {
                let bytes: Vec<u8> = self
                    .numbers
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect();
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
        }
    }

    /// Reports whether this vector is another one but for the noise of computing with 32-bit floats.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        /// Far above that noise, far below the difference that some words make.
        const NOISE: f64 = 1e-3;
        if self.numbers.len() != other.numbers.len() {
            return false;
        }
        let square = |number: f64| number * number;
        let pairs = self.numbers.iter().zip(&other.numbers);
        let apart: f64 = pairs
            .map(|(a, b)| square(f64::from(*a) - f64::from(*b)))
            .sum();
        let length: f64 = self.numbers.iter().map(|a| square(f64::from(*a))).sum();
        apart <= square(NOISE) * length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn written(text: &str, encoding: VectorEncoding) -> Option<String> {
        let raw = raw(text);
        let mut out = String::new();
        EngineVector::read(&raw)?.write(encoding, &mut out);
        Some(out)
    }

    #[test]
    fn a_vector_keeps_its_text_or_becomes_little_endian_floats() {
        for (text, float, base64) in [
            ("[0.5,-1]", "[0.5,-1]", "\"AAAAPwAAgL8=\""),
            ("[ 0.50 , -1.0e0 ]", "[ 0.50 , -1.0e0 ]", "\"AAAAPwAAgL8=\""),
            ("\"AAAAPwAAgL8=\"", "[0.5,-1.0]", "\"AAAAPwAAgL8=\""),
        ] {
            assert_eq!(written(text, VectorEncoding::Float).unwrap(), float);
            assert_eq!(written(text, VectorEncoding::Base64).unwrap(), base64);
        }
        for bad in [
            "[]", "[null]", "[1e99]", "7", "{}", "\"AAAA\"", "\"?\"", "\"\"", "[\"1\"]",
        ] {
            assert_eq!(written(bad, VectorEncoding::Float), None, "{bad}");
        }
    }

    #[test]
    fn noise_is_no_difference_and_a_word_is_one() {
        let same = |a: &str, b: &str| {
            let (a, b) = (raw(a), raw(b));
            let vectors = EngineVector::read(&a).zip(EngineVector::read(&b)).unwrap();
            vectors.0.is_same_as(&vectors.1)
        };
        assert!(same("[0.6,0.8]", "[0.6,0.8]"));
        assert!(same("[0.6,0.8]", "[0.60001,0.79999]"));
        assert!(!same("[0.6,0.8]", "[0.605,0.796]"));
        assert!(!same("[0.6,0.8]", "[0.6,0.8,0]"));
    }
}

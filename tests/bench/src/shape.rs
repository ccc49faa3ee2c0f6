//! What the fake upstream does is written in the model's name: `bench:c100-i20` streams 100
//! chunks, one every 20 ms. Each chunk carries its sending time as `@NANOSECONDS@`.

use std::{
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The way in which a model of the fake upstream streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The number of chunks with text.
    pub(crate) chunks: usize,
    /// The pause between two chunks.
    pub(crate) interval: Duration,
}

/// Every model that the fake upstream lists.
pub(crate) const MODELS: [&str; 4] = [ANSWER, PACED, BURST, IDLE];
/// One whole answer that is not streamed.
pub(crate) const ANSWER: &str = "bench:c1-i0";
/// A stream of 50 chunks per second.
pub(crate) const PACED: &str = "bench:c100-i20";
/// A stream without pauses.
pub(crate) const BURST: &str = "bench:c500-i0";
/// One chunk, then nothing for longer than any case lasts.
pub(crate) const IDLE: &str = "bench:c2-i600000";

/// Nanoseconds since 1970; one clock for all processes of a run.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Finds the marks in a stream of bytes, wherever it is cut.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    carry: Vec<u8>,
    end: Vec<u8>,
}

// === impl Shape ===

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(model: &str) -> Result<Self, Self::Err> {
        let parsed = model.strip_prefix("bench:c").and_then(|rest| {
            let (chunks, interval) = rest.split_once("-i")?;
            Some(Self {
                chunks: chunks.parse().ok()?,
                interval: Duration::from_millis(interval.parse().ok()?),
            })
        });
        parsed.ok_or_else(|| anyhow::anyhow!("not a model of the benchmark: {model}"))
    }
}

// === impl Marks ===

impl Marks {
    /// Calls `found` with every sending time that is complete now.
    pub(crate) fn feed(&mut self, data: &[u8], mut found: impl FnMut(u64)) {
        self.end
            .extend_from_slice(&data[data.len().saturating_sub(16)..]);
        let keep = self.end.len().saturating_sub(16);
        self.end.drain(..keep);

        let joined;
        let mut rest: &[u8] = if self.carry.is_empty() {
            data
        } else {
            self.carry.extend_from_slice(data);
            joined = std::mem::take(&mut self.carry);
            &joined
        };
        while let Some(start) = memchr::memchr(b'@', rest) {
            let Some(length) = memchr::memchr(b'@', &rest[start + 1..]) else {
                self.carry = rest[start..].to_vec();
                return;
            };
            let digits = &rest[start + 1..start + 1 + length];
            if let Some(sent) = std::str::from_utf8(digits)
                .ok()
                .and_then(|d| d.parse().ok())
            {
                found(sent);
            }
            rest = &rest[start + length + 2..];
        }
    }

    /// Returns the last bytes so far, at most 16.
    pub(crate) fn tail(&self) -> &[u8] {
        &self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[test]
    fn a_model_name_says_how_it_streams() {
        let shape: Shape = PACED.parse().unwrap();
        assert_eq!(
            (shape.chunks, shape.interval),
            (100, Duration::from_millis(20))
        );
        assert!("llama3".parse::<Shape>().is_err());
        assert!(MODELS.iter().all(|m| m.parse::<Shape>().is_ok()));
    }

    #[test]
    fn marks_are_found_wherever_the_bytes_are_cut() {
        let stream = b"data: {\"content\":\"@12@ a\"}\n\ndata: {\"content\":\"@345@ b\"}\n\ndata: [DONE]\n\n";
        for cut in 0..=stream.len() {
            let (mut marks, mut found) = (Marks::default(), Vec::new());
            marks.feed(&stream[..cut], |m| found.push(m));
            marks.feed(&stream[cut..], |m| found.push(m));
            assert_eq!(found, [12, 345], "cut at {cut}");
            assert!(Format::Chat.ends(marks.tail()));
        }
    }
}

//! The entry points of the fuzz targets of `proxy` in `fuzz/`, one for each reader that is written by
//! hand.
//!
//! A target takes any bytes and asserts what has to hold for all of them. The same functions run over
//! the committed corpus in the unit tests below, so a case that a fuzzer once found stays a test and
//! the check needs no fuzzer.

mod json_splice;
mod messages;
mod ollama_api;
mod ollama_lines;
mod responses;
mod sse_framer;

pub use self::{
    json_splice::json_splice,
    messages::{messages_request, messages_stream},
    ollama_api::{ollama_request, ollama_stream},
    ollama_lines::ollama_lines,
    responses::{responses_request, responses_stream},
    sse_framer::sse_framer,
};

/// The lengths of the frames into which a stream is cut, in turn. The first is the stream in one piece.
const CUTS: [&[usize]; 6] = [
    &[usize::MAX],
    &[1],
    &[2],
    &[3, 1],
    &[7, 0, 5],
    &[1, 64, 2, 13],
];

/// The same bytes as frames of these lengths, over and over.
fn frames<'a>(data: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = data;
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (frame, behind) = rest.split_at((*lengths.next()?).min(rest.len()));
        rest = behind;
        Some(frame)
    })
}

#[cfg(test)]
pub(crate) use self::ollama_api::without_times;

/// Takes out the random part of ids that Crucible makes: `call_`, `cmpl-`, `chatcmpl-`, `msg_` and
/// `toolu_` with hexadecimal digits.
pub(crate) fn without_ids(mut text: Vec<u8>) -> Vec<u8> {
    for (prefix, digits) in [
        (&b"call_"[..], 16),
        (&b"cmpl-"[..], 32),
        (&b"msg_"[..], 24),
        (&b"toolu_"[..], 16),
    ] {
        let mut at = 0;
        while let Some(found) = memchr::memmem::find(&text[at..], prefix) {
            at += found + prefix.len();
            let id = text[at..].iter_mut().take(digits);
            for digit in id.take_while(|digit| digit.is_ascii_hexdigit()) {
                *digit = b'x';
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Runs a target over its corpus; the corpus has to be there.
    fn over_corpus(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut cases = 0;
        for file in fs::read_dir(folder.join(name)).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            let data = fs::read(&path).unwrap();
            target(&data);
            // Cut off anywhere, it is input as well.
            for end in (0..data.len()).step_by(data.len().div_ceil(64).max(1)) {
                target(&data[..end]);
            }
            cases += 1;
        }
        assert!(cases >= 15, "the corpus of {name} has {cases} cases only");
    }

    #[test]
    fn the_corpus_of_json_splice_holds() {
        over_corpus("json_splice", json_splice);
    }

    #[test]
    fn the_corpus_of_messages_request_holds() {
        over_corpus("messages_request", messages_request);
    }

    #[test]
    fn the_corpus_of_messages_stream_holds() {
        over_corpus("messages_stream", messages_stream);
    }

    #[test]
    fn the_corpus_of_sse_framer_holds() {
        over_corpus("sse_framer", sse_framer);
    }

    #[test]
    fn the_corpus_of_ollama_request_holds() {
        over_corpus("ollama_request", ollama_request);
    }

    #[test]
    fn the_corpus_of_ollama_stream_holds() {
        over_corpus("ollama_stream", ollama_stream);
    }

    #[test]
    fn the_corpus_of_ollama_lines_holds() {
        over_corpus("ollama_lines", ollama_lines);
    }

    #[test]
    fn the_corpus_of_responses_request_holds() {
        over_corpus("responses_request", responses_request);
    }

    #[test]
    fn the_corpus_of_responses_stream_holds() {
        over_corpus("responses_stream", responses_stream);
    }
}

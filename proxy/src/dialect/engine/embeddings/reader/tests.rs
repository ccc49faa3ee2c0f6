use super::*;
use crate::dialect::{chat::RequestTask, engine::testing::request};

fn reader(kind: EngineKind, source: VectorSource, members: &str) -> VectorReader {
    let request = request(RequestTask::Embedding, members);
    let read = EmbeddingRequest::read(&request).unwrap();
    VectorReader::new(kind, source, &read, "m")
}

fn read(members: &str, answer: &str) -> Result<String, Error> {
    let source = if answer.contains("embeddings") {
        VectorSource::Ollama
    } else {
        VectorSource::OpenAi
    };
    let reader = reader(EngineKind::Lmstudio, source, members);
    let answer = Box::new(reader).read(&Bytes::copy_from_slice(answer.as_bytes()))?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

#[test]
fn vectors_come_in_the_order_of_their_texts_with_the_text_of_their_numbers() {
    let two = r#""input":["a","b"]"#;
    for (answer, becomes) in [
        (
            r#"{"model":"x","data":[{"index":1,"embedding":[2.50]},{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":7}}"#,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2.50]}],"model":"x","usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        ),
        (
            r#"{"data":[{"embedding":[1]},{"embedding":[2]}],"usage":{"prompt_tokens":0,"total_tokens":0}}"#,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#,
        ),
        (
            r#"{"model":"nomic:latest","embeddings":[[1],[2]],"prompt_eval_count":9}"#,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2]}],"model":"m","usage":{"prompt_tokens":9,"total_tokens":9}}"#,
        ),
    ] {
        assert_eq!(read(two, answer).unwrap(), becomes);
    }
    let encoded = read(
        r#""input":"a","encoding_format":"base64""#,
        r#"{"data":[{"index":0,"embedding":[0.5,-1]}]}"#,
    );
    assert!(encoded.unwrap().contains(r#""embedding":"AAAAPwAAgL8=""#));
}

#[test]
fn what_is_no_answer_to_the_request_is_the_engines_error() {
    let two = r#""input":["a","b"]"#;
    for (answer, says) in [
        (
            r#"{"data":[{"index":0,"embedding":[1]}]}"#,
            "1 vectors to 2 texts",
        ),
        (
            r#"{"data":[{"index":1,"embedding":[1]},{"index":1,"embedding":[1]}]}"#,
            "numbered twice",
        ),
        (
            r#"{"data":[{"index":0,"embedding":[1]},{"index":9,"embedding":[1]}]}"#,
            "numbered twice or not at all",
        ),
        (
            r#"{"data":[{"embedding":[1]},{"embedding":[null]}]}"#,
            "vector 1 is no list",
        ),
        (r#"{"embeddings":[[1],7]}"#, "vector 1 is no list"),
        (r#"{"choices":[]}"#, "no vectors"),
        (r#"{"error":"it broke"}"#, "it broke"),
        ("<html>", "no vectors"),
        ("", "no vectors"),
    ] {
        let error = read(two, answer).unwrap_err();
        assert_eq!(error.kind, ErrorKind::EngineError, "{answer}");
        assert!(error.message.contains(says), "{answer}: {error}");
    }
}

#[test]
fn a_length_that_the_model_does_not_make_is_refused_and_its_own_is_not() {
    let answer = r#"{"data":[{"index":0,"embedding":[1,2]}]}"#;
    assert!(read(r#""input":"a","dimensions":2"#, answer).is_ok());
    let error = read(r#""input":"a","dimensions":1"#, answer).unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnsupportedValue);
    assert!(error.message.contains("vectors of 2 numbers"), "{error}");
}

#[test]
fn a_text_whose_longer_copy_has_the_same_vector_was_cut() {
    let members = r#""input":["a","b"]"#;
    let answer = |copy: &str| {
        let reader = reader(EngineKind::Lmstudio, VectorSource::OpenAi, members);
        let reader = Box::new(reader.with_copies(vec![1], Some(64)));
        let answer = format!(
            r#"{{"data":[{{"embedding":[1,0]}},{{"embedding":[0,1]}},{{"embedding":{copy}}}]}}"#
        );
        reader.read(&Bytes::from(answer))
    };
    let error = answer("[0,1]").unwrap_err();
    assert_eq!(error.param.as_deref(), Some("input[1]"));
    assert_eq!(error.kind, ErrorKind::ContextLengthExceeded);
    assert!(error.message.contains("of 64 tokens") && error.message.contains("LM Studio"));
    let whole = answer("[0.1,0.9]").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&whole.body)
            .matches("\"embedding\":[")
            .count(),
        2
    );
}

#[test]
fn the_longest_text_is_the_one_that_an_engine_found_too_long() {
    let too_long = || {
        Error::new(
            ErrorKind::ContextLengthExceeded,
            "input (9 tokens) is too large",
        )
    };
    for (members, param) in [
        (r#""input":["a","bbbbbbbbb","ccccccccc"]"#, "input[1]"),
        (r#""input":"aaaa""#, "input"),
        (r#""input":[[1],[1,2,3],[1,2]]"#, "input[1]"),
        (r#""input":[1,2,3]"#, "input"),
    ] {
        let reader = reader(EngineKind::Llamacpp, VectorSource::OpenAi, members);
        let error = reader.refused(too_long());
        assert_eq!(error.param.as_deref(), Some(param));
        assert!(error.message.contains("input (9 tokens)"), "{error}");
        let other = reader.refused(Error::new(ErrorKind::EngineError, "x"));
        assert_eq!(other.kind, ErrorKind::EngineError);
    }
}

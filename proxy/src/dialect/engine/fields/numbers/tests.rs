use bytes::Bytes;

use crucible_config::checked::EngineKind;

use crate::dialect::engine::{
    fields::numbers::*,
    ollama::request::NUMBERS,
    openai::quirks::{LLAMA_CPP, LM_STUDIO, OPENAI_COMPATIBLE},
};

use EngineKind::{Llamacpp, Lmstudio, Ollama, Openai};

fn rules(kind: EngineKind) -> &'static NumberRules {
    match kind {
        Lmstudio => &LM_STUDIO.numbers,
        Llamacpp => &LLAMA_CPP.numbers,
        Openai => &OPENAI_COMPATIBLE.numbers,
        Ollama => &NUMBERS,
    }
}

fn of(field: &str, kind: EngineKind) -> Result<Vec<RewrittenField>, Error> {
    let body = Bytes::from(format!("{{{field}}}"));
    let peek = PeekedBody::of(&body, 64).unwrap();
    rewritten_numbers(&body, &peek, rules(kind))
}

/// `name` is what is sent, empty where it is left out; `None` where nothing changes.
fn sent(field: &str, kind: EngineKind) -> Option<String> {
    let mut rewritten = of(field, kind).unwrap_or_else(|error| panic!("{field} {kind:?}: {error}"));
    assert!(rewritten.len() < 2, "{rewritten:?}");
    let rewritten = rewritten.pop()?;
    let name = field.split('"').nth(1).unwrap();
    assert_eq!(rewritten.name, name);
    assert!(rewritten.note.starts_with(name), "{}", rewritten.note);
    Some(rewritten.json.unwrap_or_default())
}

#[test]
fn a_negative_limit_is_none_as_the_engine_says_it() {
    for name in ["max_tokens", "max_completion_tokens"] {
        let field = |value: &str| format!("\"{name}\":{value}");
        for (value, kind, becomes) in [
            ("-1", Lmstudio, None),
            ("-1", Llamacpp, None),
            ("-1", Ollama, None),
            ("0", Ollama, None),
            ("0.0", Ollama, None),
            ("-1", Openai, Some("")),
            ("-1.0", Lmstudio, Some("-1")),
            ("-2", Llamacpp, Some("-1")),
            ("-4096.0", Lmstudio, Some("-1")),
            ("-9e2", Openai, Some("")),
            ("null", Openai, None),
            ("null", Lmstudio, None),
            ("0", Llamacpp, None),
            ("0", Openai, None),
            ("0.0", Llamacpp, Some("0")),
            ("4096.0", Lmstudio, Some("4096")),
            ("4096.0", Openai, Some("4096")),
            ("4.096e3", Llamacpp, Some("4096")),
            ("4096", Openai, None),
            ("2147483647", Llamacpp, None),
            ("2147483648", Llamacpp, Some("2147483647")),
            ("18446744073709551615", Llamacpp, Some("2147483647")),
            ("18446744073709551615", Openai, None),
            ("4.5", Llamacpp, None),
        ] {
            assert_eq!(
                sent(&field(value), kind).as_deref(),
                becomes,
                "{name} {value} {kind:?}"
            );
        }
    }
}

#[test]
fn whole_numbers_written_as_floats_are_whole_numbers() {
    for kind in [Lmstudio, Llamacpp, Openai, Ollama] {
        for (field, becomes) in [
            ("\"seed\":42.0", Some("42")),
            ("\"seed\":-42.0", Some("-42")),
            ("\"seed\":42", None),
            ("\"seed\":-1", None),
            ("\"seed\":null", None),
            ("\"n\":1.0", Some("1")),
            ("\"n\":1", None),
            ("\"n\":null", None),
            ("\"top_k\":40.0", Some("40")),
            ("\"top_k\":-1", None),
            ("\"top_logprobs\":2.0", Some("2")),
            ("\"logprobs\":true", None),
            ("\"logprobs\":null", None),
            ("\"temperature\":1", None),
            ("\"temperature\":0.0", None),
            ("\"temperature\":null", None),
            ("\"top_p\":1e-50", None),
            ("\"min_p\":3e38", None),
        ] {
            assert_eq!(sent(field, kind).as_deref(), becomes, "{field} {kind:?}");
        }
    }
    for (field, kind) in [("\"n\":2.0", Llamacpp), ("\"n\":2.0", Openai)] {
        assert_eq!(sent(field, kind).as_deref(), Some("2"));
    }
}

#[test]
fn an_engine_with_a_sign_gets_64_bits() {
    for (value, kept) in [
        ("42.0", Ok(Some(42))),
        ("-7", Ok(Some(-7))),
        ("null", Ok(None)),
        ("9223372036854775807", Ok(Some(i64::MAX))),
        ("9223372036854775808", Err(ErrorKind::UnsupportedValue)),
        ("1.5", Err(ErrorKind::InvalidType)),
        ("\"1\"", Err(ErrorKind::InvalidType)),
    ] {
        let body = Bytes::from(format!("{{\"seed\":{value}}}"));
        let peek = PeekedBody::of(&body, 64).unwrap();
        let read = signed(&body, &peek, "seed", &NUMBERS).map_err(|error| error.kind);
        assert_eq!(read, kept, "{value}");
    }
}

#[test]
fn what_llama_cpp_takes_is_not_refused() {
    for field in [
        "\"seed\":1.5",
        "\"seed\":18446744073709551616",
        "\"top_k\":1e10",
        "\"top_k\":1.5",
        "\"n\":1.5",
        "\"logprobs\":2",
        "\"temperature\":1e39",
        "\"frequency_penalty\":-1e39",
    ] {
        assert!(of(field, Llamacpp).is_ok(), "{field}");
        let others = [Lmstudio, Openai];
        let refused = others.map(|kind| of(field, kind).is_err());
        // What is whole and fits is taken everywhere.
        assert_eq!(refused, [field != "\"top_k\":1e10"; 2], "{field}");
        // Ollama (0.33) cuts what it is told of `top_k`.
        let refused = of(field, Ollama).is_err();
        assert_eq!(refused, !field.contains("top_k"), "{field}");
    }
}

#[test]
fn what_is_no_such_number_is_refused_with_field_value_and_a_way_out() {
    let all = [Lmstudio, Llamacpp, Openai, Ollama];
    let narrow = [Lmstudio, Openai, Ollama];
    let long = "9".repeat(300);
    for (name, value, found, kinds) in [
        ("max_tokens", "\"4096\"", "a string", &all[..]),
        ("max_tokens", "[1]", "an array", &all),
        ("max_tokens", "{}", "an object", &all),
        ("max_tokens", "true", "a boolean", &all),
        ("max_tokens", "1e400", "1e400", &all),
        ("max_tokens", "-1e400", "-1e400", &all),
        (
            "max_tokens",
            "18446744073709551616",
            "18446744073709551616",
            &all,
        ),
        ("max_completion_tokens", &long, "999", &all),
        ("max_completion_tokens", "1.5", "1.5", &narrow),
        ("max_tokens", "0", "0", &[Lmstudio]),
        ("seed", "\"1\"", "a string", &all),
        ("seed", "1e400", "1e400", &all),
        ("seed", "1.5", "1.5", &narrow),
        (
            "seed",
            "18446744073709551616",
            "18446744073709551616",
            &narrow,
        ),
        ("n", "0", "0", &all),
        ("n", "-1", "-1", &all),
        ("n", "\"1\"", "a string", &all),
        ("n", "1.5", "1.5", &narrow),
        ("top_k", "[]", "an array", &all),
        ("top_logprobs", "false", "a boolean", &all),
        ("logprobs", "\"yes\"", "a string", &all),
        ("temperature", "\"1\"", "a string", &all),
        ("temperature", "1e39", "1e39", &narrow),
        ("temperature", "1e400", "1e400", &all),
        ("top_p", "-3.5e38", "-3.5e38", &narrow),
        ("presence_penalty", "true", "a boolean", &all),
        ("min_p", "{}", "an object", &all),
    ] {
        for kind in kinds {
            let error = of(&format!("\"{name}\":{value}"), *kind).unwrap_err();
            let told = error.to_string();
            let known = matches!(
                error.kind,
                ErrorKind::InvalidType | ErrorKind::UnsupportedValue
            );
            assert!(known, "{name} {value} {kind:?}: {told}");
            assert_eq!(error.param.as_deref(), Some(name), "{value} {kind:?}");
            assert!(told.contains(name), "{told}");
            assert!(told.contains(&format!("found {found}")), "{told}");
            let advised = ["leave it out", "must be a boolean"];
            assert!(advised.iter().any(|way| told.contains(way)), "{told}");
            assert!(told.len() < 200, "{told}");
        }
    }
}

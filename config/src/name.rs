//! The rules by which a name means a model; they are the same in requests and in the configuration.

/// Reports whether two names mean the same model: neither case nor an ending `:latest` counts.
pub fn same(a: &str, b: &str) -> bool {
    bare(a).eq_ignore_ascii_case(bare(b))
}

/// Returns the name without the ending `:latest`, in whatever case that is written.
pub fn bare(name: &str) -> &str {
    const LATEST: &str = ":latest";
    match name.len().checked_sub(LATEST.len()) {
        Some(at) if name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case(LATEST) => {
            &name[..at]
        }
        _ => name,
    }
}

/// Returns a name without its quantization: `llama3.1:8b-q4_0`, `qwen@q8_0` and `phi-f16` become
/// `llama3.1:8b`, `qwen` and `phi`. A name that has none stays as it is.
pub fn stem(id: &str) -> &str {
    match id.rfind(['@', '-', ':']) {
        Some(at) if at > 0 && is_quantization(&id[at + 1..]) => &id[..at],
        _ => id,
    }
}

/// Returns the part of a name `engine/model` behind the slash; `None` where the name has no slash
/// or begins with another engine's name.
pub fn after_engine<'a>(name: &'a str, engine: &str) -> Option<&'a str> {
    let (prefix, rest) = name.split_once('/')?;
    prefix.eq_ignore_ascii_case(engine).then_some(rest)
}

/// Returns how exactly a name of the configuration means this model of this engine; a glob is not
/// read as one here.
///
/// 0 is the model's own name, and 2 a name that differs from it in the quantization alone. Each is
/// one more where the name begins with `engine/`. `None` means that the name is another model's.
pub fn exactness(name: &str, engine: &str, model: &str) -> Option<u8> {
    let of = |name: &str| {
        if same(name, model) {
            return Some(0);
        }
        let open = stem(model);
        let variant = name.split_once('@').map_or(name, |_| stem(name));
        let leaves_open = open.len() < model.len() && same(name, open);
        let is_variant = variant.len() < name.len() && same(variant, model);
        (leaves_open || is_variant).then_some(2)
    };
    let prefixed = after_engine(name, engine).and_then(of);
    of(name).into_iter().chain(prefixed.map(|n| n + 1)).min()
}

fn is_quantization(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix('i').unwrap_or(&lower);
    if let Some(bits) = rest.strip_prefix('q') {
        return bits.starts_with(|c: char| c.is_ascii_digit());
    }
    matches!(
        lower.as_str(),
        "f16" | "fp16" | "f32" | "fp32" | "bf16" | "fp8" | "4bit" | "8bit"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_a_model_in_every_way_that_a_request_may_write_it() {
        for (name, model, exact) in [
            ("small-a", "small-a", Some(0)),
            ("Small-A", "small-a", Some(0)),
            ("small-a:latest", "small-a", Some(0)),
            ("small-a", "small-a:latest", Some(0)),
            ("ollama/small-a", "small-a:latest", Some(1)),
            ("OLLAMA/small-a:LATEST", "small-a", Some(1)),
            ("llama3.1:8b", "llama3.1:8b-q4_0", Some(2)),
            ("ollama/llama3.1:8b", "llama3.1:8b-q4_0", Some(3)),
            ("qwen@q4_k_m", "qwen", Some(2)),
            ("ollama/qwen@q4_k_m", "qwen", Some(3)),
            ("other/small-a", "small-a", None),
            ("small", "small-a", None),
            ("pub/qwen", "pub/qwen", Some(0)),
            ("ollama/pub/qwen", "pub/qwen", Some(1)),
            ("ollama/x", "ollama/x", Some(0)),
            ("llama3.1:8b-q8_0", "llama3.1:8b-q4_0", None),
            ("llama3.1:8b-q8_0", "llama3.1:8b", None),
            ("é/", "x", None),
        ] {
            assert_eq!(exactness(name, "ollama", model), exact, "{name} {model}");
        }
    }
}

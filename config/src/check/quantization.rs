//! The spellings of quantizations that models have.

use crate::kind;

/// The types of llama.cpp's files (`llama_ftype`, b8800) as Ollama and GGUF file names spell them,
/// and those that LM Studio reports of MLX models.
const KNOWN: [&str; 57] = [
    "f32",
    "fp32",
    "f16",
    "fp16",
    "bf16",
    "fp8",
    "q1_0",
    "q2_0",
    "q2_k",
    "q2_k_s",
    "q2_k_m",
    "q2_k_l",
    "q2_k_xl",
    "q3_k",
    "q3_k_s",
    "q3_k_m",
    "q3_k_l",
    "q3_k_xl",
    "q4_0",
    "q4_1",
    "q4_k",
    "q4_k_s",
    "q4_k_m",
    "q4_k_l",
    "q4_k_xl",
    "q5_0",
    "q5_1",
    "q5_k",
    "q5_k_s",
    "q5_k_m",
    "q5_k_l",
    "q5_k_xl",
    "q6_k",
    "q6_k_l",
    "q6_k_xl",
    "q8_0",
    "q8_k_xl",
    "iq1_s",
    "iq1_m",
    "iq2_xxs",
    "iq2_xs",
    "iq2_s",
    "iq2_m",
    "iq3_xxs",
    "iq3_xs",
    "iq3_s",
    "iq3_m",
    "iq4_nl",
    "iq4_xs",
    "tq1_0",
    "tq2_0",
    "mxfp4",
    "mxfp4_moe",
    "nvfp4",
    "4bit",
    "6bit",
    "8bit",
];

/// Whether models of this quantization exist. Letter case does not count, and neither does `UD-`,
/// which Unsloth's files begin with.
pub(super) fn is_known(text: &str) -> bool {
    let lower = text.trim().to_ascii_lowercase();
    let plain = lower.strip_prefix("ud-").unwrap_or(&lower);
    KNOWN.contains(&plain)
}

/// Returns the known quantization that was probably meant; `None` where none is similar.
pub(super) fn near(text: &str) -> Option<&'static str> {
    kind::nearest(text, KNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_quantization_is_known_and_a_part_of_one_is_not() {
        for (text, known) in [
            ("q4_0", true),
            ("Q4_K_M", true),
            ("q5_1", true),
            ("UD-Q4_K_XL", true),
            ("IQ4_NL", true),
            ("f16", true),
            ("mxfp4", true),
            ("q5", false),
            ("q", false),
            ("q4", false),
            ("q4_k_", false),
            ("q9_0", false),
            ("iq", false),
            ("int8", false),
            ("", false),
        ] {
            assert_eq!(is_known(text), known, "{text:?}");
        }
        assert_eq!(near("q5"), Some("q5_k"));
    }
}

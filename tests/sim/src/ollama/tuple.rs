//! The runner options. Ollama 0.33.0-rc2, server/sched.go needsReload: any difference reloads,
//! with its exemptions; api/types.go `FromMap`: an option of the wrong type is an error (500),
//! an unknown one is ignored.

use serde_json::{Map, Value, json};

use crate::model_spec::ModelSpec;

/// Everything that a runner is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) num_ctx: u64,
    /// Chosen by Ollama, not by the request.
    pub(crate) auto_ctx: bool,
    pub(crate) num_batch: Option<i64>,
    pub(crate) num_gpu: i64,
    pub(crate) main_gpu: i64,
    pub(crate) num_thread: i64,
    pub(crate) use_mmap: Option<bool>,
    pub(crate) draft_num_predict: i64,
    pub(crate) shift: bool,
    /// Adapters and projectors of its Modelfile: others need another runner.
    pub(crate) files: Vec<String>,
}

const INTEGERS: [&str; 12] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "repeat_last_n",
    "draft_num_predict",
    "num_parallel",
];
const FLOATS: [&str; 7] = [
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
];

/// JSON numbers are `float64` in Go and cut to `int` (`FromMap`).
pub(crate) fn whole(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "as Go cuts it")]
    let cut = |number: f64| number as i64;
    value.as_i64().or_else(|| value.as_f64().map(cut))
}

/// `FromMap` puts it into a float32, where it becomes infinite.
fn beyond_float32(value: &Value) -> bool {
    value
        .as_f64()
        .is_some_and(|number| number.abs() > f64::from(f32::MAX))
}

/// Checks the types of the options that Ollama knows.
pub(crate) fn check(options: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in options {
        let name = key.as_str();
        let wrong = if value.is_null() {
            None
        } else if INTEGERS.contains(&name) && !value.is_number() {
            Some("integer")
        } else if FLOATS.contains(&name) && !value.is_number() {
            Some("float32")
        } else if FLOATS.contains(&name) && beyond_float32(value) {
            // Seen on the real one; json.Marshal refuses what became infinite.
            return Err(
                "failed to marshal completion request: json: unsupported value: +Inf".to_owned(),
            );
        } else if name == "use_mmap" && !value.is_boolean() {
            Some("boolean")
        } else if name == "stop" && !value.is_array() {
            Some("array")
        } else if name == "stop"
            && value
                .as_array()
                .is_some_and(|a| a.iter().any(|s| !s.is_string()))
        {
            return Err("option \"stop\" must be of an array of strings".to_owned());
        } else {
            None
        };
        if let Some(kind) = wrong {
            return Err(format!("option \"{key}\" must be of type {kind}"));
        }
    }
    Ok(())
}

// === impl Tuple ===

impl Tuple {
    /// The tuple of a request; `default` is the automatic context.
    pub(crate) fn new(
        options: &Map<String, Value>,
        shift: bool,
        model: &ModelSpec,
        default: u64,
    ) -> Self {
        let says = |key: &str| model.modelfile.as_ref().and_then(|lines| lines.get(key));
        // The request's options go over the Modelfile's (`modelOptions`).
        let integer = |key: &str| {
            let told = options.get(key).filter(|value| !value.is_null());
            told.map_or_else(|| says(key)?.parse().ok(), whole)
        };
        let asked = integer("num_ctx")
            .filter(|n| *n > 0)
            .and_then(|n| u64::try_from(n).ok());
        // Floor 4, 2048 for vision models; clamped to the training length.
        let floor = if model.sees() { 2048 } else { 4 };
        Self {
            num_ctx: asked.unwrap_or(default).max(floor).min(model.max_context),
            auto_ctx: asked.is_none(),
            num_batch: integer("num_batch"),
            num_gpu: integer("num_gpu").unwrap_or(-1),
            main_gpu: integer("main_gpu").unwrap_or(0),
            num_thread: integer("num_thread").unwrap_or(0),
            use_mmap: options
                .get("use_mmap")
                .and_then(Value::as_bool)
                .or_else(|| says("use_mmap")?.parse().ok()),
            draft_num_predict: integer("draft_num_predict").unwrap_or(0),
            shift,
            files: ["adapter", "projector"]
                .iter()
                .filter_map(|key| says(key).cloned())
                .collect(),
        }
    }

    /// Whether a runner with `self` must be started anew for `wanted`.
    pub(crate) fn needs_reload(&self, wanted: &Self) -> bool {
        let context = self.num_ctx != wanted.num_ctx && !(self.auto_ctx && wanted.auto_ctx);
        let batch = self.num_batch != wanted.num_batch;
        // -1 in the new request takes what there is.
        let gpu = wanted.num_gpu != -1 && self.num_gpu != wanted.num_gpu;
        let mmap = self.use_mmap != wanted.use_mmap;
        context
            || batch
            || gpu
            || mmap
            || self.main_gpu != wanted.main_gpu
            || self.num_thread != wanted.num_thread
            || self.draft_num_predict != wanted.draft_num_predict
            || self.shift != wanted.shift
            || self.files != wanted.files
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "num_ctx": self.num_ctx,
            "auto_ctx": self.auto_ctx,
            "num_batch": self.num_batch,
            "num_gpu": self.num_gpu,
            "main_gpu": self.main_gpu,
            "num_thread": self.num_thread,
            "use_mmap": self.use_mmap,
            "draft_num_predict": self.draft_num_predict,
            "shift": self.shift,
            "files": self.files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(options: &Value) -> Tuple {
        Tuple::new(
            options.as_object().unwrap(),
            true,
            &ModelSpec::named("m"),
            4096,
        )
    }

    #[test]
    fn each_runner_option_reloads_and_sampling_does_not() {
        let plain = tuple(&json!({}));
        for other in [
            json!({"num_ctx": 8192}),
            json!({"num_thread": 8}),
            json!({"num_batch": 256}),
            json!({"num_gpu": 0}),
            json!({"use_mmap": false}),
        ] {
            assert!(plain.needs_reload(&tuple(&other)), "{other}");
        }
        assert!(!plain.needs_reload(&tuple(&json!({"temperature": 1, "num_ctx": 4096}))));
        assert!(
            !tuple(&json!({"num_gpu": 0})).needs_reload(&plain),
            "-1 takes what there is"
        );
        assert!(
            tuple(&json!({"num_ctx": 8192})).needs_reload(&plain),
            "auto is not explicit"
        );
    }

    #[test]
    fn a_known_option_of_the_wrong_type_is_refused_and_an_unknown_one_is_not() {
        let check = |value: Value| check(value.as_object().unwrap());
        assert_eq!(
            check(json!({"num_ctx": "4096"})).unwrap_err(),
            "option \"num_ctx\" must be of type integer"
        );
        assert!(check(json!({"stop": "x"})).is_err());
        assert!(check(json!({"use_mlock": "yes", "numa": 1})).is_ok());
    }
}

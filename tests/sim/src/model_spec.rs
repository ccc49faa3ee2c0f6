//! A model that a simulated engine has, and the text that describes it on the command line.

use std::collections::BTreeMap;
use std::str::FromStr;

use bytesize::ByteSize;

/// One downloaded model. The name decides what it can do: `think`, `gpt-oss` and `r1` think,
/// `vision`, `llava` and `-vl` see, `notools` takes no tools, `alternate` wants user and assistant in
/// turns, `embed` and `nomic` embed, `mlx` is in MLX's format.
///
/// Ollama: another name of a model (`ollama cp`) is `NAME~BASE`; one that a Modelfile derived from it
/// is `NAME~BASE+` with what its lines say, `NAME~BASE+num_ctx=8192+adapter=lora`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// The engine's name for it.
    pub name: String,
    /// Bytes of its weights.
    pub bytes: u64,
    /// Whether it embeds instead of generating.
    pub embedding: bool,
    /// The longest context it was trained for, in tokens.
    pub max_context: u64,
    /// LM Studio: quantizations that are downloaded, the selected one first (`q4_k_m`).
    pub variants: Vec<String>,
    /// Ollama: the model whose weights it has.
    pub base: Option<String>,
    /// Ollama: what its Modelfile says beside `FROM`; `None` is a plain copy.
    pub modelfile: Option<BTreeMap<String, String>>,
}

/// A model description that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadModel(String);

// === impl ModelSpec ===

impl ModelSpec {
    /// A model of 4 GB (200 MB if its name says that it embeds).
    pub fn named(name: &str) -> Self {
        let embedding = name.contains("embed") || name.contains("nomic");
        Self {
            name: name.to_owned(),
            bytes: if embedding {
                200_000_000
            } else {
                4_000_000_000
            },
            embedding,
            max_context: if embedding { 2048 } else { 131_072 },
            variants: Vec::new(),
            base: None,
            modelfile: None,
        }
    }

    /// `key@variant` of each.
    pub(crate) fn variant_keys(&self) -> Vec<String> {
        let keys = self.variants.iter();
        keys.map(|variant| format!("{}@{variant}", self.name))
            .collect()
    }

    /// The name of the model whose weights it has.
    pub(crate) fn weights(&self) -> &str {
        self.base.as_deref().unwrap_or(&self.name)
    }

    /// Takes the weights of its base.
    pub(crate) fn settle(&mut self, others: &[Self]) {
        let named = |name: &str| others.iter().find(|model| model.name == name);
        let Some(mut base) = self.base.as_deref().and_then(named) else {
            return;
        };
        let mut inherited = self.modelfile.clone().unwrap_or_default();
        for _ in others {
            for (key, value) in base.modelfile.iter().flatten() {
                inherited.entry(key.clone()).or_insert(value.clone());
            }
            match base.base.as_deref().and_then(named) {
                Some(next) => base = next,
                None => break,
            }
        }
        self.modelfile = (self.modelfile.is_some() || !inherited.is_empty()).then_some(inherited);
        self.base = Some(base.name.clone());
        self.bytes = base.bytes;
        self.embedding = base.embedding;
        self.max_context = base.max_context;
    }

    fn says(&self, marks: &[&str]) -> bool {
        let names = [&self.name, self.weights()].map(str::to_ascii_lowercase);
        let said = |mark: &&str| names.iter().any(|name| name.contains(*mark));
        marks.iter().any(said)
    }

    /// Its template has a place for a suffix.
    pub(crate) fn inserts(&self) -> bool {
        self.says(&["coder"])
    }

    pub(crate) fn thinks(&self) -> bool {
        self.says(&["think", "gpt-oss", "r1"])
    }

    pub(crate) fn sees(&self) -> bool {
        self.says(&["vision", "llava", "-vl"])
    }

    /// Its template refuses two messages of one role in a row.
    pub(crate) fn alternates(&self) -> bool {
        self.says(&["alternate"])
    }

    pub(crate) fn takes_tools(&self) -> bool {
        !self.embedding && !self.says(&["notools"])
    }

    pub(crate) fn is_mlx(&self) -> bool {
        self.says(&["mlx"])
    }

    pub(crate) fn is_gpt_oss(&self) -> bool {
        self.says(&["gpt-oss"])
    }

    /// `sim-c500` in the name makes every answer 500 tokens long.
    pub(crate) fn fixed_length(&self) -> Option<u64> {
        let (_, rest) = self.name.split_once("sim-c")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }
}

impl FromStr for ModelSpec {
    type Err = BadModel;

    fn from_str(text: &str) -> Result<Self, BadModel> {
        let bad = || BadModel(text.to_owned());
        if let Some((name, base)) = text.split_once('~') {
            let mut parts = base.split('+');
            let base = parts.next().unwrap_or_default().trim();
            if name.trim().is_empty() || base.is_empty() {
                return Err(bad());
            }
            let lines = parts.filter(|line| !line.is_empty()).map(|line| {
                let (key, value) = line.split_once('=').ok_or_else(bad)?;
                Ok((key.to_owned(), value.to_owned()))
            });
            let lines: BTreeMap<String, String> = lines.collect::<Result<_, BadModel>>()?;
            return Ok(Self {
                base: Some(base.to_owned()),
                modelfile: text.contains('+').then_some(lines),
                ..Self::named(name.trim())
            });
        }
        let (name, rest) = match text.split_once('=') {
            Some((name, rest)) => (name, Some(rest)),
            None => match text.strip_suffix(":embedding") {
                Some(name) => (name, Some("200MB:embedding")),
                None => (text, None),
            },
        };
        if name.trim().is_empty() {
            return Err(bad());
        }
        let mut model = Self::named(name.trim());
        for part in rest.into_iter().flat_map(|rest| rest.split(':')) {
            if let Some(variants) = part.strip_prefix('@') {
                model.variants = variants.split('+').map(str::to_owned).collect();
                continue;
            }
            match part.strip_prefix("ctx") {
                Some(context) => model.max_context = context.parse().map_err(|_| bad())?,
                None if part == "embedding" => {
                    model.embedding = true;
                    model.max_context = model.max_context.min(2048);
                }
                None => model.bytes = part.parse::<ByteSize>().map_err(|_| bad())?.as_u64(),
            }
        }
        Ok(model)
    }
}

impl std::fmt::Display for BadModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` is not NAME, NAME=8GB, NAME=200MB:embedding, NAME=8GB:ctx8192 or NAME=8GB:@q4_k_m+q8_0, NAME~BASE",
            self.0
        )
    }
}

impl std::error::Error for BadModel {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn a_copy_and_what_is_derived_have_the_weights_of_their_base() {
        let options = Options::ollama(&["b:1=2GB:ctx8192", "c~b:1", "d~c+num_ctx=1+adapter=x"]);
        let mut models = options.models.clone();
        for model in &mut models {
            model.settle(&options.models);
        }
        assert!(models.iter().all(|m| m.weights() == "b:1"));
        assert!(models.iter().all(|m| m.max_context == 8192));
        assert_eq!(models[1].modelfile, None);
        let lines = models[2].modelfile.clone().unwrap();
        assert_eq!((&*lines["num_ctx"], &*lines["adapter"]), ("1", "x"));
        assert!("c~".parse::<ModelSpec>().is_err());
        assert!("c~b+x".parse::<ModelSpec>().is_err());
    }

    #[test]
    fn a_tag_stays_in_the_name_and_a_size_is_read() {
        let model: ModelSpec = "llama3.2:3b=2GB:ctx8192".parse().unwrap();
        assert_eq!(model.name, "llama3.2:3b");
        assert_eq!((model.bytes, model.max_context), (2_000_000_000, 8192));
        assert!(
            "nomic=200MB:embedding"
                .parse::<ModelSpec>()
                .unwrap()
                .embedding
        );
        let model: ModelSpec = "q=2GB:@q4_k_m+q8_0:ctx8192".parse().unwrap();
        assert_eq!(model.variant_keys(), ["q@q4_k_m", "q@q8_0"]);
        assert!("a=lots".parse::<ModelSpec>().is_err());
        assert!("=1GB".parse::<ModelSpec>().is_err());
    }
}

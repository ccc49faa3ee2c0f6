//! Patterns over the names of models: they match in any case, and `*` crosses slashes.

use std::{collections::HashMap, sync::Arc};

use globset::{GlobBuilder, GlobMatcher};

/// The compiled patterns of a configuration by their text.
#[derive(Clone, Debug, Default)]
pub struct Globs(Arc<HashMap<String, GlobMatcher>>);

/// Whether a text is a pattern and not a plain name.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Compiles a pattern; the error says what is wrong with it.
pub(crate) fn compile(text: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(text)
        .case_insensitive(true)
        .literal_separator(false)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| error.kind().to_string())
}

// === impl Globs ===

impl Globs {
    /// Compiles those of the texts that are patterns.
    pub(crate) fn of<'a>(texts: impl Iterator<Item = &'a String>) -> Self {
        let all = texts
            .filter(|text| is_glob(text))
            .filter_map(|text| Some((text.clone(), compile(text).ok()?)));
        Self(Arc::new(all.collect()))
    }

    /// Whether a glob matches a name. One that the configuration does not hold is compiled here.
    pub fn matches(&self, glob: &str, name: &str) -> bool {
        match self.0.get(glob) {
            Some(compiled) => compiled.is_match(name),
            None => compile(glob).is_ok_and(|compiled| compiled.is_match(name)),
        }
    }
}

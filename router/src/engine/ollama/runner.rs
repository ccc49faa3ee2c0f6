//! The names that share a runner, and the options that their loads have beside those of the request.
//!
//! Ollama keeps one runner for each weights file, whatever name it is asked by (0.33,
//! `server/sched.go` `schedulerModelKey`); `/api/ps` lists it by the name that came first. The file
//! stands in the `FROM` line of `/api/show`'s `modelfile`. Adapters, projectors, a draft model and
//! options of the description that differ make it start the runner anew (`needsReload`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;

use super::super::http::text;

/// Options of a description that are part of a load (0.33, `api/types.go` `Runner`).
const LOAD_OPTIONS: [&str; 7] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
];

/// The part of a model's description that decides how it is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DescribedModel {
    /// The file of the weights, without its folder.
    weights: Option<String>,
    /// Files beside the weights, and options.
    pub(super) load: Arc<BTreeMap<String, String>>,
}

/// The name that stands for each weights file. It stays as long as any name has the file, also when
/// the model of that name is deleted: what is loaded is known again by it.
#[derive(Debug, Default)]
pub(super) struct RunnerLeads(HashMap<String, Arc<str>>);

/// The name of a blob (`sha256-...`) at the end of a path.
fn blob(path: &str) -> Option<&str> {
    let name = path.rsplit(['/', '\\']).next()?.trim_matches('"').trim();
    name.starts_with("sha256-").then_some(name)
}

// === impl DescribedModel ===

impl DescribedModel {
    /// Reads the description from an answer of `/api/show`.
    pub(super) fn parse(body: &Value) -> Self {
        let modelfile = text(body, "modelfile").unwrap_or_default();
        let mut weights = None;
        let mut load = BTreeMap::new();
        // Files come first; behind them a text of several lines may look like one.
        for line in modelfile.lines().map(str::trim) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let key = match word.to_ascii_uppercase().as_str() {
                _ if line.is_empty() || line.starts_with('#') => continue,
                "FROM" if weights.is_none() => {
                    weights = Some(blob(rest).map(str::to_owned));
                    continue;
                }
                "FROM" => "projectors",
                "ADAPTER" => "adapters",
                "DRAFT" => "draft",
                _ => break,
            };
            let files: &mut String = load.entry(key.to_owned()).or_default();
            files.push_str(blob(rest).unwrap_or(rest));
            files.push(' ');
        }
        let parameters = text(body, "parameters").unwrap_or_default();
        for line in parameters.lines() {
            let Some((key, value)) = line.trim().split_once(char::is_whitespace) else {
                continue;
            };
            if LOAD_OPTIONS.contains(&key) {
                load.insert(key.to_owned(), value.trim().to_owned());
            }
        }
        Self {
            weights: weights.flatten(),
            load: Arc::new(load),
        }
    }

    /// The key by which Ollama tells runners apart: the weights file, or the whole description
    /// where there is none (MLX).
    fn key(&self, digest: &str) -> String {
        self.weights
            .clone()
            .unwrap_or_else(|| format!("digest:{digest}"))
    }
}

// === impl RunnerLeads ===

impl RunnerLeads {
    /// The name that stands for the runner of this one, from now on perhaps itself.
    pub(super) fn of(
        &mut self,
        name: &Arc<str>,
        digest: &str,
        described: &DescribedModel,
    ) -> Arc<str> {
        let lead = self.0.entry(described.key(digest));
        Arc::clone(lead.or_insert_with(|| Arc::clone(name)))
    }

    /// The name that stands for the runner of a description, where one does.
    pub(super) fn known(&self, digest: &str, described: &DescribedModel) -> Option<Arc<str>> {
        self.0.get(&described.key(digest)).cloned()
    }

    /// Forgets the files that no name has any more.
    pub(super) fn keep<'a>(
        &mut self,
        known: impl Iterator<Item = (&'a String, &'a DescribedModel)>,
    ) {
        let keys: Vec<String> = known.map(|(digest, d)| d.key(digest)).collect();
        self.0.retain(|key, _| keys.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn described(modelfile: &str, parameters: &str) -> DescribedModel {
        DescribedModel::parse(&json!({"modelfile": modelfile, "parameters": parameters}))
    }

    fn load(described: &DescribedModel) -> Vec<(&str, &str)> {
        let entries = described.load.iter();
        entries.map(|(k, v)| (k.as_str(), v.trim())).collect()
    }

    #[test]
    fn the_weights_are_the_first_file_and_the_others_go_with_them() {
        let own = described(
            "# Modelfile generated by \"ollama show\"\n# FROM m:latest\n\n\
             FROM /root/.ollama/models/blobs/sha256-aa\nADAPTER /x/sha256-bb\n\
             FROM /x/sha256-cc\nTEMPLATE \"\"\"\nFROM /x/sha256-dd\n\"\"\"\nSYSTEM hi",
            "num_ctx                        8192\nstop                           \"x\"\n\
             num_gpu                        20",
        );
        assert_eq!(own.weights.as_deref(), Some("sha256-aa"));
        assert_eq!(
            load(&own),
            [
                ("adapters", "sha256-bb"),
                ("num_ctx", "8192"),
                ("num_gpu", "20"),
                ("projectors", "sha256-cc")
            ]
        );
    }

    #[test]
    fn paths_of_windows_are_read_and_what_is_no_blob_is_no_weights_file() {
        let windows = described("FROM C:\\Users\\a b\\blobs\\sha256-aa\nTEMPLATE x", "");
        assert_eq!(windows.key("d"), "sha256-aa");
        for text in ["FROM llama3.2:3b\n", "", "TEMPLATE x\nFROM /x/sha256-aa"] {
            assert_eq!(described(text, "").key("d"), "digest:d", "{text}");
        }
    }

    #[test]
    fn the_name_that_stands_for_a_file_stays_while_any_name_has_it() {
        let shared = described("FROM /x/sha256-aa", "");
        let mut leads = RunnerLeads::default();
        assert_eq!(leads.known("d1", &shared), None);
        assert_eq!(&*leads.of(&"a".into(), "d1", &shared), "a");
        assert_eq!(&*leads.of(&"b".into(), "d2", &shared), "a");
        leads.keep([(&"d2".to_owned(), &shared)].into_iter());
        assert_eq!(&*leads.of(&"b".into(), "d2", &shared), "a");
        leads.keep(std::iter::empty());
        assert_eq!(&*leads.of(&"b".into(), "d2", &shared), "b");
    }
}

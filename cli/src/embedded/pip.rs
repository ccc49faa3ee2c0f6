//! Running Python to make a virtual environment and to install packages into it with pip, with a
//! meaning for each of pip's failures.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Output, Stdio},
};

use tokio::{fs, process::Command};

use super::{
    error::EmbeddedError,
    package::PinnedPackage,
    staging::{failed_io, temporary_in},
};

/// The number of lines of pip's output that an error repeats.
const OUTPUT_LINES: usize = 6;

/// Makes a virtual environment at `environment` with the interpreter `python`.
pub(super) async fn make_environment(
    python: &Path,
    environment: &Path,
) -> Result<(), EmbeddedError> {
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
            python: python.to_string_lossy().into_owned(),
        });
    }
    Err(EmbeddedError::Failed {
        what: format!("{} -m venv", python.display()),
        output: tail(&said),
    })
}

/// Installs one package without its dependencies, because the model's own would compile for minutes
/// and only its data is needed. pip may only install wheels, so nothing is built, and only files
/// with a pinned hash.
pub(super) async fn pip_install(
    python: &Path,
    package: &PinnedPackage,
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

/// Returns the error that pip's output means. Without a network pip also says that nothing matches,
/// so the signs of a network failure are checked before that.
fn explain_pip(said: &str, package: &PinnedPackage, root: &Path) -> EmbeddedError {
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
            path: root.to_string_lossy().into_owned(),
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

/// Runs a program to its end, without input. The process is killed if the future is dropped.
async fn run(program: &Path, args: &[&OsStr]) -> Result<Output, EmbeddedError> {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| failed_io("cannot run", program, e))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::SERVER_PACKAGE;

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
}

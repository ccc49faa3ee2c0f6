//! The installation of an embedded engine by its plan: virtual environment, packages, model file
//! and server script.
//!
//! Everything is built in a temporary folder beside its destination and then renamed, so an
//! interrupted run leaves nothing half-made and two runs at once do no harm.

use std::path::Path;

use tempfile::TempDir;
use tokio::fs;

use super::{
    engine::EmbeddedEngine,
    error::EmbeddedError,
    lookup::{environment_in, model_in, python_in},
    model_file::fetch_model,
    package::SERVER_PACKAGE,
    pip::{make_environment, pip_install},
    plan::{EmbeddedPlan, InstallStep, ModelSource, ServerProgram},
    staging::{failed_io, move_folder, temporary_in, write_whole},
};

/// The script that serves with llama-server's flags through the wheel.
const SERVE_SCRIPT: &str = include_str!("../../assets/serve.py");

/// Carries out the plan's steps and returns the command that starts the engine. `progress` is
/// called with each step before it starts. pip's own configuration (index, proxy, certificates)
/// applies.
///
/// # Errors
/// Something is missing or failed; the [`EmbeddedError`] says what the user can do.
pub async fn prepare(
    plan: &EmbeddedPlan,
    mut progress: impl FnMut(&InstallStep),
) -> Result<EmbeddedEngine, EmbeddedError> {
    let root = &plan.root;
    if plan.server == ServerProgram::Wheel || plan.fetches() {
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
            InstallStep::MakeEnvironment(system) => {
                let folder = temporary_in(root)?;
                let environment = folder.path().join("environment");
                make_environment(system, &environment).await?;
                python = python_in(&environment);
                scratch = Some(folder);
            }
            InstallStep::Fetch(package) if *package == SERVER_PACKAGE => {
                pip_install(&python, package, None, root).await?;
                if let Some(folder) = &scratch {
                    let place = environment_in(root);
                    move_folder(&folder.path().join("environment"), &place).await?;
                    python = python_in(&place);
                }
            }
            InstallStep::Fetch(package) => fetch_model(&python, package, root).await?,
        }
    }
    drop(scratch);

    let command = match &plan.server {
        ServerProgram::LlamaServer(program) => vec![text(program)],
        ServerProgram::Wheel => {
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
    Ok(EmbeddedEngine {
        command,
        model_path,
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_complete_cache_is_used_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let plan = EmbeddedPlan {
            server: ServerProgram::Wheel,
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
            server: ServerProgram::Wheel,
            model: ModelSource::Small,
            steps: vec![
                InstallStep::MakeEnvironment(python),
                InstallStep::Fetch(SERVER_PACKAGE),
                InstallStep::Fetch(crate::embedded::MODEL_PACKAGE),
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

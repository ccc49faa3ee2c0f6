//! Files, programs and variables that a configuration needs and this machine does not have.

use std::{env, ffi::OsString, fs::File, path::Path};

use crate::{
    checked::{EngineConfig, Manage},
    keys::{engine, root},
    layers::LoadedConfig,
    problem::{Problem, Problems, Severity},
    program,
    show::ValueOrigins,
};

/// A file, program or variable that an engine needs and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingResource {
    /// The key of the engine's block that names it.
    pub key: &'static str,
    /// The words for what was found.
    pub found: String,
    /// The words for what would be right.
    pub expected: &'static str,
    /// One sentence that says what to do.
    pub hint: String,
}

// === impl MissingResource ===

impl MissingResource {
    /// Whether it is the variable with the engine's token.
    pub fn is_token(&self) -> bool {
        self.key == engine::API_KEY_ENV.name()
    }
}

/// Everything that a configuration needs and that is missing, as this process sees it.
pub fn missing(loaded: &LoadedConfig) -> Problems {
    let variables = |name: &str| env::var_os(name);
    let mut all = missing_for(&loaded.config.engines, &loaded.origins, &variables);
    all.0.extend(no_folder(loaded));
    all
}

/// A `state_dir` that cannot become a folder, because a file stands there or on the way to it.
fn no_folder(loaded: &LoadedConfig) -> Option<Problem> {
    let mut places = loaded.config.state_dir.ancestors();
    let file = places.find(|place| place.exists())?;
    if file.is_dir() {
        return None;
    }
    let path = root::STATE_DIR.path();
    let origin = loaded.origins.get(&path);
    Some(Problem {
        severity: Severity::NoEffect,
        path: path.to_string(),
        source: origin.map(|o| o.source.clone()).unwrap_or_default(),
        found: format!("{}, which is no folder", file.display()),
        expected: "a folder, or a place where one can be made".to_owned(),
        hint: "nothing is remembered until then".to_owned(),
    })
}

/// Everything that one engine needs and that is missing, as this process sees it.
pub fn missing_of(engine: &EngineConfig) -> Vec<MissingResource> {
    of(engine, &|name| env::var_os(name))
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn missing_for(
    engines: &[EngineConfig],
    origins: &ValueOrigins,
    variables: Variables<'_>,
) -> Problems {
    let mut all = Vec::new();
    for (i, engine) in engines.iter().enumerate() {
        for missing in of(engine, variables) {
            let path = format!("{}[{i}].{}", engine::TABLE, missing.key);
            let origin = origins.get(&path);
            // A token that is only looked for by default need not be there.
            if missing.is_token() && origin.is_none() {
                continue;
            }
            let named = || origins.get(&engine::NAME.item(i));
            let source = origin.or_else(named).map(|origin| origin.source.clone());
            all.push(Problem {
                severity: Severity::NoEffect,
                source: source.unwrap_or_default(),
                path,
                found: missing.found,
                expected: missing.expected.to_owned(),
                hint: missing.hint,
            });
        }
    }
    Problems(all)
}

fn of(engine: &EngineConfig, variables: Variables<'_>) -> Vec<MissingResource> {
    let mut all = Vec::new();
    if let Some(name) = &engine.api_key_env
        && variables(name).is_none_or(|value| value.is_empty())
    {
        all.push(MissingResource {
            key: engine::API_KEY_ENV.name(),
            found: format!("{name:?}, a variable that is not set"),
            expected: "a variable with the engine's token",
            hint: format!("set {name} where Crucible starts, or remove the line"),
        });
    }
    if engine.manage != Manage::Spawn {
        return all;
    }
    if let Some(model) = &engine.model_path
        && let Some(found) = unreadable(model)
    {
        let hint = "correct the path, or put the file there; a relative path begins in the folder \
                    of the configuration file";
        all.push(MissingResource {
            key: engine::MODEL_PATH.name(),
            found,
            expected: "a model file that can be read",
            hint: hint.to_owned(),
        });
    }
    if let Some(program) = engine.command.first()
        && let Some((found, hint)) = no_program(program, variables("PATH"))
    {
        all.push(MissingResource {
            key: engine::COMMAND.name(),
            found,
            expected: "a program that can be started",
            hint,
        });
    }
    all
}

/// Returns the words that say why a file cannot be read; `None` where it can.
fn unreadable(file: &Path) -> Option<String> {
    if file.is_dir() {
        return Some(format!("the folder {}", file.display()));
    }
    let error = File::open(file).err()?;
    Some(format!("{}: {error}", file.display()))
}

/// Returns why a program cannot be started, and what to do; `None` where it can.
fn no_program(name: &str, path: Option<OsString>) -> Option<(String, String)> {
    let file = Path::new(name);
    if file.components().count() > 1 {
        return (!program::is_executable(file)).then(|| {
            let found = format!("{name:?}, which is not there or may not be executed");
            (found, "correct the path".to_owned())
        });
    }
    let path = path.unwrap_or_default();
    let is_there = program::in_folders(&path, name).next().is_some();
    (!is_there).then(|| {
        let found = format!("{name:?}, which no folder of PATH holds");
        (found, "install it, or write its whole path".to_owned())
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;
    use crate::layers::{ConfigFlags, load_text};

    /// Returns what is missing in a folder for an engine with this model file, command and variable.
    fn missing_in(
        folder: &Path,
        model: &str,
        command: &str,
        key: &str,
    ) -> Result<Problems, Problems> {
        let text = format!(
            "[[engine]]\nname = \"a\"\nkind = \"llamacpp\"\nmodel_path = {model:?}\n\
             command = [{command:?}]\napi_key_env = {key:?}\n"
        );
        let file = folder.join("crucible.toml");
        let loaded = load_text(Some((&file, Ok(text))), &[], &ConfigFlags::default())?;
        let variables = |name: &str| match name {
            "SET" => Some("token".into()),
            "EMPTY" => Some(OsString::new()),
            "PATH" => Some(folder.as_os_str().to_owned()),
            _ => None,
        };
        Ok(missing_for(
            &loaded.config.engines,
            &loaded.origins,
            &variables,
        ))
    }

    #[test]
    fn each_thing_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("model.gguf"), "").unwrap();
        fs::write(at("plain"), "").unwrap();
        let plain = at("plain").display().to_string();
        let program = env::current_exe().unwrap().display().to_string();
        let model = |model| (model, program.as_str(), "SET");
        let command = |command| ("model.gguf", command, "SET");
        let key = |key| ("model.gguf", program.as_str(), key);
        for ((model, command, key), expected) in [
            (model("model.gguf"), &[][..]),
            (
                model("absent.gguf"),
                &["engine[0].model_path", "absent.gguf", "toml:4"],
            ),
            (model("."), &["engine[0].model_path", "the folder"]),
            (
                command("no-such-program"),
                &["engine[0].command", "of PATH", "toml:5"],
            ),
            (command("/no/such"), &["engine[0].command", "\"/no/such\""]),
            (command(&plain), &["may not be executed"]),
            (
                key("UNSET"),
                &["engine[0].api_key_env", "\"UNSET\"", "toml:6"],
            ),
            (key("EMPTY"), &["engine[0].api_key_env", "not set"]),
        ] {
            let told = missing_in(folder.path(), model, command, key);
            let told = told.unwrap_or_else(|p| panic!("{p}"));
            assert_eq!(told.0.len(), usize::from(!expected.is_empty()), "{told}");
            for part in expected {
                assert!(told.to_string().contains(part), "{part}: {told}");
            }
            assert!(!told.to_string().contains("token,"), "{told}");
        }
    }

    #[test]
    fn an_engine_that_is_not_started_here_needs_no_program() {
        let text = "[[engine]]\nname = \"a\"\nkind = \"llamacpp\"\ncommand = [\"no-such\"]\n";
        let file = Path::new("crucible.toml");
        let loaded = load_text(
            Some((file, Ok(text.to_owned()))),
            &[],
            &ConfigFlags::default(),
        );
        let loaded = loaded.unwrap_or_else(|p| panic!("{p}"));
        let told = missing_for(&loaded.config.engines, &loaded.origins, &|_| None);
        assert!(told.0.is_empty(), "{told}");
    }
}

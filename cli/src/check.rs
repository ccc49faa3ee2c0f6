//! The command `crucible check`, which reports everything that is wrong with the configuration.
//!
//! It checks the file, the environment and the flags first, then the files and addresses of this
//! machine, then whether the engines that answer have the named models and accept Crucible's key.

use crucible_config::{LiveConfig, LoadedConfig, Problem, Problems, Severity, layers, presence};
use crucible_router::{
    plan::{self, Absent},
    transport::tls_trouble,
    view::View,
};

use crate::{
    CommandFailure, CommonArgs,
    engine_look::look,
    output::{write_stderr, write_stdout},
    runtime::runtime,
    sources,
};

/// Runs `crucible check`: reads the configuration strictly and prints its problems, or that there are none.
///
/// # Errors
/// Exit code 2 with all problems.
pub fn run(common: &CommonArgs) -> Result<(), CommandFailure> {
    let sources = sources::sources(common);
    let loaded = layers::load(&sources).map_err(|problems| refused(&problems.strict()))?;
    let mut problems = loaded.warnings.clone();
    problems.0.extend(presence::missing(&loaded).0);
    let mut problems = problems.strict();
    let mut unseen = Vec::new();
    let asks = !loaded.config.references().is_empty() || !loaded.config.engines.is_empty();
    if asks {
        let live = LiveConfig::from_config(loaded.config.clone());
        let view = runtime()?.block_on(look(&live, async |router| router.view()))?;
        let (wrong, open) = certain_and_open(&loaded, plan::absent(&view, &live.current()));
        problems.0.extend(wrong);
        problems.0.extend(access_problems(&loaded, &view));
        problems.0.extend(tls_problems(&loaded, &view));
        unseen = open;
    }
    if problems.has_errors() {
        return Err(refused(&problems));
    }
    if !problems.0.is_empty() {
        write_stderr(&problems.to_string());
    }
    if !unseen.is_empty() {
        let names = unseen.join(", ");
        write_stderr(&format!(
            "not looked up, because not every engine answers: {names}"
        ));
    }
    let place = sources.file.as_ref().map_or_else(
        || "no configuration file; the built-in profile".to_owned(),
        |file| file.display().to_string(),
    );
    let engines = match loaded.config.engines.len() {
        1 => "1 engine".to_owned(),
        count => format!("{count} engines"),
    };
    let spans = loaded.config.traces_url();
    let spans = spans.map_or_else(String::new, |url| format!(", spans go to {url}"));
    write_stdout(&format!(
        "{place}: fine ({engines} configured, profile {}{spans})",
        loaded.config.profile.as_str(),
    ));
    Ok(())
}

/// Returns the failure with exit code 2 that lists all problems and their number.
fn refused(problems: &Problems) -> CommandFailure {
    let count = problems.0.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    CommandFailure::usage(format!("{problems}\n{count} {noun}"))
}

/// Returns the problems that are certain, and those that only an engine that does not answer could
/// decide. A rule's target must be known in any case, because a model that no engine and no other
/// setting names is probably a typing error.
fn certain_and_open(loaded: &LoadedConfig, absent: Vec<Absent>) -> (Vec<Problem>, Vec<String>) {
    let (mut wrong, mut open) = (Vec::new(), Vec::new());
    for one in absent {
        let path = &one.reference.path;
        let is_rule = path.starts_with("rule[");
        let declared = loaded.config.declares(&one.reference.name);
        if one.certain || (is_rule && !declared) {
            wrong.push(problem(loaded, &one));
        } else {
            open.push(format!("{path} = {:?}", one.reference.name));
        }
    }
    (wrong, open)
}

/// Returns a problem for each engine that refuses Crucible's key.
fn access_problems(loaded: &LoadedConfig, view: &View) -> Vec<Problem> {
    let refusing = view.engines.iter().filter(|engine| engine.refused_access);
    let problems = refusing.map(|engine| {
        let (path, source) = key_origin(loaded, &engine.name, "api_key_env");
        Problem {
            severity: Severity::Error,
            path,
            source,
            found: format!("'{}' does not let Crucible in", engine.name),
            expected: "the token of this engine".to_owned(),
            hint: engine.error.clone().unwrap_or_default(),
        }
    });
    problems.collect()
}

/// Returns a problem for each engine whose certificate is not accepted, or that does not speak TLS
/// although its URL says so.
fn tls_problems(loaded: &LoadedConfig, view: &View) -> Vec<Problem> {
    let problems = view.engines.iter().filter_map(|engine| {
        let (what, fix) = tls_trouble(engine.error.as_deref()?)?;
        let (path, source) = key_origin(loaded, &engine.name, "url");
        Some(Problem {
            severity: Severity::Error,
            path,
            source,
            found: format!("'{}' cannot be trusted: {what}", engine.name),
            expected: "an engine with a certificate that is accepted here".to_owned(),
            hint: fix.to_owned(),
        })
    });
    problems.collect()
}

/// Returns the path of an engine's key and the source that set it; for a key that is not written
/// down it is the source of the engine's name.
fn key_origin(loaded: &LoadedConfig, engine: &str, key: &str) -> (String, String) {
    let mut engines = loaded.config.engines.iter();
    let Some(at) = engines.position(|configured| &*configured.name == engine) else {
        return Default::default();
    };
    let path = format!("engine[{at}].{key}");
    let origins = &loaded.origins;
    let origin = origins.get(&path);
    let origin = origin.or_else(|| origins.get(&format!("engine[{at}].name")));
    let source = origin.map(|origin| origin.source.clone());
    (path, source.unwrap_or_default())
}

fn problem(loaded: &LoadedConfig, absent: &Absent) -> Problem {
    let reference = &absent.reference;
    let expected = match (reference.path.as_str(), reference.takes_engines) {
        (path, _) if path.starts_with("rule[") => "a virtual model, a model or an engine",
        (_, true) => "a model or an engine",
        _ => "a model that an engine has",
    };
    let hint = match (absent.nearest.as_slice(), absent.certain) {
        ([], true) => "`crucible models` lists what there is".to_owned(),
        ([], false) => {
            "not every engine answers; name a model of those as engine/model, or give it \
                        a [[model]] block"
                .to_owned()
        }
        (nearest, _) => format!("did you mean {}?", nearest.join(" or ")),
    };
    let origin = loaded.origins.get(&reference.path);
    Problem {
        severity: Severity::Error,
        path: reference.path.clone(),
        source: origin
            .map(|origin| origin.source.clone())
            .unwrap_or_default(),
        found: format!("{:?}, which nothing here is called", reference.name),
        expected: expected.to_owned(),
        hint,
    }
}

//! A configuration is joined from four layers, of which each wins over those before it: the
//! built-in profile, the file, the environment and the flags.
//!
//! [`load`] reads nothing but its argument: the [`ConfigSources`] hold the place of the file, the
//! variables and the flags, so that the same input always gives the same configuration.

use std::path::{Path, PathBuf};

use crate::{
    check,
    checked::{Config, ProfileName},
    environment,
    file::{self, UnreadFile},
    home,
    keys::{self, KeyShape, engine, root},
    kind::{self, SettingKind, Value},
    overrides,
    problem::Problems,
    settings::{self, ConfigLayer, ProblemReport, Settings, ValueOrigin},
    show::{EffectiveValue, ValueOrigins, shown},
};

/// The settings of the command line, as texts that are not read yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFlags {
    /// The values of `--listen ADDR`; together they replace the list of the layers below.
    pub listen: Vec<String>,
    /// The values of `--engine NAME=KIND@URL`, which adds an engine or changes one of that name.
    pub engines: Vec<String>,
    /// The values of `--set KEY=VALUE`, which stand above everything else.
    pub set: Vec<String>,
}

/// Everything from which a configuration is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSources {
    /// The path of the file; `None` where there is none.
    pub file: Option<PathBuf>,
    /// The places in which a file is searched, best first; empty where a person named one.
    pub places: Vec<PathBuf>,
    /// The environment variables; only those that begin with `CRUCIBLE_` count.
    pub environment: Vec<(String, String)>,
    /// The settings of the command line.
    pub flags: ConfigFlags,
}

/// A usable configuration, with the origin of its values and the warnings.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The checked configuration.
    pub config: Config,
    /// The layer and the place from which each value came.
    pub origins: ValueOrigins,
    /// Every effective value with its origin, in the order of the tables, for `config show`.
    pub shown: Vec<EffectiveValue>,
    /// The problems of a usable configuration: values without effect, or probably not meant so.
    pub warnings: Problems,
}

/// Reads the file, joins the layers and checks the result.
///
/// # Errors
/// Every problem that was found, in file order, with the warnings among them.
pub fn load(sources: &ConfigSources) -> Result<LoadedConfig, Problems> {
    let text = sources.file.as_deref().map(|path| (path, file::read(path)));
    load_text(text, &sources.environment, &sources.flags)
}

/// Loads a configuration as [`load`] does, from a file whose name and text the caller gives, or the
/// reason why it was not read.
pub(crate) fn load_text(
    file: Option<(&Path, Result<String, UnreadFile>)>,
    variables: &[(String, String)],
    flags: &ConfigFlags,
) -> Result<LoadedConfig, Problems> {
    let mut report = ProblemReport::default();
    let mut folder = None;
    let mut settings = match file {
        None => Settings::default(),
        Some((path, Err(unread))) => {
            let name = path.display().to_string();
            report.error("", &name, &unread.found, unread.expected, unread.hint);
            Settings::default()
        }
        Some((path, Ok(text))) => {
            folder = path.parent().map(Path::to_path_buf);
            settings::read_file(path, &text, &mut report)
        }
    };
    environment::read(variables, &mut settings, &mut report);
    read_flags(flags, &mut settings, &mut report);
    overrides::apply(&flags.set, "--set", &mut settings, &mut report);
    let profile = fill_profile(&mut settings, &mut report);
    let config = check::check(&mut settings, profile, folder.as_deref(), &mut report);
    let problems = report.finish();
    if problems.has_errors() {
        return Err(problems);
    }
    let origins = ValueOrigins::new(&settings);
    let shown = shown(&settings);
    Ok(LoadedConfig {
        config,
        origins,
        shown,
        warnings: problems,
    })
}

fn read_flags(flags: &ConfigFlags, settings: &mut Settings, report: &mut ProblemReport) {
    let origin = |flag: &str| ValueOrigin {
        layer: ConfigLayer::Flag,
        source: flag.to_owned(),
    };
    let mut listen = Vec::new();
    for text in &flags.listen {
        match SettingKind::Addresses.read_text(text) {
            Ok(Value::Addresses(mut all)) => listen.append(&mut all),
            Ok(_) => {}
            Err(wrong) => {
                let expected = SettingKind::Address.expected();
                let path = root::LISTEN.path();
                report.error(&path, "--listen", &wrong.found, &expected, &wrong.hint);
            }
        }
    }
    if !listen.is_empty() {
        settings.set(
            &root::LISTEN.path(),
            Value::Addresses(listen),
            origin("--listen"),
        );
    }
    for text in &flags.engines {
        let parts = text.split_once('=').and_then(|(name, rest)| {
            rest.split_once('@')
                .map(|(kind, url)| (name.trim(), kind.trim(), url.trim()))
        });
        let Some((name, engine_kind, url)) = parts else {
            // Shown without the address: it may hold a password.
            let found = kind::quoted(text.split('@').next().unwrap_or_default());
            let example = "for example --engine ollama=ollama@http://127.0.0.1:11434";
            report.error(engine::TABLE, "--engine", &found, "NAME=KIND@URL", example);
            continue;
        };
        let same = |i: &usize| settings.find(&engine::NAME.item(*i)).as_deref() == Some(name);
        let count = settings.count(engine::TABLE);
        let at = (0..count).find(same).unwrap_or(count);
        let table = format!("{}[{at}]", engine::TABLE);
        settings
            .tables
            .entry(table)
            .or_insert_with(|| origin("--engine"));
        for (key, text) in [
            (engine::NAME, name),
            (engine::KIND, engine_kind),
            (engine::URL, url),
        ] {
            let value = Value::Text(text.to_owned());
            settings.set(&key.item(at), value, origin("--engine"));
        }
    }
}

/// Gives every key outside of lists that no layer has set its value in the chosen profile, and
/// returns that profile.
fn fill_profile(settings: &mut Settings, report: &mut ProblemReport) -> ProfileName {
    let profile = settings.get(&root::PROFILE.path(), report);
    let own = format!("profile {}", profile.as_str());
    let taken = format!("{own}, as in hybrid");
    for (path, key) in keys::fixed() {
        let KeyShape::Value(kind) = key.shape else {
            continue;
        };
        let text = key.literal(profile);
        let same = profile != ProfileName::Hybrid && text == key.literal(ProfileName::Hybrid);
        let source = if same { &taken } else { &own };
        if let Some(Ok(value)) = text.map(|text| kind.read_text(text)) {
            settings.fill(&path, value, source);
        }
    }
    profile
}

// === impl ConfigSources ===

impl ConfigSources {
    /// Collects the sources of this process: its environment, these flags, and the file that is
    /// named or found. A named file need not exist here; [`load`] reports it.
    pub fn from_process(file: Option<PathBuf>, flags: ConfigFlags) -> Self {
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                name.starts_with("CRUCIBLE_")
                    .then(|| (name, value.to_string_lossy().into_owned()))
            })
            .collect();
        let user = directories::ProjectDirs::from("", "", "crucible")
            .map(|dirs| dirs.config_dir().join("crucible.toml"));
        let places: Vec<PathBuf> = [Some(PathBuf::from("crucible.toml")), user]
            .into_iter()
            .flatten()
            .collect();
        let named = locate(file, &environment, &[]);
        let places = if named.is_some() { Vec::new() } else { places };
        let file = named.or_else(|| locate(None, &[], &places));
        Self {
            file,
            places,
            environment,
            flags,
        }
    }
}

impl ConfigSources {
    /// Searches the places for a configuration file again, unless the present one still exists.
    /// Where none is found the path stays as it is, so that [`load`] reports a file that has
    /// vanished.
    pub(crate) fn find_file_again(&mut self) {
        if self.file.as_deref().is_some_and(Path::is_file) {
            return;
        }
        if let Some(found) = locate(None, &[], &self.places) {
            self.file = Some(found);
        }
    }
}

/// Returns the path of the configuration file: `explicit`, else that of `$CRUCIBLE_CONFIG`, else
/// the first of the places at which a file exists. Only in the last case is it sure to exist.
pub fn locate(
    explicit: Option<PathBuf>,
    environment: &[(String, String)],
    places: &[PathBuf],
) -> Option<PathBuf> {
    let named = || {
        environment
            .iter()
            .find(|(name, value)| name == "CRUCIBLE_CONFIG" && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value))
    };
    explicit
        .or_else(named)
        .map(|path| home::expand(&path))
        .or_else(|| places.iter().find(|path| path.is_file()).cloned())
}

//! The settings of Crucible: from a file, variables and flags to a configuration that cannot be wrong.
//!
//! Four layers are put on one another, and the highest that sets a value wins: the built-in profile,
//! the file `crucible.toml`, the environment, the command line. The result is either a [`Config`], in
//! which every value is present, typed and consistent with the others, or the list of every
//! [`Problem`] that was found, each with its place and with what to do.
//!
//! ```
//! use crucible_config::{ConfigSources, load};
//!
//! let folder = std::env::temp_dir().join(format!("crucible-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let file = folder.join("crucible.toml");
//!
//! std::fs::write(&file, "[tuning.lmstudio]\nmodel_ttl = \"10m\"\n")?;
//! let sources = ConfigSources { file: Some(file.clone()), ..ConfigSources::default() };
//! let loaded = load(&sources).expect("nothing is wrong with this file");
//! assert_eq!(loaded.config.tuning.lmstudio.model_ttl.as_secs(), 600);
//! assert_eq!(loaded.config.timeouts.load.as_secs(), 300, "the built-in value");
//!
//! std::fs::write(&file, "[timeouts]\nidel = \"3s\"\n")?;
//! let problems = load(&sources).expect_err("a misspelled key is an error");
//! assert!(problems.to_string().contains("did you mean \"timeouts.idle\"?"));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | to find | open |
//! |---|---|
//! | the 39 settings of the profile, one entry each | [`tuning::table`] |
//! | every other key of the file, one entry each | [`keys`] |
//! | the types that the rest of Crucible reads | [`checked`] |
//! | how the layers are read and joined | [`layers`] |
//! | the configuration in force and its reload | [`live`], [`watch`](mod@watch) |
//! | what differs between kinds of engines | [`engine_profile`] |
//!
//! This crate knows nothing of HTTP, and it talks to no engine.

mod ca_file;
mod check;
pub mod checked;
pub mod engine_profile;
mod environment;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod glob;
pub mod home;
pub mod keys;
pub mod kind;
pub mod layers;
pub mod live;
mod lookup;
pub mod management;
pub mod name;
mod overrides;
pub mod own_address;
pub mod presence;
pub mod problem;
pub mod program;
pub mod reference;
pub mod references;
pub mod schema;
pub mod settings;
pub mod show;
pub mod tuning;
mod tuning_report;
mod warm;
pub mod watch;

pub use ca_file::CaFile;
pub use checked::Config;
pub use kind::{misspelled, nearest};
pub use layers::{ConfigFlags, ConfigSources, LoadedConfig, load};
pub use live::{LiveConfig, Reloaded};
pub use problem::{Problem, Problems, Severity};
pub use settings::{ConfigLayer, ValueOrigin};
pub use watch::{FileWatch, WatchEvent, watch};

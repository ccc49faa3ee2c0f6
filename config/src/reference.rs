//! The reference pages in Markdown, which are written from the tables of keys and settings.

use std::fmt::Write;

use crate::{
    checked::ProfileName,
    keys::{self, KeyShape, ROOT, SettingKey},
    tuning::{TUNINGS, TuningGroup},
};

const NOTE: &str = "<!-- Written from the tables in config/src by its tests; do not edit. -->\n\n";

/// The text of `docs/tunings.md`, which explains the 39 settings.
pub fn tunings() -> String {
    let mut page = format!(
        "# The 39 settings\n\n{NOTE}\
         20 settings of LM Studio, 11 of Ollama, 8 environment variables of the Ollama process. \
         `crucible tunings` tells for each whether it is in effect. Every value may be set in \
         `crucible.toml` under `[tuning.lmstudio]`, `[tuning.ollama]` and \
         `[tuning.environment]`, or by its environment variable. A dash under `agent` means \
         that this profile sets nothing.\n",
    );
    for group in TuningGroup::ALL {
        let (title, key) = match group {
            TuningGroup::Lmstudio => ("LM Studio", "lmstudio"),
            TuningGroup::Ollama => ("Ollama", "ollama"),
            TuningGroup::Environment => ("Environment of the Ollama process", "environment"),
        };
        let _ = write!(
            page,
            "\n## {title}\n\n| # | `[tuning.{key}]` | hybrid | agent | mechanism | meaning |\n\
             |---|---|---|---|---|---|\n"
        );
        for row in TUNINGS.iter().filter(|row| row.group == group) {
            let agent = row.literal(ProfileName::Agent).map_or("-".into(), code);
            let _ = writeln!(
                page,
                "| {} | `{}` | {} | {agent} | {} | {} |",
                row.id.number(),
                row.id.key(),
                code(row.hybrid),
                row.mechanism.as_str().replace('_', " "),
                row.short,
            );
        }
        for row in TUNINGS.iter().filter(|row| row.group == group) {
            let _ = write!(
                page,
                "\n### {}. {}\n\n{}\n\n- Takes {}.\n- Environment variable: `{}`\n- Verified by: \
                 {}\n- Established on: {}\n",
                row.id.number(),
                row.id.key(),
                row.meaning.trim(),
                row.kind.expected(),
                keys::variable(row.id.path()),
                row.verified,
                row.engines,
            );
            if let Some(knob) = row.superseded_by {
                let _ = writeln!(page, "- There is no such knob; superseded by {knob}.");
            }
        }
    }
    page
}

/// The text of `examples/config/hybrid.toml`, which is the profile as a file to copy from.
pub fn hybrid_profile_toml() -> String {
    let mut text = String::from(
        "# The 39 settings of the profile `hybrid` with their values: the same as no file at all.\n\
         # Written from the table in config/src by its tests. Copy what you want to change.\n\
         profile = \"hybrid\"\n",
    );
    for group in TuningGroup::ALL {
        let _ = write!(text, "\n[tuning.{}]\n", group.as_str());
        for row in TUNINGS.iter().filter(|row| row.group == group) {
            let _ = writeln!(text, "# {}. {}", row.id.number(), row.short);
            if let Some(knob) = row.superseded_by {
                let _ = writeln!(text, "# There is no such knob; superseded by {knob}.");
            }
            // Environment variables are text, whatever they hold.
            let plain = group != TuningGroup::Environment
                && (row.hybrid.parse::<f64>().is_ok() || row.hybrid.parse::<bool>().is_ok());
            let quote = if plain { "" } else { "\"" };
            let _ = writeln!(text, "{} = {quote}{}{quote}", row.id.key(), row.hybrid);
        }
    }
    text
}

/// The text of `docs/configuration.md`, which explains every key of the file.
pub fn configuration() -> String {
    let mut page = format!(
        "# Configuration\n\n{NOTE}\
         Searched: `--config`, `$CRUCIBLE_CONFIG`, `./crucible.toml`, `crucible.toml` in the \
         user's configuration folder. Layers: built-in profile < file < environment < flags; \
         `crucible config show --origin` tells where each value comes from, `crucible check` \
         tells everything that is wrong. Durations are `\"30s\"`, `\"5m\"` or an integer of \
         seconds; sizes are `\"16GB\"`, `\"512MiB\"` or an integer of bytes.\n\n\
         Where two keys say the same, the higher layer wins; within one layer `[[model]]` > \
         `[[engine]]` > `[pool]`, `[timeouts]`, `[context]` > `[tuning.ollama]`, \
         `[tuning.lmstudio]` > `[tuning.environment]`.\n\n\
         Keys outside lists and tables with free names are also environment variables: \
         `CRUCIBLE_` and the path in capitals, joined by two underscores. `--listen` and \
         `--engine` are flags of every command. `CRUCIBLE_KEY` is the client key of the commands \
         that ask a running instance. Other variables that begin with `CRUCIBLE_` are told and not \
         used; those by which Kubernetes describes a Service are passed over.\n\n\
         `crucible check` ends with exit code 2 for everything that cannot be, and for what does \
         nothing: unknown variables, a file or program that is not there, a variable of \
         `api_key_env` that is not set, and names that nothing has (it asks the engines that \
         answer). `serve` warns of what is not there and of such variables, the other commands \
         of the variables, and all go on. In every path `~` is the home folder. The file is TOML in UTF-8; a pipe is \
         read once. \
         A file that changes is read again within seconds, also behind symbolic links and in \
         mounts; SIGHUP reads it at once, and searches anew where there was none. SIGTERM and Ctrl-C \
         let answers finish (`timeouts.drain`), a second one ends at once. A Crucible that was \
         started in a terminal ends with it, and its engines too; one that was started by `nohup`, \
         `setsid` or a service goes on.\n",
    );
    section(&mut page, "", "", ROOT);
    page
}

fn section(page: &mut String, prefix: &str, heading: &str, known: &[SettingKey]) {
    if !heading.is_empty() {
        let _ = write!(page, "\n## `{heading}`\n");
    }
    let values: Vec<&SettingKey> = known
        .iter()
        .filter(|key| matches!(key.shape, KeyShape::Value(_)))
        .collect();
    if !values.is_empty() {
        page.push_str("\n| key | takes | default | meaning |\n|---|---|---|---|\n");
    }
    for key in values {
        if let KeyShape::Value(kind) = key.shape {
            let default = if key.default.is_empty() {
                "-".into()
            } else {
                code(key.default)
            };
            let takes = kind.expected();
            let _ = writeln!(
                page,
                "| `{}` | {takes} | {default} | {} |",
                key.name, key.doc
            );
        }
    }
    for key in known {
        let path = keys::join(prefix, key.name);
        let heading = match key.shape {
            KeyShape::Value(_) => continue,
            KeyShape::Table(_) => format!("[{path}]"),
            KeyShape::Tables(_) => format!("[[{path}]]"),
            KeyShape::Named(_) => format!("[{path}.NAME]"),
            KeyShape::NamedValues(kind) => {
                let takes = kind.expected();
                let _ = write!(
                    page,
                    "\n## `[{path}]`\n\n{} Each value is {takes}, under a name of your choice.\n",
                    key.doc
                );
                continue;
            }
            KeyShape::OffOr(_) => format!("{path} = false | {{ ... }}"),
            KeyShape::Tuning | KeyShape::Rows(_) => {
                let _ = write!(
                    page,
                    "\n## `[tuning.lmstudio]`, `[tuning.ollama]`, `[tuning.environment]`\n\nThe \
                     39 settings: [tunings.md](tunings.md).\n"
                );
                continue;
            }
        };
        section(page, &path, &heading, &key.shape.keys());
    }
}

fn code(text: &str) -> String {
    if text.is_empty() {
        "empty".into()
    } else {
        format!("`{text}`")
    }
}

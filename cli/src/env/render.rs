//! A recipe as text, quoted by the rules of the program that reads it.

use std::fmt::Write as _;

use crucible_router::engine::ollama_recipe::OllamaRecipe;

use super::format::EnvironmentFormat;

/// Writes the recipe of an Ollama's environment as the text of a file in the given format.
pub(super) fn render(recipe: &OllamaRecipe, format: EnvironmentFormat) -> String {
    match format {
        EnvironmentFormat::Systemd => systemd(recipe),
        EnvironmentFormat::Launchd => launchd(recipe),
        EnvironmentFormat::Powershell => powershell(recipe),
        EnvironmentFormat::Dotenv => dotenv(recipe),
    }
}

/// Writes a comment on one line. Control characters become spaces, because a text of the
/// configuration may contain any character.
fn comment(out: &mut String, mark: &str, text: &str) {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{mark}{text}");
}

fn lines(recipe: &OllamaRecipe, out: &mut String, set: impl Fn(&str, &str) -> String) {
    for variable in &recipe.variables {
        if let Some(note) = &variable.note {
            comment(out, "# ", note);
        }
        let _ = writeln!(out, "{}", set(&variable.name, &variable.value));
    }
    for note in &recipe.notes {
        comment(out, "# ", note);
    }
}

fn systemd(recipe: &OllamaRecipe) -> String {
    let mut out = String::from(
        "# /etc/systemd/system/ollama.service.d/crucible.conf\n\
         # sudo systemctl daemon-reload && sudo systemctl restart ollama\n\
         [Service]\n",
    );
    lines(recipe, &mut out, |name, value| {
        format!("Environment={}", systemd_quoted(&format!("{name}={value}")))
    });
    comment(
        &mut out,
        "# ",
        "memory_limit, or 0.8 of this machine's memory where that is less",
    );
    let _ = writeln!(out, "MemoryMax={}", recipe.memory_max);
    if recipe.interleave {
        out.push_str("NUMAPolicy=interleave\nNUMAMask=all\n");
    } else {
        comment(
            &mut out,
            "# ",
            "numa_policy: nothing to set on one node, or where it is \"none\"",
        );
    }
    out
}

/// Quotes a value by systemd.syntax(7): C escapes in double quotes, where % begins a specifier.
fn systemd_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn launchd(recipe: &OllamaRecipe) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <!-- ~/Library/LaunchAgents/crucible.ollama.plist; quit the Ollama app, then\n\
         \x20    launchctl load ~/Library/LaunchAgents/crucible.ollama.plist -->\n\
         <plist version=\"1.0\">\n<dict>\n\
         \x20 <key>Label</key>\n  <string>crucible.ollama</string>\n\
         \x20 <key>ProgramArguments</key>\n  <array>\n\
         \x20   <string>/usr/local/bin/ollama</string>\n    <string>serve</string>\n  </array>\n\
         \x20 <key>RunAtLoad</key>\n  <true/>\n\
         \x20 <key>KeepAlive</key>\n  <true/>\n\
         \x20 <key>EnvironmentVariables</key>\n  <dict>\n",
    );
    let note = |out: &mut String, text: &str| {
        // Two hyphens end a comment of XML.
        let mut text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        while text.contains("--") {
            text = text.replace("--", "- -");
        }
        let _ = writeln!(out, "    <!-- {text} -->");
    };
    for variable in &recipe.variables {
        if let Some(text) = &variable.note {
            note(&mut out, text);
        }
        let _ = writeln!(
            out,
            "    <key>{}</key>\n    <string>{}</string>",
            xml(&variable.name),
            xml(&variable.value)
        );
    }
    for text in &recipe.notes {
        note(&mut out, text);
    }
    note(
        &mut out,
        "macOS: Metal has no variable that hides the GPU; num_gpu: 0 in every request does it",
    );
    out.push_str("  </dict>\n</dict>\n</plist>\n");
    out
}

fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML 1.0 has no other control characters.
            c if c.is_control() && !matches!(c, '\n' | '\t' | '\r') => {}
            c => out.push(c),
        }
    }
    out
}

fn powershell(recipe: &OllamaRecipe) -> String {
    let mut out = String::from("# Run this as the user who runs Ollama, then restart Ollama.\n");
    lines(recipe, &mut out, |name, value| {
        format!(
            "[Environment]::SetEnvironmentVariable({}, {}, 'User')",
            powershell_quoted(name),
            powershell_quoted(value)
        )
    });
    out
}

/// Quotes a value for PowerShell in single quotes. Only the quote itself is doubled, in all the
/// typographic forms that PowerShell accepts.
fn powershell_quoted(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

fn dotenv(recipe: &OllamaRecipe) -> String {
    let mut out = String::new();
    lines(recipe, &mut out, |name, value| {
        format!("{name}={}", dotenv_quoted(value))
    });
    out
}

/// Quotes a value for a dotenv file. A value that needs no quotes stays bare, because Docker takes
/// quotes literally; others are in double quotes.
fn dotenv_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@+".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' | '`' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use crucible_router::engine::ollama_recipe::EnvironmentVariable;

    use super::*;

    const FORMATS: [(EnvironmentFormat, &str, &str); 4] = [
        (
            EnvironmentFormat::Systemd,
            "systemd.conf",
            include_str!("golden/systemd.conf"),
        ),
        (
            EnvironmentFormat::Launchd,
            "launchd.plist",
            include_str!("golden/launchd.plist"),
        ),
        (
            EnvironmentFormat::Powershell,
            "powershell.ps1",
            include_str!("golden/powershell.ps1"),
        ),
        (
            EnvironmentFormat::Dotenv,
            "dotenv.env",
            include_str!("golden/dotenv.env"),
        ),
    ];

    fn variable(name: &str, value: &str, note: Option<&str>) -> EnvironmentVariable {
        EnvironmentVariable {
            name: name.to_owned(),
            value: value.to_owned(),
            note: note.map(str::to_owned),
        }
    }

    /// Returns a recipe with plain variables and one with every character that some syntax treats
    /// specially.
    fn recipe() -> OllamaRecipe {
        OllamaRecipe {
            variables: vec![
                variable("CUDA_VISIBLE_DEVICES", "-1", Some("empty is unset")),
                variable("OLLAMA_NUM_PARALLEL", "2", None),
                variable(
                    "ODD",
                    "a \"b\" 'c' \\ $d %h <e> & `f`\nline",
                    Some("a --- b\nc"),
                ),
            ],
            notes: vec!["OLLAMA_NUM_GPU does not exist".to_owned()],
            memory_max: 16_000_000_000,
            interleave: true,
        }
    }

    #[test]
    fn every_format_is_as_its_golden_file() {
        for (format, file, golden) in FORMATS {
            let text = render(&recipe(), format);
            if std::env::var_os("UPDATE_DOCS").is_some() {
                let path = format!("{}/src/env/golden/{file}", env!("CARGO_MANIFEST_DIR"));
                std::fs::write(path, &text).unwrap();
            } else {
                assert_eq!(text, golden, "{file}");
            }
        }
    }

    #[test]
    fn one_node_gets_no_policy() {
        let mut one = recipe();
        one.interleave = false;
        let text = render(&one, EnvironmentFormat::Systemd);
        assert!(
            !text.contains("NUMAPolicy") && text.contains("on one node"),
            "{text}"
        );
    }

    #[test]
    fn a_shell_reads_the_dotenv_value_as_it_was() {
        let value = "a \"b\" 'c' \\ $d %h <e> & `f`";
        let script = format!("X={}; printf %s \"$X\"", dotenv_quoted(value));
        let out = std::process::Command::new("sh")
            .args(["-c", &script])
            .output();
        // Where there is no shell there is none to disagree.
        if let Ok(out) = out {
            assert_eq!(String::from_utf8_lossy(&out.stdout), value);
        }
    }

    #[test]
    fn systemd_takes_the_drop_in_where_it_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crucible-test.service");
        let mut text = render(&recipe(), EnvironmentFormat::Systemd);
        text.push_str("ExecStart=/bin/true\n");
        std::fs::write(&path, text).unwrap();
        let out = std::process::Command::new("systemd-analyze")
            .arg("verify")
            .arg(&path)
            .output();
        // It is not everywhere.
        if let Ok(out) = out {
            let told = String::from_utf8_lossy(&out.stderr);
            assert!(!told.contains("crucible-test.service:"), "{told}");
        }
    }
}

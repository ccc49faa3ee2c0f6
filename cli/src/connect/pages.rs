//! The pages of `docs/clients`, which are made from the table of clients, and what they promise.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::{
    client_program::{ClientFormat, ClientProgram, ClientSetup},
    client_settings::{ChosenModel, ClientSettings},
    clients::{CLIENTS, find},
    show,
    user_folders::{UserFolders, UserSystem},
};

fn sample(key: Option<&str>) -> ClientSettings {
    let model = |name: &str, context| ChosenModel {
        name: name.to_owned(),
        context: Some(context),
    };
    ClientSettings {
        url: "http://127.0.0.1:8484".to_owned(),
        key: key.map(str::to_owned),
        model: model("qwen2.5-coder-7b", 65_536),
        others: Vec::new(),
    }
}

fn folders(system: UserSystem) -> UserFolders {
    let variables = match system {
        UserSystem::Windows => vec![("APPDATA", "%APPDATA%"), ("LOCALAPPDATA", "%LOCALAPPDATA%")],
        _ => Vec::new(),
    };
    let home = match system {
        UserSystem::Windows => "%USERPROFILE%",
        _ => "~",
    };
    let variables: BTreeMap<String, String> = variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    UserFolders::new(system, PathBuf::from(home), variables)
}

/// The path of a file on each system where it differs from Linux.
fn places(client: &ClientProgram, index: usize) -> String {
    let path = |system| {
        let file = (client.setup)(&sample(None), &folders(system))
            .files
            .swap_remove(index);
        let path = file.path.display().to_string();
        if system == UserSystem::Windows {
            path.replace('/', "\\")
        } else {
            path
        }
    };
    let linux = path(UserSystem::Linux);
    let mut text = format!("`{linux}`");
    let mac = path(UserSystem::MacOs);
    if mac != linux {
        let _ = write!(text, ", on macOS `{mac}`");
    }
    let _ = write!(text, ", on Windows `{}`", path(UserSystem::Windows));
    text
}

/// Names of pages become links from a page in `docs/clients`.
fn linked(text: &str) -> String {
    let mut rest = text;
    let mut linked = String::new();
    while let Some(at) = rest.find("docs/") {
        let end = rest[at..].find(".md").map(|end| at + end + 3);
        let Some(end) = end.filter(|end| !rest[at + 5..*end].contains([' ', '/'])) else {
            linked.push_str(&rest[..at + 5]);
            rest = &rest[at + 5..];
            continue;
        };
        let name = &rest[at + 5..end];
        let _ = write!(
            linked,
            "{}[{}](../{name})",
            &rest[..at],
            name.trim_end_matches(".md")
        );
        rest = &rest[end..];
    }
    linked + rest
}

fn curl(format: ClientFormat) -> &'static str {
    match format {
        ClientFormat::Chat => {
            r#"curl http://127.0.0.1:8484/v1/chat/completions \
  -d '{"model": "qwen2.5-coder-7b", "messages": [{"role": "user", "content": "Say hi"}]}'"#
        }
        ClientFormat::Responses => {
            r#"curl http://127.0.0.1:8484/v1/responses \
  -d '{"model": "qwen2.5-coder-7b", "input": "Say hi"}'"#
        }
        ClientFormat::Messages => {
            r#"curl http://127.0.0.1:8484/v1/messages -H 'anthropic-version: 2023-06-01' \
  -d '{"model": "qwen2.5-coder-7b", "max_tokens": 64,
       "messages": [{"role": "user", "content": "Say hi"}]}'"#
        }
        ClientFormat::Ollama => {
            r#"curl http://127.0.0.1:8484/api/chat \
  -d '{"model": "qwen2.5-coder-7b", "stream": false,
       "messages": [{"role": "user", "content": "Say hi"}]}'"#
        }
    }
}

fn page(client: &ClientProgram) -> String {
    let setup = (client.setup)(&sample(None), &folders(UserSystem::Linux));
    let words = client.prompt.words();
    let prompt = words.map_or_else(String::new, |tokens| {
        format!(" Its first prompt is about {tokens}.")
    });
    let limits = client
        .limits
        .iter()
        .map(|limit| format!("- {}\n", linked(limit)));
    format!(
        "# {title}\n\nIt asks over `{path}`.{prompt}\n\n```sh\n{commands}```\n{settings}\n## Good to know\n\n{limits}\n\
         The same without the client:\n\n```sh\n{curl}\n```\n\n## Where this comes from\n\n- Read in: {read_in}.\n\
         - Tried: {tried}.\n- Install: {install}\n",
        title = client.title,
        path = client.format.path(),
        commands = commands(client, &setup),
        settings = settings(client, &setup),
        limits = limits.collect::<String>(),
        curl = curl(client.format),
        read_in = client.read_in,
        tried = client.tried,
        install = install(client.install),
    )
}

fn commands(client: &ClientProgram, setup: &ClientSetup) -> String {
    let name = client.name;
    let mut commands = Vec::new();
    if client.launch.is_some() {
        commands.push((format!("launch {name}"), "starts it so; writes nothing"));
    }
    commands.push((
        format!("connect {name}"),
        "prints these settings, with your model",
    ));
    if !setup.files.is_empty() {
        let apply = "writes them and asks once; --undo takes them back";
        commands.push((format!("connect {name} --apply"), apply));
    }
    let width = commands
        .iter()
        .map(|(command, _)| command.len())
        .max()
        .unwrap_or_default();
    let lines = commands
        .iter()
        .map(|(command, does)| format!("crucible {command:width$}  # {does}\n"));
    lines.collect()
}

fn settings(client: &ClientProgram, setup: &ClientSetup) -> String {
    let mut text = String::new();
    for (index, file) in setup.files.iter().enumerate() {
        let content = file.change.applied_to("").unwrap();
        let format = file.change.format().name();
        let _ = write!(
            text,
            "\n{}:\n\n```{format}\n{content}```\n",
            places(client, index)
        );
    }
    if !setup.environment.is_empty() {
        let lines = setup
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        let _ = write!(
            text,
            "\nIts environment:\n\n```sh\n{}```\n",
            lines.collect::<String>()
        );
    }
    if !setup.steps.is_empty() {
        text.push('\n');
    }
    for (index, step) in setup.steps.iter().enumerate() {
        let _ = writeln!(text, "{}. {}", index + 1, linked(step));
    }
    text
}

/// A command in code, what stands behind it in words.
fn install(words: &str) -> String {
    if words.starts_with("http") || words.starts_with("the ") {
        return words.to_owned();
    }
    match words.split_once(", or ") {
        Some((command, or)) => format!("`{command}`, or {or}"),
        None => format!("`{words}`"),
    }
}

fn index() -> String {
    let mut page = String::from(
        "# Clients\n\nEach page has the settings of one program as `crucible connect` prints them, its limits, and what was \
         tried with it.\nThese pages are made from `cli/src/connect/clients`.\n\n\
         | program | asks over | `connect` | `launch` | tried with the real program |\n|---|---|---|---|---|\n",
    );
    for client in CLIENTS {
        let setup = (client.setup)(&sample(None), &folders(UserSystem::Linux));
        let connect = if setup.files.is_empty() {
            "says what to do"
        } else {
            "writes its file"
        };
        let launch = if client.launch.is_some() { "yes" } else { "" };
        let tried = if client.tried.starts_with("not run") {
            "no"
        } else {
            "yes"
        };
        let _ = writeln!(
            page,
            "| [{}]({}.md) | `{}` | {connect} | {launch} | {tried} |",
            client.title,
            client.name,
            client.format.path()
        );
    }
    page.push_str(
        "\nAny other program that takes an OpenAI-compatible base URL works with `http://127.0.0.1:8484/v1` and any \
         key;\none of Anthropic's with `http://127.0.0.1:8484`. Programs that cannot be pointed elsewhere are reached \
         by\n[taking over the port](../takeover.md) of their engine. Which programs are run against Crucible, and how:\n\
         [the kit](../clients.md).\n",
    );
    page
}

#[test]
fn the_pages_are_made_from_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients");
    let mut pages: Vec<(String, String)> = CLIENTS
        .iter()
        .map(|client| (format!("{}.md", client.name), page(client)))
        .collect();
    pages.push(("README.md".to_owned(), index()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &pages {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    for (name, text) in &pages {
        let stands = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(
            stands, *text,
            "docs/clients/{name}: run UPDATE_DOCS=1 cargo test -p crucible-cli connect"
        );
    }
    let files = fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, pages.len(), "docs/clients has a page of no client");
}

#[test]
fn every_client_is_found_by_each_of_its_names_alone() {
    for client in CLIENTS {
        for name in std::iter::once(&client.name).chain(client.aliases) {
            assert_eq!(find(name).unwrap().name, client.name, "{name}");
            assert_eq!(
                find(&name.to_uppercase()).unwrap().name,
                client.name,
                "{name}"
            );
        }
    }
    let refused = find("codx").err().unwrap();
    assert!(refused.contains("did you mean codex?"), "{refused}");
}

#[test]
fn each_client_has_something_to_do_and_its_address_in_it() {
    for client in CLIENTS {
        for key in [None, Some("secret-key")] {
            let settings = sample(key);
            let setup = (client.setup)(&settings, &folders(UserSystem::Linux));
            let text = show::settings(client, &setup, &folders(UserSystem::Linux));
            // One client finds the models itself.
            let finds = client.name == "open-webui";
            for part in ["127.0.0.1:8484", "qwen2.5-coder-7b"] {
                assert!(
                    text.contains(part) || finds,
                    "{}: {part}: {text}",
                    client.name
                );
            }
            let launched = client
                .launch
                .map(|launch| format!("{:?}", launch(&settings)));
            for part in [
                "127.0.0.1:8484",
                "qwen2.5-coder-7b",
                key.unwrap_or_default(),
            ] {
                let said = launched.as_ref().is_none_or(|launch| launch.contains(part));
                assert!(said || finds, "{}: {part}: {launched:?}", client.name);
            }
        }
    }
}

/// What stands in a file already, with comments, stays; what is put in twice changes nothing.
/// What a program cannot do is told as it stands, so it must not name the port of one configuration.
#[test]
fn limits_hold_at_every_address_of_crucible() {
    for client in CLIENTS {
        for limit in client.limits {
            assert!(!limit.contains("8484"), "{}: {limit}", client.name);
        }
    }
}

#[test]
fn every_file_keeps_what_is_there() {
    for client in CLIENTS {
        let setup = (client.setup)(&sample(None), &folders(UserSystem::Linux));
        for file in setup.files {
            let name = file
                .path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let theirs = match name.as_str() {
                "config.toml" => "# mine\nmodel = \"gpt\" # theirs\n\n[tui] # looks\ntheme = 'x'\n",
                "crucible.yaml" => continue,
                "extra-openai-models.yaml" => "# mine\n- model_id: other # theirs\n  api_base: x\n",
                ".aider.conf.yml" => "# mine\nmodel: gpt # theirs\ndark-mode: true\n",
                "chatLanguageModels.json" => {
                    "// mine\n[\n  { \"name\": \"Other\" }, // theirs\n]\n"
                }
                _ => {
                    "// mine\n{\n  \"other\": [1, 2], // theirs\n  /* more */\n  \"z\": { \"y\": null },\n}\n"
                }
            };
            for theirs in [
                theirs.to_owned(),
                theirs.replace('\n', "\r\n"),
                format!("\u{feff}{theirs}"),
            ] {
                let changed = file.change.applied_to(&theirs).unwrap();
                for line in theirs.lines().filter(|line| !line.starts_with("model")) {
                    assert!(
                        changed.contains(line),
                        "{}: {line:?} in {changed}",
                        client.name
                    );
                }
                assert!(
                    changed.contains("theirs") && changed != theirs,
                    "{}: {changed}",
                    client.name
                );
                assert_eq!(
                    file.change.applied_to(&changed).unwrap(),
                    changed,
                    "{}",
                    client.name
                );
                assert!(file.change.format().accepts(&changed), "{}", client.name);
                let dos = theirs.contains('\r');
                assert_eq!(
                    changed.matches("\r\n").count() == changed.lines().count(),
                    dos,
                    "{changed:?}"
                );
            }
        }
    }
}

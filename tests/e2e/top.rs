//! `crucible top` in a real terminal, against a running instance; and its one page of plain text.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    chat::{body, post, stream},
    engines::{client, engine, start},
    process::free_port,
    rest::{eventually, ready},
    tmux::Terminal,
};

use crate::live_page::slow_pair;

/// Starts `crucible top` for this instance in a terminal, and returns once it is live there.
async fn top(crucible: &Crucible, (columns, lines): (u16, u16)) -> Terminal {
    let terminal = Terminal::open(columns, lines);
    terminal.type_line(&command(crucible, ""));
    terminal.shows("live").await;
    terminal
}

/// The line that a person types, with the number of its process in a file.
fn command(crucible: &Crucible, variables: &str) -> String {
    let program = binary::crucible().display();
    format!(
        "clear; {variables} sh -c 'echo $$ > {}; exec {program} top --url {}'; echo \"ended $?\"",
        pid_file(crucible).display(),
        crucible.url()
    )
}

fn pid_file(crucible: &Crucible) -> PathBuf {
    let port = crucible.addr().rsplit(':').next().expect("a port");
    std::env::temp_dir().join(format!("crucible-top-{port}.pid"))
}

/// Where `TEST_PICTURES` names a folder, keeps a screen with a queue and an answer there, for the docs.
fn keep(screen: &str, name: &str) {
    let Some(folder) = std::env::var_os("TEST_PICTURES") else {
        return;
    };
    if screen.contains("answering") && screen.contains("waiting for room") {
        let file = Path::new(&folder).join(name).with_extension("txt");
        std::fs::write(file, screen).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_a_queue_a_prompt_a_stream_and_an_eviction_are_seen_as_they_happen() {
    let (_sim, crucible) = slow_pair().await;
    let narrow = top(&crucible, (80, 24)).await;
    let wide = top(&crucible, (200, 50)).await;
    narrow.shows("Nothing is asked at this moment.").await;
    let long = format!("{} repeat 90", "word ".repeat(600));
    let asked = async {
        let (one, again, two) = (body("one", &long), body("one", &long), body("two", &long));
        tokio::join!(
            stream(&crucible, &one),
            stream(&crucible, &again),
            stream(&crucible, &two)
        )
    };
    let on_narrow = narrow.showed(
        &[
            "loading ",
            "waiting for a free slot, #",
            "another model to make room, #",
            "prompt about ",
            "s left",
            "answering",
        ],
        |screen| keep(screen, "top-80"),
    );
    let on_wide = wide.showed(
        &[
            "loading ",
            "waiting for a free slot, #",
            "reading the prompt, about ",
            "answering",
            "1 running",
            " 127.0.0.1 ",
        ],
        |screen| keep(screen, "top-200"),
    );
    let (answers, _, _) = tokio::join!(asked, on_narrow, on_wide);
    for (_, answer) in [answers.0, answers.1, answers.2] {
        assert!(answer.done, "{answer:?}");
    }
    for terminal in [&narrow, &wide] {
        let screen = terminal.shows("3 answers, 2 loads, 1 eviction").await;
        // Which of the two models came first is not known.
        for part in ["evicted   gpu/", "loaded    gpu/", "answered  gpu/"] {
            assert!(screen.contains(part), "{part} in\n{screen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_sizes_are_followed_and_the_terminal_is_given_back() {
    let (_sim, crucible) = slow_pair().await;
    assert_eq!(post(&crucible, &body("one", "repeat 3")).await.status, 200);
    let terminal = top(&crucible, (80, 24)).await;
    assert!(terminal.is_taken());
    terminal.press("Tab");
    terminal.shows("▸─ Memory").await;
    terminal.press("j");
    terminal.shows("›  gpu/one").await;
    terminal.press("Enter");
    terminal.shows("model: one").await;
    terminal.press("Escape");
    terminal.shows_no("Details").await;
    terminal.press("?");
    terminal.shows("Keys: Esc closes").await;
    terminal.press("?");
    terminal.press("p");
    terminal.shows("PAUSED").await;
    terminal.press("p");
    terminal.shows("live").await;
    terminal.resize(40, 10);
    terminal
        .shows("q quit   ? help   Tab pane   ↑↓ select")
        .await;
    terminal.resize(200, 50);
    terminal.shows("http://127.0.0.1").await;
    terminal.press("q");
    given_back(&terminal, "ended 0").await;
}

/// The command ended, and the terminal is as it was before.
async fn given_back(terminal: &Terminal, said: &str) {
    terminal.shows(said).await;
    assert!(!terminal.is_taken());
    terminal.type_line("clear; stty -a");
    let modes = terminal.shows("icanon").await;
    for mode in ["-icanon", "-echo ", "-isig"] {
        assert!(!modes.contains(mode), "{mode} in\n{modes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_stop_continue_and_end_it() {
    let (_sim, crucible) = slow_pair().await;
    let terminal = top(&crucible, (80, 24)).await;
    for stop in ["the key", "the signal"] {
        if stop == "the key" {
            terminal.press("C-z");
        } else {
            signal(&crucible, "TSTP");
        }
        terminal.shows("Stopped").await;
        assert!(!terminal.is_taken(), "{stop}");
        terminal.type_line("clear; stty -a");
        terminal.shows(" icanon").await;
        terminal.type_line("fg");
        terminal.shows("live").await;
        assert!(terminal.is_taken(), "{stop}");
        terminal.press("?");
        terminal.shows("Keys: Esc closes").await;
        terminal.press("?");
        // A key that is still unread when the page stops belongs to the shell.
        terminal.shows_no("Keys: Esc closes").await;
    }
    for (name, key) in [
        ("TERM", None),
        ("HUP", None),
        ("INT", None),
        ("Ctrl-C", Some("C-c")),
    ] {
        match key {
            Some(key) => terminal.press(key),
            None => signal(&crucible, name),
        }
        eventually(name, || async { (!terminal.is_taken()).then_some(()) }).await;
        terminal.type_line("clear; stty -a");
        terminal.shows(" icanon").await;
        terminal.type_line(&command(&crucible, ""));
        terminal.shows("live").await;
    }
}

/// Sends a signal to the `top` of this instance.
fn signal(crucible: &Crucible, name: &str) {
    let pid = std::fs::read_to_string(pid_file(crucible)).expect("it was started");
    let sent = Command::new("kill")
        .args([&format!("-{name}"), pid.trim()])
        .status();
    assert!(sent.expect("kill runs").success(), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_gone_is_said_and_found_again() {
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let toml = format!(
        "listen = \"127.0.0.1:{}\"\n{}",
        free_port(),
        engine("gpu", "lmstudio", &sim.url())
    );
    let crucible = Crucible::start(&toml);
    ready(&crucible).await;
    let terminal = top(&crucible, (100, 30)).await;
    terminal.shows("1 engine up").await;
    let gone = format!("the instance at {} is gone; trying again", crucible.url());
    drop(crucible);
    terminal.shows(&gone).await;
    let crucible = Crucible::start(&toml);
    ready(&crucible).await;
    terminal.shows_no(&gone).await;
    terminal.shows("live").await;
}

/// Runs `crucible top` to its end, without a terminal.
fn printed(args: &[&str]) -> (i32, String, String) {
    let args = [&["top"], args].concat();
    tokio::task::block_in_place(|| Crucible::command(&args, ""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_one_page_is_printed_as_plain_text() {
    // Whoever names models so steers no terminal.
    let name = "a\u{1b}]0;owned\u{7}\u{1b}[2J模型";
    let sim = start(Options::lmstudio(&[name])).await;
    let crucible = Crucible::start(&format!(
        "{}{}",
        engine("gpu", "lmstudio", &sim.url()),
        engine("attic", "ollama", "http://127.0.0.1:9")
    ));
    ready(&crucible).await;
    assert_eq!(post(&crucible, &body(name, "repeat 3")).await.status, 200);
    for args in [
        &["--url", crucible.url()][..],
        &["--once", "--listen", crucible.addr()],
    ] {
        let (code, out, err) = printed(args);
        assert_eq!((code, &*err), (0, ""), "{out}");
        for part in [
            concat!("Crucible ", env!("CARGO_PKG_VERSION"), "  up "),
            "1 of 2 engines up",
            "1 answer, 1 load, 0 evictions",
            "a�]0;owned��[2J模型",
            "attic",
            "down",
        ] {
            assert!(out.contains(part), "{args:?}: {part} in\n{out}");
        }
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
    }
    let switch = client().post(crucible.at("/crucible/inspect"));
    let switched = switch.body("{\"minutes\": 5}").send().await;
    assert_eq!(switched.expect("an answer").status(), 200);
    let (_, out, _) = printed(&["--url", crucible.url()]);
    assert!(out.contains("inspector until "), "{out}");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let (code, out, err) = printed(&["--url", &nobody]);
    assert_eq!((code, &*out), (1, ""));
    assert!(err.contains("no Crucible answers at"), "{err}");
    let (code, _, err) = printed(&["--url", "ftp://x"]);
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = printed(&["--url", &sim.url()]);
    assert_eq!(code, 1);
    assert!(err.contains("is no Crucible"), "{err}");
    drop(sim);
    eventually("no engine is up", || async {
        let (code, _, err) = printed(&["--url", crucible.url()]);
        (code == 1 && err.contains("no engine is up")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_with_keys_is_watched_with_one() {
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let (_, made, _) = tokio::task::block_in_place(|| Crucible::command(&["key", "new"], ""));
    let block = &made[made.find("[[key]]").expect("a block")..];
    let mut words = made.split_whitespace();
    let secret = words
        .rfind(|word| word.starts_with("crk-"))
        .expect("a secret");
    let crucible = Crucible::start(&format!(
        "{}{block}\n",
        engine("gpu", "lmstudio", &sim.url())
    ));
    let (code, _, err) = printed(&["--url", crucible.url()]);
    assert_eq!(code, 1);
    assert!(err.contains("CRUCIBLE_KEY"), "{err}");
    eventually("it is ready", || async {
        let (code, out, _) = printed(&["--url", crucible.url(), "--key", secret]);
        (code == 0 && out.contains("1 engine up")).then_some(())
    })
    .await;
    let terminal = Terminal::open(80, 24);
    terminal.type_line(&command(&crucible, &format!("CRUCIBLE_KEY={secret}")));
    terminal.shows("live").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_can_be_switched_off_and_a_dumb_terminal_gets_plain_text() {
    let (_sim, crucible) = slow_pair().await;
    let coloured = top(&crucible, (80, 24)).await;
    coloured.shows("1 engine up").await;
    assert!(coloured.coloured().contains("\u{1b}[38;5;2m"));
    let plain = Terminal::open(80, 24);
    plain.type_line(&command(&crucible, "NO_COLOR=1"));
    plain.shows("1 engine up").await;
    assert!(plain.is_taken());
    let screen = plain.coloured();
    // Of colours, only the end of one.
    let colours = screen.replace("\u{1b}[39m", "").matches("\u{1b}[3").count();
    assert_eq!(colours, 0, "{screen:?}");
    let dumb = Terminal::open(80, 24);
    dumb.type_line(&command(&crucible, "TERM=dumb"));
    let screen = dumb.shows("ended 0").await;
    assert!(
        screen.contains("1 engine up") && !dumb.is_taken(),
        "{screen}"
    );
}

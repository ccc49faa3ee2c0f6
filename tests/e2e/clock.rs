//! The clock is moved by an hour under load, by libfaketime (Debian: `faketime`): the wall clock alone,
//! as when somebody sets it, or every clock, as on systems where a sleep counts in all of them.

use std::path::{Path, PathBuf};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, open, post},
    engines::{engine, start, until},
    rest::ready,
    sse::Stream,
};
use tempfile::TempDir;

/// Every budget is far shorter than an hour.
const BUDGETS: &str = "[timeouts]\nqueue = \"10s\"\ncommit = \"5s\"\nload = \"10s\"\nfirst_token = \"10s\"\n\
                       idle = \"5s\"\nresponse = \"20s\"\nclient_stall = \"5s\"\n\
                       [tuning.lmstudio]\nmodel_ttl = \"5m\"\n";

/// Crucible with clocks that a file moves.
struct Clocked {
    crucible: Crucible,
    file: PathBuf,
    _folder: TempDir,
}

// === impl Clocked ===

impl Clocked {
    async fn start(sim: &Sim, all: bool) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("clock");
        std::fs::write(&file, "+0").expect("written");
        let library = library();
        let env = [
            ("LD_PRELOAD", library.to_str().expect("UTF-8")),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("UTF-8")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", if all { "0" } else { "1" }),
        ];
        let toml = format!(
            "{BUDGETS}{}permits = 2\n",
            engine("one", "lmstudio", &sim.url())
        );
        let crucible = Crucible::start_with(&toml, &[], &env);
        ready(&crucible).await;
        Self {
            crucible,
            file,
            _folder: folder,
        }
    }

    /// Moves the clock, at once: whoever reads the file meanwhile reads a whole one.
    fn set(&self, seconds: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, seconds).expect("written");
        std::fs::rename(next, &self.file).expect("renamed");
    }
}

/// libfaketime, where Debian's package has it.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("Linux");
    let found = folders
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .chain([Path::new("/usr/lib/faketime/libfaketimeMT.so.1").to_owned()])
        .find(|path| path.exists());
    found.expect("libfaketime is missing: install the package faketime")
}

#[tokio::test]
async fn an_hour_more_or_less_costs_no_answer_and_no_model() {
    for (all, seconds) in [(false, "+3600"), (false, "-3600"), (true, "+3600")] {
        let what = format!(
            "{seconds} s, {}",
            if all { "all clocks" } else { "wall clock" }
        );
        let mut options = Options::lmstudio(&["m=1GB", "n=1GB"]);
        options.rate = 20;
        let sim = start(options).await;
        let clocked = Clocked::start(&sim, all).await;
        let crucible = &clocked.crucible;
        // One model is idle, one answers while the clock moves, and one waits to be loaded.
        let mut stream = open(crucible, &body("m", "repeat 60")).await;
        let first = stream.chunk().await.expect("an event").expect("bytes");
        let whole = body("m", "repeat 30");
        let whole = post(crucible, &whole);
        let moved = async {
            until(&sim, "both are asked", |log| log.in_flight == 2).await;
            clocked.set(seconds);
            Stream::read(stream).await
        };
        let (whole, rest) = tokio::join!(whole, moved);
        assert_eq!(whole.status, 200, "{what}: {}", whole.text);
        let text = format!("{}{}", String::from_utf8_lossy(&first), rest.text);
        assert!(rest.error().is_none() && rest.done, "{what}: {text}");
        assert!(text.contains("word59"), "{what}: {text}");
        // The first request after it works, on a kept connection or a new one, and so does another model.
        for model in ["m", "n", "m"] {
            let answer = post(crucible, &body(model, "repeat 1")).await;
            assert_eq!(answer.status, 200, "{what}, {model}: {}", answer.text);
        }
        let log = sim.log();
        assert_eq!(log.loads.len(), 2, "{what}: {:?}", log.loads);
        assert!(log.disconnects.is_empty(), "{what}: {:?}", log.disconnects);
        assert!(log.unloads.is_empty(), "{what}: {:?}", log.unloads);
        assert!(!crucible.log().contains("panicked"), "{}", crucible.log());
    }
}

/// What is judged by time goes on after the clock went back: an idle model goes when its time is over.
#[tokio::test]
async fn a_clock_that_goes_back_stops_no_timer() {
    let sim = start(Options::lmstudio(&["m=1GB"])).await;
    let clocked = Clocked::start(&sim, false).await;
    let answer = post(&clocked.crucible, &body("m", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    clocked.set("-3600");
    let config = clocked.crucible.config();
    let text = std::fs::read_to_string(&config).expect("readable");
    let shorter = text.replace("model_ttl = \"5m\"", "model_ttl = \"1s\"");
    assert_ne!(text, shorter);
    std::fs::write(&config, shorter).expect("written");
    until(&sim, "it goes", |log| !log.unloads.is_empty()).await;
    let answer = post(&clocked.crucible, &body("m", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

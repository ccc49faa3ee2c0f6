//! `crucible usage` over the event log of a working instance, and the daily limit of a key.

mod time_zone;

use std::collections::BTreeMap;

use crucible_documents::{
    UsageDoc,
    event_log::{EnergyEvent, LoggedEvent},
};
use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{Whole, body, whole},
    engines::{client, engine, start},
    rest::eventually,
};
use http::header::{RETRY_AFTER, USER_AGENT};

/// The SHA-256 hashes of the keys `crk-laptop` and `crk-build`.
const KEYS: [(&str, &str); 2] = [
    (
        "laptop",
        "5281df900f9e00e1f65b916a2e8914dd822dc5cf313ec385a19ae409701f74bb",
    ),
    (
        "build",
        "7679282a594d1857f2c92b18dd67f0ec028f97badba5d5b3f9ca595d114dae5b",
    ),
];

fn keys(laptop: &str) -> String {
    let [one, two] =
        KEYS.map(|(name, hash)| format!("[[key]]\nname = \"{name}\"\nhash = \"sha256:{hash}\"\n"));
    format!("{one}{laptop}\n{two}")
}

/// Asks with a key, as a program.
async fn ask(crucible: &Crucible, key: &str, program: &str, model: &str, text: &str) -> Whole {
    let response = client()
        .post(crucible.at("/v1/chat/completions"))
        .bearer_auth(format!("crk-{key}"))
        .header(USER_AGENT, format!("{program}/1.0"))
        .json(&body(model, text))
        .send()
        .await
        .expect("an answer");
    whole(response).await
}

/// Runs `usage` on the configuration of an instance, off the test's runtime.
async fn usage(crucible: &Crucible, args: &[&str]) -> (i32, String, String) {
    let config = crucible.config().display().to_string();
    let mut all: Vec<String> = ["usage", "--config", &config].map(str::to_owned).to_vec();
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = all.iter().map(String::as_str).collect();
        Crucible::command(&args, "")
    })
    .await
    .expect("it ran")
}

async fn account(crucible: &Crucible, by: &str) -> UsageDoc {
    let (code, out, err) = usage(crucible, &["--json", "--by", by]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    serde_json::from_str(&out).expect("a usage document")
}

/// The account once it holds so many requests.
async fn counted(crucible: &Crucible, by: &str, requests: u64) -> UsageDoc {
    eventually("all requests are in the account", || async {
        let log = crucible.config().with_file_name("state/events.jsonl");
        if !log.exists() {
            return None;
        }
        let account = account(crucible, by).await;
        (account.all.requests == requests).then_some(account)
    })
    .await
}

/// The account by one of its keys has these tokens of prompts and of answers, and divides the time of the pool.
async fn accounts_for(crucible: &Crucible, by: &str, expected: &BTreeMap<String, (u64, u64)>) {
    let account = account(crucible, by).await;
    let rows = account.rows.iter();
    let found: BTreeMap<String, (u64, u64)> = rows
        .map(|row| {
            let name = row.name.clone().expect("a name");
            (name, (row.prompt_tokens, row.output_tokens))
        })
        .collect();
    assert_eq!(&found, expected, "{by}");
    assert_eq!((account.all.failed, account.all.left), (0, 0));
    let held: f64 = account
        .rows
        .iter()
        .filter_map(|row| row.pools_s.get("gpu"))
        .sum();
    assert!((held - account.all.pools_s["gpu"]).abs() < 1e-6 && held > 0.0);
}

#[tokio::test]
async fn the_account_is_what_the_clients_were_told() {
    let sim = start(Options::lmstudio(&["one=4GB", "two=4GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}",
        engine("gpu", "lmstudio", &sim.url()),
        keys("")
    ));
    let mut told: BTreeMap<(&str, &str, String), (u64, u64)> = BTreeMap::new();
    for (key, program, model, length) in [
        ("laptop", "opencode", "one", 3),
        ("laptop", "curl", "two", 5),
        ("build", "opencode", "one", 2),
        ("laptop", "opencode", "one", 7),
    ] {
        let answer = ask(&crucible, key, program, model, &format!("repeat {length}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let usage = &answer.json["usage"];
        let number = |name: &str| usage[name].as_u64().expect("a count");
        let sum = told
            .entry((key, program, format!("gpu/{model}")))
            .or_default();
        sum.0 += number("prompt_tokens");
        sum.1 += number("completion_tokens");
    }
    counted(&crucible, "model", 4).await;
    let expected = |of: fn(&(&str, &str, String)) -> String| {
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (who, (prompt, answer)) in &told {
            let sum = sums.entry(of(who)).or_default();
            sum.0 += prompt;
            sum.1 += answer;
        }
        sums
    };
    for (by, expected) in [
        ("key", expected(|who| who.0.to_owned())),
        ("client", expected(|who| who.1.to_owned())),
        ("model", expected(|who| who.2.clone())),
    ] {
        accounts_for(&crucible, by, &expected).await;
    }
    let days = account(&crucible, "day").await;
    let requests: u64 = days.rows.iter().map(|row| row.requests).sum();
    assert_eq!(requests, 4);

    let (code, out, err) = usage(&crucible, &["--by", "key", "--since", "1h"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for part in ["key", "laptop", "build", "all", "on gpu", "2 loads took"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[tokio::test]
async fn energy_is_divided_among_those_who_ran_and_its_source_is_said() {
    let mut options = Options::lmstudio(&["one=4GB"]);
    // An answer of less than a millisecond takes no energy.
    options.rate = 50;
    let sim = start(options).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    for program in ["opencode", "curl"] {
        let answer = ask(&crucible, "any", program, "one", "repeat 4").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    counted(&crucible, "client", 2).await;
    let log = crucible.config().with_file_name("state/events.jsonl");
    let mut text = std::fs::read_to_string(&log).expect("the log");
    // Counters of a machine stand in: one over the whole time, one of a device that nothing ran on.
    for (source, interface, device, joules) in [
        (
            "gpu0",
            "nvml",
            crucible_config::checked::Device::Gpu,
            7200.0,
        ),
        (
            "package0",
            "rapl",
            crucible_config::checked::Device::Cpu,
            36.0,
        ),
    ] {
        let energy = LoggedEvent::Energy(EnergyEvent {
            at_ms: 0,
            took_ms: u64::MAX / 4,
            source: source.into(),
            interface: interface.into(),
            device,
            joules,
        });
        text.push_str(&serde_json::to_string(&energy).expect("a line"));
        text.push('\n');
    }
    let copy = crucible.config().with_file_name("copy.jsonl");
    std::fs::write(&copy, text).expect("written");
    let copy = copy.display().to_string();
    let (code, out, err) = usage(&crucible, &["--json", "--by", "client", "--log", &copy]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let account: UsageDoc = serde_json::from_str(&out).expect("a usage document");
    let taken: f64 = account
        .rows
        .iter()
        .map(|row| row.energy_joules["gpu0"])
        .sum();
    let [gpu, cpu] = &account.energy_counters[..] else {
        unreachable!("two counters: {out}")
    };
    assert!((taken + gpu.idle_joules - gpu.joules).abs() < 1e-6, "{out}");
    assert!((cpu.idle_joules - 36.0).abs() < 1e-9, "{out}");
    let (_, out, _) = usage(&crucible, &["--by", "client", "--log", &copy]).await;
    assert!(out.contains("energy of gpu0: 2.00 Wh by NVML"), "{out}");
    assert!(out.contains("energy of package0: 0.01 Wh by RAPL"), "{out}");
}

/// Puts a folder over `/sys/class`, in a mount namespace of its own, where counters of the machine are read.
#[cfg(target_os = "linux")]
const OVER_SYS_CLASS: &str = "root=
unshare --mount true 2>/dev/null || root=--map-root-user
exec unshare $root --mount sh -c 'mount --bind FOLDER /sys/class && exec \"$0\" \"$@\"' \"$0\" \"$@\"";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_energy_of_a_package_is_logged_while_a_request_runs_and_counted_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("powercap/intel-rapl:0");
    std::fs::create_dir_all(&package).expect("made");
    // Whoever reads it meanwhile reads a whole one.
    let put = |name: &str, text: String| {
        let next = folder.path().join("next");
        std::fs::write(&next, text).expect("written");
        std::fs::rename(&next, package.join(name)).expect("renamed");
    };
    put("name", "package-0\n".to_owned());
    put("max_energy_range_uj", "262143328850\n".to_owned());
    put("energy_uj", "1000000\n".to_owned());
    let mut options = Options::ollama(&["small"]);
    options.rate = 50;
    let sim = start(options).await;
    let crucible = Crucible::start_in_shell(
        &format!("{}device = \"cpu\"\n", engine("cpu", "ollama", &sim.url())),
        &OVER_SYS_CLASS.replace("FOLDER", &folder.path().display().to_string()),
        "",
    );
    let answer = ask(&crucible, "any", "curl", "small", "repeat 150");
    let mut answer = std::pin::pin!(answer);
    let mut micro = 1_000_000_u64;
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                micro += 500_000;
                put("energy_uj", format!("{micro}\n"));
            }
        }
    };
    assert_eq!(answer.status, 200, "{}", answer.text);
    let account = eventually("the energy is in the account", || async {
        let account = account(&crucible, "client").await;
        (!account.energy_counters.is_empty() && account.all.requests == 1).then_some(account)
    })
    .await;
    let [counter] = &account.energy_counters[..] else {
        unreachable!("one counter")
    };
    assert_eq!((&*counter.name, &*counter.interface), ("package0", "rapl"));
    let taken = account.all.energy_joules["package0"];
    assert!(taken > 0.0 && taken <= counter.joules, "{taken}");
    assert!((taken + counter.idle_joules - counter.joules).abs() < 1e-6);
    #[expect(clippy::cast_precision_loss, reason = "some hundred joules")]
    let all = (micro - 1_000_000) as f64 / 1e6;
    assert!(counter.joules <= all, "{} of {all}", counter.joules);
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_a_log_that_was_cut_is_read_up_to_there() {
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    let (code, out, err) = usage(&crucible, &[]).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.contains("events.jsonl") && err.contains("log.events"),
        "{err}"
    );

    let answer = ask(&crucible, "any", "curl", "one", "repeat 4").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    counted(&crucible, "model", 1).await;
    let log = crucible.config().with_file_name("state/events.jsonl");
    let text = std::fs::read_to_string(&log).expect("the log");
    let cut = crucible.config().with_file_name("cut.jsonl");
    std::fs::write(&cut, format!("{text}{}\u{fffd}\n", &text[..text.len() / 2])).expect("written");
    let (code, out, err) = usage(&crucible, &["--log", &cut.display().to_string()]).await;
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("gpu/one") && err.contains("no event"),
        "{out}{err}"
    );

    for (args, part) in [
        (["--since", "soon"], "neither a day nor a time"),
        (["--by", "user"], "key, client, model, day"),
    ] {
        let (code, out, err) = usage(&crucible, &args).await;
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(part), "{err}");
    }
    let (code, out, _) = usage(&crucible, &["--since", "2100-01-01"]).await;
    assert_eq!((code, out.trim()), (0, "no request in this period"));
}

fn is_told_to_wait_until_midnight(refused: &Whole) {
    assert_eq!(refused.code(), "rate_limited");
    let message = refused.message();
    for part in ["key 'laptop'", "may use 10", "tokens_per_day", " 00:00 "] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let wait: u64 = refused
        .header(RETRY_AFTER.as_str())
        .parse()
        .expect("seconds");
    // A day is at most 25 hours long; the seconds go down from look to look.
    assert!(wait > 0 && wait <= 25 * 3600, "{wait}");
    assert_eq!(refused.json["error"]["retry_after"], wait);
    let zone = jiff::tz::TimeZone::system();
    let now = jiff::Timestamp::now().to_zoned_datetime(zone);
    let midnight = now.tomorrow().and_then(|next| next.start_of_day());
    let left = midnight
        .expect("a day")
        .timestamp()
        .duration_since(now.timestamp());
    let left = u64::try_from(left.as_secs()).expect("a time ahead");
    assert!(
        wait.abs_diff(left) < 60,
        "{wait} s, and {left} s are left of the day"
    );
}

/// The refusal is in the log with its key, and without a time or tokens of an answer.
async fn is_logged_without_tokens(crucible: &Crucible) {
    let line = eventually("the line of the refusal", || async {
        let log = crucible.log();
        let mut lines = log.lines();
        lines
            .find(|line| line.contains("status=429"))
            .map(str::to_owned)
    })
    .await;
    assert!(line.contains("key=\"laptop\""), "{line}");
    assert!(
        !line.contains("queue_s") && !line.contains("tokens="),
        "{line}"
    );
}

#[tokio::test]
async fn a_key_over_its_tokens_of_the_day_waits_for_the_next_one_also_after_a_restart() {
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let folder = tempfile::tempdir().expect("a folder");
    let toml = format!(
        "state_dir = {:?}\n{}{}",
        folder.path().join("state"),
        engine("gpu", "lmstudio", &sim.url()),
        keys("tokens_per_day = 10")
    );
    for first in [true, false] {
        let crucible = Crucible::start(&toml);
        if first {
            let answer = ask(&crucible, "laptop", "curl", "one", "repeat 9").await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        // At once: there is no moment in which a spent day lets one more request pass.
        let refused = ask(&crucible, "laptop", "curl", "one", "repeat 1").await;
        assert_eq!(refused.status, 429, "{}", refused.text);
        is_told_to_wait_until_midnight(&refused);
        is_logged_without_tokens(&crucible).await;
        let other = ask(&crucible, "build", "curl", "one", "repeat 1").await;
        assert_eq!(other.status, 200, "{}", other.text);
        let list = client()
            .get(crucible.at("/v1/models"))
            .bearer_auth("crk-laptop")
            .send()
            .await
            .expect("an answer");
        assert_eq!(list.status(), 200, "lists cost no tokens");
        end(crucible).await;
    }
}

/// Ends an instance; off the test's runtime, where the engine lives that it unloads from.
async fn end(mut crucible: Crucible) {
    crucible.signal("TERM");
    tokio::task::spawn_blocking(move || crucible.wait())
        .await
        .expect("it ended");
}

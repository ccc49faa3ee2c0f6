//! The load scheduler under fifty clients: nothing cut, no load beside another, few loads, nobody
//! forgotten.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crucible_sim::{LoadOutcome, LogView, Options};
use crucible_tests::{
    Crucible,
    chat::{body, header, post},
    engines::{self, engine, start},
    rest::eventually,
    sse::Stream,
};
use serde_json::Value;

const GPU: [&str; 5] = ["a", "b", "c", "d", "e"];
const CPU: [&str; 2] = ["x", "y"];
/// Clients of LM Studio, then of Ollama.
const CLIENTS: (u64, u64) = (40, 10);
/// Of LM Studio's, so many keep two models busy: without a bound nobody else would be served.
const FLOOD: u64 = 20;
/// So long they ask.
const RUN: Duration = Duration::from_secs(60);
/// The engines are about 20 times as fast as real ones, and `overtake_age` is scaled like them.
const LOAD: Duration = Duration::from_millis(250);
const AGE: Duration = Duration::from_secs(1);
/// The default of `overtake_count`.
const OVERTAKE: u64 = 8;
/// Waiters per engine; beyond it the answer is 429.
const QUEUE: u32 = 20;
const WORDS: usize = 20;

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    answers: usize,
    refused: usize,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.refused += other.refused;
    }
}

/// The first `FLOOD` clients never stop asking for their engine's first two models. Of the others
/// half of the requests go to the client's own model and half to any: the same in every run.
fn model_of(client: u64, turn: u64, models: &'static [&'static str]) -> &'static str {
    let mixed = ((client << 32) | turn).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let at = match mixed / 2 {
        _ if client < FLOOD => client % 2,
        any if mixed.is_multiple_of(2) => any,
        _ => client,
    };
    let at = usize::try_from(at % models.len() as u64).expect("an index");
    models[at]
}

/// Asks until the time is over; waits as `Retry-After` says.
async fn ask(url: String, client: u64, models: &'static [&'static str]) -> Seen {
    let mut seen = Seen::default();
    let http = engines::client();
    let begun = Instant::now();
    for turn in 0.. {
        if begun.elapsed() >= RUN {
            break;
        }
        let model = model_of(client, turn, models);
        let mut body = body(model, &format!("repeat {WORDS}"));
        body["stream"] = true.into();
        let response = http.post(&url).json(&body).send().await;
        let response = response.expect("an answer");
        match response.status().as_u16() {
            200 => {
                let answer = Stream::read(response).await;
                assert!(
                    answer.done && !answer.broken && answer.error().is_none(),
                    "{}",
                    answer.text
                );
                let last = format!("word{}", WORDS - 1);
                assert!(answer.content().ends_with(&last), "{}", answer.text);
                seen.answers += 1;
            }
            429 | 503 => {
                let seconds = header(response.headers(), "retry-after").parse::<u64>();
                let seconds = seconds.expect("whole seconds");
                assert!((1..=60).contains(&seconds), "{seconds}");
                seen.refused += 1;
                // A client that honours it, not a wait for something to happen.
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            status => panic!("{status}: {}", response.text().await.unwrap_or_default()),
        }
    }
    seen
}

/// No load of an engine overlaps another, nor an unload, and all went well without the engine's help.
fn one_after_the_other(log: &LogView) {
    for load in &log.loads {
        assert_eq!(
            (load.outcome, load.jit),
            (LoadOutcome::Loaded, false),
            "{load:?}"
        );
    }
    let mut spans: Vec<(u64, u64)> = log
        .loads
        .iter()
        .map(|load| (load.at_ms, load.ended_ms.expect("it ended")))
        .collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "a load beside another: {pair:?}");
    }
    for unload in &log.unloads {
        assert_eq!(
            (unload.active, unload.cause.as_str()),
            (0, "request"),
            "{unload:?}"
        );
        let within = |(from, to): &&(u64, u64)| *from < unload.at_ms && unload.at_ms < *to;
        assert_eq!(spans.iter().find(within), None, "{unload:?}");
    }
    assert!(log.disconnects.is_empty(), "cut: {:?}", log.disconnects);
    assert!(log.evictions.is_empty() && log.reloads.is_empty());
}

/// Loads and the requests that were granted, as lines of the event log, once all are there.
async fn granted(crucible: &Crucible, answers: usize) -> Vec<Value> {
    let state = crucible.config().with_file_name("state");
    let path = state.join("events.jsonl");
    eventually("all answers are in the event log", || async {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        let kept: Vec<Value> = lines
            .filter(|l: &Value| l["event"] == "load" || l.get("held_ms").is_some())
            .collect();
        let requests = kept.iter().filter(|l| l["event"] == "request").count();
        (requests == answers).then_some(kept)
    })
    .await
}

fn count<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).expect("a number")
}

/// The longest wait, the longest bound of one, and the largest share of its own bound that a wait
/// took; seconds.
///
/// When a request comes, `n` older ones wait in each line of its engine. Between two loads at most
/// `overtake_count` requests are served while its line waits for room, shared by the residents, and
/// no longer than `overtake_age`, both stretched by the length of a load. So a line with `n` older ones takes at most `n / share` turns, and
/// a turn lasts an unload, a load, those who overtake, and the last answer. What had begun when it
/// came, and its own load, are two more.
///
/// The length of an answer and of a load are those of the slowest ones, or, `typically`, of half of them.
fn waits(lines: &[Value], typically: bool) -> (f64, f64, f64) {
    let number = |line: &Value, name: &str| line[name].as_u64().unwrap_or_default();
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    let sorted = |name: &str| {
        let mut all: Vec<u64> = lines
            .iter()
            .filter_map(|line| line[name].as_u64())
            .collect();
        all.sort_unstable();
        all
    };
    let (held, took) = (sorted("held_ms"), sorted("took_ms"));
    let median = |all: &[u64]| seconds(all[all.len() / 2]);
    let most = |all: &[u64]| seconds(all[all.len() - 1]);
    let (answer, slowest, load) = if typically {
        (median(&held), median(&held), median(&took))
    } else {
        // One answer that its client reads late costs its length once, not in each turn.
        let answer = seconds(held[held.len() * 19 / 20]);
        (answer, most(&held), most(&took))
    };
    let (mut longest, mut bound, mut nearest) = (0.0_f64, 0.0_f64, 0.0_f64);
    let requests = || lines.iter().filter(|line| line["event"] == "request");
    for request in requests() {
        let (at, wait) = (number(request, "at_ms"), number(request, "wait_ms"));
        let older = |line: &&Value| {
            let came = number(line, "at_ms");
            let waited = came <= at && at < came + number(line, "wait_ms");
            line["engine"] == request["engine"] && waited && *line != request
        };
        let mut before: BTreeMap<&str, u64> = BTreeMap::new();
        for line in requests().filter(older) {
            *before
                .entry(line["model"].as_str().unwrap_or_default())
                .or_default() += 1;
        }
        let residents = if request["engine"] == "gpu" { 2 } else { 1 };
        let share = OVERTAKE / residents;
        let turns: u64 = before.values().map(|n| n.div_ceil(share)).sum();
        let turns = f64::from(u32::try_from(turns + 2).expect("few"));
        // Two permits a resident serve the share two by two.
        let rounds = f64::from(u32::try_from(share.div_ceil(2)).expect("few"));
        // As in `router/src/scheduler/dispatch.rs`: it serves for 6 times as long as the next loads.
        let stretch = (6.0 * load / AGE.as_secs_f64()).clamp(1.0, 4.0);
        let turn = 1.5 * load + stretch * AGE.as_secs_f64().min(rounds * answer) + answer;
        let (wait, own) = (seconds(wait), slowest + turns * turn);
        (longest, bound) = (longest.max(wait), bound.max(own));
        nearest = nearest.max(wait / own);
    }
    (longest, bound, nearest)
}

/// The same requests through the simulation: what in order of arrival costs where nobody is
/// refused.
async fn replay(crucible: &Crucible, granted: &[Value]) -> Value {
    let file = crucible.config().with_file_name("granted.jsonl");
    let lines: Vec<String> = granted.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).expect("written");
    let config = crucible.config().with_file_name("patient.toml");
    let text = std::fs::read_to_string(crucible.config()).expect("its configuration");
    let text = text.replace(&format!("queue = {QUEUE}"), "queue = 100000");
    std::fs::write(&config, format!("{text}[timeouts]\nqueue = \"24h\"\n")).expect("written");
    let file = file.display().to_string();
    let (code, out, err) = tokio::task::spawn_blocking(move || {
        let config = config.display().to_string();
        Crucible::command(
            &["replay", "--json", "--log", &file, "--config", &config],
            "",
        )
    })
    .await
    .expect("it ran");
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

/// Asks as all clients together until each has had its answers.
async fn fifty_ask(url: &str) -> Seen {
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS.0 {
        clients.spawn(ask(url.to_owned(), client, &GPU));
    }
    for client in 0..CLIENTS.1 {
        clients.spawn(ask(url.to_owned(), FLOOD + client, &CPU));
    }
    let mut all = Seen::default();
    while let Some(seen) = clients.join_next().await {
        all.add(&seen.expect("a client"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_are_served_with_few_loads_and_bounded_waits() {
    let mut gpu = Options::lmstudio(&GPU.map(|name| name));
    gpu.memory = Some(10_000_000_000);
    let mut cpu = Options::ollama(&CPU.map(|name| name));
    for options in [&mut gpu, &mut cpu] {
        options.load_time = LOAD;
        options.rate = 200;
        options.parallel = 2;
    }
    let (gpu, cpu) = (start(gpu).await, start(cpu).await);
    let crucible = Crucible::start(&format!(
        "[scheduler]\novertake_age = \"{}s\"\n\
         [tuning.lmstudio]\nmax_loaded_models = 2\n[tuning.ollama]\nmax_loaded_models = 1\n\
         {}queue = {QUEUE}\n{}queue = {QUEUE}\n",
        AGE.as_secs(),
        engine("gpu", "lmstudio", &gpu.url()),
        engine("cpu", "ollama", &cpu.url()),
    ));
    let url = crucible.at("/v1/chat/completions");
    // What an answer takes is measured before anybody is told when to come again.
    let mut all = Seen::default();
    for model in [["a"; 6], ["x"; 6]].as_flattened() {
        let answer = post(&crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        all.answers += 1;
    }
    all.add(&fifty_ask(&url).await);
    let logs = [gpu.log(), cpu.log()];
    logs.iter().for_each(one_after_the_other);

    let granted = granted(&crucible, all.answers).await;
    let loads: u32 = logs.iter().map(|log| count(&log.loads)).sum();
    let told = replay(&crucible, &granted).await;
    let number = |value: &Value| value.as_f64().expect("a number");
    let fewest = number(&told["fewest_loads"]);
    let (longest, _, nearest) = waits(&granted, false);
    // In the simulation no answer and no load is slower than others.
    let (_, bound, _) = waits(&granted, true);
    let first = &told["runs"]["first_come"];
    println!(
        "{} answers, {} refused; {loads} loads (fewest in order of arrival {fewest}, first come \
         {}, collate {}); longest wait {longest:.1} s (nearest to its own bound \
         {nearest:.2}; typical bound of the longest {bound:.1} s; first come {:.1} s, collate {:.1} s)",
        all.answers,
        all.refused,
        first["loads"],
        told["runs"]["collate"]["loads"],
        number(&first["wait_max_s"]),
        number(&told["runs"]["collate"]["wait_max_s"]),
    );
    assert!(all.answers > 500, "{all:?}");
    let loads = f64::from(loads);
    assert!(loads <= 1.2 * fewest, "{loads} loads, {fewest} are enough");
    // 1.2 times the fewest would let first come pass on such a trace: it needs hardly more.
    assert!(2.0 * loads <= number(&first["loads"]), "{loads}: {first}");
    assert!(nearest <= 1.0, "{nearest} of its bound");
    // The bound is one that first come breaks.
    assert!(number(&first["wait_max_s"]) > bound, "{bound} s: {first}");
}

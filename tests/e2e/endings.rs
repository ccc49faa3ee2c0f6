//! How a request ended is told alike wherever it is told: in its log line, the event log, the timeline of the live
//! page, the inspector, the metrics and `crucible usage`.

use crucible_documents::{
    UsageDoc,
    event_log::{LoggedEvent, read_event_log},
    inspector::InspectorDoc,
    timeline::{AnsweredRequest, TimelineEntry},
};
use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post, post_to, stream},
    chromium::{Chromium, Window},
    clean::{Metrics, queued},
    engines::{client, engine, start, until},
    rest::{eventually, ready},
    unread::never_reading,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::live_page::next_event;

/// What one of those places tells of a request: outcome, status, tokens of the answer.
type Told = (String, u16, u64);

/// One request at a time on `slow`, and one on `fast` whose answers come as fast as they are taken.
struct Scene {
    slow: Sim,
    fast: Sim,
    crucible: Crucible,
}

// === impl Scene ===

impl Scene {
    async fn start() -> Self {
        let mut options = Options::lmstudio(&["slow=1GB"]);
        options.rate = 50;
        let slow = start(options).await;
        let fast = start(Options::ollama(&["fast=1GB"])).await;
        let crucible = Crucible::start(&format!(
            "[log]\nformat = \"json\"\n[timeouts]\nclient_stall = \"1s\"\n{}permits = 1\n{}device = \"cpu\"\n",
            engine("gpu", "lmstudio", &slow.url()),
            engine("cpu", "ollama", &fast.url()),
        ));
        ready(&crucible).await;
        Self {
            slow,
            fast,
            crucible,
        }
    }

    /// Waits until so many requests are told as ended, so that the next one ends after them.
    async fn ended(&self, count: usize) {
        eventually("the request has ended", || async {
            (timeline(&self.crucible).await.len() == count).then_some(())
        })
        .await;
    }

    async fn is_answered(&self) {
        let answer = post(&self.crucible, &body("slow", "repeat 2")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    async fn is_cut_by_the_engine(&self) {
        self.slow.arm(Fault::new(FaultKind::Cut).after_events(3));
        let (_, cut) = stream(&self.crucible, &body("slow", "repeat 40")).await;
        assert!(!cut.done, "{}", cut.text);
    }

    /// Two clients leave the queue behind a third one's stream, which is left then; `ended` is the number of requests
    /// that had ended before.
    async fn are_left(&self, ended: usize) {
        let mut running = open(&self.crucible, &body("slow", "repeat 100000"))
            .await
            .bytes_stream();
        running.next().await.expect("an event").expect("bytes");
        for (n, streamed) in [false, true].into_iter().enumerate() {
            let mut want = body("slow", "repeat 1");
            want["stream"] = streamed.into();
            let send = client()
                .post(self.crucible.at("/v1/chat/completions"))
                .json(&want);
            let waiting = tokio::spawn(send.send());
            queued(&self.crucible, 1).await;
            waiting.abort();
            self.ended(ended + n + 1).await;
        }
        drop(running);
        self.ended(ended + 3).await;
    }

    async fn is_not_read(&self) {
        let unread = never_reading(&self.crucible, "fast").await;
        until(&self.fast, "the end of it", |log| {
            !log.disconnects.is_empty()
        })
        .await;
        drop(unread);
    }
}

/// The requests of the timeline, the first one that ended first.
async fn timeline(crucible: &Crucible) -> Vec<AnsweredRequest> {
    let events = client().get(crucible.at("/crucible/events")).send().await;
    let mut events = events.expect("events").bytes_stream();
    let (name, data) = next_event(&mut events, &mut String::new())
        .await
        .expect("an event");
    assert_eq!(name, "timeline");
    let entries: Vec<TimelineEntry> = serde_json::from_str(&data).expect("entries");
    let answers = entries.into_iter().filter_map(|entry| match entry {
        TimelineEntry::Answer(answer) => Some(answer),
        TimelineEntry::Load { .. } | TimelineEntry::Eviction { .. } => None,
    });
    answers.collect()
}

fn log_lines(crucible: &Crucible) -> Vec<Told> {
    let log = crucible.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = lines.filter(|line| line["message"] == "request" && line["endpoint"] == "chat");
    lines
        .map(|line| {
            let number = |name: &str| line[name].as_u64().expect("a number");
            let outcome = line["outcome"].as_str().expect("a word").to_owned();
            let status = u16::try_from(number("status")).expect("a status");
            (outcome, status, number("tokens"))
        })
        .collect()
}

fn event_log(crucible: &Crucible) -> Vec<Told> {
    let file = crucible.config().with_file_name("state/events.jsonl");
    let events = read_event_log(&[file]).map_or_else(|_| Vec::new(), |log| log.events);
    let requests = events.into_iter().filter_map(|event| match event {
        LoggedEvent::Request(request) => Some(request),
        _ => None,
    });
    requests
        .map(|request| {
            (
                request.outcome.into_owned(),
                request.status,
                request.output_tokens,
            )
        })
        .collect()
}

async fn inspected(crucible: &Crucible) -> Vec<Told> {
    let kept: InspectorDoc =
        serde_json::from_value(get(crucible, "/crucible/inspect").await.json).expect("a list");
    let ends = kept.requests.into_iter().filter_map(|row| row.ended);
    // The list is in the order of arrival.
    let mut ends: Vec<_> = ends
        .map(|end| (end.outcome.into_owned(), end.status, end.output_tokens))
        .collect();
    ends.sort();
    ends
}

async fn usage(crucible: &Crucible) -> UsageDoc {
    let config = crucible.config().display().to_string();
    let run = move || Crucible::command(&["usage", "--json", "--config", &config], "");
    let (code, out, err) = tokio::task::spawn_blocking(run).await.expect("it ran");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    serde_json::from_str(&out).expect("a usage document")
}

#[tokio::test]
async fn a_client_that_leaves_in_the_queue_or_in_the_stream_is_told_alike_everywhere() {
    let scene = Scene::start().await;
    let crucible = &scene.crucible;
    let on = post_to(crucible, "/crucible/inspect", &json!({ "minutes": 10 })).await;
    assert_eq!(on.status, 200, "{}", on.text);
    scene.is_answered().await;
    scene.ended(1).await;
    scene.is_cut_by_the_engine().await;
    scene.ended(2).await;
    scene.are_left(2).await;
    scene.is_not_read().await;
    scene.ended(6).await;

    let entries = timeline(crucible).await;
    let mut told: Vec<Told> = entries
        .into_iter()
        .map(|answer| {
            (
                answer.outcome.into_owned(),
                answer.status,
                answer.output_tokens,
            )
        })
        .collect();
    let ends: Vec<_> = told
        .iter()
        .map(|(word, status, _)| (&**word, *status))
        .collect();
    let expected = [
        ("ok", 200),
        ("engine_cut", 200),
        ("client_gone", 499),
        ("client_gone", 499),
        ("client_gone", 499),
        ("client_slow", 200),
    ];
    assert_eq!(ends, expected);
    let written = eventually("all lines are written", || async {
        let (log, events) = (log_lines(crucible), event_log(crucible));
        (log.len() == 6 && events.len() == 6).then_some((log, events))
    })
    .await;
    assert_eq!(written, (told.clone(), told.clone()));
    told.sort();
    assert_eq!(inspected(crucible).await, told);

    let account = usage(crucible).await.all;
    assert_eq!((account.requests, account.failed, account.left), (6, 2, 3));
    let metrics = Metrics::of(crucible).await;
    for (code, count) in [("200", 3.0), ("499", 3.0)] {
        let of = [("endpoint", "chat"), ("code", code)];
        assert_eq!(metrics.sum("crucible_requests_total", &of), count, "{code}");
    }
}

#[tokio::test]
async fn the_page_shows_an_answer_that_its_client_left_as_no_failure() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let scene = Scene::start().await;
    scene.is_answered().await;
    scene.are_left(1).await;
    scene.is_cut_by_the_engine().await;
    scene.ended(5).await;
    let tab = browser.open(&scene.crucible.at("/"), Window::DESK).await;
    tab.shows("answer that its client left").await;
    let drawn = "['answered', 'left', 'failed'].map(style => \
                 document.querySelectorAll('#timeline rect.' + style).length).join()";
    eventually("all of them are drawn", || async {
        (tab.eval(drawn).await == "1,3,1").then_some(())
    })
    .await;
    let titles = "[...document.querySelectorAll('#timeline rect.left title')]\
                  .every(title => title.textContent.endsWith(', left by its client'))";
    assert_eq!(tab.eval(titles).await, true);
    tab.is_for_everybody().await;
    assert_eq!(browser.errors(), Vec::<String>::new());
}

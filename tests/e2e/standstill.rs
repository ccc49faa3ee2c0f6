//! A process that stands still for longer than any of its budgets, as on a laptop that sleeps: what came
//! meanwhile is read first, and the time does not count.

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines::{engine, start, until},
    rest::{eventually, ready},
    sse::Stream,
};
use serde_json::Value;
use tokio::time::sleep;

/// Every budget is shorter than the pause.
const BUDGETS: &str = "[timeouts]\nqueue = \"4s\"\ncommit = \"2s\"\nload = \"4s\"\nfirst_token = \"4s\"\n\
                       idle = \"3s\"\nresponse = \"4s\"\nheader = \"2s\"\nbody = \"2s\"\n\
                       client_stall = \"2s\"\n[tuning.lmstudio]\nmodel_ttl = \"5s\"\n";
const PAUSE: Duration = Duration::from_secs(9);

async fn begun(change: impl FnOnce(&mut Options)) -> (Sim, Crucible) {
    let mut options = Options::lmstudio(&["m=1GB", "n=1GB"]);
    change(&mut options);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "{BUDGETS}{}permits = 1\n",
        engine("one", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    (sim, crucible)
}

/// The process stands still. The pause is what is tested.
async fn pause(crucible: &Crucible, time: Duration) {
    crucible.signal("STOP");
    sleep(time).await;
    crucible.signal("CONT");
}

async fn answers(crucible: &Crucible, model: &str) {
    let answer = post(crucible, &body(model, "repeat 1")).await;
    assert_eq!(answer.status, 200, "{model}: {}", answer.text);
}

/// The first event of a stream, which goes on.
async fn streaming(crucible: &Crucible, words: u32) -> (reqwest::Response, String) {
    let mut stream = open(crucible, &body("m", &format!("repeat {words}"))).await;
    assert_eq!(stream.status(), 200);
    let first = stream.chunk().await.expect("an event").expect("bytes");
    (stream, String::from_utf8_lossy(&first).into_owned())
}

#[tokio::test]
async fn an_idle_model_stays_and_the_first_request_works() {
    let (sim, crucible) = begun(|_| {}).await;
    answers(&crucible, "m").await;
    pause(&crucible, PAUSE).await;
    answers(&crucible, "m").await;
    // Its time to live is time awake, and ends as ever.
    assert!(sim.log().unloads.is_empty(), "{:?}", sim.log().unloads);
    assert_eq!(sim.log().loads.len(), 1);
    let log = until(&sim, "it goes", |log| !log.unloads.is_empty()).await;
    assert_eq!(log.loads.len(), 1);
    answers(&crucible, "m").await;
}

#[tokio::test]
async fn a_stream_whose_bytes_wait_goes_on_to_its_end() {
    // It is over when the process goes on, or still has some seconds to go.
    // Or the pause is hardly longer than `timeouts.idle`.
    let short = Duration::from_secs(4);
    for (words, time) in [(30, PAUSE), (150, PAUSE), (30, short)] {
        let (sim, crucible) = begun(|options| options.rate = 10).await;
        let (stream, first) = streaming(&crucible, words).await;
        pause(&crucible, time).await;
        let rest = Stream::read(stream).await;
        assert!(
            rest.error().is_none() && rest.done,
            "{words}: {}",
            rest.text
        );
        let text = format!("{first}{}", rest.text);
        let last = format!("word{}", words - 1);
        assert!(text.contains(&last), "{words}: {text}");
        assert!(sim.log().disconnects.is_empty() && sim.log().unloads.is_empty());
        answers(&crucible, "m").await;
        assert_eq!(sim.log().loads.len(), 1);
    }
}

#[tokio::test]
async fn a_whole_answer_and_those_who_wait_for_it_are_served() {
    let (sim, crucible) = begun(|options| options.rate = 10).await;
    answers(&crucible, "m").await;
    let long = body("m", "repeat 20");
    let short = body("m", "repeat 1");
    let paused = async {
        eventually("one waits for the other", || async {
            let state = get(&crucible, "/crucible/state").await.json;
            let waits = state["queue"].as_array().is_some_and(|q| q.len() == 1);
            waits.then_some(())
        })
        .await;
        pause(&crucible, PAUSE).await;
    };
    let (long, short, ()) = tokio::join!(post(&crucible, &long), post(&crucible, &short), paused);
    for answer in [long, short] {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(sim.log().loads.len(), 1);
}

#[tokio::test]
async fn a_load_that_ended_meanwhile_is_taken() {
    let (sim, crucible) = begun(|options| options.load_time = Duration::from_secs(3)).await;
    let asked = body("m", "repeat 1");
    let paused = async {
        until(&sim, "it is loaded", |log| !log.loads.is_empty()).await;
        pause(&crucible, PAUSE).await;
    };
    let (answer, ()) = tokio::join!(post(&crucible, &asked), paused);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(sim.log().loads.len(), 1);
    let state = get(&crucible, "/crucible/state").await.json;
    assert_eq!(state["engines"][0]["state"], Value::from("up"), "{state}");
    answers(&crucible, "n").await;
}

//! The bounds: an inspector full of large bodies costs a bounded amount of memory and no request.

use crucible_documents::inspector::{InspectedRowDoc, InspectorDoc};
use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines::{engine, start},
    rest::{eventually, ready},
};
use tokio::task::JoinSet;

use super::{ended, list, on, one, shown, switch};

/// Resident memory in MiB.
fn resident(crucible: &Crucible) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", crucible.pid()));
    let status = status.expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a number") / 1024
}

#[tokio::test]
async fn an_inspector_full_of_30_mb_bodies_is_bounded_and_costs_no_request() {
    let (_sim, crucible) = one().await;
    let large = |at: usize| {
        let text = format!("{at} {} repeat 1", "wörd ".repeat(4_900_000));
        body("one", &text)
    };
    // The memory of one such request without the inspector.
    let status = post(&crucible, &large(0)).await.status;
    let before = resident(&crucible);
    on(&crucible).await;
    for at in 0..12 {
        assert_eq!(post(&crucible, &large(at)).await.status, status);
        assert_eq!(
            post(&crucible, &body("one", "repeat 2")).await.content(),
            "word0 word1"
        );
        let list = list(&crucible).await;
        assert!(list.kept_bytes <= list.most_bytes, "{list:?}");
    }
    let full = resident(&crucible);
    println!("resident memory: {before} MiB before, {full} MiB full of bodies of 30 MB");
    assert!(full < before + 200, "{before} MiB, then {full} MiB");
    let list = list(&crucible).await;
    assert!(list.dropped > 0 && !list.requests.is_empty(), "{list:?}");
    let metrics = get(&crucible, "/metrics").await.text;
    assert!(metrics.contains("crucible_inspector_on 1\n"), "{metrics}");
    assert!(
        !metrics.contains("crucible_inspector_kept_bytes 0\n"),
        "{metrics}"
    );
    let is_large = |row: &&InspectedRowDoc| row.received_bytes > Some(20_000_000);
    let row = list
        .requests
        .iter()
        .rev()
        .find(is_large)
        .expect("a large one");
    let kept = shown(&crucible, &row.request_id).await;
    let text = kept.received.expect("a body");
    assert_eq!(Some(text.bytes), row.received_bytes);
    let end = text.end.expect("an end");
    assert!(text.text.len() + end.len() <= list.most_body_bytes + 8);
    assert!(
        text.text.starts_with("{\"m") && end.ends_with('}'),
        "{}",
        &end[end.len() - 20..]
    );
    assert_eq!(kept.curl, None);
    assert_eq!(switch(&crucible, 0.0).await.status, 200);
}

#[tokio::test]
async fn the_oldest_go_where_there_are_too_many() {
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    for _ in 0..70 {
        assert_eq!(post(&crucible, &body("one", "repeat 1")).await.status, 200);
    }
    let rows = ended(&crucible, 64).await;
    let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (7..=70).collect::<Vec<_>>());
    assert_eq!(list(&crucible).await.dropped, 6);
}

/// How many of the list have ended, and how many have not.
fn counts(list: &InspectorDoc) -> (usize, usize) {
    let ended = list.requests.iter().filter(|row| row.ended.is_some());
    let ended = ended.count();
    (ended, list.requests.len() - ended)
}

/// What somebody wants to see while a queue is long is what came out of it.
#[tokio::test]
async fn a_hundred_waiting_requests_push_out_none_that_have_ended() {
    let mut options = Options::lmstudio(&["one=1GB"]);
    options.rate = 20;
    let sim = start(options).await;
    let block = engine("gpu", "lmstudio", &sim.url());
    let crucible = Crucible::start(&format!("{block}permits = 1\nqueue = 200\n"));
    ready(&crucible).await;
    on(&crucible).await;
    for _ in 0..3 {
        assert_eq!(post(&crucible, &body("one", "repeat 1")).await.status, 200);
    }
    let mut long = open(&crucible, &body("one", "repeat 100000")).await;
    assert!(long.chunk().await.expect("a stream").is_some());
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let mut asked = body("one", "repeat 1");
        asked["stream"] = true.into();
        let request = crucible_tests::engines::client()
            .post(crucible.at("/v1/chat/completions"))
            .json(&asked);
        waiting.spawn(request.send());
    }
    let held = eventually("all of them are kept", || async {
        let list = list(&crucible).await;
        (counts(&list).1 == 101).then_some(list)
    })
    .await;
    assert_eq!((counts(&held), held.dropped), ((3, 101), 0), "{held:?}");
    let (_, out, _) = crucible.beside(&["inspect", "list"]).await;
    assert!(out.contains("3 of at most 64 requests are kept"), "{out}");
    assert!(out.contains("; 101 more wait or are answered"), "{out}");
    // They leave, and of all that have ended the last 64 are there.
    drop(waiting);
    let left = eventually("all of them have ended", || async {
        let list = list(&crucible).await;
        (counts(&list).1 == 1).then_some(list)
    })
    .await;
    assert_eq!((counts(&left), left.dropped), ((64, 1), 39));
    // The one that came before them and ended after them is kept.
    drop(long);
    let row = |list: &InspectorDoc| list.requests.first().map(|row| row.ended.is_some());
    let last = eventually("the long one has ended", || async {
        let list = list(&crucible).await;
        (counts(&list).1 == 0).then_some(list)
    })
    .await;
    assert_eq!((counts(&last).0, row(&last)), (64, Some(true)));
    assert_eq!(last.requests[0].number, 4, "{last:?}");
}

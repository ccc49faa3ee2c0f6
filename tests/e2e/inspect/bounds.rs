//! The bounds: an inspector full of large bodies costs a bounded amount of memory and no request.

use crucible_documents::inspector::InspectedRowDoc;
use crucible_tests::{
    Crucible,
    chat::{body, post},
};

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
    let metrics = crucible_tests::chat::get(&crucible, "/metrics").await.text;
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

//! Silences that may be a tool call.

use super::*;
use crate::error::Error;

/// A relay of a request with tools, whose looks find what the list says, the last of it for ever.
fn looking(finds: &[Result<(), ErrorKind>]) -> (Bench, Box<RelayBody<Fed>>, Arc<Mutex<u32>>) {
    let (bench, mut body) = bench();
    let budgets = Budgets {
        first_token: Duration::from_secs(300),
        longest_prefill: Duration::from_secs(600),
        idle: Duration::from_secs(30),
        tool_call: Some(Duration::from_secs(600)),
        heartbeat: Some(Duration::from_secs(10)),
    };
    body.clocks = Clocks::new(budgets, Instant::now());
    let looks = Arc::new(Mutex::new(0));
    let (count, finds) = (Arc::clone(&looks), finds.to_vec());
    body.looks = Looks::new(Some(Box::new(move || {
        let mut count = count.lock();
        let found = finds[(*count as usize).min(finds.len() - 1)];
        *count += 1;
        Box::pin(async move {
            sleep(Duration::from_secs(1)).await;
            found.map_err(|kind| Error::new(kind, "looked"))
        })
    })));
    (bench, body, looks)
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_is_waited_for_as_long_as_looks_find_the_engine_at_work() {
    let (bench, body, looks) = looking(&[Ok(())]);
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    let engine = bench.engine.clone();
    drop(bench.engine);
    let feed = async move {
        sleep(Duration::from_secs(590)).await;
        engine.send(Ok(FINISH.into())).await.unwrap();
    };
    let (sent, ()) = tokio::join!(text(body), feed);
    assert!(sent.ends_with("data: [DONE]\n\n"), "{sent}");
    assert!(sent.matches(": crucible\n\n").count() > 50, "{sent}");
    assert_eq!(*looks.lock(), 19);
    assert_eq!(bench.heard.ends(), [End::Complete]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_of_an_engine_that_is_not_at_work_is_cut_at_once() {
    for (finds, seconds) in [
        (vec![Err(ErrorKind::IdleTimeout)], 31),
        (vec![Ok(()), Ok(()), Err(ErrorKind::IdleTimeout)], 93),
        (vec![Ok(())], 600),
    ] {
        let (bench, body, _) = looking(&finds);
        let began = Instant::now();
        bench.engine.send(Ok(token(0))).await.unwrap();
        let sent = text(body.started().await.unwrap()).await;
        assert!(sent.contains("\"code\":\"idle_timeout\""), "{sent}");
        assert_eq!(began.elapsed().as_secs(), seconds, "{finds:?}");
        assert_eq!(bench.heard.ends(), [End::Failed(ErrorKind::IdleTimeout)]);
        assert_eq!(Arc::strong_count(&bench.guard), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_a_slow_client_held_up_is_made_anew() {
    let (bench, body, looks) = looking(&[Err(ErrorKind::IdleTimeout), Ok(())]);
    bench.engine.send(Ok(token(0))).await.unwrap();
    let mut body = body.started().await.unwrap();
    body.frame().await.unwrap().unwrap();
    // Three heartbeats; the last one goes out as the look begins.
    for _ in 0..3 {
        body.frame().await.unwrap().unwrap();
    }
    let under_way = tokio::time::timeout(Duration::from_millis(100), body.frame()).await;
    assert!(under_way.is_err());
    body.handed_out = Some(Instant::now());
    sleep(Duration::from_secs(60)).await;
    let engine = bench.engine.clone();
    drop(bench.engine);
    let feed = async move {
        sleep(Duration::from_secs(5)).await;
        engine.send(Ok(FINISH.into())).await.unwrap();
    };
    let (sent, ()) = tokio::join!(text(body), feed);
    assert!(sent.ends_with("data: [DONE]\n\n"), "{sent}");
    assert_eq!(*looks.lock(), 2);
}

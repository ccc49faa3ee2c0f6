//! The end of an answer: where it is cut, and how it is known.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_cut_is_told_after_what_came_before_it() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    bench.engine.send(Ok(token(1))).await.unwrap();
    bench
        .engine
        .send(Err(std::io::Error::other("reset")))
        .await
        .unwrap();
    let sent = text(body).await;
    assert!(
        sent.contains("\"t1\"") && sent.contains("\"code\":\"engine_cut\""),
        "{sent}"
    );
    assert!(!sent.contains("[DONE]"));
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_byte_delivers_whole_events_and_then_says_so() {
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let recorded = [role.as_bytes(), &token(1), &token(2), FINISH.as_bytes()].concat();
    let (answer, _) = FINISH.split_once("\n\n").unwrap();
    let answered = recorded.len() - FINISH.len() + answer.len() + "\n\n".len();
    for cut in 0..recorded.len() {
        let (bench, body) = bench();
        let frame = Bytes::copy_from_slice(&recorded[..cut]);
        bench.engine.send(Ok(frame)).await.unwrap();
        let reset = std::io::Error::other("reset");
        bench.engine.send(Err(reset)).await.unwrap();
        let whole_events = recorded[..cut]
            .windows(2)
            .rposition(|end| end == b"\n\n")
            .map_or(0, |at| at + 2);
        match body.started().await {
            Err(error) => {
                assert_eq!(whole_events, 0, "{cut}");
                assert_eq!(error.kind, ErrorKind::EngineCut, "{cut}");
            }
            Ok(body) => {
                let sent = text(body).await;
                let after = sent
                    .as_bytes()
                    .strip_prefix(&recorded[..whole_events])
                    .unwrap_or_else(|| panic!("{cut}: {sent}"));
                let more = String::from_utf8_lossy(after);
                if cut < answered {
                    assert!(more.starts_with("data: {\"error\":"), "{cut}: {more}");
                    assert!(more.contains("\"code\":\"engine_cut\""), "{cut}: {more}");
                    assert!(!sent.contains("[DONE]"), "{cut}: {sent}");
                } else {
                    assert!(sent.ends_with("data: [DONE]\n\n"), "{cut}: {sent}");
                    assert_eq!(sent.matches("[DONE]").count(), 1, "{cut}: {sent}");
                }
            }
        }
        let ended = bench.heard.ends();
        let end = if cut < answered {
            End::Failed(ErrorKind::EngineCut)
        } else {
            End::Complete
        };
        assert_eq!(ended, [end], "{cut}");
        assert_eq!(Arc::strong_count(&bench.guard), 1, "{cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_before_any_answer_keeps_its_status() {
    let (bench, body) = bench();
    let done = "data: [DONE]\n\n";
    bench.engine.send(Ok(done.into())).await.unwrap();
    let Err(error) = body.started().await else {
        panic!("started");
    };
    assert_eq!(error.kind, ErrorKind::EngineError);
    assert!(bench.engine.is_closed());
}

#[tokio::test(start_paused = true)]
async fn comments_before_the_first_event_are_bounded() {
    let (bench, body) = bench();
    let engine = bench.engine.clone();
    drop(bench.engine);
    let feed = async move {
        for _ in 0..1000 {
            engine.send(Ok(": still loading\n\n".into())).await.unwrap();
        }
        engine.send(Ok(token(0))).await.unwrap();
        engine.send(Ok(FINISH.into())).await.unwrap();
    };
    let (body, ()) = tokio::join!(body.started(), feed);
    let sent = text(body.unwrap()).await;
    assert!(sent.ends_with("data: [DONE]\n\n"));
    assert!(sent.len() < 2048, "{} bytes were kept", sent.len());
}

#[tokio::test(start_paused = true)]
async fn counts_and_other_choices_may_come_long_after_a_finish() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    let (finish, done) = FINISH.split_at(FINISH.find("data: [DONE]").unwrap());
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n";
    let engine = bench.engine.clone();
    drop(bench.engine);
    let feed = async move {
        for part in [
            finish.into(),
            token(1),
            finish.into(),
            usage.into(),
            done.into(),
        ] {
            engine.send(Ok(part)).await.unwrap();
            sleep(Duration::from_secs(20)).await;
        }
    };
    let (sent, ()) = tokio::join!(text(body), feed);
    assert!(sent.contains("\"t1\"") && sent.ends_with(done), "{sent}");
    assert_eq!(bench.heard.0.lock().usage.unwrap().completion, 2);
    assert_eq!(bench.heard.ends(), [End::Complete]);
}

#[tokio::test(start_paused = true)]
async fn a_finish_that_nothing_follows_is_an_end_after_the_gap() {
    let (bench, body) = bench();
    let (finish, done) = FINISH.split_at(FINISH.find("data: [DONE]").unwrap());
    bench.engine.send(Ok(finish.into())).await.unwrap();
    let body = body.started().await.unwrap();
    let began = Instant::now();
    let sent = text(body).await;
    assert!(sent.starts_with(finish) && sent.ends_with(done), "{sent}");
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    assert_eq!(bench.heard.ends(), [End::Complete]);
}

#[tokio::test(start_paused = true)]
async fn the_last_frame_is_known_to_be_the_last() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let mut body = body.started().await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(!body.is_end_stream());
    bench.engine.send(Ok(FINISH.into())).await.unwrap();
    drop(bench.engine);
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
    assert_eq!(bench.heard.ends(), [End::Complete]);
}

#[tokio::test(start_paused = true)]
async fn a_gathered_answer_has_the_clocks_of_a_stream_and_no_heartbeats() {
    let (late, body) = bench();
    let error = body.gathered().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::FirstTokenTimeout);
    assert_eq!(
        late.heard.ends(),
        [End::Failed(ErrorKind::FirstTokenTimeout)]
    );

    let (silent, body) = bench();
    silent.engine.send(Ok(token(0))).await.unwrap();
    let error = body.gathered().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::IdleTimeout);
    assert_eq!(Arc::strong_count(&silent.guard), 1);
    assert!(silent.engine.is_closed());

    let (slow, body) = bench();
    let engine = slow.engine.clone();
    drop(slow.engine);
    let feed = async move {
        for part in [token(0), FINISH.into()] {
            sleep(Duration::from_secs(25)).await;
            engine.send(Ok(part)).await.unwrap();
        }
    };
    let (whole, ()) = tokio::join!(body.gathered(), feed);
    assert_eq!(whole.unwrap(), [&token(0), FINISH.as_bytes()].concat());
    assert_eq!(slow.heard.ends(), [End::Complete]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_close_after_its_end_is_not_waited_for() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    bench.engine.send(Ok(FINISH.into())).await.unwrap();
    let began = Instant::now();
    let sent = text(body).await;
    assert!(sent.ends_with("data: [DONE]\n\n"));
    assert_eq!(began.elapsed(), CLOSING);
    assert_eq!(bench.heard.ends(), [End::Complete]);
}

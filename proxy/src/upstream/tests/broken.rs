//! Connections that break under a request, and when it is sent once more.

use super::*;

/// llama.cpp's server closed a kept connection just as the next request was written to it, and the
/// client got 502 from an engine that was well.
#[tokio::test]
async fn a_kept_connection_that_closes_under_a_request_is_replaced() {
    let engine = Engine::slowly().await;
    let serve = async {
        let mut first = engine.accept().await;
        answer(&mut first).await;
        read_request(&mut first).await;
        drop(first);
        let mut second = engine.accept().await;
        answer(&mut second).await;
        second
    };
    let ask = async {
        for _ in 0..2 {
            assert_eq!(engine.ask().await, "ok");
        }
    };
    tokio::join!(ask, serve);
    assert_eq!(engine.retried("ok"), 1);
    let connected = r#"crucible_upstream_connect_duration_seconds_count{engine="e"}"#;
    assert_eq!(engine.counted(connected), 2);
    assert_eq!(engine.upstream.retries_left(&engine.address()), 9);
}

/// A fifth of the requests may be sent again, and ten beyond that.
#[tokio::test]
async fn an_engine_that_closes_under_every_request_gets_few_of_them_twice() {
    let engine = Engine::slowly().await;
    let serve = async {
        let mut socket = engine.accept().await;
        loop {
            answer(&mut socket).await;
            // Closed under the next one, which comes again on a new connection or fails.
            read_request(&mut socket).await;
            drop(socket);
            socket = engine.accept().await;
        }
    };
    let ask = async {
        let mut failed = 0;
        for _ in 0..100 {
            match engine.upstream.send(&engine.prompt()).await {
                Ok(answer) => drop(answer.into_body().collect().await),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::EngineUnreachable);
                    failed += 1;
                }
            }
        }
        failed
    };
    let failed = tokio::select! {
        failed = ask => failed,
        () = serve => 0,
    };
    assert_eq!(engine.retried("over_budget"), failed);
    let again = engine.retried("ok");
    assert!((20..=30).contains(&again), "{again} again, {failed} failed");
}

/// An engine that had read the request and died of it would get it again.
#[tokio::test]
async fn a_kept_connection_that_breaks_later_is_an_error_and_nothing_is_sent_again() {
    for wait in [200, 1000] {
        let engine = Engine::start().await;
        let serve = async {
            let mut socket = engine.accept().await;
            answer(&mut socket).await;
            read_request(&mut socket).await;
            sleep(Duration::from_millis(wait)).await;
            socket.set_zero_linger().expect("SO_LINGER is known");
        };
        let ask = async {
            assert_eq!(engine.ask().await, "ok");
            engine.upstream.send(&engine.prompt()).await
        };
        let (second, ()) = tokio::join!(ask, serve);
        assert_eq!(
            second.expect_err("no answer").kind,
            ErrorKind::EngineUnreachable
        );
        let again = tokio::time::timeout(Duration::from_millis(100), engine.listener.accept());
        assert!(again.await.is_err(), "sent again after {wait} ms");
    }
}

/// One that closes the second connection as well is not asked a third time.
#[tokio::test]
async fn a_request_is_sent_again_only_once() {
    let engine = Engine::slowly().await;
    let serve = async {
        let mut first = engine.accept().await;
        answer(&mut first).await;
        read_request(&mut first).await;
        drop(first);
        let mut second = engine.accept().await;
        read_request(&mut second).await;
    };
    let ask = async {
        assert_eq!(engine.ask().await, "ok");
        engine.upstream.send(&engine.prompt()).await
    };
    let (second, ()) = tokio::join!(ask, serve);
    assert_eq!(
        second.expect_err("no answer").kind,
        ErrorKind::EngineUnreachable
    );
    assert_eq!(engine.retried("error"), 1);
}

#[tokio::test]
async fn a_new_connection_that_closes_under_a_request_is_an_error() {
    let engine = Engine::start().await;
    let serve = async {
        let mut socket = engine.accept().await;
        read_request(&mut socket).await;
    };
    let prompt = engine.prompt();
    let (answer, ()) = tokio::join!(engine.upstream.send(&prompt), serve);
    assert_eq!(
        answer.expect_err("no answer").kind,
        ErrorKind::EngineUnreachable
    );
}

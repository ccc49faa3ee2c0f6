use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use crucible_config::checked::EngineKind;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    dialect::engine::openai::passthrough::ChatPassthrough,
    error::ErrorKind,
    relay::{
        body::{step::CLOSING, *},
        clocks::Budgets,
        prefill::Prefills,
    },
    usage::Usage,
};

/// An engine's body that the test feeds.
struct Fed(Receiver<Result<Bytes, std::io::Error>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|frame| frame.map(|f| f.map(Frame::data)))
    }
}

/// An engine's body that is ready at every poll, without end.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(token(0)))))
    }
}

#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Told {
    writes: Vec<usize>,
    ends: Vec<End>,
    content: u32,
    usage: Option<Usage>,
}

#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Told>>);

impl Heard {
    fn ends(&self) -> Vec<End> {
        self.0.lock().ends.clone()
    }

    fn writes(&self) -> Vec<usize> {
        self.0.lock().writes.clone()
    }
}

impl Watch for Heard {
    fn content(&mut self, n: u32, _: Instant) {
        self.0.lock().content += n;
    }
    fn usage(&mut self, usage: Usage) {
        self.0.lock().usage = Some(usage);
    }
    fn sent(&mut self, bytes: usize) {
        self.0.lock().writes.push(bytes);
    }
    fn ended(&mut self, end: End) {
        self.0.lock().ends.push(end);
    }
}

struct Bench<E = Sender<Result<Bytes, std::io::Error>>> {
    engine: E,
    heard: Heard,
    guard: Arc<()>,
    prefills: Prefills,
    ending: CancellationToken,
}

fn bench() -> (Bench, Box<RelayBody<Fed>>) {
    let (engine, feed) = channel(64);
    bench_of(engine, Fed(feed))
}

fn bench_of<E, B>(engine: E, upstream: B) -> (Bench<E>, Box<RelayBody<B>>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let heard = Heard::default();
    let guard = Arc::new(());
    let prefills = Prefills::default();
    let ending = CancellationToken::new();
    let body = RelayBody::new(Parts {
        upstream,
        transcode: Box::new(ChatPassthrough::new(EngineKind::Openai, false, 1 << 20)),
        dialect: crate::dialect::unasked(),
        buffer: 1024,
        budgets: Budgets {
            first_token: Duration::from_secs(300),
            longest_prefill: Duration::from_secs(600),
            idle: Duration::from_secs(30),
            tool_call: None,
            heartbeat: Some(Duration::from_secs(10)),
        },
        look: None,
        sent_at: Instant::now(),
        watch: Box::new(heard.clone()),
        guard: Box::new(Arc::clone(&guard)),
        prefill: prefills.enter(&"e".into(), &"i".into()),
        ending: ending.clone(),
    });
    let bench = Bench {
        engine,
        heard,
        guard,
        prefills,
        ending,
    };
    (bench, body)
}

fn token(n: usize) -> Bytes {
    Bytes::from(format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"t{n}\"}}}}]}}\n\n"
    ))
}

const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

async fn text(body: Box<RelayBody<Fed>>) -> String {
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_passes_and_frees_its_permit_before_it_is_read() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let mut body = body.started().await.unwrap();
    bench.engine.send(Ok(FINISH.into())).await.unwrap();
    drop(bench.engine);
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    // Both events were ready: one write, and the engine's end was seen while making it.
    assert_eq!(first.len(), token(0).len() + FINISH.len());
    assert_eq!(Arc::strong_count(&bench.guard), 1);
    assert!(body.frame().await.is_none());
    assert_eq!(bench.heard.ends(), [End::Complete]);
}

#[tokio::test(start_paused = true)]
async fn at_most_the_buffer_is_joined_and_nothing_is_split() {
    let (bench, body) = bench();
    for n in 0..40 {
        bench.engine.send(Ok(token(n))).await.unwrap();
    }
    bench.engine.send(Ok(FINISH.into())).await.unwrap();
    drop(bench.engine);
    let sent = text(body.started().await.unwrap()).await;
    let writes = bench.heard.writes();
    assert!(writes.iter().all(|w| *w <= 1024), "{writes:?}");
    assert!(writes.len() < 20, "{writes:?}");
    assert_eq!(writes.iter().sum::<usize>(), sent.len());
    assert!(sent.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_29_seconds_passes_and_one_of_31_ends_in_band() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    let engine = bench.engine.clone();
    let feed = async move {
        sleep(Duration::from_secs(29)).await;
        engine.send(Ok(token(1))).await.unwrap();
        sleep(Duration::from_secs(31)).await;
        // Too late; the body is gone or has ended.
        let _ = engine.send(Ok(token(2))).await;
    };
    let (sent, ()) = tokio::join!(text(body), feed);
    assert!(
        sent.contains("\"t1\"") && !sent.contains("\"t2\""),
        "{sent}"
    );
    assert!(sent.contains("\"code\":\"idle_timeout\""), "{sent}");
    assert!(!sent.contains("[DONE]"));
    assert_eq!(bench.heard.ends(), [End::Failed(ErrorKind::IdleTimeout)]);
    assert_eq!(Arc::strong_count(&bench.guard), 1);
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_is_over_before_the_next_heartbeat_ends_the_answer_then() {
    let (bench, mut body) = bench();
    let budgets = Budgets {
        first_token: Duration::from_secs(300),
        longest_prefill: Duration::from_secs(600),
        idle: Duration::from_secs(3),
        tool_call: None,
        heartbeat: Some(Duration::from_secs(10)),
    };
    body.clocks = Clocks::new(budgets, Instant::now());
    let began = Instant::now();
    let engine = bench.engine.clone();
    let feed = async move {
        sleep(Duration::from_secs(1)).await;
        engine.send(Ok(token(0))).await.unwrap();
    };
    let reading = async { text(body.started().await.unwrap()).await };
    // The alarm was set for the heartbeat when the first token came.
    let (sent, ()) = tokio::join!(reading, feed);
    assert!(sent.contains("\"code\":\"idle_timeout\""), "{sent}");
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_gap_clock_pauses_while_another_prompt_is_read() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    let other = bench.prefills.enter(&"e".into(), &"i".into());
    let engine = bench.engine.clone();
    drop(bench.engine);
    let feed = async move {
        sleep(Duration::from_secs(80)).await;
        drop(other);
        engine.send(Ok(FINISH.into())).await.unwrap();
    };
    let (sent, ()) = tokio::join!(text(body), feed);
    assert!(sent.ends_with("data: [DONE]\n\n"), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_client_gets_heartbeats_that_are_no_progress() {
    let (bench, body) = bench();
    // A role-only chunk is the first event, but no token: the first-token budget runs on.
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    bench.engine.send(Ok(role.into())).await.unwrap();
    let sent = text(body.started().await.unwrap()).await;
    assert_eq!(sent.matches(": crucible\n\n").count(), 29, "{sent}");
    assert!(sent.contains("\"code\":\"first_token_timeout\""), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn an_error_as_first_event_is_not_in_band() {
    let (bench, body) = bench();
    let error = "data: {\"error\":{\"message\":\"no\"}}\n\n";
    bench.engine.send(Ok(error.into())).await.unwrap();
    let Err(error) = body.started().await else {
        panic!("started");
    };
    assert_eq!(error.kind, ErrorKind::EngineError);
    assert_eq!(bench.heard.ends(), [End::Failed(ErrorKind::EngineError)]);
    assert_eq!(Arc::strong_count(&bench.guard), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_frees_the_permit_and_the_engine() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    assert_eq!(Arc::strong_count(&bench.guard), 2);
    drop(body);
    assert_eq!(Arc::strong_count(&bench.guard), 1);
    assert!(bench.engine.is_closed());
    assert_eq!(bench.heard.ends(), [End::ClientGone]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_the_engines_silence() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let mut body = body.started().await.unwrap();
    body.frame().await.unwrap().unwrap();
    // The client stalls for a minute before it reads on; the engine goes on 20 s later.
    sleep(Duration::from_secs(60)).await;
    let engine = bench.engine.clone();
    drop(bench.engine);
    let feed = async move {
        sleep(Duration::from_secs(20)).await;
        engine.send(Ok(FINISH.into())).await.unwrap();
    };
    let (sent, ()) = tokio::join!(text(body), feed);
    assert!(sent.ends_with("data: [DONE]\n\n"), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_crucible_ends_a_stream_in_band() {
    let (bench, body) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let body = body.started().await.unwrap();
    bench.ending.cancel();
    let sent = text(body).await;
    assert!(sent.contains("\"code\":\"draining\""), "{sent}");
    assert_eq!(bench.heard.ends(), [End::Failed(ErrorKind::Draining)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_always_ready_yields_once_all_it_read_is_out() {
    let (bench, body) = bench_of((), Endless);
    let mut body = body.started().await.unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let turn = TURN as usize * token(0).len();
    for round in 0..10 {
        let mut bytes = 0;
        while let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(&mut cx) {
            bytes += frame.unwrap().unwrap().into_data().unwrap().len();
            assert!(bytes <= turn, "{round}");
        }
        assert_eq!(bytes, turn, "{round}");
        assert!(woken.0.swap(false, Ordering::Relaxed), "{round}");
    }
    assert_eq!(Arc::strong_count(&bench.guard), 2);
}

#[tokio::test]
async fn a_timed_stream_is_not_starved_by_one_that_is_always_ready() {
    let (_flood, endless) = bench_of((), Endless);
    let (bench, timed) = bench();
    bench.engine.send(Ok(token(0))).await.unwrap();
    let mut endless = endless.started().await.unwrap();
    let timed = timed.started().await.unwrap();
    let engine = bench.engine.clone();
    drop(bench.engine);
    let feed = async move {
        for n in 1..5 {
            sleep(Duration::from_millis(1)).await;
            engine.send(Ok(token(n))).await.unwrap();
        }
        engine.send(Ok(FINISH.into())).await.unwrap();
    };
    let began = std::time::Instant::now();
    let flood = async {
        while began.elapsed() < Duration::from_secs(20) {
            endless.frame().await.unwrap().unwrap();
        }
    };
    // One task, so that only the flood's own turns let the others go on.
    let timed = async { tokio::join!(text(timed), feed).0 };
    tokio::select! {
        biased;
        () = flood => panic!("the timed stream was starved"),
        sent = timed => assert!(sent.ends_with("data: [DONE]\n\n")),
    }
}

mod ends;
mod silence;

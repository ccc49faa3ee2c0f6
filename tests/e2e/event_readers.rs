//! Readers of `GET /crucible/events` that read slowly, or nothing.

use std::time::{Duration, Instant};

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, stream},
    engines::{engine, start},
    rest::{eventually, ready},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

/// Opens the events and reads nothing of them.
async fn open_events(crucible: &Crucible) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = crucible.addr().parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("a connection");
    let request = b"GET /crucible/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("written");
    stream
}

/// The pages that were dropped.
async fn dropped(crucible: &Crucible) -> String {
    let metrics = get(crucible, "/metrics").await.text;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("crucible_pages_dropped_total "));
    line.expect("a count").to_owned()
}

#[tokio::test]
async fn a_page_that_never_reads_is_dropped_soon_and_one_that_reads_slowly_stays() {
    let models: Vec<String> = (0..150).map(|n| format!("model-{n}=1GB")).collect();
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    let mut options = Options::lmstudio(&models);
    options.rate = 10;
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\nclient_stall = \"4s\"\n{}",
        engine("gpu", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    let dropped = || dropped(&crucible);
    assert_eq!(dropped().await, "0");
    // While an answer runs, a new state comes twice a second.
    let asked = body("model-1", "repeat 100000");
    let mut never = open_events(&crucible).await;
    let mut slow = open_events(&crucible).await;
    let mut taken = 0_usize;
    let reading = async {
        let mut piece = [0; 8192];
        loop {
            let read = slow.read(&mut piece).await.expect("it is open");
            assert!(read > 0, "the slow page was closed");
            taken += read;
            // Not as fast as states come.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let counted = async {
        eventually("it is dropped", || async {
            (dropped().await == "1").then_some(())
        })
        .await;
        // So long that a page that took nothing since would be dropped, too.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(dropped().await, "1");
    };
    tokio::select! {
        () = reading => {}
        _ = stream(&crucible, &asked) => panic!("the answer runs for longer"),
        () = counted => {}
    }
    assert!(taken > 0);
    // What the systems kept of it.
    let mut kept = Vec::new();
    let _ = never.read_to_end(&mut kept).await;
    assert!(
        kept.len() < 160 * 1024,
        "{} bytes were kept for it",
        kept.len()
    );
}

/// Nothing happens, so that only comments, one every 15 s, tell who reads. The small buffer of this reader is full after
/// some six of them; comments of three bytes would take a day.
#[tokio::test]
async fn a_page_that_never_reads_of_an_idle_instance_is_dropped_within_minutes() {
    let crucible = Crucible::start("[timeouts]\nclient_stall = \"4s\"\n");
    let never = open_events(&crucible).await;
    let mut reading = open_events(&crucible).await;
    let until = Instant::now() + Duration::from_secs(300);
    let mut piece = [0; 8192];
    while dropped(&crucible).await == "0" {
        assert!(Instant::now() < until, "it is still connected");
        let wait = tokio::time::timeout(Duration::from_secs(1), reading.read(&mut piece));
        // Nothing came in this second, or something did.
        let read = wait.await.unwrap_or(Ok(1)).expect("it is open");
        assert!(read > 0, "the page that reads was closed");
    }
    assert_eq!(dropped(&crucible).await, "1");
    drop(never);
}

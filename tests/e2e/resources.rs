//! What the machine runs out of: descriptors, connections, and a disk for the log.

use std::{process::Command, time::Duration};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, post, stream},
    engines::{client, engine, start},
    raw::read,
    rest::{at_rest, eventually, logged, metric, ready, sample},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than any answer takes.
const QUIET: Duration = Duration::from_secs(30);

async fn plain() -> Sim {
    start(Options::lmstudio(&["qwen=1GB"])).await
}

#[tokio::test]
async fn a_log_that_cannot_be_written_hurts_no_answer_and_is_counted() {
    let sim = plain().await;
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("log").display().to_string();
    // A full disk, a closed descriptor, a pipe whose reader went.
    for (setup, redirect) in [
        (String::new(), "2>/dev/full".to_owned()),
        (String::new(), "2>&-".to_owned()),
        (
            format!("mkfifo '{pipe}'; : <'{pipe}' &"),
            format!("2>'{pipe}'"),
        ),
    ] {
        let toml = format!(
            "{}\n[log]\nlevel = \"debug\"\n",
            engine("lmstudio", "lmstudio", &sim.url())
        );
        let mut crucible = Crucible::start_in_shell(&toml, &setup, &redirect);
        for _ in 0..20 {
            let answer = post(&crucible, &body("qwen", "repeat 2")).await;
            assert_eq!(answer.status, 200, "{redirect}: {}", answer.text);
            let (_, answer) = stream(&crucible, &body("qwen", "repeat 2")).await;
            assert!(answer.done, "{redirect}: {}", answer.text);
        }
        // At once, since each waits for the engine's list to be read again.
        let wrong = body("nope", "hi");
        let answers = (0..20).map(|_| post(&crucible, &wrong));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.status, 404, "{redirect}: {}", answer.text);
        }
        assert!(crucible.log().is_empty(), "{}", crucible.log());
        at_rest(&crucible).await;
        eventually("the lost lines to be counted", || async {
            let lost = metric(&crucible, "crucible_log_dropped_total{sink=\"stderr\"").await;
            (lost >= 60).then_some(())
        })
        .await;
        crucible.signal("TERM");
        assert_eq!(crucible.wait().code(), Some(0), "{redirect}");
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_answer_and_is_counted() {
    let sim = plain().await;
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("log");
    let pipe = pipe.display();
    // Descriptor 9 keeps a reader on the pipe that never reads.
    let mut crucible = Crucible::start_in_shell(
        &engine("lmstudio", "lmstudio", &sim.url()),
        &format!("mkfifo '{pipe}'; exec 9<>'{pipe}'"),
        &format!("2>'{pipe}'"),
    );
    ready(&crucible).await;
    let lost = || metric(&crucible, "crucible_log_dropped_total{sink=\"stderr\"");
    assert_eq!(lost().await, 0);
    // A line each, of which the pipe takes 64 KiB and the buffer 1 MiB.
    let refused = body(&"m".repeat(400), "hi");
    for _ in 0..50 {
        let answers = (0..200).map(|_| post(&crucible, &refused));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.status, 404, "{}", answer.text);
        }
        if lost().await > 0 {
            break;
        }
    }
    assert!(lost().await > 0);
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    crucible.signal("TERM");
    assert_eq!(crucible.wait().code(), Some(0));
}

/// Open descriptors of the process.
fn descriptors(crucible: &Crucible) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", crucible.pid()))
        .expect("the process lives")
        .count()
}

/// A number of `/proc/PID/FILE`, by what its line starts with.
fn number(crucible: &Crucible, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", crucible.pid()))
        .expect("the process lives");
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    let first = rest.and_then(|rest| rest.split_whitespace().next());
    first.expect("the line").parse().expect("a number")
}

/// Growing it later holds up the answers of a whole worker, 10 to 16 ms each time (Linux 6.18).
#[tokio::test]
async fn the_table_of_descriptors_is_made_before_the_first_connection() {
    let toml = "[limits]\nconnections = 3000\n";
    let mut crucible = Crucible::start_in_shell(toml, "ulimit -Sn 256", "");
    assert!(number(&crucible, "status", "FDSize:") >= 6000);
    assert!(number(&crucible, "limits", "Max open files") >= 6000);
    // Its log is whole at its end.
    crucible.signal("TERM");
    assert_eq!(crucible.wait().code(), Some(0));
    assert!(!crucible.log().contains("open files"), "{}", crucible.log());
}

#[tokio::test]
async fn a_limit_of_open_files_below_the_connections_is_said_at_the_start() {
    let toml = "[limits]\nconnections = 100\n";
    let crucible = Crucible::start_in_shell(toml, "ulimit -n 200", "");
    let needs = "limits.connections: 100 connections may need 296 open files, but this process \
                 may have 200, so that 78 are taken at once";
    logged(&crucible, needs).await;
}

fn failures(crucible: &Crucible) -> usize {
    crucible.log().matches("accept failed").count()
}

/// Processor time that it has used, in hundredths of a second.
fn cpu(crucible: &Crucible) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", crucible.pid()))
        .expect("the process lives");
    // Counted after the name, which may hold blanks: utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let fields = rest.split_whitespace().skip(11).take(2);
    fields.map(|n| n.parse::<u64>().expect("a number")).sum()
}

async fn healthz(addr: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .ok()?;
    Some(stream)
}

/// `accept` failed, and whoever came then hung, health included.
#[tokio::test]
async fn more_idle_connections_than_open_files_shut_nobody_out() {
    let sim = plain().await;
    let toml = engine("lmstudio", "lmstudio", &sim.url());
    for files in [64, 128] {
        let limit = format!("ulimit -n {files}");
        let crucible = Crucible::start_in_shell(&toml, &limit, "");
        ready(&crucible).await;
        let mut held = Vec::new();
        for at in 0..2 * files {
            let mut stream = healthz(crucible.addr()).await.expect("a connection");
            let mut first = [0; 15];
            let read = timeout(Duration::from_secs(5), stream.read_exact(&mut first)).await;
            read.expect("an answer in time").expect("an answer");
            assert_eq!(&first, b"HTTP/1.1 200 OK", "{files}: connection {at}");
            held.push(stream);
        }
        let answer = post(&crucible, &body("qwen", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{files}: {}", answer.text);
        assert_eq!(failures(&crucible), 0, "{}", crucible.log());
    }
}

#[tokio::test]
async fn it_runs_out_of_descriptors_and_recovers() {
    let sim = plain().await;
    let crucible = Crucible::start(&engine("lmstudio", "lmstudio", &sim.url()));
    ready(&crucible).await;
    // Lowered behind its back: at its start it takes no more connections than its limit allows.
    let lowered = Command::new("prlimit")
        .args(["--pid", &crucible.pid().to_string(), "--nofile=64:64"])
        .status();
    assert!(lowered.expect("prlimit runs").success());
    let mut held = Vec::new();
    // Fewer than the backlog takes (128), more than there are descriptors.
    for _ in 0..100 {
        held.push(
            healthz(crucible.addr())
                .await
                .expect("the backlog takes it"),
        );
    }
    logged(&crucible, "accept failed").await;
    assert!(descriptors(&crucible) >= 60, "{}", descriptors(&crucible));
    let began = std::time::Instant::now();
    let (lines, ticks) = (failures(&crucible), cpu(&crucible));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (lines, ticks) = (failures(&crucible) - lines, cpu(&crucible) - ticks);
    // A busy machine wakes this test later.
    let seconds = began.elapsed().as_secs() + 1;
    assert!(lines >= 1, "no line in {seconds} seconds");
    assert!(
        u64::try_from(lines).is_ok_and(|lines| lines <= seconds),
        "{lines} lines in {seconds} seconds"
    );
    assert!(
        ticks <= 20 * seconds,
        "{ticks} hundredths in {seconds} seconds"
    );
    held.clear();
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    at_rest(&crucible).await;
    assert!(!crucible.log().contains("panicked"), "{}", crucible.log());
}

/// Descriptors that this process may have, after raising its own limit as far as is allowed.
fn allowed() -> usize {
    let told = Command::new("sh")
        .args(["-c", "ulimit -n"])
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    text.parse().unwrap_or(usize::MAX)
}

/// So many connections that have had an answer and rest.
async fn idle_connections(crucible: &Crucible, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = healthz(crucible.addr()).await.expect("a connection");
        let mut answer = [0_u8; 1024];
        let n = tokio::io::AsyncReadExt::read(&mut stream, &mut answer)
            .await
            .expect("an answer");
        assert!(answer[..n].starts_with(b"HTTP/1.1 200 "));
        held.push(stream);
    }
    held
}

/// A new client is answered at once; it stays connected.
async fn newcomer_is_answered(crucible: &Crucible) -> reqwest::Client {
    let began = std::time::Instant::now();
    let last = client();
    let answer = last
        .post(crucible.at("/v1/chat/completions"))
        .json(&body("qwen", "repeat 1"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("a whole answer");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    last
}

/// A connection beyond the last place is answered, and the oldest idle one is closed for it.
async fn next_takes_the_place_of(crucible: &Crucible, oldest: &mut TcpStream) -> TcpStream {
    let mut next = healthz(crucible.addr()).await.expect("a connection");
    let mut first = [0_u8; 15];
    let answer = tokio::io::AsyncReadExt::read_exact(&mut next, &mut first);
    let answer = timeout(QUIET, answer).await;
    answer.expect("it is answered").expect("bytes");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let gone = read(oldest, QUIET).await;
    assert!(gone.closed, "{gone:?}");
    next
}

#[tokio::test]
async fn ten_thousand_idle_connections_take_less_than_100_mib_and_hurt_nobody() {
    // Some of this process's own are taken by the other tests that run beside this one.
    let idle = (allowed() / 2).clamp(100, 10_000);
    let sim = plain().await;
    let crucible = Crucible::start_in_shell(
        &format!(
            "metrics_listen = \"127.0.0.1:0\"\n[limits]\nconnections = {}\n{}",
            idle + 1,
            engine("lmstudio", "lmstudio", &sim.url())
        ),
        "ulimit -n \"$(ulimit -Hn)\"",
        "",
    );
    assert_eq!(post(&crucible, &body("qwen", "repeat 1")).await.status, 200);
    let mut held = idle_connections(&crucible, idle).await;
    let url = crucible
        .metrics_url()
        .expect("a second listener")
        .to_owned();
    let scraper = client();
    let open = || async {
        let answer = scraper.get(format!("{url}/metrics")).send().await;
        let text = answer.expect("an answer").text().await.expect("text");
        sample(&text, "crucible_connections_open")
    };
    let want = u64::try_from(idle).expect("a number");
    eventually("all are open", || async {
        (open().await >= want).then_some(())
    })
    .await;
    // They need no more than when they have rested.
    let resident = eventually("little memory", || async {
        let kib = number(&crucible, "status", "VmRSS:");
        (kib < 100 * 1024).then_some(kib)
    })
    .await;
    println!("{idle} idle connections, {resident} KiB");
    let last = newcomer_is_answered(&crucible).await;
    let next = next_takes_the_place_of(&crucible, &mut held[0]).await;
    assert_eq!(open().await, want + 1);
    drop((held, next, last));
    assert_eq!(get(&crucible, "/healthz").await.status, 200);
    eventually("all are closed", || async {
        (metric(&crucible, "crucible_connections_open").await <= 2).then_some(())
    })
    .await;
}

/// Each of them was 90 KiB for as long as it liked to send.
#[tokio::test]
async fn clients_that_still_send_after_their_refusal_take_little_memory() {
    let count = (allowed() / 4).clamp(50, 500);
    let sim = plain().await;
    let crucible = Crucible::start(&engine("lmstudio", "lmstudio", &sim.url()));
    let before = number(&crucible, "status", "VmRSS:");
    let mut held = Vec::with_capacity(count);
    let begun = "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n";
    let body = vec![b'x'; 60_000];
    for _ in 0..count {
        let mut stream = TcpStream::connect(crucible.addr())
            .await
            .expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("written");
        stream.write_all(&body).await.expect("written");
        let mut answer = [0_u8; 1024];
        let n = stream.read(&mut answer).await.expect("an answer");
        assert!(answer[..n].starts_with(b"HTTP/1.1 404 "));
        held.push(stream);
    }
    for stream in &mut held {
        stream.write_all(&body).await.expect("written");
    }
    let after = number(&crucible, "status", "VmRSS:");
    let each = after.saturating_sub(before) / u64::try_from(count).expect("a number");
    assert!(each < 40, "{each} KiB for each of {count}");
    drop(held);
    at_rest(&crucible).await;
}

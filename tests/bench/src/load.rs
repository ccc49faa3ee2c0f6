//! The closed-loop load generator: as many requests at a time as asked for, each on a
//! kept-alive connection, one after the other.
//!
//! Runs as a process of its own; its order comes as JSON in an argument, its sample goes as
//! JSON to stdout. It reads the subject's CPU and memory itself, right around the measured part.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::Barrier,
    time::{interval, sleep},
};
use tokio_util::task::TaskTracker;

use crate::{
    format::Format,
    process::{cpu_ns, rss},
    shape::{Marks, Shape, now_ns},
    stats::percentile,
};

/// The requests that one run sends, and the server that it sends them to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The address of the server, `127.0.0.1:PORT`.
    pub(crate) address: String,
    pub(crate) model: String,
    pub(crate) format: Format,
    pub(crate) stream: bool,
    pub(crate) concurrency: usize,
    /// Size of the request's body.
    pub(crate) body_bytes: usize,
    /// Requests before the measured part, in all.
    pub(crate) warmup: usize,
    /// Measured requests, in all.
    pub(crate) requests: usize,
    /// The workers' starts are spread over this.
    pub(crate) spread_ms: u64,
    /// Hold every stream after its first chunk, and only look at memory.
    pub(crate) hold: bool,
    /// The ids of the processes whose cost is measured.
    pub(crate) pids: Vec<u32>,
}

/// The figures of one run. Times are in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) requests: usize,
    pub(crate) chunks: usize,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) cpu_us: f64,
    pub(crate) latency_p50: f64,
    pub(crate) latency_p99: f64,
    pub(crate) first_p50: f64,
    pub(crate) first_p99: f64,
    pub(crate) delay_p50: f64,
    pub(crate) delay_p99: f64,
    pub(crate) rss_before: u64,
    /// Highest resident bytes seen during the measured part.
    pub(crate) rss_peak: u64,
}

/// The figures of one worker, in nanoseconds.
#[derive(Debug, Default)]
struct Seen {
    latencies: Vec<u64>,
    firsts: Vec<u64>,
    delays: Vec<u64>,
    errors: usize,
    first_error: Option<String>,
}

/// The state that all workers of a run share.
struct Run {
    order: Order,
    shape: Shape,
    body: Bytes,
    warmed: AtomicUsize,
    asked: AtomicUsize,
    /// Everyone waits here before the measured part, and twice more around a held stream.
    gate: Barrier,
}

/// Runs the order to its end.
pub(crate) async fn run(order: Order) -> anyhow::Result<Sample> {
    ensure!(
        order.address.starts_with("127.0.0.1:"),
        "only loopback is measured"
    );
    let run = Arc::new(Run {
        shape: order.model.parse()?,
        body: Bytes::from(body(&order)),
        warmed: AtomicUsize::new(0),
        asked: AtomicUsize::new(0),
        gate: Barrier::new(order.concurrency + 1),
        order,
    });
    let workers = TaskTracker::new();
    let handles: Vec<_> = (0..run.order.concurrency)
        .map(|number| workers.spawn(Arc::clone(&run).worker(number)))
        .collect();

    let pids = run.order.pids.clone();
    run.gate.wait().await;
    let rss_before = rss(&pids);
    let cpu_before = cpu_ns(&pids);
    let start = Instant::now();
    run.gate.wait().await;
    let mut rss_peak = rss_before;
    if run.order.hold {
        run.gate.wait().await;
        rss_peak = rss_peak.max(rss(&pids));
        run.gate.wait().await;
    }
    workers.close();
    let mut tick = interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = workers.wait() => break,
            _ = tick.tick(), if !run.order.hold => rss_peak = rss_peak.max(rss(&pids)),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_ns(&pids).saturating_sub(cpu_before);

    let mut all = Seen::default();
    for handle in handles {
        let seen = handle.await.context("a worker failed")?;
        all.latencies.extend(seen.latencies);
        all.firsts.extend(seen.firsts);
        all.delays.extend(seen.delays);
        all.errors += seen.errors;
        all.first_error = all.first_error.or(seen.first_error);
    }
    Ok(all.sample(seconds, cpu, rss_before, rss_peak))
}

/// A chat of the size asked for, in words with the quotes and line ends of real prompts.
fn body(order: &Order) -> String {
    const TEXT: &str = "Explain \"how\" this function works:\n\tlet x = compute(a, b);\n";
    let request = |prompt: &str| {
        let request = order.format.request(&order.model, order.stream, prompt);
        request.to_string()
    };
    let frame = request("").len();
    let piece = json!(TEXT).to_string().len() - 2;
    request(&TEXT.repeat(order.body_bytes.saturating_sub(frame) / piece))
}

// === impl Run ===

impl Run {
    async fn worker(self: Arc<Self>, number: usize) -> Seen {
        let order = &self.order;
        let mut connection = None;
        let mut warm = Seen::default();
        while self.warmed.fetch_add(1, Ordering::Relaxed) < order.warmup {
            self.once(&mut connection, &mut warm).await;
        }
        self.gate.wait().await;
        self.gate.wait().await;

        let mut seen = Seen::default();
        if order.spread_ms > 0 {
            let share = u32::try_from(number).unwrap_or(0);
            let all = u32::try_from(order.concurrency).unwrap_or(1);
            sleep(Duration::from_millis(order.spread_ms) * share / all).await;
        }
        if order.hold {
            self.hold(&mut seen).await;
            return seen;
        }
        while self.asked.fetch_add(1, Ordering::Relaxed) < order.requests {
            self.once(&mut connection, &mut seen).await;
        }
        seen
    }

    /// One request to its end; a failure is counted and costs the connection.
    async fn once(&self, connection: &mut Option<SendRequest<Full<Bytes>>>, seen: &mut Seen) {
        if let Err(error) = self.ask(connection, seen).await {
            *connection = None;
            seen.fail(&error);
        }
    }

    async fn ask(
        &self,
        connection: &mut Option<SendRequest<Full<Bytes>>>,
        seen: &mut Seen,
    ) -> anyhow::Result<()> {
        let mut sender = match connection.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(&self.order.address).await?,
        };
        sender.ready().await?;
        let sent = now_ns();
        let mut response = sender.send_request(self.request()?).await?;
        let status = response.status();
        let mut marks = Marks::default();
        let mut count = 0;
        while let Some(frame) = response.body_mut().frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            if !status.is_success() {
                anyhow::bail!("status {status}: {}", String::from_utf8_lossy(&data));
            }
            let now = now_ns();
            marks.feed(&data, |made| {
                if count == self.shape.chunks {
                    // Some formats repeat the whole answer at the end of its stream.
                    return;
                }
                if count == 0 {
                    seen.firsts.push(now.saturating_sub(sent));
                }
                count += 1;
                seen.delays.push(now.saturating_sub(made));
            });
        }
        ensure!(status.is_success(), "status {status}");
        if self.order.stream {
            ensure!(
                self.order.format.ends(marks.tail()),
                "the stream did not come to its proper end"
            );
            ensure!(
                count == self.shape.chunks,
                "{count} of {} chunks",
                self.shape.chunks
            );
        }
        seen.latencies.push(now_ns().saturating_sub(sent));
        *connection = Some(sender);
        Ok(())
    }

    /// Opens a stream, waits for its first chunk, keeps it open while memory is read.
    async fn hold(&self, seen: &mut Seen) {
        let open = async {
            let mut sender = connect(&self.order.address).await?;
            let mut response = sender.send_request(self.request()?).await?;
            ensure!(
                response.status().is_success(),
                "status {}",
                response.status()
            );
            let (mut marks, mut count) = (Marks::default(), 0);
            while count == 0 {
                let frame = response.body_mut().frame().await.context("ended early")??;
                if let Ok(data) = frame.into_data() {
                    marks.feed(&data, |_| count += 1);
                }
            }
            Ok::<_, anyhow::Error>((sender, response))
        };
        let open = open.await;
        match &open {
            Ok(_) => seen.latencies.push(0),
            Err(error) => seen.fail(error),
        }
        self.gate.wait().await;
        self.gate.wait().await;
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        Ok(Request::post(self.order.format.path())
            .header(header::HOST, &self.order.address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))?)
    }
}

async fn connect(address: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // Ends with its sender; a broken one is seen by the request.
    TaskTracker::new().spawn(connection);
    Ok(sender)
}

// === impl Seen ===

impl Seen {
    fn fail(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    fn sample(mut self, seconds: f64, cpu_ns: u64, rss_before: u64, rss_peak: u64) -> Sample {
        let us = |ns: u64| ns as f64 / 1000.0;
        for values in [&mut self.latencies, &mut self.firsts, &mut self.delays] {
            values.sort_unstable();
        }
        Sample {
            requests: self.latencies.len(),
            chunks: self.delays.len(),
            errors: self.errors,
            first_error: self.first_error,
            seconds,
            cpu_us: us(cpu_ns),
            latency_p50: us(percentile(&self.latencies, 50)),
            latency_p99: us(percentile(&self.latencies, 99)),
            first_p50: us(percentile(&self.firsts, 50)),
            first_p99: us(percentile(&self.firsts, 99)),
            delay_p50: us(percentile(&self.delays, 50)),
            delay_p99: us(percentile(&self.delays, 99)),
            rss_before,
            rss_peak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_asked_for() {
        for bytes in [2048, 65_536] {
            let order = Order {
                address: String::new(),
                model: crate::shape::ANSWER.into(),
                format: Format::Chat,
                stream: false,
                concurrency: 1,
                body_bytes: bytes,
                warmup: 0,
                requests: 0,
                spread_ms: 0,
                hold: false,
                pids: Vec::new(),
            };
            let size = body(&order).len();
            assert!((bytes - 100..=bytes).contains(&size), "{size} for {bytes}");
        }
    }
}

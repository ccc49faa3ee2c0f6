//! The task that owns the files.

use std::{
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crucible_documents::event_log::{
    EVENT_LOG_FILE, LoggedEngineFacts, LoggedEvent, OLDER_EVENT_LOG_FILE,
};
use crucible_router::{catalog::ModelKind, handle::RouterHandle, state_dir::StateDir, view::View};
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt as _,
    sync::mpsc,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::sender::EventLogSender;
use crate::metrics::Metrics;

/// Lines of one write.
const BATCH: usize = 4096;
/// The bytes that most lines of requests take, and some more.
const USUAL_LINE: usize = 512;
/// The time for which lines are gathered, because each write wakes a thread that works on files.
const GATHER: Duration = Duration::from_millis(100);

/// The task that writes events to the log file, bounded in size, with one older file beside it, until it is
/// stopped.
pub(crate) struct EventLogWriter {
    lines: mpsc::Receiver<LoggedEvent>,
    dropped: Arc<AtomicU64>,
    /// Lost, and not yet told in the log.
    missing: u64,
    files: Files,
    metrics: Metrics,
}

/// The two files: what is over half of the bound becomes the older one.
struct Files {
    folder: PathBuf,
    bound: u64,
    open: Option<(File, u64)>,
}

fn engine_facts(view: &View, engine: &str, model: &str) -> Option<LoggedEngineFacts> {
    let engine = view.engines.iter().find(|e| *e.name == *engine)?;
    let model = engine.models.iter().find(|m| *m.id == *model);
    Some(LoggedEngineFacts {
        engine_kind: engine.kind,
        device: engine.device,
        pool: Arc::clone(&engine.pool),
        embedding: model.is_some_and(|m| m.kind == ModelKind::Embedding),
        size_bytes: model.and_then(|m| m.size_bytes),
    })
}

// === impl EventLogWriter ===

impl EventLogWriter {
    /// A log of at most `bound` bytes in that folder, and the end that takes events.
    pub(crate) fn new(folder: &Path, bound: u64, metrics: Metrics) -> (EventLogSender, Self) {
        let (events, lines, dropped) = EventLogSender::open();
        let files = Files {
            folder: folder.to_owned(),
            bound,
            open: None,
        };
        let writer = Self {
            lines,
            dropped,
            missing: 0,
            files,
            metrics,
        };
        (events, writer)
    }

    /// Ends when it is stopped, after everything that came before. What comes while the folder is
    /// another's is not written.
    pub(crate) async fn run(
        mut self,
        router: RouterHandle,
        state: Arc<StateDir>,
        stop: CancellationToken,
    ) {
        if !self.awaited(&state, &stop).await {
            return;
        }
        let mut batch = Vec::new();
        let mut told = false;
        loop {
            let some = tokio::select! {
                biased;
                n = self.lines.recv_many(&mut batch, BATCH) => n > 0,
                () = stop.cancelled(), if !self.lines.is_closed() => {
                    self.lines.close();
                    true
                }
            };
            if !some {
                return;
            }
            if batch.len() < BATCH && stop.run_until_cancelled(sleep(GATHER)).await.is_some() {
                while batch.len() < BATCH
                    && let Ok(line) = self.lines.try_recv()
                {
                    batch.push(line);
                }
            }
            let lines = batch.len() as u64;
            let text = self.text(&mut batch, &router.view());
            if let Err(error) = self.files.append(&text).await {
                self.lose(lines);
                if !told {
                    let folder = self.files.folder.display();
                    tracing::warn!(%error, %folder, "the event log is not written");
                    told = true;
                }
            } else {
                self.missing = 0;
                told = false;
            }
        }
    }

    /// Gives whether the folder became ours before the end.
    async fn awaited(&mut self, state: &StateDir, stop: &CancellationToken) -> bool {
        let unwritten = async { while self.lines.recv().await.is_some() {} };
        tokio::select! {
            biased;
            () = state.wait_until_owned() => true,
            () = stop.cancelled() => false,
            () = unwritten => false,
        }
    }

    /// The batch as text, with what the engines are.
    fn text(&mut self, batch: &mut Vec<LoggedEvent>, view: &View) -> Vec<u8> {
        // Quotes, commas and colons are written one by one, which a buffer takes at half the price.
        let mut text = BufWriter::new(Vec::with_capacity(USUAL_LINE * batch.len()));
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        self.lose(dropped);
        if self.missing > 0 {
            let count = self.missing;
            batch.insert(0, LoggedEvent::Dropped { count });
        }
        for mut line in batch.drain(..) {
            if let LoggedEvent::Request(request) = &mut line {
                request.facts = engine_facts(view, &request.engine, &request.model);
            }
            // These types have no keys or numbers that JSON lacks, and a vector takes everything.
            serde_json::to_writer(&mut text, &line).unwrap_or_default();
            text.write_all(b"\n").unwrap_or_default();
        }
        text.into_inner().unwrap_or_default()
    }

    fn lose(&mut self, lines: u64) {
        self.metrics.events_dropped(lines);
        self.missing += lines;
    }
}

// === impl Files ===

impl Files {
    /// Appends whole lines, by one write.
    async fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let more = text.len() as u64;
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        if size > 0 && size + more > self.bound / 2 {
            drop(file);
            let (newer, older) = (
                self.folder.join(EVENT_LOG_FILE),
                self.folder.join(OLDER_EVENT_LOG_FILE),
            );
            fs::rename(newer, older).await?;
            (file, size) = self.open().await?;
        }
        file.write_all(text).await?;
        file.flush().await?;
        self.open = Some((file, size + more));
        Ok(())
    }

    async fn open(&self) -> io::Result<(File, u64)> {
        fs::create_dir_all(&self.folder).await?;
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // Who asked what model when is nobody else's business.
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(self.folder.join(EVENT_LOG_FILE)).await?;
        let size = file.metadata().await?.len();
        Ok((file, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ExpositionFormat;

    fn files(folder: &Path, bound: u64) -> Files {
        Files {
            folder: folder.to_owned(),
            bound,
            open: None,
        }
    }

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    #[tokio::test]
    async fn the_older_half_is_dropped_at_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path(), 20);
        for line in ["aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeee\n"] {
            files.append(line.as_bytes()).await.unwrap();
        }
        assert_eq!(read(folder.path(), EVENT_LOG_FILE), "eeee\n");
        assert_eq!(read(folder.path(), OLDER_EVENT_LOG_FILE), "cccc\ndddd\n");
    }

    #[tokio::test]
    async fn a_later_start_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        files(&state, 20).append(b"aaaa\n").await.unwrap();
        let mut again = files(&state, 20);
        again.append(b"bbbb\n").await.unwrap();
        assert_eq!(read(&state, EVENT_LOG_FILE), "aaaa\nbbbb\n");
        again.append(b"cccc\n").await.unwrap();
        assert_eq!(read(&state, OLDER_EVENT_LOG_FILE), "aaaa\nbbbb\n");
    }

    #[test]
    fn what_does_not_fit_the_channel_is_counted_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new().unwrap();
        let (events, mut writer) = EventLogWriter::new(folder.path(), 1000, metrics.clone());
        for _ in 0..super::super::sender::WAITING + 3 {
            events.put(|| LoggedEvent::Dropped { count: 0 });
        }
        let text = writer.text(&mut Vec::new(), &View::default());
        assert_eq!(text, b"{\"event\":\"dropped\",\"count\":3}\n");
        // Until it is written it stays missing.
        assert_eq!(writer.text(&mut Vec::new(), &View::default()), text);
        writer.missing = 0;
        assert_eq!(writer.text(&mut Vec::new(), &View::default()), b"");
        let counted = "crucible_log_dropped_total{sink=\"events\"} 3\n";
        let text = metrics.encode(ExpositionFormat::Text).unwrap();
        assert!(text.contains(counted));
    }
}

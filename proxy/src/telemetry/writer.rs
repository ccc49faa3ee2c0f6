//! Log lines on their way to stderr: gathered for a moment, then written by a thread of their own.
//!
//! This is not tracing-appender's non-blocking writer (0.2), for two reasons. It forgets what the
//! system refuses to write, so that a full disk or a closed pipe would lose lines that nobody counts;
//! and it wakes its thread for every line (four `sched_yield` and a futex call), which costs a request
//! more than the line does, where a line may as well wait 20 ms.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// The time for which lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(20);

/// The bytes of text that may wait; lines that come when it is full are lost.
const MOST_WAITING: usize = 1024 * 1024;

/// The bytes of the buffer that are kept for the next lines.
const KEPT_BUFFER: usize = 64 * 1024;

/// The longest wait, at the end of the process, for a reader of stderr that does not read.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Takes lines and never blocks; clones share one buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct LogWriter(Arc<LogBuffer>);

#[derive(Debug, Default)]
struct LogBuffer {
    waiting: Mutex<WaitingLines>,
    /// Notified when a first line waits, or when no more lines will come.
    begun: Condvar,
    /// Notified when the last line is written.
    done: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct WaitingLines {
    text: Vec<u8>,
    /// No more lines will come.
    over: bool,
    /// All lines were written, or given up.
    written: bool,
}

/// The count of lines that were lost because they came faster than they were written, or because
/// stderr refused them; clones share it.
#[derive(Clone, Debug)]
pub struct LostLines(Arc<LogBuffer>);

/// Writes the lines that still wait when it is dropped.
#[derive(Debug)]
pub(super) struct FlushOnDrop(Arc<LogBuffer>);

/// Writes the text and returns how many lines of it could not be written.
fn write_lines(out: &mut impl Write, text: &[u8]) -> u64 {
    let mut rest = text;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(written @ 1..) => rest = &rest[written.min(rest.len())..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    // A line that was cut counts as lost; one whose last byte was written does not.
    let lines = memchr::memchr_iter(b'\n', rest).count();
    let _ = out.flush();
    lines as u64
}

// === impl LogWriter ===

impl LogWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// Errors: the system has no thread left.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, FlushOnDrop)> {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_to(out))?;
        let flush = FlushOnDrop(Arc::clone(&lines.0));
        Ok((lines, flush))
    }

    /// The count of lines that were lost.
    pub(super) fn lost(&self) -> LostLines {
        LostLines(Arc::clone(&self.0))
    }

    /// The text that is not written yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<u8> {
        self.0.waiting.lock().text.clone()
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl LogBuffer ===

impl LogBuffer {
    fn take(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.text.len() + line.len() > MOST_WAITING {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        drop(waiting);
        if first {
            self.begun.notify_one();
        }
    }

    fn write_to(&self, mut out: impl Write) {
        let mut text = Vec::new();
        let mut over = false;
        while !over {
            let mut waiting = self.waiting.lock();
            self.begun
                .wait_while(&mut waiting, |w| w.text.is_empty() && !w.over);
            self.begun.wait_while_for(&mut waiting, |w| !w.over, GATHER);
            mem::swap(&mut waiting.text, &mut text);
            over = waiting.over;
            drop(waiting);
            let lost = write_lines(&mut out, &text);
            self.lost.fetch_add(lost, Ordering::Relaxed);
            text.clear();
            text.shrink_to(KEPT_BUFFER);
        }
        self.waiting.lock().written = true;
        self.done.notify_all();
    }
}

// === impl LostLines ===

impl LostLines {
    /// The lines that were lost since the last call.
    pub(crate) fn take(&self) -> u64 {
        self.0.lost.swap(0, Ordering::Relaxed)
    }
}

// === impl FlushOnDrop ===

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.over = true;
        self.0.begun.notify_one();
        self.0
            .done
            .wait_while_for(&mut waiting, |w| !w.written, LAST_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Hands on what is written; `open` lets each write pass.
    struct Out {
        written: mpsc::Sender<Vec<u8>>,
        open: mpsc::Receiver<()>,
    }

    impl Write for Out {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(io::Error::other)?;
            self.written.send(text.to_vec()).map_err(io::Error::other)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (
        LogWriter,
        FlushOnDrop,
        mpsc::Sender<()>,
        mpsc::Receiver<Vec<u8>>,
    ) {
        let (written, seen) = mpsc::channel();
        let (pass, open) = mpsc::channel();
        let (lines, flush) = LogWriter::start(Out { written, open }).unwrap();
        (lines, flush, pass, seen)
    }

    #[test]
    fn every_line_is_written_once_and_in_order() {
        let (lines, flush, pass, seen) = start();
        let mut all = String::new();
        for n in 0..1000 {
            let line = format!("line {n}\n");
            (&lines).write_all(line.as_bytes()).unwrap();
            all.push_str(&line);
            pass.send(()).unwrap();
        }
        drop(flush);
        let text: Vec<u8> = seen.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(text).unwrap(), all);
        assert_eq!(lines.lost().take(), 0);
    }

    /// Takes some bytes, then fails.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let taken = self.0.min(text.len());
            self.0 -= taken;
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_are_not_written_whole_are_counted() {
        let text = b"first\nsecond\nthird\n";
        for (room, expected) in [(0, 3), (5, 3), (6, 2), (9, 2), (13, 1), (18, 1), (19, 0)] {
            assert_eq!(write_lines(&mut Full(room), text), expected, "{room} bytes");
        }
        let (lines, flush) = LogWriter::start(Full(6)).unwrap();
        for line in ["first\n", "second\n", "third\n"] {
            (&lines).write_all(line.as_bytes()).unwrap();
        }
        drop(flush);
        assert_eq!(lines.lost().take(), 2);
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_counted_and_holds_nobody_up() {
        let (lines, flush, pass, seen) = start();
        let line = vec![b'x'; MOST_WAITING / 4];
        // One buffer is being written at most, one waits.
        for _ in 0..9 {
            (&lines).write_all(&line).unwrap();
        }
        assert!(lines.lost().take() >= 1);
        drop(pass);
        drop(flush);
        assert!(seen.try_iter().next().is_none());
    }
}

//! Log lines on their way to stderr: gathered for a moment, then written by a thread of their own.
//!
//! A thread that is woken for each line, or spins for the next one, costs a request more than the
//! line does (tracing-appender 0.2: four `sched_yield` and a futex call per line).

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

/// From a line's coming to its being written.
const GATHER: Duration = Duration::from_millis(20);

/// Text that may wait before new lines are dropped.
const BYTES: usize = 1024 * 1024;

/// Buffer that is kept for the next lines.
const KEPT: usize = 64 * 1024;

/// Longest wait for a reader of stderr that does not read, at the end.
const LAST: Duration = Duration::from_secs(1);

/// Where lines go; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// A first line waits, or it is over.
    begun: Condvar,
    /// The last line is written.
    done: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    over: bool,
    written: bool,
}

/// Counts the lines that were dropped; cheap to clone.
#[derive(Clone, Debug)]
pub struct Dropped(Arc<Shared>);

/// Writes what is left when it is dropped.
#[derive(Debug)]
pub(super) struct Flush(Arc<Shared>);

/// Writes the text, and gives how many lines of it could not be written.
fn lost(out: &mut impl Write, text: &[u8]) -> u64 {
    let mut rest = text;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(written @ 1..) => rest = &rest[written.min(rest.len())..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    // A line that was cut counts as one; who wrote the last byte of a line wrote it.
    let lines = memchr::memchr_iter(b'\n', rest).count();
    let _ = out.flush();
    lines as u64
}

// === impl Lines ===

impl Lines {
    /// Starts the thread that writes to `out`.
    ///
    /// Errors: the system has no thread left.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_to(out))?;
        let flush = Flush(Arc::clone(&lines.0));
        Ok((lines, flush))
    }

    pub(super) fn dropped(&self) -> Dropped {
        Dropped(Arc::clone(&self.0))
    }

    /// What is not written yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<u8> {
        self.0.waiting.lock().text.clone()
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Shared ===

impl Shared {
    fn take(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.text.len() + line.len() > BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
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
            let lost = lost(&mut out, &text);
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            text.clear();
            text.shrink_to(KEPT);
        }
        self.waiting.lock().written = true;
        self.done.notify_all();
    }
}

// === impl Dropped ===

impl Dropped {
    /// Since it was asked last.
    pub(crate) fn take(&self) -> u64 {
        self.0.dropped.swap(0, Ordering::Relaxed)
    }
}

// === impl Flush ===

impl Drop for Flush {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.over = true;
        self.0.begun.notify_one();
        self.0
            .done
            .wait_while_for(&mut waiting, |w| !w.written, LAST);
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

    fn start() -> (Lines, Flush, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let (written, seen) = mpsc::channel();
        let (pass, open) = mpsc::channel();
        let (lines, flush) = Lines::start(Out { written, open }).unwrap();
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
        assert_eq!(lines.dropped().take(), 0);
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
            assert_eq!(lost(&mut Full(room), text), expected, "{room} bytes");
        }
        let (lines, flush) = Lines::start(Full(6)).unwrap();
        for line in ["first\n", "second\n", "third\n"] {
            (&lines).write_all(line.as_bytes()).unwrap();
        }
        drop(flush);
        assert_eq!(lines.dropped().take(), 2);
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_counted_and_holds_nobody_up() {
        let (lines, flush, pass, seen) = start();
        let line = vec![b'x'; BYTES / 4];
        // One buffer is being written at most, one waits.
        for _ in 0..9 {
            (&lines).write_all(&line).unwrap();
        }
        assert!(lines.dropped().take() >= 1);
        drop(pass);
        drop(flush);
        assert!(seen.try_iter().next().is_none());
    }
}

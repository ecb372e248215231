//! Standard error, for a log that may have no reader: a line that can't be written at once waits for a thread of its own,
//! and where too many wait it is dropped and counted. No connection ever waits for the log.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::format::LogFormat;

/// Lines that may wait.
const LINES: usize = 4096;
/// How long the end waits for a reader, at most twice.
const END: Duration = Duration::from_secs(1);

/// The log while it is written. Dropping it writes what waits, if somebody reads it.
#[must_use]
pub struct Log {
    queue: NonBlocking,
    dropped: Dropped,
    guard: Option<WorkerGuard>,
}

/// What is known of lines that were dropped.
#[derive(Clone, Default)]
struct Dropped {
    counter: Arc<OnceLock<ErrorCounter>>,
    /// Of those counted, how many were no lines.
    probes: Arc<AtomicUsize>,
}

impl Dropped {
    fn counted(&self) -> usize {
        self.counter.get().map_or(0, ErrorCounter::dropped_lines)
    }

    fn lines(&self) -> usize {
        self.counted().saturating_sub(self.probes.load(Ordering::Acquire))
    }
}

/// Begins to write.
pub(super) fn start(format: LogFormat) -> (NonBlocking, Log) {
    start_on(io::stderr(), format)
}

fn start_on(out: impl Write + Send + 'static, format: LogFormat) -> (NonBlocking, Log) {
    let dropped = Dropped::default();
    let writer = Teller {
        out,
        format,
        dropped: dropped.clone(),
        rest: Vec::new(),
        refused: 0,
        told: 0,
        told_at: None,
    };
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES).thread_name("log");
    let (queue, guard) = builder.finish(writer);
    // It is empty as yet.
    let _ = dropped.counter.set(queue.error_counter());
    (queue.clone(), Log { queue, dropped, guard: Some(guard) })
}

impl Log {
    /// Has the queue no room?
    fn is_full(&mut self) -> bool {
        let before = self.dropped.counted();
        // Known before it may be counted, lest it be told as a line.
        self.dropped.probes.fetch_add(1, Ordering::AcqRel);
        let _ = self.queue.write(b"");
        let is_full = self.dropped.counted() > before;
        if !is_full {
            self.dropped.probes.fetch_sub(1, Ordering::AcqRel);
        }
        is_full
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        let deadline = Instant::now() + END;
        while self.is_full() {
            if Instant::now() >= deadline {
                // Nobody reads. The guard would say on standard output that it has no room for its farewell.
                mem::forget(guard);
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // It waits for the last line to be written, a second at most.
        drop(guard);
    }
}

/// Writes lines, and says of how many there are none. That nothing can be written is no error here: there is nobody to
/// tell.
struct Teller<W> {
    out: W,
    format: LogFormat,
    dropped: Dropped,
    /// The rest of a line that was written in part. It comes first as soon as there is room, so that no line has another
    /// one in it.
    rest: Vec<u8>,
    /// Lines that could not be written: the disk is full, or a standard error that does not block has no room.
    refused: usize,
    told: usize,
    told_at: Option<Instant>,
}

impl<W: Write> Teller<W> {
    /// Writes a whole line, or none of it; keeps what does not fit of one that has begun.
    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let mut rest = mem::take(&mut self.rest);
        let (written, result) = write_some(&mut self.out, &rest);
        if result.is_err() {
            rest.drain(..written);
            self.rest = rest;
            return result;
        }
        match write_some(&mut self.out, line) {
            (written @ 1.., Err(_)) => {
                self.rest = line[written..].to_vec();
                Ok(())
            }
            (_, result) => result,
        }
    }

    fn tell(&mut self) {
        let dropped = self.dropped.lines() + self.refused;
        let new = dropped.saturating_sub(self.told);
        if new > 0 && self.put(line(self.format, new).as_bytes()).is_ok() {
            self.told = dropped;
            self.told_at = Some(Instant::now());
        }
    }
}

impl<W: Write> Write for Teller<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.refused += usize::from(self.put(bytes).is_err());
        // To a slow reader once a second, not behind each line.
        if self.told_at.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.tell();
        }
        Ok(bytes.len())
    }

    /// Nothing waits any more.
    fn flush(&mut self) -> io::Result<()> {
        let _ = self.put(b"");
        self.tell();
        Ok(())
    }
}

/// Writes as much as there is room for; gives how much.
fn write_some(out: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// A line in the form of the others, which can't be one of them: it must not be dropped, too.
fn line(format: LogFormat, dropped: usize) -> String {
    const MESSAGE: &str = "lines of the log were dropped: nobody read them, or there was no room for them";
    let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    match format {
        LogFormat::Human => format!("{timestamp}  WARN {MESSAGE} dropped={dropped}\n"),
        LogFormat::Json => {
            let target = module_path!();
            let fields = serde_json::json!({
                "timestamp": timestamp, "level": "WARN", "message": MESSAGE, "dropped": dropped, "target": target,
            });
            format!("{fields}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes a line when it is asked to, and is gone once it is dropped.
    struct Pipe(SyncSender<String>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let line = String::from_utf8_lossy(bytes).into_owned();
            self.0.send(line).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: LogFormat) -> (NonBlocking, Log, Receiver<String>) {
        let (pipe, reader) = sync_channel(0);
        let (queue, log) = start_on(Pipe(pipe), format);
        (queue, log, reader)
    }

    #[test]
    fn every_line_is_written_or_counted() {
        for format in [LogFormat::Human, LogFormat::Json] {
            let (mut queue, log, reader) = log(format);
            for number in 0..3 * LINES {
                queue.write_all(format!("line {number}\n").as_bytes()).unwrap();
            }
            let reading = thread::spawn(move || reader.into_iter().collect::<String>());
            drop((queue, log));
            let text = reading.join().unwrap();
            let (told, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains("WARN"));
            let number = |line: &str| -> usize {
                let number = match format {
                    LogFormat::Human => line.split("dropped=").nth(1).unwrap().parse().ok(),
                    LogFormat::Json => {
                        serde_json::from_str::<serde_json::Value>(line).unwrap()["dropped"].as_u64()
                    }
                };
                usize::try_from(number.unwrap()).unwrap()
            };
            let dropped: usize = told.iter().map(|line| number(line)).sum();
            assert!(lines.len() >= LINES && dropped > 0, "{} written, {dropped} dropped", lines.len());
            assert_eq!(lines.len() + dropped, 3 * LINES);
            assert!(lines.iter().enumerate().take(LINES).all(|(n, line)| *line == format!("line {n}")));
        }
    }

    #[test]
    fn what_a_reader_that_does_not_block_has_no_room_for_is_counted() {
        /// Takes no line that says so.
        struct Choosy(SyncSender<String>);

        impl Write for Choosy {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.starts_with(b"no room") {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Pipe(self.0.clone()).write(bytes)
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (pipe, reader) = sync_channel(8);
        let (mut queue, log) = start_on(Choosy(pipe), LogFormat::Human);
        for line in ["one\n", "no room\n", "two\n"] {
            queue.write_all(line.as_bytes()).unwrap();
        }
        drop((queue, log));
        let text: String = reader.into_iter().collect();
        assert!(text.contains("one\n") && text.contains("two\n"), "{text}");
        assert_eq!(text.matches("dropped=1\n").count(), 1, "{text}");
    }

    /// A disk that is full for a while: it takes N bytes, then none, then all.
    struct Disk {
        room: usize,
        refusals: usize,
        held: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                if self.refusals == 0 {
                    self.room = usize::MAX;
                } else {
                    self.refusals -= 1;
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.held.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_is_full_for_a_while_costs_whole_lines_which_are_counted() {
        for room in 0..40 {
            for refusals in 1..6 {
                let out = Disk { room, refusals, held: Vec::new() };
                let (format, dropped) = (LogFormat::Human, Dropped::default());
                let mut teller =
                    Teller { out, format, dropped, rest: Vec::new(), refused: 0, told: 0, told_at: None };
                for n in 10..30 {
                    teller.write_all(format!("line {n}\n").as_bytes()).unwrap();
                }
                teller.told_at = None;
                teller.flush().unwrap();
                let text = String::from_utf8(teller.out.held).unwrap();
                let (told, lines): (Vec<_>, Vec<_>) =
                    text.lines().partition(|line| line.contains("were dropped"));
                let dropped = told.iter().map(|line| line.split("dropped=").nth(1).unwrap());
                let dropped: usize = dropped.map(|number| number.parse::<usize>().unwrap()).sum();
                assert_eq!(lines.len() + dropped, 20, "{room} {refusals}: {text}");
                assert!(lines.iter().all(|line| line.len() == 7 && line.starts_with("line ")), "{text}");
            }
        }
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_does_not_read() {
        for lines in [1, 2 * LINES] {
            let (mut queue, log, _reader) = log(LogFormat::Human);
            for _ in 0..lines {
                queue.write_all(b"line\n").unwrap();
            }
            let begin = Instant::now();
            drop(log);
            assert!(begin.elapsed() < 5 * END, "{lines} lines: {:?}", begin.elapsed());
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_nobody_to_wait_for() {
        let (mut queue, log, reader) = log(LogFormat::Human);
        drop(reader);
        for _ in 0..100 {
            queue.write_all(b"line\n").unwrap();
        }
        drop(log);
        assert_eq!(queue.error_counter().dropped_lines(), 0);
    }
}

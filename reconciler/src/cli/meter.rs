//! Owns how progress is shown: one line that is written over on a terminal, a line from time to time elsewhere. Never on standard
//! output, which is for results. The interesting function is [`text`].

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::progress::{Pace, Stage};
use crate::words::{bytes, count};
use crate::worker::meter::Meter;

/// How often a line is written where none is written over.
const LINE_EACH: Duration = Duration::from_secs(30);

/// How often the progress of our own work is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// After so many seconds without progress, that is shown in place of a rate.
const STILL_S: u64 = 10;

/// Where progress is shown.
#[derive(Debug)]
pub(super) struct Line {
    is_terminal: bool,
    written: Option<(Stage, Instant)>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            written: None,
        }
    }

    /// Shows how far it is. Whoever does not read it is no reason to stop.
    pub(super) fn show(&mut self, pace: &Pace) {
        let stage = pace.progress.stage;
        if stage == Stage::Waiting {
            return;
        }
        let mut out = std::io::stderr().lock();
        if self.is_terminal {
            self.written = Some((stage, Instant::now()));
            // Back to its beginning, and cleared.
            let _ = write!(out, "\r\u{1b}[K{}", text(pace)).and_then(|()| out.flush());
        } else if self
            .written
            .is_none_or(|(before, at)| before != stage || at.elapsed() >= LINE_EACH)
        {
            self.written = Some((stage, Instant::now()));
            let _ = writeln!(out, "{}", text(pace));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_terminal && self.written.is_some() {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\u{1b}[K").and_then(|()| out.flush());
        }
    }
}

/// `storing 1.2 GiB of 3.0 GiB (40 %), 85.0 MiB/s, 21 s left`.
pub(super) fn text(pace: &Pace) -> String {
    let progress = &pace.progress;
    let of = progress.of_bytes.filter(|of| *of > 0).map(|of| {
        let percent = (u128::from(progress.bytes) * 100 / u128::from(of)).min(100);
        format!(" of {} ({percent} %)", bytes(of))
    });
    let stage = progress.stage.as_str();
    let done = bytes(progress.bytes);
    let mut told = vec![format!("{stage} {done}{}", of.unwrap_or_default())];
    if progress.entries > 0 {
        let what = match progress.stage {
            Stage::Copying | Stage::Reading => "object",
            _ => "file",
        };
        told.push(count(progress.entries, what));
    }
    if pace.still_s >= STILL_S {
        told.push(format!("no progress for {} s", pace.still_s));
    } else {
        if pace.rate > 0 {
            told.push(format!("{}/s", bytes(pace.rate)));
        }
        told.extend(pace.left_s.map(|left| format!("{} left", duration(left))));
    }
    told.join(", ")
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Shows the progress of our own work on a terminal, until it is dropped.
#[derive(Debug)]
pub(super) struct Shown(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Shown {
    pub(super) fn of(meter: Meter) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        if !std::io::stderr().is_terminal() {
            return Self(over, None);
        }
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut line = Line::new();
            while !ended.load(Ordering::SeqCst) {
                if let Some(pace) = meter.pace() {
                    line.show(&pace);
                }
                std::thread::park_timeout(LOOK);
            }
        });
        Self(over, Some(thread))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        if let Some(thread) = self.1.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    fn pace(entries: u64, bytes: u64, of_bytes: Option<u64>, left_s: Option<u64>) -> Pace {
        let progress = Progress {
            stage: Stage::Storing,
            entries,
            bytes,
            of_bytes,
            steps: 0,
        };
        Pace {
            progress,
            rate: 85 << 20,
            left_s,
            still_s: 0,
        }
    }

    #[test]
    fn progress_is_told_with_what_is_known_of_it() {
        let known = pace(7, 1 << 30, Some(4 << 30), Some(75));
        assert_eq!(
            text(&known),
            "storing 1.0 GiB of 4.0 GiB (25 %), 7 files, 85.0 MiB/s, 2 min left"
        );
        let unknown = pace(0, 1 << 30, None, None);
        assert_eq!(text(&unknown), "storing 1.0 GiB, 85.0 MiB/s");
        let still = Pace {
            still_s: 12,
            ..known
        };
        assert_eq!(
            text(&still),
            "storing 1.0 GiB of 4.0 GiB (25 %), 7 files, no progress for 12 s"
        );
    }
}

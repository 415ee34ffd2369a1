//! Owns work that blocks, run so that virtual time passes in it: on a thread of its own, of which the runtime's thread waits for every
//! word. Exactly one of the two runs at any time. The interesting function is [`Coroutine::proceed`].

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::control::effects::Work;
use crate::world::cancel::Cancel;

/// What the work says when it gives way.
#[derive(Debug)]
pub(super) enum Said {
    /// It waits that long, or until the token is cancelled.
    Pauses(Duration, Option<Cancel>),
    /// The process dies here.
    Dies,
    /// It is done, or panicked for this reason.
    Ended(Result<(), String>),
}

/// What a killed process unwinds with.
struct Killed;

/// The end of the work's thread.
struct Line {
    say: Sender<Said>,
    go: Receiver<()>,
}

thread_local! {
    static LINE: RefCell<Option<Line>> = const { RefCell::new(None) };
}

/// Work on its way. Dropping it is the kill: the work ends where it waits, and nothing of it runs on.
#[derive(Debug)]
pub(super) struct Coroutine {
    go: Option<Sender<()>>,
    said: Receiver<Said>,
    thread: Option<JoinHandle<()>>,
}

impl Coroutine {
    pub(super) fn new(work: Work) -> std::io::Result<Self> {
        let (go, line_go) = channel();
        let (say, said) = channel();
        let body = move || {
            if line_go.recv().is_err() {
                return;
            }
            let last = say.clone();
            LINE.set(Some(Line { say, go: line_go }));
            let ended = catch_unwind(AssertUnwindSafe(work));
            LINE.set(None);
            let ended = match ended {
                Ok(()) => Ok(()),
                Err(panic) if panic.is::<Killed>() => return,
                Err(panic) => Err(reason(panic.as_ref())),
            };
            // A killed process has no receiver any more.
            let _ = last.send(Said::Ended(ended));
        };
        Ok(Self {
            go: Some(go),
            said,
            thread: Some(std::thread::Builder::new().spawn(body)?),
        })
    }

    /// Lets the work go on, and waits until it gives way.
    pub(super) fn proceed(&self) -> Said {
        let gone = || Said::Ended(Err("its thread ended".to_owned()));
        let sent = self.go.as_ref().map(|go| go.send(()));
        match sent {
            Some(Ok(())) => self.said.recv().unwrap_or_else(|_| gone()),
            Some(Err(_)) | None => gone(),
        }
    }
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        self.go = None;
        if let Some(thread) = self.thread.take() {
            // It unwinds or has ended, and its result was sent before.
            let _ = thread.join();
        }
    }
}

fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked".to_owned())
}

/// Waits in virtual time; false where this thread is no coroutine's.
pub(super) fn pause(length: Duration, until: Option<&Cancel>) -> bool {
    give_way(Said::Pauses(length, until.cloned()))
}

/// Ends the process here; false where this thread is no coroutine's.
pub(super) fn die() -> bool {
    give_way(Said::Dies)
}

fn give_way(said: Said) -> bool {
    // What runs while a killed thread unwinds must not wait.
    if std::thread::panicking() {
        return true;
    }
    LINE.with_borrow(|line| {
        let Some(line) = line else { return false };
        if line.say.send(said).is_err() || line.go.recv().is_err() {
            // Without a message: this is no fault.
            resume_unwind(Box::new(Killed));
        }
        true
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts what was reached, and that its end was run.
    struct Counted(Arc<AtomicU32>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(100, Ordering::SeqCst);
        }
    }

    fn steps(count: &Arc<AtomicU32>) -> Work {
        let count = Arc::clone(count);
        Box::new(move || {
            let counted = Counted(count);
            for _ in 0..3 {
                counted.0.fetch_add(1, Ordering::SeqCst);
                assert!(pause(Duration::from_secs(1), None));
            }
        })
    }

    #[test]
    fn work_runs_from_pause_to_pause() {
        let count = Arc::new(AtomicU32::new(0));
        let work = Coroutine::new(steps(&count)).unwrap();
        for reached in 1..=3 {
            assert!(matches!(work.proceed(), Said::Pauses(..)));
            assert_eq!(count.load(Ordering::SeqCst), reached);
        }
        assert!(matches!(work.proceed(), Said::Ended(Ok(()))));
        assert_eq!(count.load(Ordering::SeqCst), 103);
    }

    #[test]
    fn killed_work_ends_where_it_waits_and_gives_back_what_it_holds() {
        let count = Arc::new(AtomicU32::new(0));
        let work = Coroutine::new(steps(&count)).unwrap();
        assert!(matches!(work.proceed(), Said::Pauses(..)));
        drop(work);
        assert_eq!(count.load(Ordering::SeqCst), 101);
    }

    #[test]
    fn a_panic_is_told() {
        #[expect(clippy::panic, reason = "this is what is tested")]
        let work = Coroutine::new(Box::new(|| panic!("of its own"))).unwrap();
        assert!(matches!(work.proceed(), Said::Ended(Err(why)) if why == "of its own"));
    }
}

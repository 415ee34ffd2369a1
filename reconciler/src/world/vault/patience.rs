//! Owns how long a location may keep us waiting: every call at a location runs on a thread of its own and is left behind when
//! it makes no progress. Never cancels a call, because the system cannot: a write to a hung mount ends when the mount does.
//! The interesting function is [`call`].
//!
//! While a call that was left behind has not returned, its location is not called again by this process. So a hung location
//! costs one wait, and at most [`CALLS_AT_ONCE`] threads however long it hangs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::mirror::lock;

/// Calls at one location at the same time. Two writers and the engine's readers keep a disk busy; more would only be more
/// threads to lose when it hangs.
const CALLS_AT_ONCE: usize = 8;

/// How often a waiting caller looks for progress.
const LOOK: Duration = Duration::from_millis(250);

/// Why a call gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResult {
    /// It made no progress for this long, or an earlier call has not returned since.
    Silent(Duration),
    /// It could not be started, or panicked.
    Broken,
}

/// Shows the waiting caller that the call goes forward.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Some bytes moved, or a folder was listed.
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What goes on at one location.
#[derive(Debug, Default)]
struct Traffic {
    running: usize,
    /// Calls that were left behind and have not returned.
    silent: usize,
    silent_since: Option<Instant>,
}

static TRAFFIC: Mutex<BTreeMap<PathBuf, Traffic>> = Mutex::new(BTreeMap::new());
static ENDED: Condvar = Condvar::new();

/// Runs `work` and waits for it as long as it makes progress at least once per `patience`.
pub(super) fn call<T: Send + 'static>(
    location: &Path,
    patience: Duration,
    work: impl FnOnce(&Pulse) -> T + Send + 'static,
) -> Result<T, NoResult> {
    enter(location, patience)?;
    let (sender, receiver) = sync_channel(1);
    let pulse = Pulse::default();
    let leaving = Leaving {
        location: location.to_owned(),
        left_behind: Arc::new(AtomicBool::new(false)),
    };
    let left_behind = Arc::clone(&leaving.left_behind);
    let theirs = pulse.clone();
    let started = std::thread::Builder::new()
        .name("location".to_owned())
        .spawn(move || {
            let _leaving = leaving;
            // A caller that gave up hears nothing.
            drop(sender.send(work(&theirs)));
        });
    if started.is_err() {
        return Err(NoResult::Broken);
    }
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        match receiver.recv_timeout(LOOK.min(patience)) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Disconnected) => return Err(NoResult::Broken),
            Err(RecvTimeoutError::Timeout) if pulse.count() != seen => {
                seen = pulse.count();
                since = Instant::now();
            }
            Err(RecvTimeoutError::Timeout) if since.elapsed() < patience => {}
            Err(RecvTimeoutError::Timeout) => {
                let mut traffic = lock(&TRAFFIC);
                if let Ok(value) = receiver.try_recv() {
                    return Ok(value);
                }
                left_behind.store(true, Ordering::SeqCst);
                let here = traffic.entry(location.to_owned()).or_default();
                here.silent += 1;
                here.silent_since.get_or_insert(since);
                return Err(NoResult::Silent(since.elapsed()));
            }
        }
    }
}

/// Waits for one of the location's places, unless it is silent.
fn enter(location: &Path, patience: Duration) -> Result<(), NoResult> {
    let until = Instant::now() + patience;
    let mut traffic = lock(&TRAFFIC);
    loop {
        let here = traffic.entry(location.to_owned()).or_default();
        if here.silent > 0 {
            let since = here.silent_since.map_or(patience, |since| since.elapsed());
            return Err(NoResult::Silent(since));
        }
        if here.running < CALLS_AT_ONCE {
            here.running += 1;
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoResult::Silent(patience));
        }
        traffic = ENDED
            .wait_timeout(traffic, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// Gives the location's place back when the call returns, however late, and even when it panics.
struct Leaving {
    location: PathBuf,
    left_behind: Arc<AtomicBool>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut traffic = lock(&TRAFFIC);
        if let Some(here) = traffic.get_mut(&self.location) {
            here.running = here.running.saturating_sub(1);
            if self.left_behind.load(Ordering::SeqCst) {
                here.silent = here.silent.saturating_sub(1);
                if here.silent == 0 {
                    here.silent_since = None;
                }
            }
        }
        ENDED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_silent_location_costs_one_wait_and_comes_back_when_its_call_returns() {
        let place = Path::new("/silent");
        let (release, until) = channel::<()>();
        let began = Instant::now();
        let answer = call(place, SHORT, move |_| until.recv());
        assert!(matches!(answer, Err(NoResult::Silent(_))), "{answer:?}");
        assert!(began.elapsed() >= SHORT);
        // No further call begins, and none waits.
        let began = Instant::now();
        for _ in 0..100 {
            let answer = call(place, SHORT, |_| ());
            assert!(matches!(answer, Err(NoResult::Silent(_))), "{answer:?}");
        }
        assert!(began.elapsed() < SHORT);
        assert_eq!(call(Path::new("/other"), SHORT, |_| 1), Ok(1));
        drop(release);
        let back = (0..1000).any(|_| {
            std::thread::yield_now();
            std::thread::sleep(Duration::from_millis(2));
            call(place, SHORT, |_| ()).is_ok()
        });
        assert!(back, "its call has returned");
    }

    #[test]
    fn slow_is_not_silent() {
        let place = Path::new("/slow");
        let answer = call(place, SHORT, |pulse| {
            for _ in 0..10 {
                std::thread::sleep(SHORT / 3);
                pulse.beat();
            }
            "done"
        });
        assert_eq!(answer, Ok("done"));
    }

    #[test]
    fn threads_at_a_location_are_bounded() {
        let place = Path::new("/busy");
        let (release, until) = channel::<()>();
        let until = Arc::new(Mutex::new(until));
        let silent = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..CALLS_AT_ONCE * 4)
                .map(|_| {
                    let until = Arc::clone(&until);
                    scope.spawn(move || call(place, SHORT, move |_| lock(&until).recv().is_ok()))
                })
                .collect();
            calls
                .into_iter()
                .filter_map(|call| call.join().ok())
                .filter(Result::is_err)
                .count()
        });
        assert_eq!(silent, CALLS_AT_ONCE * 4);
        let running = lock(&TRAFFIC).get(place).map_or(0, |here| here.running);
        assert_eq!(running, CALLS_AT_ONCE);
        drop(release);
    }
}

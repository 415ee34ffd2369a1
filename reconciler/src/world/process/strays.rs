//! Owns the processes that left their group: a program that calls `setsid` is not reached by a signal to the group, and lives
//! on with another parent. This process takes the orphans of what it started, and ends them with the group that they came
//! from. Never touches a process that is not its own child. The interesting function is [`end`].

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// A killed process is gone within this time, unless the kernel itself waits for a device; then nobody can end it.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Between two looks at what is left.
const TICK: Duration = Duration::from_millis(1);

/// Those that did not end within that time. They are not waited for again, only reaped when their device lets go of them.
static LEFT: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Whether orphans come to this process. Only then is a child that nobody here started a stray.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// Makes this process the parent of the orphans among its descendants.
pub(super) fn adopt() -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    ADOPTS.store(true, Ordering::SeqCst);
    Ok(())
}

/// One child of this process.
struct Stray {
    pid: Pid,
    group: i32,
}

/// Kills and reaps every child that belongs to no group of `leaders`. Their own children come to us when they are gone, so
/// it goes on until there is none.
pub(super) fn end(leaders: &BTreeSet<i32>) {
    if !ADOPTS.load(Ordering::SeqCst) {
        return;
    }
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain(|pid| {
        let waited = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
        waited == Ok(WaitStatus::StillAlive)
    });
    let began = Instant::now();
    loop {
        let strays: Vec<Stray> = children()
            .into_iter()
            .filter(|child| {
                let pid = child.pid.as_raw();
                !leaders.contains(&pid) && !leaders.contains(&child.group) && !left.contains(&pid)
            })
            .collect();
        if strays.is_empty() {
            return;
        }
        if began.elapsed() > GONE_WITHIN {
            left.extend(strays.iter().map(|stray| stray.pid.as_raw()));
            return;
        }
        for stray in strays {
            // Our own child until it is reaped, so its number cannot belong to a stranger.
            let _ = kill(stray.pid, Signal::SIGKILL);
            let _ = waitpid(stray.pid, Some(WaitPidFlag::WNOHANG));
        }
        std::thread::sleep(TICK);
    }
}

/// The children of this process, those that ended and wait to be reaped among them.
fn children() -> Vec<Stray> {
    let ours = getpid().as_raw();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            let (parent, group) = parent_and_group(&String::from_utf8_lossy(&stat))?;
            (parent == ours).then_some(Stray {
                pid: Pid::from_raw(pid),
                group,
            })
        })
        .collect()
}

/// `pid (name) state parent group …`; the name may hold anything, so the last bracket ends it.
fn parent_and_group(stat: &str) -> Option<(i32, i32)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_parent() {
        let stat = "42 (a) S 1 7 (b)) S 40 41 41 0 -1 4194560";
        assert_eq!(parent_and_group(stat), Some((40, 41)));
        assert_eq!(parent_and_group("42 (a"), None);
    }
}

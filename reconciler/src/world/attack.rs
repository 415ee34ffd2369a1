//! An attacker for tests: a thread that the kernel treats as `nobody` and that exchanges names as fast as it can.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::owner::Owner;

/// The user and group of whom nothing is expected.
pub(crate) const NOBODY: u32 = 65_534;

/// How many rounds a race is run.
pub(crate) const ROUNDS: u64 = 1_000;

/// Bytes that only root may read; none may leave.
pub(crate) const SECRET: &str = "{\"secret\":\"of root\"}\n";

/// Runs until it is dropped.
pub(crate) struct Attacker {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Attacker {
    pub(crate) fn start(mut turn: impl FnMut() + Send + 'static) -> Self {
        let (stop, turns) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let thread = std::thread::spawn({
            let (stop, turns) = (Arc::clone(&stop), Arc::clone(&turns));
            move || {
                let nobody = Owner::of_file(NOBODY, NOBODY).expect("this test runs as root");
                let _assumed = nobody.assume().unwrap();
                while !stop.load(Ordering::SeqCst) {
                    turn();
                    turns.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self {
            stop,
            turns,
            thread: Some(thread),
        }
    }

    /// Whether another round is due: there are at least [`ROUNDS`], and more while it has not struck more often than that, or
    /// what must come through by chance has not.
    pub(crate) fn goes_on(&self, round: u64, all_seen: bool) -> bool {
        let struck = self.turns.load(Ordering::SeqCst) > ROUNDS;
        round < ROUNDS || (!(all_seen && struck) && round < 50 * ROUNDS)
    }

    /// Ends it and tells how often it struck.
    pub(crate) fn end(mut self) -> u64 {
        self.finish();
        self.turns.load(Ordering::SeqCst)
    }

    fn finish(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Exchanges two names; it fails when one is away.
pub(crate) fn exchange(one: &Path, other: &Path) {
    let path = |path: &Path| CString::new(path.to_str().unwrap()).unwrap();
    let _ = renameat_with(CWD, path(one), CWD, path(other), RenameFlags::EXCHANGE);
}

/// A folder of `nobody` beside a folder and a file that belong to root alone.
pub(crate) struct Ground {
    _scratch: tempfile::TempDir,
    /// Belongs to `nobody`.
    pub theirs: PathBuf,
    /// Belongs to root, mode 0700; holds `secret` and a folder `inside`.
    pub ours: PathBuf,
    before: Vec<(PathBuf, u32, u32, String)>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same, with more of root's: it gets the folder.
    pub(crate) fn with(prepare: impl FnOnce(&Path)) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (theirs, ours) = (scratch.path().join("theirs"), scratch.path().join("ours"));
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::create_dir_all(ours.join("inside")).unwrap();
        fs::create_dir(ours.join("empty")).unwrap();
        fs::write(ours.join("secret"), SECRET).unwrap();
        fs::write(ours.join("inside/a"), SECRET).unwrap();
        for (path, mode) in [
            ("", 0o700),
            ("secret", 0o600),
            ("inside", 0o700),
            ("empty", 0o700),
            ("inside/a", 0o600),
        ] {
            fs::set_permissions(ours.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        prepare(&ours);
        let mut ground = Self {
            _scratch: scratch,
            theirs,
            ours,
            before: Vec::new(),
        };
        ground.before = ground.look();
        ground
    }

    /// Gives something to `nobody`.
    pub(crate) fn give(path: &Path) {
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }

    /// Nothing of root's has another mode, owner or content, and nothing was put beside it.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(self.look(), self.before);
    }

    fn look(&self) -> Vec<(PathBuf, u32, u32, String)> {
        use std::os::unix::fs::MetadataExt as _;
        let mut found: Vec<_> = walkdir::WalkDir::new(&self.ours)
            .into_iter()
            .map(|entry| {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                let content = fs::read_to_string(entry.path()).unwrap_or_default();
                (entry.into_path(), metadata.mode(), metadata.uid(), content)
            })
            .collect();
        found.sort();
        found
    }
}

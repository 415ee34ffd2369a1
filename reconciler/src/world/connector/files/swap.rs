//! The in-place restore of a folder: staged beside it, made durable, exchanged in one atomic rename, the old one kept.
//!
//! A crash at any instant leaves either the old folder or the new one at the live path, and running the same restore
//! again ends it. Never deletes what was live. The folder above is opened once and held, and what is staged is in a folder that
//! only the writer can enter: whoever owns the folder above can move names, but nothing outside is written or given another
//! mode. The interesting function is [`restore_in_place`].

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::world::connector::live;
use crate::world::connector::target::{self, target_invalid};
use crate::world::connector::tree::{self, Copied, Writer};
use crate::world::connector::{
    Binding, Bounds, Check, ConnectorError, FilesBinding, InPlace, Material, RestoreSummary,
};
use crate::world::folder::{Folder, FolderError, Identity, PRIVATE_FILE};

/// The folder of the new data before the exchange and of the old data after it.
const FRESH: &str = "fresh";
/// Says which folder is the new one; written when it is whole.
const READY: &str = "ready";
const UNFINISHED: &str = "ready.part";
/// It holds two numbers.
const READY_BYTES: u64 = 100;

pub(in crate::world::connector) fn restore_in_place(
    binding: &FilesBinding,
    material: Material<'_>,
    restore_id: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let owner = Binding::Files(binding.clone()).owner()?;
    let writer = Writer {
        owner: owner.as_ref(),
    };
    let swap = Swap::open(&binding.path, restore_id, writer)?;
    let mut notes = Vec::new();
    let (copied, checks) = match swap.progress() {
        Progress::Exchanged => {
            notes.push("the exchange had been done before by the same restore; only the old folder was put aside".to_owned());
            (Copied::default(), Vec::new())
        }
        Progress::NotReady | Progress::Staged => {
            let (copied, check) = swap.stage(material, bounds)?;
            bounds.may_go_on("the exchange of the folders")?;
            swap.mark_ready()?;
            if let Err(error) = swap.exchange() {
                swap.discard();
                return Err(error);
            }
            (copied, vec![check])
        }
        Progress::Unclear => return Err(swap.holds_something(&swap.staging)),
    };
    let kept = swap.settle()?;
    if kept.is_some() {
        notes.push("a process that had files of the old folder open still writes to the old folder: restart it".to_owned());
    }
    if !binding.exclude.is_empty() {
        notes.push(
            "what the binding excludes was not in the backup; it is only in the old folder"
                .to_owned(),
        );
    }
    notes.extend(copied.notes);
    Ok(RestoreSummary {
        target: swap.path(&swap.live).display().to_string(),
        items: copied.items,
        bytes: copied.bytes,
        checks,
        kept: kept.map(|path| path.display().to_string()),
        notes,
    })
}

/// What can be seen of the restore with this id; nothing when it has left no trace.
pub(in crate::world::connector) fn probe(
    binding: &FilesBinding,
    restore_id: &str,
) -> Result<Option<InPlace>, ConnectorError> {
    let owner = Binding::Files(binding.clone()).owner()?;
    let writer = Writer {
        owner: owner.as_ref(),
    };
    let swap = Swap::open(&binding.path, restore_id, writer)?;
    let is_staged = || {
        swap.enter_staging()
            .is_ok_and(|staging| target::is_taken(&staging, OsStr::new(FRESH)))
    };
    Ok(match swap.progress() {
        Progress::Exchanged => Some(InPlace::Exchanged),
        Progress::Unclear => None,
        // Old data are put aside only after the exchange, and what says so goes before the staging folder does.
        Progress::NotReady | Progress::Staged if target::is_taken(&swap.parent, &swap.kept) => {
            Some(InPlace::Done {
                kept: swap.path(&swap.kept).display().to_string(),
            })
        }
        Progress::NotReady | Progress::Staged if is_staged() => Some(InPlace::NotDone {
            left: swap.path(&swap.staging).display().to_string(),
        }),
        Progress::NotReady | Progress::Staged => None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing, or a copy that was not finished.
    NotReady,
    /// The copy is whole and lies beside the live folder.
    Staged,
    /// The copy is the live folder, the old one lies in its place.
    Exchanged,
    /// Somebody moved something, or it cannot be read: nothing may be removed.
    Unclear,
}

struct Swap<'a> {
    writer: Writer<'a>,
    /// The folder above the live one, held.
    parent: Folder,
    live: OsString,
    /// Holds [`FRESH`] and [`READY`].
    staging: OsString,
    kept: OsString,
}

impl<'a> Swap<'a> {
    fn open(path: &Path, restore_id: &str, writer: Writer<'a>) -> Result<Self, ConnectorError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if restore_id.is_empty() || restore_id.len() > 100 || !restore_id.chars().all(plain) {
            return Err(target_invalid(
                path,
                "the restore id must be letters, digits, `.`, `_` and `-`",
            ));
        }
        let odd = |error: FolderError| target_invalid(path, &error.to_string());
        let (parent, live) = live::hold(path)
            .map_err(odd)?
            .ok_or_else(|| target_invalid(path, "the root folder cannot be exchanged"))?;
        let shown = live.to_string_lossy().into_owned();
        let swap = Self {
            writer,
            parent,
            staging: format!(".{shown}.seawall-{restore_id}").into(),
            kept: format!("{shown}.before-{restore_id}").into(),
            live,
        };
        match swap.parent.stat_of(&swap.live) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
                Err(target_invalid(path, "it is not a folder"))
            }
            Ok(_) | Err(_) => Ok(swap),
        }
    }

    /// For messages.
    fn path(&self, name: &OsStr) -> PathBuf {
        self.parent.shown().join(name)
    }

    fn holds_something(&self, name: &OsStr) -> ConnectorError {
        ConnectorError::TargetNotEmpty {
            target: self.path(name).display().to_string(),
        }
    }

    /// The staging folder, as long as nobody else can have filled it.
    fn enter_staging(&self) -> Result<Folder, FolderError> {
        self.parent.enter_private(&self.staging, self.writer.uid())
    }

    /// Which folder has a name now.
    fn identity(folder: &Folder, name: &OsStr) -> Option<Identity> {
        folder.stat_of(name).ok().map(|stat| Identity::from(&stat))
    }

    /// How far a run of this restore has got, told by which folder is the one that was staged.
    fn progress(&self) -> Progress {
        let staging = match self.enter_staging() {
            Ok(staging) => staging,
            Err(error) if error.is_not_found() => return Progress::NotReady,
            Err(_) => return Progress::Unclear,
        };
        let staged = match staging.read(OsStr::new(READY), READY_BYTES) {
            Ok(staged) => staged,
            Err(error) if error.is_not_found() => return Progress::NotReady,
            Err(_) => return Progress::Unclear,
        };
        let is_it = |folder: &Folder, name: &OsStr| {
            Self::identity(folder, name)
                .is_some_and(|found| text(found).as_bytes() == staged.as_slice())
        };
        if is_it(&self.parent, &self.live) {
            Progress::Exchanged
        } else if is_it(&staging, OsStr::new(FRESH)) {
            Progress::Staged
        } else {
            Progress::Unclear
        }
    }

    fn stage(
        &self,
        material: Material<'_>,
        bounds: &Bounds,
    ) -> Result<(Copied, Check), ConnectorError> {
        if target::is_taken(&self.parent, &self.kept) {
            return Err(self.holds_something(&self.kept));
        }
        let path = self.path(&self.staging);
        self.writer.at_target("clear", &path, || {
            if target::is_taken(&self.parent, &self.staging) {
                self.enter_staging()?;
                self.parent.remove_tree(&self.staging)?;
            }
            Ok(())
        })?;
        let staging = self.writer.at_target("create", &path, || {
            self.parent.make_private(&self.staging, self.writer.uid())
        })?;
        let staged = self.fill(&staging, material, bounds);
        if staged.is_err() {
            self.discard();
        }
        staged
    }

    fn fill(
        &self,
        staging: &Folder,
        material: Material<'_>,
        bounds: &Bounds,
    ) -> Result<(Copied, Check), ConnectorError> {
        let path = self.path(&self.staging).join(FRESH);
        let fresh = self.writer.at_target("create", &path, || {
            staging.make_private(OsStr::new(FRESH), self.writer.uid())
        })?;
        let copied = tree::copy(material.folder, &fresh, self.writer, bounds)?;
        let check = target::hold_against(&fresh, material, &copied, bounds)?;
        // The folder itself keeps the owner and mode that production has now; when it is gone, those of the backup.
        let model = match self.parent.enter(&self.live) {
            Ok(live) => live,
            Err(_) => Folder::open(material.folder)
                .map_err(|error| ConnectorError::live(material.folder, error))?,
        };
        let stat = tree::stat_open(&model, model.shown())?;
        tree::carry(&model, &fresh, &stat, self.writer, &path)?;
        tree::sync(&fresh, bounds)?;
        Ok((copied, check))
    }

    /// Records which folder is the new one, so that a later run can tell whether the exchange has happened.
    fn mark_ready(&self) -> Result<(), ConnectorError> {
        let path = self.path(&self.staging).join(READY);
        let unfinished = OsStr::new(UNFINISHED);
        self.writer.at_target("write", &path, || {
            let staging = self.enter_staging()?;
            let fresh = staging.enter(OsStr::new(FRESH))?.identity()?;
            let mut file = staging.create(unfinished, PRIVATE_FILE)?;
            file.write_all(text(fresh).as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|source| FolderError::Io {
                    doing: "writing",
                    path: path.display().to_string(),
                    source,
                })?;
            // Renamed when it is whole, so that it is never read half-written.
            staging.rename(unfinished, &staging, OsStr::new(READY))?;
            staging.sync()?;
            self.parent.sync()
        })
    }

    fn exchange(&self) -> Result<(), ConnectorError> {
        let live = self.path(&self.live);
        let refused = |error: FolderError| ConnectorError::SwapRefused {
            path: live.clone(),
            source: match error {
                FolderError::Io { source, .. } => source,
                error => io::Error::other(error),
            },
        };
        let staging = self.enter_staging().map_err(refused)?;
        let fresh = OsStr::new(FRESH);
        let new = Self::identity(&staging, fresh);
        crate::world::owner::working_as(self.writer.owner, || {
            if target::is_taken(&self.parent, &self.live) {
                staging.exchange(fresh, &self.parent, &self.live)
            } else {
                staging.rename_new(fresh, &self.parent, &self.live)
            }
        })
        .map_err(|error| ConnectorError::io("rename", &live, error))?
        .map_err(refused)?;
        if Self::identity(&self.parent, &self.live) != new {
            return Err(ConnectorError::TargetExchanged {
                target: live.display().to_string(),
                detail: "another folder has its name now".to_owned(),
            });
        }
        tracing::debug!(live = %live.display(), "the folders are exchanged");
        let durable = |error| ConnectorError::written("make durable", &live, error);
        staging.sync().map_err(durable)?;
        self.parent.sync().map_err(durable)
    }

    /// Removes what was staged, as long as it is certain that no old data are in it.
    fn discard(&self) {
        match self.progress() {
            Progress::NotReady | Progress::Staged => {}
            Progress::Exchanged | Progress::Unclear => return,
        }
        let path = self.path(&self.staging);
        let removed = self.writer.at_target("remove", &path, || {
            self.enter_staging()?;
            self.parent.remove_tree(&self.staging)
        });
        if let Err(error) = removed {
            tracing::warn!(event = "restore_left_behind", path = %path.display(), %error, "cannot remove what a failed restore left");
        }
    }

    /// Puts the old folder aside and removes the staging folder. Returns where the old folder is, when there was one.
    fn settle(&self) -> Result<Option<PathBuf>, ConnectorError> {
        let path = self.path(&self.staging);
        self.writer.at_target("put aside", &path, || {
            let staging = self.enter_staging()?;
            let fresh = OsStr::new(FRESH);
            if target::is_taken(&staging, fresh) {
                staging.rename_new(fresh, &self.parent, &self.kept)?;
            }
            staging.remove_file(OsStr::new(READY))?;
            if self.parent.enter(&self.staging)?.identity()? == staging.identity()? {
                self.parent.remove_folder(&self.staging)?;
            }
            self.parent.sync()
        })?;
        Ok(target::is_taken(&self.parent, &self.kept).then(|| self.path(&self.kept)))
    }
}

fn text(identity: Identity) -> String {
    format!("{}:{}", identity.device, identity.inode)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::world::connector::Cancel;

    const ROOT: Writer<'static> = Writer { owner: None };

    struct World {
        _scratch: tempfile::TempDir,
        binding: FilesBinding,
        from: PathBuf,
        live: PathBuf,
    }

    fn world() -> World {
        let scratch = tempfile::tempdir().unwrap();
        let (live, from) = (scratch.path().join("live"), scratch.path().join("from"));
        for (folder, content) in [(&live, "old"), (&from, "new")] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("a"), content).unwrap();
        }
        let binding = FilesBinding {
            path: live.clone(),
            exclude: vec![],
            checksums: None,
            allow_empty: false,
            run_as: None,
        };
        World {
            _scratch: scratch,
            binding,
            from,
            live,
        }
    }

    fn bounds() -> Bounds {
        Bounds::within(Duration::from_mins(1), Cancel::new())
    }

    fn fresh(swap: &Swap<'_>) -> PathBuf {
        swap.path(&swap.staging).join(FRESH)
    }

    fn content(folder: &Path) -> String {
        fs::read_to_string(folder.join("a")).unwrap()
    }

    /// Stops after the first `steps` of stage, mark, exchange, settle, as a crash would, and then runs the restore again.
    fn check(steps: usize, live_after_crash: &str) {
        let world = world();
        let material = Material {
            folder: &world.from,
            manifest: None,
        };
        let swap = Swap::open(&world.live, "r1", ROOT).unwrap();
        let all: [&dyn Fn(); 4] = [
            &|| drop(swap.stage(material, &bounds()).unwrap()),
            &|| swap.mark_ready().unwrap(),
            &|| swap.exchange().unwrap(),
            &|| drop(swap.settle().unwrap()),
        ];
        all.iter().take(steps).for_each(|step| step());
        assert_eq!(
            content(&world.live),
            live_after_crash,
            "after {steps} steps"
        );
        let again = restore_in_place(&world.binding, material, "r1", &bounds());
        if steps == 4 {
            assert_eq!(
                again.unwrap_err().code(),
                contract::code::TARGET_NOT_EMPTY,
                "the same restore does not run twice"
            );
        } else {
            let kept = PathBuf::from(again.unwrap().kept.unwrap());
            assert_eq!(content(&kept), "old");
        }
        assert_eq!(content(&world.live), "new");
        assert!(!swap.path(&swap.staging).exists());
    }

    #[test]
    fn a_crash_after_any_step_leaves_old_or_new_and_a_second_run_ends_it() {
        check(0, "old");
        check(1, "old");
        check(2, "old");
        check(3, "new");
        check(4, "new");
    }

    type Step<'a> = (&'a str, &'a dyn Fn(), Option<InPlace>, &'a str);

    #[test]
    fn every_step_of_a_restore_is_told_for_what_it_is() {
        let world = world();
        let swap = Swap::open(&world.live, "r1", ROOT).unwrap();
        let material = Material {
            folder: &world.from,
            manifest: None,
        };
        let kept = || InPlace::Done {
            kept: swap.path(&swap.kept).display().to_string(),
        };
        let left = || InPlace::NotDone {
            left: swap.path(&swap.staging).display().to_string(),
        };
        let steps: [Step<'_>; 8] = [
            ("nothing", &|| (), None, "old"),
            (
                "stage",
                &|| drop(swap.stage(material, &bounds()).unwrap()),
                Some(left()),
                "old",
            ),
            ("mark", &|| swap.mark_ready().unwrap(), Some(left()), "old"),
            (
                "exchange",
                &|| swap.exchange().unwrap(),
                Some(InPlace::Exchanged),
                "new",
            ),
            (
                "put aside",
                &|| fs::rename(fresh(&swap), swap.path(&swap.kept)).unwrap(),
                Some(InPlace::Exchanged),
                "new",
            ),
            (
                "unmark",
                &|| fs::remove_file(swap.path(&swap.staging).join(READY)).unwrap(),
                Some(kept()),
                "new",
            ),
            (
                "clear",
                &|| fs::remove_dir(swap.path(&swap.staging)).unwrap(),
                Some(kept()),
                "new",
            ),
            ("over", &|| (), Some(kept()), "new"),
        ];
        for (name, step, seen, live) in steps {
            step();
            assert_eq!(probe(&world.binding, "r1").unwrap(), seen, "after {name}");
            assert_eq!(content(&world.live), live, "after {name}");
        }
    }

    #[test]
    fn a_missing_live_folder_is_filled_and_nothing_is_kept() {
        let world = world();
        fs::remove_dir_all(&world.live).unwrap();
        let summary = restore_in_place(
            &world.binding,
            Material {
                folder: &world.from,
                manifest: None,
            },
            "r1",
            &bounds(),
        )
        .unwrap();
        assert_eq!(summary.kept, None);
        assert_eq!(content(&world.live), "new");
    }

    #[test]
    fn what_cannot_be_told_apart_is_left_alone() {
        let world = world();
        let swap = Swap::open(&world.live, "r1", ROOT).unwrap();
        let material = Material {
            folder: &world.from,
            manifest: None,
        };
        drop(swap.stage(material, &bounds()).unwrap());
        swap.mark_ready().unwrap();
        swap.exchange().unwrap();
        // A person moves the restored folder away: the old data are in the staging folder and nowhere else.
        fs::rename(&world.live, world.live.with_file_name("moved")).unwrap();
        let error = restore_in_place(&world.binding, material, "r1", &bounds()).unwrap_err();
        assert_eq!(error.code(), contract::code::TARGET_NOT_EMPTY);
        assert_eq!(content(&fresh(&swap)), "old");
    }

    #[test]
    fn an_id_that_is_a_path_is_refused() {
        let world = world();
        for id in ["", "../x", "a/b", "a b"] {
            match Swap::open(&world.live, id, ROOT) {
                Err(error) => assert_eq!(error.code(), contract::code::TARGET_INVALID),
                Ok(_) => panic!("`{id}` was taken"),
            }
        }
    }
}

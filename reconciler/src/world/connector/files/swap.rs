//! The in-place restore of a folder: staged beside it, made durable, exchanged in one atomic rename, the old one kept.
//!
//! A crash at any instant leaves either the old folder or the new one at the live path, and running the same restore
//! again ends it. Never deletes what was live. The interesting function is [`restore_in_place`].

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::world::connector::target;
use crate::world::connector::tree::{self, Copied, Identity};
use crate::world::connector::{
    Bounds, Check, ConnectorError, FilesBinding, InPlace, Material, RestoreSummary,
};

pub(in crate::world::connector) fn restore_in_place(
    binding: &FilesBinding,
    material: Material<'_>,
    restore_id: &str,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let swap = Swap::new(&binding.path, restore_id)?;
    let mut notes = Vec::new();
    let (copied, checks) = match swap.progress() {
        Progress::Exchanged => {
            notes.push("the exchange had been done before by the same restore; only the old folder was put aside".to_owned());
            (Copied::default(), Vec::new())
        }
        Progress::NotReady | Progress::Staged => {
            let (copied, check) = swap.stage(material, bounds)?;
            swap.mark_ready()?;
            if let Err(error) = swap.exchange() {
                swap.discard();
                return Err(error);
            }
            (copied, vec![check])
        }
        Progress::Unclear => {
            return Err(ConnectorError::TargetNotEmpty {
                target: swap.staging.display().to_string(),
            });
        }
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
        target: swap.live.display().to_string(),
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
    let swap = Swap::new(&binding.path, restore_id)?;
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    Ok(match swap.progress() {
        Progress::Exchanged => Some(InPlace::Exchanged),
        Progress::Unclear => None,
        // Old data are put aside only after the exchange, and what says so goes before the staging folder does.
        Progress::NotReady | Progress::Staged if is_there(&swap.kept) => Some(InPlace::Done {
            kept: swap.kept.display().to_string(),
        }),
        Progress::NotReady | Progress::Staged if is_there(&swap.fresh) => Some(InPlace::NotDone {
            left: swap.staging.display().to_string(),
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

struct Swap {
    live: PathBuf,
    parent: PathBuf,
    /// Holds `fresh` and `ready`. The folder `fresh` is the new data before the exchange and the old data after it.
    staging: PathBuf,
    fresh: PathBuf,
    ready: PathBuf,
    kept: PathBuf,
}

impl Swap {
    fn new(path: &Path, restore_id: &str) -> Result<Self, ConnectorError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if restore_id.is_empty() || restore_id.len() > 100 || !restore_id.chars().all(plain) {
            return Err(target::target_invalid(
                path,
                "the restore id must be letters, digits, `.`, `_` and `-`",
            ));
        }
        let live = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (Some(parent), Some(name)) = (live.parent().map(Path::to_owned), live.file_name())
        else {
            return Err(target::target_invalid(
                path,
                "the root folder cannot be exchanged",
            ));
        };
        let name = name.to_string_lossy().into_owned();
        let staging = parent.join(format!(".{name}.seawall-{restore_id}"));
        let kept = parent.join(format!("{name}.before-{restore_id}"));
        let swap = Self {
            fresh: staging.join("fresh"),
            ready: staging.join("ready"),
            live,
            parent,
            staging,
            kept,
        };
        match fs::symlink_metadata(&swap.live) {
            Ok(metadata) if !metadata.is_dir() => {
                Err(target::target_invalid(path, "it is not a folder"))
            }
            Ok(_) | Err(_) => Ok(swap),
        }
    }

    /// How far a run of this restore has got, told by which folder is the one that was staged.
    fn progress(&self) -> Progress {
        let staged = match fs::read_to_string(&self.ready) {
            Ok(staged) => staged,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Progress::NotReady,
            Err(_) => return Progress::Unclear,
        };
        let is_it = |path: &Path| {
            fs::metadata(path).is_ok_and(|found| Identity::of(&found).text() == staged)
        };
        if is_it(&self.live) {
            Progress::Exchanged
        } else if is_it(&self.fresh) {
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
        if fs::symlink_metadata(&self.kept).is_ok() {
            return Err(ConnectorError::TargetNotEmpty {
                target: self.kept.display().to_string(),
            });
        }
        match fs::remove_dir_all(&self.staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ConnectorError::io("clear", &self.staging, error));
            }
            Ok(()) | Err(_) => {}
        }
        let staged = self.fill(material, bounds);
        if staged.is_err() {
            self.discard();
        }
        staged
    }

    fn fill(
        &self,
        material: Material<'_>,
        bounds: &Bounds,
    ) -> Result<(Copied, Check), ConnectorError> {
        for folder in [&self.staging, &self.fresh] {
            tree::private_folder(folder)
                .map_err(|error| ConnectorError::io("create", folder, error))?;
        }
        let copied = tree::copy(material.folder, &self.fresh, bounds)?;
        let check = target::hold_against(&self.fresh, material, &copied, bounds)?;
        // The folder itself keeps the owner and mode that production has now; when it is gone, those of the backup.
        let model = if self.live.is_dir() {
            self.live.as_path()
        } else {
            material.folder
        };
        let metadata =
            fs::metadata(model).map_err(|error| ConnectorError::io("read", model, error))?;
        tree::carry(model, &self.fresh, &metadata)?;
        tree::sync(&self.fresh, bounds)?;
        Ok((copied, check))
    }

    /// Records which folder is the new one, so that a later run can tell whether the exchange has happened.
    fn mark_ready(&self) -> Result<(), ConnectorError> {
        let metadata = fs::metadata(&self.fresh)
            .map_err(|error| ConnectorError::io("read", &self.fresh, error))?;
        // Renamed when it is whole, so that it is never read half-written.
        let unfinished = self.staging.join("ready.part");
        let mut file = tree::create_new(&unfinished)?;
        file.write_all(Identity::of(&metadata).text().as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, &self.ready))
            .map_err(|error| ConnectorError::io("write", &self.ready, error))?;
        tree::sync_one(&self.staging)?;
        tree::sync_one(&self.parent)
    }

    fn exchange(&self) -> Result<(), ConnectorError> {
        let flags = if fs::symlink_metadata(&self.live).is_ok() {
            RenameFlags::RENAME_EXCHANGE
        } else {
            RenameFlags::RENAME_NOREPLACE
        };
        renameat2(AT_FDCWD, &self.fresh, AT_FDCWD, &self.live, flags).map_err(|error| {
            ConnectorError::SwapRefused {
                path: self.live.clone(),
                source: error.into(),
            }
        })?;
        tracing::debug!(live = %self.live.display(), "the folders are exchanged");
        tree::sync_one(&self.staging)?;
        tree::sync_one(&self.parent)
    }

    /// Removes what was staged, as long as it is certain that no old data are in it.
    fn discard(&self) {
        match self.progress() {
            Progress::NotReady | Progress::Staged => {}
            Progress::Exchanged | Progress::Unclear => return,
        }
        if let Err(error) = fs::remove_dir_all(&self.staging) {
            tracing::warn!(path = %self.staging.display(), %error, "cannot remove what a failed restore left");
        }
    }

    /// Puts the old folder aside and removes the staging folder. Returns where the old folder is, when there was one.
    fn settle(&self) -> Result<Option<PathBuf>, ConnectorError> {
        if fs::symlink_metadata(&self.fresh).is_ok() {
            renameat2(
                AT_FDCWD,
                &self.fresh,
                AT_FDCWD,
                &self.kept,
                RenameFlags::RENAME_NOREPLACE,
            )
            .map_err(|error| ConnectorError::io("rename", &self.fresh, error.into()))?;
        }
        fs::remove_file(&self.ready)
            .map_err(|error| ConnectorError::io("remove", &self.ready, error))?;
        fs::remove_dir(&self.staging)
            .map_err(|error| ConnectorError::io("remove", &self.staging, error))?;
        tree::sync_one(&self.parent)?;
        Ok(fs::symlink_metadata(&self.kept)
            .is_ok()
            .then(|| self.kept.clone()))
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::connector::Cancel;

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
        let swap = Swap::new(&world.live, "r1").unwrap();
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
        assert!(!swap.staging.exists());
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
        let swap = Swap::new(&world.live, "r1").unwrap();
        let material = Material {
            folder: &world.from,
            manifest: None,
        };
        let kept = || InPlace::Done {
            kept: swap.kept.display().to_string(),
        };
        let left = || InPlace::NotDone {
            left: swap.staging.display().to_string(),
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
                &|| fs::rename(&swap.fresh, &swap.kept).unwrap(),
                Some(InPlace::Exchanged),
                "new",
            ),
            (
                "unmark",
                &|| fs::remove_file(&swap.ready).unwrap(),
                Some(kept()),
                "new",
            ),
            (
                "clear",
                &|| fs::remove_dir(&swap.staging).unwrap(),
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
        let swap = Swap::new(&world.live, "r1").unwrap();
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
        assert_eq!(content(&swap.fresh), "old");
    }

    #[test]
    fn an_id_that_is_a_path_is_refused() {
        let world = world();
        for id in ["", "../x", "a/b", "a b"] {
            match Swap::new(&world.live, id) {
                Err(error) => assert_eq!(error.code(), contract::code::TARGET_INVALID),
                Ok(_) => panic!("`{id}` was taken"),
            }
        }
    }
}

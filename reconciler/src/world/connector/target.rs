//! Folders that a restore goes to: refused when they are production or hold something, filled aside, held against the backup,
//! and put under their name when they are whole.
//!
//! The path is opened once and held. Everything is written below a folder that only the writer can enter, by descriptor, so
//! that a target which others own leads nowhere else. The interesting function is [`export`].

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::tree::{self, Copied, Writer};
use super::{Binding, Bounds, Check, ConnectorError, Material, RestoreSummary, live_path};
use crate::domain::Manifest;
use crate::world::folder::{Folder, FolderError, Identity};

/// Export-only for every connector, and side by side for those whose backup is the data itself.
pub(super) fn export(
    binding: &Binding,
    material: Material<'_>,
    folder: &Path,
    bounds: &Bounds,
) -> Result<RestoreSummary, ConnectorError> {
    let owner = binding.owner()?;
    let writer = Writer {
        owner: owner.as_ref(),
    };
    let place = Place::open(folder, live_path(binding))?;
    let staged = place.stage(writer)?;
    let filled = fill(material, &staged, writer, bounds)
        .and_then(|filled| place.publish(&staged, writer).map(|()| filled));
    if filled.is_err() {
        // What is half-made must not be taken for good.
        place.discard(&staged);
    }
    let (copied, checks) = filled?;
    Ok(RestoreSummary {
        target: folder.display().to_string(),
        items: copied.items,
        bytes: copied.bytes,
        checks,
        kept: None,
        notes: copied.notes,
    })
}

fn fill(
    material: Material<'_>,
    folder: &Folder,
    writer: Writer<'_>,
    bounds: &Bounds,
) -> Result<(Copied, Vec<Check>), ConnectorError> {
    let copied = tree::copy(material.folder, folder, writer, bounds)?;
    let check = hold_against(folder, material, &copied, bounds)?;
    tree::sync(folder, bounds)?;
    Ok((copied, vec![check]))
}

/// The copy must have what was copied, by checksum where there is a manifest and by count and size where there is none.
pub(super) fn hold_against(
    folder: &Folder,
    material: Material<'_>,
    copied: &Copied,
    bounds: &Bounds,
) -> Result<Check, ConnectorError> {
    let failed = |detail: String| ConnectorError::ValidationFailed {
        target: folder.shown().display().to_string(),
        detail,
    };
    if let Some(manifest) = material.manifest {
        let held = folder
            .try_clone()
            .map_err(|error| ConnectorError::live(folder.shown(), error))?;
        let differences = manifest.differences(&Manifest::of_held(held, bounds)?);
        return match differences.first() {
            None => Ok(Check::passed(
                "checksums",
                format!(
                    "{} files equal the backup's manifest",
                    manifest.files().len()
                ),
            )),
            Some(first) => Err(failed(format!(
                "{first}, one of {} differences from the backup's manifest",
                differences.len()
            ))),
        };
    }
    let items = tree::count(folder)?;
    if items == copied.items {
        Ok(Check::passed(
            "copied",
            format!("{items} files and links, {} bytes", copied.bytes),
        ))
    } else {
        Err(failed(format!(
            "{items} of {} files and links are there",
            copied.items
        )))
    }
}

/// A target, held: the folder that it is or will be in, and the folder itself when it exists.
pub(super) struct Place {
    shown: PathBuf,
    parent: Folder,
    name: OsString,
    existing: Option<Folder>,
}

impl Place {
    /// Refuses production and anything that holds something.
    pub(super) fn open(target: &Path, live: Option<&Path>) -> Result<Self, ConnectorError> {
        let place = Self::find(target)?;
        place.refuse_production(live)?;
        if let Some(existing) = &place.existing {
            let left = existing
                .names(2)
                .map_err(|error| place.unusable(error))
                .map(|names| names.iter().any(|(name, _)| name != &place.staging()));
            match left {
                Ok(false) => {}
                Ok(true) | Err(ConnectorError::TargetNotEmpty { .. }) => {
                    return Err(place.not_empty());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(place)
    }

    fn find(target: &Path) -> Result<Self, ConnectorError> {
        if !target.is_absolute() {
            return Err(target_invalid(target, "not an absolute path"));
        }
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(ConnectorError::TargetNotEmpty {
                target: target.display().to_string(),
            });
        };
        let odd = |error: FolderError| target_invalid(target, &error.to_string());
        let parent = match Folder::open(parent) {
            Err(error) if error.is_not_found() => {
                return Err(target_invalid(target, "its parent folder does not exist"));
            }
            opened => opened.map_err(odd)?,
        };
        let existing = match parent.stat_of(name) {
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(odd(error)),
            Ok(stat) => Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => Folder::open(target).map_err(odd)?,
                _ => parent.enter(name).map_err(odd)?,
            }),
        };
        Ok(Self {
            shown: target.to_owned(),
            parent,
            name: name.to_owned(),
            existing,
        })
    }

    fn unusable(&self, error: FolderError) -> ConnectorError {
        match error {
            FolderError::TooMany { .. } => self.not_empty(),
            error => target_invalid(&self.shown, &error.to_string()),
        }
    }

    fn not_empty(&self) -> ConnectorError {
        ConnectorError::TargetNotEmpty {
            target: self.shown.display().to_string(),
        }
    }

    /// A target that is the live data, lies in them or holds them is refused, whatever leads there.
    fn refuse_production(&self, live: Option<&Path>) -> Result<(), ConnectorError> {
        let Some(live) = live else { return Ok(()) };
        let target = Spot {
            above: self.chain(&self.parent)?,
            rest: match &self.existing {
                None => vec![self.name.clone()],
                Some(_) => Vec::new(),
            },
            itself: self
                .existing
                .as_ref()
                .map(Folder::identity)
                .transpose()
                .map_err(|error| self.unusable(error))?,
        };
        // A link as target is where it leads.
        let target = match &self.existing {
            Some(existing) => Spot {
                above: self.chain(existing)?,
                ..target
            },
            None => target,
        };
        let live = Spot::of(live).map_err(|error| self.unusable(error))?;
        if live.holds(&target) || target.holds(&live) {
            return Err(ConnectorError::TargetIsProduction {
                target: self.shown.display().to_string(),
            });
        }
        Ok(())
    }

    fn chain(&self, folder: &Folder) -> Result<Vec<Identity>, ConnectorError> {
        folder.chain().map_err(|error| self.unusable(error))
    }

    fn staging(&self) -> OsString {
        if self.existing.is_some() {
            return OsString::from(".seawall-restore");
        }
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".seawall-restore");
        name
    }

    fn outer(&self) -> &Folder {
        self.existing.as_ref().unwrap_or(&self.parent)
    }

    /// A new folder beside the target, or in it when it exists, that only the writer can enter.
    pub(super) fn stage(&self, writer: Writer<'_>) -> Result<Folder, ConnectorError> {
        let (outer, name) = (self.outer(), self.staging());
        writer.at_target("create", &self.shown, || {
            match outer.make_private(&name, writer.uid()) {
                Err(FolderError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::AlreadyExists =>
                {
                    // A killed restore left it; whatever else has this name is not ours to remove.
                    outer.enter_private(&name, writer.uid())?;
                    outer.remove_tree(&name)?;
                    outer.make_private(&name, writer.uid())
                }
                made => made,
            }
        })
    }

    /// Puts what was staged under the target's name. Nothing that is there is replaced.
    pub(super) fn publish(
        &self,
        staged: &Folder,
        writer: Writer<'_>,
    ) -> Result<(), ConnectorError> {
        let name = self.staging();
        writer.at_target("move", &self.shown, || {
            let Some(existing) = &self.existing else {
                self.parent.rename_new(&name, &self.parent, &self.name)?;
                if self.parent.enter(&self.name)?.identity()? != staged.identity()? {
                    return Err(FolderError::Exchanged {
                        path: self.shown.display().to_string(),
                    });
                }
                return self.parent.sync();
            };
            for (entry, _) in staged.names(usize::MAX)? {
                staged.rename_new(&entry, existing, &entry)?;
            }
            if existing.enter(&name)?.identity()? == staged.identity()? {
                existing.remove_folder(&name)?;
            }
            existing.sync()
        })
    }

    /// Removes what was staged. A name that is not what was staged is left alone.
    pub(super) fn discard(&self, staged: &Folder) {
        let (outer, name) = (self.outer(), self.staging());
        let is_ours = outer
            .enter(&name)
            .and_then(|found| Ok(found.identity()? == staged.identity()?))
            .unwrap_or(false);
        if is_ours && let Err(error) = outer.remove_tree(&name) {
            tracing::warn!(event = "restore_left_behind", path = %self.shown.display(), %error, "cannot remove what a failed restore left");
        }
    }

    /// The same for a target that is a file: the folder that it will be in, and its name.
    pub(super) fn for_file(
        target: &Path,
        live: Option<&Path>,
    ) -> Result<(Folder, OsString), ConnectorError> {
        if !target.is_absolute() {
            return Err(target_invalid(target, "not an absolute path"));
        }
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(target_invalid(target, "it has no file name"));
        };
        let odd = |error: FolderError| {
            if error.is_not_found() {
                target_invalid(target, "its parent folder does not exist")
            } else {
                target_invalid(target, &error.to_string())
            }
        };
        let folder = Folder::open(parent).map_err(odd)?;
        let spot = Spot {
            above: folder.chain().map_err(odd)?,
            rest: vec![name.to_owned()],
            itself: match folder.stat_of(name) {
                Ok(stat) => Some(Identity::from(&stat)),
                Err(_) => None,
            },
        };
        if let Some(live) = live {
            let live = Spot::of(live).map_err(odd)?;
            if live.holds(&spot) || spot.holds(&live) {
                return Err(ConnectorError::TargetIsProduction {
                    target: target.display().to_string(),
                });
            }
        }
        Ok((folder, name.to_owned()))
    }
}

/// Where something is or would be: the folders that hold it, and the names below the last of them that do not exist yet.
struct Spot {
    /// From the nearest folder that exists up to the root.
    above: Vec<Identity>,
    rest: Vec<OsString>,
    itself: Option<Identity>,
}

impl Spot {
    fn of(path: &Path) -> Result<Self, FolderError> {
        let mut rest: Vec<OsString> = Vec::new();
        let mut at = path;
        loop {
            match Folder::open(at) {
                Ok(folder) => {
                    rest.reverse();
                    let itself = match rest.as_slice() {
                        [] => Some(folder.identity()?),
                        [name] => folder.stat_of(name).ok().map(|stat| Identity::from(&stat)),
                        _ => None,
                    };
                    return Ok(Self {
                        above: folder.chain()?,
                        rest,
                        itself,
                    });
                }
                Err(error) => {
                    let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
                        return Err(error);
                    };
                    rest.push(name.to_owned());
                    at = parent;
                }
            }
        }
    }

    /// Whether the other is this, or lies in it.
    fn holds(&self, other: &Self) -> bool {
        match self.itself {
            Some(identity) => other.above.contains(&identity) || other.itself == Some(identity),
            // It does not exist: only a path below the same folder can be meant.
            None => self.above.first() == other.above.first() && other.rest.starts_with(&self.rest),
        }
    }
}

pub(super) fn target_invalid(target: &Path, detail: &str) -> ConnectorError {
    ConnectorError::TargetInvalid {
        target: target.display().to_string(),
        detail: detail.to_owned(),
    }
}

/// Whether a name is one that a database keeps beside its file.
pub(super) fn is_taken(folder: &Folder, name: &OsStr) -> bool {
    folder.stat_of(name).is_ok()
}

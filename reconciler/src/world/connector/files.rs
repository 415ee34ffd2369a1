//! The `files` connector: a live folder, read where it is. Consistency point: the start of the walk.
//!
//! Never copies for a backup and never leaves anything out without saying so. The interesting function is [`prepare`];
//! the in-place restore is in [`swap`].

mod swap;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use contract::digest::Digest;
use jiff::Timestamp;

use super::manifest::{hash_open, key};
use super::selection::Excludes;
use super::walk::{Found, Item, Walk};
use super::{After, Binding, Bounds, Check, ConnectorError, FilesBinding, Prepared, Problem};
use crate::domain::Manifest;
use crate::world::folder::{Folder, FolderError, Identity};
use crate::world::owner::{Owner, working_as};

pub(super) use swap::{probe, restore_in_place};

/// A list of checksums of a million files has less.
const CHECKSUM_FILE_BYTES: u64 = 256 << 20;

/// Walks the folder, opens every file once to see that it can be read, and holds it against its checksums where it has them.
pub(super) fn prepare(binding: &FilesBinding, bounds: &Bounds) -> Result<Prepared, ConnectorError> {
    let consistency_point = Timestamp::now();
    let owner = Binding::Files(binding.clone()).owner()?.map(Arc::new);
    let root = Arc::new(open_root(&binding.path, owner.as_deref())?);
    let identity = root
        .identity()
        .map_err(|error| ConnectorError::live(&binding.path, error))?;
    let mut offered = Offered::default();
    let excludes = Excludes::new(&binding.exclude)?;
    let mut walk = Walk::new(Arc::clone(&root), Arc::new(excludes.clone()), owner.clone())
        .map_err(|error| ConnectorError::live(&binding.path, error))?;
    for item in walk.by_ref() {
        bounds.check("walking the source")?;
        offered.take(item);
    }
    if offered.entries == 0 && !binding.allow_empty {
        return Err(ConnectorError::SourceEmpty {
            path: binding.path.clone(),
        });
    }
    if let Some(sums) = &binding.checksums {
        offered.hold_against(sums, &root, owner.as_deref(), bounds)?;
    }
    offered.tell(walk.excluded);
    Ok(Prepared {
        after: After::Folder {
            path: binding.path.clone(),
            identity,
        },
        source: binding.path.clone(),
        identity: Some(identity),
        run_as: binding.run_as.clone(),
        stable: true,
        consistency_point,
        expected_bytes: offered.bytes,
        expected_items: offered.files,
        manifest: None,
        excludes,
        problems: offered.problems,
        doubts: Vec::new(),
        notes: offered.notes,
    })
}

/// The folder of a binding, opened as the user that reads it.
pub(super) fn open_root(path: &Path, owner: Option<&Owner>) -> Result<Folder, ConnectorError> {
    let open = || {
        let folder = Folder::open(path)?;
        folder.is_empty()?;
        Ok(folder)
    };
    working_as(owner, open)
        .map_err(|error| ConnectorError::source(path, error))?
        .map_err(|error: FolderError| match error {
            FolderError::WrongKind { found, .. } if found != "a link" => {
                super::binding::invalid(format!("`{}` is not a folder", path.display()))
            }
            error => ConnectorError::live(path, error),
        })
}

/// An unmounted or replaced folder would have been read as another one.
pub(super) fn same_folder(
    path: &Path,
    identity: &Identity,
    owner: Option<&Owner>,
) -> Result<(), ConnectorError> {
    let now = open_root(path, owner)?
        .identity()
        .map_err(|error| ConnectorError::live(path, error))?;
    if now == *identity {
        Ok(())
    } else {
        Err(ConnectorError::SourceChanged {
            path: path.to_owned(),
            detail: "the folder was replaced".to_owned(),
        })
    }
}

/// Re-hashes against the backup's manifest; without one, reads every file to its end.
pub(super) fn validate(
    folder: &Path,
    manifest: Option<&Manifest>,
    bounds: &Bounds,
) -> Result<Vec<Check>, ConnectorError> {
    let check = if let Some(manifest) = manifest {
        let differences = manifest.compare(folder, bounds)?;
        match differences.first() {
            None => Check::passed(
                "checksums",
                format!("{} files equal the manifest", manifest.files().len()),
            ),
            Some(first) => Check::failed(
                "checksums",
                format!("{first}, one of {} differences", differences.len()),
            ),
        }
    } else {
        let found = Manifest::of(folder, bounds)?;
        Check::passed(
            "readable",
            format!(
                "{} files, {} bytes read",
                found.files().len(),
                found.bytes()
            ),
        )
    };
    Ok(vec![check])
}

/// What the walk found, as the vault's walk will find it.
#[derive(Default)]
struct Offered {
    entries: u64,
    files: u64,
    bytes: u64,
    links: u64,
    special: Vec<String>,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl Offered {
    fn take(&mut self, item: Item) {
        self.entries += 1;
        match item.found {
            Found::File { stat, .. } => {
                self.files += 1;
                self.bytes += u64::try_from(stat.st_size).unwrap_or(0);
            }
            Found::Folder { .. } => {}
            Found::Link { .. } => self.links += 1,
            Found::Special => self.special.push(key(&item.relative)),
            // It was deleted by its owner: that is no failure. The vault's walk names what goes away while it reads.
            Found::Gone => self.entries -= 1,
            Found::Failed(why) => self.problems.push(Problem {
                path: key(&item.relative),
                why,
            }),
        }
    }

    fn hold_against(
        &mut self,
        sums: &Path,
        root: &Folder,
        owner: Option<&Owner>,
        bounds: &Bounds,
    ) -> Result<(), ConnectorError> {
        let text = read_whole(sums)?;
        let wanted = read_checksums(sums, &text)?;
        for (relative, digest) in &wanted {
            let path = Path::new(relative);
            let problem = match hash_below(root, path, owner, bounds) {
                Ok(found) if found == *digest => continue,
                Ok(_) => "differs from its recorded checksum".to_owned(),
                Err(ConnectorError::SourceMissing { .. }) => {
                    "recorded with a checksum, but missing".to_owned()
                }
                Err(
                    error @ (ConnectorError::DeadlinePassed { .. }
                    | ConnectorError::Cancelled { .. }),
                ) => return Err(error),
                Err(error) => error.to_string(),
            };
            self.problems.push(Problem {
                path: relative.clone(),
                why: problem,
            });
        }
        self.notes.push(format!(
            "{} files were checked against `{}`",
            wanted.len(),
            sums.display()
        ));
        Ok(())
    }

    fn tell(&mut self, excluded: u64) {
        if excluded > 0 {
            self.notes.push(format!(
                "{excluded} entries were excluded by the binding's globs"
            ));
        }
        if self.links > 0 {
            self.notes.push(format!(
                "{} symbolic links are kept as links, their targets are not followed",
                self.links
            ));
        }
        if let Some(first) = self.special.first() {
            self.notes.push(format!(
                "{} special files were left out, the first is `{first}`",
                self.special.len()
            ));
        }
    }
}

/// A file that the operator names, opened as this process: it may be closed to the data's owner.
fn read_whole(path: &Path) -> Result<String, ConnectorError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(super::binding::invalid(format!(
            "`{}` is not a file",
            path.display()
        )));
    };
    let bytes = Folder::open(parent)
        .and_then(|folder| folder.read(name, CHECKSUM_FILE_BYTES))
        .map_err(|error| ConnectorError::live(path, error))?;
    String::from_utf8(bytes)
        .map_err(|_| super::binding::invalid(format!("`{}` is not UTF-8 text", path.display())))
}

fn hash_below(
    root: &Folder,
    relative: &Path,
    owner: Option<&Owner>,
    bounds: &Bounds,
) -> Result<Digest, ConnectorError> {
    let parent = relative.parent().unwrap_or_else(|| Path::new(""));
    let name = relative.file_name().unwrap_or(OsStr::new(""));
    let (file, _) = working_as(owner, || root.enter_path(parent)?.open_file(name))
        .map_err(|error| ConnectorError::source(relative, error))?
        .map_err(|error| ConnectorError::live(relative, error))?;
    Ok(hash_open(file, relative, bounds)?.sha256)
}

/// Reads the layout of `sha256sum`: digest, space, space or `*`, path.
fn read_checksums(file: &Path, text: &str) -> Result<BTreeMap<String, Digest>, ConnectorError> {
    let mut wanted = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let parsed = line.split_once(' ').and_then(|(digest, rest)| {
            let path = rest.strip_prefix([' ', '*'])?;
            let path = path.strip_prefix("./").unwrap_or(path);
            let digest: Digest = digest.to_ascii_lowercase().parse().ok()?;
            let stays_inside = Path::new(path)
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            (stays_inside && !path.is_empty()).then(|| (path.to_owned(), digest))
        });
        let Some((path, digest)) = parsed else {
            return Err(super::binding::invalid(format!(
                "line {} of `{}` is not in the layout of `sha256sum`",
                index + 1,
                file.display()
            )));
        };
        wanted.insert(path, digest);
    }
    Ok(wanted)
}

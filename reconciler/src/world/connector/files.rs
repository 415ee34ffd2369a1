//! The `files` connector: a live folder, read where it is. Consistency point: the start of the walk.
//!
//! Never copies for a backup and never leaves anything out without saying so. The interesting function is [`prepare`];
//! the in-place restore is in [`swap`].

mod swap;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use contract::digest::Digest;
use jiff::Timestamp;
use walkdir::WalkDir;

use super::manifest::{Manifest, hash_file, key};
use super::selection::Excludes;
use super::tree::Identity;
use super::{After, Bounds, Check, ConnectorError, FilesBinding, Prepared, Problem};

pub(super) use swap::{probe, restore_in_place};

/// Walks the folder, opens every file once to see that it can be read, and holds it against its checksums where it has them.
pub(super) fn prepare(binding: &FilesBinding, bounds: &Bounds) -> Result<Prepared, ConnectorError> {
    let consistency_point = Timestamp::now();
    let source = fs::canonicalize(&binding.path)
        .map_err(|error| ConnectorError::source(&binding.path, error))?;
    let metadata = fs::metadata(&source).map_err(|error| ConnectorError::source(&source, error))?;
    if !metadata.is_dir() {
        return Err(super::binding::invalid(format!(
            "`{}` is not a folder",
            binding.path.display()
        )));
    }
    fs::read_dir(&source).map_err(|error| ConnectorError::source(&source, error))?;
    let mut walk = Walk::new(&source, Excludes::new(&binding.exclude)?);
    walk.run(bounds)?;
    if walk.entries == 0 && !binding.allow_empty {
        return Err(ConnectorError::SourceEmpty {
            path: binding.path.clone(),
        });
    }
    if let Some(sums) = &binding.checksums {
        walk.hold_against(sums, bounds)?;
    }
    walk.tell();
    Ok(Prepared {
        after: After::Folder {
            path: binding.path.clone(),
            identity: Identity::of(&metadata),
        },
        source: source.clone(),
        stable: true,
        consistency_point,
        expected_bytes: walk.bytes,
        expected_items: walk.files,
        manifest: None,
        excludes: walk.excludes,
        problems: walk.problems,
        notes: walk.notes,
    })
}

/// An unmounted or replaced folder would have been read as another one.
pub(super) fn same_folder(path: &Path, identity: &Identity) -> Result<(), ConnectorError> {
    let metadata = fs::metadata(path).map_err(|error| ConnectorError::source(path, error))?;
    if Identity::of(&metadata) == *identity {
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

struct Walk<'a> {
    root: &'a Path,
    excludes: Excludes,
    entries: u64,
    files: u64,
    bytes: u64,
    links: u64,
    special: Vec<String>,
    excluded: u64,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Path, excludes: Excludes) -> Self {
        Self {
            root,
            excludes,
            entries: 0,
            files: 0,
            bytes: 0,
            links: 0,
            special: Vec::new(),
            excluded: 0,
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn run(&mut self, bounds: &Bounds) -> Result<(), ConnectorError> {
        let mut walker = WalkDir::new(self.root)
            .min_depth(1)
            .follow_links(false)
            .sort_by_file_name()
            .into_iter();
        while let Some(entry) = walker.next() {
            bounds.check("walking the source")?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.walk_failed(&error);
                    continue;
                }
            };
            let relative = entry
                .path()
                .strip_prefix(self.root)
                .unwrap_or(entry.path())
                .to_owned();
            if self.excludes.matches(&relative) {
                self.excluded += 1;
                if entry.file_type().is_dir() {
                    walker.skip_current_dir();
                }
                continue;
            }
            self.entries += 1;
            self.take(entry.path(), relative, entry.file_type());
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, relative: PathBuf, kind: fs::FileType) {
        if kind.is_file() {
            match File::open(path).and_then(|file| file.metadata()) {
                Ok(metadata) => {
                    self.files += 1;
                    self.bytes += metadata.len();
                }
                Err(error) => self.failed(&relative, &error),
            }
        } else if kind.is_symlink() {
            self.links += 1;
        } else if !kind.is_dir() {
            // A pipe, socket or device has no content to restore, and reading one can block for ever.
            self.special.push(key(&relative));
            self.excludes.add_path(relative);
        }
    }

    /// A file that went away between listing and looking was deleted by its owner: that is no failure.
    fn failed(&mut self, relative: &Path, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.problems.push(Problem {
                path: key(relative),
                why: error.to_string(),
            });
        }
    }

    fn walk_failed(&mut self, error: &walkdir::Error) {
        let path = error.path().unwrap_or(self.root);
        let relative = path.strip_prefix(self.root).unwrap_or(path).to_owned();
        match error.io_error() {
            Some(io) if io.kind() == io::ErrorKind::NotFound => {}
            Some(io) => self.problems.push(Problem {
                path: key(&relative),
                why: io.to_string(),
            }),
            None => self.problems.push(Problem {
                path: key(&relative),
                why: error.to_string(),
            }),
        }
    }

    fn hold_against(&mut self, sums: &Path, bounds: &Bounds) -> Result<(), ConnectorError> {
        let text = fs::read_to_string(sums).map_err(|error| ConnectorError::source(sums, error))?;
        let wanted = read_checksums(sums, &text)?;
        for (relative, digest) in &wanted {
            let problem = match hash_file(&self.root.join(relative), bounds) {
                Ok(sum) if sum.sha256 == *digest => continue,
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
            "{} files were held against `{}`",
            wanted.len(),
            sums.display()
        ));
        Ok(())
    }

    fn tell(&mut self) {
        if self.excluded > 0 {
            self.notes.push(format!(
                "{} entries were excluded by the binding's globs",
                self.excluded
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

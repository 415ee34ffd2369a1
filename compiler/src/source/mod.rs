//! Owns the text of a policy tree and places in it: [`SourceSet`], [`SourceFile`], [`Span`]. Pure; reading the folder
//! is the business of `world`. Never holds a byte that was not in a file.

pub use contract::hidden;
mod position;

use contract::digest::Digest;

pub use position::{Exact, Position, Positions};

/// Ten thousand documents take 4 MB; a file much larger than that is no policy that anybody reviews.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// A hundred thousand datasets and plans take 80 MB; a tree must fit in memory several times over on a small CI machine.
pub const MAX_TREE_BYTES: usize = 128 << 20;
/// The longest honest value on one line, quoted; whoever shows or counts columns walks the whole line each time.
pub const MAX_LINE_BYTES: usize = 128 << 10;
/// Nobody reads more findings of one tree; whoever mends these sees the others.
pub const MAX_FINDINGS: usize = 10_000;

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path relative to the tree, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The files of a tree, sorted by the bytes of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceSet {
    /// The files.
    pub files: Vec<SourceFile>,
    /// Something of the tree could not be taken, and a finding of its own says so: what seems to be missing may be there.
    pub incomplete: bool,
}

/// A place in the text: bytes `start..end` of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Index of the file in [`SourceSet::files`].
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

/// One input of the policy snapshot hash.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Input {
    /// Path relative to the tree, with `/`.
    pub path: String,
    /// SHA-256 of the file's bytes.
    pub sha256: Digest,
}

impl SourceSet {
    /// Sorts files by the bytes of their paths, whatever order they were found in.
    pub fn new(mut files: Vec<SourceFile>) -> Self {
        files.sort_by(|one, two| one.path.as_bytes().cmp(two.path.as_bytes()));
        Self {
            files,
            incomplete: false,
        }
    }

    /// The path of a file.
    pub fn path(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |file| &file.path)
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        self.files
            .get(span.file as usize)
            .and_then(|file| file.text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }

    /// Lines and columns of every file.
    pub fn positions(&self) -> Positions<'_> {
        Positions::new(self)
    }

    /// The inputs, in the order in which the snapshot hash takes them.
    pub fn inputs(&self) -> Vec<Input> {
        self.files
            .iter()
            .map(|file| Input {
                path: file.path.clone(),
                sha256: Digest::of(file.text.as_bytes()),
            })
            .collect()
    }
}

/// The policy snapshot hash: SHA-256 over one line `<hex>  <path>` for each input, the layout of `sha256sum`.
pub fn snapshot_hash(inputs: &[Input]) -> Digest {
    let mut listing = String::new();
    for input in inputs {
        listing.push_str(&input.sha256.to_string());
        listing.push_str("  ");
        listing.push_str(&input.path);
        listing.push('\n');
    }
    Digest::of(listing.as_bytes())
}

//! Owns the text of a policy tree and places in it: [`SourceSet`], [`SourceFile`], [`Span`]. Pure; reading the folder
//! is the business of `world`. Never holds a byte that was not in a file.

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

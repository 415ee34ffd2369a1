//! Which entries below a folder belong to a backup, by the operator's globs. What is left out by kind is left out in the walk.
//!
//! Never touches a file. The interesting function is [`Excludes::matches`].

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::ConnectorError;
use super::binding::invalid;

/// What a backup leaves out. The vault's walk asks the same value, so the two never differ.
#[derive(Debug, Clone)]
pub struct Excludes {
    patterns: Vec<String>,
    globs: GlobSet,
}

impl Excludes {
    /// Compiles globs. `*` stays within one name, `**` crosses folders, a pattern without `/` matches at any depth.
    pub fn new(patterns: &[String]) -> Result<Self, ConnectorError> {
        let mut set = GlobSetBuilder::new();
        for (number, pattern) in (1..).zip(patterns) {
            if pattern.trim_matches('/').is_empty() || pattern.starts_with(['!', '#']) {
                return Err(invalid(format!(
                    "pattern {number} is not a glob of what to leave out"
                )));
            }
            for written in expand(pattern) {
                let glob = GlobBuilder::new(&written)
                    .literal_separator(true)
                    .build()
                    .map_err(|error| {
                        invalid(format!("pattern {number} is not a glob: {}", error.kind()))
                    })?;
                set.add(glob);
            }
        }
        let globs = set
            .build()
            .map_err(|error| invalid(format!("globs cannot be used together: {error}")))?;
        Ok(Self {
            patterns: patterns.to_vec(),
            globs,
        })
    }

    /// Nothing is left out.
    pub fn none() -> Self {
        Self {
            patterns: Vec::new(),
            globs: GlobSet::empty(),
        }
    }

    /// Whether the entry at this path, relative to the source, is left out. A folder that matches takes all below it along.
    pub fn matches(&self, relative: &Path) -> bool {
        relative
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty())
            .any(|path| self.globs.is_match(path))
    }

    /// The globs as they were given, for a walk in another process.
    pub fn globs(&self) -> Vec<String> {
        self.patterns.clone()
    }
}

/// A pattern without a separator matches at every depth, as people expect of `*.tmp`; a leading `/` ties it to the top.
fn expand(pattern: &str) -> Vec<String> {
    let trimmed = pattern.trim_end_matches('/');
    match trimmed.strip_prefix('/') {
        Some(rooted) => vec![rooted.to_owned()],
        None if trimmed.contains('/') => vec![trimmed.to_owned()],
        None => vec![trimmed.to_owned(), format!("**/{trimmed}")],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn check(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
        Excludes::new(&patterns).unwrap().matches(Path::new(path))
    }

    #[test]
    fn globs_match_as_people_expect() {
        assert!(check(&["*.tmp"], "a/b/c.tmp"));
        assert!(check(&["*.tmp"], "c.tmp"));
        assert!(!check(&["*.tmp"], "c.tmpx"));
        assert!(check(&["cache/"], "a/cache/x/y"));
        assert!(!check(&["/cache"], "a/cache/x"));
        assert!(check(&["/cache"], "cache/x"));
        assert!(check(&["a/*/z"], "a/b/z"));
        assert!(!check(&["a/*/z"], "a/b/c/z"));
        assert!(check(&["a/**/z"], "a/b/c/z"));
        assert!(!check(&[], "a"));
    }
}

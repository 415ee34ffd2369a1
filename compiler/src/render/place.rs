//! Owns where a finding lies for other programs: a path from the root of the repository and a region of one line, and
//! how such a path is written as a URI. The interesting function is [`place`].

use std::fmt::Write as _;

use super::{Finding, Report, range};
use crate::source::{Exact, Positions, Span};

/// A place in a file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path from the root of the repository.
    pub path: String,
    /// Begin and end on one line; the end is the place after the last character. Absent for a whole file.
    pub region: Option<(Exact, Exact)>,
}

/// Where a span lies.
pub fn place(report: &Report<'_>, positions: &Positions<'_>, span: Span) -> Option<Place> {
    let file = report.sources.files.get(span.file as usize)?;
    let range = range(file, span);
    let byte = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    Some(Place {
        path: format!("{}{}", report.root, file.path),
        region: Some((
            positions.at(span.file, byte(range.start)),
            positions.at(span.file, byte(range.end)),
        )),
    })
}

/// Where a finding lies, even if it is about a file that could not be read, or about no file at all: programs that show
/// findings at files drop those without one, or refuse them all. The last resort is the first file of the tree.
pub fn primary(report: &Report<'_>, positions: &Positions<'_>, finding: &Finding) -> Place {
    let diagnostic = &finding.diagnostic;
    let labelled = diagnostic.labels.first();
    if let Some(place) = labelled.and_then(|label| place(report, positions, label.span)) {
        return place;
    }
    let path = match diagnostic.at.as_slice() {
        [files, path] if files == "files" => path.as_str(),
        _ => report.sources.path(0),
    };
    Place {
        path: format!("{}{path}", report.root),
        region: None,
    }
}

/// A relative path as a URI reference: everything but unreserved characters and `/` is percent-encoded.
pub fn uri(path: &str) -> String {
    if path.is_empty() {
        return "./".to_owned();
    }
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if plain {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_percent_encoded() {
        assert_eq!(uri("a b/c%20:d/ü?.yaml"), "a%20b/c%2520%3Ad/%C3%BC%3F.yaml");
        assert_eq!(uri("plans/core-1_x~.yaml"), "plans/core-1_x~.yaml");
        assert_eq!(uri(""), "./");
    }
}

//! Owns lines and columns: found from byte offsets by a search over line starts. See [`Positions::at`].

use super::{SourceSet, Span};

/// A place as people count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// The same place as programs count: lines and columns from 1, bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    /// The line.
    pub line: usize,
    /// The column in characters.
    pub column: usize,
    /// The column in UTF-16 code units, as SARIF and editors count.
    pub utf16: usize,
    /// The byte in the file.
    pub byte: usize,
}

/// The line starts of every file of a set.
#[derive(Debug)]
pub struct Positions<'a> {
    sources: &'a SourceSet,
    starts: Vec<Vec<usize>>,
}

impl<'a> Positions<'a> {
    pub(super) fn new(sources: &'a SourceSet) -> Self {
        let starts = sources
            .files
            .iter()
            .map(|file| {
                std::iter::once(0)
                    .chain(file.text.match_indices('\n').map(|(at, _)| at + 1))
                    .collect()
            })
            .collect();
        Self { sources, starts }
    }

    /// Where a span begins; line 1, column 1 for a span outside the set.
    pub fn of(&self, span: Span) -> Position {
        let Exact { line, column, .. } = self.at(span.file, span.start);
        Position { line, column }
    }

    /// The place of a byte of a file; a byte past the end is the end, one inside of a character its beginning.
    pub fn at(&self, file: u32, byte: u32) -> Exact {
        let text = self
            .sources
            .files
            .get(file as usize)
            .map_or("", |file| file.text.as_str());
        let mut byte = (byte as usize).min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        let starts = self
            .starts
            .get(file as usize)
            .map_or(&[][..], Vec::as_slice);
        let line = starts.partition_point(|start| *start <= byte).max(1);
        let start = starts.get(line - 1).copied().unwrap_or(0);
        let before = text.get(start..byte).unwrap_or_default();
        Exact {
            line,
            column: before.chars().count() + 1,
            utf16: before.encode_utf16().count() + 1,
            byte,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;

    #[test]
    fn lines_and_columns_count_from_one() {
        let set = SourceSet::new(vec![SourceFile {
            path: "a".to_owned(),
            text: "ab\nüc\n".to_owned(),
        }]);
        let positions = set.positions();
        let at = |start| {
            let Position { line, column } = positions.of(Span {
                file: 0,
                start,
                end: start,
            });
            (line, column)
        };
        assert_eq!(
            [at(0), at(1), at(3), at(5), at(7)],
            [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]
        );
    }

    #[test]
    fn columns_are_told_in_characters_and_in_utf16() {
        let set = SourceSet::new(vec![SourceFile {
            path: "a".to_owned(),
            text: "x\nü𝄞y".to_owned(),
        }]);
        let positions = set.positions();
        let y = positions.at(0, 8);
        assert_eq!((y.line, y.column, y.utf16, y.byte), (2, 3, 4, 8));
        assert_eq!(positions.at(0, 5).byte, 4, "inside of a character");
        assert_eq!(positions.at(0, 900).byte, 9, "past the end");
    }
}

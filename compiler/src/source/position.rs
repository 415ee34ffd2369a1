//! Owns lines and columns: found from byte offsets by a search over line starts. See [`Positions::of`].

use super::{SourceSet, Span};

/// A place as people count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
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
        let offset = span.start as usize;
        let starts = self
            .starts
            .get(span.file as usize)
            .map_or(&[][..], Vec::as_slice);
        let line = starts.partition_point(|start| *start <= offset).max(1);
        let start = starts.get(line - 1).copied().unwrap_or(0);
        let text = self
            .sources
            .files
            .get(span.file as usize)
            .and_then(|file| file.text.get(start..offset));
        Position {
            line,
            column: text.map_or(0, |text| text.chars().count()) + 1,
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
}

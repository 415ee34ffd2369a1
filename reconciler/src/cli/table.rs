//! Owns tables for people: aligned columns, at most 100 columns wide, colours only on terminals that want them. Never holds
//! data. The interesting function is [`Table::text`].

use std::io::IsTerminal;

use super::Format;

/// No line is longer, so that tables read well in notes and mails.
const WIDTH: usize = 100;

/// Whether a stream wants colours.
pub fn colours(stream: &impl IsTerminal) -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && stream.is_terminal()
}

/// Rows under a header.
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
        }
    }

    /// One more row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines. The last column is cut where a line would be longer than 100.
    pub fn text(&self) -> String {
        let last = self.header.len().saturating_sub(1);
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .chain(self.header.get(column).map(|name| name.len()))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let before_last: usize = widths.iter().take(last).map(|width| width + 2).sum();
        let room = WIDTH.saturating_sub(before_last).max(8);
        let header: Vec<String> = self.header.iter().map(|&name| name.to_owned()).collect();
        let lines = std::iter::once(&header).chain(&self.rows).map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column == last {
                    line.push_str(&cut(cell, room));
                } else {
                    let width = widths.get(column).copied().unwrap_or(0);
                    line.push_str(cell);
                    let gap = width.saturating_sub(cell.chars().count()) + 2;
                    line.push_str(&" ".repeat(gap));
                }
            }
            line.trim_end().to_owned()
        });
        let lines: Vec<String> = lines.collect();
        lines.join("\n")
    }
}

fn cut(cell: &str, room: usize) -> String {
    if cell.chars().count() <= room {
        return cell.to_owned();
    }
    let mut kept: String = cell.chars().take(room.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// A word in its colour.
pub fn coloured(word: &str, colour: Colour, format: Format) -> String {
    if format == Format::Json || !colours(&std::io::stdout()) {
        return word.to_owned();
    }
    let number = match colour {
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    format!("\u{1b}[{number}m{word}\u{1b}[0m")
}

/// The colours that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Well.
    Green,
    /// Not well yet.
    Yellow,
    /// A person is needed.
    Red,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_never_wider_than_a_hundred() {
        let mut table = Table::new(&["a", "long name", "why"]);
        table.row(vec!["x".to_owned(), "y".to_owned(), "z".repeat(300)]);
        let text = table.text();
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(
            text.starts_with("a  long name  why\nx  y          zz"),
            "{text}"
        );
    }
}

//! Owns tables for people: aligned columns, at most 100 columns wide, colours only on terminals that want them. Never holds
//! data. The interesting function is [`Table::text`].

use std::io::IsTerminal;

use super::Format;

/// No line is longer, so that tables read well in notes and mails.
const WIDTH: usize = 100;

/// A last column that is narrower than this goes below its row.
const NARROW: usize = 30;

/// How far in.
const INDENT: usize = 4;

/// What follows the escape character in the colours below.
pub const SEQUENCES: [&str; 4] = ["[0m", "[31m", "[32m", "[33m"];

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

    /// The table as lines. What does not fit into the last column goes on below it.
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
        let below = WIDTH.saturating_sub(before_last) < NARROW;
        let indent = if below { INDENT } else { before_last };
        let room = WIDTH.saturating_sub(indent).max(NARROW);
        let header: Vec<String> = self.header.iter().map(|&name| name.to_owned()).collect();
        let lines = std::iter::once(&header).chain(&self.rows).map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column == last {
                    let fits = before_last + cell.chars().count() <= WIDTH;
                    let mut parts = wrap(cell, room).into_iter();
                    if !below || fits {
                        line.push_str(&parts.next().unwrap_or_default());
                    }
                    for part in parts {
                        line.truncate(line.trim_end().len());
                        line.push('\n');
                        line.push_str(&" ".repeat(indent));
                        line.push_str(&part);
                    }
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

/// Breaks a text between words, and a word where it is wider than a line.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(room) {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(&piece),
                Some(line) if line.chars().count() + 1 + piece.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                Some(_) | None => lines.push(piece),
            }
        }
    }
    lines
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
        assert_eq!(text.matches('z').count(), 300, "nothing is cut: {text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(
            text.starts_with("a  long name  why\nx  y          zz"),
            "{text}"
        );
    }

    #[test]
    fn a_text_that_has_no_room_beside_its_row_stands_below_it() {
        let mut table = Table::new(&["plan", "why"]);
        table.row(vec!["p".repeat(80), "ok".to_owned()]);
        table.row(vec!["q".repeat(80), "why it is so ".repeat(10)]);
        let text = table.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("p  ok"), "{text}");
        assert_eq!(lines[2], "q".repeat(80));
        assert!(lines[3].starts_with("    why it is so"), "{text}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }
}

//! Owns tables for people: aligned columns, as wide as the terminal and at most 100 columns, colours only on terminals that want
//! them. Never holds data. The interesting function is [`Table::text`].

use std::io::IsTerminal;

use super::Format;

/// No line is longer, so that tables read well in notes and mails.
const WIDTH: usize = 100;

/// Narrower terminals wrap lines themselves.
const NARROWEST: usize = 60;

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

/// How wide a line may be: as the terminal is, within limits; a pipe or a file has none of its own.
fn width() -> usize {
    let variable = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let terminal = || {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    variable
        .or_else(terminal)
        .unwrap_or(WIDTH)
        .clamp(NARROWEST, WIDTH)
}

/// The colour of a cell, where its text means something.
type Meaning = fn(&str) -> Option<Colour>;

/// Rows under a header.
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<&'static str>,
    coloured: Option<(usize, Meaning)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            coloured: None,
            rows: Vec::new(),
        }
    }

    /// Colours the cells of one column by what they say.
    #[must_use]
    pub fn coloured(mut self, column: usize, meaning: Meaning) -> Self {
        self.coloured = Some((column, meaning));
        self
    }

    /// One more row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A cell in its colour.
    fn shown(&self, column: usize, cell: &str) -> String {
        let meaning = self.coloured.filter(|(of, _)| *of == column);
        match meaning.and_then(|(_, meaning)| meaning(cell)) {
            Some(colour) => coloured(cell, colour, Format::Human),
            None => cell.to_owned(),
        }
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines. What does not fit into the last column goes on below it.
    pub fn text(&self) -> String {
        self.within(width())
    }

    fn within(&self, line_width: usize) -> String {
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
        // Columns that do not fit beside those before them go on in a further line.
        let mut before_last = 0;
        let mut broken = Vec::new();
        for (column, width) in widths.iter().enumerate().take(last) {
            if before_last > 0 && before_last + width > line_width {
                broken.push(column);
                before_last = INDENT;
            }
            before_last += width + 2;
        }
        let below = line_width.saturating_sub(before_last) < NARROW;
        let indent = if below { INDENT } else { before_last };
        let room = line_width.saturating_sub(indent).max(NARROW);
        let header: Vec<String> = self.header.iter().map(|&name| name.to_owned()).collect();
        let lines = std::iter::once(&header).chain(&self.rows).map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if broken.contains(&column) {
                    line.truncate(line.trim_end().len());
                    line.push('\n');
                    line.push_str(&" ".repeat(INDENT));
                }
                if column == last {
                    let fits = before_last + cell.chars().count() <= line_width;
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
                    line.push_str(&self.shown(column, cell));
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
    fn a_narrow_terminal_gets_shorter_lines() {
        let mut table = Table::new(&["plan", "condition", "why"]);
        table.row(vec![
            "bp_shop".to_owned(),
            "Waiting".to_owned(),
            "sentence ".repeat(40),
        ]);
        for columns in [60, 80, 100] {
            let text = table.within(columns);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(
                longest.is_some_and(|it| it <= columns && it > columns - 12),
                "{text}"
            );
            assert_eq!(text.matches("sentence").count(), 40, "{text}");
        }
    }

    #[test]
    fn columns_that_do_not_fit_go_on_in_a_further_line() {
        let mut table = Table::new(&["recovery point", "type", "status", "size", "at", "error"]);
        let cells = [
            "p".repeat(48),
            "before restore".to_owned(),
            "success".to_owned(),
        ];
        let more = [
            "1.2 GiB".to_owned(),
            "3 locations".to_owned(),
            "why ".repeat(30),
        ];
        table.row([&cells[..], &more].concat());
        for columns in [60, 80, 100] {
            let text = table.within(columns);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest.is_some_and(|it| it <= columns), "{columns}: {text}");
            for cell in ["before restore", "success", "1.2 GiB", "3 locations"] {
                assert!(text.contains(cell), "{cell}: {text}");
            }
        }
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

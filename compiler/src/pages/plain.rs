//! Owns how text is set for a terminal: paragraphs wrapped, examples as they stand. Never wraps inside of a code span.
//! The entries are [`page`] and [`wrap`].

use super::markdown::Block;
use crate::render::human::Look;

/// Longer lines tire the eye; narrower terminals get narrower lines.
pub const MAX_WIDTH: usize = 100;

/// A page, ending with a line break.
pub fn page(blocks: &[Block], look: Look) -> String {
    let width = look.width.min(MAX_WIDTH);
    let mut out = String::new();
    let mut after_item = false;
    for block in blocks {
        let is_item = matches!(block, Block::Item(_));
        let goes_on = is_item && after_item;
        if !out.is_empty() && !goes_on {
            out.push('\n');
        }
        after_item = is_item;
        match block {
            Block::Heading(_, words) => out.push_str(&bold(words, look)),
            Block::Paragraph(words) => out.push_str(&wrap(words, width, "  ", "  ")),
            Block::Item(words) => out.push_str(&wrap(words, width, "  - ", "    ")),
            Block::Code { text, .. } => {
                let lines: Vec<String> = text.lines().map(|line| example(line, width)).collect();
                out.push_str(&lines.join("\n"));
            }
        }
        out.push('\n');
    }
    out
}

/// A line of an example as it stands; one that is too long is broken between words, which YAML allows inside of braces.
fn example(line: &str, width: usize) -> String {
    let words = line.trim_start();
    let indent = line.len() - words.len() + 4;
    if indent + words.chars().count() <= width {
        return format!("{}{words}", " ".repeat(indent))
            .trim_end()
            .to_owned();
    }
    wrap(words, width, &" ".repeat(indent), &" ".repeat(indent + 2))
}

/// The words in bold, where the terminal can.
pub fn bold(words: &str, look: Look) -> String {
    if look.styled {
        format!("\u{1b}[1m{words}\u{1b}[0m")
    } else {
        words.to_owned()
    }
}

/// Wraps words into lines of at most `width` characters; a word that is longer stands alone on its line.
pub fn wrap(text: &str, width: usize, first: &str, rest: &str) -> String {
    let mut out = first.to_owned();
    let mut column = first.chars().count();
    let mut empty = true;
    for word in words(text) {
        let length = word.chars().count();
        if !empty && column + 1 + length > width {
            out.push('\n');
            out.push_str(rest);
            column = rest.chars().count();
            empty = true;
        }
        if !empty {
            out.push(' ');
            column += 1;
        }
        out.push_str(&word);
        column += length;
        empty = false;
    }
    out
}

/// The words of a text; what stands between backticks stays together while it is short.
fn words(text: &str) -> Vec<String> {
    const LONGEST_SPAN: usize = 60;
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_span = false;
    for letter in text.chars() {
        if letter == '`' {
            in_span = !in_span;
        }
        let together = in_span && word.len() < LONGEST_SPAN;
        if letter.is_whitespace() && !together {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(letter);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_the_width_and_code_spans_stay_whole() {
        let text = "one two `three four` five incomprehensibilities six";
        assert_eq!(
            wrap(text, 16, "- ", "  "),
            "- one two\n  `three four`\n  five\n  incomprehensibilities\n  six"
        );
    }
}

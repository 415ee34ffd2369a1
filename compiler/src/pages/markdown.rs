//! Owns how pages are read: the few forms of Markdown that they are written in, as blocks. What it does not know is kept as
//! text, so that nothing of a page is lost. The entry is [`parse`].

/// A part of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// `#` to `######`, and the words after it.
    Heading(usize, String),
    /// Lines that belong together.
    Paragraph(String),
    /// One entry of a list.
    Item(String),
    /// A fenced example with the word after the fence, or lines of a table.
    Code {
        /// The language; may be empty.
        language: String,
        /// The lines, without the fences.
        text: String,
    },
}

/// Reads a page.
pub fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    // Whether the line before may go on: a paragraph or an entry that no empty line ended.
    let mut open = false;
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let example: Vec<&str> = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .collect();
            blocks.push(Block::Code {
                language: language.trim().to_owned(),
                text: example.join("\n"),
            });
            open = false;
        } else if line.starts_with('|') {
            match blocks.last_mut() {
                Some(Block::Code { text, .. }) if open => {
                    text.push('\n');
                    text.push_str(line);
                }
                _ => blocks.push(Block::Code {
                    language: String::new(),
                    text: line.to_owned(),
                }),
            }
            open = true;
        } else if let Some((level, words)) = heading(line) {
            blocks.push(Block::Heading(level, words.to_owned()));
            open = false;
        } else if line.trim().is_empty() {
            open = false;
        } else if let Some(entry) = line.strip_prefix("- ") {
            blocks.push(Block::Item(entry.trim().to_owned()));
            open = true;
        } else {
            match blocks.last_mut() {
                Some(Block::Paragraph(words) | Block::Item(words)) if open => {
                    words.push(' ');
                    words.push_str(line.trim());
                }
                _ => blocks.push(Block::Paragraph(line.trim().to_owned())),
            }
            open = true;
        }
    }
    blocks
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let words = line.trim_start_matches('#');
    let level = line.len() - words.len();
    (1..=6)
        .contains(&level)
        .then(|| words.strip_prefix(' '))
        .flatten()
        .map(|words| (level, words.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_and_lines_are_joined() {
        let text = "# A b\n\nOne\ntwo.\n\n- x\n  y\n- z\n\n```yaml\na: 1\n\nb: 2\n```\nend\n| a |\n| b |\n#tag\n";
        let words = |text: &str| text.to_owned();
        assert_eq!(
            parse(text),
            [
                Block::Heading(1, words("A b")),
                Block::Paragraph(words("One two.")),
                Block::Item(words("x y")),
                Block::Item(words("z")),
                Block::Code {
                    language: words("yaml"),
                    text: words("a: 1\n\nb: 2")
                },
                Block::Paragraph(words("end")),
                Block::Code {
                    language: String::new(),
                    text: words("| a |\n| b |")
                },
                Block::Paragraph(words("#tag")),
            ]
        );
    }
}

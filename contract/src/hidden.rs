//! Owns characters that do not show as what they are: controls of a terminal, and those that turn the direction of a line
//! or take no room. A reviewer must see what a machine reads. The interesting functions are [`first`] and [`shown`].

use std::borrow::Cow;

/// Whether a character acts on the text around it, or is there without being seen. Line breaks and tabs are plain, and so
/// are the two joiners that some scripts cannot do without.
pub const fn is_hidden(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\u{8}'
            | '\u{b}'
            | '\u{c}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The first such character, and the byte where it stands.
pub fn first(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|(_, letter)| is_hidden(*letter))
}

/// How a message names a character.
pub fn name(letter: char) -> String {
    format!("U+{:04X}", u32::from(letter))
}

/// The text with something visible in the place of each such character, as many bytes long, so that places stay right.
pub fn shown(text: &str) -> Cow<'_, str> {
    if first(text).is_none() {
        return Cow::Borrowed(text);
    }
    let stand_in = |letter: char| match (is_hidden(letter), letter.len_utf8()) {
        (false, _) => letter,
        (true, 1) => '?',
        (true, 2) => '\u{bf}',
        (true, 3) => '\u{fffd}',
        (true, _) => '\u{1f7d7}',
    };
    text.chars().map(stand_in).collect()
}

/// The text as one line of a message: breaks and tabs become spaces, and nothing in it is hidden.
pub fn one_line(text: &str) -> String {
    let shown = |letter: char| {
        if letter.is_whitespace() && letter.is_control() {
            ' '
        } else if is_hidden(letter) {
            '\u{fffd}'
        } else {
            letter
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_the_same_length_and_hides_nothing() {
        let text = "a\u{0}b\u{1b}[1m\u{9b}\u{202e}\u{e0041}\tü\n";
        let told = shown(text);
        assert_eq!(told.len(), text.len());
        assert_eq!(told, "a?b?[1m\u{bf}\u{fffd}\u{1f7d7}\tü\n");
        assert_eq!(first(&told), None);
        assert_eq!(first("xü\u{202e}"), Some((3, '\u{202e}')));
        assert_eq!(name('\u{202e}'), "U+202E");
    }

    #[test]
    fn one_line_has_no_break_and_nothing_hidden() {
        let text = "a\nb\tc\r\u{85}\u{1b}[2J\u{202e}d\u{2028}";
        assert_eq!(one_line(text), "a b c  \u{fffd}[2J\u{fffd}d\u{fffd}");
    }

    #[test]
    fn honest_text_is_left_alone() {
        let text = "für 日本語 עברית می\u{200c}خواهم 👩\u{200d}🚒\r\n\t";
        assert!(matches!(shown(text), Cow::Borrowed(same) if same == text));
    }
}

//! Owns the words for syntax errors: what the parser stumbled over, as a finding. The function is [`describe`].

use contract::code;
use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::MAX_DEPTH;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// The finding for a syntax error.
pub fn describe(error: &ScanError, file: u32, text: &str) -> Diagnostic {
    let span = place(error, file, text);
    let finding = |message: &str, help: &str| {
        Diagnostic::error(code::INVALID_YAML, message)
            .label(span, "")
            .help(help)
    };
    // The parser has several words for tabs, and points at the token that one ended.
    if error.kind().to_string().contains("tab") {
        let tab = text
            .get(span.start as usize..)
            .and_then(|rest| rest.find('\t'))
            .and_then(|at| u32::try_from(at).ok());
        let start = span.start.saturating_add(tab.unwrap_or(0));
        let end = start.saturating_add(u32::from(tab.is_some()));
        return Diagnostic::error(
            code::INVALID_YAML,
            "a tab stands where YAML allows only spaces",
        )
        .label(Span { file, start, end }, "")
        .help("indent with spaces");
    }
    match error.kind() {
        ErrorKind::DirectiveDisallowed => Diagnostic::error(
            code::UNSUPPORTED_YAML,
            "directives (`%…`) are not supported",
        )
        .label(span, "")
        .help("leave the line out"),
        ErrorKind::RecursionLimitExceeded => Diagnostic::error(
            code::INPUT_TOO_LARGE,
            format!("the document nests deeper than {MAX_DEPTH} levels"),
        )
        .label(span, "")
        .help("no kind needs that; look for a missing line break or a wrong indentation"),
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::UnclosedFlowCollection { open: '[' } => {
            finding("a list is not closed", "add the missing `]`")
        }
        ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnclosedFlowCollection { .. } => {
            finding("a mapping is not closed", "add the missing `}`")
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => finding(
            "a quoted text is not closed",
            "add the missing quotation mark",
        ),
        ErrorKind::ExpectedFlowMappingSeparator => finding(
            "a `,` or `}` is missing",
            "separate fields by `,` and close the mapping by `}`",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => finding(
            "a `,` or `]` is missing",
            "separate entries by `,` and close the list by `]`",
        ),
        ErrorKind::SimpleKeyExpected
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidSimpleKey => finding(
            "a field (`name: value`) is expected here",
            "check the indentation and the colon of this line and the one before it",
        ),
        ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockSequenceEntry => finding(
            "the indentation fits no level above",
            "align the line with its siblings",
        ),
        ErrorKind::UnexpectedCharacter { character } => finding(
            &format!(
                "the character `{}` cannot stand here",
                character.escape_default()
            ),
            "quote text that begins with a character which YAML reserves",
        ),
        ErrorKind::BomInsideDocument => {
            finding("a byte order mark stands inside the file", "remove it")
        }
        other
            if other.to_string().contains("mapping value") || other.to_string().contains("':'") =>
        {
            finding(
                "a `:` stands where no field can begin",
                "check the indentation, and quote text that holds a colon",
            )
        }
        // The library's own words are short and technical; they are better than none.
        other => finding(
            &format!("the text is no YAML here: {}", one_line(&other.to_string())),
            "check the lines just before this place",
        ),
    }
}

fn one_line(text: &str) -> String {
    text.trim_end_matches('.').replace(char::is_control, " ")
}

/// The character at which reading stopped; at the end of the file, the last character that is no blank.
fn place(error: &ScanError, file: u32, text: &str) -> Span {
    let end = text.trim_end().len();
    let at = error.marker().byte_offset().unwrap_or(end).min(end);
    let at = (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let length = text
        .get(at..)
        .and_then(|rest| rest.chars().next())
        .filter(|c| *c != '\n' && *c != '\r')
        .map_or(0, char::len_utf8);
    Span {
        file,
        start: u32::try_from(at).unwrap_or(u32::MAX),
        end: u32::try_from(at + length).unwrap_or(u32::MAX),
    }
}

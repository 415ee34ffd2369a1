//! Owns what a finding is: code, weight, message, places, advice; its fingerprint and the stable order of many.
//! Never draws one (that is `render`) and never reads a file. The interesting function is [`sort`].

use contract::code::{self, Code, Severity};
use contract::digest::Digest;
use jiff::Timestamp;

use crate::source::{MAX_FINDINGS, Span};

/// The code of a finding: one of ours, or the text of an organisation's own rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleCode {
    /// A code of `contract::code`.
    Seawall(Code),
    /// The code of an organisation's rule, with its own prefix.
    Organisation(String),
}

impl std::fmt::Display for RuleCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seawall(code) => code.fmt(formatter),
            Self::Organisation(code) => formatter.write_str(code),
        }
    }
}

impl From<Code> for RuleCode {
    fn from(code: Code) -> Self {
        Self::Seawall(code)
    }
}

/// A place and what it has to do with the finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// One short lowercase line; may be empty.
    pub text: String,
}

/// The number that a finding is about; a larger one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// A length of time, such as a worst-case loss.
    Seconds(u64),
    /// How many there are of something, such as copies that are missing.
    Count(u64),
}

/// Who accepted a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waived {
    /// The id of the waiver.
    pub waiver: String,
    /// Until when.
    pub expiry: Timestamp,
    /// Why.
    pub reason: String,
    /// Where the waiver is written.
    pub span: Option<Span>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding.
    pub code: RuleCode,
    /// How much it weighs.
    pub severity: Severity,
    /// One lowercase line, user values in backticks.
    pub message: String,
    /// Places; the first is the primary one. Empty when the finding is about no file.
    pub labels: Vec<Label>,
    /// Further lines: witnesses, chains, numbers.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// The path in `input` that the finding is about; for parse findings the file and whatever is known of the document.
    pub at: Vec<String>,
    /// The path of the object that suffers, where that is another than the one to change; else empty.
    pub about: Vec<String>,
    /// The text that findings with one cause share, where it is not the places alone.
    pub cause: Option<Span>,
    /// The number that it is about, if it has one.
    pub measure: Option<Measure>,
    /// Those of its rule's clauses that it bears on; all of them where it names none.
    pub controls: Vec<String>,
    /// Who accepted it; such a finding is told and stops nothing.
    pub waived_by: Option<Waived>,
}

impl Diagnostic {
    /// An error without places, notes or help.
    pub fn error(code: impl Into<RuleCode>, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// A warning without places, notes or help.
    pub fn warning(code: impl Into<RuleCode>, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    /// A finding without places, notes or help.
    pub fn new(code: impl Into<RuleCode>, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            severity,
            message: line(message.into()),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
            at: Vec::new(),
            about: Vec::new(),
            cause: None,
            measure: None,
            controls: Vec::new(),
            waived_by: None,
        }
    }

    /// Adds a place; the first one added is the primary one.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: line(text.into()),
        });
        self
    }

    /// Adds a line.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(line(text.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(line(text.into()));
        self
    }

    /// The path of what suffers: what a waiver names.
    pub fn subject(&self) -> &[String] {
        match self.about.as_slice() {
            [] => &self.at,
            about => about,
        }
    }

    /// Whether it stops signing: an error that nobody accepted.
    pub fn stops(&self) -> bool {
        self.severity == Severity::Error && self.waived_by.is_none()
    }

    /// Says what path in `input` the finding is about.
    #[must_use]
    pub fn at<I: IntoIterator<Item = S>, S: Into<String>>(mut self, path: I) -> Self {
        self.at = path.into_iter().map(Into::into).collect();
        self
    }

    /// What findings are sorted by.
    pub fn order(&self) -> (Option<Span>, RuleCode, Vec<String>, String) {
        (
            self.labels.first().map(|label| label.span),
            self.code.clone(),
            self.at.clone(),
            self.message.clone(),
        )
    }

    /// SHA-256 of the canonical JSON `[code, at]`: the same finding keeps it when lines move or words change.
    pub fn fingerprint(&self) -> Digest {
        // Texts have no number in them, so the canonical form always exists; an empty form would still be a stable name.
        let bytes = contract::canonical::to_bytes(&(self.code.to_string(), &self.at));
        Digest::of(&bytes.unwrap_or_default())
    }
}

/// The longest line that is told whole; a value in it may have sixty thousand letters.
const MAX_LINE: usize = 2000;
/// How many letters of a longer one are told, of its beginning and of its end.
const TOLD: (usize, usize) = (1200, 300);

/// A text as one line of bounded length: values that users write may have several lines.
fn line(text: String) -> String {
    let breaks = ['\n', '\r', '\t'];
    let text = if text.contains(breaks) {
        let escaped = |letter: char| {
            if breaks.contains(&letter) {
                letter.escape_default().to_string()
            } else {
                letter.to_string()
            }
        };
        text.chars().map(escaped).collect()
    } else {
        text
    };
    if text.len() <= MAX_LINE {
        return text;
    }
    let letters: Vec<char> = text.chars().collect();
    let (first, last) = (
        letters.iter().take(TOLD.0),
        letters.len().saturating_sub(TOLD.1),
    );
    let last = letters.iter().skip(last.max(TOLD.0));
    first.chain([' ', '…', ' '].iter()).chain(last).collect()
}

/// Whether any finding stops signing.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::stops)
}

/// Puts findings into their one order, whatever order they were found in: by primary place (findings about no file
/// first), then code, path and message; equal ones are told once.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by_cached_key(Diagnostic::order);
    diagnostics.dedup();
}

/// Leaves the first of very many sorted findings, and says that others are left out.
pub fn cut(diagnostics: &mut Vec<Diagnostic>) {
    let all = diagnostics.len();
    if all <= MAX_FINDINGS {
        return;
    }
    diagnostics.truncate(MAX_FINDINGS);
    let message = format!("the tree has {all} findings, of which {MAX_FINDINGS} are told");
    diagnostics.push(
        Diagnostic::error(code::INPUT_TOO_LARGE, message)
            .help("mend the first of them; so many have few causes"),
    );
    sort(diagnostics);
}

#[cfg(test)]
mod tests {
    use contract::code;

    use super::*;

    fn span(file: u32, start: u32) -> Span {
        Span {
            file,
            start,
            end: start + 1,
        }
    }

    #[test]
    fn order_does_not_depend_on_the_order_of_finding() {
        let late = Diagnostic::error(code::DUPLICATE_ID, "b").label(span(1, 0), "");
        let early = Diagnostic::error(code::WRONG_TYPE, "c").label(span(0, 7), "");
        let nowhere = Diagnostic::warning(code::EMPTY_TREE, "a");
        let mut one = vec![late.clone(), early.clone(), nowhere.clone(), late.clone()];
        let mut other = vec![nowhere.clone(), late.clone(), early.clone()];
        sort(&mut one);
        sort(&mut other);
        assert_eq!(one, other);
        assert_eq!(one, [nowhere, early, late]);
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let told = Diagnostic::error(code::INVALID_ID, "`a\nb\tc\r` is no id").help("two\nlines");
        assert_eq!(told.message, "`a\\nb\\tc\\r` is no id");
        assert_eq!(told.help.as_deref(), Some("two\\nlines"));
        let long = Diagnostic::error(code::INVALID_ID, format!("`{}` is no id", "ü".repeat(9000)));
        assert_eq!(long.message.chars().count(), 1503);
        assert!(long.message.starts_with("`üü") && long.message.ends_with("ü` is no id"));
    }

    #[test]
    fn fingerprint_survives_moved_lines_and_new_words() {
        let before = Diagnostic::error(code::DUPLICATE_ID, "b")
            .at(["plans", "x"])
            .label(span(1, 0), "");
        let after = Diagnostic::error(code::DUPLICATE_ID, "c").at(["plans", "x"]);
        let other = Diagnostic::error(code::DUPLICATE_ID, "b").at(["plans", "y"]);
        assert_eq!(before.fingerprint(), after.fingerprint());
        assert_ne!(before.fingerprint(), other.fingerprint());
        assert_eq!(
            before.fingerprint(),
            Digest::of(br#"["SW0201",["plans","x"]]"#)
        );
    }
}

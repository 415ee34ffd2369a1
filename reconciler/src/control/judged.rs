//! Owns the memory of published files that were refused, so that they are judged once and not in every round: judging the same
//! files by the same rules ends the same. It is a help and no record: without it they are judged again, and the receipt of
//! the refusal is another. The interesting functions are [`Judged::begin`] and [`Judged::refusal`].

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use contract::code::{self, Code};
use contract::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A round may end for another reason while it judges, so that once is no proof.
const TRIES: u32 = 3;

/// The memory is one refusal.
const MAX_BYTES: u64 = 64 << 10;

/// Identity of what was judged and of everything that it was judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question(Digest);

impl Question {
    pub(super) fn new(parts: &[&dyn Display]) -> Self {
        // Another version of this program may judge otherwise.
        let mut text = env!("CARGO_PKG_VERSION").to_owned();
        for part in parts {
            text.push('\n');
            text.push_str(&part.to_string());
        }
        Self(Digest::of(text.as_bytes()))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    question: Question,
    /// How often judging began.
    begun: u32,
    /// How it ended; none when it never did.
    refusal: Option<Refused>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    code: String,
    message: String,
    help: String,
}

/// What is remembered, and where.
#[derive(Debug)]
pub(super) struct Judged {
    path: PathBuf,
    memory: Option<Memory>,
}

impl Judged {
    /// What cannot be read is not remembered.
    pub(super) fn read(path: &Path) -> Self {
        let small = std::fs::metadata(path).is_ok_and(|found| found.len() <= MAX_BYTES);
        let bytes = small.then(|| std::fs::read(path).ok()).flatten();
        Self {
            path: path.to_owned(),
            memory: bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        }
    }

    /// The refusal of these files, when they were refused before or judging them never ended.
    pub(super) fn refusal(&self, question: &Question) -> Option<Failure> {
        let memory = self.memory.as_ref()?;
        if memory.question != *question {
            return None;
        }
        if let Some(refused) = &memory.refusal {
            let code = Code::find(&refused.code)?;
            return Some(Failure::new(code, &refused.message, &refused.help));
        }
        (memory.begun >= TRIES).then(|| {
            Failure::new(
                code::JUDGEMENT_ABANDONED,
                format!("the published bundle is not judged again: the process ended {TRIES} times while judging it"),
                format!("publish another bundle, or remove `{}` to have it judged again", self.path.display()),
            )
        })
    }

    /// Judging begins.
    pub(super) fn begin(&mut self, question: &Question) {
        let before = self.memory.take();
        let begun = before.filter(|memory| memory.question == *question);
        self.keep(Memory {
            question: *question,
            begun: begun.map_or(1, |memory| memory.begun + 1),
            refusal: None,
        });
    }

    /// Judging ended with a refusal.
    pub(super) fn refuse(&mut self, question: &Question, failure: &Failure) {
        self.keep(Memory {
            question: *question,
            begun: 0,
            refusal: Some(Refused {
                code: failure.code.to_string(),
                message: failure.message.clone(),
                help: failure.help.clone(),
            }),
        });
    }

    /// Judging ended, and nothing has to be remembered.
    pub(super) fn forget(&mut self) {
        self.memory = None;
        let gone = std::fs::remove_file(&self.path);
        self.log_failure(gone);
    }

    fn keep(&mut self, memory: Memory) {
        let kept = self.write(&memory);
        self.log_failure(kept);
        self.memory = Some(memory);
    }

    fn write(&self, memory: &Memory) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(memory)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// A full disk costs time in the next round, and no round.
    fn log_failure(&self, done: std::io::Result<()>) {
        match done {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(event = "verdict_not_remembered", path = %self.path.display(), "a verdict cannot be remembered: {error}");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn what_never_ended_is_given_up_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judged.json");
        let (one, two) = (Question::new(&[&"one"]), Question::new(&[&"two"]));
        for _ in 0..TRIES {
            let mut judged = Judged::read(&path);
            assert_eq!(judged.refusal(&one), None);
            judged.begin(&one);
        }
        let given_up = Judged::read(&path).refusal(&one).unwrap();
        assert_eq!(given_up.code, code::JUDGEMENT_ABANDONED);
        assert_eq!(Judged::read(&path).refusal(&two), None);
        let failure = Failure::new(code::WEAKENING_UNSIGNED, "weaker", "sign it");
        Judged::read(&path).refuse(&two, &failure);
        assert_eq!(Judged::read(&path).refusal(&two), Some(failure));
        Judged::read(&path).forget();
        assert_eq!(Judged::read(&path).refusal(&two), None);
    }
}

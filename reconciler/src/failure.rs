//! Owns what a person is told when something fails: a code, one line, advice, and the exit status that follows. Never holds
//! a whole chain; that goes to the log. The interesting function is [`Failure::exit_status`].

use std::fmt;

use contract::code::{self, Code};
use contract::hidden;
use contract::receipt::ErrorNote;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One failure, ready to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Its code.
    #[schema(value_type = String)]
    pub code: Code,
    /// One lowercase line.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Failure {
    /// A failure under a code. What a message quotes may be a stranger's text: nothing in it turns or hides what is around it.
    pub fn new(code: Code, message: impl fmt::Display, help: impl Into<String>) -> Self {
        Self {
            code,
            message: hidden::one_line(&message.to_string()),
            help: hidden::one_line(&help.into()),
        }
    }

    /// 2 usage, 3 trust refused, 4 environment, else 1.
    pub fn exit_status(&self) -> u8 {
        let usage = [
            code::CONFIG_INVALID,
            code::CREDENTIALS_IN_URL,
            code::UNKNOWN_OBJECT,
            code::RESTORE_UNFIT,
            code::SIMULATION_UNUSABLE,
        ];
        let environment = [
            code::RECEIPT_KEY_UNUSABLE,
            code::RECEIPT_COPY_FAILED,
            code::SPOOL_UNUSABLE,
        ];
        if usage.contains(&self.code) {
            2
        } else if environment.contains(&self.code) {
            4
        } else {
            match self.code.family() {
                5 | 16 | 17 => 3,
                12 | 13 => 4,
                _ => 1,
            }
        }
    }

    /// As receipts carry it.
    pub fn note(&self) -> ErrorNote {
        ErrorNote::new(self.code, &self.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}] {}", self.code, self.message)
    }
}

/// The message of an error with its causes, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        let told = at.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = at.source();
    }
    text
}

/// An error that knows its code and what to do about it.
pub trait Coded: std::error::Error {
    /// Its code.
    fn coded(&self) -> Code;
    /// What to do.
    fn advice(&self) -> String;
}

impl<E: Coded> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.coded(), chain(&error), error.advice())
    }
}

/// Says that an error's own `code` and `help` are what a person is told.
macro_rules! coded {
    ($error:ty) => {
        impl crate::failure::Coded for $error {
            fn coded(&self) -> contract::code::Code {
                self.code()
            }

            fn advice(&self) -> String {
                self.help().into()
            }
        }
    };
}

pub(crate) use coded;

coded!(contract::seal::Refusal);
coded!(contract::receipt::ReceiptFault);
coded!(contract::receipt::LogFault);

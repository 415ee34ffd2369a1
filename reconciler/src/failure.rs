//! Owns what a person is told when something fails: a code, one line, advice, and the exit status that follows. Never holds
//! a whole chain; that goes to the log. The interesting function is [`Failure::exit_status`].

use std::fmt;

use contract::code::{self, Code};
use contract::hidden;
use contract::receipt::ErrorNote;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::ConfigError;
use crate::store::StoreError;
use crate::world::connector::ConnectorError;
use crate::world::git::GitError;
use crate::world::keys::KeyError;
use crate::world::receipts::{CopyError, LogError};
use crate::world::vault::VaultError;

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

macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.code(), chain(&error), error.help())
            }
        }
    )*};
}

failures!(
    ConfigError,
    StoreError,
    GitError,
    KeyError,
    LogError,
    CopyError,
    ConnectorError,
    VaultError,
    contract::seal::Refusal,
    contract::receipt::ReceiptFault,
    contract::receipt::LogFault
);

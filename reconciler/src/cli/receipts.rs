//! Owns `seawalld receipts`: list, verify against the trust root, export. Never repairs a log. The interesting function is
//! [`verify`].

use std::path::{Path, PathBuf};

use clap::Subcommand;
use contract::code;
use contract::receipt::{Authority, open_line, verify_log};
use serde_json::json;

use super::table::Table;
use super::{Format, json, print, reading};
use crate::config::Config;
use crate::control::{Daemon, policy};
use crate::failure::Failure;
use crate::words::count;
use crate::world::receipts;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Verify the log, or a copy of it, against the keys that the trust root lists
    Verify {
        /// A folder with `receipts.jsonl` and `checkpoint`; the state store when absent
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Write `receipts.jsonl` and `checkpoint` into a folder
    Export {
        /// The folder; made when missing
        #[arg(long)]
        out: PathBuf,
    },
}

pub(super) fn carry_out(
    config: Config,
    command: Option<&Command>,
    format: Format,
) -> Result<u8, Failure> {
    match command {
        None => {
            let daemon = reading(config)?;
            list(&daemon, format).map(|()| 0)
        }
        Some(Command::Verify { dir }) => {
            let daemon = reading(config)?;
            verify(&daemon, dir.as_deref(), format).map(|()| 0)
        }
        Some(Command::Export { out }) => {
            let daemon = reading(config)?;
            let copied = receipts::export(&daemon.log(), daemon.store.as_ref(), out)?;
            let told = format!(
                "{} in {}",
                count(copied.size, "receipt"),
                copied.folder.display()
            );
            print(&told).map(|()| 0)
        }
    }
}

fn list(daemon: &Daemon, format: Format) -> Result<(), Failure> {
    let mut all = Vec::new();
    let log = daemon.log();
    for line in daemon.store.receipts(0, u64::MAX)? {
        all.push(open_line(line.as_bytes(), log.authority())?.receipt);
    }
    if format == Format::Json {
        return json(&all);
    }
    let header = [
        "number",
        "written",
        "about",
        "phase",
        "result",
        "code",
        "operation",
    ];
    let mut table = Table::new(&header);
    for receipt in &all {
        let word = |value: &dyn erased::Word| value.word();
        table.row(vec![
            receipt.log_index.to_string(),
            receipt.created_at.to_string(),
            word(&receipt.decision_type),
            receipt.phase.name().to_owned(),
            receipt
                .result
                .as_ref()
                .map(|result| word(result))
                .unwrap_or_default(),
            receipt
                .error
                .as_ref()
                .map(|error| error.code.clone())
                .unwrap_or_default(),
            receipt.operation_id.clone(),
        ]);
    }
    if table.is_empty() {
        return print("there is no receipt yet");
    }
    print(&table.text())
}

/// The words of the format itself, as serde writes them.
mod erased {
    pub(super) trait Word {
        fn word(&self) -> String;
    }

    impl<T: serde::Serialize> Word for T {
        fn word(&self) -> String {
            match serde_json::to_value(self) {
                Ok(serde_json::Value::String(word)) => word,
                Ok(other) => other.to_string(),
                Err(_) => String::new(),
            }
        }
    }
}

/// Trusts neither the store nor the copy: keys come from the root that the configuration pins.
fn verify(daemon: &Daemon, dir: Option<&Path>, format: Format) -> Result<(), Failure> {
    let config = &daemon.config;
    let stored = daemon.store.accepted()?.ok_or_else(|| {
        Failure::new(
            code::NO_POLICY,
            "no bundle was ever accepted, so no trust root is known",
            "run `seawalld once` first",
        )
    })?;
    let root = policy::roots(config, &stored.roots)?;
    let authority = Authority {
        origin: daemon.log().authority().origin.clone(),
        keys: root.reconciler_keys(&config.environment, &config.reconciler_id),
    };
    let unreadable = |file: &Path, error: std::io::Error| {
        Failure::new(
            code::RECEIPT_COPY_FAILED,
            format!("`{}` cannot be read: {error}", file.display()),
            "name a folder that `seawalld receipts export` wrote",
        )
    };
    let (log, checkpoint) = if let Some(dir) = dir {
        let file = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(|error| unreadable(&path, error))
        };
        (file("receipts.jsonl")?, file("checkpoint")?)
    } else {
        let mut log = daemon.store.receipts(0, u64::MAX)?.join("\n").into_bytes();
        if !log.is_empty() {
            log.push(b'\n');
        }
        (log, daemon.log().checkpoint().1.into_bytes())
    };
    let verified = verify_log(&log, Some(&checkpoint), &authority)?;
    let ledger = &verified.ledger;
    let checkpoint = ledger.checkpoint();
    if format == Format::Json {
        return json(&json!({
            "origin": checkpoint.origin.to_string(),
            "size": ledger.size(),
            "covered": verified.covered,
            "root": checkpoint.root,
            "open": ledger.open().len(),
        }));
    }
    print(&format!(
        "{} of `{}` hold; the checkpoint covers {}; {} without an outcome\n  tree root {}",
        count(ledger.size(), "receipt"),
        checkpoint.origin,
        verified.covered,
        count(ledger.open().len() as u64, "effect"),
        checkpoint.root
    ))
}

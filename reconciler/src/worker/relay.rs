//! Owns how a line of a worker's log becomes one of the daemon's, in the daemon's format and with the id of the operation. The interesting
//! function is [`relay`].

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// What a line has besides the fields of its event.
const FRAME: [&str; 5] = ["timestamp", "target", "span", "spans", "threadId"];

/// Logs a line of a worker; gives what it says, for the end of a worker that said nothing else.
pub(super) fn relay(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        // Of a panic, or of a library that writes where it should not.
        tracing::warn!(event = "worker_output", "{line}");
        return line.to_owned();
    };
    for name in FRAME {
        fields.remove(name);
    }
    let level = text(fields.remove("level"));
    let event = text(fields.remove("event"));
    let message = text(fields.remove("message"));
    let said = format!("{message}{}", details(fields));
    let said = said.trim();
    match level.as_str() {
        "ERROR" => tracing::error!(event, "{said}"),
        "WARN" => tracing::warn!(event, "{said}"),
        "INFO" => tracing::info!(event, "{said}"),
        "DEBUG" => tracing::debug!(event, "{said}"),
        _ => tracing::trace!(event, "{said}"),
    }
    said.to_owned()
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

fn details(fields: Map<String, Value>) -> String {
    let mut all = String::new();
    for (name, value) in fields {
        let _ = write!(all, " {name}={}", text(Some(value)));
    }
    all
}

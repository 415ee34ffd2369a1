//! Owns the spans of traces: what they are of, and how they leave the program for the OpenTelemetry collector that the environment
//! names. Sends nothing unless the program was built with the feature `opentelemetry`. The interesting function is [`layer`].

use tracing_subscriber::{Layer, Registry};

use crate::domain::Operation;

/// The target of spans that are for traces alone: lines of the log show them only where `SEAWALLD_LOG` asks for it.
pub const TARGET: &str = "seawalld::traces";

/// The span of an operation, in the log and in traces, until it is dropped.
pub fn operation(id: &str) -> tracing::span::EnteredSpan {
    tracing::info_span!("operation", id = %id).entered()
}

/// A layer of the log's registry.
pub type Spans = Box<dyn Layer<Registry> + Send + Sync>;

#[cfg(feature = "opentelemetry")]
pub use traces::Sender;

/// Would send spans; this build sends none.
#[cfg(not(feature = "opentelemetry"))]
#[derive(Debug)]
pub struct Sender;

/// What turns spans into those of OpenTelemetry, and what sends them; none where the environment names no collector.
///
/// # Errors
/// In words for the operator. Traces are for watching: the daemon goes on without them.
#[cfg(feature = "opentelemetry")]
pub fn layer(variable: impl Fn(&str) -> Option<String>) -> Result<Option<(Spans, Sender)>, String> {
    use tracing::{Level, Metadata};
    use tracing_subscriber::filter::filter_fn;

    let heard = |result: Result<(), &str>| match result {
        Ok(()) => tracing::info!(event = "traces_sent", "the collector takes traces again"),
        Err(why) => tracing::warn!(
            event = "traces_failed",
            "traces are lost until the collector takes them: {why}"
        ),
    };
    if !traces::are_wanted(variable)? {
        return Ok(None);
    }
    // Operations with what the log says of them, and the spans that are for traces alone.
    let is_shown = |it: &Metadata<'_>| {
        let is_of_log = it.target().starts_with("reconciler") && *it.level() <= Level::INFO;
        is_of_log || it.target() == TARGET
    };
    let (layer, sender) = traces::layer("seawalld", env!("CARGO_PKG_VERSION"), heard)?;
    Ok(Some((
        layer.with_filter(filter_fn(is_shown)).boxed(),
        sender,
    )))
}

/// The same in a build without them.
#[cfg(not(feature = "opentelemetry"))]
pub fn layer(variable: impl Fn(&str) -> Option<String>) -> Result<Option<(Spans, Sender)>, String> {
    let names = [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ];
    let is_set = |name: &&str| variable(name).is_some_and(|endpoint| !endpoint.is_empty());
    match names.into_iter().find(is_set) {
        None => Ok(None),
        Some(name) => Err(format!(
            "`{name}` is set, and this program was built without the feature `opentelemetry`"
        )),
    }
}

/// Says of the present span what its operation is when that begins, and how it ended when it ends.
#[cfg(feature = "opentelemetry")]
pub fn describe(operation: &Operation) {
    use crate::domain::State;
    use traces::OpenTelemetrySpanExt as _;

    let span = tracing::Span::current();
    if let State::Ended(outcome) = operation.state {
        span.set_attribute("seawall.operation.outcome", outcome.as_str());
        return;
    }
    span.set_attribute("seawall.operation.kind", operation.kind.as_str());
    span.set_attribute("seawall.plan", operation.plan_id.to_string());
    if let Some(backup_id) = &operation.backup_id {
        span.set_attribute("seawall.backup", backup_id.to_string());
    }
}

/// The same in a build without them.
#[cfg(not(feature = "opentelemetry"))]
pub const fn describe(_: &Operation) {}

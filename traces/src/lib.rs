//! Owns the way of spans to an OpenTelemetry collector: OTLP over HTTP, set up by the environment variables that the OpenTelemetry
//! specification names. Never holds up what is traced: spans wait in a bounded queue, and are dropped while no collector takes them. The
//! interesting function is [`layer`].

use std::error::Error;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use reqwest::blocking::Client;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
pub use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::registry::LookupSpan;

/// Where spans are sent; the first that is set counts.
pub const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// How spans are encoded, where something is said of it; the first that is set counts.
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];

/// How spans are encoded here.
const PROTOCOL: &str = "http/protobuf";

/// A collector that does not answer within this time has failed: what the OpenTelemetry specification proposes.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// At its end the program waits this long for the last spans: nobody waits for a collector that hangs.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// An answer says how many spans were refused; what is longer is cut.
const LONGEST_ANSWER: u64 = 64 << 10;

/// The name of a service of which nothing else is known, as the SDK writes it.
const UNKNOWN: &str = "unknown_service";

/// Sends the last spans when it is dropped.
#[derive(Debug)]
pub struct Sender(SdkTracerProvider);

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.shutdown_with_timeout(LAST_WITHIN);
    }
}

/// Hears when the collector begins to fail, with the reason, and when it takes spans again.
pub type Heard = fn(Result<(), &str>);

/// Whether the environment names a collector, and nothing in it says that no spans shall be sent.
///
/// # Errors
/// When it asks for what cannot be done; in words for the operator.
pub fn are_wanted(variable: impl Fn(&str) -> Option<String>) -> Result<bool, String> {
    let first = |names: [&'static str; 2]| {
        let mut set = names
            .into_iter()
            .filter_map(|name| Some((name, variable(name).filter(|text| !text.is_empty())?)));
        set.next()
    };
    let is = |name: &str, wanted: &str| {
        variable(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(wanted))
    };
    if first(ENDPOINTS).is_none()
        || is("OTEL_SDK_DISABLED", "true")
        || is("OTEL_TRACES_EXPORTER", "none")
    {
        return Ok(false);
    }
    match first(PROTOCOLS) {
        Some((name, asked)) if asked != PROTOCOL => Err(format!(
            "`{name}` asks for `{asked}`, and this program sends `{PROTOCOL}`"
        )),
        Some(_) | None => Ok(true),
    }
}

/// The layer that turns spans into those of OpenTelemetry, and what sends them.
///
/// # Errors
/// When another variable of the environment says what cannot be done; in words for the operator.
pub fn layer<S>(
    service: &'static str,
    version: &'static str,
    heard: Heard,
) -> Result<(OpenTelemetryLayer<S, SdkTracer>, Sender), String>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::new(heard)?)
        .build()
        .map_err(|error| error.to_string())?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(service, version))
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(service))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    Ok((layer, Sender(provider)))
}

/// What the spans are of. The environment may name the service, and say more of it.
fn resource(service: &'static str, version: &'static str) -> Resource {
    let version = KeyValue::new("service.version", version);
    let known = Resource::builder().with_attribute(version);
    let told = Resource::builder().build();
    let name = told.get(&Key::new("service.name"));
    match name {
        Some(name) if !name.as_str().starts_with(UNKNOWN) => known.build(),
        Some(_) | None => known.with_service_name(service).build(),
    }
}

/// Posts spans, and says when that begins or ceases to fail: once, and not with every batch.
#[derive(Debug)]
struct Collector {
    client: Client,
    is_failing: Mutex<bool>,
    heard: Heard,
}

impl Collector {
    fn new(heard: Heard) -> Result<Self, String> {
        // It fails where one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A client that blocks is made and used outside of everything asynchronous: here, and in the thread of the exporter.
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(SEND_WITHIN)
            .build()
            .map_err(|error| chain(&error))?;
        Ok(Self {
            client,
            is_failing: Mutex::new(false),
            heard,
        })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
        let (head, body) = request.into_parts();
        let answer = self
            .client
            .request(head.method, head.uri.to_string())
            .headers(head.headers)
            .body(body)
            .send()
            .map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        let mut body = Vec::new();
        let _ = answer.take(LONGEST_ANSWER).read_to_end(&mut body);
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request);
        let failure = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(chain(error)),
        };
        let was_failing = std::mem::replace(
            &mut *self
                .is_failing
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
            failure.is_some(),
        );
        match failure {
            Some(why) if !was_failing => (self.heard)(Err(&why)),
            None if was_failing => (self.heard)(Ok(())),
            Some(_) | None => {}
        }
        Ok(answer?)
    }
}

/// An error with what caused it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

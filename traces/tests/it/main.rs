//! Spans arrive at a collector that decodes them with the published schema, and its outage is heard of once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt as _;

/// Ends the collector with the test.
struct Collector {
    child: Child,
    spans: PathBuf,
    port: u16,
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed(path: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"));
    cache.join("seawall").join(path)
}

impl Collector {
    fn start(folder: &Path) -> Self {
        let spans = folder.join("spans");
        let mut child = Command::new(installed("opentelemetry-proto/bin/python"))
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../fixtures/otlp/collector.py"
            ))
            .arg(&spans)
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/setup installs opentelemetry-proto");
        let mut port = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut port).unwrap();
        let port = port.trim().parse().unwrap();
        Self { child, spans, port }
    }

    fn spans(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.spans).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// This test program once more, as one that sends spans: the SDK reads the environment of its process.
    fn sender(&self, variables: &[(&str, &str)]) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "a_program_that_sends_spans",
                "--ignored",
                "--nocapture",
            ])
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://127.0.0.1:{}", self.port),
            )
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-secret=of the tests")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    }
}

/// Sends a span for each line that it reads, and prints what is heard of the collector. Started by the tests.
#[test]
#[ignore = "started by the other tests"]
fn a_program_that_sends_spans() {
    let heard = |result: Result<(), &str>| println!("heard {result:?}");
    let (layer, sender) = traces::layer("seawalld", "1.2.3", heard).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        for line in std::io::stdin().lines() {
            let operation = tracing::info_span!("operation", id = line.unwrap()).entered();
            tracing::debug_span!("worker", order = "backup")
                .in_scope(|| tracing::error!("it failed"));
            drop(operation);
        }
    });
    drop(sender);
}

fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    let all = of["attributes"].as_array().unwrap();
    let found = all.iter().find(|it| it["key"] == key)?;
    found["value"]["stringValue"].as_str()
}

#[test]
fn spans_arrive_with_their_parents_and_their_service() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path());
    let mut sender = collector.sender(&[(
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment=production",
    )]);
    sender
        .stdin
        .take()
        .unwrap()
        .write_all(b"backup.bp_x.1\n")
        .unwrap();
    assert!(sender.wait().unwrap().success());
    let spans = collector.spans();
    let named = |name: &str| {
        let mut found = spans.iter().filter(|it| it["span"]["name"] == name);
        let one = found.next().unwrap();
        assert!(found.next().is_none(), "once");
        one
    };
    let (operation, worker) = (named("operation"), named("worker"));
    assert_eq!(worker["span"]["parentSpanId"], operation["span"]["spanId"]);
    assert_eq!(worker["span"]["traceId"], operation["span"]["traceId"]);
    assert_eq!(attribute(&operation["span"], "id"), Some("backup.bp_x.1"));
    assert_eq!(attribute(&worker["span"], "order"), Some("backup"));
    // What went wrong is with the span in which it did.
    assert_eq!(worker["span"]["status"]["code"], "STATUS_CODE_ERROR");
    assert_eq!(worker["span"]["events"][0]["name"], "it failed");
    for span in [operation, worker] {
        assert_eq!(
            attribute(&span["resource"], "service.name"),
            Some("seawalld")
        );
        assert_eq!(
            attribute(&span["resource"], "service.version"),
            Some("1.2.3")
        );
        assert_eq!(
            attribute(&span["resource"], "deployment.environment"),
            Some("production")
        );
        assert_eq!(span["secret"], "of the tests");
    }
}

#[test]
fn the_environment_names_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path());
    for (variable, value) in [
        ("OTEL_SERVICE_NAME", "berlin"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=berlin"),
    ] {
        let _ = std::fs::remove_file(&collector.spans);
        let mut sender = collector.sender(&[(variable, value)]);
        sender.stdin.take().unwrap().write_all(b"one\n").unwrap();
        assert!(sender.wait().unwrap().success());
        let spans = collector.spans();
        assert_eq!(
            attribute(&spans[0]["resource"], "service.name"),
            Some("berlin"),
            "{variable}"
        );
    }
}

#[test]
fn an_outage_is_heard_of_once_and_its_end_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path());
    let down = folder.path().join("spans.down");
    std::fs::write(&down, "").unwrap();
    let mut sender = collector.sender(&[]);
    let mut input = sender.stdin.take().unwrap();
    let mut heard = BufReader::new(sender.stdout.take().unwrap()).lines();
    let mut next = || loop {
        let line = heard.next()?.unwrap();
        if line.starts_with("heard") {
            return Some(line);
        }
    };
    for name in ["one\n", "two\n", "three\n"] {
        input.write_all(name.as_bytes()).unwrap();
        // Each goes with a batch of its own.
        std::thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(
        next().as_deref(),
        Some("heard Err(\"it answers 503 Service Unavailable\")")
    );
    std::fs::remove_file(&down).unwrap();
    input.write_all(b"four\n").unwrap();
    assert_eq!(next().as_deref(), Some("heard Ok(())"));
    drop(input);
    assert_eq!(next(), None);
    assert!(sender.wait().unwrap().success());
    assert!(
        collector
            .spans()
            .iter()
            .any(|it| attribute(&it["span"], "id") == Some("four"))
    );
}

/// Nobody waits for a collector that takes connections and never answers.
#[test]
fn a_collector_that_hangs_holds_nothing_up() {
    let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", hung.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path());
    let mut sender = collector.sender(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let mut input = sender.stdin.take().unwrap();
    let began = Instant::now();
    // More than the queue holds.
    for number in 0..5_000 {
        writeln!(input, "{number}").unwrap();
    }
    drop(input);
    assert!(sender.wait().unwrap().success());
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(9),
        "it waited {took:?}, nearly as long as a batch may take"
    );
}

#[test]
fn spans_are_sent_where_the_environment_says_so() {
    let asked = |set: &[(&str, &str)]| {
        traces::are_wanted(|name| {
            let found = set.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        })
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    assert_eq!(asked(&[]), Ok(false));
    assert_eq!(asked(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(false));
    assert_eq!(asked(&[endpoint]), Ok(true));
    assert_eq!(
        asked(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.1)]),
        Ok(true)
    );
    assert_eq!(asked(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(false));
    assert_eq!(
        asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]),
        Ok(false)
    );
    assert_eq!(
        asked(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]),
        Ok(true)
    );
    let refused = asked(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap_err();
    assert_eq!(
        refused,
        "`OTEL_EXPORTER_OTLP_PROTOCOL` asks for `grpc`, and this program sends `http/protobuf`"
    );
}

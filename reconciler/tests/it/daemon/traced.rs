//! Traces as a collector gets them. The daemon sends some only when it was built with the feature `opentelemetry`:
//! `cargo nextest run -p reconciler --features opentelemetry -E 'test(traced)'`.

use super::world::World;

/// What says where the collector is.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[cfg(not(feature = "opentelemetry"))]
#[test]
fn a_daemon_without_traces_says_so_when_they_are_asked_for() {
    let world = World::new();
    let mut once = world.command(&["once"]);
    let said = once
        .env(ENDPOINT, "http://127.0.0.1:4318")
        .output()
        .unwrap();
    assert!(said.status.success());
    let log = String::from_utf8(said.stderr).unwrap();
    assert!(log.contains("traces_off"), "{log}");
    assert!(
        log.contains("was built without the feature `opentelemetry`"),
        "{log}"
    );
}

#[cfg(feature = "opentelemetry")]
mod sent {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use serde_json::Value;

    use super::super::world::installed;
    use super::{ENDPOINT, World};

    /// Ended with the test.
    struct Collector(Child);

    impl Drop for Collector {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
        let all = span["attributes"].as_array()?;
        let found = all.iter().find(|it| it["key"] == key)?;
        found["value"]["stringValue"].as_str()
    }

    #[test]
    fn a_round_is_traced_with_its_operations_and_their_workers() {
        let world = World::new();
        let kept = world.path("spans");
        let python = installed("opentelemetry-proto/bin/python");
        let mut server = Command::new(python)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../fixtures/otlp/collector.py"
            ))
            .arg(&kept)
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/setup installs opentelemetry-proto");
        let mut said = BufReader::new(server.stdout.take().unwrap());
        let _collector = Collector(server);
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        let mut once = world.command(&["once"]);
        once.env(ENDPOINT, format!("http://127.0.0.1:{}", port.trim()));
        let ended = once.output().unwrap();
        let log = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{log}");

        let text = std::fs::read_to_string(&kept).unwrap_or_else(|_| panic!("no spans: {log}"));
        let spans: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["span"].take())
            .collect();
        let backup = spans
            .iter()
            .find(|it| attribute(it, "seawall.operation.kind") == Some("backup"))
            .unwrap_or_else(|| panic!("{spans:#?}"));
        assert_eq!(backup["name"], "operation");
        assert_eq!(
            attribute(backup, "seawall.operation.outcome"),
            Some("success")
        );
        assert!(attribute(backup, "seawall.plan").is_some());
        // Its check is an operation of its own, below it.
        let keys = backup["attributes"].as_array().unwrap().iter();
        let mut keys: Vec<&str> = keys.map(|it| it["key"].as_str().unwrap()).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all, "{backup:#}");
        let is_check = |it: &&Value| attribute(it, "seawall.operation.kind") == Some("verify");
        let check = spans.iter().find(is_check).unwrap();
        assert_eq!(check["parentSpanId"], backup["spanId"]);
        // Its log goes with it, and the workers that it waited for are below it.
        let events = backup["events"].as_array().unwrap();
        let named = |it: &Value| attribute(it, "event").map(str::to_owned);
        assert!(
            events
                .iter()
                .any(|it| named(it).as_deref() == Some("operation_ended"))
        );
        let below = |span: &Value| {
            let is_of_it = span["parentSpanId"] == backup["spanId"];
            is_of_it && attribute(span, "order") == Some("backup")
        };
        let worker = spans.iter().find(|it| below(it)).unwrap();
        assert_eq!(worker["name"], "worker");
        assert!(spans.iter().any(|it| it["name"] == "policy"));
        // What is for traces alone is not in the lines of the log.
        assert!(log.contains("id=backup."), "{log}");
        assert!(!log.contains("worker"), "{log}");
    }
}

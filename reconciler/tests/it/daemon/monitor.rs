//! What monitors see: metrics that Prometheus accepts and that say what happened, and probes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::service::{Service, slots, wait};
use super::tcp::{TOKEN, configured, free, send};
use super::world::{World, installed};

/// What `promtool check metrics` says; nothing when all is well.
fn judged(metrics: &str) -> String {
    let mut child = Command::new(installed("promtool/usr/bin/promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/setup unpacks promtool");
    let mut input = child.stdin.take().unwrap();
    input.write_all(metrics.as_bytes()).unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(ended.status.success() || !said.is_empty());
    said
}

/// The value of one series.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[test]
fn metrics_are_what_prometheus_accepts_and_say_what_happened() {
    let address = free();
    let world = configured(address);
    let service = Service::start(&world);
    let scrape = || {
        let head = format!("GET /metrics HTTP/1.1\r\nauthorization: Bearer {TOKEN}");
        let answer = send(address, &head, "");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            head.contains("content-type: text/plain; version=0.0.4"),
            "{head}"
        );
        body.to_owned()
    };
    wait("the first point is not taken", || {
        slots(&world, "bp_files", "success") == 1
    });
    let without = send(address, "GET /metrics HTTP/1.1", "");
    assert!(without.starts_with("HTTP/1.1 401"), "{without}");
    let first = scrape();
    assert_eq!(judged(&first), "", "{first}");
    let slots_of = |outcome: &str| {
        format!(
            "seawall_slots_total{{dataset=\"ds_files\",outcome=\"{outcome}\",plan=\"bp_files\",tier=\"tier1\"}}"
        )
    };
    let backups = "seawall_backups_total{dataset=\"ds_files\",plan=\"bp_files\",result=\"success\",tier=\"tier1\"}";
    let restores = "seawall_restores_total{dataset=\"ds_files\",result=\"success\",tier=\"tier1\"}";
    for (series, expected) in [
        (slots_of("success").as_str(), 1.0),
        (slots_of("missed").as_str(), 0.0),
        (backups, 1.0),
        (restores, 0.0),
        ("seawall_location_usable{location=\"loc_a\"}", 1.0),
        ("seawall_bundle_serial", 1.0),
        (
            "seawall_dataset_rpo_seconds{dataset=\"ds_files\",tier=\"tier1\"}",
            172_800.0,
        ),
    ] {
        assert_eq!(value(&first, series), Some(expected), "{series}\n{first}");
    }
    let age = "seawall_dataset_recovery_point_age_seconds{dataset=\"ds_files\",tier=\"tier1\"}";
    assert!(value(&first, age).unwrap() < 3_600.0, "{first}");
    let size = value(&first, "seawall_location_size_bytes{location=\"loc_a\"}").unwrap();
    let left = value(&first, "seawall_location_free_bytes{location=\"loc_a\"}").unwrap();
    assert!(left > 0.0 && left <= size, "{first}");
    world.export("ds_files", &world.path("back"));
    world.expect(0, &["backup", "bp_files"]);
    let second = scrape();
    assert_eq!(value(&second, restores), Some(1.0), "{second}");
    assert_eq!(value(&second, backups), Some(2.0), "{second}");
    assert!(second.contains("seawall_restore_last_duration_seconds{dataset=\"ds_files\""));
    // What fails shows as well.
    std::fs::rename(world.path("live"), world.path("gone")).unwrap();
    world.refused(1, &["backup", "bp_files"]);
    let third = scrape();
    assert_eq!(judged(&third), "", "{third}");
    let failed = backups.replace("success", "failure");
    assert_eq!(value(&third, &failed), Some(1.0), "{third}");
    service.end();
    // A counter that began at zero again would hide what happens right after a start.
    let service = Service::start(&world);
    wait("it does not answer again", || {
        send(address, "GET /readyz HTTP/1.1", "").starts_with("HTTP/1.1 200")
    });
    let again = scrape();
    for (series, expected) in [(failed.as_str(), 1.0), (backups, 2.0), (restores, 1.0)] {
        assert_eq!(value(&again, series), Some(expected), "{series}\n{again}");
    }
    drop(service);
}

/// A name that a dashboard or an alert asks for and nothing exposes is a panel without data, and an alert that never fires.
#[test]
fn every_metric_that_the_dashboard_and_the_alerts_use_is_exposed() {
    let source =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/text.rs"))
            .unwrap();
    let names = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../contract/src/metric.rs"
    ))
    .unwrap();
    let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/../compiler/src/alerts");
    let dashboard = std::fs::read_to_string(format!("{alerts}/dashboard.json")).unwrap();
    let used = |text: &str| -> BTreeSet<String> {
        let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let found = text.match_indices("seawall_");
        found
            .map(|(at, _)| text[at..].chars().take_while(|it| is_name(*it)).collect())
            .collect()
    };
    let constants: BTreeSet<&str> = names
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
        .collect();
    for constant in &constants {
        assert!(
            source.contains(&format!("metric::{constant}")),
            "{constant} is not exposed"
        );
    }
    let exposed: BTreeSet<String> = used(&source).union(&used(&names)).cloned().collect();
    let missing: Vec<String> = used(&dashboard).difference(&exposed).cloned().collect();
    assert!(used(&dashboard).len() > 15, "{:?}", used(&dashboard));
    assert_eq!(missing, Vec::<String>::new());
}

/// Probes need no secret, and say nothing else.
#[test]
fn probes_tell_a_daemon_that_works_from_one_that_waits() {
    let address = free();
    let mut world = World::new();
    world.configure(&[(
        "interval: PT1S",
        &format!("interval: PT1S\ntcp: {{ listen: '{address}' }}"),
    )]);
    let bundle = world.path("policy/dev/bundle.dsse.json");
    let aside = world.path("bundle");
    std::fs::rename(&bundle, &aside).unwrap();
    world.commit();
    let service = Service::start(&world);
    let get = |path: &str| send(address, &format!("GET {path} HTTP/1.1"), "");
    wait("it does not answer", || {
        get("/healthz").starts_with("HTTP/1.1 200")
    });
    let waits = get("/readyz");
    assert!(waits.starts_with("HTTP/1.1 503"), "{waits}");
    assert!(waits.contains("no policy is active yet"), "{waits}");
    for path in ["/metrics", "/v1/status", "/v1/plans"] {
        assert!(get(path).starts_with("HTTP/1.1 404"), "{path}");
    }
    std::fs::rename(&aside, &bundle).unwrap();
    world.publish();
    wait("it does not become ready", || {
        get("/readyz").starts_with("HTTP/1.1 200")
    });
    assert!(get("/readyz").ends_with("\r\n\r\nok\n"));
    drop(service);
}

/// Since when a plan fails, and how often, and whether anybody works on it.
#[test]
fn the_status_shows_the_daemon_and_since_when_a_plan_fails() {
    let mut world = World::new();
    world.model["settings"]["schedules"]["daily"]["every_s"] = 2.into();
    world.model["settings"]["schedules"]["daily"]["start_window_s"] = 1.into();
    world.model["plans"]["bp_files"]["backup_frequency"] =
        world.model["settings"]["schedules"]["daily"].clone();
    world.publish();
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_files", "success") > 0
    });
    let said = world.expect(0, &["status"]);
    let version = env!("CARGO_PKG_VERSION");
    let first = said.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("seawalld {version} (pid ")),
        "{said}"
    );
    assert!(first.contains("last record 20"), "{said}");
    std::fs::rename(world.path("live"), world.path("gone")).unwrap();
    wait("it does not fail three times", || {
        slots(&world, "bp_files", "failure") >= 3
    });
    wait("the status does not say how often", || {
        let status = world.expect(0, &["--format", "json", "status"]);
        status.contains(" slots in a row failed, since 20")
    });
    service.end();
    let said = world.expect(0, &["status"]);
    assert!(
        said.starts_with("seawalld does not run; last record 20"),
        "{said}"
    );
    let status = world.json(0, &["status"]);
    assert!(status["daemon"].is_null(), "{status}");
    assert_eq!(status["datasets"][0]["dataset_id"], "ds_files", "{status}");
}

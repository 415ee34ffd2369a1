//! Commands beside the running daemon: it carries them out, remembers them, and ends them when it is asked to.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use serde_json::{Value, json};

use super::service::{Service, WAITING, backup_that_waits, lock, slots, wait, with_a_database};
use super::stopping::freeze;
use super::world::{World, exporting, replacing, same};
use crate::postgres_server::Server;

/// A daemon that has taken the first point and listens.
fn serving() -> (World, Service) {
    let world = World::new();
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_files", "success") == 1
    });
    (world, service)
}

fn send(world: &World, request: &str) -> String {
    let mut stream = UnixStream::connect(world.path("state/seawalld.sock")).unwrap();
    let timeout = Some(Duration::from_secs(10));
    stream.set_read_timeout(timeout).unwrap();
    // What is too long is answered before all of it is read.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// F6 of the newcomer's diary: nobody has to stop the protection of everything to bring one file back.
#[test]
fn every_command_works_beside_the_running_daemon() {
    let (world, service) = serving();
    let done = world.json(0, &["backup", "bp_files"]);
    assert_eq!(done[0]["outcome"], "success", "{done}");
    assert_eq!(world.json(0, &["verify"])[0]["kind"], "verify");
    let out = world.path("out");
    let restored = world.json(0, &exporting("ds_files", &["latest"], &out));
    assert_eq!(restored["backup_id"], done[0]["backup_id"]);
    same(&world.path("live"), &out);
    let before = world.path("before");
    std::fs::rename(world.path("live/deep"), &before).unwrap();
    world.json(
        0,
        &replacing(
            "ds_files",
            &["backup-id", done[0]["backup_id"].as_str().unwrap()],
        ),
    );
    same(&before, &world.path("live/deep"));
    let findings = world.run(&["--format", "json", "doctor"]);
    let findings: Value = serde_json::from_slice(&findings.stdout).unwrap();
    assert!(findings.as_array().unwrap().len() > 5, "{findings}");
    world.json(0, &["status"]);
    world.expect(0, &["location", "adopt", "loc_a"]);
    world.expect(0, &["clock", "confirm"]);
    // A request that is refused says why and ends as it does without a daemon.
    for (status, code, arguments) in [
        (2, "SW1107", vec!["backup", "bp_typo"]),
        (1, "SW1106", vec!["verify", "bp_files.20200101T000000Z"]),
        (
            1,
            "SW1106",
            vec!["accept-loss", "bp_files.20200101T000000Z", "--note", "x"],
        ),
        (2, "SW1107", vec!["source", "accept", "ds_typo"]),
        (2, "SW1107", vec!["cancel", "nothing"]),
    ] {
        let said = world.refused(status, &arguments);
        assert!(said.contains(code), "{said}");
    }
    let operations = world.json(0, &["operations"]);
    let operations = operations.as_array().unwrap();
    assert!(
        operations.iter().all(|it| it["state"] != "running"),
        "{operations:?}"
    );
    assert!(operations.len() > 8, "{operations:?}");
    assert_eq!(service.end().0, Some(0));
    let receipts = world.json(0, &["receipts"]);
    let asked = receipts.as_array().unwrap().iter();
    let asked = asked.filter(|it| it["details"]["requested_by"] == "uid:0");
    assert!(asked.count() >= 4, "{receipts}");
    world.expect(0, &["receipts", "verify"]);
    // Without the daemon the same commands do the work themselves.
    world.json(0, &["backup", "bp_files"]);
}

/// The window of backups is one second, and the plan is looked at each second: neither ends a restore, nor takes it for one that
/// was interrupted.
#[test]
fn a_restore_outlasts_windows_and_turns_beside_the_running_daemon() {
    let mut world = World::new();
    world.json(0, &["once"]);
    let frequency = &mut world.model["plans"]["bp_files"]["backup_frequency"];
    assert!(frequency["completion_window_s"].is_u64());
    frequency["completion_window_s"] = Value::from(1);
    world.publish();
    let service = Service::start(&world);
    let log = || std::fs::read_to_string(world.path("run.log")).unwrap();
    wait("it is never ready", || log().contains("light=Green"));
    let out = world.path("out");
    let mut client = world
        .command(&exporting("ds_files", &["latest"], &out))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let works = freeze(service.id(), || {
        assert!(client.try_wait().unwrap().is_none(), "it ended too soon");
    });
    std::thread::sleep(Duration::from_secs(4));
    kill(works, Signal::SIGCONT).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(0));
    same(&world.path("live"), &out);
    assert_eq!(service.end().0, Some(0));
    let receipts = world.json(0, &["receipts"]);
    let of_restore = receipts.as_array().unwrap().iter();
    let phases: Vec<&Value> = of_restore
        .filter(|it| it["decision_type"] == "restore")
        .map(|it| &it["phase"])
        .collect();
    assert_eq!(phases, ["intent", "outcome"], "{receipts}");
}

/// What hangs is ended by its name; its slot ends with it, and the plan goes on with the next one.
#[rstest]
fn what_is_under_way_can_be_cancelled(#[values(true, false)] by_policy: bool) {
    let server = Server::start();
    let world = with_a_database(&server);
    let held = by_policy.then(|| lock(&server));
    let service = Service::start(&world);
    let (held, mut client) = if let Some(held) = held {
        (held, None)
    } else {
        wait("the first point is not taken", || {
            slots(&world, "bp_db", "success") == 1
        });
        let held = lock(&server);
        let mut command = world.command(&["backup", "bp_db"]);
        let client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        (held, Some(client.unwrap()))
    };
    wait("the dump never waits for the lock", || {
        server.sql("postgres", WAITING) != "0"
    });
    let operations = world.json(0, &["operations"]);
    let running = operations.as_array().unwrap().iter();
    let mut running = running.filter(|it| {
        let id = it["id"].as_str().unwrap();
        it["state"] == "running" && (id.starts_with("backup.bp_db") || id.starts_with("req-"))
    });
    let id = running.next_back().unwrap()["id"].as_str().unwrap();
    assert_eq!(id.starts_with("req-"), !by_policy, "{operations}");
    world.expect(0, &["cancel", id]);
    wait("the dump goes on", || {
        server.sql("postgres", WAITING) == "0"
    });
    if let Some(client) = &mut client {
        assert_eq!(client.wait().unwrap().code(), Some(1));
        let operations = world.json(0, &["operations"]);
        let mut asked = operations.as_array().unwrap().iter();
        let asked = asked.find(|it| it["id"] == id).unwrap();
        assert_eq!(asked["state"], "failed", "{asked}");
        assert_eq!(asked["failure"]["code"], "SW1117", "{asked}");
    } else {
        wait("the slot does not end", || {
            slots(&world, "bp_db", "failure") == 1
        });
    }
    let receipts = world.json(0, &["receipts"]);
    let cancelled = receipts.as_array().unwrap().iter();
    let cancelled =
        cancelled.filter(|it| it["error"]["code"] == "SW1117" && it["phase"] == "outcome");
    assert_eq!(cancelled.count(), 1, "{receipts}");
    drop(held);
    let done = world.json(0, &["backup", "bp_db"]);
    assert_eq!(done[0]["outcome"], "success");
    drop(service);
}

/// Whoever asked may go; what was asked for is done. Whoever asks again by the same name gets the same.
#[test]
fn a_client_that_goes_away_ends_nothing() {
    let server = Server::start();
    let world = with_a_database(&server);
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_db", "success") == 1
    });
    let held = lock(&server);
    let mut client = backup_that_waits(&world, &server);
    kill(Pid::from_raw(client.id().cast_signed()), Signal::SIGINT).unwrap();
    client.wait().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_ne!(server.sql("postgres", WAITING), "0", "it was ended");
    let body =
        json!({ "id": "mine", "asked": { "kind": "verify", "backup_id": null } }).to_string();
    for _ in 0..2 {
        let answer = send(&world, &post("/v1/operations", &body));
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    let other = body
        .replace("verify", "doctor")
        .replace(",\"backup_id\":null", "");
    let other = other.replace("\"backup_id\":null,", "");
    let answer = send(&world, &post("/v1/operations", &other));
    assert!(answer.contains("SW1217"), "{answer}");
    drop(held);
    wait("what was asked for is not done", || {
        let catalog = world.json(0, &["catalog", "--plan", "bp_db"]);
        catalog.as_array().unwrap().len() == 2
    });
    // Stopping the daemon ends what persons asked for as well.
    let held = lock(&server);
    let mut client = backup_that_waits(&world, &server);
    let (status, took) = service.end();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(client.wait().unwrap().code(), Some(1));
    drop(held);
    let verified = world.json(0, &["receipts", "verify"]);
    assert_eq!(verified["open"], 0, "{verified}");
}

/// Nobody else can open the socket, and what makes no sense is answered as a problem.
#[test]
fn the_socket_is_the_owners_and_junk_is_refused() {
    let (world, service) = serving();
    let socket = std::fs::metadata(world.path("state/seawalld.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let long = "x".repeat(100 << 10);
    for (status, request) in [
        ("400", post("/v1/operations", "{}")),
        ("400", post("/v1/operations", "not json")),
        (
            "400",
            post(
                "/v1/operations",
                &json!({"id": "a", "asked": {"kind": "nothing"}}).to_string(),
            ),
        ),
        (
            "400",
            post(
                "/v1/operations",
                &json!({"id": "a/b", "asked": {"kind": "doctor"}}).to_string(),
            ),
        ),
        ("413", post("/v1/operations", &long)),
        (
            "404",
            "GET /v1/operations/none?wait_s=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                .to_owned(),
        ),
        (
            "400",
            "GET /v1/operations/none?wait_s=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                .to_owned(),
        ),
        ("404", post("/v1/operations/none/cancel", "")),
        (
            "404",
            "GET /etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        (
            "405",
            "DELETE /v1/operations HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        ("400", "\u{0}\u{1}nonsense\r\n\r\n".to_owned()),
    ] {
        let answer = send(&world, &request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {answer}"
        );
    }
    // It lives, and a socket that a dead one left is no daemon.
    world.json(0, &["operations"]);
    drop(service);
    assert!(world.path("state/seawalld.sock").exists());
    assert_eq!(world.json(0, &["operations"]), json!([]));
    world.json(0, &["backup", "bp_files"]);
    let service = Service::start(&world);
    wait("it does not listen again", || {
        world.run(&["operations"]).status.success()
            && UnixStream::connect(world.path("state/seawalld.sock")).is_ok()
    });
    assert_eq!(service.end().0, Some(0));
}

fn ask(world: &World, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    send(world, &request)
}

fn get(world: &World, path: &str) -> Value {
    let answer = ask(world, path);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    serde_json::from_str(body).unwrap()
}

/// Everything on the pages of a list, read as a client does.
fn pages(world: &World, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut query = String::new();
    loop {
        let page = get(world, &format!("{path}limit=2{query}"));
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2, "{page}");
        all.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => query = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// What the commands read offline, clients read from the daemon: the same, in pages.
#[test]
fn resources_are_what_the_commands_show() {
    let (world, service) = serving();
    for _ in 0..4 {
        world.json(0, &["backup", "bp_files"]);
    }
    let status = get(&world, "/v1/status");
    assert_eq!(status["light"], "green", "{status}");
    let shown = world.json(0, &["status"]);
    assert_eq!(
        status["plans"][0]["condition"],
        shown["plans"][0]["condition"]
    );
    let plans = pages(&world, "/v1/plans?");
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0]["schedule"]["every_s"], 86_400, "{plans:?}");
    assert_eq!(
        get(&world, "/v1/plans/bp_files")["dataset_ids"],
        json!(["ds_files"])
    );
    let slots = pages(&world, "/v1/slots?plan_id=bp_files&");
    assert_eq!(
        slots.len(),
        world.json(0, &["slots"]).as_array().unwrap().len()
    );
    // An unknown plan is an error, not an empty list.
    for of_plan in ["slots", "recovery-points"] {
        let answer = ask(&world, &format!("/v1/{of_plan}?plan_id=bp_typo"));
        assert!(answer.contains("SW1107"), "{answer}");
    }
    let points = pages(&world, "/v1/recovery-points?");
    let mut catalog = world.json(0, &["catalog"]).as_array().unwrap().clone();
    catalog.reverse();
    let ids = |all: &[Value]| -> Vec<Value> {
        all.iter().map(|point| point["backup_id"].clone()).collect()
    };
    assert_eq!(ids(&points).len(), 5);
    assert_eq!(ids(&points), ids(&catalog));
    let one = format!(
        "/v1/recovery-points/{}",
        points[2]["backup_id"].as_str().unwrap()
    );
    assert_eq!(get(&world, &one), points[2]);
    let receipts = pages(&world, "/v1/receipts?");
    let numbers: Vec<u64> = receipts
        .iter()
        .map(|it| it["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    assert!(
        receipts
            .iter()
            .all(|it| it["envelope"]["payload"].is_string()),
        "{receipts:?}"
    );
    assert!(service.end().1 < Duration::from_secs(5));
    assert_eq!(
        numbers.len(),
        world.json(0, &["receipts"]).as_array().unwrap().len()
    );
}

/// A push that is told of is looked at now, whatever the interval.
#[test]
fn the_source_is_looked_at_when_it_is_asked_for() {
    let mut world = World::new();
    world.configure(&[("interval: PT1S", "interval: PT1H")]);
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_files", "success") == 1
    });
    world.model["plans"]["bp_files"]["name"] = "renamed".into();
    world.publish();
    let answer = send(&world, &post("/v1/source/look", ""));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let took = wait("the newer policy is not taken", || {
        get(&world, "/v1/status")["serial"] == world.serial
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(service);
}

/// A person sees how far an operation is, and may look away.
#[test]
fn an_operation_can_be_watched() {
    let world = World::new();
    let large = std::fs::File::create(world.path("live/large")).unwrap();
    large.set_len(super::window::LARGE).unwrap();
    let service = Service::start(&world);
    let running = || -> Option<Value> {
        let all = world.json(0, &["operations"]);
        let all = all.as_array().unwrap().iter();
        let mut all = all.filter(|it| {
            it["state"] == "running" && it["progress"]["bytes"].as_u64().is_some_and(|it| it > 0)
        });
        all.next().cloned()
    };
    wait("nothing makes progress", || running().is_some());
    let seen = running().unwrap();
    assert_eq!(seen["progress"]["stage"], "storing", "{seen}");
    let id = seen["id"].as_str().unwrap();
    let start = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    // Looking away ends nothing.
    let away = start(&["watch", id]);
    let watched = start(&["--format", "json", "watch", id]);
    let human = start(&["watch", id]);
    std::thread::sleep(Duration::from_secs(1));
    kill(Pid::from_raw(away.id().cast_signed()), Signal::SIGINT).unwrap();
    away.wait_with_output().unwrap();
    let watched = watched.wait_with_output().unwrap();
    assert_eq!(watched.status.code(), Some(0));
    let events: Vec<Value> = String::from_utf8(watched.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (end, progress) = events.split_last().unwrap();
    assert_eq!(end["state"], "succeeded", "{end}");
    assert_eq!(end["result"]["outcome"], "success", "{end}");
    let storing = progress
        .iter()
        .filter(|it| it["progress"]["stage"] == "storing");
    let bytes: Vec<u64> = storing
        .map(|it| it["progress"]["bytes"].as_u64().unwrap())
        .collect();
    assert!(bytes.len() > 2 && bytes.is_sorted(), "{bytes:?}");
    assert!(
        progress
            .iter()
            .any(|it| it["progress"]["rate"].as_u64() > Some(0))
    );
    let human = human.wait_with_output().unwrap();
    let told = String::from_utf8(human.stderr).unwrap();
    assert!(
        told.contains("storing ") && !told.contains('\u{1b}'),
        "{told}"
    );
    assert!(
        String::from_utf8(human.stdout)
            .unwrap()
            .contains("succeeded")
    );
    world.refused(2, &["watch", "nothing"]);
    drop(service);
    let said = world.refused(4, &["watch", id]);
    assert!(said.contains("SW1216"), "{said}");
}

/// A check may take hours; its plan goes on beside it.
#[test]
fn a_check_holds_no_backup_up() {
    let (world, service) = serving();
    let mut client = world.command(&["verify"]);
    let mut client = client
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let works = freeze(service.id(), || {
        assert!(client.try_wait().unwrap().is_none(), "it ended too soon");
    });
    let done = world.json(0, &["backup", "bp_files"]);
    assert_eq!(done[0]["outcome"], "success", "{done}");
    kill(works, Signal::SIGCONT).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(0));
    assert_eq!(world.json(0, &["status"])["light"], "green");
    assert_eq!(service.end().0, Some(0));
    let verified = world.json(0, &["receipts", "verify"]);
    assert_eq!(verified["open"], 0, "{verified}");
}

/// A suspension has an end and a reason, is recorded, shown, and makes nothing look good.
#[rstest]
fn a_plan_can_be_suspended_and_resumed(#[values(true, false)] by_daemon: bool) {
    let world = World::new();
    let service = by_daemon.then(|| Service::start(&world));
    if by_daemon {
        wait("the first point is not taken", || {
            slots(&world, "bp_files", "success") == 1
        });
    } else {
        world.json(0, &["once"]);
    }
    let suspend = |more: &[&'static str]| {
        let mut all = vec!["suspend", "bp_files"];
        all.extend(more);
        all
    };
    world.refused(2, &suspend(&["--for", "PT2H"]));
    world.refused(2, &suspend(&["--reason", "x"]));
    for (status, code, more) in [
        (
            1,
            "SW1105",
            vec!["--until", "2020-01-01T00:00:00Z", "--reason", "x"],
        ),
        (1, "SW1105", vec!["--for", "PT2H", "--reason", " "]),
    ] {
        let said = world.refused(status, &suspend(&more));
        assert!(said.contains(code), "{said}");
    }
    let said = world.refused(2, &["suspend", "bp_typo", "--for", "PT2H", "--reason", "x"]);
    assert!(said.contains("SW1107"), "{said}");
    let said = world.refused(1, &["resume", "bp_files"]);
    assert!(said.contains("not suspended"), "{said}");
    world.json(
        0,
        &suspend(&["--for", "PT2H", "--reason", "the disk is replaced"]),
    );
    let condition = || world.json(0, &["status"])["plans"][0]["condition"].clone();
    wait("it is not told", || condition()["code"] == "SW1121");
    assert!(
        condition()["why"]
            .to_string()
            .contains("the disk is replaced")
    );
    // A person may take a point all the same.
    world.json(0, &["backup", "bp_files"]);
    world.expect(0, &["resume", "bp_files"]);
    wait("it is still told", || condition()["condition"] == "Ready");
    drop(service);
    let receipts = world.json(0, &["receipts"]);
    let all = receipts.as_array().unwrap().iter();
    let kinds: Vec<&Value> = all
        .filter(|it| it["decision_type"] == "suspension")
        .map(|it| &it["details"]["suspension"])
        .collect();
    assert_eq!(kinds, ["suspended", "resumed"], "{receipts}");
    world.expect(0, &["receipts", "verify"]);
}

/// `SEAWALL_WRITE_DOCS=1` writes it anew.
#[test]
fn the_description_is_checked_in() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/seawalld-api.json");
    let text = serde_json::to_string_pretty(&reconciler::api::document()).unwrap() + "\n";
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{} is not what the daemon serves",
        path.display()
    );
}

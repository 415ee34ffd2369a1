//! Strangers on TCP: git hosts that report a push, readers with a token, and everybody else.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::service::{Service, slots, wait};
use super::world::World;

/// The example of GitHub's documentation: secret, payload and signature.
const SECRET: &str = "It's a Secret to Everybody";
const PAYLOAD: &str = "Hello, World!";
const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

pub const TOKEN: &str = "a token of the tests, and of nothing else";

/// A daemon that listens on TCP and looks at git once an hour.
struct Reached {
    world: World,
    address: SocketAddr,
    service: Service,
}

/// A port that was free a moment ago.
pub fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

pub fn configured(address: SocketAddr) -> World {
    let world = World::new();
    std::fs::write(world.path("webhook"), format!("{SECRET}\n")).unwrap();
    std::fs::write(world.path("token"), TOKEN).unwrap();
    let tcp = format!(
        "interval: PT1H\ntcp: {{ listen: '{address}', webhook_secret_file: {}, read_token_file: {} }}",
        world.path("webhook").display(),
        world.path("token").display()
    );
    world.configure(&[("interval: PT1S", &tcp)]);
    world
}

fn reached() -> Reached {
    let address = free();
    let world = configured(address);
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_files", "success") == 1
    });
    Reached {
        world,
        address,
        service,
    }
}

/// What is answered to a request; nothing where nobody listens.
pub fn send(address: SocketAddr, head: &str, body: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return String::new();
    };
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    let request = format!(
        "{head}\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

impl Reached {
    fn send(&self, head: &str, body: &str) -> String {
        send(self.address, head, body)
    }

    fn hook(&self, header: &str, body: &str) -> String {
        self.send(&format!("POST /v1/webhook HTTP/1.1\r\n{header}"), body)
    }

    fn get(&self, path: &str, authorization: &str) -> (String, Value) {
        let answer = self.send(&format!("GET {path} HTTP/1.1{authorization}"), "");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    fn serial(&self) -> Value {
        let bearer = format!("\r\nauthorization: Bearer {TOKEN}");
        self.get("/v1/status", &bearer).1["serial"].clone()
    }
}

#[test]
fn a_push_that_a_git_host_reports_is_looked_at() {
    let mut reached = reached();
    for header in [
        format!("x-hub-signature-256: sha256={SIGNATURE}"),
        format!("x-forgejo-signature: {SIGNATURE}"),
        format!("x-gitea-signature: {SIGNATURE}"),
        format!("x-hub-signature: sha256={SIGNATURE}"),
        format!("x-gitlab-token: {SECRET}"),
    ] {
        reached.world.publish();
        let answer = reached.hook(&header, PAYLOAD);
        assert!(answer.starts_with("HTTP/1.1 202"), "{header}: {answer}");
        let serial = Value::from(reached.world.serial);
        wait("the newer policy is not taken", || {
            reached.serial() == serial
        });
    }
}

/// Neither wakes the source, nor learns anything.
#[test]
fn who_does_not_know_the_secret_is_refused() {
    let mut reached = reached();
    let before = reached.serial();
    reached.world.publish();
    let large = "x".repeat((25 << 20) + 1);
    let signed = format!("x-hub-signature-256: sha256={SIGNATURE}");
    for (header, body, status) in [
        ("accept: */*", PAYLOAD, 401),
        (signed.as_str(), "Hello, World?", 401),
        (signed.as_str(), "", 401),
        (signed.trim_end_matches("17"), PAYLOAD, 401),
        ("x-hub-signature-256: sha256=", PAYLOAD, 401),
        (&format!("x-hub-signature-256: {SIGNATURE}"), PAYLOAD, 401),
        ("x-gitlab-token: ", PAYLOAD, 401),
        ("x-gitlab-token: It's a Secret to Everybod", PAYLOAD, 401),
        // The token for reading is another secret.
        (&format!("x-gitlab-token: {TOKEN}"), PAYLOAD, 401),
        (signed.as_str(), &large, 413),
    ] {
        let answer = reached.hook(header, body);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{header}: {answer}");
        assert!(answer.contains("urn:seawall:SW1217"), "{answer}");
    }
    // A look would have taken the newer policy long before.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(reached.serial(), before);
}

#[test]
fn reading_needs_the_token_and_nothing_else_can_be_asked_for() {
    let reached = reached();
    let bearer = format!("\r\nauthorization: Bearer {TOKEN}");
    for path in [
        "/v1/status",
        "/v1/plans",
        "/v1/receipts",
        "/v1/openapi.json",
    ] {
        for wrong in [
            "",
            "\r\nauthorization: Bearer ",
            "\r\nauthorization: Basic eDp5",
        ] {
            let (head, problem) = reached.get(path, wrong);
            assert!(head.starts_with("HTTP/1.1 401"), "{path}: {head}");
            assert!(head.contains("www-authenticate: Bearer"), "{head}");
            assert_eq!(problem["type"], "urn:seawall:SW1217");
        }
        let (head, _) = reached.get(path, &bearer);
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    }
    let body = r#"{"id":"a","asked":{"kind":"backup","plan_id":"bp_files"}}"#;
    for path in [
        "/v1/operations",
        "/v1/source/look",
        "/v1/operations/a/cancel",
    ] {
        let answer = reached.send(&format!("POST {path} HTTP/1.1{bearer}"), body);
        let refused = ["HTTP/1.1 404", "HTTP/1.1 405"];
        assert!(
            refused.iter().any(|it| answer.starts_with(it)),
            "{path}: {answer}"
        );
    }
}

/// Who connects and says nothing is let go of; the socket, and whoever comes after, are answered.
#[test]
fn silent_strangers_hold_nothing_for_long() {
    let reached = reached();
    let silent: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(reached.address).unwrap())
        .collect();
    reached.world.json(0, &["operations"]);
    let signed = format!("x-hub-signature-256: sha256={SIGNATURE}");
    let took = wait("the webhook is answered no more", || {
        reached.hook(&signed, PAYLOAD).starts_with("HTTP/1.1 202")
    });
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Nor do they hold up an end.
    let waits = TcpStream::connect(reached.address).unwrap();
    let Reached { world, service, .. } = reached;
    let (status, took) = service.end();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let log = std::fs::read_to_string(world.path("run.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    drop((silent, waits));
}

/// The daemon does its work, says what is wrong, and listens as soon as it can.
#[test]
fn an_address_in_use_costs_nothing_else() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let world = configured(taken.local_addr().unwrap());
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_files", "success") == 1
    });
    let log = std::fs::read_to_string(world.path("run.log")).unwrap();
    assert!(log.contains("SW1218"), "{log}");
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn what_cannot_be_used_is_refused_and_found() {
    let address = free();
    let world = configured(address);
    std::fs::write(world.path("token"), "too short\n").unwrap();
    std::fs::remove_file(world.path("webhook")).unwrap();
    let found = world.json(1, &["doctor"]);
    let ill: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["subject"] == "tcp")
        .collect();
    assert_eq!(ill.len(), 2, "{found}");
    assert!(ill.iter().all(|it| it["code"] == "SW1218"), "{found}");
}

//! Notifications as people get them: a webhook, a chat, a pager and a real mail server on loopback; outages of them, kills of the daemon,
//! alerts that are acknowledged.

use std::collections::BTreeSet;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::https::Request;
use super::service::{Service, slots, wait};
use super::tcp::free;
use super::world::{World, certified, installed};

/// What a receiver does with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Taken,
    Refused,
    Silent,
}

/// A server that takes messages over HTTP.
pub struct Receiver {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Request>>>,
    fate: Arc<Mutex<Fate>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            taken: Arc::default(),
            fate: Arc::new(Mutex::new(Fate::Taken)),
        };
        let (taken, fate) = (Arc::clone(&receiver.taken), Arc::clone(&receiver.fate));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, taken, fate) =
                    (stream.unwrap(), Arc::clone(&taken), Arc::clone(&fate));
                std::thread::spawn(move || {
                    let mut from = BufReader::new(stream.try_clone().unwrap());
                    let Some(request) = Request::read(&mut from) else {
                        return;
                    };
                    let fate = *fate.lock().unwrap();
                    let answer = match fate {
                        Fate::Taken => "202 Accepted",
                        Fate::Refused => "503 Service Unavailable",
                        Fate::Silent => return std::thread::sleep(Duration::from_mins(2)),
                    };
                    if fate == Fate::Taken {
                        taken.lock().unwrap().push(request);
                    }
                    let answer = format!(
                        "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(answer.as_bytes());
                });
            }
        });
        receiver
    }

    fn behaves(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    pub fn bodies(&self) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        let bodies = taken.iter().map(|it| serde_json::from_slice(&it.body));
        bodies.map(Result::unwrap).collect()
    }

    /// How often a text is in what was taken.
    fn count(&self, text: &str) -> usize {
        let bodies = self.bodies();
        bodies
            .iter()
            .filter(|it| it.to_string().contains(text))
            .count()
    }
}

/// A mail server with a folder.
struct MailServer {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl MailServer {
    fn start(world: &World) -> Self {
        certified(world);
        let folder = world.path("mail");
        std::fs::create_dir_all(&folder).unwrap();
        let port = free().port();
        let mut server = Self {
            child: Command::new(installed("aiosmtpd/bin/python"))
                .arg(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../fixtures/mail/server.py"
                ))
                .arg(port.to_string())
                .arg(world.path("tls.pem"))
                .arg(world.path("tls.key"))
                .arg(&folder)
                .stdout(Stdio::null())
                .spawn()
                .expect("scripts/setup installs aiosmtpd"),
            folder,
            port,
        };
        wait("the mail server does not listen", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        assert!(server.child.try_wait().unwrap().is_none(), "it ended");
        server
    }

    /// The mails, oldest first, quoted-printable undone as far as these tests need it.
    fn mails(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|it| it.unwrap().path());
        let mails: BTreeSet<PathBuf> = files
            .filter(|path| path.extension().is_some_and(|it| it == "eml"))
            .collect();
        let read = |path: PathBuf| {
            let mut text = String::new();
            let mut file = std::fs::File::open(path).unwrap();
            file.read_to_string(&mut text).unwrap();
            text.replace("=\r\n", "").replace("\r\n", "\n")
        };
        mails.into_iter().map(read).collect()
    }

    /// How often a text was sent to the first of the two recipients; the other one got as many.
    fn count(&self, text: &str) -> usize {
        let mails = self.mails();
        let of = |recipient: &str| {
            let to = format!("X-Recipients: {recipient}\n");
            let ours = mails.iter().filter(|it| it.contains(&to));
            ours.filter(|it| it.contains(text)).count()
        };
        of("a@example.org").min(of("b@example.org"))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A world whose alerts go to four channels: three at once, and a pager when `after` seconds have passed.
struct Notified {
    world: World,
    portal: Receiver,
    chat: Receiver,
    pager: Receiver,
    mail: MailServer,
}

/// What must stay secret.
const CHAT_SECRET: &str = "T0SECRETB0SECRET";
const PAGER_SECRET: &str = "a-routing-key-of-the-tests";
const PORTAL_SECRET: &str = "a shared secret of the tests";
const MAIL_SECRET: &str = "a password of the tests";

impl Notified {
    fn new(after: u64) -> Self {
        let mut world = World::new();
        let channel =
            |id: &str, medium: &str| json!({ "channel_id": id, "name": id, "medium": medium });
        world.model["settings"]["channels"] = json!({
            "portal": channel("portal", "webhook"), "chat": channel("chat", "chat"),
            "pager": channel("pager", "paging"), "mail": channel("mail", "mail"),
        });
        world.model["settings"]["alerts"] = json!({ "critical_data": {
            "alert_id": "critical_data", "tiers": ["tier1"],
            "thresholds": [{ "watch": "objective_used", "warning_percent": 70, "critical_percent": 90 }],
            "escalation": [
                { "after_s": 0, "channels": ["portal", "chat", "mail"] },
                { "after_s": after, "channels": ["pager"] },
            ],
        }});
        let mail = MailServer::start(&world);
        let notified = Self {
            world,
            portal: Receiver::start(),
            chat: Receiver::start(),
            pager: Receiver::start(),
            mail,
        };
        notified.configure();
        notified
    }

    fn configure(&self) {
        let world = &self.world;
        let secret = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            let path = world.path(name);
            std::fs::write(&path, format!("{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path.display().to_string()
        };
        let chat = format!("http://{}/services/{CHAT_SECRET}", self.chat.address);
        let channels = format!(
            "interval: PT1S
channels:
  portal: {{ webhook: {{ url: 'http://{portal}/hook', secret_file: {portal_secret} }} }}
  chat: {{ slack: {{ url_file: {chat} }} }}
  pager: {{ pagerduty: {{ routing_key_file: {pager_key}, url: 'http://{pager}/v2/enqueue' }} }}
  mail:
    mail: {{ host: localhost, port: {port}, tls: starttls, username: seawall, password_file: {password}, ca_file: {ca},
            from: 'Seawall <seawall@example.org>', to: [a@example.org, b@example.org] }}",
            portal = self.portal.address,
            portal_secret = secret("portal-secret", PORTAL_SECRET),
            chat = secret("chat-url", &chat),
            pager_key = secret("pager-key", PAGER_SECRET),
            pager = self.pager.address,
            port = self.mail.port,
            password = secret("mail-password", MAIL_SECRET),
            ca = world.path("ca.pem").display(),
        );
        world.configure(&[("interval: PT1S", &channels)]);
    }

    fn start(&mut self) -> Service {
        self.world.publish();
        let service = Service::start(&self.world);
        wait("the first point is not taken", || {
            slots(&self.world, "bp_files", "success") == 1
        });
        service
    }

    fn unmount(&self) {
        std::fs::rename(self.world.path("loc_b"), self.world.path("away")).unwrap();
    }

    fn mount(&self) {
        std::fs::rename(self.world.path("away"), self.world.path("loc_b")).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.world.path("run.log")).unwrap()
    }
}

const ALERT: &str = "SW1007.location.loc_b";

/// HMAC as `openssl` computes it.
fn signed(body: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-hex", "-hmac", PORTAL_SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    said.trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn every_channel_hears_of_an_alert_once_and_of_its_end_whatever_fails_meanwhile() {
    let mut it = Notified::new(2);
    let service = it.start();
    it.chat.behaves(Fate::Refused);
    it.unmount();
    wait("the portal is not notified", || it.portal.count(ALERT) == 1);
    wait("no mail", || it.mail.count(ALERT) == 1);
    wait("the pager does not ring", || it.pager.count(ALERT) == 1);
    // The receiver that fails is part of the status, and others are notified of it.
    wait("nothing says that the chat fails", || {
        it.portal.count("SW1219") == 1 && it.mail.count("SW1219") == 1
    });
    let status = it.world.json(0, &["status"]);
    let codes: Vec<&str> = status["overall"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["code"].as_str())
        .collect();
    assert!(codes.contains(&"SW1219"), "{status:#}");
    // What arrived is not sent again by the next life; what did not, is.
    drop(service);
    let service = Service::start(&it.world);
    it.chat.behaves(Fate::Taken);
    wait("the chat is not notified after its outage", || {
        it.chat.count(ALERT) == 1
    });
    it.mount();
    for (name, receiver) in [("portal", &it.portal), ("chat", &it.chat)] {
        let over = |it: &Receiver| {
            let over = it
                .bodies()
                .into_iter()
                .filter(|it| it.to_string().contains("resolved"));
            over.filter(|it| it.to_string().contains("loc_b")).count()
        };
        wait(&format!("the {name} does not hear of the end"), || {
            over(receiver) == 1
        });
    }
    wait("no mail of the end", || {
        it.mail.count("resolved location loc_b") == 1
    });
    wait("the incident stays open", || {
        it.pager.count("\"resolve\"") >= 1
    });
    // Long enough for everything that would be sent a second time.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(it.portal.count("SW1007"), 2, "{:#?}", it.portal.bodies());
    assert_eq!(it.chat.count("SW1007"), 2, "{:#?}", it.chat.bodies());
    assert_eq!(it.mail.count("SW1007"), 2, "{:#?}", it.mail.mails());
    let events = it.pager.bodies();
    let of_location = events
        .iter()
        .filter(|it| it["dedup_key"].as_str().unwrap().contains(ALERT));
    let actions: Vec<&Value> = of_location.map(|it| &it["event_action"]).collect();
    assert_eq!(actions, ["trigger", "resolve"], "{events:#?}");
    service.end();
    let log = it.log();
    for secret in [CHAT_SECRET, PAGER_SECRET, PORTAL_SECRET, MAIL_SECRET] {
        assert!(!log.contains(secret), "{log}");
    }
    forms(&it);
    it.world.expect(0, &["receipts", "verify"]);
    assert_eq!(it.world.expect(0, &["alerts"]).trim(), "no alert is active");
}

/// What the messages of the story above look like.
fn forms(it: &Notified) {
    let taken = it.portal.taken.lock().unwrap();
    let first = taken
        .iter()
        .find(|it| String::from_utf8_lossy(&it.body).contains(ALERT))
        .unwrap();
    let signature = first.header("x-seawall-signature");
    assert_eq!(signature, format!("sha256={}", signed(&first.body)));
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(first.header("x-seawall-message-id"), body["message_id"]);
    let alert = &body["alerts"][0];
    assert_eq!(body["schema_version"], 1);
    assert_eq!(
        (&body["environment"], &body["reconciler_id"]),
        (&json!("dev"), &json!("rec"))
    );
    assert_eq!(alert["state"], "active");
    assert_eq!(alert["severity"], "warning");
    assert_eq!(alert["subject"], "location loc_b");
    assert_eq!(alert["alert_policies"], json!(["critical_data"]));
    assert!(
        alert["remedy"]
            .as_str()
            .unwrap()
            .contains("seawall explain SW1007"),
        "{alert}"
    );
    let ids: Vec<String> = taken
        .iter()
        .map(|it| serde_json::from_slice::<Value>(&it.body).unwrap()["message_id"].to_string())
        .collect();
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        ids.len(),
        "{ids:?}"
    );
    let event = it
        .pager
        .bodies()
        .into_iter()
        .find(|it| it.to_string().contains(ALERT))
        .unwrap();
    assert_eq!(event["routing_key"], PAGER_SECRET);
    assert_eq!(event["payload"]["severity"], "warning");
    assert_eq!(event["payload"]["class"], "SW1007");
    let mails = it.mail.mails();
    let mail = mails.iter().find(|it| it.contains(ALERT)).unwrap();
    for line in [
        "To: a@example.org, b@example.org\n",
        "Subject: [seawall dev/rec] WARNING: location loc_b,",
        "acknowledge: seawalld alerts ack SW1007.location.loc_b",
        "Message-ID: <",
    ] {
        assert!(mail.contains(line), "{line}\n{mail}");
    }
}

#[test]
fn an_alert_that_an_operator_takes_on_rings_no_pager() {
    let mut it = Notified::new(6);
    let service = it.start();
    it.unmount();
    wait("the portal is not notified", || it.portal.count(ALERT) == 1);
    // What a channel took is recorded after it was taken.
    wait("nobody says that the portal was notified", || {
        let shown = it.world.expect(0, &["alerts"]);
        shown.contains(ALERT) && shown.contains("portal")
    });
    it.world.expect(
        0,
        &[
            "alerts",
            "ack",
            ALERT,
            "--note",
            "the disk is being replaced",
        ],
    );
    let said = it
        .world
        .refused(2, &["alerts", "ack", "SW1007.location.typo"]);
    assert!(said.contains("SW1107"), "{said}");
    let alerts = it.world.json(0, &["alerts"]);
    assert_eq!(alerts[0]["note"], "the disk is being replaced", "{alerts}");
    std::thread::sleep(Duration::from_secs(9));
    assert_eq!(it.pager.count(ALERT), 0, "{:#?}", it.pager.bodies());
    it.mount();
    wait("the portal does not hear of the end", || {
        it.portal.count("resolved") == 1
    });
    service.end();
    // Who was notified when, and who took it on, can be proven.
    let receipts = it.world.json(0, &["receipts"]);
    let details = receipts.as_array().unwrap().iter();
    let details: Vec<&Value> = details
        .filter(|it| it["decision_type"] == "notification")
        .map(|it| &it["details"])
        .collect();
    let of = |field: &str, value: &str| details.iter().filter(|it| it[field] == value).count();
    assert_eq!(of("acknowledged", ALERT), 1, "{details:#?}");
    for channel in ["portal", "chat", "mail"] {
        let sent = |it: &&&Value| it["channel"] == channel && it["active"] == ALERT;
        assert_eq!(details.iter().filter(sent).count(), 1, "{details:#?}");
    }
    assert_eq!(it.pager.bodies().len(), 0);
}

#[test]
fn a_receiver_that_hangs_delays_no_other_channel() {
    let mut it = Notified::new(0);
    let service = it.start();
    it.portal.behaves(Fate::Silent);
    it.unmount();
    let took = wait("the pager does not ring", || it.pager.count(ALERT) == 1);
    assert!(took < Duration::from_secs(15), "{took:?}");
    it.mount();
    wait("the incident stays open", || {
        it.pager.count("\"resolve\"") == 1
    });
    // Neither does it delay the end.
    let asked = std::time::Instant::now();
    service.end();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(it.portal.count(ALERT), 0);
}

#[test]
fn a_channel_can_be_tested_with_and_without_a_daemon() {
    let mut it = Notified::new(0);
    for round in 1..=2 {
        let service = (round == 2).then(|| it.start());
        for channel in ["portal", "chat", "pager", "mail"] {
            let said = it.world.expect(0, &["alerts", "test", channel]);
            assert!(said.contains(channel), "{said}");
        }
        assert_eq!(it.portal.bodies().last().unwrap()["is_test"], true);
        assert_eq!(it.chat.bodies().len(), round);
        // It rings and is resolved at once.
        assert_eq!(it.pager.bodies().len(), 2 * round);
        assert_eq!(it.mail.count("Nothing is wrong"), round);
        let said = it.world.refused(2, &["alerts", "test", "typo"]);
        assert!(said.contains("SW1107"), "{said}");
        drop(service);
    }
    // A wrong password, and a certificate that nothing vouches for.
    std::fs::write(it.world.path("mail-password"), "another one\n").unwrap();
    let said = it.world.refused(4, &["alerts", "test", "mail"]);
    assert!(said.contains("SW1219") && said.contains("535"), "{said}");
    it.configure();
    certified(&it.world);
    let said = it.world.refused(4, &["alerts", "test", "mail"]);
    assert!(
        said.contains("SW1219") && said.contains("certificate"),
        "{said}"
    );
    std::fs::remove_file(it.world.path("chat-url")).unwrap();
    let said = it.world.refused(4, &["alerts", "test", "chat"]);
    assert!(said.contains("chat-url"), "{said}");
    let found = it.world.json(1, &["doctor"]).to_string();
    assert!(
        found.contains("channel chat") && found.contains("SW1219"),
        "{found}"
    );
}

#[test]
fn a_channel_that_wants_it_is_sent_every_backup_and_restore_that_ended() {
    let mut it = Notified::new(0);
    let with = std::fs::read_to_string(it.world.path("seawalld.yaml")).unwrap();
    std::fs::write(
        it.world.path("seawalld.yaml"),
        format!("{with}completions: [portal]\n"),
    )
    .unwrap();
    let service = it.start();
    let completed = || -> Vec<Value> {
        let bodies = it.portal.bodies().into_iter();
        bodies
            .flat_map(|it| it["completed"].as_array().unwrap().clone())
            .collect()
    };
    wait("the first backup is not sent", || completed().len() == 1);
    it.portal.behaves(Fate::Refused);
    it.world.expect(0, &["backup", "bp_files"]);
    it.world.export("ds_files", &it.world.path("back"));
    std::fs::rename(it.world.path("live"), it.world.path("gone")).unwrap();
    it.world.refused(1, &["backup", "bp_files"]);
    drop(service);
    it.portal.behaves(Fate::Taken);
    let service = Service::start(&it.world);
    wait("what ended during the outage is not sent", || {
        completed().len() >= 4
    });
    std::thread::sleep(Duration::from_secs(3));
    service.end();
    let told: Vec<(String, String)> = completed()
        .iter()
        .map(|it| (it["kind"].to_string(), it["result"].to_string()))
        .collect();
    let expected = [
        ("backup", "success"),
        ("backup", "success"),
        ("restore", "success"),
        ("backup", "failure"),
    ];
    let expected = expected.map(|(kind, result)| (format!("{kind:?}"), format!("{result:?}")));
    assert_eq!(told, expected, "{:#?}", completed());
    assert!(
        completed()[3]["error"].to_string().contains("SW1501"),
        "{:#?}",
        completed()
    );
    assert_eq!(it.chat.bodies().len(), it.chat.count("SW"));
}

/// The JSON that webhooks receive, as an independent implementation of JSON Schema reads it. `SEAWALL_WRITE_DOCS=1` writes it anew.
#[test]
fn the_schema_of_notifications_is_checked_in() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../schemas/seawalld-notification.json");
    let schema = reconciler::domain::message_schema();
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{} is not current", path.display());
}

/// What policy watches with a number: the age of recovery points, the share of slots, the capacity of locations.
#[test]
fn thresholds_of_the_policy_give_alerts() {
    let mut it = Notified::new(0);
    let policy = &mut it.world.model["settings"]["alerts"]["critical_data"];
    policy["thresholds"] = json!([
        { "watch": "backup_success", "warning_percent": 100, "critical_percent": 50 },
        { "watch": "capacity", "warning_percent": 0, "critical_percent": 100 },
        { "watch": "objective_used", "warning_percent": 0, "critical_percent": 100 },
    ]);
    policy["window_s"] = json!(86_400);
    std::fs::rename(it.world.path("live"), it.world.path("gone")).unwrap();
    it.world.publish();
    let service = Service::start(&it.world);
    let share = "critical_data.backup_success.plan.bp_files";
    wait("the failed slot is no alert", || {
        it.portal.count(share) == 1
    });
    std::fs::rename(it.world.path("gone"), it.world.path("live")).unwrap();
    it.world.expect(0, &["backup", "bp_files"]);
    let age = "critical_data.objective_used.dataset.ds_files";
    wait("the age is no alert", || it.portal.count(age) == 1);
    let alerts = it.world.json(0, &["alerts"]);
    let of = |id: &str| {
        let all = alerts.as_array().unwrap().iter();
        let mut found = all.filter(|it| it["alert_id"] == id);
        let found = found.next().unwrap_or_else(|| panic!("{id}: {alerts:#}"));
        (found["severity"].clone(), found["summary"].to_string())
    };
    let (severity, summary) = of(share);
    assert_eq!(severity, "critical");
    assert!(
        summary.contains("0.0 % of the slots") && summary.contains("24 h"),
        "{summary}"
    );
    for location in ["loc_a", "loc_b"] {
        let (severity, summary) = of(&format!("critical_data.capacity.location.{location}"));
        assert_eq!(severity, "warning");
        assert!(summary.contains("% of it is used"), "{summary}");
    }
    let (severity, summary) = of(age);
    assert_eq!(severity, "warning");
    assert!(summary.contains("of its RPO of 48 h"), "{summary}");
    service.end();
}

/// A policy that calls people whom nothing here reaches is not green.
#[test]
fn a_channel_that_is_not_bound_is_a_condition_and_external_ones_are_not() {
    let mut it = Notified::new(0);
    let without = "interval: PT1S\nchannels: { portal: { external: Alertmanager }, chat: { external: Alertmanager }, mail: { external: Alertmanager } }";
    it.world.configure(&[("interval: PT1S", without)]);
    it.world.publish();
    it.world.expect(0, &["once"]);
    let shown = it.world.expect(0, &["status"]);
    assert!(
        shown.contains("SW1031") && shown.contains("channel `pager` is not bound"),
        "{shown}"
    );
    let found = it.world.json(1, &["doctor"]).to_string();
    assert!(found.contains("SW1031"), "{found}");
    let all = without.replace(" } }", " }, pager: { external: Alertmanager } }");
    it.world.configure(&[("interval: PT1S", &all)]);
    let shown = it.world.expect(0, &["status"]);
    assert!(!shown.contains("SW1031"), "{shown}");
    // A chat is no pager.
    let chat = all.replace(
        "pager: { external: Alertmanager }",
        "pager: { slack: { url_file: /nowhere } }",
    );
    it.world.configure(&[("interval: PT1S", &chat)]);
    let shown = it.world.expect(0, &["status"]);
    assert!(
        shown.contains("SW1031") && shown.contains("medium: paging"),
        "{shown}"
    );
}

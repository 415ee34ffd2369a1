//! What an operator on call meets at three in the morning: eight faults, one after the other, in one running daemon. Each shows in the log,
//! in a notification, in the status and in the metrics, and the manual says what to do. `--nocapture` prints all of it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::locations::{Undo, mounted};
use super::notified::Receiver;
use super::service::{lock, slots, with_a_database};
use super::world::World;
use crate::postgres_server::Server;

/// By which a fault may show, the time of a few slots among it.
const SHOWS_WITHIN: Duration = Duration::from_secs(90);

struct Night {
    world: World,
    portal: Receiver,
    daemon: Child,
    /// A disk of its own, and small.
    _disk: Undo,
}

/// What takes a fault away again.
type Repair<'r> = Box<dyn FnOnce(&mut Night) + 'r>;

/// One fault and where it has to show.
struct Fault {
    name: &'static str,
    /// The alert's id, as far as it is known before.
    alert: &'static str,
    /// The code that says what is wrong.
    code: &'static str,
    /// The code of the condition and of the metric.
    condition: &'static str,
    /// What begins a line of the log about it.
    event: &'static str,
}

impl Night {
    fn begin(server: &Server) -> Self {
        let mut world = with_a_database(server);
        let disk = mounted(&world.path("loc_b"), "24m");
        for plan in ["bp_files", "bp_db"] {
            let frequency = &mut world.model["plans"][plan]["backup_frequency"];
            for (field, seconds) in [
                ("every_s", 10),
                ("start_window_s", 8),
                ("completion_window_s", 8),
            ] {
                frequency[field] = seconds.into();
            }
        }
        world.model["settings"]["channels"] = json!({
            "portal": { "channel_id": "portal", "name": "portal", "medium": "webhook" },
        });
        world.model["settings"]["alerts"] = json!({ "all": {
            "alert_id": "all", "tiers": ["tier1"],
            "thresholds": [{ "watch": "capacity", "warning_percent": 90, "critical_percent": 98 }],
            "escalation": [{ "after_s": 0, "channels": ["portal"] }],
        }});
        let portal = Receiver::start();
        let configured = std::fs::read_to_string(world.path("seawalld.yaml")).unwrap();
        let channels = format!(
            "channels: {{ portal: {{ webhook: {{ url: 'http://{}/' }} }} }}\n",
            portal.address
        );
        let configured = configured.replace("deadline: PT30S", "deadline: PT2S") + &channels;
        std::fs::write(world.path("seawalld.yaml"), configured).unwrap();
        std::fs::write(world.path("clock"), "+0").unwrap();
        world.publish();
        let log = std::fs::File::create(world.path("run.log")).unwrap();
        let daemon = world
            .command(&["--format", "json", "run"])
            .env(
                "LD_PRELOAD",
                "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            )
            .env("FAKETIME_TIMESTAMP_FILE", world.path("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let night = Self {
            world,
            portal,
            daemon,
            _disk: disk,
        };
        // A plan that is too slow for its window on a busy machine says so in the log.
        let begun = Instant::now();
        for plan in ["bp_files", "bp_db"] {
            while slots(&night.world, plan, "success") == 0 {
                let late = begun.elapsed() < SHOWS_WITHIN;
                let log = || std::fs::read_to_string(night.world.path("run.log")).unwrap();
                assert!(late, "`{plan}` has no recovery point\n{}", log());
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        night
    }

    fn metrics(&self) -> String {
        let mut stream = UnixStream::connect(self.world.path("state/seawalld.sock")).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn conditions(&self) -> Vec<Value> {
        let status = self.world.run(&["--format", "json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let whole = status["overall"].as_array().cloned().unwrap_or_default();
        let plans = status["plans"].as_array().cloned().unwrap_or_default();
        let problems = plans
            .iter()
            .flat_map(|it| it["problems"].as_array().cloned().unwrap_or_default());
        whole.into_iter().chain(problems).collect()
    }

    /// What the portal was sent of an alert: each time that it became active, or was over.
    fn notices(&self, alert: &str, state: &str) -> Vec<Value> {
        let bodies = self.portal.bodies().into_iter();
        bodies
            .flat_map(|it| it["alerts"].as_array().unwrap().clone())
            .filter(|it| it["alert_id"] == alert && it["state"] == state)
            .collect()
    }

    /// Waits for something about a fault; the log from its beginning on is shown when it does not come.
    fn wait(
        &self,
        fault: &Fault,
        what: &str,
        (begun, before): (Instant, usize),
        found: &dyn Fn() -> bool,
    ) {
        while !found() {
            let log = std::fs::read_to_string(self.world.path("run.log")).unwrap();
            assert!(
                begun.elapsed() < SHOWS_WITHIN,
                "{}: {what}\n{:#?}\n{}",
                fault.name,
                self.conditions(),
                &log[before..]
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Injects a fault, looks where it shows, and takes it away again.
    fn meets<'r>(&mut self, fault: &Fault, inject: impl FnOnce(&mut Self) -> Repair<'r>) {
        let Fault {
            name,
            alert,
            code,
            condition,
            event,
        } = *fault;
        let (active, over) = (
            self.notices(alert, "active").len(),
            self.notices(alert, "resolved").len(),
        );
        let before = std::fs::read_to_string(self.world.path("run.log"))
            .unwrap()
            .len();
        let repair = inject(self);
        let begun = Instant::now();
        let shows = |what: &str, found: &dyn Fn() -> bool| {
            self.wait(fault, what, (begun, before), found);
        };
        let notified = || {
            let all = self.notices(alert, "active");
            all.len() > active && all.last().unwrap().to_string().contains(code)
        };
        shows("no notification", &notified);
        let took = begun.elapsed();
        let holds = || {
            self.conditions()
                .into_iter()
                .find(|it| it["code"] == condition)
        };
        shows("no condition", &|| holds().is_some());
        let sample = format!("code=\"{condition}\"");
        let metric = || {
            let metrics = self.metrics();
            metrics
                .lines()
                .find(|it| it.starts_with("seawall_condition{") && it.contains(&sample))
                .map(str::to_owned)
        };
        // The metric shows the worst of a plan; the alert watches all of them.
        let metric = metric().unwrap_or_else(|| {
            let metrics = self.metrics();
            let usable = metrics
                .lines()
                .find(|it| it.starts_with("seawall_location") && it.ends_with(" 0"));
            usable.unwrap_or_default().to_owned()
        });
        assert!(!metric.is_empty(), "{name}: no metric");
        let logged = || {
            let log = std::fs::read_to_string(self.world.path("run.log")).unwrap();
            let mut lines = log[before..].lines();
            lines
                .find(|it| it.contains(&format!("\"{event}\"")) && it.contains(code))
                .map(str::to_owned)
        };
        shows("no line in the log", &|| logged().is_some());
        let manual =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate.md"))
                .unwrap();
        let section = manual
            .lines()
            .find(|it| it.starts_with("| ") && it.contains(&format!("`{code}`")));
        println!("\n## {name}, shown after {took:?}");
        println!("log:          {}", logged().unwrap());
        println!(
            "notification: {}",
            self.notices(alert, "active").last().unwrap()
        );
        println!("condition:    {}", holds().unwrap());
        println!("metric:       {metric}");
        println!(
            "manual:       {}",
            section.unwrap_or_else(|| panic!("docs/operate.md says nothing of {code}"))
        );
        repair(self);
        let begun = Instant::now();
        self.wait(fault, "never resolved", (begun, before), &|| {
            self.notices(alert, "resolved").len() > over
        });
        println!("resolved:     {:?} after the repair", begun.elapsed());
    }
}

impl Drop for Night {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn eight_faults_of_a_night_show_in_log_notification_status_metrics_and_manual() {
    let server = Server::start();
    let mut night = Night::begin(&server);
    let failed = |name, alert, code| Fault {
        name,
        alert,
        code,
        condition: "SW1010",
        event: "operation_ended",
    };
    let of_daemon = |name, alert, code, event| Fault {
        name,
        alert,
        code,
        condition: code,
        event,
    };
    night.meets(
        &failed("database lock", "SW1010.plan.bp_db", "SW1504"),
        |_| {
            let session = lock(&server);
            Box::new(|_| drop(session))
        },
    );
    let full = Fault {
        name: "full location",
        alert: "all.capacity.location.loc_b",
        code: "SW1402",
        condition: "SW1006",
        event: "alert_active",
    };
    night.meets(&full, |night| {
        let ballast = night.world.path("loc_b/ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
        let news: Vec<u8> = (0..3_000_000_u32)
            .flat_map(|it| (it ^ 0x5eed).wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        std::fs::write(night.world.path("live/news"), news).unwrap();
        Box::new(move |_| std::fs::remove_file(ballast).unwrap())
    });
    let unmounted = Fault {
        name: "unmounted disk",
        alert: "SW1007.location.loc_a",
        code: "SW1007",
        condition: "SW1007",
        event: "alert_active",
    };
    night.meets(&unmounted, |night| {
        rename(&night.world.path("loc_a"), &night.world.path("away"));
        Box::new(|night| rename(&night.world.path("away"), &night.world.path("loc_a")))
    });
    night.meets(
        &failed("wrong key", "SW1010.plan.bp_files", "SW1405"),
        |night| {
            let path = night.world.path("k1.key");
            let right = std::fs::read(&path).unwrap();
            std::fs::write(&path, "another key of one line\n").unwrap();
            Box::new(move |_| std::fs::write(path, right).unwrap())
        },
    );
    night.meets(
        &of_daemon("hung git", "SW1204.daemon", "SW1204", "policy_not_followed"),
        |night| {
            // A file system that hangs: opening the file waits for its other end.
            let (head, kept) = (
                night.world.path("policy/.git/HEAD"),
                night.world.path("policy/.git/kept"),
            );
            rename(&head, &kept);
            assert!(
                Command::new("mkfifo")
                    .arg(&head)
                    .status()
                    .unwrap()
                    .success()
            );
            Box::new(move |_| rename(&kept, &head))
        },
    );
    night.meets(
        &of_daemon("expired bundle", "SW1002.daemon", "SW1002", "alert_active"),
        |night| {
            night.world.validity = SignedDuration::from_secs(4);
            night.world.publish();
            Box::new(|night| {
                night.world.validity = SignedDuration::from_hours(24);
                night.world.publish();
            })
        },
    );
    night.meets(
        &failed("source emptied", "SW1010.plan.bp_files", "SW1506"),
        |night| {
            let (live, kept) = (night.world.path("live"), night.world.path("kept"));
            rename(&live, &kept);
            std::fs::create_dir(&live).unwrap();
            Box::new(move |_| {
                std::fs::remove_dir(&live).unwrap();
                rename(&kept, &live);
            })
        },
    );
    night.meets(
        &of_daemon("clock jump", "SW1012.daemon", "SW1012", "alert_active"),
        |night| {
            std::fs::write(night.world.path("clock"), "+400d").unwrap();
            Box::new(|night| std::fs::write(night.world.path("clock"), "+0").unwrap())
        },
    );
    // Nothing of the night has cost a recovery point, or the proof of what happened.
    night.world.expect(0, &["receipts", "verify"]);
}

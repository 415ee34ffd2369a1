//! Databases whose owner is hostile: whatever code they bring along, it never runs as a superuser, and a role that could
//! become one is refused unless the binding asks for it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use contract::code::{self, Code};
use reconciler::domain::Observation;
use reconciler::world::connector::{
    self, Binding, ConnectorError, Material, Mode, PostgresBinding, Prepared, RestoreSummary,
    SuperuserWork, Target, ValidationQuery,
};

use super::bounds;
use crate::postgres_server::Server;

/// Written to the server's log by hostile code, with who ran it and whether that was a superuser.
const RAN: &str = "HOSTILE CODE RAN";

/// A server with a database `shop` of the hostile owner `app`.
struct Hostile {
    server: Server,
    scratch: tempfile::TempDir,
    /// The server's user can write here; a program that `COPY … TO PROGRAM` started would.
    mark: PathBuf,
    spools: AtomicU64,
}

impl Hostile {
    fn new() -> Self {
        let server = Server::start();
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mark = scratch.path().join("owned");
        server.sql("postgres", "CREATE DATABASE shop OWNER app");
        let hostile = Self {
            server,
            scratch,
            mark,
            spools: AtomicU64::new(0),
        };
        let attack = hostile.attack();
        hostile.server.owner_sql("shop", &attack);
        hostile
    }

    /// A function that tries every way up that it knows and then looks harmless. It says that it is immutable, so that it
    /// may stand in an index; what it calls is not, so that it may write.
    fn attack(&self) -> String {
        let program = format!("COPY (SELECT 1) TO PROGRAM 'cat > {}'", self.mark.display());
        let tries = [
            "RESET ROLE",
            "RESET SESSION AUTHORIZATION",
            "SET ROLE keeper",
            "SET SESSION AUTHORIZATION keeper",
            "SET default_transaction_read_only = off",
            "SET transaction_read_only = off",
            "ALTER ROLE app SUPERUSER",
            &program,
        ]
        .map(|sql| {
            format!(
                "BEGIN EXECUTE {}; EXCEPTION WHEN OTHERS THEN NULL; END;",
                quoted(sql)
            )
        })
        .join("\n");
        format!(
            "CREATE FUNCTION public.strike() RETURNS boolean LANGUAGE plpgsql AS $attack$
             BEGIN
               RAISE LOG '{RAN} as % superuser %', session_user, pg_catalog.current_setting('is_superuser');
               {tries}
               BEGIN
                 EXECUTE 'CREATE FUNCTION public.later_' || session_user || '() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$';
               EXCEPTION WHEN OTHERS THEN NULL; END;
               RETURN true;
             END $attack$;
             CREATE FUNCTION public.attack() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $attack$
             BEGIN RETURN public.strike(); END $attack$"
        )
    }

    /// Nobody became a superuser and no program ran. Returns the roles as which hostile code ran.
    fn check(&self) -> BTreeSet<String> {
        let superusers = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolsuper";
        assert_eq!(self.server.sql("postgres", superusers), "keeper");
        assert!(!self.mark.exists(), "a program ran on the server");
        let log = self.server.log();
        let ran = log.lines().filter_map(|line| line.split_once(RAN));
        ran.map(|(_, who)| who.trim_start_matches(" as ").to_owned())
            .collect()
    }

    fn backup(&self, binding: &Binding) -> Result<Prepared, ConnectorError> {
        let spool = self.spools.fetch_add(1, Ordering::SeqCst);
        let spool = self.scratch.path().join(format!("spool-{spool}"));
        connector::prepare(binding, None, &spool, &bounds())
    }

    fn restore(
        &self,
        binding: &Binding,
        prepared: &Prepared,
        target: &str,
    ) -> Result<RestoreSummary, ConnectorError> {
        let material = Material {
            folder: &prepared.source,
            manifest: prepared.manifest.as_ref(),
        };
        let target = target.to_owned();
        connector::restore(binding, material, &Mode::SideBySide { target }, &bounds())
    }

    /// The binding of the documentation, and one to a superuser that asks for it by name.
    fn bindings(&self) -> [(&'static str, PostgresBinding); 2] {
        [
            ("roles", self.server.binding("shop")),
            (
                "superuser",
                PostgresBinding {
                    superuser: BTreeSet::from([SuperuserWork::Backup, SuperuserWork::Restore]),
                    ..self.server.superuser_binding("shop")
                },
            ),
        ]
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn wrap(binding: PostgresBinding) -> Binding {
    Binding::Postgres(Box::new(binding))
}

/// Each call logs that hostile code ran, and then does what was asked.
fn shadow(arguments: &str, returns: &str, name: &str, call: &str) -> String {
    format!(
        "CREATE FUNCTION evil.{name}({arguments}) RETURNS {returns} LANGUAGE plpgsql AS
         $$ BEGIN PERFORM public.attack(); RETURN {call}; END $$;"
    )
}

/// What the other tests hold against would happen.
#[test]
fn the_attack_works_where_a_superuser_runs_it() {
    let hostile = Hostile::new();
    hostile.server.owner_sql("shop", "SELECT public.attack()");
    hostile.check();
    hostile
        .server
        .sql("shop", "SET ROLE app; SELECT public.attack()");
    assert!(hostile.mark.exists());
    let app = "SELECT rolsuper FROM pg_roles WHERE rolname = 'app'";
    assert_eq!(hostile.server.sql("postgres", app), "t");
}

#[test]
fn names_and_operators_of_an_owner_are_never_resolved() {
    let hostile = Hostile::new();
    let mut sql =
        "CREATE SCHEMA evil; CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1);"
            .to_owned();
    for (arguments, returns, name, call) in [
        (
            "oid",
            "bigint",
            "pg_database_size",
            "pg_catalog.pg_database_size($1)",
        ),
        (
            "oid",
            "name",
            "pg_get_userbyid",
            "pg_catalog.pg_get_userbyid($1)",
        ),
        (
            "text",
            "text",
            "current_setting",
            "pg_catalog.current_setting($1)",
        ),
        (
            "",
            "text",
            "pg_export_snapshot",
            "pg_catalog.pg_export_snapshot()",
        ),
        (
            "int",
            "name",
            "pg_encoding_to_char",
            "pg_catalog.pg_encoding_to_char($1)",
        ),
        (
            "oid, name",
            "text",
            "shobj_description",
            "pg_catalog.shobj_description($1, $2)",
        ),
        (
            "timestamp, text",
            "text",
            "to_char",
            "pg_catalog.to_char($1, $2)",
        ),
        (
            "name, oid, text",
            "boolean",
            "pg_has_role",
            "pg_catalog.pg_has_role($1, $2, $3)",
        ),
    ] {
        sql += &shadow(arguments, returns, name, call);
    }
    for (left, right, operator, name) in [
        ("name", "name", "=", "name_eq"),
        ("name", "text", "=", "nametext_eq"),
        ("oid", "oid", "=", "oid_eq"),
        ("oid", "oid", "<>", "oid_ne"),
        ("name", "text", "!~", "no_match"),
        ("name", "text", "<>", "nametext_ne"),
        ("\"char\"", "\"char\"", "=", "char_eq"),
        ("\"char\"", "\"char\"", "<>", "char_ne"),
    ] {
        let call = format!("$1 OPERATOR(pg_catalog.{operator}) $2");
        sql += &shadow(&format!("{left}, {right}"), "boolean", name, &call);
        sql += &format!(
            "CREATE OPERATOR evil.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.{name});"
        );
    }
    sql += "ALTER DATABASE shop SET search_path = evil, pg_catalog;";
    hostile.server.owner_sql("shop", &sql);
    let probe = "SELECT count(*) FROM pg_database WHERE datname = current_database() AND pg_database_size(oid) > 0";
    hostile.server.owner_sql("shop", probe);
    assert_eq!(
        hostile.check(),
        BTreeSet::from(["app superuser off".to_owned()]),
        "the shadows work for a session that takes the database's settings"
    );

    for (name, binding) in hostile.bindings() {
        let binding = wrap(binding);
        let view = connector::observe(&binding, &bounds());
        assert!(matches!(view.bytes, Observation::Known { .. }), "{view:?}");
        let rights = connector::rights(&binding, &bounds());
        assert!(rights.iter().all(Result::is_ok), "{rights:?}");
        let prepared = hostile.backup(&binding).unwrap();
        hostile.restore(&binding, &prepared, name).unwrap();
        assert_eq!(
            hostile.check(),
            BTreeSet::from(["app superuser off".to_owned()]),
            "no session of ours ran hostile code"
        );
        assert_eq!(
            hostile.server.sql(name, "SELECT count(*) FROM public.t"),
            "1"
        );
    }
}

#[test]
fn the_value_of_a_list_setting_is_no_statement() {
    let hostile = Hostile::new();
    for value in [
        "public;ALTER/**/ROLE/**/app/**/SUPERUSER;--",
        "public, \"a'; ALTER ROLE app SUPERUSER; --\"",
        "\"$user\", \"we \"\"ird\", o'brien",
        "",
    ] {
        hostile.server.owner_sql(
            "shop",
            &format!(
                "SELECT set_config('search_path', {}, false);
                 ALTER DATABASE shop SET search_path FROM CURRENT",
                quoted(value)
            ),
        );
        for (name, binding) in hostile.bindings() {
            let binding = wrap(binding);
            let prepared = hostile.backup(&binding).unwrap();
            hostile.restore(&binding, &prepared, name).unwrap();
            hostile.check();
            let settings = |database: &str| {
                let sql = format!(
                    "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = '{database}'"
                );
                hostile.server.sql("postgres", &sql)
            };
            let paths = |database: &str| {
                let shown = "SELECT current_schemas(false)::text || current_setting('search_path')";
                (
                    settings(database).is_empty(),
                    hostile.server.sql(database, shown),
                )
            };
            assert_eq!(paths(name).0, paths("shop").0, "{value}");
            hostile
                .server
                .sql("postgres", &format!("DROP DATABASE {name}"));
        }
    }
}

#[test]
fn a_restore_runs_what_a_dump_brings_along_without_power() {
    let hostile = Hostile::new();
    hostile.server.owner_sql(
        "shop",
        "CREATE TABLE public.t (id int CHECK (public.attack())); INSERT INTO public.t VALUES (1), (2);
         CREATE INDEX ON public.t ((public.attack()));
         CREATE MATERIALIZED VIEW public.m AS SELECT public.attack() AS done;
         CREATE VIEW public.orders AS SELECT public.attack() AS done;
         CREATE FUNCTION public.definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         CREATE FUNCTION public.writes() RETURNS int LANGUAGE plpgsql AS
           $$ BEGIN PERFORM public.attack(); INSERT INTO public.t VALUES (3); RETURN 1; END $$",
    );
    for (name, mut binding) in hostile.bindings() {
        binding.validation = vec![ValidationQuery {
            name: "orders".to_owned(),
            sql: "SELECT count(*) FROM public.orders WHERE done".to_owned(),
            equals: Some("1".to_owned()),
            at_least: None,
        }];
        let prepared = hostile.backup(&wrap(binding.clone())).unwrap();
        let summary = hostile
            .restore(&wrap(binding.clone()), &prepared, name)
            .unwrap();
        let ran = hostile.check();
        assert!(
            ran.iter().any(|who| who.starts_with("seawall")),
            "the restore ran hostile code: {ran:?}"
        );
        let as_superuser = ran.iter().filter(|who| who.ends_with("superuser on"));
        assert_eq!(as_superuser.count(), 0, "{ran:?}");
        assert_eq!(
            hostile
                .server
                .owner_sql(name, "SELECT count(*) FROM public.t"),
            "2"
        );
        assert!(
            summary.checks.iter().any(|check| check.name == "rows"),
            "{:?}",
            summary.checks
        );
        // What hostile code made during the restore gives its owner's rights to nobody.
        let definers = "SELECT count(*) > 0 AND NOT bool_or(prosecdef) FROM pg_proc WHERE proname LIKE 'later\\_seawall%'";
        assert_eq!(hostile.server.sql(name, definers), "t");
        assert_eq!(
            hostile.server.sql(
                name,
                "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
            ),
            "app"
        );

        // A query that writes fails, whatever it switches off first.
        binding
            .restore_user
            .get_or_insert_with(|| "seawalld_restore".to_owned());
        binding
            .restore_password_file
            .clone_from(&binding.password_file);
        binding.validation = vec![ValidationQuery {
            name: "writes".to_owned(),
            sql: "SELECT public.writes()".to_owned(),
            equals: None,
            at_least: None,
        }];
        let target = Target::Database(name.to_owned());
        let checks = connector::validate(&wrap(binding), &target, None, &bounds()).unwrap();
        let written = checks.iter().find(|check| check.name == "writes").unwrap();
        assert!(written.outcome.detail().contains("read-only"), "{checks:?}");
        hostile.check();
        assert_eq!(
            hostile
                .server
                .owner_sql(name, "SELECT count(*) FROM public.t"),
            "2"
        );
    }
    let left = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname LIKE 'seawall\\_%'";
    assert_eq!(
        hostile.server.sql("postgres", left),
        "",
        "no made role is left"
    );
}

/// Commands of `psql`, quotes and line ends in every name and text that an owner chooses.
#[test]
fn names_are_only_names() {
    let hostile = Hostile::new();
    let mark = hostile.scratch.path().join("ran");
    let odd = format!("x'\"\\n\\! touch {}\n\\gexec;--", mark.display());
    let ident = format!("\"{}\"", odd.replace('"', "\"\""));
    let text = quoted(&odd);
    hostile.server.owner_sql(
        "shop",
        &format!(
            "CREATE SCHEMA {ident}; CREATE TABLE {ident}.{ident} ({ident} text); INSERT INTO {ident}.{ident} VALUES ({text});
             COMMENT ON TABLE {ident}.{ident} IS {text}; COMMENT ON DATABASE shop IS {text};
             ALTER DATABASE shop SET application_name = {text}; ALTER DATABASE shop SET search_path = {text}, public"
        ),
    );
    for (_, mut binding) in hostile.bindings() {
        binding.validation = vec![ValidationQuery {
            name: odd.clone(),
            sql: format!("SELECT {ident} FROM {ident}.{ident}"),
            equals: None,
            at_least: None,
        }];
        let prepared = hostile.backup(&wrap(binding.clone())).unwrap();
        let target = "a 'b' \"c\" \\! d";
        let summary = hostile.restore(&wrap(binding), &prepared, target).unwrap();
        assert!(summary.checks.iter().all(connector::Check::has_passed));
        assert!(!mark.exists(), "a command ran");
        hostile.server.sql(
            "postgres",
            &format!("DROP DATABASE \"{}\"", target.replace('"', "\"\"")),
        );
    }
}

#[test]
fn an_event_trigger_is_listed_and_never_made() {
    let hostile = Hostile::new();
    hostile.server.owner_sql(
        "shop",
        "CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1);
         CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.attack(); END $$",
    );
    hostile.server.sql(
        "shop",
        "CREATE EVENT TRIGGER hostile ON ddl_command_end EXECUTE FUNCTION public.on_ddl()",
    );
    for (name, binding) in hostile.bindings() {
        let binding = wrap(binding);
        let prepared = hostile.backup(&binding).unwrap();
        let error = hostile.restore(&binding, &prepared, name).unwrap_err();
        assert_eq!(error.code(), code::RESTORE_INCOMPLETE, "{error}");
        assert!(error.to_string().contains("EVENT TRIGGER"), "{error}");
        assert_eq!(
            hostile.server.sql(name, "SELECT count(*) FROM public.t"),
            "1"
        );
        assert_eq!(
            hostile
                .server
                .sql(name, "SELECT count(*) FROM pg_event_trigger"),
            "0"
        );
        let ran = hostile.check();
        assert!(
            !ran.iter().any(|who| who.ends_with("superuser on")),
            "{ran:?}"
        );
    }
}

#[test]
fn an_owner_that_is_a_superuser_gets_no_code_of_a_dump() {
    let hostile = Hostile::new();
    // The superuser owns the database, and `app` has put a trap into it.
    hostile.server.sql(
        "shop",
        "ALTER DATABASE shop OWNER TO keeper; GRANT CREATE ON SCHEMA public TO app",
    );
    hostile.server.owner_sql(
        "shop",
        "CREATE FUNCTION public.trap() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'ALTER ROLE app SUPERUSER';
         CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1)",
    );
    for (name, binding) in hostile.bindings() {
        for no_owner in [false, true] {
            let binding = wrap(PostgresBinding {
                no_owner,
                ..binding.clone()
            });
            let prepared = hostile.backup(&binding).unwrap();
            let target = format!("{name}_{no_owner}");
            hostile.restore(&binding, &prepared, &target).unwrap();
            let trap = "SELECT pg_get_userbyid(proowner) || ' ' || prosecdef || ' ' || rolsuper FROM pg_proc JOIN pg_roles r ON r.oid = proowner WHERE proname = 'trap'";
            let found = hostile.server.sql(&target, trap);
            assert!(
                found.starts_with("seawall") && found.ends_with(" false false"),
                "{found}"
            );
            assert_eq!(
                hostile.server.sql(&target, "SELECT count(*) FROM public.t"),
                "1"
            );
            hostile.check();
        }
    }
    let logins = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'seawall\\_%' AND rolcanlogin";
    assert_eq!(hostile.server.sql("postgres", logins), "0");
}

/// Roles that are superusers, or as good as one.
#[test]
fn a_role_that_could_become_superuser_is_refused_unless_asked_for() {
    let hostile = Hostile::new();
    let server = &hostile.server;
    server.owner_sql("shop", "CREATE TABLE public.t (id int)");
    server.sql(
        "postgres",
        "CREATE ROLE between; GRANT keeper TO between;
         ALTER ROLE app CREATEDB",
    );
    let prepared = hostile.backup(&wrap(server.binding("shop"))).unwrap();
    let refusals = |binding: &PostgresBinding| -> Vec<Code> {
        let binding = wrap(binding.clone());
        let view = connector::observe(&binding, &bounds());
        assert!(
            matches!(view.bytes, Observation::Unknown { .. }),
            "{view:?}"
        );
        let rights = connector::rights(&binding, &bounds());
        let found = [
            connector::fingerprint(&binding, &bounds()).err(),
            hostile.backup(&binding).err(),
            hostile.restore(&binding, &prepared, "copy").err(),
            connector::validate(&binding, &Target::Live, None, &bounds()).err(),
            rights.into_iter().find_map(Result::err),
        ];
        found
            .into_iter()
            .flatten()
            .map(|error| error.code())
            .collect()
    };
    assert_eq!(
        refusals(&server.superuser_binding("shop")),
        [code::SUPERUSER_REFUSED; 5]
    );
    for grant in [
        "ALTER ROLE powerful SUPERUSER",
        "ALTER ROLE powerful CREATEROLE",
        "GRANT pg_execute_server_program TO powerful",
        "GRANT pg_write_server_files TO powerful",
        "GRANT pg_read_server_files TO powerful",
        "GRANT between TO powerful",
    ] {
        server.sql(
            "postgres",
            &format!(
                "CREATE ROLE powerful LOGIN CREATEDB PASSWORD 'x'; GRANT app, pg_read_all_data TO powerful; {grant}"
            ),
        );
        let password = hostile.scratch.path().join("password");
        fs::write(&password, "x").unwrap();
        let binding = PostgresBinding {
            user: "powerful".to_owned(),
            password_file: Some(password.clone()),
            ..server.superuser_binding("shop")
        };
        assert_eq!(refusals(&binding), [code::SUPERUSER_REFUSED; 5], "{grant}");
        // The work that is asked for by name is allowed, and no other.
        let asks = PostgresBinding {
            superuser: BTreeSet::from([SuperuserWork::Backup]),
            ..binding
        };
        hostile.backup(&wrap(asks.clone())).unwrap();
        for refused in [
            hostile
                .restore(&wrap(asks.clone()), &prepared, "copy")
                .map(drop),
            connector::validate(&wrap(asks), &Target::Live, None, &bounds()).map(drop),
        ] {
            assert_eq!(
                refused.unwrap_err().code(),
                code::SUPERUSER_REFUSED,
                "{grant}"
            );
        }
        server.sql("postgres", "DROP ROLE powerful");
    }
    assert_eq!(
        server.sql(
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname = 'copy'"
        ),
        "0",
        "a refusal changes nothing"
    );
}

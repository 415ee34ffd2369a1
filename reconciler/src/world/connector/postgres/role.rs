//! What the roles of a binding may do: refuses a superuser that the binding does not ask for by name, and finds the rights
//! that a backup or a restore will need.
//!
//! Changes nothing at the server. The interesting functions are [`permit`] and [`rights`].

use serde::Deserialize;

use super::client::{Login, literal, query, unreadable};
use super::error::DatabaseError;
use crate::world::connector::{Bounds, ConnectorError, PostgresBinding, SuperuserWork};

/// Roles `r` that are superusers or as good as one: they run programs as the server's user, read and write its files, or
/// (before PostgreSQL 16) grant themselves any of these.
const POWERFUL: &str = "(r.rolsuper \
     OR r.rolname IN ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files') \
     OR (r.rolcreaterole AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 160000))";

/// The powerful role that the session's own role is, or can become; the superuser first. Null when there is none.
pub(super) fn power_of_session() -> String {
    format!(
        "(SELECT pg_catalog.json_build_object('role', r.rolname, 'superuser', r.rolsuper, 'itself', r.rolname = session_user) \
          FROM pg_catalog.pg_roles r WHERE {POWERFUL} AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') \
          ORDER BY r.rolname = session_user DESC, r.rolsuper DESC, r.rolname LIMIT 1)"
    )
}

/// Why a role counts as a superuser.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Power {
    role: String,
    superuser: bool,
    itself: bool,
}

impl Power {
    fn why(&self) -> String {
        match (self.itself, self.superuser) {
            (true, true) => "is a superuser".to_owned(),
            (true, false) => "has CREATEROLE, which can become superuser".to_owned(),
            (false, true) => format!("is a member of superuser `{}`", self.role),
            (false, false) => format!("is a member of `{}`, which can become superuser", self.role),
        }
    }
}

/// Refuses a powerful role unless the binding names this work under `superuser`.
pub(super) fn permit(
    login: &Login<'_>,
    power: Option<&Power>,
    work: SuperuserWork,
) -> Result<(), ConnectorError> {
    match power {
        Some(power) if !login.binding.superuser.contains(&work) => {
            Err(ConnectorError::from(DatabaseError::SuperuserRefused {
                server: login.binding.server(),
                role: login.role.clone(),
                why: power.why(),
                work,
            }))
        }
        Some(_) | None => Ok(()),
    }
}

/// What a restore has to know of the server before it changes anything.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Standing {
    /// The power of the restoring role.
    pub power: Option<Power>,
    /// Whether it can create databases.
    pub creates: bool,
    pub owner: Option<OwnerStanding>,
}

/// The role that owned the database.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct OwnerStanding {
    pub is_powerful: bool,
    /// Whether the restoring role has its rights and can give it objects.
    pub is_assumed: bool,
}

/// Looks at the restoring role and at the owner to come.
pub(super) fn standing(
    login: &Login<'_>,
    owner: &str,
    bounds: &Bounds,
) -> Result<Standing, ConnectorError> {
    let sql = format!(
        "SELECT pg_catalog.json_build_object(
           'power', {power},
           'creates', (SELECT u.rolcreatedb OR u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = session_user),
           'owner', (SELECT pg_catalog.json_build_object(
               'is_powerful', EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE {POWERFUL} AND pg_catalog.pg_has_role(o.oid, r.oid, 'MEMBER')),
               'is_assumed', {ASSUMED})
             FROM pg_catalog.pg_roles o WHERE o.rolname = {owner}));",
        power = power_of_session(),
        owner = literal(owner),
    );
    let answer = query(login, login.maintenance(), &sql, bounds)?;
    serde_json::from_str(answer.trim())
        .map_err(|error| unreadable(login, login.maintenance(), &error))
}

/// Whether the session's role has the rights of role `o` and can make it an owner. Servers before 16 know no `SET`.
const ASSUMED: &str = "(pg_catalog.pg_has_role(session_user, o.oid, 'USAGE') \
     AND CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000 \
         THEN pg_catalog.pg_has_role(session_user, o.oid, 'SET') \
         ELSE pg_catalog.pg_has_role(session_user, o.oid, 'MEMBER') END)";

/// The roles of the server that are superusers or can become one.
pub(super) fn powerful_roles(
    login: &Login<'_>,
    database: &str,
    bounds: &Bounds,
) -> Result<Vec<String>, ConnectorError> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(o.rolname), '[]') FROM pg_catalog.pg_roles o
         WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r
           WHERE {POWERFUL} AND pg_catalog.pg_has_role(o.oid, r.oid, 'MEMBER'));"
    );
    let answer = query(login, database, &sql, bounds)?;
    serde_json::from_str(answer.trim()).map_err(|error| unreadable(login, database, &error))
}

/// What the reader sees of the database that it will dump.
#[derive(Debug, Deserialize)]
struct Reading {
    power: Option<Power>,
    relations: u64,
    unreadable: u64,
    first: Option<String>,
    owner: String,
}

/// Finds, ahead of time, what a backup and a restore side by side would fail for. Each entry is a right that is there, or
/// the error that its absence will be. A server that gives no session tells nothing here: the observation names the cause.
pub(in crate::world::connector) fn rights(
    binding: &PostgresBinding,
    bounds: &Bounds,
) -> Vec<Result<String, ConnectorError>> {
    let mut found = Vec::new();
    let reader = Login::reader(binding);
    let Ok(reading) = reading(&reader, bounds) else {
        return found;
    };
    found.push(reads(&reader, &reading));
    let restorer = Login::restorer(binding);
    match standing(&restorer, &reading.owner, bounds) {
        Ok(standing) => found.extend(restores(&restorer, &standing, &reading.owner)),
        Err(error) => found.push(Err(error)),
    }
    found
}

/// Rows that a policy would hide are refused by `pg_dump`, so such a table counts as unreadable.
fn reading(login: &Login<'_>, bounds: &Bounds) -> Result<Reading, ConnectorError> {
    let sql = format!(
        "WITH held AS (
           SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
             pg_catalog.has_schema_privilege(session_user, n.oid, 'USAGE')
               AND CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(session_user, c.oid, 'SELECT')
                   ELSE pg_catalog.has_table_privilege(session_user, c.oid, 'SELECT') END
               AND NOT (c.relkind IN ('r', 'p') AND pg_catalog.row_security_active(c.oid)) AS readable
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
             AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
         SELECT pg_catalog.json_build_object(
           'power', {power},
           'relations', (SELECT pg_catalog.count(*) FROM held),
           'unreadable', (SELECT pg_catalog.count(*) FROM held WHERE NOT readable),
           'first', (SELECT pg_catalog.min(name) FROM held WHERE NOT readable),
           'owner', (SELECT pg_catalog.pg_get_userbyid(d.datdba) FROM pg_catalog.pg_database d
                     WHERE d.datname = pg_catalog.current_database()));",
        power = power_of_session(),
    );
    let database = &login.binding.database;
    let answer = query(login, database, &sql, bounds)?;
    serde_json::from_str(answer.trim()).map_err(|error| unreadable(login, database, &error))
}

fn reads(login: &Login<'_>, reading: &Reading) -> Result<String, ConnectorError> {
    permit(login, reading.power.as_ref(), SuperuserWork::Backup)?;
    let role = &login.role;
    if let Some(first) = &reading.first {
        return Err(ConnectorError::from(DatabaseError::RightsMissing {
            role: role.clone(),
            detail: format!(
                "cannot read {} of {} tables and sequences of `{}`, first `{first}`",
                reading.unreadable, reading.relations, login.binding.database
            ),
            help: "grant `pg_read_all_data` to it, and BYPASSRLS where tables have row security, as docs/postgresql.md shows",
        }));
    }
    Ok(match &reading.power {
        None => format!(
            "role `{role}` reads {} tables and sequences",
            reading.relations
        ),
        Some(power) => format!(
            "role `{role}` {}; the binding asks for it by name",
            power.why()
        ),
    })
}

fn restores(
    login: &Login<'_>,
    standing: &Standing,
    owner: &str,
) -> Vec<Result<String, ConnectorError>> {
    let role = &login.role;
    if let Err(error) = permit(login, standing.power.as_ref(), SuperuserWork::Restore) {
        return vec![Err(error)];
    }
    let mut found = vec![if standing.creates {
        Ok(format!("role `{role}` creates databases for restores"))
    } else {
        Err(create_missing(login))
    }];
    if let Some(seen) = standing.owner
        && standing.power.is_none()
        && !login.binding.no_owner
    {
        found.push(if seen.is_powerful {
            Ok(format!(
                "`{owner}` owns the database and can become superuser: role `{role}` will own what it restores"
            ))
        } else if seen.is_assumed {
            Ok(format!("role `{role}` restores as owner `{owner}`"))
        } else {
            Err(ConnectorError::from(DatabaseError::RightsMissing {
                role: role.clone(),
                detail: format!("is not a member of `{owner}`, which owns the database"),
                help: "grant the owner to it (`GRANT owner TO role`), or set `no_owner: true` in the binding",
            }))
        });
    }
    found
}

/// The role cannot do what each restore into a database begins with.
pub(super) fn create_missing(login: &Login<'_>) -> ConnectorError {
    ConnectorError::from(DatabaseError::RightsMissing {
        role: login.role.clone(),
        detail: "cannot create databases, which each restore side by side or in place begins with"
            .to_owned(),
        help: "let an administrator run `ALTER ROLE … CREATEDB` for it, as docs/postgresql.md shows",
    })
}

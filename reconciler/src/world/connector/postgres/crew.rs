//! Who does what in a restore: the keeper creates and names databases and never connects to one that holds restored data
//! of others; the worker connects to it, loads and checks, and cannot become a superuser.
//!
//! What a dump brings along runs as code of the worker: check constraints, index expressions, views. A session that logged in
//! as a superuser and lowered itself with `SET ROLE` could be raised again by that code, so the worker's login itself is
//! unprivileged. The interesting function is [`Crew::of`].

use std::fmt::Write as _;

use super::client::{Login, attempt, literal, name};
use super::database::failed;
use super::dump::Properties;
use super::role::{Standing, create_missing, permit, standing};
use crate::world::connector::{Bounds, ConnectorError, SuperuserWork};

/// Bytes of a made role's password: as strong as a key.
const PASSWORD_BYTES: usize = 32;

/// Bytes of chance in a made role's name, so that two restores never share a role.
const NAME_BYTES: usize = 6;

/// How many sessions a made role may hold next to its jobs: one that checks and one that ends.
const SPARE_SESSIONS: u32 = 2;

/// Who owns what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// The owners and grants of the dump.
    AsDumped,
    /// The worker, with the grants of the dump: the owner could become a superuser, and what a dump brings along never does.
    WorkerWithGrants,
    /// The worker, without any grant, as the binding says.
    WorkerAlone,
}

/// The two logins of one restore.
#[derive(Debug)]
pub(super) struct Crew<'b> {
    pub keeper: Login<'b>,
    pub worker: Login<'b>,
    pub owners: Owners,
    /// The owner named when the database is created; the keeper when absent.
    pub owner: Option<String>,
    /// The owner of the dump when the restoring role cannot give objects to it.
    pub lacks_owner: Option<String>,
    /// Whether this run made the worker.
    is_made: bool,
    pub notes: Vec<String>,
}

impl<'b> Crew<'b> {
    /// Looks at the restoring role and makes a worker when it is a superuser that the binding asks for by name.
    pub fn of(
        keeper: Login<'b>,
        properties: &Properties,
        bounds: &Bounds,
    ) -> Result<Self, ConnectorError> {
        let standing = standing(&keeper, &properties.owner, bounds)?;
        permit(&keeper, standing.power.as_ref(), SuperuserWork::Restore)?;
        if !standing.creates {
            return Err(create_missing(&keeper));
        }
        let owners = owners(&keeper, &standing);
        let is_assumed = standing.owner.is_some_and(|owner| owner.is_assumed);
        let owner = (owners == Owners::AsDumped && is_assumed).then(|| properties.owner.clone());
        let mut crew = Self {
            worker: keeper.clone(),
            lacks_owner: (owners == Owners::AsDumped && !is_assumed)
                .then(|| properties.owner.clone()),
            keeper,
            owners,
            owner,
            is_made: false,
            notes: Vec::new(),
        };
        if standing.power.is_some() {
            crew.make_worker(bounds)?;
        }
        let worker = &crew.worker.role;
        match owners {
            Owners::AsDumped => {}
            Owners::WorkerWithGrants => crew.notes.push(format!(
                "owner `{}` of the dump can become superuser, so `{worker}` owns what was restored",
                properties.owner
            )),
            Owners::WorkerAlone => crew.notes.push(format!(
                "owners and grants of the dump were left out, as the binding says: only `{worker}` can connect"
            )),
        }
        Ok(crew)
    }

    /// Makes a role that can log in until the deadline and has the rights of the database's owner, or none.
    fn make_worker(&mut self, bounds: &Bounds) -> Result<(), ConnectorError> {
        let role = format!("seawall_restore_{}", chance::<NAME_BYTES>()?);
        let password = chance::<PASSWORD_BYTES>()?;
        let jobs = bounds.jobs().saturating_add(SPARE_SESSIONS);
        let seconds = bounds.left().as_secs().saturating_add(1);
        // The statement holds a password, so it must not reach the server's log, its statistics or an error message there.
        let sql = format!(
            "SELECT pg_catalog.set_config(s.name, s.value, false) FROM (VALUES ('log_statement', 'none'),
               ('log_min_duration_statement', '-1'), ('log_min_error_statement', 'panic'), ('log_duration', 'off'),
               ('pg_stat_statements.track_utility', 'off')) s (name, value)
             WHERE (SELECT u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = session_user);
             BEGIN;
             CREATE ROLE {role} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT LOGIN
               CONNECTION LIMIT {jobs} PASSWORD {password};
             SELECT pg_catalog.format('ALTER ROLE {role} VALID UNTIL %L', pg_catalog.now() + '{seconds} s'::pg_catalog.interval) \\gexec
             {grant}
             COMMIT;",
            password = literal(&password),
            grant = self.owner.as_deref().map_or_else(String::new, |owner| {
                format!("GRANT {} TO {role};", name(owner))
            }),
        );
        let ended = attempt(&self.keeper, self.keeper.maintenance(), &sql, bounds)?;
        if !ended.is_clean() {
            return Err(failed(&role, ended.reason()));
        }
        if self.owner.is_none() {
            self.owner = Some(role.clone());
        }
        self.worker = self.keeper.as_made(role, password);
        self.is_made = true;
        Ok(())
    }

    /// Ends the login of a made worker. Where another role owns the restored database, it is removed altogether.
    pub fn dismiss(&self, database: Option<&str>, bounds: &Bounds) {
        if !self.is_made {
            return;
        }
        let role = &self.worker.role;
        let mut sql = format!(
            "ALTER ROLE {role} NOLOGIN PASSWORD NULL;
             SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE usename = {};\n",
            literal(role)
        );
        let mut place = self.keeper.maintenance();
        match (
            database,
            self.owner.as_deref().filter(|owner| owner != role),
        ) {
            // The worker is the owner: it stays, without a login, and without rights elsewhere.
            (Some(_), None) => {}
            // Nothing here runs code of the database: only a superuser could have made an event trigger.
            (Some(database), Some(owner)) => {
                place = database;
                let _ = write!(
                    sql,
                    "REASSIGN OWNED BY {role} TO {}; DROP OWNED BY {role}; DROP ROLE {role};",
                    name(owner)
                );
            }
            (None, _) => {
                let _ = write!(sql, "DROP OWNED BY {role}; DROP ROLE {role};");
            }
        }
        let told = match attempt(&self.keeper, place, &sql, bounds) {
            Ok(ended) if ended.is_clean() => return,
            Ok(ended) => ended.reason(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            event = "role_left_behind",
            role,
            reason = told,
            "cannot remove the role that this restore made; its login ends with the restore's deadline"
        );
    }
}

fn owners(keeper: &Login<'_>, standing: &Standing) -> Owners {
    if keeper.binding.no_owner {
        Owners::WorkerAlone
    } else if standing.owner.is_some_and(|owner| owner.is_powerful) {
        Owners::WorkerWithGrants
    } else {
        Owners::AsDumped
    }
}

/// Hexadecimal digits of that many random bytes.
fn chance<const BYTES: usize>() -> Result<String, ConnectorError> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        failed(
            "the server",
            format!("the system gives no random bytes: {error}"),
        )
    })?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

//! What goes wrong with the roles and databases of a PostgreSQL server, with the facts, the code and what to do.
//!
//! The interesting function is [`DatabaseError::entry`].

use contract::code::{self, Code};

use crate::world::connector::SuperuserWork;

/// The server answered, and something about the role, the database or what was restored is not as it has to be.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("database `{database}` does not exist on server `{server}`")]
    DatabaseMissing { database: String, server: String },
    #[error("database server refused role `{role}` in database `{database}`: {detail}")]
    SessionRefused {
        role: String,
        database: String,
        detail: String,
    },
    #[error("role `{role}` of server `{server}` {why}, and the binding does not ask for a superuser for {}", work.as_str())]
    SuperuserRefused {
        server: String,
        role: String,
        why: String,
        work: SuperuserWork,
    },
    #[error("role `{role}` {detail}")]
    RightsMissing {
        role: String,
        detail: String,
        help: &'static str,
    },
    #[error("{what} waited {waited_s} s for a lock on `{relation}`, held by {holders}")]
    DumpBlocked {
        what: String,
        relation: String,
        waited_s: u64,
        holders: String,
    },
    #[error(
        "`{target}` is kept and holds what could be restored, but {objects} of its objects failed: {detail}"
    )]
    RestoreIncomplete {
        target: String,
        objects: usize,
        detail: String,
        /// Whether owners or grantees of the dump are part of the cause.
        is_about_roles: bool,
    },
    #[error(
        "restore target `{target}` is the name of the production database, which does not exist now"
    )]
    TargetHasProductionName { target: String },
    #[error("dump of database `{database}` failed: {detail}")]
    DumpFailed { database: String, detail: String },
}

impl DatabaseError {
    pub(in crate::world::connector) fn entry(&self) -> (Code, &'static str) {
        match self {
            Self::DatabaseMissing { .. } => (
                code::SOURCE_MISSING,
                "check `database` in the binding; restore it in place when it was lost",
            ),
            Self::SessionRefused { .. } => (
                code::DATABASE_REFUSED,
                "check user and password file of the binding, and the role's rights: `seawalld doctor` lists what is missing",
            ),
            Self::SuperuserRefused { work, .. } => (
                code::SUPERUSER_REFUSED,
                match work {
                    SuperuserWork::Backup => {
                        "bind a role that reads and nothing more (docs/postgresql.md has the grants), or add `superuser: [backup]` to the binding"
                    }
                    SuperuserWork::Restore => {
                        "bind `restore_user`, a role with CREATEDB (docs/postgresql.md has the grants), or add `superuser: [restore]` to the binding"
                    }
                    SuperuserWork::Validation => {
                        "bind `restore_user`, a role that is not a superuser: queries of a validation call code of the database"
                    }
                },
            ),
            Self::RightsMissing { help, .. } => (code::DATABASE_RIGHTS_MISSING, *help),
            Self::DumpBlocked { .. } => (
                code::SOURCE_LOCKED,
                "let the holder end its transaction, or end its session with `pg_terminate_backend`; the next run tries again",
            ),
            Self::RestoreIncomplete { is_about_roles, .. } => (
                code::RESTORE_INCOMPLETE,
                if *is_about_roles {
                    "create the missing roles from `roles.sql` of the recovery point and grant them to the restoring role, or set `no_owner: true` in the binding; then drop the database and restore again (docs/postgresql.md)"
                } else {
                    "repair the listed objects in the kept database by hand, or correct their cause, drop it and restore again; production is as it was"
                },
            ),
            Self::TargetHasProductionName { .. } => (
                code::TARGET_IS_PRODUCTION,
                "request an in-place restore: with nothing there it replaces nothing",
            ),
            Self::DumpFailed { .. } => (
                code::DUMP_FAILED,
                "read the message of `pg_dump`; nothing of this dump counts as a recovery point",
            ),
        }
    }
}

//! What `seawalld.yaml` binds for one dataset: the connector and where its data live. Holds no policy number and no secret.
//!
//! Never opens what it names. The interesting function is [`Binding::check`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selection::Excludes;
use super::{ConnectorError, Kind};
use crate::world::owner::Owner;

/// The connector of one dataset and its parameters, written as `<connector>: { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Binding {
    Files(FilesBinding),
    Jsonl(JsonlBinding),
    Sqlite(SqliteBinding),
    Postgres(Box<PostgresBinding>),
}

/// A folder of files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesBinding {
    /// The folder, absolute.
    pub path: PathBuf,
    /// Globs relative to `path`, `/`-separated; a folder that matches is left out with all below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// A file in the layout of `sha256sum`, paths relative to `path`, that the source is held against before each backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksums: Option<PathBuf>,
    /// An empty folder is refused unless this is set: it is what an unmounted file system looks like.
    #[serde(default)]
    pub allow_empty: bool,
    /// The user that reads and restores, so that the kernel checks every access as the data's owner; this process's own user
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
}

/// One append-only file of JSON lines, or a folder of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlBinding {
    /// The file or the folder, absolute.
    pub path: PathBuf,
    /// Globs of the files to take when `path` is a folder; `*.jsonl` at any depth when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Whether files are rotated: a file is then known by its inode and content, so it may get another name, give its name to a
    /// new file, or be emptied after a copy of it was made, and it may vanish. Its content may never change otherwise. Rotated
    /// names, `app.jsonl.1` and `app.jsonl-20261128`, belong to the dataset too.
    #[serde(default)]
    pub rotates: bool,
    /// Raised by a person who looked at an append-only alarm and accepts the files as they are now.
    #[serde(default)]
    pub append_only_epoch: u32,
    /// The user that reads and restores, so that the kernel checks every access as the data's owner; this process's own user
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
}

/// One SQLite database file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteBinding {
    /// The database file, absolute.
    pub path: PathBuf,
    /// A database without any table is refused unless this is set: it is what a lost file that was made anew looks like.
    #[serde(default)]
    pub allow_empty: bool,
    /// The user that reads and restores; the file's owner when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
}

/// One database of a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresBinding {
    /// A host name, an address, or the absolute path of a socket folder.
    pub host: String,
    pub port: u16,
    pub database: String,
    /// The role that reads: not a superuser, unless `superuser` asks for one.
    pub user: String,
    /// A file that holds the password and nothing else; one trailing newline is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The role that creates, fills and checks databases; `user` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_user: Option<String>,
    /// The file with the password of `restore_user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_password_file: Option<PathBuf>,
    /// What a role that is a superuser, or can become one, may be used for. A restore uses it to create the database and a
    /// role that loads it, never to load.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub superuser: BTreeSet<SuperuserWork>,
    /// libpq's `sslmode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<String>,
    /// libpq's `sslrootcert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<PathBuf>,
    /// The folder of `psql`, `pg_dump` and `pg_restore`; the search path when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bin_dir: Option<PathBuf>,
    /// The database to connect to for creating and renaming databases; `postgres` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_database: Option<String>,
    /// Restore without the owners and grants of the dump, for servers that lack its roles.
    #[serde(default)]
    pub no_owner: bool,
    /// Read-only queries that a restored database must answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<ValidationQuery>,
}

/// Work for which a binding can ask for a superuser by name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SuperuserWork {
    Backup,
    Restore,
    /// Never granted: a binding cannot spell it.
    #[serde(skip)]
    #[schemars(skip)]
    Validation,
}

impl SuperuserWork {
    /// As the binding and messages spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Validation => "validation",
        }
    }
}

/// One query of a validation; its first column of its first row is judged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidationQuery {
    pub name: String,
    pub sql: String,
    /// The exact text wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// The least whole number wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<i64>,
}

impl Binding {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Files(_) => Kind::Files,
            Self::Jsonl(_) => Kind::Jsonl,
            Self::Sqlite(_) => Kind::Sqlite,
            Self::Postgres(_) => Kind::Postgres,
        }
    }

    /// Whether both name one database of one server, as far as names can tell.
    pub fn same_database(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Postgres(one), Self::Postgres(other)) => {
                (&one.host, one.port, &one.database) == (&other.host, other.port, &other.database)
            }
            _ => false,
        }
    }

    /// The user that reads and restores, where the binding names one.
    pub fn run_as(&self) -> Option<&str> {
        match self {
            Self::Files(files) => files.run_as.as_deref(),
            Self::Jsonl(jsonl) => jsonl.run_as.as_deref(),
            Self::Sqlite(sqlite) => sqlite.run_as.as_deref(),
            Self::Postgres(_) => None,
        }
    }

    /// That user as this machine knows it; none when the process is that user.
    pub(super) fn owner(&self) -> Result<Option<Owner>, ConnectorError> {
        Ok(self.run_as().map(Owner::find).transpose()?.flatten())
    }

    /// Refuses what no run could use: relative paths, bad globs, empty names. Touches no file and no server.
    pub fn check(&self) -> Result<(), ConnectorError> {
        if let Some(name) = self.run_as()
            && (name.is_empty() || name.chars().any(char::is_control))
        {
            return Err(invalid("`run_as` must be the name of a user".to_owned()));
        }
        match self {
            Self::Files(files) => {
                absolute("path", &files.path)?;
                if let Some(sums) = &files.checksums {
                    absolute("checksums", sums)?;
                }
                Excludes::new(&files.exclude).map(drop)
            }
            Self::Jsonl(jsonl) => {
                absolute("path", &jsonl.path)?;
                Excludes::new(&jsonl.include).map(drop)
            }
            Self::Sqlite(sqlite) => absolute("path", &sqlite.path),
            Self::Postgres(postgres) => postgres.check(),
        }
    }
}

impl PostgresBinding {
    fn check(&self) -> Result<(), ConnectorError> {
        let names = [
            ("host", &self.host),
            ("database", &self.database),
            ("user", &self.user),
        ];
        for (field, value) in names {
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(invalid(format!(
                    "`{field}` must be a name without control characters"
                )));
            }
        }
        if let Some(role) = &self.restore_user
            && (role.is_empty() || role.chars().any(char::is_control))
        {
            return Err(invalid(
                "`restore_user` must be a name without control characters".to_owned(),
            ));
        }
        if self.restore_user.is_none() && self.restore_password_file.is_some() {
            return Err(invalid(
                "`restore_password_file` needs `restore_user`".to_owned(),
            ));
        }
        for (field, path) in [
            ("password_file", &self.password_file),
            ("restore_password_file", &self.restore_password_file),
            ("sslrootcert", &self.sslrootcert),
            ("bin_dir", &self.bin_dir),
        ] {
            if let Some(path) = path {
                absolute(field, path)?;
            }
        }
        for (number, query) in (1..).zip(&self.validation) {
            let both = query.equals.is_some() && query.at_least.is_some();
            // A statement that begins with a backslash would be a command of `psql` itself.
            let is_sql = !query.sql.trim().is_empty() && !query.sql.trim_start().starts_with('\\');
            if both || !is_sql {
                return Err(invalid(format!(
                    "query {number} of `validation` needs `sql` and at most one of `equals` and `at_least`"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn maintenance(&self) -> &str {
        self.maintenance_database.as_deref().unwrap_or("postgres")
    }

    pub(super) fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn absolute(field: &str, path: &Path) -> Result<(), ConnectorError> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(invalid(format!("`{field}` must be an absolute path")))
    }
}

pub(super) fn invalid(detail: String) -> ConnectorError {
    ConnectorError::BindingInvalid { detail }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Binding, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn a_binding_reads_as_connector_and_parameters() {
        let binding = read("files:\n  path: /srv/config\n  exclude: ['*.tmp']\n").unwrap();
        assert_eq!(binding.kind(), Kind::Files);
        assert!(binding.check().is_ok());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = read("sqlite:\n  path: /srv/a.db\n  pathh: /x\n").unwrap_err();
        assert!(error.contains("pathh"), "{error}");
        assert!(read("mysql:\n  path: /srv/a.db\n").is_err());
    }

    #[test]
    fn relative_paths_bad_globs_and_empty_names_are_refused() {
        for yaml in [
            "files: { path: srv/config }",
            "files: { path: /srv, exclude: ['a[']}",
            "postgres: { host: '', port: 5432, database: a, user: b }",
        ] {
            let error = read(yaml).unwrap().check().unwrap_err();
            assert_eq!(error.code(), contract::code::BINDING_INVALID, "{yaml}");
        }
    }
}

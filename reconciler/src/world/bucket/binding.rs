//! Owns what `seawalld.yaml` binds for one bucket: where it is, and where its credentials come from. Holds no secret. The interesting
//! function is [`BucketBinding::fault`].

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What S3 takes as the name of a bucket: it becomes part of a path or of a host name.
const BUCKET_NAME: std::ops::RangeInclusive<usize> = 3..=63;

/// S3 takes keys of 1,024 bytes; what the vault adds to a prefix has less than half of that.
const LONGEST_PREFIX: usize = 512;

/// Storage classes whose objects have to be thawed before anyone can read them.
const FROZEN: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// A bucket of S3, or of a server that speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketBinding {
    /// `https://host` or `http://host`, with a port where it needs one; AWS in `region` when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The region that requests are signed for; servers without regions take `us-east-1`.
    pub region: String,
    /// An existing bucket; it is never created here.
    pub bucket: String,
    /// What the keys of all objects begin with, without `/` at its ends; the bucket belongs to this location alone when absent.
    #[serde(default)]
    pub prefix: Option<String>,
    /// How the bucket is addressed; `path` with an `endpoint` and `virtual_host` without one when absent.
    #[serde(default)]
    pub addressing: Option<Addressing>,
    /// A PEM file of the authorities that vouch for the server's certificate; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Where the credentials come from.
    pub credentials: Credentials,
    /// The storage class of packs, which are nearly all of the bytes, such as `STANDARD_IA`; the bucket's own when absent. Classes that
    /// have to be thawed before they can be read are refused.
    #[serde(default)]
    pub pack_storage_class: Option<String>,
}

/// How a bucket is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    VirtualHost,
}

/// Where the credentials of a bucket come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credentials {
    /// A file as `aws configure` writes it: its profile `default`, or the only one. It is read again each minute, so that a key can be
    /// replaced while the daemon runs.
    File(PathBuf),
    /// Environment variables of the daemon.
    Env(CredentialVariables),
    /// A program and its arguments; it prints JSON as a `credential_process` of AWS does, and is run again before what it gave expires.
    Command(Vec<String>),
    /// The role of the machine, container or pod that the daemon runs in.
    InstanceRole,
}

/// The names of the variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialVariables {
    /// The one that holds the id of the access key.
    pub access_key_id: String,
    /// The one that holds the secret.
    pub secret_access_key: String,
    /// The one that holds a session token, with temporary credentials.
    #[serde(default)]
    pub session_token: Option<String>,
}

impl BucketBinding {
    /// The first field that no run could use: its name, what is wrong with it, and what a person can do.
    pub fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let host = self.endpoint.as_deref().map(|endpoint| {
            let rest = endpoint
                .strip_prefix("https://")
                .or_else(|| endpoint.strip_prefix("http://"));
            rest.map(|rest| rest.trim_end_matches('/'))
        });
        if host.is_some_and(|host| host.is_none_or(|host| !is_host(host))) {
            let help = "write the server alone, such as `https://s3.example.org:8333`; credentials go into `credentials`";
            return Some((
                "endpoint",
                "must be `https://` or `http://` with a host".to_owned(),
                help,
            ));
        }
        let is_label =
            |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        if self.region.is_empty() || !self.region.bytes().all(is_label) {
            return Some((
                "region",
                "is no name of a region".to_owned(),
                "write one such as `eu-central-1`",
            ));
        }
        if !BUCKET_NAME.contains(&self.bucket.len())
            || !self
                .bucket
                .bytes()
                .all(|letter| is_label(letter) || letter == b'.')
            || self.bucket.split('.').any(str::is_empty)
        {
            return Some((
                "bucket",
                "is no name of a bucket".to_owned(),
                "write 3 to 63 of `a-z`, `0-9`, `-` and `.`; a path goes into `prefix`",
            ));
        }
        if self.prefix.as_deref().is_some_and(|it| !is_prefix(it)) {
            return Some((
                "prefix",
                "cannot begin keys".to_owned(),
                "write names of letters, digits, `-`, `_` and `.`, with `/` between them alone",
            ));
        }
        if let Some(class) = &self.pack_storage_class {
            if FROZEN.contains(&class.as_str()) {
                let why = "names a class whose objects have to be thawed before they can be read";
                let help = "name one that can be read immediately, such as `GLACIER_IR`";
                return Some(("pack_storage_class", why.to_owned(), help));
            }
            let is_class =
                |letter: u8| letter.is_ascii_uppercase() || b"_0123456789".contains(&letter);
            if class.is_empty() || !class.bytes().all(is_class) {
                let why = "is no name of a storage class".to_owned();
                return Some(("pack_storage_class", why, "write one such as `STANDARD_IA`"));
            }
        }
        match &self.credentials {
            Credentials::File(path) if !path.is_absolute() => Some((
                "credentials.file",
                "must be an absolute path".to_owned(),
                "write it from `/` on",
            )),
            Credentials::Command(argv) if argv.first().is_none_or(String::is_empty) => Some((
                "credentials.command",
                "names no program".to_owned(),
                "write a program and its arguments",
            )),
            Credentials::Env(names)
                if [&names.access_key_id, &names.secret_access_key]
                    .into_iter()
                    .chain(&names.session_token)
                    .any(String::is_empty) =>
            {
                Some((
                    "credentials.env",
                    "has an empty name".to_owned(),
                    "write the names of the daemon's variables",
                ))
            }
            Credentials::File(_)
            | Credentials::Env(_)
            | Credentials::Command(_)
            | Credentials::InstanceRole => None,
        }
    }

    /// `s3://bucket/prefix`, for messages.
    pub fn shown(&self) -> String {
        match &self.prefix {
            Some(prefix) => format!("s3://{}/{prefix}", self.bucket),
            None => format!("s3://{}", self.bucket),
        }
    }

    /// The server and the bucket: two locations in it share whatever becomes of it.
    pub fn server(&self) -> String {
        let endpoint = self.endpoint.as_deref().map(|it| it.trim_end_matches('/'));
        format!("{}/{}", endpoint.unwrap_or("s3"), self.bucket)
    }

    /// Whether the host's name has the bucket's in front of it.
    pub(super) fn is_virtual_host(&self) -> bool {
        match self.addressing {
            Some(addressing) => addressing == Addressing::VirtualHost,
            // A dot in the name is no part of the certificate's.
            None => self.endpoint.is_none() && !self.bucket.contains('.'),
        }
    }
}

/// A name or an address, and a port: nothing that could be credentials, a path or a query.
fn is_host(text: &str) -> bool {
    let is_part = |letter: u8| {
        letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'.' | b':' | b'[' | b']')
    };
    !text.is_empty() && text.bytes().all(is_part)
}

fn is_prefix(text: &str) -> bool {
    let is_part =
        |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'.' | b'_');
    let is_name =
        |name: &str| !name.is_empty() && name != "." && name != ".." && name.bytes().all(is_part);
    text.len() <= LONGEST_PREFIX && text.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn binding(text: &str) -> BucketBinding {
        serde_saphyr::from_str(text).unwrap()
    }

    const GOOD: &str = "
endpoint: https://s3.example.org:8333
region: eu-central-1
bucket: backups.of-us
prefix: seawall/prod_1
pack_storage_class: STANDARD_IA
credentials: { file: /etc/seawall/s3 }
";

    #[rstest::rstest]
    #[case("", "", None)]
    #[case("https://s3", "ftp://s3", Some("endpoint"))]
    #[case("https://s3", "https://key:secret@s3", Some("endpoint"))]
    #[case(":8333", ":8333/path", Some("endpoint"))]
    #[case(":8333", ":8333/", None)]
    #[case("eu-central-1", "EU central", Some("region"))]
    #[case("backups.of-us", "b", Some("bucket"))]
    #[case("backups.of-us", "backups/of-us", Some("bucket"))]
    #[case("backups.of-us", "backups..of", Some("bucket"))]
    #[case("seawall/prod_1", "/seawall", Some("prefix"))]
    #[case("seawall/prod_1", "seawall/../prod", Some("prefix"))]
    #[case("seawall/prod_1", "seawall/", Some("prefix"))]
    #[case("STANDARD_IA", "DEEP_ARCHIVE", Some("pack_storage_class"))]
    #[case("STANDARD_IA", "\"a\\nb\"", Some("pack_storage_class"))]
    #[case("/etc/seawall/s3", "s3", Some("credentials.file"))]
    #[case("file: /etc/seawall/s3", "command: []", Some("credentials.command"))]
    #[case(
        "file: /etc/seawall/s3",
        "command: ['', x]",
        Some("credentials.command")
    )]
    #[case(
        "file: /etc/seawall/s3",
        "env: { access_key_id: A, secret_access_key: '' }",
        Some("credentials.env")
    )]
    #[case("{ file: /etc/seawall/s3 }", "instance_role", None)]
    fn what_no_run_could_use_is_named(
        #[case] good: &str,
        #[case] bad: &str,
        #[case] field: Option<&str>,
    ) {
        let found = binding(&GOOD.replacen(good, bad, 1)).fault();
        assert_eq!(found.map(|(field, ..)| field), field);
    }

    #[test]
    fn a_bucket_of_aws_is_a_host_and_one_of_another_server_a_path() {
        let aws = GOOD.replacen("endpoint: https://s3.example.org:8333", "", 1);
        assert!(!binding(GOOD).is_virtual_host());
        // No certificate of AWS covers a name with a dot.
        assert!(!binding(&aws).is_virtual_host());
        assert!(binding(&aws.replace("backups.of-us", "backups")).is_virtual_host());
        assert_eq!(binding(GOOD).shown(), "s3://backups.of-us/seawall/prod_1");
    }
}

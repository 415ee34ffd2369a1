//! Owns `seawall trust`: the first trust root, made from a description that people review. Never replaces a root.
//! The interesting function is [`root`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use contract::code;
use contract::digest::Digest;
use contract::id::EnvironmentId;
use contract::seal::{
    Envelope, EnvironmentRoles, KeyId, OwnerRole, Person, PublicKey, RoleKeys, RootRoles,
    Statement, TrustRoot,
};
use jiff::Timestamp;
use serde::Deserialize;

use super::failure::Failure;
use super::keys;
use crate::source::hidden;
use crate::world::clock;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};

/// A description names some hundred persons at most.
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;

const EXAMPLE: &str = "\
The description is YAML; key files are relative to it:

  valid_for: P365D
  persons:                       # keys of each; a reconciler is one, by its id
    alice: [keys/alice.pub]
    build: [keys/build.pub]
    rec_dev: [keys/rec_dev.pub]
  root: { persons: [alice], threshold: 1 }
  environments:
    dev:
      compiler: { persons: [build], threshold: 1 }
      owner: { persons: [alice], threshold: 0, weakening_threshold: 1 }
      reconciler: { persons: [rec_dev], threshold: 1 }
      approver: { persons: [alice], threshold: 1 }        # optional, as is break_glass

Prints the SHA-256 to pin in readers.";

#[derive(Subcommand)]
pub enum Trust {
    /// Make the first trust root, <OUT>/trust/1.root.json, and print the SHA-256 to pin
    #[command(after_help = EXAMPLE)]
    Init {
        /// Description of persons, roles and thresholds
        #[arg(value_name = "FILE")]
        description: PathBuf,
        /// Folder to publish into
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Private keys of persons in role root; repeat until its threshold is met
        #[arg(long = "key", required = true, value_name = "FILE")]
        keys: Vec<PathBuf>,
        /// Issue as of this instant [default: now]
        #[arg(long, value_name = "INSTANT", value_parser = contract::seal::parse_instant)]
        at: Option<Timestamp>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    valid_for: String,
    persons: BTreeMap<String, Vec<PathBuf>>,
    root: Named,
    environments: BTreeMap<EnvironmentId, NamedRoles>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedRoles {
    compiler: Named,
    owner: NamedOwner,
    reconciler: Named,
    #[serde(default)]
    approver: Option<Named>,
    #[serde(default)]
    break_glass: Option<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    persons: Vec<String>,
    threshold: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedOwner {
    persons: Vec<String>,
    threshold: u64,
    weakening_threshold: u64,
}

impl Trust {
    pub fn run(self) -> Result<(), Failure> {
        let Self::Init {
            description,
            out,
            keys: key_files,
            at,
        } = self;
        let signers = key_files
            .iter()
            .map(|path| keys::private(path))
            .collect::<Result<Vec<_>, _>>()?;
        let root = root(&description, at.unwrap_or_else(clock::now))?;
        let statement = Statement::about_itself("1.root.json", root)
            .map_err(|fault| invalid(&description, &fault.to_string()))?;
        let payload = statement
            .to_payload()
            .map_err(|fault| invalid(&description, &fault.to_string()))?;
        let digest = Digest::of(&payload);
        let bytes = Envelope::sign(payload, &signers.iter().collect::<Vec<_>>())
            .to_json()
            .into_bytes();
        // A root that readers would refuse must not be published: it is opened as they will open it.
        contract::seal::open_roots(
            std::slice::from_ref(&bytes),
            &contract::seal::Pin {
                root_sha256: digest,
            },
        )?;
        let path = out.join("trust").join("1.root.json");
        files::create(&path, &bytes, Mode::Public)
            .map_err(|error| Failure::unwritable(&path, &error))?;
        print(
            Stream::Err,
            &format!(
                "wrote {}; pin this SHA-256 of its payload in readers:\n",
                path.display()
            ),
        );
        print(Stream::Out, &format!("{digest}\n"));
        Ok(())
    }
}

fn invalid(path: &Path, reason: &str) -> Failure {
    Failure::failed(
        code::TRUST_DESCRIPTION_INVALID,
        format!("`{}`: {reason}", path.display()),
        "`seawall trust init --help` shows a description",
    )
}

/// The root that a description means.
fn root(path: &Path, issued_at: Timestamp) -> Result<TrustRoot, Failure> {
    let bytes = files::read(path, MAX_DESCRIPTION_BYTES)
        .map_err(|error| Failure::unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|_| invalid(path, "it is not UTF-8 text"))?;
    let description: Description = serde_saphyr::from_str(&text).map_err(|error| {
        let reason = error.to_string();
        invalid(path, reason.lines().next().unwrap_or_default())
    })?;
    let valid_for: contract::duration::Seconds = description
        .valid_for
        .parse()
        .map_err(|error: contract::duration::DurationError| invalid(path, &error.to_string()))?;
    let expires_at = issued_at
        .as_second()
        .checked_add(valid_for.signed())
        .and_then(|second| Timestamp::from_second(second).ok())
        .ok_or_else(|| {
            invalid(
                path,
                "`valid_for` ends after the last instant of the calendar",
            )
        })?;
    check_names(&description).map_err(|reason| invalid(path, &reason))?;
    check_separation(&description).map_err(|reason| invalid(path, &reason))?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let held = holders(&description, folder)?;
    let persons = held
        .iter()
        .flat_map(|(person, keys)| keys.iter().map(move |key| (person, key)))
        .map(|(person, key)| {
            let public_key = key
                .to_pem()
                .map_err(|fault| invalid(path, &fault.to_string()))?;
            let person = person.clone();
            Ok((key.key_id(), Person { person, public_key }))
        })
        .collect::<Result<_, Failure>>()?;
    let named =
        |persons: &[String]| keyids(&held, persons).map_err(|reason| invalid(path, &reason));
    let role = |role: &Named| {
        Ok::<_, Failure>(RoleKeys {
            keyids: named(&role.persons)?,
            threshold: role.threshold,
        })
    };
    let environments = description
        .environments
        .iter()
        .map(|(id, roles)| {
            let roles = EnvironmentRoles {
                compiler: role(&roles.compiler)?,
                owner: OwnerRole {
                    keyids: named(&roles.owner.persons)?,
                    threshold: roles.owner.threshold,
                    weakening_threshold: roles.owner.weakening_threshold,
                },
                reconciler: role(&roles.reconciler)?,
                approver: roles.approver.as_ref().map(role).transpose()?,
                break_glass: roles.break_glass.as_ref().map(role).transpose()?,
            };
            Ok((id.clone(), roles))
        })
        .collect::<Result<_, Failure>>()?;
    Ok(TrustRoot {
        version: 1,
        issued_at,
        expires_at,
        persons,
        roles: RootRoles {
            root: role(&description.root)?,
            environments,
        },
    })
}

/// Persons are counted by their names, so that two names are never two spellings of one: names are written in letters that
/// nothing else looks like, and differ in more than what is easily read as the same.
fn check_names(description: &Description) -> Result<(), String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-@+".contains(letter);
    let alike = |name: &str| -> String {
        let folded = name
            .chars()
            .map(|letter| match letter.to_ascii_lowercase() {
                '0' => 'o',
                '1' | 'i' => 'l',
                other => other,
            });
        folded.collect()
    };
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in description.persons.keys() {
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!(
                "the name `{}` has other characters than `a`-`z`, `A`-`Z`, `0`-`9`, `.`, `_`, `-`, `@` and `+`",
                hidden::shown(name)
            ));
        }
        if let Some(other) = seen.insert(alike(name), name) {
            return Err(format!(
                "`{other}` and `{name}` look alike: one person has one name"
            ));
        }
    }
    Ok(())
}

/// A machine signs without a person, so its key holds one role; and no role names a person twice.
fn check_separation(description: &Description) -> Result<(), String> {
    let mut roles: Vec<(&str, &[String])> = vec![("root", &description.root.persons)];
    for environment in description.environments.values() {
        let optional = [
            ("approver", &environment.approver),
            ("break_glass", &environment.break_glass),
        ];
        roles.extend([
            ("compiler", environment.compiler.persons.as_slice()),
            ("owner", environment.owner.persons.as_slice()),
            ("reconciler", environment.reconciler.persons.as_slice()),
        ]);
        roles.extend(
            optional
                .into_iter()
                .filter_map(|(name, role)| Some((name, role.as_ref()?.persons.as_slice()))),
        );
    }
    let mut held: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (role, persons) in roles {
        let mut named = BTreeSet::new();
        for person in persons {
            if !named.insert(person) {
                return Err(format!("role `{role}` names `{person}` twice"));
            }
            held.entry(person).or_default().insert(role);
        }
    }
    for (person, roles) in held {
        let machine = ["compiler", "reconciler"]
            .into_iter()
            .find(|role| roles.contains(role));
        let other = roles.iter().find(|role| Some(**role) != machine);
        if let (Some(machine), Some(other)) = (machine, other) {
            return Err(format!(
                "`{person}` has the roles `{machine}` and `{other}`: a key that a machine holds is in no other role"
            ));
        }
    }
    Ok(())
}

type Holders = BTreeMap<String, Vec<PublicKey>>;

fn holders(description: &Description, folder: &Path) -> Result<Holders, Failure> {
    description
        .persons
        .iter()
        .map(|(person, files)| {
            let keys = files
                .iter()
                .map(|file| keys::public(&folder.join(file)))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((person.clone(), keys))
        })
        .collect()
}

fn keyids(held: &Holders, persons: &[String]) -> Result<BTreeSet<KeyId>, String> {
    let mut keyids = BTreeSet::new();
    for person in persons {
        let keys = held
            .get(person)
            .filter(|keys| !keys.is_empty())
            .ok_or_else(|| format!("`{person}` has a role and no key under `persons`"))?;
        keyids.extend(keys.iter().map(PublicKey::key_id));
    }
    Ok(keyids)
}

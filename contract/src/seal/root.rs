//! The trust root: which persons hold which keys, and how many of them each role needs.
//!
//! A key counts only in the roles that the root gives it, and persons are counted, never keys. Roots form a chain from one
//! that is pinned by digest. The interesting functions are [`TrustRoot::persons`] and [`TrustRoot::check`](Predicate::check).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dsse::Envelope;
use super::keys::{KeyId, PrivateKey, PublicKey};
use super::payload::instant;
use super::statement::{Predicate, Statement, StatementFault, predicate_type};
use crate::id::{EnvironmentId, ReconcilerId};

/// More keys would only make every signature slow to check.
const MAX_KEYS: usize = 256;

/// What a key may sign for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Trust roots.
    Root,
    /// Bundles.
    Compiler,
    /// Bundles that weaken protection.
    Owner,
    /// Receipts and checkpoints.
    Reconciler,
    /// Approvals of requests.
    Approver,
    /// Emergency actions.
    BreakGlass,
}

/// Root metadata: the predicate of `trust/<version>.root.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRoot {
    /// 1, 2, 3 …
    pub version: u64,
    /// When it was made.
    #[serde(with = "instant")]
    pub issued_at: Timestamp,
    /// From then on nothing new is accepted under it.
    #[serde(with = "instant")]
    pub expires_at: Timestamp,
    /// All keys, each with the person (or the reconciler) that holds it.
    pub persons: BTreeMap<KeyId, Person>,
    /// Who may sign what.
    pub roles: RootRoles,
}

/// The holder of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Name of the person, or id of the machine (for role reconciler: the reconciler id).
    pub person: String,
    /// The key as SPKI PEM.
    pub public_key: String,
}

/// The roles of a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRoles {
    /// Who may make the next root.
    pub root: RoleKeys,
    /// All other roles, for each environment on its own.
    pub environments: BTreeMap<EnvironmentId, EnvironmentRoles>,
}

/// Who may act in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRoles {
    /// Signs bundles.
    pub compiler: RoleKeys,
    /// Signs bundles that weaken protection.
    pub owner: OwnerRole,
    /// Signs receipts.
    pub reconciler: RoleKeys,
    /// Signs approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<RoleKeys>,
    /// Acts in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<RoleKeys>,
}

/// Keys of a role, and how many distinct persons must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleKeys {
    /// Keys that count.
    pub keyids: BTreeSet<KeyId>,
    /// Distinct persons needed, 1 or more.
    pub threshold: u64,
}

/// Keys of the owners. A bundle that weakens needs more of them than one that does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerRole {
    /// Keys that count.
    pub keyids: BTreeSet<KeyId>,
    /// Distinct owners on every bundle; 0 where the compiler's signature is enough.
    pub threshold: u64,
    /// Distinct owners on a bundle that weakens protection or has no baseline, 1 or more.
    pub weakening_threshold: u64,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Compiler => "compiler",
            Self::Owner => "owner",
            Self::Reconciler => "reconciler",
            Self::Approver => "approver",
            Self::BreakGlass => "break_glass",
        })
    }
}

impl TrustRoot {
    /// The signed form of this root, ready for `trust/<version>.root.json`.
    pub fn seal(&self, keys: &[&PrivateKey]) -> Result<Envelope, StatementFault> {
        let statement = Statement::about_itself("trust-root", self.clone())?;
        Ok(Envelope::sign(statement.to_payload()?, keys))
    }

    /// Parses every key. [`check`](Predicate::check) has made sure that all can be parsed.
    pub fn public_keys(&self) -> BTreeMap<KeyId, PublicKey> {
        self.persons
            .iter()
            .filter_map(|(id, person)| Some((*id, PublicKey::from_pem(&person.public_key).ok()?)))
            .collect()
    }

    /// The keys that count in a role; none where the environment or the role does not exist.
    pub fn keys_in(&self, role: Role, environment: &EnvironmentId) -> BTreeSet<KeyId> {
        let roles = self.roles.environments.get(environment);
        let keyids = |role: &RoleKeys| role.keyids.clone();
        match role {
            Role::Root => Some(keyids(&self.roles.root)),
            Role::Compiler => roles.map(|r| keyids(&r.compiler)),
            Role::Owner => roles.map(|r| r.owner.keyids.clone()),
            Role::Reconciler => roles.map(|r| keyids(&r.reconciler)),
            Role::Approver => roles.and_then(|r| r.approver.as_ref()).map(keyids),
            Role::BreakGlass => roles.and_then(|r| r.break_glass.as_ref()).map(keyids),
        }
        .unwrap_or_default()
    }

    /// The persons who signed in a role: each once, however many keys they hold.
    pub fn persons(
        &self,
        signed: &BTreeSet<KeyId>,
        role: Role,
        environment: &EnvironmentId,
    ) -> BTreeSet<String> {
        self.holders(signed, &self.keys_in(role, environment))
    }

    /// The persons who signed in role root.
    pub fn root_persons(&self, signed: &BTreeSet<KeyId>) -> BTreeSet<String> {
        self.holders(signed, &self.roles.root.keyids)
    }

    fn holders(&self, signed: &BTreeSet<KeyId>, counting: &BTreeSet<KeyId>) -> BTreeSet<String> {
        counting
            .intersection(signed)
            .filter_map(|id| self.persons.get(id).map(|p| p.person.clone()))
            .collect()
    }

    /// The keys of one reconciler, by which its receipts and checkpoints are verified.
    pub fn reconciler_keys(
        &self,
        environment: &EnvironmentId,
        reconciler_id: &ReconcilerId,
    ) -> Vec<PublicKey> {
        self.keys_in(Role::Reconciler, environment)
            .iter()
            .filter_map(|id| self.persons.get(id))
            .filter(|person| person.person == reconciler_id.as_str())
            .filter_map(|person| PublicKey::from_pem(&person.public_key).ok())
            .collect()
    }

    fn check_role(
        &self,
        name: &str,
        keyids: &BTreeSet<KeyId>,
        threshold: u64,
    ) -> Result<(), String> {
        let mut persons = BTreeSet::new();
        for id in keyids {
            let person = self
                .persons
                .get(id)
                .ok_or_else(|| format!("role `{name}` names unknown key `{id}`"))?;
            persons.insert(person.person.as_str());
        }
        if threshold > persons.len() as u64 {
            return Err(format!(
                "role `{name}` needs {threshold} persons and has {}",
                persons.len()
            ));
        }
        Ok(())
    }

    fn check_keys(&self, name: &str, role: &RoleKeys) -> Result<(), String> {
        if role.threshold == 0 {
            return Err(format!("threshold of role `{name}` is 0"));
        }
        self.check_role(name, &role.keyids, role.threshold)
    }
}

impl Predicate for TrustRoot {
    const TYPE: &'static str = predicate_type::TRUST_ROOT;

    fn check(&self) -> Result<(), String> {
        if self.version == 0 {
            return Err("version of the trust root is 0".into());
        }
        if self.expires_at <= self.issued_at {
            return Err(format!(
                "expires_at `{}` is not after issued_at `{}`",
                self.expires_at, self.issued_at
            ));
        }
        if self.persons.len() > MAX_KEYS {
            return Err(format!(
                "trust root has {} keys, at most {MAX_KEYS} are read",
                self.persons.len()
            ));
        }
        for (id, person) in &self.persons {
            let key =
                PublicKey::from_pem(&person.public_key).map_err(|e| format!("key `{id}`: {e}"))?;
            if key.key_id() != *id {
                return Err(format!(
                    "key `{id}` is listed under a name that is not its own, `{}`",
                    key.key_id()
                ));
            }
            if person.person.is_empty() {
                return Err(format!("key `{id}` belongs to nobody"));
            }
        }
        self.check_keys("root", &self.roles.root)?;
        for (environment, roles) in &self.roles.environments {
            let name = |role: Role| format!("{environment}/{role}");
            self.check_keys(&name(Role::Compiler), &roles.compiler)?;
            self.check_keys(&name(Role::Reconciler), &roles.reconciler)?;
            for (role, keys) in [
                (Role::Approver, &roles.approver),
                (Role::BreakGlass, &roles.break_glass),
            ] {
                if let Some(keys) = keys {
                    self.check_keys(&name(role), keys)?;
                }
            }
            let owner = &roles.owner;
            self.check_role(&name(Role::Owner), &owner.keyids, owner.weakening_threshold)?;
            if owner.weakening_threshold == 0 || owner.weakening_threshold < owner.threshold {
                return Err(format!(
                    "weakening in `{environment}` needs fewer owners than an ordinary change, or none"
                ));
            }
        }
        Ok(())
    }
}

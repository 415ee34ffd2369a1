//! Owns what opens the repository of one plan and key, as it travels to a worker. Never reads a key or a configuration.

use std::collections::{BTreeMap, BTreeSet};

use contract::id::{EnvironmentId, Kid, LocationId, PlanId};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::world::secret::Secret;
use crate::world::vault::{Derived, LocationState, Place, RepositoryName, Vault, learn};

/// What opens the repository of one plan and key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The environment.
    pub environment: EnvironmentId,
    /// The plan.
    pub plan: PlanId,
    /// The key's id.
    pub kid: Kid,
    /// Where its locations are.
    pub places: BTreeMap<LocationId, Place>,
    /// Locations that are not used, and how they stand.
    pub aside: BTreeMap<LocationId, LocationState>,
    /// Snapshots that the catalog knows.
    pub known: BTreeSet<String>,
    /// Paths of objects that are known to be damaged, by location.
    pub damaged: BTreeMap<LocationId, BTreeSet<String>>,
    /// The key's bytes.
    pub key: Secret,
    /// What they open, as far as that was derived before.
    pub derived: Vec<Derived>,
}

impl Access {
    /// The vault behind it.
    pub fn vault(&self) -> Result<Vault, Failure> {
        let name = RepositoryName {
            environment: self.environment.clone(),
            plan: self.plan.clone(),
            kid: self.kid.clone(),
        };
        learn(self.derived.clone());
        let mut vault = Vault::new(&name, self.places.clone(), self.key.bytes())?;
        for (location, state) in &self.aside {
            vault.set_aside(location.clone(), state.clone());
        }
        vault.expect_snapshots(self.known.clone());
        vault.distrust(&self.damaged);
        Ok(vault)
    }

    /// `<environment>/<plan_id>/<kid>`.
    pub fn repository(&self) -> String {
        format!("{}/{}/{}", self.environment, self.plan, self.kid)
    }
}

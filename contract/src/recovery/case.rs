//! Owns loss cases: what is gone when the worst happens, and which fault domains fall with it.
//!
//! Never decides what survives; that is `survivors`. The interesting type is [`LossCase`], whose text is the key of every fact.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::model::{DomainKind, FaultDomain, FaultDomains, InvalidDomain, Model};

/// What is gone: written `none`, `corruption`, or sorted `kind:id` joined by commas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossCase {
    /// Only the live data.
    None,
    /// The live data went bad, and nobody noticed for a time.
    Corruption,
    /// These fault domains, and the live data.
    Domains(BTreeSet<FaultDomain>),
}

impl LossCase {
    /// The loss of these domains; of none of them, the loss of the live data alone.
    pub fn of(domains: BTreeSet<FaultDomain>) -> LossCase {
        if domains.is_empty() {
            LossCase::None
        } else {
            LossCase::Domains(domains)
        }
    }

    /// The domains that it names.
    pub fn domains(&self) -> BTreeSet<FaultDomain> {
        match self {
            LossCase::None | LossCase::Corruption => BTreeSet::new(),
            LossCase::Domains(domains) => domains.clone(),
        }
    }
}

impl fmt::Display for LossCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossCase::None => f.write_str("none"),
            LossCase::Corruption => f.write_str("corruption"),
            LossCase::Domains(domains) => {
                let mut names: Vec<String> = domains.iter().map(ToString::to_string).collect();
                names.sort();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl FromStr for LossCase {
    type Err = InvalidDomain;

    fn from_str(text: &str) -> Result<LossCase, InvalidDomain> {
        match text {
            "none" => Ok(LossCase::None),
            "corruption" => Ok(LossCase::Corruption),
            list => Ok(LossCase::of(
                list.split(',').map(str::parse).collect::<Result<_, _>>()?,
            )),
        }
    }
}

impl Serialize for LossCase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which fault domain stands inside which: a zone in its region, a region in its provider.
#[derive(Debug, Clone, Default)]
pub(super) struct Parents(BTreeMap<FaultDomain, BTreeSet<FaultDomain>>);

impl Parents {
    /// Reads the chains of all sites and locations of a model.
    pub(super) fn of(model: &Model) -> Parents {
        let sites = model
            .settings
            .sites
            .values()
            .map(|site| &site.fault_domains);
        let locations = model
            .settings
            .locations
            .values()
            .map(|location| &location.fault_domains);
        let mut parents = Parents::default();
        for chain in sites.chain(locations) {
            parents.learn(chain);
        }
        parents
    }

    fn learn(&mut self, chain: &FaultDomains) {
        let domain = |kind, id: &String| FaultDomain {
            kind,
            id: id.clone(),
        };
        let region = domain(DomainKind::Region, &chain.region);
        let zone = domain(DomainKind::Zone, &chain.zone);
        let provider = domain(DomainKind::Provider, &chain.provider);
        self.0.entry(zone).or_default().insert(region.clone());
        self.0.entry(region).or_default().insert(provider);
    }

    /// The domain and everything whose loss takes it along.
    pub(super) fn killers(&self, domain: &FaultDomain) -> BTreeSet<FaultDomain> {
        let mut found = BTreeSet::new();
        let mut open = vec![domain.clone()];
        while let Some(next) = open.pop() {
            open.extend(
                self.0
                    .get(&next)
                    .into_iter()
                    .flatten()
                    .filter(|parent| !found.contains(*parent))
                    .cloned(),
            );
            found.insert(next);
        }
        found
    }
}

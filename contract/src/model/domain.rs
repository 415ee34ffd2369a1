//! Owns fault domains: things that fail as one, written `kind:id`. Never computes what a loss takes; see
//! [`crate::model::FaultDomains`] for how a site or location names its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kinds of fault domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// A company that runs infrastructure.
    Provider,
    /// A region of a provider.
    Region,
    /// A zone of a region.
    Zone,
    /// An account: whoever owns it can close it or delete in it.
    Account,
    /// A credential that can delete.
    Credential,
    /// A key, by its `kid`.
    Key,
    /// The software that wrote a copy.
    Engine,
    /// The machine of a reconciler: it can delete everywhere it writes.
    Host,
}

impl DomainKind {
    /// All kinds, in the order in which reports name them.
    pub const ALL: [Self; 8] = [
        Self::Provider,
        Self::Region,
        Self::Zone,
        Self::Account,
        Self::Credential,
        Self::Key,
        Self::Engine,
        Self::Host,
    ];

    /// The word that stands before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Region => "region",
            Self::Zone => "zone",
            Self::Account => "account",
            Self::Credential => "credential",
            Self::Key => "key",
            Self::Engine => "engine",
            Self::Host => "host",
        }
    }
}

/// One fault domain, written `kind:id`, for example `region:eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaultDomain {
    /// What kind of thing fails.
    pub kind: DomainKind,
    /// Which one.
    pub id: String,
}

/// A text that is no fault domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no fault domain")]
pub struct InvalidDomain(pub String);

impl FromStr for FaultDomain {
    type Err = InvalidDomain;
    fn from_str(text: &str) -> Result<Self, InvalidDomain> {
        let invalid = || InvalidDomain(text.chars().take(crate::id::MAX_ID_LENGTH).collect());
        let (kind, id) = text.split_once(':').ok_or_else(invalid)?;
        let kind = DomainKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(invalid)?;
        crate::id::check(id).map_err(|_| invalid())?;
        Ok(Self {
            kind,
            id: id.to_owned(),
        })
    }
}

impl TryFrom<String> for FaultDomain {
    type Error = InvalidDomain;
    fn try_from(text: String) -> Result<Self, InvalidDomain> {
        text.parse()
    }
}

impl From<FaultDomain> for String {
    fn from(domain: FaultDomain) -> String {
        domain.to_string()
    }
}

impl fmt::Display for FaultDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.kind.as_str(), self.id)
    }
}

/// The fault domains in which a site or a location stands. Each names its whole chain (zone, region, provider), so that
/// the loss of a parent takes it without a search; the compiler checks that one zone never names two regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultDomains {
    /// The company that runs it.
    pub provider: String,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// The account that owns it.
    pub account: String,
    /// The credential that can delete there.
    pub credential: String,
}

impl FaultDomains {
    /// The domains as values, from the largest to the smallest.
    pub fn iter(&self) -> impl Iterator<Item = FaultDomain> + '_ {
        [
            (DomainKind::Provider, &self.provider),
            (DomainKind::Region, &self.region),
            (DomainKind::Zone, &self.zone),
            (DomainKind::Account, &self.account),
            (DomainKind::Credential, &self.credential),
        ]
        .into_iter()
        .map(|(kind, id)| FaultDomain {
            kind,
            id: id.clone(),
        })
    }
}

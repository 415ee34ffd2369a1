//! Owns redundancy as it really is: how many copies of a dataset there are, and across how many fault domains, over all its plans.
//!
//! Never believes a profile: it counts the fault domains of locations. The interesting function is [`redundancy`].

use std::collections::BTreeSet;

use serde::Serialize;

use crate::id::{DatasetId, PlanId};
use crate::model::{BackupPlan, Dataset, Distinct, DomainKind, Location, Model};

/// The copies of one dataset over all its plans, beside what the strictest of their profiles demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redundancy {
    /// Different locations that hold a copy.
    pub copies: u32,
    /// Different fault domains of those locations, by kind.
    pub distinct: Distinct,
    /// Locations among them that refuse deletes.
    pub immutable_copies: u32,
    /// What the profiles demand and the locations do not give; empty when the profile is met.
    pub shortfalls: Vec<Shortfall>,
}

/// One demand that is not met.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Shortfall {
    /// The plan whose profile demands it.
    pub plan: PlanId,
    /// The field of the profile: `copies`, `immutable_copies`, `commit`, or a kind of fault domain.
    pub what: &'static str,
    /// What the profile demands.
    pub required: u32,
    /// What there is.
    pub actual: u32,
}

/// Counts the copies of a dataset. Every plan's profile is held against the copies of all plans together.
pub(super) fn redundancy(
    model: &Model,
    id: &DatasetId,
    dataset: &Dataset,
    plans: &[&BackupPlan],
) -> Redundancy {
    let ids: BTreeSet<_> = plans.iter().flat_map(|plan| &plan.locations).collect();
    let held: Vec<&Location> = ids
        .iter()
        .filter_map(|id| model.settings.locations.get(*id))
        .collect();
    let engines = plans
        .iter()
        .filter(|plan| plan.dataset_ids.contains(id))
        .count()
        .min(1);
    let known_engine = model.settings.connectors.contains_key(&dataset.connector);
    let distinct_of = |kind: DomainKind| {
        let domains = held
            .iter()
            .flat_map(|location| location.fault_domains.iter());
        number(
            domains
                .filter(|domain| domain.kind == kind)
                .collect::<BTreeSet<_>>()
                .len(),
        )
    };
    let distinct = Distinct {
        provider: distinct_of(DomainKind::Provider),
        region: distinct_of(DomainKind::Region),
        zone: distinct_of(DomainKind::Zone),
        account: distinct_of(DomainKind::Account),
        credential: distinct_of(DomainKind::Credential),
        // A dataset has one connector and a connector one engine, so every copy comes from the same software.
        engine: number(if known_engine { engines } else { 0 }),
    };
    let copies = number(held.len());
    let immutable_copies = number(held.iter().filter(|location| location.immutable).count());
    let mut shortfalls: Vec<Shortfall> = Vec::new();
    for plan in plans {
        let profile = &plan.redundancy_profile;
        let of_this_plan = number(plan.locations.len());
        let counts = [
            ("copies", profile.copies, copies),
            (
                "immutable_copies",
                profile.immutable_copies,
                immutable_copies,
            ),
            ("commit", profile.commit, of_this_plan),
        ];
        let spans = profile.distinct.kinds().into_iter().zip(distinct.kinds());
        let spans = spans.map(|((kind, required), (_, actual))| (kind, required, actual));
        for (what, required, actual) in counts.into_iter().chain(spans) {
            if actual < required {
                shortfalls.push(Shortfall {
                    plan: plan.plan_id.clone(),
                    what,
                    required,
                    actual,
                });
            }
        }
    }
    shortfalls.sort();
    Redundancy {
        copies,
        distinct,
        immutable_copies,
        shortfalls,
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

//! Owns which datasets something is about: what a rule looks at, and what a path of the model concerns. Judges nothing.

use std::collections::BTreeSet;

use contract::evidence::Evidence;
use contract::id::DatasetId;
use contract::model::{BackupPlan, Dataset, Eligibility, Model, Strategy};

use crate::rules::metadata::LooksAt;

/// Some datasets.
pub type Datasets = BTreeSet<DatasetId>;

/// The datasets at which a rule looks; nothing where it looks at settings, whatever data there is.
pub fn looked_at(
    model: &Model,
    looks_at: LooksAt,
    evidence: Option<&Evidence>,
) -> Option<Datasets> {
    let settings = &model.settings;
    let is_shown = |dataset: &Dataset| {
        let site = settings.sites.get(&dataset.site);
        let log = evidence
            .zip(site)
            .and_then(|(shown, site)| shown.log(&site.reconciler_id));
        is_backed_up(dataset) && log.is_some()
    };
    let critical = |dataset: &Dataset| {
        let rank = settings.tiers.get(&dataset.criticality).map(|t| t.rank);
        is_backed_up(dataset) && rank.is_none_or(|rank| rank <= 1)
    };
    Some(match looks_at {
        LooksAt::Settings => return None,
        LooksAt::Waivers if model.waivers.is_empty() => Datasets::new(),
        LooksAt::Waivers => return None,
        LooksAt::Datasets => those(model, |_| true),
        LooksAt::BackedUpDatasets => those(model, is_backed_up),
        LooksAt::Evidence => those(model, is_shown),
        LooksAt::Drills => {
            let scenarios = model.scenarios.values();
            let named: Datasets = scenarios.flat_map(|one| one.datasets.clone()).collect();
            those(model, |d| named.contains(&d.dataset_id) && is_shown(d))
        }
        LooksAt::DatasetsNotBackedUp => those(model, |d| !is_backed_up(d)),
        LooksAt::LockedDatasets => {
            let plans = model.plans.values();
            let locked = plans.filter(|plan| plan.redundancy_profile.immutable_copies > 0);
            locked.flat_map(|plan| plan.dataset_ids.clone()).collect()
        }
        LooksAt::CriticalDatasets => those(model, critical),
        LooksAt::CriticalDatasetsInProduction => {
            those(model, |d| model.environment.production && critical(d))
        }
        LooksAt::DataRetention => those(model, |d| {
            !settings.data_retention.is_empty() && is_backed_up(d)
        }),
        LooksAt::Alerts => those(model, |d| !settings.alerts.is_empty() && critical(d)),
        LooksAt::Groups => {
            let members = model.groups.values().flat_map(|group| &group.members);
            members.map(|member| member.dataset.clone()).collect()
        }
        LooksAt::Scenarios => {
            let scenarios = model.scenarios.values();
            scenarios.flat_map(|one| one.datasets.clone()).collect()
        }
        LooksAt::Standbys => {
            let counted_on = model.scenarios.values();
            let counted_on = counted_on.filter(|one| one.strategy == Strategy::FailoverToStandby);
            let standbys = model.standbys.values().map(|one| one.dataset.clone());
            standbys
                .chain(counted_on.flat_map(|one| one.datasets.clone()))
                .collect()
        }
    })
}

/// The datasets that a path of the model concerns; nothing where it concerns the environment as a whole.
pub fn concerned(model: &Model, path: &[String]) -> Option<Datasets> {
    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
    let plans = |of: &dyn Fn(&BackupPlan) -> bool| -> Datasets {
        let plans = model.plans.values().filter(|plan| of(plan));
        plans.flat_map(|plan| plan.dataset_ids.clone()).collect()
    };
    let found = match steps.as_slice() {
        ["datasets", id, ..] => those(model, |d| d.dataset_id.as_str() == *id),
        ["plans", id, ..] => plans(&|plan| plan.plan_id.as_str() == *id),
        ["groups", id, ..] => {
            let groups = model.groups.values().filter(|g| g.group_id.as_str() == *id);
            let members = groups.flat_map(|group| &group.members);
            members.map(|member| member.dataset.clone()).collect()
        }
        ["standbys", id, ..] => {
            let standbys = model.standbys.values();
            let standbys = standbys.filter(|one| one.standby_id.as_str() == *id);
            standbys.map(|one| one.dataset.clone()).collect()
        }
        ["scenarios", id, ..] => {
            let scenarios = model.scenarios.values();
            let scenarios = scenarios.filter(|one| one.scenario_id.as_str() == *id);
            scenarios.flat_map(|one| one.datasets.clone()).collect()
        }
        ["settings", "tiers", id, ..] => those(model, |d| d.criticality.as_str() == *id),
        ["settings", "sites", id, ..] => those(model, |d| d.site.as_str() == *id),
        ["settings", "locations", id, ..] => {
            plans(&|plan| plan.locations.iter().any(|place| place.as_str() == *id))
        }
        ["settings", "storage", id, ..] => plans(&|plan| {
            let profiles = &plan.storage_profiles;
            profiles.iter().any(|profile| profile.as_str() == *id)
        }),
        ["settings", "keys", id, ..] => plans(&|plan| plan.encryption_key_ref.as_str() == *id),
        ["settings", "retention", id, ..] => {
            plans(&|plan| plan.retention.retention_id.as_str() == *id)
        }
        ["settings", "redundancy", id, ..] => {
            plans(&|plan| plan.redundancy_profile.redundancy_id.as_str() == *id)
        }
        ["settings", "schedules", id, ..] => {
            plans(&|plan| plan.backup_frequency.schedule_id.as_str() == *id)
        }
        _ => return None,
    };
    Some(found).filter(|found| !found.is_empty())
}

fn those(model: &Model, wanted: impl Fn(&Dataset) -> bool) -> Datasets {
    let wanted = model.datasets.values().filter(|dataset| wanted(dataset));
    wanted.map(|dataset| dataset.dataset_id.clone()).collect()
}

fn is_backed_up(dataset: &Dataset) -> bool {
    dataset.eligibility == Eligibility::BackedUp
}

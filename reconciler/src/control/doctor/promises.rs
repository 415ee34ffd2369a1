//! Owns what policy promises and this machine cannot keep, so that nobody finds out in a disaster: copies that fail together,
//! immutability that nothing enforces, restores that nothing can approve. The interesting function is [`broken`].

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use contract::code;
use contract::id::{DatasetId, LocationId};
use contract::model::{Action, Location, Model};

use super::{Finding, ill, well};
use crate::config::{Config, LocationBinding, Site};
use crate::control::{Daemon, recover};
use crate::failure::Failure;
use crate::plan::{ActivePolicy, own_plans};
use crate::worker::Access;
use crate::worker::protocol::{Answer, Order};

/// Every promise of the policy that does not hold here.
pub(super) fn broken(config: &Config, active: &ActivePolicy) -> Vec<Finding> {
    let mut findings = shared_devices(config, &active.model);
    findings.extend(unenforced(config, &active.model));
    findings.extend(unapprovable(active));
    findings
}

/// A repository on slow storage, with a key that is slow to derive, opens within this time.
const OPENS_WITHIN: Duration = Duration::from_mins(1);

/// Keys that do not open the repository of a plan, of those that exist.
pub(super) fn unopened(daemon: &Daemon, active: &ActivePolicy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (plan_id, policy) in own_plans(active) {
        let kid = &policy.encryption_key_ref;
        let subject = format!("repository of {plan_id}");
        let opened = Access::new(daemon, plan_id, kid, policy.locations.iter().cloned()).and_then(
            |access| match daemon.look_within(&Order::Open { access }, OPENS_WITHIN) {
                Ok(Answer::Opened { exists }) => Ok(exists),
                other => Err(recover::unseen(other)),
            },
        );
        findings.push(match opened {
            Ok(true) => well(subject, format!("key `{kid}` opens it")),
            Ok(false) => well(subject, "the first backup makes it"),
            // What is not bound is a finding of its own.
            Err(failure) if failure.code == code::PLAN_UNBOUND => continue,
            Err(failure) => ill(subject, failure),
        });
    }
    findings
}

fn bound<'a>(
    config: &'a Config,
    model: &'a Model,
) -> impl Iterator<Item = (&'a LocationId, &'a Location, &'a LocationBinding)> {
    config.locations.iter().filter_map(move |(id, binding)| {
        let location = model.settings.locations.get(id)?;
        Some((id, location, binding))
    })
}

/// Locations on one device fail together, whatever policy says of their fault domains.
fn shared_devices(config: &Config, model: &Model) -> Vec<Finding> {
    let mut by_device: BTreeMap<u64, Vec<(&LocationId, &Location)>> = BTreeMap::new();
    for (id, location, binding) in bound(config, model) {
        // A folder that is not there is a finding of its own, and a bucket is on no device.
        if let Some(Ok(metadata)) = binding.folder().map(std::fs::metadata) {
            by_device
                .entry(metadata.dev())
                .or_default()
                .push((id, location));
        }
    }
    let mut findings = Vec::new();
    for together in by_device.into_values() {
        let Some((first, of_first)) = together.first() else {
            continue;
        };
        let apart: Vec<String> = together
            .iter()
            .filter(|(_, location)| location.fault_domains != of_first.fault_domains)
            .map(|(id, _)| format!("`{id}`"))
            .collect();
        if apart.is_empty() {
            continue;
        }
        let told = format!(
            "its folder is on the same device as {}, which policy puts into other fault domains",
            apart.join(", ")
        );
        let help =
            "bind folders on separate disks or machines, or correct `fault_domains` in the policy";
        findings.push(ill(
            format!("location {first}"),
            Failure::new(code::LOCATIONS_SHARE_DEVICE, told, help),
        ));
    }
    findings
}

/// A folder can be deleted by whoever can write it, and whether a bucket refuses is not known yet.
fn unenforced(config: &Config, model: &Model) -> Vec<Finding> {
    bound(config, model)
        .filter(|(_, location, _)| location.immutable)
        .map(|(id, _, binding)| {
            let place = binding.site.shown();
            let message = match binding.site {
                Site::Folder(_) => format!(
                    "policy says `immutable: true`, and nothing keeps files in `{place}` from being deleted"
                ),
                Site::Bucket(_) => format!(
                    "policy says `immutable: true`, and nothing has proven that `{place}` refuses to delete"
                ),
            };
            let help = "bind storage that locks objects, or say `immutable: false` and prove the policy again";
            ill(
                format!("location {id}"),
                Failure::new(code::IMMUTABILITY_UNENFORCED, message, help),
            )
        })
        .collect()
}

/// Commands carry no approvals in this version: what needs one cannot be restored that way.
fn unapprovable(active: &ActivePolicy) -> Vec<Finding> {
    let model = &active.model;
    let environment = &model.environment.environment_id;
    let datasets: BTreeSet<&DatasetId> = own_plans(active)
        .flat_map(|(_, policy)| &policy.dataset_ids)
        .collect();
    let ways = [
        (Action::RestoreInPlace, "in place"),
        (Action::RestoreSideBySide, "side by side"),
        (Action::RestoreExport, "as an export"),
    ];
    let mut findings = Vec::new();
    for (action, way) in ways {
        for policy in model.settings.approvals.values() {
            if policy.action != action
                || policy.approvals == 0
                || !policy.environments.contains(environment)
            {
                continue;
            }
            let affected: Vec<String> = datasets
                .iter()
                .filter_map(|id| model.datasets.get(*id))
                .filter(|dataset| policy.tiers.contains(&dataset.criticality))
                .map(|dataset| format!("`{}`", dataset.dataset_id))
                .collect();
            if affected.is_empty() {
                continue;
            }
            let told = format!(
                "{} cannot be restored {way}: approval policy `{}` asks for approvals, and this version takes none",
                affected.join(", "),
                policy.approval_id
            );
            let help = "plan to restore in another mode, or lower the policy by a signed bundle before it is needed";
            findings.push(ill(
                format!("approval policy {}", policy.approval_id),
                Failure::new(code::APPROVAL_REQUIRED, told, help),
            ));
        }
    }
    findings
}

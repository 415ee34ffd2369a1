//! Owns the comparison of plans. Never judges a setting that no plan uses.

use super::Effect;
use super::judge::Judge;
use super::settings::{compare_redundancy, compare_retention, compare_schedule};
use crate::model::{BackupPlan, Verification};

pub(super) fn compare<'a>(judge: &mut Judge<'a>, old: &'a BackupPlan, new: &'a BackupPlan) {
    let BackupPlan {
        plan_id,
        name,
        dataset_ids,
        plane,
        backup_frequency,
        full_frequency,
        target_rpo_s,
        target_rto_s,
        retention,
        storage_profiles,
        locations,
        redundancy_profile,
        encryption_key_ref,
        verification,
        compression,
        parallel_jobs,
        retries,
        bandwidth_bytes_per_second,
    } = old;
    judge.label("plan_id", plan_id, &new.plan_id);
    judge.label("name", name, &new.name);
    let datasets = judge.present_ids(dataset_ids);
    judge.more_is_stronger("dataset_ids", &datasets, &new.dataset_ids);
    judge.binding("plane", plane, &new.plane);
    judge.at("backup_frequency", |judge| {
        compare_schedule(judge, backup_frequency, &new.backup_frequency);
    });
    match (full_frequency, &new.full_frequency) {
        (Some(before), Some(after)) => judge.at("full_frequency", |judge| {
            compare_schedule(judge, before, after);
        }),
        (before, after) => judge.binding("full_frequency", before, after),
    }
    judge.shorter_if_any("target_rpo_s", *target_rpo_s, new.target_rpo_s);
    judge.shorter_if_any("target_rto_s", *target_rto_s, new.target_rto_s);
    judge.at("retention", |judge| {
        compare_retention(judge, retention, &new.retention);
    });
    // The profiles are names for the locations, which are judged themselves.
    judge.label("storage_profiles", storage_profiles, &new.storage_profiles);
    judge.more_is_stronger("locations", locations, &new.locations);
    judge.at("redundancy_profile", |judge| {
        compare_commit(judge, old, new);
        compare_redundancy(judge, redundancy_profile, &new.redundancy_profile);
    });
    judge.binding(
        "encryption_key_ref",
        encryption_key_ref,
        &new.encryption_key_ref,
    );
    judge.at("verification", |judge| {
        let Verification {
            checksum_required,
            periodic_restore_test_required,
        } = verification;
        judge.demand(
            "checksum_required",
            *checksum_required,
            new.verification.checksum_required,
        );
        judge.demand(
            "periodic_restore_test_required",
            *periodic_restore_test_required,
            new.verification.periodic_restore_test_required,
        );
    });
    judge.label("compression", compression, &new.compression);
    judge.label("parallel_jobs", parallel_jobs, &new.parallel_jobs);
    let tries = |retries: Option<u32>| retries.unwrap_or(0);
    if tries(*retries) == tries(new.retries) {
        judge.label("retries", retries, &new.retries);
    } else {
        judge.more("retries", &tries(*retries), &tries(new.retries));
    }
    // Slower is safer for the source and worse for the window, which the proof counts on whatever the rate.
    judge.binding(
        "bandwidth_bytes_per_second",
        bandwidth_bytes_per_second,
        &new.bandwidth_bytes_per_second,
    );
}

/// What counts is how many locations may lag behind the commit, not how many must commit.
fn compare_commit(judge: &mut Judge<'_>, old: &BackupPlan, new: &BackupPlan) {
    let may_lag = |plan: &BackupPlan| {
        let locations = u32::try_from(plan.locations.len()).unwrap_or(u32::MAX);
        locations.checked_sub(plan.redundancy_profile.commit)
    };
    let says = |plan: &BackupPlan| {
        Some(format!(
            "{} of {}",
            plan.redundancy_profile.commit,
            plan.locations.len()
        ))
    };
    match (may_lag(old), may_lag(new)) {
        _ if says(old) == says(new) => {}
        (Some(was), Some(is)) if is < was => {
            judge.change("commit", says(old), says(new), Effect::Stronger);
        }
        (Some(was), Some(is)) if is > was => {
            judge.change("commit", says(old), says(new), Effect::Weaker);
        }
        (Some(_), Some(_)) => judge.change("commit", says(old), says(new), Effect::Equal),
        // A commit above the locations is never reached.
        (None, Some(_)) => judge.change("commit", says(old), says(new), Effect::Stronger),
        (Some(_), None) => judge.change("commit", says(old), says(new), Effect::Weaker),
        (None, None) => judge.change("commit", says(old), says(new), Effect::Incomparable),
    }
}

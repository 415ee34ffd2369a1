//! Owns the comparison of settings, one function a kind. Values that plans and datasets have resolved are judged there again, so that
//! a change shows both where it was made and where it bites.

use std::collections::BTreeMap;

use super::Effect;
use super::judge::Judge;
use super::watch;
use crate::model::{
    ApprovalPolicy, CatchUp, Connector, Consistency, FaultDomains, Keep, Key, Location, LoseCase,
    Objective, Redundancy, Retention, Role, Schedule, Settings, Site, StorageClass, StorageProfile,
    Survival, Tier, VerificationCadence,
};

/// Whatever can be used to protect is worth having; removing it needs owners even when nothing uses it today.
pub(super) fn protects<T>(_: &T) -> Effect {
    Effect::Stronger
}

pub(super) fn compare<'a>(judge: &mut Judge<'a>, old: &'a Settings, new: &'a Settings) {
    let Settings {
        objectives,
        schedules,
        retention,
        redundancy,
        storage,
        sites,
        locations,
        keys,
        connectors,
        tiers,
        approvals,
        roles,
        data_retention: _,
        alerts: _,
        channels: _,
    } = old;
    // Plans, datasets and tiers hold what they take of these, and are compared with it: one more or less on offer is no change.
    fn offered<T>(_: &T) -> Effect {
        Effect::Equal
    }
    judge.entries(
        "objectives",
        objectives,
        &new.objectives,
        offered,
        compare_objective,
    );
    judge.entries(
        "schedules",
        schedules,
        &new.schedules,
        offered,
        compare_schedule,
    );
    judge.entries(
        "retention",
        retention,
        &new.retention,
        offered,
        compare_retention,
    );
    judge.entries(
        "redundancy",
        redundancy,
        &new.redundancy,
        offered,
        |judge, old, new| {
            judge.more("commit", &old.commit, &new.commit);
            compare_redundancy(judge, old, new);
        },
    );
    judge.entries("storage", storage, &new.storage, protects, compare_storage);
    judge.entries("sites", sites, &new.sites, protects, compare_site);
    judge.entries(
        "locations",
        locations,
        &new.locations,
        protects,
        compare_location,
    );
    judge.entries("keys", keys, &new.keys, protects, compare_key);
    judge.entries(
        "connectors",
        connectors,
        &new.connectors,
        protects,
        compare_connector,
    );
    judge.entries("tiers", tiers, &new.tiers, protects, compare_tier);
    // A policy that asks for nobody may stand in the way of nothing, or open a door.
    let asks = |policy: &ApprovalPolicy| {
        if policy.approvals == 0 {
            Effect::Incomparable
        } else {
            Effect::Stronger
        }
    };
    judge.entries(
        "approvals",
        approvals,
        &new.approvals,
        asks,
        compare_approval,
    );
    let permits = |role: &Role| {
        if role.may.is_empty() {
            Effect::Equal
        } else {
            Effect::Weaker
        }
    };
    judge.entries("roles", roles, &new.roles, permits, compare_role);
    watch::compare(judge, old, new);
}

pub(super) fn compare_objective(judge: &mut Judge, old: &Objective, new: &Objective) {
    let Objective {
        objective_id,
        rpo_s,
        rto_s,
    } = old;
    judge.label("objective_id", objective_id, &new.objective_id);
    judge.shorter("rpo_s", *rpo_s, new.rpo_s);
    judge.shorter("rto_s", *rto_s, new.rto_s);
}

pub(super) fn compare_schedule(judge: &mut Judge, old: &Schedule, new: &Schedule) {
    let Schedule {
        schedule_id,
        // These four say when it runs and are judged as one.
        cron: _,
        timezone: _,
        every_s: _,
        continuous: _,
        jitter_s,
        start_window_s,
        completion_window_s,
        tolerated_misses,
        catch_up,
    } = old;
    judge.label("schedule_id", schedule_id, &new.schedule_id);
    judge.timing(old, new);
    // Jitter shifts every run of a plan alike.
    judge.label("jitter_s", jitter_s, &new.jitter_s);
    judge.shorter("start_window_s", *start_window_s, new.start_window_s);
    judge.shorter(
        "completion_window_s",
        *completion_window_s,
        new.completion_window_s,
    );
    judge.fewer("tolerated_misses", tolerated_misses, &new.tolerated_misses);
    judge.ranked(
        "catch_up",
        *catch_up,
        new.catch_up,
        |catch_up| match catch_up {
            CatchUp::Latest => 1,
            CatchUp::None => 0,
        },
    );
}

pub(super) fn compare_retention(judge: &mut Judge, old: &Retention, new: &Retention) {
    let Retention {
        retention_id,
        min_versions,
        min_duration_s,
        keep,
        max_duration_s,
        immutable_for_s,
    } = old;
    judge.label("retention_id", retention_id, &new.retention_id);
    judge.more("min_versions", min_versions, &new.min_versions);
    judge.longer("min_duration_s", *min_duration_s, new.min_duration_s);
    judge.at("keep", |judge| {
        let Keep {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        } = keep;
        judge.more("last", last, &new.keep.last);
        judge.more("hourly", hourly, &new.keep.hourly);
        judge.more("daily", daily, &new.keep.daily);
        judge.more("weekly", weekly, &new.keep.weekly);
        judge.more("monthly", monthly, &new.keep.monthly);
        judge.more("yearly", yearly, &new.keep.yearly);
    });
    judge.longer_if_any("max_duration_s", *max_duration_s, new.max_duration_s);
    judge.longer("immutable_for_s", *immutable_for_s, new.immutable_for_s);
}

/// Everything but `commit`, whose direction depends on how many locations there are.
pub(super) fn compare_redundancy(judge: &mut Judge, old: &Redundancy, new: &Redundancy) {
    let Redundancy {
        redundancy_id,
        copies,
        distinct,
        immutable_copies,
        commit: _,
        copy_within_s,
    } = old;
    judge.label("redundancy_id", redundancy_id, &new.redundancy_id);
    judge.more("copies", copies, &new.copies);
    judge.at("distinct", |judge| {
        for ((kind, old), (_, new)) in distinct.kinds().iter().zip(&new.distinct.kinds()) {
            judge.more(kind, old, new);
        }
    });
    judge.more("immutable_copies", immutable_copies, &new.immutable_copies);
    judge.shorter("copy_within_s", *copy_within_s, new.copy_within_s);
}

fn compare_storage(judge: &mut Judge, old: &StorageProfile, new: &StorageProfile) {
    let StorageProfile {
        storage_id,
        locations,
        restore_throughput_bytes_per_second,
        thaw_time_s,
    } = old;
    judge.label("storage_id", storage_id, &new.storage_id);
    judge.more_is_stronger("locations", locations, &new.locations);
    // Whoever says that it is faster makes every recovery time look better, and nothing shows that it is.
    judge.fewer(
        "restore_throughput_bytes_per_second",
        restore_throughput_bytes_per_second,
        &new.restore_throughput_bytes_per_second,
    );
    judge.shorter("thaw_time_s", *thaw_time_s, new.thaw_time_s);
}

fn compare_domains(judge: &mut Judge, old: &FaultDomains, new: &FaultDomains) {
    let FaultDomains {
        provider,
        region,
        zone,
        account,
        credential,
    } = old;
    judge.at("fault_domains", |judge| {
        judge.binding("provider", provider, &new.provider);
        judge.binding("region", region, &new.region);
        judge.binding("zone", zone, &new.zone);
        judge.binding("account", account, &new.account);
        judge.binding("credential", credential, &new.credential);
    });
}

fn compare_site(judge: &mut Judge, old: &Site, new: &Site) {
    let Site {
        site_id,
        fault_domains,
        host,
        residency,
        reconciler_id,
    } = old;
    judge.label("site_id", site_id, &new.site_id);
    compare_domains(judge, fault_domains, &new.fault_domains);
    judge.binding("host", host, &new.host);
    judge.binding("residency", residency, &new.residency);
    judge.binding("reconciler_id", reconciler_id, &new.reconciler_id);
}

fn compare_location(judge: &mut Judge, old: &Location, new: &Location) {
    let Location {
        location_id,
        site,
        fault_domains,
        residency,
        class,
        immutable,
        capacity_bytes,
        bandwidth_bytes_per_second,
    } = old;
    judge.label("location_id", location_id, &new.location_id);
    judge.binding("site", site, &new.site);
    compare_domains(judge, fault_domains, &new.fault_domains);
    judge.binding("residency", residency, &new.residency);
    judge.ranked("class", *class, new.class, |class| match class {
        StorageClass::Hot => 2,
        StorageClass::Warm => 1,
        StorageClass::Archive => 0,
    });
    judge.demand("immutable", *immutable, new.immutable);
    judge.more("capacity_bytes", capacity_bytes, &new.capacity_bytes);
    // A claim, as the throughput of storage profiles is.
    judge.fewer(
        "bandwidth_bytes_per_second",
        bandwidth_bytes_per_second,
        &new.bandwidth_bytes_per_second,
    );
}

fn compare_key<'a>(judge: &mut Judge<'a>, old: &'a Key, new: &'a Key) {
    let Key {
        kid,
        custody,
        kept_in,
        not_after,
        rotation_period_s,
    } = old;
    judge.label("kid", kid, &new.kid);
    judge.binding("custody", custody, &new.custody);
    let kept_in = kept_in.as_ref().map(|id| judge.present_id(id).clone());
    match (&kept_in, &new.kept_in) {
        // One thing more that has to come back before the key does. That it no longer has to is said, and proven by nothing.
        (None, Some(keeper)) => {
            judge.change("kept_in", None, Some(keeper.to_string()), Effect::Weaker);
        }
        (Some(keeper), None) => {
            let from = Some(keeper.to_string());
            judge.change("kept_in", from, None, Effect::Incomparable);
        }
        (old, new) => judge.binding("kept_in", old, new),
    }
    // Later is safer for the copies and worse for the secret.
    judge.binding("not_after", not_after, &new.not_after);
    judge.shorter(
        "rotation_period_s",
        *rotation_period_s,
        new.rotation_period_s,
    );
}

fn compare_connector(judge: &mut Judge, old: &Connector, new: &Connector) {
    let Connector {
        connector_id,
        capabilities,
        consistency,
        source_lag_s,
        engine,
    } = old;
    judge.label("connector_id", connector_id, &new.connector_id);
    judge.more_is_stronger("capabilities", capabilities, &new.capabilities);
    judge.ranked(
        "consistency",
        *consistency,
        new.consistency,
        Consistency::rank,
    );
    judge.shorter("source_lag_s", *source_lag_s, new.source_lag_s);
    judge.binding("engine", engine, &new.engine);
}

fn compare_tier(judge: &mut Judge, old: &Tier, new: &Tier) {
    let Tier {
        tier_id,
        rank,
        survives,
        restore_test_every_s,
        drill_every_s,
        staleness_limit_s,
        verification,
    } = old;
    judge.label("tier_id", tier_id, &new.tier_id);
    judge.binding("rank", rank, &new.rank);
    let (before, after) = (strictest(survives), strictest(&new.survives));
    judge.at("survives", |judge| {
        for (lose, demanded) in &before {
            match after.get(lose) {
                Some(now) => judge.at(super::judge::told(lose), |judge| {
                    compare_objective(judge, demanded, now);
                }),
                None => judge.change(
                    super::judge::told(lose),
                    Some(demanded.rpo_s.to_string()),
                    None,
                    Effect::Weaker,
                ),
            }
        }
        for (lose, demanded) in after.iter().filter(|(lose, _)| !before.contains_key(lose)) {
            judge.change(
                super::judge::told(lose),
                None,
                Some(demanded.rpo_s.to_string()),
                Effect::Stronger,
            );
        }
    });
    judge.shorter_if_any(
        "restore_test_every_s",
        *restore_test_every_s,
        new.restore_test_every_s,
    );
    judge.shorter_if_any("drill_every_s", *drill_every_s, new.drill_every_s);
    judge.shorter(
        "staleness_limit_s",
        *staleness_limit_s,
        new.staleness_limit_s,
    );
    judge.at("verification", |judge| {
        let VerificationCadence {
            every_s,
            portion_percent,
        } = verification;
        judge.shorter("every_s", *every_s, new.verification.every_s);
        judge.more(
            "portion_percent",
            portion_percent,
            &new.verification.portion_percent,
        );
    });
}

/// What a tier demands in each loss; where it demands twice, the stricter of each.
fn strictest(survives: &[Survival]) -> BTreeMap<LoseCase, Objective> {
    let mut demands: BTreeMap<LoseCase, Objective> = BTreeMap::new();
    for Survival { lose, objective } in survives {
        let demand = demands.entry(*lose).or_insert_with(|| objective.clone());
        demand.rpo_s = demand.rpo_s.min(objective.rpo_s);
        demand.rto_s = demand.rto_s.min(objective.rto_s);
    }
    demands
}

fn compare_approval(judge: &mut Judge, old: &ApprovalPolicy, new: &ApprovalPolicy) {
    let ApprovalPolicy {
        approval_id,
        action,
        environments,
        tiers,
        approvals,
        roles,
        request_expiry_s,
        execution_expiry_s,
    } = old;
    judge.label("approval_id", approval_id, &new.approval_id);
    judge.binding("action", action, &new.action);
    judge.more_is_stronger("environments", environments, &new.environments);
    judge.more_is_stronger("tiers", tiers, &new.tiers);
    judge.more("approvals", approvals, &new.approvals);
    judge.more_is_weaker("roles", roles, &new.roles);
    judge.shorter("request_expiry_s", *request_expiry_s, new.request_expiry_s);
    judge.shorter(
        "execution_expiry_s",
        *execution_expiry_s,
        new.execution_expiry_s,
    );
}

fn compare_role(judge: &mut Judge, old: &Role, new: &Role) {
    let Role { role_id, name, may } = old;
    judge.label("role_id", role_id, &new.role_id);
    judge.label("name", name, &new.name);
    judge.more_is_weaker("may", may, &new.may);
}

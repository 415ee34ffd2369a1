//! Owns the metrics' names, labels and help texts. The interesting function is [`text`].

use std::collections::{BTreeMap, BTreeSet};

use contract::id::DatasetId;
use contract::metric;
use contract::model::Model;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{Error, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use super::{Known, LastRuns, Scene};
use crate::domain::Tallied;
use crate::status::{Light, Status};

/// The metrics in Prometheus' text format, in the order of their names.
pub fn text(last: &LastRuns, scene: &Scene<'_>) -> Result<String, Error> {
    let all = Families(Registry::new());
    all.of_process(scene)?;
    all.of_locations(scene)?;
    if let Some((model, status, accepted_at)) = scene.followed {
        all.of_policy(status, accepted_at)?;
        all.of_datasets(status)?;
        let counts = Counts::new(&scene.tallies);
        all.of_backups(model, &counts)?;
        all.of_restores(model, &counts)?;
        all.of_last_runs(model, &last.lock())?;
    }
    TextEncoder::new().encode_to_string(&all.0.gather())
}

/// A sample: the values of its labels, and its own.
type Sample<const N: usize> = ([String; N], u64);

/// Metrics that are gathered once.
struct Families(Registry);

impl Families {
    fn gauge<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<N>>,
    ) -> Result<(), Error> {
        let family = IntGaugeVec::new(Opts::new(name, help), &labels)?;
        for (labels, value) in samples {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            family.get_metric_with_label_values(&labels)?.set(value);
        }
        self.register(family)
    }

    fn counter<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<N>>,
    ) -> Result<(), Error> {
        let family = IntCounterVec::new(Opts::new(name, help), &labels)?;
        for (labels, value) in samples {
            family.get_metric_with_label_values(&labels)?.inc_by(value);
        }
        self.register(family)
    }

    fn register(&self, family: impl Collector + 'static) -> Result<(), Error> {
        self.0.register(Box::new(family))
    }

    fn of_process(&self, scene: &Scene<'_>) -> Result<(), Error> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let build = [
            version,
            scene.reconciler.to_owned(),
            scene.environment.to_owned(),
        ];
        self.gauge(
            metric::BUILD,
            "Version of seawalld, its reconciler id and its environment.",
            ["version", "reconciler", "environment"],
            [(build, 1)],
        )?;
        self.gauge(
            "seawall_workers",
            "Effects of scheduled work that may run at the same time.",
            [],
            [([], scene.workers)],
        )?;
        self.gauge(
            "seawall_workers_busy",
            "Effects of scheduled work that run now.",
            [],
            [([], scene.busy)],
        )?;
        self.gauge(
            "seawall_operations_running",
            "Operations that run now, those that operators requested included.",
            ["kind"],
            scene
                .running
                .iter()
                .map(|(kind, count)| ([kind.clone()], *count)),
        )?;
        self.gauge(
            "seawall_steps_due",
            "Steps that are due and not begun.",
            [],
            [([], scene.due)],
        )?;
        self.counter(
            "seawall_receipts_total",
            "Receipts in the log.",
            [],
            [([], scene.receipts)],
        )
    }

    fn of_locations(&self, scene: &Scene<'_>) -> Result<(), Error> {
        let places = || scene.locations.iter();
        let id = |id: &contract::id::LocationId| [id.to_string()];
        self.gauge(
            metric::LOCATION_USABLE,
            "Whether the location passed its last inspection: 1 or 0.",
            ["location"],
            places().map(|it| (id(&it.location_id), u64::from(it.is_usable))),
        )?;
        let sizes = || places().filter_map(|it| Some((id(&it.location_id), it.size_and_free?)));
        self.gauge(
            metric::LOCATION_SIZE,
            "Size of the location's file system for the daemon's user.",
            ["location"],
            sizes().map(|(id, (size, _))| (id, size)),
        )?;
        self.gauge(
            metric::LOCATION_FREE,
            "Bytes that the daemon's user can still write to the location.",
            ["location"],
            sizes().map(|(id, (_, free))| (id, free)),
        )?;
        self.gauge(
            "seawall_location_receipts_lag",
            "Receipts of the log that the location does not have yet.",
            ["location"],
            places().map(|it| {
                let copied = scene.copied.get(&it.location_id).copied().unwrap_or(0);
                (id(&it.location_id), scene.receipts.saturating_sub(copied))
            }),
        )?;
        let lag = || scene.lag.iter();
        let of = |it: &super::Lag| [it.plan_id.to_string(), it.location_id.to_string()];
        self.gauge(
            "seawall_location_lag_objects",
            "Objects of a plan's repository that the location lacks.",
            ["plan", "location"],
            lag().map(|it| (of(it), it.objects)),
        )?;
        self.gauge(
            "seawall_location_lag_bytes",
            "Bytes of a plan's repository that the location lacks.",
            ["plan", "location"],
            lag().map(|it| (of(it), it.bytes)),
        )
    }

    fn of_policy(&self, status: &Status, accepted_at: Timestamp) -> Result<(), Error> {
        self.gauge(
            "seawall_bundle_serial",
            "Serial of the active policy bundle.",
            [],
            [([], status.serial)],
        )?;
        self.gauge(
            "seawall_bundle_accepted_timestamp_seconds",
            "When the active policy bundle was accepted.",
            [],
            [([], seconds(accepted_at))],
        )?;
        self.gauge(
            metric::BUNDLE_EXPIRES,
            "When the active policy bundle expires.",
            [],
            [([], seconds(status.expires_at))],
        )?;
        let lights = [
            (Light::Green, "green"),
            (Light::Yellow, "yellow"),
            (Light::Red, "red"),
        ];
        self.gauge(
            "seawall_status",
            "The color of the whole status: 1 for the one that holds.",
            ["light"],
            lights.map(|(light, name)| ([name.to_owned()], u64::from(light == status.light))),
        )?;
        let plans = status.plans.iter().map(|plan| &plan.condition);
        let conditions = status.overall.iter().chain(plans).map(|it| {
            let plan = it.plan_id.as_ref().map(ToString::to_string);
            let code = it.code.map(|code| code.to_string());
            let word = it.condition.as_str().to_owned();
            [plan.unwrap_or_default(), word, code.unwrap_or_default()]
        });
        // Two conditions of the whole may share a code.
        let conditions: BTreeSet<[String; 3]> = conditions.collect();
        self.gauge(
            metric::CONDITION,
            "The conditions that hold; those of the whole have an empty plan.",
            ["plan", "condition", "code"],
            conditions.into_iter().map(|labels| (labels, 1)),
        )?;
        self.gauge(
            "seawall_plan_next_due_timestamp_seconds",
            "When the next run of the plan is due.",
            ["plan"],
            status.plans.iter().filter_map(|plan| {
                let id = plan.condition.plan_id.as_ref()?;
                Some(([id.to_string()], seconds(plan.next_due?)))
            }),
        )
    }

    fn of_datasets(&self, status: &Status) -> Result<(), Error> {
        let all = || status.datasets.iter();
        let of =
            |it: &crate::status::DatasetStatus| [it.dataset_id.to_string(), it.tier.to_string()];
        let labels = ["dataset", "tier"];
        self.gauge(
            metric::RPO,
            "Recovery point objective of the dataset.",
            labels,
            all().map(|it| (of(it), it.rpo_s.get())),
        )?;
        self.gauge(
            metric::RTO,
            "Recovery time objective of the dataset.",
            labels,
            all().map(|it| (of(it), it.rto_s.get())),
        )?;
        self.gauge(
            metric::RECOVERY_POINT_AGE,
            "Age of the state that the newest usable recovery point of the dataset holds; without one, the time since its plan began.",
            labels,
            all().filter_map(|it| Some((of(it), it.age_s?.get()))),
        )?;
        self.gauge(
            "seawall_dataset_recovery_point_timestamp_seconds",
            "The state that the newest usable recovery point of the dataset holds.",
            labels,
            all().filter_map(|it| Some((of(it), seconds(it.newest.as_ref()?.consistent_at)))),
        )
    }

    fn of_backups(&self, model: &Model, counts: &Counts<'_>) -> Result<(), Error> {
        self.counter(
            metric::SLOTS,
            "Slots of the schedule that ended, for each dataset of the plan.",
            ["plan", "dataset", "tier", "outcome"],
            counts.of_plans(model, "slot", ["success", "failure", "missed"]),
        )?;
        self.counter(
            "seawall_backups_total",
            "Backups that ended, those that operators requested included.",
            ["plan", "dataset", "tier", "result"],
            counts.of_plans(model, "backup", RESULTS),
        )?;
        self.counter(
            metric::CHECKS,
            "Checks of stored recovery points that ended, for each dataset of the plan.",
            ["plan", "dataset", "tier", "result"],
            counts.of_plans(model, "verify", RESULTS),
        )?;
        let plans = || model.plans.keys();
        self.counter(
            "seawall_catch_ups_total",
            "Copies of missing objects between locations that ended.",
            ["plan", "result"],
            plans().flat_map(|plan| {
                RESULTS.map(|result| {
                    let count = counts.of("catch_up", plan.as_str(), result);
                    ([plan.to_string(), result.to_owned()], count)
                })
            }),
        )?;
        self.counter(
            "seawall_backup_added_bytes_total",
            "Bytes that backups of the plan added to each of its locations.",
            ["plan"],
            plans().map(|plan| {
                let bytes = counts.of("added_bytes", plan.as_str(), "");
                ([plan.to_string()], bytes)
            }),
        )
    }

    fn of_restores(&self, model: &Model, counts: &Counts<'_>) -> Result<(), Error> {
        self.counter(
            metric::RESTORES,
            "Restores of the dataset that ended.",
            ["dataset", "tier", "result"],
            datasets(model).flat_map(|(id, tier)| {
                RESULTS.map(|result| {
                    let count = counts.of("restore", id.as_str(), result);
                    ([id.to_string(), tier.clone(), result.to_owned()], count)
                })
            }),
        )
    }

    fn of_last_runs(&self, model: &Model, known: &Known) -> Result<(), Error> {
        let last = || {
            let backups = known.backups.iter();
            backups.filter(|(plan, _)| model.plans.contains_key(*plan))
        };
        self.gauge(
            "seawall_backup_last_duration_seconds",
            "How long the last successful backup of the plan took; absent before the first one of this process.",
            ["plan"],
            last().map(|(plan, it)| ([plan.to_string()], it.took.get())),
        )?;
        self.gauge(
            "seawall_backup_last_size_bytes",
            "Bytes of the datasets in the last successful backup of the plan; absent before the first one of this process.",
            ["plan"],
            last().map(|(plan, it)| ([plan.to_string()], it.bytes)),
        )?;
        self.gauge(
            metric::RESTORE_DURATION,
            "How long the last successful restore of the dataset took; absent before the first one of this process.",
            ["dataset", "tier"],
            datasets(model).filter_map(|(id, tier)| {
                let took = known.restores.get(id)?;
                Some(([id.to_string(), tier], took.get()))
            }),
        )
    }
}

const RESULTS: [&str; 3] = ["success", "partial", "failure"];

/// What ended so far, to be asked for.
struct Counts<'t>(BTreeMap<(&'t str, &'t str, &'t str), u64>);

impl<'t> Counts<'t> {
    fn new(tallies: &'t [Tallied]) -> Self {
        let all = tallies.iter();
        Self(
            all.map(|it| ((&*it.what, &*it.subject, &*it.outcome), it.count))
                .collect(),
        )
    }

    /// What never happened is zero: `increase` does not see the first one otherwise.
    fn of(&self, what: &str, subject: &str, outcome: &str) -> u64 {
        let found = self.0.get(&(what, subject, outcome));
        found.copied().unwrap_or(0)
    }

    /// A sample for each dataset of each plan and each kind of end.
    fn of_plans<const N: usize>(
        &self,
        model: &Model,
        what: &str,
        ends: [&str; N],
    ) -> Vec<Sample<4>> {
        let mut all = Vec::new();
        for (plan, policy) in &model.plans {
            for id in &policy.dataset_ids {
                let Some(dataset) = model.datasets.get(id) else {
                    continue;
                };
                for end in ends {
                    let tier = dataset.criticality.to_string();
                    let labels = [plan.to_string(), id.to_string(), tier, end.to_owned()];
                    all.push((labels, self.of(what, plan.as_str(), end)));
                }
            }
        }
        all
    }
}

/// The datasets of plans, and their tiers.
fn datasets(model: &Model) -> impl Iterator<Item = (&DatasetId, String)> {
    let all = model.plans.values().flat_map(|plan| &plan.dataset_ids);
    let all: BTreeSet<&DatasetId> = all.collect();
    all.into_iter()
        .filter_map(|id| Some((id, model.datasets.get(id)?.criticality.to_string())))
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

//! Owns the comparison of datasets. Never judges plans. A dataset that was renamed with `formerly` is compared with its old self.

use super::Effect;
use super::judge::{Judge, told};
use crate::model::{Dataset, Eligibility, Sizing};

pub(super) fn compare<'a>(judge: &mut Judge<'a>, old: &'a Dataset, new: &'a Dataset) {
    let Dataset {
        dataset_id,
        name,
        plane,
        site,
        tenant,
        layer,
        store_type,
        criticality,
        data_classification,
        residency,
        rpo_s,
        rto_s,
        eligibility,
        derived_from,
        justification,
        sizing,
        connector,
        formerly,
    } = old;
    judge.label("dataset_id", dataset_id, &new.dataset_id);
    judge.label("name", name, &new.name);
    judge.binding("plane", plane, &new.plane);
    judge.binding("site", site, &new.site);
    judge.binding("tenant", tenant, &new.tenant);
    judge.binding("layer", layer, &new.layer);
    judge.binding("store_type", store_type, &new.store_type);
    match judge.ranks_of(criticality, &new.criticality) {
        // A lower rank is more critical, so the tier demands more.
        Some((was, is)) if is < was => judge.change(
            "criticality",
            Some(told(criticality)),
            Some(told(&new.criticality)),
            Effect::Stronger,
        ),
        Some((was, is)) if is > was => judge.change(
            "criticality",
            Some(told(criticality)),
            Some(told(&new.criticality)),
            Effect::Weaker,
        ),
        Some(_) | None => judge.binding("criticality", criticality, &new.criticality),
    }
    judge.binding(
        "data_classification",
        data_classification,
        &new.data_classification,
    );
    judge.more_is_weaker("residency", residency, &new.residency);
    judge.shorter("rpo_s", *rpo_s, new.rpo_s);
    judge.shorter("rto_s", *rto_s, new.rto_s);
    judge.ranked(
        "eligibility",
        *eligibility,
        new.eligibility,
        |eligibility| match eligibility {
            Eligibility::BackedUp => 2,
            Eligibility::Reconstructed => 1,
            Eligibility::Excluded => 0,
        },
    );
    judge.binding(
        "derived_from",
        &judge.present_ids(derived_from),
        &new.derived_from,
    );
    judge.label("justification", justification, &new.justification);
    judge.at("sizing", |judge| {
        let Sizing {
            size_bytes,
            change_per_day_bytes,
        } = sizing;
        // Whoever says that there is less makes every promise about time and room look better.
        judge.more("size_bytes", size_bytes, &new.sizing.size_bytes);
        let change = &new.sizing.change_per_day_bytes;
        judge.more("change_per_day_bytes", change_per_day_bytes, change);
    });
    judge.binding("connector", connector, &new.connector);
    judge.label("formerly", formerly, &new.formerly);
}

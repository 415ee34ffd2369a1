//! Owns the comparison of waivers: each is a hole in what policy demands, so one more, a wider or a longer one is weaker.

use super::Effect;
use super::judge::{Judge, told};
use crate::model::Waiver;

pub(super) fn compare(judge: &mut Judge<'_>, old: &Waiver, new: &Waiver) {
    let Waiver {
        waiver_id,
        code,
        targets,
        environments,
        owner,
        reason,
        expiry,
        bound_s,
        bound_count,
    } = old;
    judge.label("waiver_id", waiver_id, &new.waiver_id);
    judge.binding("code", code, &new.code);
    judge.more_is_weaker("targets", targets, &new.targets);
    // It stands in this model, so it holds in this environment; where else it holds is for other bundles.
    judge.label("environments", environments, &new.environments);
    judge.binding("owner", owner, &new.owner);
    judge.label("reason", reason, &new.reason);
    judge.fewer("expiry", expiry, &new.expiry);
    bound(judge, "bound_s", *bound_s, new.bound_s);
    bound(judge, "bound_count", *bound_count, new.bound_count);
}

/// A lower bound is stronger. A waiver without one accepts findings of another kind: neither is the wider.
fn bound<T: Ord + Copy + serde::Serialize>(
    judge: &mut Judge<'_>,
    key: &str,
    old: Option<T>,
    new: Option<T>,
) {
    match (old, new) {
        (Some(old), Some(new)) => judge.fewer(key, &old, &new),
        (None, None) => {}
        (old, new) => judge.change(
            key,
            old.map(|bound| told(&bound)),
            new.map(|bound| told(&bound)),
            Effect::Incomparable,
        ),
    }
}

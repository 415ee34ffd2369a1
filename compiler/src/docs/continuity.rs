//! Owns the parts of the policy page about what keeps service going: groups that come back together, and standbys.

use contract::duration::Seconds;
use contract::model::{DatasetGroup, Model};

use super::html::Html;
use super::policy::word;
use super::{anchored, id};

/// Datasets that come back together.
pub(super) fn groups(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "groups")], "Groups");
    if model.groups.is_empty() {
        out.push(Html::tag("p", "No datasets come back together."));
        return out;
    }
    let rows = model.groups.values().map(|group| {
        let members = group.members.iter().map(|member| {
            let mut told = Html::link(&format!("dataset-{}", member.dataset), id(&member.dataset));
            if !member.after.is_empty() {
                let after = member.after.iter().map(id);
                told.push(" after ");
                told.push(Html::joined(after, " and "));
            }
            told
        });
        vec![
            anchored("group", &group.group_id),
            Html::text(&group.name),
            Html::joined(members, ", "),
            Html::text(&strictest(model, group).map_or("-".to_owned(), Seconds::human)),
        ]
    });
    let heads = ["Group", "Name", "Datasets", "Strictest RPO"];
    out.push(Html::table(&heads, rows.collect()));
    out
}

fn strictest(model: &Model, group: &DatasetGroup) -> Option<Seconds> {
    let members = group.members.iter();
    members
        .filter_map(|member| model.datasets.get(&member.dataset))
        .map(|dataset| dataset.rpo_s)
        .min()
}

/// Second running copies.
pub(super) fn standbys(model: &Model) -> Html {
    let mut out = Html::with("h2", &[("id", "standbys")], "Standbys");
    if model.standbys.is_empty() {
        out.push(Html::tag("p", "No dataset has a second running copy."));
        return out;
    }
    let rows = model.standbys.values().map(|standby| {
        vec![
            anchored("standby", &standby.standby_id),
            Html::link(
                &format!("dataset-{}", standby.dataset),
                id(&standby.dataset),
            ),
            id(&standby.primary),
            id(&standby.standby),
            Html::text(&word(&standby.replication)),
            Html::text(&standby.lag_limit_s.human()),
            Html::text(&standby.heartbeat_s.human()),
        ]
    });
    let heads = [
        "Standby",
        "Of",
        "Follows",
        "Runs at",
        "Replication",
        "Behind by at most",
        "Shows life every",
    ];
    out.push(Html::table(&heads, rows.collect()));
    out
}

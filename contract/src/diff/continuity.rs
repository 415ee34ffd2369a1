//! Owns the comparison of standbys and groups.

use super::judge::Judge;
use crate::id::DatasetId;
use crate::model::{DatasetGroup, GroupMember, Replication, Standby};

pub(super) fn compare_standby<'a>(judge: &mut Judge<'a>, old: &'a Standby, new: &'a Standby) {
    let Standby {
        standby_id,
        dataset,
        primary,
        standby,
        replication,
        lag_limit_s,
        heartbeat_s,
    } = old;
    judge.label("standby_id", standby_id, &new.standby_id);
    judge.binding("dataset", &judge.present_id(dataset).clone(), &new.dataset);
    judge.binding("primary", primary, &new.primary);
    judge.binding("standby", standby, &new.standby);
    judge.ranked(
        "replication",
        *replication,
        new.replication,
        |kind| match kind {
            Replication::Synchronous => 1,
            Replication::Asynchronous => 0,
        },
    );
    judge.shorter("lag_limit_s", *lag_limit_s, new.lag_limit_s);
    judge.shorter("heartbeat_s", *heartbeat_s, new.heartbeat_s);
}

pub(super) fn compare_group<'a>(
    judge: &mut Judge<'a>,
    old: &'a DatasetGroup,
    new: &'a DatasetGroup,
) {
    let DatasetGroup {
        group_id,
        name,
        members,
    } = old;
    judge.label("group_id", group_id, &new.group_id);
    judge.label("name", name, &new.name);
    // The order in which members are written means nothing; what each of them waits for does.
    let now = |id: &DatasetId| new.members.iter().find(|member| member.dataset == *id);
    judge.at("members", |judge| {
        for GroupMember { dataset, after } in members {
            let present = judge.present_id(dataset);
            match now(present) {
                Some(member) => judge.at(present, |judge| {
                    let after = judge.present_ids(after);
                    judge.binding("after", &after, &member.after);
                }),
                None => judge.change(
                    dataset,
                    Some(dataset.to_string()),
                    None,
                    super::Effect::Weaker,
                ),
            }
        }
        let known: Vec<_> = members
            .iter()
            .map(|m| judge.present_id(&m.dataset))
            .collect();
        for member in &new.members {
            if !known.contains(&&member.dataset) {
                judge.change(
                    &member.dataset,
                    None,
                    Some(member.dataset.to_string()),
                    super::Effect::Stronger,
                );
            }
        }
    });
}

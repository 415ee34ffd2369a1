//! Owns the identifiers of the model: newtypes that are parsed once, at the border, and print as they were written.
//! Never resolves an id to anything. The interesting function is [`check`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Ids become folder names, metric labels and file names; this bound keeps every path below the limits of file systems.
pub const MAX_ID_LENGTH: usize = 128;

/// Why a text is no id. `help` is advice for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no valid id: {reason}")]
pub struct InvalidId {
    /// The text as it was written, cut to [`MAX_ID_LENGTH`] characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Checks the grammar of an id: lower-case ASCII letters, digits, `_`, `-` and `.`; a letter or digit first; at most
/// [`MAX_ID_LENGTH`] bytes; no `..`, so that an id is always one harmless path component.
pub fn check(text: &str) -> Result<(), InvalidId> {
    let invalid = |reason| {
        Err(InvalidId {
            text: text.chars().take(MAX_ID_LENGTH).collect(),
            reason,
        })
    };
    let Some(first) = text.bytes().next() else {
        return invalid("it is empty");
    };
    if text.len() > MAX_ID_LENGTH {
        return invalid("it is longer than 128 characters");
    }
    if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
        return invalid("it must begin with a lower-case letter or a digit");
    }
    if !text.bytes().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.')
    }) {
        return invalid("only lower-case letters, digits, `_`, `-` and `.` are allowed");
    }
    if text.contains("..") || text.ends_with('.') {
        return invalid("dots must stand between other characters");
    }
    Ok(())
}

macro_rules! ids {
    ($check:ident: $($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                $check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                $check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! { check:
    /// A dataset of the inventory.
    DatasetId;
    /// A backup plan; with `for_each`, `<plan_id>.<dataset_id>`.
    PlanId;
    /// A disaster-recovery scenario.
    ScenarioId;
    /// A location where recovery points are kept.
    LocationId;
    /// A site where live data or a standby runs.
    SiteId;
    /// A key, without the prefix `kid:`.
    Kid;
    /// A connector.
    ConnectorId;
    /// A criticality tier.
    TierId;
    /// An objective.
    ObjectiveId;
    /// A schedule.
    ScheduleId;
    /// A retention class.
    RetentionId;
    /// A redundancy profile.
    RedundancyId;
    /// A storage profile.
    StorageId;
    /// An approval policy.
    ApprovalId;
    /// A role of people.
    RoleId;
    /// A group of datasets.
    GroupId;
    /// A standby.
    StandbyId;
    /// What governance says of some data.
    DataRetentionId;
    /// An alert policy.
    AlertId;
    /// A channel by which people hear of something.
    ChannelId;
    /// A waiver.
    WaiverId;
    /// An environment.
    EnvironmentId;
    /// A reconciler: one process that acts at one or more sites.
    ReconcilerId;
}

ids! { check_backup_id:
    /// A recovery point: `<plan_id>.<slot as 20261025T003000Z>` or `<plan_id>.op-<instant>`.
    BackupId;
}

/// Checks the grammar of a recovery point's id: a plan's id, a dot, `op-` where an operator took it, and an instant as
/// `20261025T003000Z`. Only the instant's form is checked here, not whether the calendar has it.
pub fn check_backup_id(text: &str) -> Result<(), InvalidId> {
    let invalid = |reason| {
        Err(InvalidId {
            text: text.chars().take(MAX_ID_LENGTH).collect(),
            reason,
        })
    };
    let Some((plan, rest)) = text.rsplit_once('.') else {
        return invalid("it must be `<plan_id>.<instant>`");
    };
    check(plan)?;
    let instant = rest.strip_prefix("op-").unwrap_or(rest);
    let form = instant.len() == 16
        && instant.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if form {
        Ok(())
    } else {
        invalid(
            "its last part must be an instant such as `20261025T003000Z` or `op-20261025T003000Z`",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_points_are_named_by_plan_and_instant() {
        for good in [
            "bp.20261025T003000Z",
            "bp_gold.ds_a.20261025T003000Z",
            "bp.op-20261120T171500Z",
        ] {
            assert!(good.parse::<BackupId>().is_ok(), "{good}");
        }
        for bad in [
            "bp",
            "20261025T003000Z",
            "bp.20261025",
            "BP.20261025T003000Z",
            "bp.x-20261025T003000Z",
        ] {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_harmless_path_components() {
        for good in ["ds_policy_store", "backup-core-01", "bp.ds", "0day"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            "a/b",
            "A",
            "-a",
            "a b",
            "a.",
            "ü",
            &"a".repeat(129),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}

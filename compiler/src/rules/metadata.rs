//! Owns the `# METADATA` block of a rule, which the Rego engine does not hand out: what the rule is called, its code,
//! its weight, the clauses of standards it serves. Never runs a rule. The interesting function is [`parse`].

use contract::code::{Code, Severity, WAIVER_HYGIENE};
use serde::Deserialize;

use crate::diagnostic::RuleCode;

/// What a rule says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// One line.
    pub title: String,
    /// What it checks and why.
    pub description: String,
    /// The code of its findings.
    pub code: RuleCode,
    /// The weight of its findings.
    pub severity: Severity,
    /// Clauses of standards that it serves.
    pub controls: Vec<String>,
    /// Which data it looks at: of other data its silence says nothing.
    pub looks_at: LooksAt,
    /// It judges each dataset and plan by what it says, never by what it is called or by how many there are.
    pub judges_each: bool,
    /// It judges settings by what all data needs of them, and reads nothing of single datasets and plans.
    pub judges_all: bool,
    /// Before this instant (unix seconds) its findings are warnings.
    pub effective_from: Option<i64>,
}

/// Which data a rule looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LooksAt {
    /// All datasets.
    #[default]
    Datasets,
    /// Those that have recovery points of their own.
    BackedUpDatasets,
    /// Those of them whose tier has rank 0 or 1, or no rank that can be read.
    CriticalDatasets,
    /// The same, where the environment is one of production.
    CriticalDatasetsInProduction,
    /// Those that have recovery points of their own, and a plan that demands locked copies.
    LockedDatasets,
    /// Those without recovery points of their own.
    DatasetsNotBackedUp,
    /// Those that have recovery points of their own, where receipts were given of the reconciler that makes them.
    Evidence,
    /// Those of them that scenarios name.
    Drills,
    /// Those that scenarios name.
    Scenarios,
    /// Those that have a standby, or a scenario that counts on one.
    Standbys,
    /// Those that groups name.
    Groups,
    /// Those with recovery points, once governance says how long some are kept.
    DataRetention,
    /// Those of critical tiers, once there are alert policies.
    Alerts,
    /// Waivers; without any there is nothing to look at.
    Waivers,
    /// Settings, whatever data there is.
    Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: String,
    description: String,
    #[serde(default)]
    #[expect(dead_code, reason = "accepted because other Rego tools ask for it")]
    scope: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "accepted because other Rego tools ask for it")]
    entrypoint: Option<bool>,
    #[serde(default)]
    #[expect(dead_code, reason = "accepted because other Rego tools ask for it")]
    authors: Vec<String>,
    custom: Custom,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    code: String,
    severity: Severity,
    #[serde(default)]
    controls: Vec<String>,
    #[serde(default)]
    looks_at: LooksAt,
    #[serde(default)]
    judges_each: bool,
    #[serde(default)]
    judges_all: bool,
    #[serde(default)]
    effective_from: Option<String>,
}

/// Who a rule belongs to: built-in rules have our codes, an organisation's have its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Embedded in the binary.
    Seawall,
    /// Given by `--rules`.
    Organisation,
}

/// Reads the first `# METADATA` block of a rule. The error is one lowercase line.
pub fn parse(text: &str, owner: Owner) -> Result<Metadata, String> {
    let block = block(text).ok_or("it has no `# METADATA` block")?;
    let written: Written = serde_saphyr::from_str(&block).map_err(|error| {
        let reason = error.to_string();
        format!(
            "its `# METADATA` block cannot be read: {}",
            reason.lines().next().unwrap_or_default()
        )
    })?;
    let effective_from = written
        .custom
        .effective_from
        .map(|date| effective(&date))
        .transpose()?;
    Ok(Metadata {
        title: written.title,
        description: written.description,
        code: code(&written.custom.code, owner)?,
        severity: written.custom.severity,
        controls: written.custom.controls,
        looks_at: written.custom.looks_at,
        judges_each: written.custom.judges_each,
        judges_all: written.custom.judges_all,
        effective_from,
    })
}

/// The comment lines after the line `# METADATA`, without their `# `.
fn block(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| line.trim() != "# METADATA");
    lines.next()?;
    let body: Vec<&str> = lines
        .map_while(|line| line.strip_prefix('#'))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    Some(body.join("\n"))
}

fn code(text: &str, owner: Owner) -> Result<RuleCode, String> {
    let known = Code::find(text);
    match owner {
        Owner::Seawall => known
            .filter(|code| code.family() == 3 || *code == WAIVER_HYGIENE)
            .map(RuleCode::Seawall)
            .ok_or_else(|| format!("`{text}` is no code of built-in rules")),
        Owner::Organisation => {
            let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
            let digits = text.get(letters..).unwrap_or_default();
            let formed = (2..=8).contains(&letters)
                && (3..=6).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            if text.starts_with("SW") || !formed {
                return Err(format!(
                    "`{text}` is no code of an organisation: write a prefix of your own other than `SW`, as in `ACME0101`"
                ));
            }
            Ok(RuleCode::Organisation(text.to_owned()))
        }
    }
}

fn effective(date: &str) -> Result<i64, String> {
    date.parse::<jiff::civil::Date>()
        .ok()
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|instant| instant.timestamp().as_second())
        .ok_or_else(|| format!("`custom.effective_from` is `{date}`, no date like `2027-01-31`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    const RULE: &str = "\
# METADATA
# title: no dataset is called legacy
# description: >-
#   names say what a thing is
# custom:
#   code: ACME0101
#   severity: warning
#   controls: [\"ISO 22301 8.4\"]
#   effective_from: 2027-01-31
package acme.rules.naming.no_legacy

# another comment
deny contains finding if { false }
";

    #[test]
    fn reads_the_block_and_nothing_after_it() {
        let metadata = parse(RULE, Owner::Organisation).unwrap();
        assert_eq!(metadata.title, "no dataset is called legacy");
        assert_eq!(metadata.description, "names say what a thing is");
        assert_eq!(metadata.severity, Severity::Warning);
        assert_eq!(metadata.controls, ["ISO 22301 8.4"]);
        assert_eq!(metadata.looks_at, LooksAt::Datasets);
        assert_eq!(metadata.effective_from, Some(1_801_353_600));
    }

    #[rstest::rstest]
    #[case("package a\n", "no `# METADATA`")]
    #[case(&RULE.replace("ACME0101", "SW0301"), "prefix of your own")]
    #[case(&RULE.replace("ACME0101", "acme1"), "prefix of your own")]
    #[case(&RULE.replace("2027-01-31", "soon"), "no date")]
    #[case(&RULE.replace("severity: warning", "severity: hint"), "cannot be read")]
    #[case(&RULE.replace("title:", "titel:"), "cannot be read")]
    #[case(&RULE.replace("effective_from: 2027-01-31", "looks_at: everything"), "cannot be read")]
    fn refuses(#[case] text: &str, #[case] reason: &str) {
        let refused = parse(text, Owner::Organisation).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}

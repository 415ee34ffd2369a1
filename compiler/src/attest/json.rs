//! Owns the form for programs of what a policy shows of a framework. Its schema is generated from the types here. The
//! interesting function is [`render`].

use contract::code::Severity;
use contract::digest::Digest;
use contract::id::{DatasetId, TierId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Attestation, Clause, Found, Proof, Verdict};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
pub const FORMAT: u32 = 1;
/// What the schema is called in `schemas/`.
pub const SCHEMA_FILE: &str = "report.json";

/// What a policy shows of a framework: `seawall report --format json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Report")]
struct Document<'a> {
    /// The version of this form; 1.
    format: u32,
    /// The framework.
    framework: Framework<'a>,
    /// The environment.
    environment: &'a str,
    /// As of when it was judged, RFC 3339 in UTC.
    at: String,
    /// The version of the program.
    seawall: &'static str,
    /// The policy snapshot hash.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    policy_snapshot_hash: Digest,
    /// The versions of policy that the header names; empty where the tree gives no model.
    policy_version_ids: Vec<&'a str>,
    /// The rules that judged.
    rules: Rules,
    /// Whether the tree gave a model, so that rules ran.
    judged: bool,
    /// How many clauses have which verdict.
    summary: Summary,
    /// How many findings stop signing, whatever clause they are about.
    stopping: usize,
    /// The data of the environment.
    data: Data<'a>,
    /// The clauses, in the order of the framework.
    clauses: Vec<One<'a>>,
    /// Clauses that rules name and the framework does not have.
    unplaced: Vec<Unplaced<'a>>,
}

/// A framework.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Framework<'a> {
    /// What it is called on the command line.
    id: &'a str,
    /// What people call it.
    title: &'a str,
    /// Where it is written.
    source: &'a str,
    /// Which part of it is here.
    covers: &'a str,
}

/// The rules that judged.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// How many are built in.
    built_in: usize,
    /// How many are the organisation's.
    organisation: usize,
    /// SHA-256 of all rules and libraries, as the signed statement has it.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    digest: Option<Digest>,
}

/// How many clauses have which verdict.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Summary {
    /// Every rule ran and found nothing.
    met: usize,
    /// The same, but for what waivers accept.
    met_with_waivers: usize,
    /// A rule found something.
    not_met: usize,
    /// A rule did not answer.
    unknown: usize,
    /// No rule bears on it, or none had anything to look at.
    not_shown_here: usize,
}

/// The data of the environment.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data<'a> {
    /// By tier, the most critical first.
    tiers: Vec<Amount<'a>>,
    /// What is not backed up.
    excluded: Vec<Excluded<'a>>,
}

/// The data of one tier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Amount<'a> {
    /// The tier.
    tier: &'a str,
    /// Its rank, 0 the most critical; null where the tier is not known.
    rank: Option<u32>,
    /// All its datasets.
    datasets: usize,
    /// Those with recovery points of their own.
    backed_up: usize,
    /// Those that are rebuilt from others.
    reconstructed: usize,
    /// Those that are not backed up.
    excluded: usize,
}

/// A dataset that is not backed up.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Excluded<'a> {
    /// The dataset.
    dataset: &'a str,
    /// Its tier.
    tier: &'a str,
    /// Why.
    justification: &'a str,
}

/// One clause.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One<'a> {
    /// Its id within the framework.
    id: &'a str,
    /// What it demands.
    title: &'a str,
    /// What is shown of it.
    verdict: Word,
    /// Why nothing is shown, or nothing is known; else null.
    reason: Option<&'a str>,
    /// What stays open even where it is met; null where nothing does.
    beyond: Option<&'a str>,
    /// How many datasets any of its rules looked at, by tier; null where all look at settings alone.
    looked_at: Option<Vec<Number<'a>>>,
    /// The datasets about which something was found that nobody accepted, by tier.
    with_findings: Vec<Affected<'a>>,
    /// The rules that it rests on.
    proofs: Vec<Evidence<'a>>,
}

/// A number of datasets of a tier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Number<'a> {
    /// The tier.
    tier: &'a str,
    /// How many.
    datasets: usize,
}

/// Datasets of a tier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Affected<'a> {
    /// The tier.
    tier: &'a str,
    /// Which.
    datasets: Vec<String>,
}

/// One rule of a clause.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Evidence<'a> {
    /// Its code.
    code: String,
    /// Its folder.
    rule: &'a str,
    /// What it holds, one line.
    title: &'a str,
    /// Whether it answered; one that did not is never a pass.
    answered: bool,
    /// How many datasets it looked at; null where it looks at settings alone.
    looked_at: Option<usize>,
    /// What it found about the clause.
    findings: Vec<Finding<'a>>,
}

/// A finding.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Finding<'a> {
    /// How much it weighs.
    severity: Weight,
    /// One lowercase line.
    message: &'a str,
    /// As `seawall check` tells it.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    fingerprint: Digest,
    /// The datasets that it is about; null where it is about the environment as a whole.
    datasets: Option<Vec<String>>,
    /// Who accepted it; null where nobody did.
    waived_by: Option<Accepted<'a>>,
}

/// Who accepted a finding.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Accepted<'a> {
    /// The id of the waiver.
    waiver: &'a str,
    /// The role that answers for it.
    owner: Option<&'a str>,
    /// Until when, RFC 3339 in UTC.
    expiry: String,
    /// Why.
    reason: &'a str,
}

/// A clause that the framework does not have.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unplaced<'a> {
    /// The code of the rule that names it.
    code: &'a str,
    /// How it names it.
    control: &'a str,
}

/// What is shown of a clause.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// Every rule ran and found nothing.
    Met,
    /// The same, but for what waivers accept.
    MetWithWaivers,
    /// A rule found something.
    NotMet,
    /// A rule did not answer.
    Unknown,
    /// No rule bears on it, or none had anything to look at.
    NotShownHere,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Weight {
    /// Stops signing.
    Error,
    /// Told, stops nothing.
    Warning,
}

/// The JSON Schema of that document.
pub fn schema() -> Value {
    schemars::schema_for!(Document<'static>).to_value()
}

/// The document.
pub fn render(shown: &Attestation<'_>) -> Value {
    let subject = &shown.subject;
    let (built_in, organisation) = shown.rules();
    let versions = subject.model.into_iter();
    let document = Document {
        format: FORMAT,
        framework: Framework {
            id: &subject.framework.id,
            title: &subject.framework.title,
            source: &subject.framework.source,
            covers: &subject.framework.covers,
        },
        environment: subject.environment.as_str(),
        at: subject.at.to_string(),
        seawall: env!("CARGO_PKG_VERSION"),
        policy_snapshot_hash: subject.snapshot_hash,
        policy_version_ids: versions
            .flat_map(|model| &model.snapshot.policy_version_ids)
            .map(String::as_str)
            .collect(),
        rules: Rules {
            built_in,
            organisation,
            digest: subject.rules.digest,
        },
        judged: subject.model.is_some(),
        summary: Summary {
            met: shown.count(Verdict::Met),
            met_with_waivers: shown.count(Verdict::Waived),
            not_met: shown.count(Verdict::NotMet),
            unknown: shown.count(Verdict::Unknown),
            not_shown_here: shown.count(Verdict::NotShown),
        },
        stopping: shown.stopping(),
        data: data(shown),
        clauses: shown.clauses.iter().map(|one| clause(shown, one)).collect(),
        unplaced: shown
            .unplaced
            .iter()
            .map(|(code, control)| Unplaced { code, control })
            .collect(),
    };
    // Texts and whole numbers alone: nothing in it can fail to be written.
    serde_json::to_value(document).unwrap_or_default()
}

fn data<'a>(shown: &'a Attestation<'_>) -> Data<'a> {
    let tiers = shown.tiers.iter().map(|tier| Amount {
        tier: tier.tier.as_str(),
        rank: tier.rank,
        datasets: tier.datasets,
        backed_up: tier.backed_up,
        reconstructed: tier.reconstructed,
        excluded: tier.excluded,
    });
    let excluded = shown.excluded().into_iter();
    Data {
        tiers: tiers.collect(),
        excluded: excluded
            .map(|(dataset, tier, justification)| Excluded {
                dataset: dataset.as_str(),
                tier: tier.as_str(),
                justification,
            })
            .collect(),
    }
}

fn clause<'a>(shown: &'a Attestation<'_>, one: &'a Clause<'_>) -> One<'a> {
    let number = |(tier, datasets): (&'a TierId, usize)| Number {
        tier: tier.as_str(),
        datasets,
    };
    let looked_at = one.looked_at().map(|datasets| {
        let tiers = shown.by_tier(&datasets).into_iter();
        tiers.map(number).collect()
    });
    let with_findings = one.with_findings();
    let affected = shown.by_tier(&with_findings).into_iter();
    let affected = affected.map(|(tier, _)| Affected {
        tier: tier.as_str(),
        datasets: ids(with_findings
            .iter()
            .filter(|id| shown.tier_of(id) == Some(tier))),
    });
    One {
        id: &one.clause.id,
        title: &one.clause.title,
        verdict: match one.verdict {
            Verdict::Met => Word::Met,
            Verdict::Waived => Word::MetWithWaivers,
            Verdict::NotMet => Word::NotMet,
            Verdict::Unknown => Word::Unknown,
            Verdict::NotShown => Word::NotShownHere,
        },
        reason: one.reason.as_deref(),
        beyond: one.clause.beyond.as_deref(),
        looked_at,
        with_findings: affected.collect(),
        proofs: one.proofs.iter().map(evidence).collect(),
    }
}

fn evidence<'a>(proof: &'a Proof<'_>) -> Evidence<'a> {
    Evidence {
        code: proof.rule.metadata.code.to_string(),
        rule: &proof.rule.folder,
        title: &proof.rule.metadata.title,
        answered: proof.answered,
        looked_at: proof
            .looked_at
            .as_ref()
            .map(std::collections::BTreeSet::len),
        findings: proof.findings.iter().map(finding).collect(),
    }
}

fn finding<'a>(found: &'a Found<'_>) -> Finding<'a> {
    Finding {
        severity: match found.finding.severity {
            Severity::Error => Weight::Error,
            Severity::Warning => Weight::Warning,
        },
        message: &found.finding.message,
        fingerprint: found.finding.fingerprint(),
        datasets: found.datasets.as_ref().map(|datasets| ids(datasets.iter())),
        waived_by: found.finding.waived_by.as_ref().map(|waived| Accepted {
            waiver: &waived.waiver,
            owner: found.owner.as_deref(),
            expiry: waived.expiry.to_string(),
            reason: &waived.reason,
        }),
    }
}

fn ids<'a>(datasets: impl Iterator<Item = &'a DatasetId>) -> Vec<String> {
    datasets.map(ToString::to_string).collect()
}

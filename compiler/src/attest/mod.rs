//! Owns what a policy shows of a framework in one environment: for each clause a verdict, the rules that it rests on, the
//! data that they looked at, and what they found. Never takes the silence of a rule that did not answer, or that looked
//! at nothing, for a proof. Pure. The interesting function is [`attest`].

pub mod human;
pub mod json;
pub mod markdown;
mod scope;

use std::collections::BTreeMap;

use contract::digest::Digest;
use contract::evidence::Evidence;
use contract::id::{DatasetId, EnvironmentId, TierId};
use contract::model::{Eligibility, Model};
use jiff::Timestamp;

use crate::diagnostic::Diagnostic;
use crate::frameworks::{self, Framework};
use crate::rules::metadata::LooksAt;
use crate::rules::{Owner, Rule, RuleSet};
use scope::Datasets;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The framework.
    pub framework: &'a Framework,
    /// The environment.
    pub environment: &'a EnvironmentId,
    /// Its model; nothing where the tree gives none.
    pub model: Option<&'a Model>,
    /// Everything that was found.
    pub findings: &'a [Diagnostic],
    /// The rules that judged.
    pub rules: &'a RuleSet,
    /// As of when they judged.
    pub at: Timestamp,
    /// What receipts show; nothing where none were given.
    pub evidence: Option<&'a Evidence>,
    /// The policy snapshot hash.
    pub snapshot_hash: Digest,
}

/// What a policy shows of a framework.
#[derive(Debug)]
pub struct Attestation<'a> {
    /// What was looked at.
    pub subject: Subject<'a>,
    /// How much data there is, by tier, the most critical first.
    pub tiers: Vec<Tier>,
    /// The clauses in the order of the framework.
    pub clauses: Vec<Clause<'a>>,
    /// Clauses that rules name and the framework does not have: code, clause.
    pub unplaced: Vec<(String, String)>,
}

/// The data of one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The tier.
    pub tier: TierId,
    /// Its rank; nothing where the tier is not known.
    pub rank: Option<u32>,
    /// All its datasets.
    pub datasets: usize,
    /// Those with recovery points of their own.
    pub backed_up: usize,
    /// Those that are rebuilt from others.
    pub reconstructed: usize,
    /// Those that are not backed up.
    pub excluded: usize,
}

/// What is shown of a clause.
#[derive(Debug)]
pub struct Clause<'a> {
    /// The clause.
    pub clause: &'a frameworks::Clause,
    /// What is shown.
    pub verdict: Verdict,
    /// Why nothing is shown, or nothing is known.
    pub reason: Option<String>,
    /// What it rests on.
    pub proofs: Vec<Proof<'a>>,
}

/// What is shown of a clause; the better ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every rule of it ran, looked at data and found nothing.
    Met,
    /// The same, but for what waivers accept.
    Waived,
    /// A rule of it found something.
    NotMet,
    /// A rule of it did not answer.
    Unknown,
    /// No rule bears on it, or none had anything to look at.
    NotShown,
}

/// One rule of a clause.
#[derive(Debug)]
pub struct Proof<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Whether it answered.
    pub answered: bool,
    /// What it looked at; nothing where it looks at settings alone.
    pub looked_at: Option<Datasets>,
    /// What it found about the clause.
    pub findings: Vec<Found<'a>>,
}

/// A finding about a clause.
#[derive(Debug)]
pub struct Found<'a> {
    /// The finding.
    pub finding: &'a Diagnostic,
    /// The data that it is about; nothing where it is about the environment as a whole.
    pub datasets: Option<Datasets>,
    /// The role that answers for the waiver that accepts it.
    pub owner: Option<String>,
}

impl Verdict {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Met,
        Self::Waived,
        Self::NotMet,
        Self::Unknown,
        Self::NotShown,
    ];

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Waived => "met with waivers",
            Self::NotMet => "not met",
            Self::Unknown => "unknown",
            Self::NotShown => "not shown here",
        }
    }
}

/// What a policy shows of a framework's clauses.
pub fn attest(subject: Subject<'_>) -> Attestation<'_> {
    let framework = subject.framework;
    let clauses = framework.clauses.iter();
    let mut unplaced = Vec::new();
    for rule in &subject.rules.rules {
        let meant = rule.metadata.controls.iter();
        for control in meant.filter(|control| framework.is_meant_by(control)) {
            let mut clauses = framework.clauses.iter();
            if !clauses.any(|clause| framework.control(clause) == *control) {
                unplaced.push((rule.metadata.code.to_string(), control.clone()));
            }
        }
    }
    Attestation {
        tiers: tiers(subject.model),
        clauses: clauses.map(|clause| shown(subject, clause)).collect(),
        unplaced,
        subject,
    }
}

fn shown<'a>(subject: Subject<'a>, clause: &'a frameworks::Clause) -> Clause<'a> {
    let control = subject.framework.control(clause);
    let rules = subject.rules.rules.iter();
    let mut proofs: Vec<Proof<'a>> = rules
        .filter(|rule| rule.metadata.controls.contains(&control))
        .map(|rule| proof(subject, rule, &control))
        .collect();
    proofs.sort_by_key(|proof| &proof.rule.metadata.code);
    let verdict = verdict(&proofs);
    let reason = match verdict {
        Verdict::Met | Verdict::Waived | Verdict::NotMet => None,
        Verdict::Unknown if subject.model.is_none() => {
            Some("the policy gives no model of the environment, so no rule ran".to_owned())
        }
        Verdict::Unknown => {
            let silent = proofs.iter().filter(|proof| !proof.answered);
            let silent: Vec<String> = silent
                .map(|proof| format!("`{}`", proof.rule.folder))
                .collect();
            Some(format!("no answer from rule {}", silent.join(", ")))
        }
        Verdict::NotShown if proofs.is_empty() => Some(
            clause
                .not_shown_here
                .clone()
                .unwrap_or_else(|| "no rule of this run bears on it".to_owned()),
        ),
        Verdict::NotShown
            if subject.evidence.is_none() && proofs.iter().all(Proof::needs_receipts) =>
        {
            Some("policy cannot show what happened: give receipts with `--evidence`".to_owned())
        }
        Verdict::NotShown => Some("the environment has nothing at which its rules look".to_owned()),
    };
    Clause {
        clause,
        verdict,
        reason,
        proofs,
    }
}

fn verdict(proofs: &[Proof<'_>]) -> Verdict {
    let findings = || proofs.iter().flat_map(|proof| &proof.findings);
    if proofs.is_empty() {
        Verdict::NotShown
    } else if findings().any(|found| !found.is_waived()) {
        Verdict::NotMet
    } else if proofs.iter().any(|proof| !proof.answered) {
        Verdict::Unknown
    } else if findings().next().is_some() {
        Verdict::Waived
    } else if proofs.iter().all(Proof::saw_nothing) {
        Verdict::NotShown
    } else {
        Verdict::Met
    }
}

fn proof<'a>(subject: Subject<'a>, rule: &'a Rule, control: &str) -> Proof<'a> {
    let failed = ["rules", rule.folder.as_str()];
    let silent = subject.findings.iter().any(|finding| finding.at == failed);
    let of_rule = subject.findings.iter().filter(|finding| {
        let about = &finding.controls;
        finding.code == rule.metadata.code
            && (about.is_empty() || about.iter().any(|named| named == control))
    });
    let findings = of_rule.map(|finding| Found {
        finding,
        datasets: subject
            .model
            .and_then(|model| scope::concerned(model, finding.subject())),
        owner: owner(subject.model, finding),
    });
    let looks_at = rule.metadata.looks_at;
    Proof {
        rule,
        answered: subject.model.is_some() && !silent,
        looked_at: match subject.model {
            Some(model) => scope::looked_at(model, looks_at, subject.evidence),
            None => Some(Datasets::new()),
        },
        findings: findings.collect(),
    }
}

/// The role that answers for the waiver that accepts a finding.
fn owner(model: Option<&Model>, finding: &Diagnostic) -> Option<String> {
    let waived = finding.waived_by.as_ref()?;
    let mut waivers = model?.waivers.values();
    let waiver = waivers.find(|waiver| waiver.waiver_id.as_str() == waived.waiver)?;
    Some(waiver.owner.to_string())
}

fn tiers(model: Option<&Model>) -> Vec<Tier> {
    let Some(model) = model else {
        return Vec::new();
    };
    let mut tiers: BTreeMap<(u32, TierId), Tier> = BTreeMap::new();
    for dataset in model.datasets.values() {
        let id = dataset.criticality.clone();
        let rank = model.settings.tiers.get(&id).map(|tier| tier.rank);
        let key = (rank.unwrap_or_default(), id.clone());
        let tier = tiers.entry(key).or_insert(Tier {
            tier: id,
            rank,
            datasets: 0,
            backed_up: 0,
            reconstructed: 0,
            excluded: 0,
        });
        tier.datasets += 1;
        match dataset.eligibility {
            Eligibility::BackedUp => tier.backed_up += 1,
            Eligibility::Reconstructed => tier.reconstructed += 1,
            Eligibility::Excluded => tier.excluded += 1,
        }
    }
    tiers.into_values().collect()
}

impl Found<'_> {
    /// Whether a waiver accepts it.
    pub const fn is_waived(&self) -> bool {
        self.finding.waived_by.is_some()
    }
}

impl Proof<'_> {
    /// Whether it looks at what receipts show.
    const fn needs_receipts(&self) -> bool {
        match self.rule.metadata.looks_at {
            LooksAt::Evidence | LooksAt::Drills => true,
            LooksAt::Datasets
            | LooksAt::BackedUpDatasets
            | LooksAt::CriticalDatasets
            | LooksAt::CriticalDatasetsInProduction
            | LooksAt::LockedDatasets
            | LooksAt::DatasetsNotBackedUp
            | LooksAt::Scenarios
            | LooksAt::Standbys
            | LooksAt::Groups
            | LooksAt::DataRetention
            | LooksAt::Alerts
            | LooksAt::Waivers
            | LooksAt::Settings => false,
        }
    }

    /// Whether there was no data at which it looks.
    fn saw_nothing(&self) -> bool {
        self.looked_at.as_ref().is_some_and(Datasets::is_empty)
    }
}

impl Clause<'_> {
    /// What any of its rules looked at; nothing where all of them look at settings alone.
    pub fn looked_at(&self) -> Option<Datasets> {
        let mut seen = self
            .proofs
            .iter()
            .filter_map(|proof| proof.looked_at.clone());
        let first = seen.next()?;
        Some(seen.fold(first, |mut all, more| {
            all.extend(more);
            all
        }))
    }

    /// All that was found about it.
    pub fn findings(&self) -> impl Iterator<Item = (&Proof<'_>, &Found<'_>)> {
        let of = |proof| move |found| (proof, found);
        self.proofs
            .iter()
            .flat_map(move |proof| proof.findings.iter().map(of(proof)))
    }

    /// The data about which something was found that nobody accepted.
    pub fn with_findings(&self) -> Datasets {
        let open = self.findings().filter(|(_, found)| !found.is_waived());
        open.filter_map(|(_, found)| found.datasets.clone())
            .flatten()
            .collect()
    }
}

impl Attestation<'_> {
    /// How many clauses have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        let clauses = self.clauses.iter();
        clauses.filter(|clause| clause.verdict == verdict).count()
    }

    /// Whether every clause that can be shown is met, or accepted as it is.
    pub fn holds(&self) -> bool {
        self.count(Verdict::NotMet) + self.count(Verdict::Unknown) == 0
    }

    /// How many findings stop signing, whatever clause they are about.
    pub fn stopping(&self) -> usize {
        let findings = self.subject.findings.iter();
        findings.filter(|finding| finding.stops()).count()
    }

    /// How many rules are built in, and how many are the organisation's.
    pub fn rules(&self) -> (usize, usize) {
        let rules = &self.subject.rules.rules;
        let own = rules.iter().filter(|r| r.owner == Owner::Organisation);
        let own = own.count();
        (rules.len() - own, own)
    }

    /// How many of these datasets each tier has, for the tiers that have any.
    pub fn by_tier(&self, datasets: &Datasets) -> Vec<(&TierId, usize)> {
        let count = |tier: &TierId| {
            let of = |id: &&DatasetId| self.tier_of(id).is_some_and(|of| of == tier);
            datasets.iter().filter(of).count()
        };
        let tiers = self
            .tiers
            .iter()
            .map(|tier| (&tier.tier, count(&tier.tier)));
        tiers.filter(|(_, number)| *number > 0).collect()
    }

    /// The datasets that are not backed up: id, tier, why.
    pub fn excluded(&self) -> Vec<(&DatasetId, &TierId, &str)> {
        let datasets = self.subject.model.into_iter().flat_map(|m| &m.datasets);
        let excluded = datasets.filter(|(_, d)| d.eligibility == Eligibility::Excluded);
        excluded
            .map(|(id, d)| {
                let why = d.justification.as_deref().unwrap_or_default();
                (id, &d.criticality, why)
            })
            .collect()
    }

    fn tier_of(&self, id: &DatasetId) -> Option<&TierId> {
        let dataset = self.subject.model?.datasets.get(id)?;
        Some(&dataset.criticality)
    }
}

//! Owns the form for people of what a policy shows of a framework: a head, a few lines for each clause, a line that counts.
//! The interesting function is [`render`].

use std::fmt::Write as _;

use contract::code::Severity;

use super::{Attestation, Clause, Found, Proof, Verdict};
use crate::pages::plain::{self, MAX_WIDTH, wrap};
use crate::render::human::Look;
use crate::render::{count, some};

/// How many findings of a clause are told; the rest is counted.
const TOLD: usize = 5;
/// How many datasets are told by name; the rest is counted.
const NAMED: usize = 8;
/// What stands before the lines of a clause: room for the longest verdict.
const MARGIN: &str = "                  ";
/// What stands before the lines of the head.
const HEAD: &str = "               ";

/// The whole report, ending with a line break.
pub fn render(shown: &Attestation<'_>, look: Look) -> String {
    let width = look.width.min(MAX_WIDTH);
    let mut out = head(shown, look, width);
    for clause in &shown.clauses {
        out.push('\n');
        for (index, line) in lines(shown, clause).iter().enumerate() {
            let text = if index == 0 {
                let words = clause.verdict.words();
                let first = format!("{words:<18}");
                wrap(line, width, &first, MARGIN).replacen(
                    words,
                    &coloured(clause.verdict, look),
                    1,
                )
            } else {
                wrap(line, width, MARGIN, &format!("{MARGIN}  "))
            };
            out.push_str(&text);
            out.push('\n');
        }
    }
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\n{}", wrap(&counts(shown), width, "", "  "));
    if shown.stopping() > 0 {
        let _ = writeln!(out, "{}", wrap(&stopping(shown), width, "", "  "));
    }
    out
}

fn head(shown: &Attestation<'_>, look: Look, width: usize) -> String {
    let subject = &shown.subject;
    let framework = subject.framework;
    let mut out = format!("{}\n", plain::bold(&framework.title, look));
    let mut line = |name: &str, text: &str| {
        let first = format!("  {name:<13}");
        let _ = writeln!(out, "{}", wrap(text, width, &first, HEAD));
    };
    line("source", &framework.source);
    line("covers", &framework.covers);
    line(
        "environment",
        &format!("{}, as of {}", subject.environment, subject.at),
    );
    line("policy", &subject.snapshot_hash.to_string());
    line("rules", &rules(shown));
    if let Some(digest) = &subject.rules.digest {
        line("", &digest.to_string());
    }
    line("data", &data(shown));
    if let Some(excluded) = excluded(shown) {
        line("", &excluded);
    }
    for (code, control) in &shown.unplaced {
        line(
            "unplaced",
            &format!("{code} names `{control}`, which the framework does not have"),
        );
    }
    out
}

/// `26 built in, 1 of the organisation, judged by seawall 0.1.0`.
pub(super) fn rules(shown: &Attestation<'_>) -> String {
    let (built_in, own) = shown.rules();
    let own = match own {
        0 => String::new(),
        own => format!(", {own} of the organisation"),
    };
    let version = env!("CARGO_PKG_VERSION");
    format!("{built_in} built in{own}; seawall {version}; SHA-256 of their text:")
}

/// `38 datasets: 12 of tier0, 26 of tier1`.
fn data(shown: &Attestation<'_>) -> String {
    let number: usize = shown.tiers.iter().map(|tier| tier.datasets).sum();
    let tiers = shown.tiers.iter();
    let tiers: Vec<String> = tiers
        .map(|tier| format!("{} of {}", tier.datasets, tier.tier))
        .collect();
    match tiers.as_slice() {
        [] => "none is known".to_owned(),
        tiers => format!("{}: {}", count(number, "dataset"), tiers.join(", ")),
    }
}

/// `3 reconstructed; 2 not backed up: …`.
fn excluded(shown: &Attestation<'_>) -> Option<String> {
    let reconstructed: usize = shown.tiers.iter().map(|tier| tier.reconstructed).sum();
    let excluded = shown.excluded();
    let mut told = Vec::new();
    if reconstructed > 0 {
        told.push(format!("{reconstructed} reconstructed from others"));
    }
    if !excluded.is_empty() {
        let names = excluded.iter().map(|(id, ..)| format!("`{id}`"));
        let names = some(names, NAMED);
        told.push(format!("{} not backed up: {names}", excluded.len()));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

fn lines(shown: &Attestation<'_>, clause: &Clause<'_>) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", clause.clause.id, clause.clause.title)];
    lines.extend(clause.reason.clone());
    if clause.verdict == Verdict::NotShown {
        return lines;
    }
    lines.extend(affected(shown, clause));
    let (open, waived): (Vec<_>, Vec<_>) =
        clause.findings().partition(|(_, found)| !found.is_waived());
    for (proof, found) in open.iter().take(TOLD) {
        lines.push(told(proof, found));
    }
    if open.len() > TOLD {
        lines.push(format!("and {} more findings", open.len() - TOLD));
    }
    for (proof, found) in waived.iter().take(TOLD) {
        lines.push(told(proof, found));
    }
    if waived.len() > TOLD {
        lines.push(format!("and {} more waived", waived.len() - TOLD));
    }
    lines.push(rests_on(shown, clause));
    if let Some(beyond) = &clause.clause.beyond {
        lines.push(format!("left open: {beyond}"));
    }
    lines
}

/// `3 findings about 2 of tier0, 1 of tier1`.
pub(super) fn affected(shown: &Attestation<'_>, clause: &Clause<'_>) -> Option<String> {
    let open = || clause.findings().filter(|(_, found)| !found.is_waived());
    let number = open().count();
    let whole = open().any(|(_, found)| found.datasets.is_none());
    let mut about: Vec<String> = shown
        .by_tier(&clause.with_findings())
        .iter()
        .map(|(tier, number)| format!("{} of {tier}", count(*number, "dataset")))
        .collect();
    if whole {
        about.push("the environment as a whole".to_owned());
    }
    let word = if number == 1 { "finding" } else { "findings" };
    (number > 0).then(|| format!("{number} {word} about {}", about.join(", ")))
}

/// `error[SW0301] …`, or who accepted it.
fn told(proof: &Proof<'_>, found: &Found<'_>) -> String {
    let code = &proof.rule.metadata.code;
    let message = &found.finding.message;
    match (&found.finding.waived_by, found.finding.severity) {
        (Some(waived), _) => {
            let owner = found.owner.as_deref().unwrap_or("nobody");
            format!(
                "waived[{code}]: {message}; by `{}` of `{owner}` until {}: {}",
                waived.waiver, waived.expiry, waived.reason
            )
        }
        (None, Severity::Error) => format!("error[{code}]: {message}"),
        (None, Severity::Warning) => format!("warning[{code}]: {message}"),
    }
}

/// `rests on SW0301, SW0302, looking at 35 of 38 datasets`.
pub(super) fn rests_on(shown: &Attestation<'_>, clause: &Clause<'_>) -> String {
    let codes: Vec<String> = clause
        .proofs
        .iter()
        .map(|proof| proof.rule.metadata.code.to_string())
        .collect();
    let number: usize = shown.tiers.iter().map(|tier| tier.datasets).sum();
    let data = match clause.looked_at() {
        _ if shown.subject.model.is_none() => String::new(),
        None => ", looking at settings alone".to_owned(),
        Some(seen) => format!(
            ", looking at {} of {}",
            seen.len(),
            count(number, "dataset")
        ),
    };
    format!("rests on {}{data}", codes.join(", "))
}

/// `9 met, 1 not met, 4 not shown here`.
pub(super) fn counts(shown: &Attestation<'_>) -> String {
    let counts = Verdict::ALL.iter().map(|of| (shown.count(*of), of.words()));
    let counts: Vec<String> = counts
        .filter(|(number, _)| *number > 0)
        .map(|(number, words)| format!("{number} {words}"))
        .collect();
    counts.join(", ")
}

pub(super) fn stopping(shown: &Attestation<'_>) -> String {
    let number = shown.stopping();
    let word = if number == 1 {
        "finding stops"
    } else {
        "findings stop"
    };
    format!("{number} {word} signing, whatever clause it is about: `seawall check` tells all")
}

fn coloured(verdict: Verdict, look: Look) -> String {
    let words = verdict.words();
    if !look.styled {
        return words.to_owned();
    }
    let colour = match verdict {
        Verdict::Met => "32",
        Verdict::Waived => "33",
        Verdict::NotMet => "1;31",
        Verdict::Unknown => "1;35",
        Verdict::NotShown => "2",
    };
    format!("\u{1b}[{colour}m{words}\u{1b}[0m")
}

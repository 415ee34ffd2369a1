//! Owns the form for auditors of what a policy shows of a framework: a document of Markdown that stands alone. Values of
//! users are text, never markup. The interesting function is [`render`].

use std::fmt::Write as _;

use super::{Attestation, Clause, Proof, human};
use crate::render::markdown::{cell, code, inline};

/// What the words of a verdict mean; without it a reader would take more for shown than is.
const MEANING: &str = "\
This report says what the policy itself shows as of the instant above. It is no certificate. A clause is **met** when every rule \
that bears on it ran, had data to look at, and found nothing; **met with waivers** when all that they found is accepted for a \
time; **not met** when a rule found something; **unknown** when a rule gave no answer, which is never a pass; **not shown here** \
when policy cannot show it, and then the reason stands beside it. What stays open where a clause is met is told with it.
";

/// The whole document, ending with a line break.
pub fn render(shown: &Attestation<'_>) -> String {
    let subject = &shown.subject;
    let framework = subject.framework;
    let mut out = format!(
        "# {}\n\n| | |\n|---|---|\n",
        inline(&format!("{}: {}", framework.title, subject.environment))
    );
    let (built_in, own) = shown.rules();
    let digest = subject.rules.digest.map_or_else(String::new, |digest| {
        format!(", SHA-256 {}", code(&digest.to_string()))
    });
    let versions = subject.model.map_or(Vec::new(), |model| {
        let versions = model.snapshot.policy_version_ids.iter();
        versions.map(|version| code(version)).collect()
    });
    let mut row = |name: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {name} | {} |", cell(text));
    };
    row("Environment", &code(subject.environment.as_str()));
    row("As of", &subject.at.to_string());
    row("Policy snapshot", &code(&subject.snapshot_hash.to_string()));
    row("Policy versions", &versions.join(", "));
    row(
        "Rules",
        &format!("{built_in} built in, {own} of the organisation{digest}"),
    );
    row(
        "Compiler",
        &format!("seawall {}", env!("CARGO_PKG_VERSION")),
    );
    row("Source", &inline(&framework.source));
    row("Covers", &inline(&framework.covers));
    let _ = write!(out, "\n{MEANING}\n**{}.**", human::counts(shown));
    if shown.stopping() > 0 {
        let _ = write!(out, " {}.", human::stopping(shown));
    }
    out.push('\n');
    for (of, control) in &shown.unplaced {
        let (of, control) = (code(of), code(control));
        let _ = writeln!(
            out,
            "\n{of} names {control}, which the framework does not have."
        );
    }
    out.push_str(&data(shown));
    out.push_str("\n## Clauses\n\n| clause | demands | verdict | rests on |\n|---|---|---|---|\n");
    for clause in &shown.clauses {
        let codes = clause.proofs.iter();
        let codes: Vec<String> = codes.map(|p| p.rule.metadata.code.to_string()).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            cell(&code(&clause.clause.id)),
            cell(&inline(&clause.clause.title)),
            clause.verdict.words(),
            codes.join(", ")
        );
    }
    out.push_str("\n## Details\n");
    for clause in &shown.clauses {
        out.push_str(&details(shown, clause));
    }
    out
}

/// The data of the environment, and what of it is not backed up.
fn data(shown: &Attestation<'_>) -> String {
    let mut out = "\n## Data\n\n".to_owned();
    if shown.tiers.is_empty() {
        out.push_str("None is known.\n");
        return out;
    }
    out.push_str(
        "| tier | rank | datasets | backed up | reconstructed | not backed up |\n|---|---|---|---|---|---|\n",
    );
    for tier in &shown.tiers {
        let rank = tier.rank.map_or("-".to_owned(), |rank| rank.to_string());
        let _ = writeln!(
            out,
            "| {} | {rank} | {} | {} | {} | {} |",
            code(tier.tier.as_str()),
            tier.datasets,
            tier.backed_up,
            tier.reconstructed,
            tier.excluded
        );
    }
    let excluded = shown.excluded();
    if !excluded.is_empty() {
        out.push_str("\nNot backed up:\n\n");
        for (id, tier, why) in excluded {
            let (id, tier) = (code(id.as_str()), code(tier.as_str()));
            let _ = writeln!(out, "- {id} of {tier}: {}", inline(why));
        }
    }
    out
}

fn details(shown: &Attestation<'_>, clause: &Clause<'_>) -> String {
    let title = format!("{}: {}", clause.clause.id, clause.verdict.words());
    let mut out = format!("\n### {}\n\n", inline(&title));
    let _ = writeln!(out, "{}.", inline(&clause.clause.title));
    if let Some(reason) = &clause.reason {
        let _ = writeln!(out, "\n{}: {}.", clause.verdict.words(), inline(reason));
    }
    if let Some(affected) = human::affected(shown, clause) {
        let _ = writeln!(out, "\n{}.", inline(&affected));
    }
    if !clause.proofs.is_empty() {
        let _ = writeln!(out, "\n{}:\n", inline(&human::rests_on(shown, clause)));
        for proof in &clause.proofs {
            out.push_str(&evidence(proof));
        }
    }
    if let Some(beyond) = &clause.clause.beyond {
        let _ = writeln!(out, "\nLeft open: {}.", inline(beyond));
    }
    out
}

/// One rule: what it holds, at what it looked, what it found.
fn evidence(proof: &Proof<'_>) -> String {
    let metadata = &proof.rule.metadata;
    let seen = match (&proof.looked_at, proof.answered) {
        (_, false) => "gave no answer".to_owned(),
        (None, true) => "looked at settings".to_owned(),
        (Some(seen), true) if seen.len() == 1 => "looked at 1 dataset".to_owned(),
        (Some(seen), true) => format!("looked at {} datasets", seen.len()),
    };
    let mut out = format!(
        "- {} {}; {seen}\n",
        code(&metadata.code.to_string()),
        inline(&metadata.title)
    );
    for found in &proof.findings {
        let message = inline(&found.finding.message);
        let _ = match &found.finding.waived_by {
            None => writeln!(out, "  - {message}"),
            Some(waived) => writeln!(
                out,
                "  - waived: {message}; by {} of {} until {}: {}",
                code(&waived.waiver),
                code(found.owner.as_deref().unwrap_or("nobody")),
                waived.expiry,
                inline(&waived.reason)
            ),
        };
    }
    out
}

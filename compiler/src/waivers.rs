//! Owns which findings are accepted: a waiver takes a finding of its code about exactly its target, within its bound, until
//! its expiry. What a waiver does not take says why. Never takes a finding that means that something was not judged.
//! Pure. The interesting function is [`apply`].

use contract::code::{self, Code};
use contract::duration::Seconds;
use contract::model::{Model, Waiver};
use jiff::Timestamp;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Measure, Waived};
use crate::rules::{Place, RuleSet};
use crate::schema::{UNIT_SUFFIXES, did_you_mean};

/// Marks the findings that waivers accept as of an instant, and adds what is wrong with the waivers themselves. `json` is
/// the model's, `place` leads a path in it to the text that set it.
pub fn apply(
    model: &Model,
    json: &Value,
    rules: &RuleSet,
    at: Timestamp,
    place: &dyn Fn(&[String]) -> Option<Place>,
    findings: &mut Vec<Diagnostic>,
) {
    let mut own = Vec::new();
    let mut refused: Vec<(usize, String)> = Vec::new();
    for waiver in model.waivers.values() {
        let desk = Desk {
            waiver,
            json,
            rules,
            at,
            place,
        };
        if let Some(told) = desk.not_waivable() {
            own.push(told);
            continue;
        }
        own.extend(desk.judge(findings, &mut refused));
    }
    // What another waiver took is no concern of the one that could not.
    for (index, note) in refused {
        if let Some(finding) = findings.get_mut(index).filter(|f| f.waived_by.is_none()) {
            finding.notes.push(note);
        }
    }
    findings.append(&mut own);
}

/// One waiver on the desk.
struct Desk<'a> {
    waiver: &'a Waiver,
    json: &'a Value,
    rules: &'a RuleSet,
    at: Timestamp,
    place: &'a dyn Fn(&[String]) -> Option<Place>,
}

impl Desk<'_> {
    fn finding(&self, mut finding: Diagnostic, field: &str) -> Diagnostic {
        let path: Vec<String> = ["waivers", self.waiver.waiver_id.as_str(), field]
            .map(str::to_owned)
            .to_vec();
        if let Some(place) = (self.place)(&path) {
            finding = finding.label(place.shown, "");
        }
        finding.at(path)
    }

    /// Codes that no waiver can accept.
    fn not_waivable(&self) -> Option<Diagnostic> {
        let Waiver {
            waiver_id, code, ..
        } = self.waiver;
        let help = match Code::find(code) {
            Some(known) if known.family() == 3 => return None,
            Some(known) if matches!(known.family(), 1 | 2 | 4) => {
                "correct what it tells: while it stands, nobody knows what else is wrong".to_owned()
            }
            Some(_) => "name the code of a rule: SW03xx, or one of your own".to_owned(),
            None if !code.starts_with("SW") => return None,
            None => {
                let known = self.rules.rules.iter();
                let known: Vec<String> = known.map(|rule| rule.metadata.code.to_string()).collect();
                did_you_mean(code, known.iter().map(String::as_str))
                    .unwrap_or_else(|| "no rule has this code".to_owned())
            }
        };
        let message = format!("waiver `{waiver_id}` names `{code}`, which cannot be waived");
        Some(self.finding(
            Diagnostic::error(code::NOT_WAIVABLE, message).help(help),
            "code",
        ))
    }

    fn judge(
        &self,
        findings: &mut [Diagnostic],
        refused: &mut Vec<(usize, String)>,
    ) -> Vec<Diagnostic> {
        let Waiver {
            waiver_id,
            code,
            expiry,
            reason,
            ..
        } = self.waiver;
        let mut own = Vec::new();
        let expired = self.at >= *expiry;
        if expired {
            let message = format!("waiver `{waiver_id}` expired at {expiry}");
            let told = Diagnostic::warning(code::WAIVER_EXPIRED, message).help(
                "mend what it accepted and delete it, or accept it anew with a later `expiry`",
            );
            own.push(self.finding(told, "expiry"));
        }
        let where_written = (self.place)(&["waivers".to_owned(), waiver_id.to_string()]);
        for target in &self.waiver.targets {
            if let Some(told) = self.unknown(target) {
                own.push(told);
                continue;
            }
            let wanted = spelling(&target.split('/').collect::<Vec<_>>());
            let mut used = false;
            for (index, finding) in findings.iter_mut().enumerate() {
                let subject: Vec<&str> = finding.subject().iter().map(String::as_str).collect();
                if finding.code.to_string() != *code || spelling(&subject) != wanted {
                    continue;
                }
                used = true;
                match self.fits(finding.measure) {
                    _ if expired => {
                        refused.push((
                            index,
                            format!("waiver `{waiver_id}` accepted this until {expiry}"),
                        ));
                    }
                    Fit::Within => {
                        finding.waived_by.get_or_insert_with(|| Waived {
                            waiver: waiver_id.to_string(),
                            expiry: *expiry,
                            reason: reason.clone(),
                            span: where_written.map(|place| place.shown),
                        });
                    }
                    Fit::Beyond { bound, number } => refused.push((
                        index,
                        format!("waiver `{waiver_id}` accepts up to {bound}, this is {number}"),
                    )),
                    Fit::OtherUnit(help) => {
                        let message = format!(
                            "waiver `{waiver_id}` has not the bound that `{code}` about `{target}` needs"
                        );
                        let told = Diagnostic::error(code::WAIVER_BOUND_UNFIT, message)
                            .note(format!("it finds: {}", finding.message))
                            .help(help);
                        own.push(self.finding(told, self.bound_field()));
                    }
                }
            }
            // Of a rule that gave no answer nobody knows what it would have found.
            if !used && !expired && !self.is_silent(findings) {
                own.push(self.unused(target, findings));
            }
        }
        own
    }

    /// A target whose object the model does not have. Deeper steps are not looked at: a finding may be about what is absent.
    fn unknown(&self, target: &str) -> Option<Diagnostic> {
        let steps: Vec<&str> = target.split('/').collect();
        let (holder, id) = match steps.as_slice() {
            ["settings", collection, id, ..] => {
                (self.json.pointer(&format!("/settings/{collection}")), *id)
            }
            ["settings"] | ["settings", _] => (self.json.get("settings"), ""),
            [whole @ ("environment" | "snapshot"), ..] => (Some(self.json), *whole),
            [collection] => (Some(self.json), *collection),
            [collection, id, ..] => (self.json.get(collection), *id),
            [] => (None, ""),
        };
        let holder = holder.and_then(Value::as_object);
        if holder.is_some_and(|holder| id.is_empty() || holder.contains_key(id)) {
            return None;
        }
        let known = holder.into_iter().flat_map(|holder| holder.keys());
        let help = did_you_mean(id, known.map(String::as_str)).unwrap_or_else(|| {
            "name what `seawall check --format json` tells as `about`, or as `at` where that is empty; delete the waiver with what it was about".to_owned()
        });
        let message = format!(
            "waiver `{}` names `{target}`, which the model does not have",
            self.waiver.waiver_id
        );
        Some(self.finding(
            Diagnostic::error(code::WAIVER_TARGET_UNKNOWN, message).help(help),
            "targets",
        ))
    }

    fn unused(&self, target: &str, findings: &[Diagnostic]) -> Diagnostic {
        let code = &self.waiver.code;
        let judged = self.rules.rules.iter();
        let help = if judged
            .map(|rule| rule.metadata.code.to_string())
            .any(|known| known == *code)
        {
            let others = findings.iter().filter(|f| f.code.to_string() == *code);
            let others: Vec<String> = others.map(|f| f.subject().join("/")).collect();
            did_you_mean(target, others.iter().map(String::as_str))
                .unwrap_or_else(|| "delete it: what it accepted is no more".to_owned())
        } else {
            "no rule of this run has the code: give the folder of your rules by `--rules`, or delete the waiver".to_owned()
        };
        let message = format!(
            "waiver `{}` accepts `{code}` about `{target}`, and nothing finds it",
            self.waiver.waiver_id
        );
        self.finding(
            Diagnostic::warning(code::WAIVER_UNUSED, message).help(help),
            "targets",
        )
    }

    /// Whether a rule of the code gave no answer.
    fn is_silent(&self, findings: &[Diagnostic]) -> bool {
        let failed = |folder: &str| {
            let named = ["rules".to_owned(), folder.to_owned()];
            findings.iter().any(|finding| finding.at == named)
        };
        self.rules
            .rules
            .iter()
            .any(|rule| rule.metadata.code.to_string() == self.waiver.code && failed(&rule.folder))
    }

    fn bound_field(&self) -> &'static str {
        match (self.waiver.bound_s, self.waiver.bound_count) {
            (Some(_), _) => "bound_s",
            (None, Some(_)) => "bound_count",
            (None, None) => "targets",
        }
    }

    fn fits(&self, measure: Option<Measure>) -> Fit {
        let (length, count) = (self.waiver.bound_s, self.waiver.bound_count);
        match (measure, length, count) {
            (None, None, None) => Fit::Within,
            (Some(Measure::Seconds(seconds)), Some(bound), None) => {
                let number = Seconds::new(seconds);
                // No bound accepts what has no bound.
                if number < Seconds::MAX && number <= bound {
                    Fit::Within
                } else {
                    Fit::Beyond {
                        bound: bound.human(),
                        number: if number < Seconds::MAX {
                            number.human()
                        } else {
                            "without bound".to_owned()
                        },
                    }
                }
            }
            (Some(Measure::Count(number)), None, Some(bound)) => {
                if number <= u64::from(bound) {
                    Fit::Within
                } else {
                    Fit::Beyond {
                        bound: bound.to_string(),
                        number: number.to_string(),
                    }
                }
            }
            (None, _, _) => Fit::OtherUnit(
                "take the bound away: this finding has no number that could grow".to_owned(),
            ),
            (Some(Measure::Seconds(seconds)), _, _) => Fit::OtherUnit(format!(
                "write in `bound` how long a time is accepted; now it is {}",
                Seconds::new(seconds).human()
            )),
            (Some(Measure::Count(number)), _, _) => Fit::OtherUnit(format!(
                "write in `bound_count` how many are accepted; now it is {number}"
            )),
        }
    }
}

/// How a finding's number stands to a waiver's bound.
enum Fit {
    /// Accepted.
    Within,
    /// Worse than what was accepted.
    Beyond { bound: String, number: String },
    /// The bound is missing, or is of another kind; with advice.
    OtherUnit(String),
}

/// A path with the fields below its object in the spelling of the source, so that both spellings are the same target. Ids
/// are left as they are: one may end like a field.
fn spelling(path: &[&str]) -> Vec<String> {
    let object = match path.first() {
        Some(&"settings") => 3,
        Some(&("environment" | "snapshot")) => 1,
        Some(_) | None => 2,
    };
    path.iter()
        .enumerate()
        .map(|(index, step)| {
            let bare = UNIT_SUFFIXES
                .iter()
                .find_map(|suffix| step.strip_suffix(suffix));
            bare.filter(|_| index >= object).unwrap_or(step).to_owned()
        })
        .collect()
}

/// The ids of the waivers that took a finding, in order, each once.
pub fn used(findings: &[Diagnostic]) -> Vec<String> {
    let ids = findings
        .iter()
        .filter_map(|finding| finding.waived_by.as_ref())
        .map(|waived| waived.waiver.clone());
    ids.collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_target_and_ids_are_left_alone() {
        assert_eq!(
            spelling(&["datasets", "ds_a_s", "rto_s"]),
            spelling(&["datasets", "ds_a_s", "rto"])
        );
        assert_ne!(spelling(&["datasets", "a_s"]), spelling(&["datasets", "a"]));
        assert_eq!(
            spelling(&["settings", "keys", "k_s", "rotation_period_s"]),
            ["settings", "keys", "k_s", "rotation_period"]
        );
        assert_eq!(
            spelling(&["environment", "bundle_validity_s"]),
            ["environment", "bundle_validity"]
        );
    }
}

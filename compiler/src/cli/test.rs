//! Owns `seawall test`: runs the tests of rules and tells how they ended.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use contract::code;

use super::compiled;
use super::failure::{self, Failure};
use crate::diagnostic::has_errors;
use crate::rules::testing;
use crate::world::terminal::{Stream, print};

#[derive(Args)]
pub struct Test {
    /// Folder with an organisation's own rules, tested beside the built-in ones
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Tell the lines of rules that no unit test reached
    #[arg(long)]
    coverage: bool,
    /// Fail when the unit tests of a rule reach fewer of its lines than this, in whole percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    coverage_min: Option<u8>,
    /// Tell the tests that passed too
    #[arg(long)]
    verbose: bool,
}

impl Test {
    pub fn run(self) -> Result<(), Failure> {
        let (rules, invalid) = compiled::rules(self.rules.as_deref())?;
        if has_errors(&invalid) {
            failure::tell(invalid);
            return Err(Failure::Told);
        }
        let (outcomes, coverage) = testing::run(&rules);
        let mut text = String::new();
        let mut failures = 0_usize;
        for outcome in &outcomes {
            // Writing to a string cannot fail.
            let _ = match &outcome.result {
                Ok(()) if self.verbose => writeln!(text, "ok      {}", outcome.name),
                Ok(()) => Ok(()),
                Err(reason) => {
                    failures += 1;
                    let code = code::RULE_TEST_FAILED;
                    writeln!(text, "FAILED  {}: {code} {reason}", outcome.name)
                }
            };
        }
        let wanted = self.coverage_min.map_or(0, usize::from);
        for rule in &coverage {
            let percent = percent(rule);
            let thin = percent < wanted;
            if thin {
                failures += 1;
                let _ = writeln!(
                    text,
                    "FAILED  {}: {} {percent} % of its lines are reached by unit tests, {wanted} % are asked for",
                    rule.folder,
                    code::RULE_TEST_FAILED
                );
            }
            if self.coverage || thin {
                let missed: Vec<String> = rule.missed.iter().map(u32::to_string).collect();
                let told = match missed.as_slice() {
                    [] => String::new(),
                    _ => format!(", not lines {}", missed.join(" ")),
                };
                let _ = writeln!(text, "{percent:3} %   {}{told}", rule.folder);
            }
        }
        let _ = writeln!(
            text,
            "{} rules, {} tests, {failures} failed",
            rules.rules.len(),
            outcomes.len()
        );
        print(Stream::Out, &text);
        if failures > 0 {
            return Err(Failure::Told);
        }
        Ok(())
    }
}

/// The whole percent of a rule's lines that its unit tests reach, rounded down: 100 means all of them.
fn percent(rule: &testing::Coverage) -> usize {
    let lines = rule.covered.len() + rule.missed.len();
    (rule.covered.len() * 100).checked_div(lines).unwrap_or(0)
}

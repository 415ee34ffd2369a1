//! Owns the Rego interpreter and its limits: one engine a rule, so that no rule can define into another's package.
//! Never lets a rule reach a clock, a network, the environment or randomness; the date is `input.at`.
//! The interesting function is [`evaluate`].

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use regorus::utils::limits::{ExecutionTimerConfig, PolicyLengthConfig};
use regorus::{Engine, Value};

use super::finding::{RawFinding, read};
use super::unsound;

/// Work units between looks at the clock: small enough to notice within milliseconds, large enough to cost nothing.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);
/// Rules are written by people; a larger file is generated or hostile.
const MAX_RULE_BYTES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(262_143);
/// The same for lines of a rule.
const MAX_RULE_LINES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_999);
/// The same for the width of a line.
const MAX_RULE_COLUMNS: NonZeroU32 = NonZeroU32::MIN.saturating_add(499);
/// Nobody reads more findings of one rule; beyond it the rule is at fault, or the tree is.
const MAX_FINDINGS: usize = 100_000;

/// An engine with our limits and without anything that could make two runs differ, holding these modules
/// (path and text). Nothing that it evaluates takes longer than `time`. The error is one line of the engine.
pub fn prepare(modules: &[(&str, &str)], time: Duration) -> Result<Engine, String> {
    let mut engine = Engine::new();
    engine.set_rego_v0(false);
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: time,
        check_interval: CHECK_INTERVAL,
    });
    engine.set_policy_length_config(PolicyLengthConfig {
        max_col: MAX_RULE_COLUMNS,
        max_file_bytes: MAX_RULE_BYTES,
        max_lines: MAX_RULE_LINES,
    });
    // The engine brings this one source of randomness with its standard features; an extension of the same name hides it.
    engine
        .add_extension(
            "rand.intn".to_owned(),
            2,
            Box::new(|_: Vec<Value>| {
                Err(anyhow::anyhow!(
                    "`rand.intn` is not allowed: a rule must give the same answer every time"
                ))
            }),
        )
        .map_err(|error| line(&error))?;
    super::bounded::add(&mut engine).map_err(|error| line(&error))?;
    for (path, text) in modules {
        if let Some(line) = unsound::nesting(text) {
            return Err(format!("its brackets nest too deep at {path}:{line}"));
        }
        engine
            .add_policy((*path).to_owned(), (*text).to_owned())
            .map_err(|error| line(&error))?;
    }
    Ok(engine)
}

/// The same of modules that nobody has looked at yet: what would take the engine's stack is refused.
pub fn prepare_unseen(modules: &[(&str, &str)], time: Duration) -> Result<Engine, String> {
    let mut engine = prepare(modules, time)?;
    let graph = unsound::Graph::of(&mut engine);
    if let Some(name) = graph.recursion() {
        return Err(format!("its function `{name}` leads back to itself"));
    }
    if let Some(name) = graph.too_deep() {
        return Err(format!(
            "its `{name}` needs rules that need others, more than {} deep",
            unsound::MAX_DEPTH
        ));
    }
    Ok(engine)
}

/// Why a rule gave no answer. Both are error findings, never a pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// It erred, ran out of time, or has no `deny`.
    #[error("{0}")]
    Failed(String),
    /// It answered with something else than findings.
    #[error("{0}")]
    Finding(String),
}

/// Evaluates `data.<package>.deny` and reads its findings, in a stable order.
pub fn evaluate(
    engine: &mut Engine,
    package: &str,
    input: &Value,
) -> Result<Vec<RawFinding>, RuleFault> {
    engine.set_input(input.clone());
    let answer = engine
        .eval_rule(format!("data.{package}.deny"))
        .map_err(|error| RuleFault::Failed(line(&error)))?;
    let Value::Set(set) = answer else {
        return Err(RuleFault::Finding(
            "`deny` is no set: write `deny contains finding if { … }`".to_owned(),
        ));
    };
    if set.len() > MAX_FINDINGS {
        return Err(RuleFault::Finding(format!(
            "it has {} findings, at most {MAX_FINDINGS} are read",
            set.len()
        )));
    }
    let mut findings = set
        .iter()
        .map(|value| {
            let value = serde_json::to_value(value)
                .map_err(|error| RuleFault::Finding(error.to_string()))?;
            read(value).map_err(RuleFault::Finding)
        })
        .collect::<Result<Vec<_>, _>>()?;
    findings.sort();
    Ok(findings)
}

/// Evaluates a test, which must be `true`.
pub fn holds(engine: &mut Engine, path: &str) -> Result<bool, String> {
    engine
        .eval_rule(path.to_owned())
        .map(|value| value == Value::Bool(true))
        .map_err(|error| line(&error))
}

/// The engine tells errors as a block with a picture; the words are after the last `error: `, the place is in `-->`.
pub fn line(error: &anyhow::Error) -> String {
    let text = error.to_string();
    let place = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("--> "))
        .map(str::trim);
    let words = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("error: "))
        .or_else(|| text.lines().find(|line| !line.trim().is_empty()))
        .unwrap_or("no reason given")
        .trim();
    match place {
        Some(place) => format!("{words} at {place}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;

    fn run(body: &str, input: &str) -> Result<Vec<RawFinding>, RuleFault> {
        let text = format!("package t.rules.a.b\n\nimport rego.v1\n\n{body}\n");
        let mut engine = prepare(&[("rule.rego", &text)], Duration::from_secs(30)).unwrap();
        evaluate(
            &mut engine,
            "t.rules.a.b",
            &Value::from_json_str(input).unwrap(),
        )
    }

    #[test]
    fn findings_are_read_and_sorted() {
        let body =
            r#"deny contains {"at": ["plans", id], "msg": "m"} if { some id, _ in input.plans }"#;
        let found = run(body, r#"{"plans":{"b":{},"a":{}}}"#).unwrap();
        let ids: Vec<_> = found.iter().map(|finding| finding.at[1].as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(run(body, r#"{"plans":{}}"#), Ok(Vec::new()));
    }

    #[rstest::rstest]
    #[case::builtin_error(
        r#"deny contains {"at": ["a"], "msg": "m"} if { to_number("x") == 1 }"#,
        "parse string as number"
    )]
    #[case::random(
        r#"deny contains {"at": ["a"], "msg": "m"} if { rand.intn("x", 5) == 1 }"#,
        "rand.intn"
    )]
    #[case::clock(
        r#"deny contains {"at": ["a"], "msg": "m"} if { time.now_ns() == 1 }"#,
        "time.now_ns"
    )]
    #[case::network(
        r#"deny contains {"at": ["a"], "msg": "m"} if { http.send({}) }"#,
        "http.send"
    )]
    #[case::environment(
        r#"deny contains {"at": ["a"], "msg": "m"} if { opa.runtime().env }"#,
        "opa.runtime"
    )]
    #[case::conflict("deny := 1 if { true }\ndeny := 2 if { true }", "")]
    #[case::no_deny("allow := true", "not a valid rule path")]
    fn a_rule_that_does_not_run_is_no_pass(#[case] body: &str, #[case] word: &str) {
        match run(body, "{}") {
            Err(RuleFault::Failed(reason)) => {
                assert!(reason.contains(word), "{reason}");
                assert!(!reason.contains('\n'), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[rstest::rstest]
    #[case("deny := {}")]
    #[case("deny := true")]
    #[case("deny if { false }")]
    #[case(r#"deny contains "text" if { true }"#)]
    fn other_answers_are_no_pass(#[case] body: &str) {
        assert!(matches!(run(body, "{}"), Err(RuleFault::Finding(_))));
    }

    #[test]
    fn an_endless_rule_is_stopped() {
        let body = r#"deny contains {"at": ["a"], "msg": "m"} if {
  some a in numbers.range(1, 3000)
  some b in numbers.range(1, 3000)
  some c in numbers.range(1, 3000)
  a + b + c < 0
}"#;
        let text = format!("package t.rules.a.b\n\nimport rego.v1\n\n{body}\n");
        let mut engine = prepare(&[("rule.rego", &text)], Duration::from_secs(30)).unwrap();
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: Duration::from_millis(50),
            check_interval: CHECK_INTERVAL,
        });
        let fault = evaluate(&mut engine, "t.rules.a.b", &Value::new_object()).unwrap_err();
        assert!(fault.to_string().contains("time limit"), "{fault}");
    }
}

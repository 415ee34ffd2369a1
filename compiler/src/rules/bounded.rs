//! Owns functions of the engine that could take memory without bound before the engine looks at it: here they have one.
//! They hide those of the same name. The entry is [`add`].

use anyhow::{Result, anyhow};
use regorus::{Engine, Value};

/// Rules count copies, days and hours; nobody needs a longer list of numbers.
const MAX_NUMBERS: i64 = 1_000_000;

/// Puts them into an engine.
pub fn add(engine: &mut Engine) -> Result<()> {
    let range = |given: Vec<Value>| match given.as_slice() {
        [from, to] => numbers(from, to, 1),
        _ => Err(anyhow!("`numbers.range` takes two numbers")),
    };
    let range_step = |given: Vec<Value>| match given.as_slice() {
        [from, to, step] => numbers(from, to, whole(step)?),
        _ => Err(anyhow!("`numbers.range_step` takes three numbers")),
    };
    engine.add_extension("numbers.range".to_owned(), 2, Box::new(range))?;
    engine.add_extension("numbers.range_step".to_owned(), 3, Box::new(range_step))
}

fn whole(value: &Value) -> Result<i64> {
    let error = || anyhow!("`{value}` is no whole number of 64 bits");
    value.as_i64().map_err(|_| error())
}

/// From one number to another, both included, upwards or downwards.
fn numbers(from: &Value, to: &Value, step: i64) -> Result<Value> {
    let (from, to) = (whole(from)?, whole(to)?);
    if step < 1 {
        return Err(anyhow!("the step must be a positive whole number"));
    }
    let steps = to.abs_diff(from) / step.unsigned_abs();
    let steps = i64::try_from(steps).unwrap_or(i64::MAX);
    if steps >= MAX_NUMBERS {
        return Err(anyhow!(
            "from {from} to {to} are more than {MAX_NUMBERS} numbers"
        ));
    }
    let step = if to < from { -step } else { step };
    let number = |index: i64| Value::from(from.saturating_add(index.saturating_mul(step)));
    Ok(Value::from((0..=steps).map(number).collect::<Vec<Value>>()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn value(expression: &str) -> Result<Value> {
        let mut engine = Engine::new();
        add(&mut engine)?;
        let text = format!("package t\n\nimport rego.v1\n\nanswer := {expression}\n");
        engine.add_policy("t.rego".to_owned(), text)?;
        engine.eval_rule("data.t.answer".to_owned())
    }

    #[rstest::rstest]
    #[case("numbers.range(1, 4)", "[1,2,3,4]")]
    #[case("numbers.range(2, -1)", "[2,1,0,-1]")]
    #[case("numbers.range(3, 3)", "[3]")]
    #[case("numbers.range_step(0, 9, 4)", "[0,4,8]")]
    #[case("numbers.range_step(9, 0, 4)", "[9,5,1]")]
    fn ranges_are_what_rego_says(#[case] expression: &str, #[case] answer: &str) {
        let told = value(expression).unwrap().to_json_str().unwrap();
        assert_eq!(told.replace([' ', '\n'], ""), answer);
    }

    #[rstest::rstest]
    #[case("numbers.range(0, 1000000)", "more than 1000000 numbers")]
    #[case(
        "numbers.range(-9223372036854775808, 9223372036854775807)",
        "more than"
    )]
    #[case("numbers.range_step(0, 1, 0)", "positive")]
    #[case("numbers.range(0, 1.5)", "no whole number")]
    fn a_range_has_a_bound(#[case] expression: &str, #[case] word: &str) {
        let error = value(expression).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

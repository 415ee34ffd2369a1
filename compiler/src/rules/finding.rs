//! Owns the shape of what a rule yields, and refuses every other. Never looks at sources. See [`read`].

use serde::Deserialize;
use serde_json::Value;

use crate::diagnostic::Measure;
use crate::source::hidden;

/// A finding as the rule wrote it, checked for shape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawFinding {
    /// The path in `input` that the finding is about.
    pub at: Vec<String>,
    /// The path of the object that suffers; `at` where that is the one to change.
    pub about: Vec<String>,
    /// The path of what findings with one cause share, such as a setting that many plans use; `at` where that is it.
    pub cause: Vec<String>,
    /// What stands beside the primary place.
    pub label: String,
    /// One lowercase line.
    pub msg: String,
    /// Paths in `input` that demanded it, each with what stands beside it.
    pub because: Vec<(Vec<String>, String)>,
    /// Further lines.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// The number that it is about; a larger one is worse.
    pub measure: Option<Measure>,
    /// Those of the rule's clauses that it bears on; all of them where it names none.
    pub controls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: Vec<Step>,
    msg: String,
    #[serde(default)]
    about: Option<Vec<Step>>,
    #[serde(default)]
    cause: Option<Vec<Step>>,
    #[serde(default)]
    label: String,
    #[serde(default)]
    because: Vec<Value>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    help: Option<String>,
    #[serde(default)]
    measure: Option<Measured>,
    #[serde(default)]
    controls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Measured {
    Seconds(u64),
    Count(u64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Because {
    at: Vec<Step>,
    label: String,
}

/// A step of a path: the key of an object or the index of an array.
struct Step(String);

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if !text.is_empty() => Ok(Self(text)),
            Value::Number(number) if number.is_u64() => Ok(Self(number.to_string())),
            _ => Err(serde::de::Error::custom(
                "a step of a path is neither a key nor an index",
            )),
        }
    }
}

/// Reads one element of `deny`. The error is one lowercase line.
pub fn read(value: Value) -> Result<RawFinding, String> {
    let written: Written = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let because = written
        .because
        .into_iter()
        .map(because)
        .collect::<Result<_, _>>()?;
    let at = path(written.at);
    let or_at = |written: Option<Vec<Step>>| written.map_or_else(|| at.clone(), path);
    let finding = RawFinding {
        about: or_at(written.about),
        cause: or_at(written.cause),
        at,
        label: written.label,
        msg: written.msg,
        because,
        notes: written.notes,
        help: written.help,
        measure: written.measure.map(|measure| match measure {
            Measured::Seconds(seconds) => Measure::Seconds(seconds),
            Measured::Count(count) => Measure::Count(count),
        }),
        controls: written.controls,
    };
    for (name, path) in [
        ("at", &finding.at),
        ("about", &finding.about),
        ("cause", &finding.cause),
    ] {
        if path.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
    }
    let lines = [&finding.msg, &finding.label]
        .into_iter()
        .chain(
            [&finding.at, &finding.about, &finding.cause]
                .into_iter()
                .flatten(),
        )
        .chain(finding.because.iter().flat_map(|(path, _)| path))
        .chain(&finding.notes)
        .chain(&finding.help)
        .chain(&finding.controls)
        .chain(finding.because.iter().map(|(_, label)| label));
    for line in lines {
        if line.contains(|letter: char| letter.is_control() || hidden::is_hidden(letter)) {
            return Err(format!("`{}` is not one line", line.escape_debug()));
        }
    }
    if finding.msg.is_empty() {
        return Err("`msg` is empty".to_owned());
    }
    Ok(finding)
}

/// Either a bare path, or a path with what stands beside it.
fn because(value: Value) -> Result<(Vec<String>, String), String> {
    if value.is_array() {
        let steps: Vec<Step> = serde_json::from_value(value).map_err(|error| error.to_string())?;
        return Ok((path(steps), String::new()));
    }
    let written: Because = serde_json::from_value(value).map_err(|error| error.to_string())?;
    Ok((path(written.at), written.label))
}

fn path(steps: Vec<Step>) -> Vec<String> {
    steps.into_iter().map(|step| step.0).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_of_because_are_read() {
        let finding = read(json!({
            "at": ["settings", "tiers", "tier0", "survives", 0],
            "msg": "m",
            "because": [["plans", "p"], { "at": ["snapshot"], "label": "from here" }],
        }))
        .unwrap();
        assert_eq!(finding.at.last().unwrap(), "0");
        assert_eq!(finding.because[1].1, "from here");
        assert_eq!((&finding.about, &finding.cause), (&finding.at, &finding.at));
    }

    #[test]
    fn a_measure_has_one_unit() {
        let with = |measure: serde_json::Value| {
            read(json!({ "at": ["a"], "msg": "m", "measure": measure })).map(|raw| raw.measure)
        };
        assert_eq!(
            with(json!({ "seconds": 7200 })),
            Ok(Some(Measure::Seconds(7200)))
        );
        assert_eq!(with(json!({ "count": 1 })), Ok(Some(Measure::Count(1))));
        for bad in [
            json!({ "seconds": -1 }),
            json!({ "count": 1.5 }),
            json!({ "hours": 2 }),
            json!({ "seconds": 1, "count": 1 }),
            json!(7200),
        ] {
            assert!(with(bad.clone()).is_err(), "{bad}");
        }
    }

    #[rstest::rstest]
    #[case(json!("text"))]
    #[case(json!({ "at": ["a"] }))]
    #[case(json!({ "msg": "m" }))]
    #[case(json!({ "at": [], "msg": "m" }))]
    #[case(json!({ "at": ["a"], "msg": "m", "about": [] }))]
    #[case(json!({ "at": ["a"], "msg": "m", "cause": "a" }))]
    #[case(json!({ "at": "plans", "msg": "m" }))]
    #[case(json!({ "at": ["a", null], "msg": "m" }))]
    #[case(json!({ "at": ["a", -1], "msg": "m" }))]
    #[case(json!({ "at": ["a"], "msg": "" }))]
    #[case(json!({ "at": ["a"], "msg": "two\nlines" }))]
    #[case(json!({ "at": ["a"], "msg": "m", "becuase": [] }))]
    #[case(json!({ "at": ["a"], "msg": "m", "because": ["a"] }))]
    fn other_shapes_are_refused(#[case] value: serde_json::Value) {
        assert!(read(value).is_err());
    }
}

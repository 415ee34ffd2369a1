//! Owns what a rule may not do to the engine, which would wear down its time or its stack before any limit is looked at:
//! nest brackets deep, and call itself. Never runs a rule. The entries are [`nesting`] and [`recursion`].

use std::collections::{BTreeMap, BTreeSet};

use regorus::Engine;
use regorus::unstable::{Expr, Rule, RuleHead};

/// The engine tries each bracket as several things, so its time doubles with each; the deepest built-in rule has nine.
const MAX_NESTING: usize = 12;

/// The line on which brackets nest deeper than the engine can read in good time.
pub fn nesting(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let too_deep = words(text).find(|(_, word)| {
        match *word {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_NESTING
    });
    let (at, _) = too_deep?;
    Some(text.get(..at)?.matches('\n').count() + 1)
}

/// A function that calls itself, by way of others or not. Rego knows no recursion; the engine does not look.
pub fn recursion(engine: &mut Engine) -> Option<String> {
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for parsed in engine.get_modules() {
        let package = parsed.package.refr.span().text().to_owned();
        let imports: BTreeMap<&str, &str> = parsed
            .imports
            .iter()
            .map(|import| {
                let path = import.refr.span().text();
                let last = path.rsplit('.').next().unwrap_or(path);
                (import.r#as.as_ref().map_or(last, |name| name.text()), path)
            })
            .collect();
        let full = |name: &str| {
            let (head, rest) = name.split_once('.').unwrap_or((name, ""));
            match (head, imports.get(head)) {
                ("data", _) => rest.to_owned(),
                (_, Some(path)) => format!("{}.{rest}", path.trim_start_matches("data.")),
                (_, None) => format!("{package}.{name}"),
            }
        };
        for rule in &parsed.policy {
            let Rule::Spec { head, bodies, .. } = rule.as_ref() else {
                continue;
            };
            let RuleHead::Func { refr, assign, .. } = head else {
                continue;
            };
            let values = assign
                .iter()
                .chain(bodies.iter().filter_map(|body| body.assign.as_ref()))
                // The place of a text is what stands between its quotes.
                .filter(|assign| !is_text(&assign.value))
                .map(|assign| assign.value.span().text());
            let texts = values.chain(bodies.iter().map(|body| body.span.text()));
            let called = calls.entry(full(refr.span().text())).or_default();
            called.extend(texts.flat_map(called_in).map(full));
        }
    }
    calls.keys().find(|name| reaches(&calls, name)).cloned()
}

fn is_text(value: &Expr) -> bool {
    matches!(value, Expr::String { .. } | Expr::RawString { .. })
}

/// Whether the calls of a function lead back to it.
fn reaches(calls: &BTreeMap<String, BTreeSet<String>>, name: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = vec![name];
    while let Some(next) = open.pop() {
        for called in calls.get(next).into_iter().flatten() {
            if called == name {
                return true;
            }
            if seen.insert(called.as_str()) {
                open.push(called);
            }
        }
    }
    false
}

/// The names that stand before an opening parenthesis.
fn called_in(text: &str) -> impl Iterator<Item = &str> {
    let following = words(text).skip(1).map(|(_, word)| word);
    words(text)
        .zip(following)
        .filter(|(_, next)| *next == "(")
        .map(|((_, word), _)| word)
}

/// Words and single signs outside of strings and comments, each with the byte where it begins.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        loop {
            let left = text.get(rest..)?;
            let first = left.chars().next()?;
            let start = rest;
            match first {
                '#' => rest += left.find('\n').unwrap_or(left.len()),
                '`' => rest += left.get(1..)?.find('`').map_or(left.len(), |end| end + 2),
                '"' => rest += string(left),
                _ if is_part(first) => {
                    rest += left.find(|letter| !is_part(letter)).unwrap_or(left.len());
                    return Some((start, text.get(start..rest)?));
                }
                _ => {
                    rest += first.len_utf8();
                    if !first.is_whitespace() {
                        return Some((start, text.get(start..rest)?));
                    }
                }
            }
        }
    })
}

fn is_part(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.')
}

/// How many bytes the string at the start of a text takes.
fn string(text: &str) -> usize {
    let mut escaped = true;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        // The quote that opens it counts as escaped.
        if at == 0 {
            escaped = false;
        }
    }
    text.len()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_texts() {
        let deep = "[".repeat(13);
        assert_eq!(nesting(&format!("a := 1\nb := {deep}")), Some(2));
        assert_eq!(nesting(&format!("b := {}", "([{".repeat(4))), None);
        for text in [
            format!("b := \"\\\"{deep}\""),
            format!("b := `\"{deep}`"),
            format!("b := 1 # {deep}\n"),
            format!("b := {}", "[]".repeat(99)),
        ] {
            assert_eq!(nesting(&text), None, "{text}");
        }
    }

    fn found(modules: &[&str]) -> Option<String> {
        let mut engine = Engine::new();
        for (number, text) in modules.iter().enumerate() {
            let text = text.replace("HEAD", "\nimport rego.v1\n");
            engine.add_policy(number.to_string(), text).unwrap();
        }
        recursion(&mut engine)
    }

    #[rstest::rstest]
    #[case::itself(&["package a.b HEAD f(x) := f(x)"])]
    #[case::in_its_body(&["package a.b HEAD f(x) := y if { y := f(x) }"])]
    #[case::else_value(&["package a.b HEAD f(x) := 1 if { x > 2 } else := f(x)"])]
    #[case::with_a_blank(&["package a.b HEAD f(x) := f (x)"])]
    #[case::by_its_whole_name(&["package a.b HEAD f(x) := data.a.b.f(x)"])]
    #[case::by_another(&["package a.b HEAD f(x) := g(x)\ng(x) := 1 + f(x)"])]
    #[case::by_another_module(&[
        "package a.b HEAD import data.a.c\nf(x) := c.g(x)",
        "package a.c HEAD import data.a.b as other\ng(x) := other.f(x)",
    ])]
    fn recursion_is_found(#[case] modules: &[&str]) {
        assert!(found(modules).is_some());
    }

    #[rstest::rstest]
    #[case::twice(&["package a.b HEAD f(x) := g(g(x))\ng(x) := x"])]
    #[case::a_namesake(&[
        "package a.b HEAD import data.a.c\nf(x) := c.f(x)",
        "package a.c HEAD f(x) := x",
    ])]
    #[case::a_word_in_a_text(&["package a.b HEAD f(x) := \"f(x)\" # f(x)"])]
    #[case::its_result_by_a_rule(&["package a.b HEAD f(x) := x\ndeny contains x if { x := f(1) }"])]
    fn calls_of_others_are_none(#[case] modules: &[&str]) {
        assert_eq!(found(modules), None);
    }
}

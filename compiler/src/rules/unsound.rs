//! Owns what a rule may not do to the engine, which would wear down its time or its stack before any limit is looked at:
//! nest brackets deep, call itself, and build rule on rule without end. Never runs a rule. The entries are [`nesting`] and [`Graph`].

use std::collections::{BTreeMap, BTreeSet};

use regorus::Engine;
use regorus::unstable::{Expr, Rule, RuleHead};

use crate::resolve::graph::cycles;

/// The engine tries each bracket as several things, so its time doubles with each; the deepest built-in rule has nine.
const MAX_NESTING: usize = 12;

/// Each rule or function that needs another takes its part of the stack, which holds some hundreds; the built-in ones need 6.
pub const MAX_DEPTH: usize = 64;

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

/// What each rule of an engine's modules may need, by full names. A variable that is called as a rule counts as that rule.
pub struct Graph {
    /// Functions, and the functions that they call.
    calls: BTreeMap<String, BTreeSet<String>>,
    /// All rules, and the rules of which they speak.
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Reads the modules that an engine holds.
    pub fn of(engine: &mut Engine) -> Graph {
        let mut graph = Graph {
            calls: BTreeMap::new(),
            needs: BTreeMap::new(),
        };
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
            let names: BTreeSet<&str> = parsed
                .policy
                .iter()
                .filter_map(|rule| head_of(rule))
                .collect();
            let speaks_of_rule = |word: &str| {
                let head = word.split('.').next().unwrap_or(word);
                head == "data" || names.contains(head) || imports.contains_key(head)
            };
            let full = |name: &str| {
                let (head, rest) = name.split_once('.').unwrap_or((name, ""));
                match (head, imports.get(head)) {
                    ("data", _) => rest.to_owned(),
                    (_, Some(path)) => format!("{}.{rest}", path.trim_start_matches("data.")),
                    (_, None) => format!("{package}.{name}"),
                }
            };
            for rule in &parsed.policy {
                graph.add(rule, &speaks_of_rule, &full);
            }
        }
        let rules: BTreeSet<String> = graph.needs.keys().cloned().collect();
        for needs in graph.needs.values_mut() {
            let known = needs.iter().filter_map(|name| rule_of(name, &rules));
            *needs = known.collect();
        }
        graph
    }

    fn add(
        &mut self,
        rule: &Rule,
        speaks_of_rule: &dyn Fn(&str) -> bool,
        full: &dyn Fn(&str) -> String,
    ) {
        let (head, bodies) = match rule {
            Rule::Spec { head, bodies, .. } => (Some(head), bodies.as_slice()),
            Rule::Default { .. } => (None, &[][..]),
        };
        let Some(head) = head else {
            return;
        };
        let (refr, assign, key) = match head {
            RuleHead::Compr { refr, assign, .. } => (refr, assign.as_ref(), None),
            RuleHead::Set { refr, key, .. } => (refr, None, key.as_ref()),
            RuleHead::Func { refr, assign, .. } => (refr, assign.as_ref(), None),
        };
        let values = assign
            .into_iter()
            .chain(bodies.iter().filter_map(|body| body.assign.as_ref()))
            .map(|assign| &assign.value)
            .chain(key)
            // The place of a text is what stands between its quotes.
            .filter(|value| !is_text(value))
            .map(|value| value.span().text());
        let texts: Vec<&str> = values
            .chain(bodies.iter().map(|body| body.span.text()))
            .collect();
        // The name ends where a key or an index begins, as in `a.b[x]`.
        let own = refr.span().text();
        let own = full(own.split('[').next().unwrap_or(own));
        let spoken = texts.iter().flat_map(|text| words(text));
        let spoken = spoken.filter(|(_, word)| speaks_of_rule(word));
        let needs = self.needs.entry(own.clone()).or_default();
        needs.extend(spoken.map(|(_, word)| full(word)));
        if let RuleHead::Func { .. } = head {
            let called = self.calls.entry(own).or_default();
            called.extend(texts.iter().flat_map(|text| called_in(text)).map(full));
        }
    }

    /// A function that calls itself, by way of others or not. Rego knows no recursion; the engine does not look.
    pub fn recursion(&self) -> Option<String> {
        let names: BTreeMap<&String, usize> = self.calls.keys().zip(0..).collect();
        let edges = self.calls.values().map(|called| {
            let known = called.iter().filter_map(|name| names.get(name).copied());
            known.collect()
        });
        let cycles = cycles(&edges.collect::<Vec<Vec<usize>>>());
        let first = *cycles.first()?.first()?;
        self.calls.keys().nth(first).cloned()
    }

    /// A rule that needs others, each by way of the next, deeper than the stack is sure to hold.
    pub fn too_deep(&self) -> Option<&str> {
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        for start in self.needs.keys() {
            // Each rule stands there twice: to be entered, and to be left when all that it needs is known.
            let mut open = vec![(start.as_str(), false)];
            while let Some((name, is_left)) = open.pop() {
                let needs = || self.needs.get(name).into_iter().flatten();
                if is_left {
                    let deepest = needs().filter_map(|name| depths.get(name.as_str())).max();
                    let depth = deepest.map_or(0, |depth| depth + 1);
                    if depth > MAX_DEPTH {
                        return Some(name);
                    }
                    depths.insert(name, depth);
                } else if !depths.contains_key(name) {
                    // Entered, its depth is not known yet; where its needs lead back to it they end here.
                    depths.insert(name, 0);
                    open.push((name, true));
                    open.extend(needs().map(|name| (name.as_str(), false)));
                }
            }
        }
        None
    }
}

/// The first part of a rule's name.
fn head_of(rule: &Rule) -> Option<&str> {
    let (Rule::Spec {
        head:
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. },
        ..
    }
    | Rule::Default { refr, .. }) = rule;
    refr.span().text().split(['.', '[']).next()
}

/// The rule of which a name speaks: itself, or what stands before the fields that are read of it.
fn rule_of(name: &str, rules: &BTreeSet<String>) -> Option<String> {
    let mut name = name;
    loop {
        if rules.contains(name) {
            return Some(name.to_owned());
        }
        (name, _) = name.rsplit_once('.')?;
    }
}

fn is_text(value: &Expr) -> bool {
    matches!(value, Expr::String { .. } | Expr::RawString { .. })
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
        Graph::of(&mut engine).recursion()
    }

    /// A chain of so many, each by way of the next.
    #[rstest::rstest]
    #[case::functions("f{}(x) := f{}(x)\n", "f{}(x) := x\n")]
    #[case::rules("a{} := a{} + 1\n", "a{} := 1\n")]
    #[case::sets("s{} contains x if { some x in s{} }\n", "s{} contains 1\n")]
    #[case::by_whole_names("a{} := data.t.u.a{}[0].x\n", "a{} := []\n")]
    fn what_is_built_on_what_has_a_depth(#[case] link: &str, #[case] end: &str) {
        let deep = |links: usize| {
            let link = |number: usize| {
                let next = (number + 1).to_string();
                link.replacen("{}", &number.to_string(), 1)
                    .replacen("{}", &next, 1)
            };
            let chain: String = (0..links).map(link).collect();
            let end = end.replacen("{}", &links.to_string(), 1);
            let mut engine = Engine::new();
            let text = format!("package t.u\n\nimport rego.v1\n\n{chain}{end}");
            engine.add_policy("t".to_owned(), text).unwrap();
            Graph::of(&mut engine).too_deep().map(str::to_owned)
        };
        assert_eq!(deep(MAX_DEPTH), None);
        assert!(deep(MAX_DEPTH + 1).is_some());
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

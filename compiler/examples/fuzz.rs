//! Feeds damaged policy to the compiler and looks for what must never happen: a panic, a place outside of the text, words
//! that act on a terminal, a model beside an error. Real documents are mutated, not bytes made up; an input that is told
//! something new is mutated further. Runs on the stable toolchain. `scripts/fuzz TARGET [SECONDS [SEED]]` calls it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a tool for developers, at the command line"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use compiler::alike::Alike;
use compiler::compile::compile;
use compiler::diagnostic::{Diagnostic, has_errors};
use compiler::environments::environments;
use compiler::judge::{find, judge};
use compiler::parse::parse;
use compiler::render::{self, Report, github, human, json, junit, markdown, sarif};
use compiler::rules::{self, Files, RuleSet};
use compiler::schema::format;
use compiler::source::{SourceFile, SourceSet, hidden};
use jiff::Timestamp;

/// One tree: path and text of its files.
type Tree = Vec<(String, String)>;

/// Runs one tree, and says what is told of it.
type Target = dyn Fn(&Tree) -> BTreeSet<String>;

/// The instant of every judgement.
const AT: Timestamp = Timestamp::constant(1_795_132_800, 0);
/// An input that takes longer is a finding too.
const SLOW: Duration = Duration::from_secs(20);
/// More seeds than this are thinned out, so that the pool follows what is new.
const POOL: usize = 2000;
/// What other programs stumble over.
const ODD: &[&str] = &[
    "",
    "~",
    "null",
    "true",
    "-1",
    "0",
    "9007199254740993",
    "99999999999999999999",
    "1e9",
    "P1Y",
    "PT0S",
    "PT1S",
    "P999999999W",
    "gsmd:",
    "gsmd:schedules/",
    "gsmd:objectives/tier0_core",
    "gsmd:objectives/tier0_core/rpo/x",
    "kid:",
    "\"",
    "'",
    "[",
    "{",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "|\n",
    "---\n",
    "...\n",
    "\t",
    "\r\n",
    "#",
    "%",
    ": ",
    "\u{feff}",
    "\u{202e}",
    "\u{1b}[2J",
    "\u{0}",
    "ü",
    "𝄞",
    "none",
    "0 0 31 2 *",
    "* * * * *",
    "Europe/Berlin",
    "for_each: { plane: edge }",
    "overrides: []",
    "{ at: 'gsmd:schedules/*/every', value: P1D }",
    "kind: Environment",
];

/// SplitMix64: the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What is known of real documents: whole ones, and the values in them.
struct Corpus {
    trees: Vec<Tree>,
    documents: Vec<String>,
    values: Vec<String>,
}

fn corpus(root: &Path) -> Corpus {
    let mut folders = vec![root.join("policies"), root.join("fixtures/valid/minimal")];
    let invalid = std::fs::read_dir(root.join("fixtures/invalid")).unwrap();
    folders.extend(invalid.map(|entry| entry.unwrap().path()));
    folders.sort();
    let minimal = tree(&root.join("fixtures/valid/minimal"));
    let mut trees: Vec<Tree> = Vec::new();
    for folder in &folders {
        let mut files = tree(folder);
        if folder.starts_with(root.join("fixtures/invalid")) {
            let names: BTreeSet<String> = files.iter().map(|(path, _)| path.clone()).collect();
            files.extend(
                minimal
                    .iter()
                    .filter(|(path, _)| !names.contains(path))
                    .cloned(),
            );
        }
        trees.push(files);
    }
    let texts = || trees.iter().flatten().map(|(_, text)| text.as_str());
    let documents: BTreeSet<&str> = texts().flat_map(|text| text.split("\n---\n")).collect();
    let values: BTreeSet<&str> = texts()
        .flat_map(str::lines)
        .flat_map(|line| line.split([',', '[', ']', '{', '}']))
        .map(|part| {
            part.split_once(": ")
                .map_or(part, |(_, value)| value)
                .trim()
        })
        .filter(|value| !value.is_empty() && !value.starts_with('#'))
        .collect();
    let (documents, values) = (
        documents.into_iter().map(str::to_owned).collect(),
        values.into_iter().map(str::to_owned).collect(),
    );
    Corpus {
        trees,
        documents,
        values,
    }
}

/// The YAML files of a folder that are text.
fn tree(folder: &Path) -> Tree {
    walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| {
            entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "yaml")
        })
        .filter_map(|entry| {
            let path = entry
                .path()
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            Some((path, std::fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

/// A byte of the text at which a character begins.
fn border(dice: &mut Dice, text: &str) -> usize {
    let mut at = dice.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Changes one thing.
fn mutate(dice: &mut Dice, corpus: &Corpus, text: &mut String) {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(13) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        2 => lines.swap(one, other),
        3 | 4 => {
            // A value for another.
            if let Some((key, _)) = lines[one].split_once(": ") {
                lines[one] = format!("{key}: {}", dice.pick(&corpus.values));
            }
        }
        5 => {
            if let Some((key, _)) = lines[one].split_once(": ") {
                lines[one] = format!("{key}: {}", dice.pick(ODD));
            }
        }
        6 => {
            // The name of one field for that of another.
            let key = lines[other]
                .split_once(": ")
                .map(|(key, _)| key.trim_start().to_owned());
            if let (Some(key), Some((_, value))) = (key, lines[one].split_once(": ")) {
                lines[one] = format!("{key}: {value}");
            }
        }
        7 => lines[one] = format!(" {}", lines[one]),
        8 => {
            let line = lines[one].trim_start().to_owned();
            lines[one] = line;
        }
        9 => lines.insert(one, format!("---\n{}\n---", dice.pick(&corpus.documents))),
        10 => {
            let at = border(dice, text);
            let odd: &&str = dice.pick(ODD);
            text.insert_str(at, odd);
            return;
        }
        11 => {
            let (from, to) = (border(dice, text), border(dice, text));
            let part = text[from.min(to)..from.max(to)].to_owned();
            let part: String = part.chars().take(40).collect();
            let times = 1 + dice.below(60);
            text.insert_str(from, &part.repeat(times));
            return;
        }
        _ => {
            let at = border(dice, text);
            let end = (at..=text.len()).find(|end| *end > at && text.is_char_boundary(*end));
            match dice.below(12) {
                0 => text.truncate(at),
                _ => text.replace_range(at..end.unwrap_or(at), ""),
            }
            return;
        }
    }
    *text = lines.join("\n");
}

fn mutated(dice: &mut Dice, corpus: &Corpus, seed: &Tree) -> Tree {
    let mut tree = seed.clone();
    for _ in 0..=dice.below(5) {
        let file = dice.below(tree.len());
        if let Some((_, text)) = tree.get_mut(file) {
            mutate(dice, corpus, text);
            // Growth upon growth leads to input that is only large.
            if text.len() > 200_000 {
                text.clear();
            }
        }
    }
    tree
}

/// One file of a tree, and so many lines of it: readers of one file or value need no more. None of both for a whole tree.
fn narrow(dice: &mut Dice, tree: Tree, lines: Option<usize>) -> Tree {
    let (Some(lines), false) = (lines, tree.is_empty()) else {
        return tree;
    };
    let (path, text) = dice.pick(&tree).clone();
    let first = dice.below(text.lines().count());
    let part: Vec<&str> = text.lines().skip(first).take(lines).collect();
    vec![(path, part.join("\n"))]
}

fn set(tree: &Tree) -> SourceSet {
    let file = |(path, text): &(String, String)| SourceFile {
        path: path.clone(),
        text: text.clone(),
    };
    SourceSet::new(tree.iter().map(file).collect())
}

/// What holds for every finding. Gives back what it is about, without the values.
fn sound(sources: &SourceSet, findings: &[Diagnostic]) -> BTreeSet<String> {
    let mut signs = BTreeSet::new();
    for finding in findings {
        let message = &finding.message;
        assert!(
            !message.contains('\n'),
            "a message of several lines: {message:?}"
        );
        let lines = [message]
            .into_iter()
            .chain(&finding.notes)
            .chain(&finding.help);
        for line in lines.chain(finding.labels.iter().map(|label| &label.text)) {
            assert!(hidden::first(line).is_none(), "hidden characters: {line:?}");
        }
        for label in &finding.labels {
            let span = label.span;
            let text = &sources.files[span.file as usize].text;
            let inside = text.get(span.start as usize..span.end as usize);
            assert!(inside.is_some(), "{span:?} is outside: {message}");
        }
        let words: String = message.split('`').step_by(2).collect();
        signs.insert(format!("{} {words}", finding.code));
    }
    signs
}

/// The reader of YAML.
fn parse_target(tree: &Tree) -> BTreeSet<String> {
    let sources = set(tree);
    let parsed = parse(&sources);
    assert!(
        !parsed.lost || !parsed.diagnostics.is_empty(),
        "lost without a word"
    );
    let mut signs = sound(&sources, &parsed.diagnostics);
    signs.insert(format!("{} documents", parsed.documents.len().min(9)));
    let again = parse(&sources);
    assert!(again.documents == parsed.documents, "two readings");
    signs
}

/// The readers of what stands in one value: references, durations, sizes, cron and the like.
fn reference_target(tree: &Tree) -> BTreeSet<String> {
    let mut signs = BTreeSet::new();
    for (_, text) in tree {
        for line in text.lines() {
            let value = line.split_once(": ").map_or(line, |(_, value)| value);
            for format in format::ALL {
                match format::check(format, value) {
                    Ok(()) => drop(signs.insert((*format).to_owned())),
                    Err(refusal) => {
                        let words: String = refusal.message.split('`').step_by(2).collect();
                        signs.insert(format!("{format} {words}"));
                    }
                }
            }
            if let Some(reference) = format::split_reference(value) {
                let mut written = format!("gsmd:{}/{}", reference.collection, reference.id);
                for field in &reference.fields {
                    write!(written, "/{field}").unwrap();
                }
                assert_eq!(written, value, "a reference reads back");
            }
            if let Ok(read) = contract::duration::parse(value) {
                let back = contract::duration::parse(&read.to_string());
                assert_eq!(back.ok(), Some(read), "a duration reads back: {value}");
            }
        }
    }
    signs
}

/// The datasets and plans of a tree once more, under other names: alike, unless something else speaks of the first.
fn others(tree: &Tree) -> String {
    let documents = tree.iter().flat_map(|(_, text)| text.split("\n---\n"));
    let renamed = documents
        .filter(|text| text.contains("kind: Dataset") || text.contains("kind: BackupPlan"))
        .map(|text| text.replace("ds_", "ds_other_").replace("bp_", "bp_other_"));
    renamed.collect::<Vec<_>>().join("\n---\n")
}

/// The whole of `seawall check`, without files.
fn check_target(tree: &Tree, rules: &RuleSet) -> BTreeSet<String> {
    let mut tree = tree.clone();
    let length: usize = tree.iter().map(|(_, text)| text.len()).sum();
    if length.is_multiple_of(2) {
        let others = others(&tree);
        tree.push(("others.yaml".to_owned(), others));
    }
    let sources = set(&tree);
    let parsed = parse(&sources);
    let alike = Alike::under(rules, &parsed);
    let (mut declared, mut told) = environments(&parsed);
    declared.truncate(2);
    let mut signs = BTreeSet::new();
    let mut runs = Vec::new();
    for environment in &declared {
        let judged = judge(&sources, environment, rules, AT, None);
        let compilation = &judged.compilation;
        let errors = has_errors(&compilation.diagnostics);
        assert!(
            compilation.model.is_some() != errors,
            "a model beside an error, or neither"
        );
        if compilation.model.is_some() {
            let again = compile(&sources, environment);
            assert!(again.sealed == compilation.sealed, "two bundles");
        }
        let found = find(&sources, &parsed, &alike, environment, rules, (AT, None));
        let findings = judged.diagnostics;
        assert!(found.diagnostics == findings, "alike documents tell others");
        signs.extend(sound(&sources, &findings));
        runs.push((Some(environment.clone()), findings));
    }
    if declared.is_empty() {
        assert!(!told.is_empty(), "no environment without a word");
        signs.extend(sound(&sources, &told));
        runs.push((None, std::mem::take(&mut told)));
    }
    let mut report = Report::new(&sources, declared, render::merge(runs));
    report.checks = render::checks(rules);
    let look = human::Look {
        styled: false,
        width: 100,
    };
    let forms = [
        human::render(&report, look),
        json::render(&report).to_string(),
        sarif::render(&report).to_string(),
        junit::render(&report),
        markdown::render(&report),
        github::render(&report).commands,
    ];
    for form in forms {
        assert_eq!(hidden::first(&form), None, "hidden characters in a form");
    }
    signs
}

/// Writes the tree that broke something, for a fixture.
fn keep(folder: &Path, tree: &Tree) -> PathBuf {
    let number = (0..1000_u32).find(|number| !folder.join(number.to_string()).exists());
    let place = folder.join(number.unwrap_or(0).to_string());
    for (path, text) in tree {
        let path = place.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    place
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || -> ! { panic!("usage: fuzz parse|reference|check [SECONDS [SEED]]") };
    let number = |index: usize, or: u64| {
        arguments
            .get(index)
            .map_or(or, |text| text.parse().unwrap_or_else(|_| usage()))
    };
    let (seconds, seed) = (number(1, 60), number(2, 1));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let corpus = corpus(root);
    let (rules, invalid) = rules::load(&rules::built_in(), &Files::new());
    assert_eq!(invalid, Vec::new());
    let target: Box<Target> = match arguments.first().map(String::as_str) {
        Some("parse") => Box::new(parse_target),
        Some("reference") => Box::new(reference_target),
        Some("check") => Box::new(move |tree| check_target(tree, &rules)),
        _ => usage(),
    };
    let lines = match arguments.first().map(String::as_str) {
        Some("reference") => Some(12),
        Some("parse") => Some(200),
        _ => None,
    };
    let failures =
        std::env::var_os("SEAWALL_FUZZ_FAILURES").map_or_else(std::env::temp_dir, PathBuf::from);
    let (mut dice, mut pool) = (Dice(seed), corpus.trees.clone());
    let (mut known, mut runs, mut broken) = (BTreeSet::new(), 0_u64, 0_u32);
    let started = Instant::now();
    // Large trees are slow to judge; most runs begin with a small one.
    pool.sort_by_key(|tree| tree.iter().map(|(_, text)| text.len()).sum::<usize>());
    while started.elapsed() < Duration::from_secs(seconds) && broken < 20 {
        let bound = if dice.below(40) == 0 {
            pool.len()
        } else {
            pool.len().saturating_sub(1)
        };
        let seed = pool[dice.below(bound)].clone();
        let seed = narrow(&mut dice, seed, lines);
        let tree = mutated(&mut dice, &corpus, &seed);
        let begun = Instant::now();
        let met = catch_unwind(AssertUnwindSafe(|| target(&tree)));
        runs += 1;
        match met {
            Ok(signs) if begun.elapsed() < SLOW => {
                let before = known.len();
                known.extend(signs);
                if known.len() > before {
                    if pool.len() == POOL {
                        pool.remove(dice.below(POOL - 1));
                    }
                    // The largest stays the last.
                    pool.insert(0, tree);
                }
            }
            Ok(_) => {
                broken += 1;
                println!(
                    "slow: {:?}, kept in {}",
                    begun.elapsed(),
                    keep(&failures, &tree).display()
                );
            }
            Err(_) => {
                broken += 1;
                println!("broken: kept in {}", keep(&failures, &tree).display());
            }
        }
    }
    let rate = runs as f64 / started.elapsed().as_secs_f64();
    println!(
        "{runs} runs, {rate:.0} a second, {} kinds of answers, {broken} broken",
        known.len()
    );
    if broken > 0 {
        std::process::exit(1);
    }
}

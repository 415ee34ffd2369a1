//! What operators read is plain English: messages, help and the manual use none of the words that an SRE would not say that way.

use std::path::Path;
use std::process::Command;

/// Words and phrases, each with what to write instead.
const AVOIDED: &[(&str, &str)] = &[
    ("told", "reported"),
    ("tells", "reports"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("stands in", "is in"),
    ("stands at", "is at"),
    ("stand at", "are at"),
    ("lies in", "is in"),
    ("hangs on", "depends on"),
    ("bears on", "applies to"),
    ("speaks of", "covers"),
    ("lately", "recently"),
    ("in force", "active"),
    ("look at", "inspect, check"),
    ("looks at", "inspects, checks"),
    ("looked at", "inspected, checked"),
    ("held against", "checked against"),
    ("by itself", "automatically"),
    ("for good", "permanently"),
    ("nobody", "the role's name, or the passive"),
    ("somebody", "the role's name, or the passive"),
    ("anybody", "the role's name, or the passive"),
    ("whoever", "the role's name, or the passive"),
    ("has not", "does not have, did not"),
    ("beside", "next to"),
    ("in place of", "instead of"),
    ("anew", "again"),
    ("at once", "immediately"),
    ("goes on", "continues"),
    ("wanted", "required, expected"),
    ("suffers", "is affected"),
    ("in doubt", "unverified, not trusted"),
    ("seals", "encrypts"),
];

/// Where one of them is right.
const LEGITIMATE: &[(&str, &str)] = &[
    // The word that `catalog` and `status` have for a recovery point whose source must be confirmed.
    ("in doubt", "cli/show.rs"),
    // Names of values in a format, not words.
    ("told", "control/doctor/ahead.rs"),
    ("wanted", "control/restore.rs"),
    ("wanted", "world/connector/postgres.rs"),
    ("wanted", "world/vault/error.rs"),
    // A test in a file of its own.
    ("anew", "world/location/races.rs"),
    // Simulations are for the developers of the daemon.
    ("looks at", "simulate"),
    ("beside", "simulate"),
];

/// The avoided words of a text, in lower case and with single spaces.
fn found(text: &str) -> Vec<&'static str> {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    let words: Vec<String> = text
        .split(|letter| !is_letter(letter))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let text = format!(" {} ", words.join(" "));
    let avoided = AVOIDED.iter().map(|(word, _)| *word);
    avoided
        .filter(|word| text.contains(&format!(" {word} ")))
        .collect()
}

/// The texts of a source: its literals that have a space, comments and tests left out.
fn literals(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let mut all = Vec::new();
    for line in code.lines() {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        // Every other part between unescaped quotes is a literal; one that spans lines is read line by line.
        let parts: Vec<&str> = line.split('"').collect();
        let inside = parts.iter().skip(1).step_by(2);
        all.extend(
            inside
                .filter(|text| text.contains(' '))
                .map(|text| (*text).to_owned()),
        );
    }
    all
}

#[test]
fn messages_are_plain_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut read = 0;
    for entry in walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap) {
        if entry.path().extension().is_none_or(|it| it != "rs") {
            continue;
        }
        let name = entry
            .path()
            .strip_prefix(&root)
            .unwrap()
            .display()
            .to_string();
        for text in literals(&std::fs::read_to_string(entry.path()).unwrap()) {
            read += 1;
            for word in found(&text) {
                let is_right = |(legitimate, place): &(&str, &str)| {
                    *legitimate == word && name.contains(place)
                };
                if !LEGITIMATE.iter().any(is_right) {
                    wrong.push(format!("{name}: `{word}` in {text:?}"));
                }
            }
        }
    }
    assert!(read > 1_000, "{read} texts were read");
    assert!(wrong.is_empty(), "{wrong:#?}\n{AVOIDED:#?}");
}

#[test]
fn the_manual_and_the_pages_of_codes_are_plain_english() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let codes = std::fs::read_dir(docs.join("codes"))
        .unwrap()
        .map(|it| it.unwrap().path());
    // Those of the daemon; the others are the compiler's.
    let of_daemon = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.starts_with("SW1") && name.len() == "SW1001.md".len()
    };
    let mut pages: Vec<std::path::PathBuf> = codes.filter(of_daemon).collect();
    assert!(pages.len() > 100, "{}", pages.len());
    pages.push(docs.join("operate.md"));
    pages.push(docs.join("api.md"));
    let mut wrong = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, line) in text.lines().enumerate() {
            for word in found(line) {
                wrong.push(format!(
                    "{}:{}: `{word}` in {line}",
                    page.display(),
                    number + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn help_is_plain_english() {
    let program = assert_cmd::cargo::cargo_bin!("seawalld");
    let help = |command: &[&str]| {
        let ran = Command::new(program)
            .args(command)
            .arg("--help")
            .output()
            .unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let all = help(&[]);
    let commands = all
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|name| *name != "help").collect();
    assert!(commands.len() > 20, "{all}");
    let mut wrong = Vec::new();
    for command in commands {
        let text = help(&[command]);
        wrong.extend(
            found(&text)
                .into_iter()
                .map(|word| format!("{command}: `{word}`")),
        );
    }
    wrong.extend(
        found(&all)
            .into_iter()
            .map(|word| format!("seawalld: `{word}`")),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_words_are_found() {
    assert_eq!(
        found("the policy in\nforce, at once"),
        ["in force", "at once"]
    );
    assert_eq!(found("informed `in_force`"), Vec::<&str>::new());
    assert_eq!(
        literals("let a = \"look at it\"; // \"nobody knows\"\n// \"a b\""),
        ["look at it", "nobody knows"]
    );
}

//! Owns the pages about codes: what a code means, why it matters, what to do, a bad and a good example. Those of built-in
//! codes come with the binary from `docs/codes/`, that of a rule is the `README.md` of its folder with the trees of its
//! tests as examples. Pure. The interesting function is [`page`].

pub mod markdown;
pub mod plain;

use contract::code::{self, Code};
use include_dir::{Dir, include_dir};

use crate::diagnostic::RuleCode;
use crate::rules::{Rule, RuleSet};
use markdown::Block;

static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../docs/codes");

/// The folder of the documents under the trees of rules.
const BASE: &str = "lib/tree/";

/// The page of one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The code, such as `SW0301`.
    pub code: String,
    /// Its name, such as `rpo-covered`.
    pub name: String,
    /// One line: what it stands for.
    pub summary: String,
    /// The folder of the rule that gives it, if one does.
    pub rule: Option<String>,
    /// The page in Markdown.
    pub markdown: String,
}

/// One example of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Whether it gives the code.
    pub bad: bool,
    /// What it is written in: `yaml`, `rego`, `sh`, `text`.
    pub language: String,
    /// The example.
    pub text: String,
}

impl Page {
    /// The page as blocks.
    pub fn blocks(&self) -> Vec<Block> {
        markdown::parse(&self.markdown)
    }

    /// The examples under the headings `Bad` and `Good`.
    pub fn examples(&self) -> Vec<Example> {
        let mut section = String::new();
        let mut found = Vec::new();
        for block in self.blocks() {
            match block {
                Block::Heading(_, words) => section = words,
                Block::Code { language, text } if section == "Bad" || section == "Good" => {
                    found.push(Example {
                        bad: section == "Bad",
                        language,
                        text,
                    });
                }
                Block::Code { .. } | Block::Paragraph(_) | Block::Item(_) => {}
            }
        }
        found
    }
}

/// The names of the files that hold pages, for the test that none lacks a code.
pub fn files() -> Vec<String> {
    let paths = PAGES.files().map(include_dir::File::path);
    paths
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// Every page there is: one for each code of ours, in order, then those of an organisation's rules.
pub fn all(rules: &RuleSet) -> Vec<Page> {
    let own = code::ALL.iter().filter_map(|code| page(*code, rules));
    let theirs = rules
        .rules
        .iter()
        .filter(|rule| matches!(rule.metadata.code, RuleCode::Organisation(_)));
    own.chain(theirs.map(|rule| of_rule(rule, rules))).collect()
}

/// The page of a code of ours. A code without a page is a fault that a test finds.
pub fn page(code: Code, rules: &RuleSet) -> Option<Page> {
    let of_code = |rule: &&Rule| rule.metadata.code == RuleCode::Seawall(code);
    if let Some(rule) = rules.rules.iter().find(of_code) {
        return Some(of_rule(rule, rules));
    }
    let markdown = PAGES.get_file(format!("{code}.md"))?.contents_utf8()?;
    Some(Page {
        code: code.to_string(),
        name: code.name().to_owned(),
        summary: code.summary().to_owned(),
        rule: None,
        markdown: markdown.to_owned(),
    })
}

/// The page of a rule. One without `README.md` says what its metadata say.
fn of_rule(rule: &Rule, rules: &RuleSet) -> Page {
    let kebab = rule.folder.rsplit('/').next().unwrap_or(&rule.folder);
    let code = rule.metadata.code.to_string();
    let summary = match &rule.metadata.code {
        RuleCode::Seawall(code) => code.summary().to_owned(),
        RuleCode::Organisation(_) => rule.metadata.title.clone(),
    };
    let mut markdown = match rule.files.get("README.md") {
        Some(text) => text.trim_end().to_owned(),
        None => format!("# {code} {kebab}\n\n{}", rule.metadata.description.trim()),
    };
    markdown.push_str(&examples(rule, rules));
    Page {
        code,
        name: kebab.to_owned(),
        summary,
        rule: Some(rule.folder.clone()),
        markdown,
    }
}

/// The documents in which the rule's `bad/` tree differs, and the same documents of `good/`.
fn examples(rule: &Rule, rules: &RuleSet) -> String {
    let mut bad = String::new();
    let mut good = String::new();
    for (path, text) in &rule.files {
        let Some(name) = path.strip_prefix("bad/") else {
            continue;
        };
        bad.push_str(&fenced(text));
        let other = rule.files.get(&format!("good/{name}"));
        let base = || {
            rules
                .support
                .get(&rule.owner)?
                .get(&format!("{BASE}{name}"))
        };
        if let Some(text) = other.or_else(base) {
            good.push_str(&fenced(text));
        }
    }
    let sections: Vec<String> = [("Bad", bad), ("Good", good)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(heading, text)| format!("\n\n## {heading}\n{text}"))
        .collect();
    sections.concat() + "\n"
}

fn fenced(text: &str) -> String {
    format!("\n```yaml\n{}\n```\n", text.trim_end())
}

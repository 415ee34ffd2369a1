//! Owns the page about rules: what each checks, why, what to do, with its examples. The entry is [`page`].

use super::html::Html;
use super::{Entry, facts, id};
use crate::pages::markdown::Block;
use crate::pages::{self, Page};
use crate::rules::{Rule, RuleSet};

/// The page about all rules of a set.
pub fn page(rules: &RuleSet) -> String {
    let pages = pages::all(rules);
    let told: Vec<(&Rule, &Page)> = rules
        .rules
        .iter()
        .filter_map(|rule| {
            let page = pages
                .iter()
                .find(|page| page.rule.as_deref() == Some(&rule.folder))?;
            Some((rule, page))
        })
        .collect();
    let rows = told.iter().map(|(rule, page)| {
        vec![
            Html::link(&page.code, page.code.as_str()),
            Html::text(&page.summary),
            Html::text(severity(rule)),
            id(&rule.folder),
        ]
    });
    let mut body = Html::with("h2", &[("id", "overview")], "Overview");
    body.push(Html::table(
        &["Code", "Finding", "Weight", "Rule"],
        rows.collect(),
    ));
    body.push(Html::with("h2", &[("id", "rules")], "Rules"));
    for (rule, page) in &told {
        body.push(one(rule, page));
    }
    let below = told.iter().map(|(_, page)| {
        let words = format!("{} {}", page.code, page.name);
        (page.code.clone(), words)
    });
    let contents = [
        Entry {
            anchor: "overview",
            words: "Overview",
            below: Vec::new(),
        },
        Entry {
            anchor: "rules",
            words: "Rules",
            below: below.collect(),
        },
    ];
    let lead = Html::tag(
        "p",
        format!(
            "{} rules judge a compiled policy. An error stops signing, a warning is told.",
            told.len()
        ),
    );
    super::page("Rules", lead, &contents, body)
}

fn severity(rule: &Rule) -> &'static str {
    match rule.metadata.severity {
        contract::code::Severity::Error => "error",
        contract::code::Severity::Warning => "warning",
    }
}

fn one(rule: &Rule, page: &Page) -> Html {
    let mut card = facts(vec![
        ("Weight", Html::text(severity(rule))),
        ("Rule", id(&rule.folder)),
    ]);
    let mut items = Vec::new();
    for block in page.blocks() {
        if let Block::Item(words) = &block {
            items.push(Html::tag("li", prose(words)));
            continue;
        }
        card.push(list(&mut items));
        match block {
            Block::Heading(1, words) => {
                card = Html::joined([Html::tag("h3", words), card], "\n");
            }
            Block::Heading(_, words) => card.push(Html::tag("h4", words)),
            Block::Paragraph(words) => card.push(Html::tag("p", prose(&words))),
            Block::Code { text, .. } => card.push(Html::tag("pre", text)),
            Block::Item(_) => {}
        }
    }
    card.push(list(&mut items));
    Html::with("section", &[("class", "card"), ("id", &page.code)], card)
}

fn list(items: &mut Vec<Html>) -> Html {
    if items.is_empty() {
        return Html::default();
    }
    Html::tag("ul", Html::joined(std::mem::take(items), "\n"))
}

/// Words with code between backticks.
fn prose(words: &str) -> Html {
    let parts = words
        .split('`')
        .enumerate()
        .map(|(index, part)| match index % 2 {
            0 => Html::text(part),
            _ => Html::tag("code", part),
        });
    Html::joined(parts, "")
}

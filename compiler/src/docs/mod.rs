//! Owns the documentation that is made of a policy and of rules: one HTML page each, complete in itself, without scripts
//! and without anything from a network. Pure; decides nothing. The entries are [`policy::page`] and [`rules::page`].

mod continuity;
mod governance;
mod html;
pub mod policy;
pub mod rules;
mod settings;

use html::Html;

/// One entry of the contents: anchor, words, and what stands below it.
struct Entry {
    anchor: &'static str,
    words: &'static str,
    below: Vec<(String, String)>,
}

/// Contents beside the body.
fn page(title: &str, lead: Html, contents: &[Entry], body: Html) -> String {
    let entries = contents.iter().map(|entry| {
        let below = entry
            .below
            .iter()
            .map(|(anchor, words)| Html::tag("li", Html::link(anchor, words.as_str())));
        let mut item = Html::link(entry.anchor, entry.words);
        if !entry.below.is_empty() {
            item.push(Html::tag("ul", Html::joined(below, "\n")));
        }
        Html::tag("li", item)
    });
    let list = Html::tag("ul", Html::joined(entries, "\n"));
    let nav = Html::with("nav", &[("aria-label", "Contents")], list);
    let main = Html::joined([Html::tag("h1", title), lead, body], "\n");
    Html::joined([nav, Html::tag("main", main)], "\n").document(title)
}

/// Names and what they mean, one a line.
fn facts(pairs: Vec<(&str, Html)>) -> Html {
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| Html::joined([Html::tag("dt", name), Html::tag("dd", value)], ""));
    Html::tag("dl", Html::joined(pairs, "\n"))
}

/// An id, as it is written in policy.
fn id(text: impl std::fmt::Display) -> Html {
    Html::with("span", &[("class", "id")], text.to_string())
}

/// An id where links to it lead.
fn anchored(prefix: &str, of: impl std::fmt::Display) -> Html {
    let anchor = format!("{prefix}-{of}");
    Html::with("span", &[("id", &anchor), ("class", "id")], of.to_string())
}

/// A word that says how something stands.
fn mark(class: &'static str, text: &str) -> Html {
    Html::with("span", &[("class", &format!("mark {class}"))], text)
}

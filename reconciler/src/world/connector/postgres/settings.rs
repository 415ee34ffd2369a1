//! `ALTER DATABASE … SET` from the stored value of a setting, each part of a list quoted on its own.
//!
//! Never puts a stored value into SQL as it stands: the owner of a database chooses it. The interesting function is
//! [`value`].

use super::client::{literal, name};

/// Settings whose stored value is a list of names that `SET … TO` takes part by part, as `pg_dump` knows them
/// (`variable_is_guc_list_quote`).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The value of a setting as SQL; nothing when it is a list that does not parse.
pub(super) fn value(setting: &str, stored: &str) -> Option<String> {
    if !LISTS.contains(&setting.to_ascii_lowercase().as_str()) {
        return Some(literal(stored));
    }
    let parts = parts(stored)?;
    if parts.is_empty() {
        return Some(literal(""));
    }
    let quoted: Vec<String> = parts.iter().map(|part| literal(part)).collect();
    Some(quoted.join(", "))
}

/// A setting's name, each part of a qualified one quoted.
pub(super) fn dotted(setting: &str) -> String {
    setting.split('.').map(name).collect::<Vec<_>>().join(".")
}

/// Takes a stored list apart as `SplitGUCList` of PostgreSQL does: parts are separated by commas; a part is either in double
/// quotes, where `""` is one quote, or runs to the next comma or white space. Nothing is folded to lower case.
fn parts(stored: &str) -> Option<Vec<String>> {
    let mut rest = stored.trim_start_matches(is_space);
    let mut parts = Vec::new();
    if rest.is_empty() {
        return Some(parts);
    }
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_part(quoted)?
        } else {
            let end = rest
                .find(|c: char| c == ',' || is_space(c))
                .unwrap_or(rest.len());
            let (part, after) = rest.split_at_checked(end)?;
            if part.is_empty() {
                return None;
            }
            (part.to_owned(), after)
        };
        parts.push(part);
        let after = after.trim_start_matches(is_space);
        if after.is_empty() {
            return Some(parts);
        }
        rest = after.strip_prefix(',')?.trim_start_matches(is_space);
    }
}

/// What `scanner_isspace` of PostgreSQL takes for white space.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{0b}' | '\u{0c}')
}

fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (inside, after) = rest.split_once('"')?;
        part.push_str(inside);
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Some((part, after)),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_a_list_are_quoted_one_by_one() {
        for (stored, wanted) in [
            ("public, app", Some("'public', 'app'")),
            ("\"$user\", public", Some("'$user', 'public'")),
            ("\"we ird\",\"a\"\"b\"", Some("'we ird', 'a\"b'")),
            ("", Some("''")),
            ("\"\"", Some("''")),
            ("o'brien", Some("'o''brien'")),
            (
                "public;ALTER/**/ROLE/**/app/**/SUPERUSER;--",
                Some("'public;ALTER/**/ROLE/**/app/**/SUPERUSER;--'"),
            ),
            ("public; ALTER ROLE app SUPERUSER", None),
            ("\"open", None),
            ("a,,b", None),
            ("a,", None),
            ("\"a\"b", None),
        ] {
            assert_eq!(value("search_path", stored).as_deref(), wanted, "{stored}");
            assert_eq!(value("Search_Path", stored).as_deref(), wanted, "{stored}");
        }
        assert_eq!(
            value("work_mem", "7MB'; DROP TABLE t; --").unwrap(),
            "'7MB''; DROP TABLE t; --'"
        );
    }

    proptest! {
        /// Whatever is stored, what reaches SQL is literals between commas.
        #[test]
        fn nothing_leaves_its_literal(stored in "[a-z'\"\\\\;, $-]{0,24}") {
            let Some(sql) = value("search_path", &stored) else { return Ok(()) };
            let mut rest = sql.as_str();
            loop {
                let escapes = rest.starts_with("E'");
                rest = rest.trim_start_matches('E').strip_prefix('\'').expect("a literal begins");
                let mut chars = rest.char_indices();
                let end = loop {
                    let (at, c) = chars.next().expect("a literal ends");
                    match c {
                        '\\' if escapes => { chars.next(); }
                        '\'' if rest[at + 1..].starts_with('\'') => { chars.next(); }
                        '\'' => break at + 1,
                        _ => {}
                    }
                };
                rest = &rest[end..];
                if rest.is_empty() { break; }
                rest = rest.strip_prefix(", ").expect("only commas between literals");
            }
        }
    }
}

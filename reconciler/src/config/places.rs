//! Owns where each field of a YAML file is, so that what is wrong with a value points at its line. The interesting function is
//! [`places`].

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser};

/// What `seawalld init` writes where it does not know the value.
pub const PLACEHOLDER: &str = "TODO";

/// Fields by their path, as in `locations.loc_a.path`.
#[derive(Debug, Default)]
pub struct Places {
    fields: BTreeMap<String, (usize, usize)>,
    /// Fields that still hold the placeholder.
    pub placeholders: Vec<String>,
}

impl Places {
    /// Line and column, counted from 1, of a field, or of the nearest one that it belongs to.
    pub fn of(&self, path: &str) -> Option<(usize, usize)> {
        let mut path = path;
        loop {
            if let Some(place) = self.fields.get(path) {
                return Some(*place);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}

/// A mapping or list that is not at its end.
enum Open {
    Mapping { path: String, key: Option<String> },
    List { path: String, count: usize },
}

/// Finds the fields of a file. What cannot be parsed has none: whoever reads it says why.
pub fn places(text: &str) -> Places {
    let mut places = Places::default();
    let mut open: Vec<Open> = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        let at = (span.start.line(), span.start.col() + 1);
        match event {
            Event::StreamEnd => break,
            Event::Scalar(value, ..) => {
                let is_key = matches!(open.last(), Some(Open::Mapping { key: None, .. }));
                let path = begin(&mut open, &value);
                places.fields.entry(path.clone()).or_insert(at);
                if !is_key && value == PLACEHOLDER {
                    places.placeholders.push(path);
                }
            }
            Event::MappingStart(..) => {
                let path = begin(&mut open, "");
                open.push(Open::Mapping { path, key: None });
            }
            Event::SequenceStart(..) => {
                let path = begin(&mut open, "");
                open.push(Open::List { path, count: 0 });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                begin(&mut open, "");
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
            }
            _ => {}
        }
    }
    places
}

/// The path of what begins here: a key of the innermost mapping, or a value.
fn begin(open: &mut [Open], text: &str) -> String {
    let below = |path: &str, name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    match open.last_mut() {
        None => String::new(),
        Some(Open::Mapping { path, key }) => {
            if let Some(key) = key.take() {
                return below(path, &key);
            }
            *key = Some(text.to_owned());
            below(path, text)
        }
        Some(Open::List { path, count }) => {
            *count += 1;
            below(path, &(*count - 1).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_either_style_are_found() {
        let text = "a: 1\nb:\n  c: { d: [x, TODO], e: TODO }\n  'f g': |\n    TODO\n";
        let places = places(text);
        assert_eq!(places.of("a"), Some((1, 1)));
        assert_eq!(places.of("b.c.d"), Some((3, 8)));
        assert_eq!(places.of("b.c.d.1"), Some((3, 15)));
        assert_eq!(places.of("b.c.e.unknown"), Some((3, 22)));
        assert_eq!(places.of("b.f g"), Some((4, 3)));
        assert_eq!(places.of("z"), None);
        assert_eq!(places.placeholders, ["b.c.d.1", "b.c.e"]);
    }
}

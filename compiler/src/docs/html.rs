//! Owns HTML as a value: the only ways to make some escape what they are given, so that no text of a policy can become
//! markup. The interesting type is [`Html`].

/// A piece of HTML, ready to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// Text, escaped.
    pub fn text(text: &str) -> Self {
        Self(escaped(text))
    }

    /// An element without attributes.
    pub fn tag(name: &'static str, inner: impl Into<Self>) -> Self {
        Self::with(name, &[], inner)
    }

    /// An element with attributes; their values are escaped.
    pub fn with(
        name: &'static str,
        attributes: &[(&'static str, &str)],
        inner: impl Into<Self>,
    ) -> Self {
        let attributes: Vec<String> = attributes
            .iter()
            .map(|(attribute, value)| format!(" {attribute}=\"{}\"", escaped(value)))
            .collect();
        let (attributes, inner) = (attributes.concat(), inner.into().0);
        Self(format!("<{name}{attributes}>{inner}</{name}>"))
    }

    /// A link to a place of the same page.
    pub fn link(anchor: &str, inner: impl Into<Self>) -> Self {
        Self::with("a", &[("href", &format!("#{anchor}"))], inner)
    }

    /// Puts another piece behind this one.
    pub fn push(&mut self, other: impl Into<Self>) {
        self.0.push_str(&other.into().0);
    }

    /// Pieces with text between them.
    pub fn joined(pieces: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let pieces: Vec<String> = pieces.into_iter().map(|piece| piece.0).collect();
        Self(pieces.join(&escaped(between)))
    }

    /// A table in a frame that scrolls alone where the screen is too narrow. The first cell of a row heads it.
    pub fn table(heads: &[&str], rows: Vec<Vec<Self>>) -> Self {
        let head = heads
            .iter()
            .map(|head| Self::with("th", &[("scope", "col")], *head));
        let rows = rows.into_iter().map(|cells| {
            let cells = cells
                .into_iter()
                .enumerate()
                .map(|(index, cell)| match index {
                    0 => Self::with("th", &[("scope", "row")], cell),
                    _ if cell.is_short() => Self::with("td", &[("class", "short")], cell),
                    _ => Self::tag("td", cell),
                });
            Self::tag("tr", Self::joined(cells, ""))
        });
        let table = Self::joined(
            [
                Self::tag("thead", Self::tag("tr", Self::joined(head, ""))),
                Self::tag("tbody", Self::joined(rows, "\n")),
            ],
            "\n",
        );
        let frame = [("class", "scroll"), ("tabindex", "0")];
        Self::with("div", &frame, Self::tag("table", table))
    }

    /// A word or a number with its unit, which reads badly on two lines.
    fn is_short(&self) -> bool {
        self.0.len() <= 20 && !self.0.contains('<')
    }

    /// A whole document around this body, with the style inside and nothing from elsewhere.
    pub fn document(self, title: &str) -> String {
        let title = escaped(title);
        let body = self.0;
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
        )
    }
}

impl From<&str> for Html {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Html {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

const STYLE: &str = include_str!("style.css");

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_given_becomes_markup() {
        let hostile = "<script>alert('x')</script>\" onclick=\"x & y";
        let page = Html::with("p", &[("id", hostile)], hostile);
        let safe = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onclick=&quot;x &amp; y";
        assert_eq!(page.0, format!("<p id=\"{safe}\">{safe}</p>"));
    }
}

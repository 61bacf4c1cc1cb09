//! The little of Markdown that the checks need.

/// A link to somewhere in the project.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Link<'a> {
    /// Counted from 1.
    pub(crate) line: usize,
    /// The file part; empty for the page itself.
    pub(crate) path: &'a str,
    /// The heading, without `#`.
    pub(crate) anchor: Option<&'a str>,
}

/// Lines outside fenced code, with their numbers.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            return false;
        }
        !is_fenced
    })
}

/// Links that do not lead into the net.
pub(crate) fn links(text: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    for (line, content) in prose(text) {
        let mut rest = content;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].split_whitespace().next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                let (path, anchor) = match target.split_once('#') {
                    Some((path, anchor)) => (path, Some(anchor)),
                    None => (target, None),
                };
                links.push(Link { line, path, anchor });
            }
        }
    }
    links
}

/// The anchors of a page's headings, as forges make them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            heading
                .chars()
                .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
                .map(|it| if it == ' ' { '-' } else { it })
                .collect()
        })
        .collect()
}

/// What stands between backticks.
pub(crate) fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# One: `two` three\n[a](b.md) [c](https://d) [e](f.md#g \"h\") [i](#j)\n\
        ```\n[not](this.md)\n```\n";

    #[test]
    fn finds_links_but_not_those_into_the_net_or_in_code() {
        let found: Vec<_> = links(PAGE)
            .into_iter()
            .map(|it| (it.line, it.path, it.anchor))
            .collect();
        assert_eq!(
            found,
            [
                (2, "b.md", None),
                (2, "f.md", Some("g")),
                (2, "", Some("j"))
            ]
        );
    }

    #[test]
    fn anchors_are_those_of_forges() {
        assert_eq!(anchors(PAGE), ["one-two-three"]);
    }

    #[test]
    fn code_stands_between_backticks() {
        assert_eq!(code("a `b` c `d`").collect::<Vec<_>>(), ["b", "d"]);
    }
}

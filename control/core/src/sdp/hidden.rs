//! Media sections of which one party was not told.
//!
//! Sections are known by their places, and both parties must mean the same by one. So what a party
//! says that was not told of all of them is completed first: where it left one out it refuses it.

use std::borrow::Cow;

/// A description with the lines of sections that its sender was not told of, each with the place
/// of its section, in their order.
pub(crate) fn completed<'a>(bytes: &'a [u8], hidden: &[(usize, &[u8])]) -> Cow<'a, [u8]> {
    if hidden.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let added: usize = hidden.iter().map(|(_, line)| line.len() + 2).sum();
    let mut writer = Writer {
        out: Vec::with_capacity(bytes.len() + added + 2),
        line_break: line_break(bytes),
        hidden,
        sections: 0,
    };
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b"m=") {
            writer.add_hidden();
            writer.sections += 1;
        }
        writer.out.extend_from_slice(line);
    }
    writer.add_hidden();
    Cow::Owned(writer.out)
}

struct Writer<'a> {
    out: Vec<u8>,
    line_break: &'static [u8],
    /// Those that are not written yet.
    hidden: &'a [(usize, &'a [u8])],
    /// Those that are.
    sections: usize,
}

impl Writer<'_> {
    /// Writes the sections whose place this is.
    fn add_hidden(&mut self) {
        while let [(place, line), rest @ ..] = self.hidden
            && *place <= self.sections
        {
            if !self.out.ends_with(b"\n") {
                self.out.extend_from_slice(self.line_break);
            }
            self.out.extend_from_slice(line);
            self.out.extend_from_slice(self.line_break);
            self.sections += 1;
            self.hidden = rest;
        }
    }
}

fn line_break(bytes: &[u8]) -> &'static [u8] {
    let at = memchr::memchr(b'\n', bytes);
    let is_bare = at.is_some_and(|at| at == 0 || bytes.get(at - 1) != Some(&b'\r'));
    if is_bare { b"\n" } else { b"\r\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is hidden, and what comes out.
    type Case<'a> = (&'a [(usize, &'a [u8])], &'a str);

    #[test]
    fn sections_stand_where_the_other_party_has_them() {
        let text = b"v=0\nm=audio 1 x\na=y\nm=text 2 x";
        assert!(matches!(completed(text, &[]), Cow::Borrowed(_)));
        let cases: [Case<'_>; 4] = [
            (&[(0, b"m=A")], "v=0\nm=A\nm=audio 1 x\na=y\nm=text 2 x"),
            (
                &[(1, b"m=A"), (2, b"m=B")],
                "v=0\nm=audio 1 x\na=y\nm=A\nm=B\nm=text 2 x",
            ),
            (
                &[(0, b"m=A"), (2, b"m=B")],
                "v=0\nm=A\nm=audio 1 x\na=y\nm=B\nm=text 2 x",
            ),
            (
                &[(1, b"m=A"), (3, b"m=B")],
                "v=0\nm=audio 1 x\na=y\nm=A\nm=text 2 x\nm=B\n",
            ),
        ];
        for (hidden, expected) in cases {
            let completed = completed(text, hidden);
            assert_eq!(String::from_utf8_lossy(&completed), expected);
        }
    }

    #[test]
    fn what_follows_sections_that_are_missing_is_missing_too() {
        let hidden: [(usize, &[u8]); 2] = [(1, b"m=A"), (2, b"m=B")];
        assert_eq!(&*completed(b"v=0\r\n", &hidden), b"v=0\r\n");
        assert_eq!(&*completed(b"v=0", &[(0, b"m=A")]), b"v=0\r\nm=A\r\n");
    }
}

//! Changes to bytes, by range.

use std::ops::Range;

/// Changes to be made to bytes that are themselves left alone.
#[derive(Debug)]
pub(super) struct Edits<'a> {
    source: &'a [u8],
    /// In the order that they were asked for; sorted by place, equal places stay in that order.
    edits: Vec<(Range<usize>, Vec<u8>)>,
    line_break: &'static [u8],
}

impl<'a> Edits<'a> {
    /// No changes yet.
    pub(super) fn new(source: &'a [u8]) -> Self {
        let first_break = memchr::memchr(b'\n', source);
        let is_bare = first_break.is_some_and(|at| at == 0 || source[at - 1] != b'\r');
        Self {
            source,
            edits: Vec::new(),
            line_break: if is_bare { b"\n" } else { b"\r\n" },
        }
    }

    /// Puts other text in place of a range. Ranges must not overlap.
    pub(super) fn replace(&mut self, range: &Range<usize>, text: impl Into<Vec<u8>>) {
        let text = text.into();
        if self.source[range.clone()] != text {
            self.edits.push((range.clone(), text));
        }
    }

    /// Takes a range away.
    pub(super) fn remove(&mut self, range: &Range<usize>) {
        self.replace(range, Vec::new());
    }

    /// Puts other text in place of a line, whose range includes its end.
    pub(super) fn replace_line(&mut self, whole: &Range<usize>, text: &str) {
        let line = &self.source[whole.clone()];
        let text_len = line.trim_ascii_end().len();
        self.replace(&(whole.start..whole.start + text_len), text);
    }

    /// Adds a line where one begins, or at the very end.
    pub(super) fn insert_line(&mut self, at: usize, text: &str) {
        let mut line = Vec::with_capacity(text.len() + 2);
        if self.source[..at].ends_with(b"\n") {
            line.extend_from_slice(text.as_bytes());
            line.extend_from_slice(self.line_break);
        } else {
            // After a last line without an end; what is added then has none either.
            line.extend_from_slice(self.line_break);
            line.extend_from_slice(text.as_bytes());
        }
        self.edits.push((at..at, line));
    }

    /// The bytes with all changes made.
    pub(super) fn apply(mut self) -> Vec<u8> {
        // An addition goes before what replaces the line that begins there.
        self.edits
            .sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = Vec::with_capacity(self.source.len() + 128);
        let mut position = 0;
        for (range, added) in &self.edits {
            out.extend_from_slice(&self.source[position..range.start]);
            // The last line, which had no end, may have been taken away.
            let has_break = out.ends_with(b"\n");
            let text = added.strip_prefix(self.line_break).filter(|_| has_break);
            out.extend_from_slice(text.unwrap_or(added));
            position = range.end;
        }
        out.extend_from_slice(&self.source[position..]);
        out
    }
}

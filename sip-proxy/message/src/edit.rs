//! A message with changes: everything that nobody asked to change stays byte for byte.
//!
//! Each change is one or more *splices*, kept in the order of their places, so that writing the
//! message is one walk: copy up to a splice, write its text, go on after what it replaces. A
//! splice inside what another one replaces has no effect: removing wins.

use std::net::IpAddr;
use std::ops::Range;

use crate::emit::{Text, push_field, push_number, push_text, received_replacements};
use crate::header::{HeaderError, HeaderId, split_first};
use crate::message::{Entry, Message, StartLine};

/// Changes to a message, applied by [`Self::emit`]. Values are written as given, but for CR, LF
/// and NUL, which become spaces: no value can add a line.
#[derive(Clone, Debug)]
pub struct Edits<'m, 'a> {
    message: &'m Message<'a>,
    splices: Vec<Splice>,
    /// What the splices write.
    text: Vec<u8>,
    /// How many of the topmost values are removed.
    removed: Vec<(HeaderId, usize)>,
    /// The new body, in `text`.
    body: Option<Range<usize>>,
}

/// Bytes that a proxy writes into a message: a Via, a Record-Route, a URI.
const TEXT_LEN_USUAL: usize = 512;

/// Splices that a proxy makes.
const SPLICE_COUNT_USUAL: usize = 8;

/// Text in place of a part of the message.
#[derive(Clone, Debug)]
struct Splice {
    place: Range<usize>,
    kind: Kind,
    text: Range<usize>,
}

/// The order of splices at the same place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// The last one made goes first.
    Prepend,
    /// The last one made wins.
    Replace,
    /// Part of the topmost Via. The first one made goes first.
    Received,
    /// The first one made goes first. For a header that is to stand once, which one it is.
    Append(HeaderId),
}

impl<'m, 'a> Edits<'m, 'a> {
    /// No changes yet.
    #[must_use]
    pub const fn new(message: &'m Message<'a>) -> Self {
        Self {
            message,
            splices: Vec::new(),
            text: Vec::new(),
            removed: Vec::new(),
            body: None,
        }
    }

    /// Replaces the request URI. Does nothing to a response.
    pub fn replace_request_uri(&mut self, uri: &[u8]) -> &mut Self {
        if let StartLine::Request { uri: old, .. } = self.message.start_line() {
            let start = self.message.position(old);
            self.splice(start..start + old.len(), Kind::Replace, |out| {
                push_text(out, uri);
            });
        }
        self
    }

    /// Puts a value above all others of the header, in a field of its own: Via, Record-Route,
    /// Route, Path. Of several, the one that is put last ends up on top.
    pub fn prepend(&mut self, id: HeaderId, value: &[u8]) -> &mut Self {
        self.prepend_joined(id, [value])
    }

    /// As [`Self::prepend`], of a value in parts.
    pub fn prepend_joined<const COUNT: usize>(
        &mut self,
        id: HeaderId,
        parts: [&[u8]; COUNT],
    ) -> &mut Self {
        let table = self.message.table();
        let top = table.first(id).or_else(|| table.at(0));
        let at = top.map_or_else(|| self.end_of_fields(), |entry| usize::from(entry.start));
        self.splice(at..at, Kind::Prepend, |out| {
            out.extend_from_slice(id.name().as_bytes());
            out.extend_from_slice(b": ");
            for part in parts {
                push_text(out, part);
            }
            out.extend_from_slice(b"\r\n");
        })
    }

    /// Adds a field after all others, in the order of the calls.
    pub fn append(&mut self, id: HeaderId, value: &[u8]) -> &mut Self {
        self.append_named(id.name().as_bytes(), value)
    }

    /// Adds a field of any name after all others.
    pub fn append_named(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        let at = self.end_of_fields();
        self.splice(at..at, Kind::Append(HeaderId::Other), |out| {
            push_field(out, name, value);
        })
    }

    /// Replaces the first field of the header and removes the others; appends it if there is
    /// none. Called again, the last value counts.
    pub fn replace(&mut self, id: HeaderId, value: &[u8]) -> &mut Self {
        let Some(first) = self.message.table().first(id).copied() else {
            return self.append_once(id, value);
        };
        let value_and_line_end = usize::from(first.name_end)..usize::from(first.end);
        self.splice(value_and_line_end, Kind::Replace, |out| {
            out.extend_from_slice(b": ");
            push_text(out, value);
            out.extend_from_slice(b"\r\n");
        });
        for entry in self.fields_of(id).skip(1) {
            self.remove_line(&entry);
        }
        self
    }

    /// Removes all fields that the header has in the original.
    pub fn remove(&mut self, id: HeaderId) -> &mut Self {
        for entry in self.fields_of(id) {
            self.remove_line(&entry);
        }
        self
    }

    /// Removes the topmost value that a list header has in the original, and its field if it was
    /// the only one in it. Called again, the next one.
    pub fn remove_top(&mut self, id: HeaderId) -> &mut Self {
        let mut skip = self.count_removal(id);
        for entry in self.fields_of(id) {
            let field = self.message.value(&entry);
            let mut rest = Some(field);
            while let Some(values) = rest {
                let (_, after) = split_first(values);
                if skip == 0 {
                    match after {
                        Some(after) => self.remove_until(values, after),
                        None => self.remove_line(&entry),
                    }
                    return self;
                }
                skip -= 1;
                rest = after;
            }
        }
        self
    }

    /// Sets `received` and, if `port` is given, `rport` of the topmost Via of the original
    /// (RFC 3261 §18.2.1, RFC 3581 §4), replacing what the sender may have put there.
    ///
    /// # Errors
    /// If the message has no Via that can be parsed.
    pub fn set_received(
        &mut self,
        address: IpAddr,
        port: Option<u16>,
    ) -> Result<&mut Self, HeaderError> {
        self.splices.retain(|splice| splice.kind != Kind::Received);
        let replacements = received_replacements(self.message, address, port)?;
        for (place, text) in replacements.into_iter().flatten() {
            self.splice(place, Kind::Received, |out| {
                out.extend_from_slice(text.bytes());
            });
        }
        Ok(self)
    }

    /// Takes one off Max-Forwards, or adds it with 70 (RFC 3261 §16.6 step 3). Call after
    /// [`validate_forward`](crate::validate_forward), which refuses 0 and what is no number.
    pub fn decrement_max_forwards(&mut self) -> &mut Self {
        match self.message.max_forwards() {
            Ok(None) => self.append_once(HeaderId::MaxForwards, b"70"),
            Ok(Some(hops)) => {
                let mut text = Text::new();
                push_number(&mut text, u16::from(hops.saturating_sub(1)));
                self.replace(HeaderId::MaxForwards, text.bytes())
            }
            Err(_) => self,
        }
    }

    /// Replaces the body, its Content-Length and, if given, its Content-Type.
    pub fn replace_body(&mut self, content_type: Option<&[u8]>, body: &[u8]) -> &mut Self {
        if let Some(content_type) = content_type {
            self.replace(HeaderId::ContentType, content_type);
        }
        self.replace(HeaderId::ContentLength, body.len().to_string().as_bytes());
        let start = self.text.len();
        self.text.extend_from_slice(body);
        self.body = Some(start..self.text.len());
        self
    }

    /// Appends the changed message to `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let bytes = self.message.bytes();
        let mut copied = 0;
        for splice in &self.splices {
            if splice.place.start < copied {
                continue;
            }
            out.extend_from_slice(&bytes[copied..splice.place.start]);
            out.extend_from_slice(&self.text[splice.text.clone()]);
            copied = splice.place.end;
        }
        match &self.body {
            None => out.extend_from_slice(&bytes[copied..]),
            Some(body) => {
                out.extend_from_slice(&bytes[copied..self.message.body_start()]);
                out.extend_from_slice(&self.text[body.clone()]);
            }
        }
    }

    /// The changed message.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let removed = self.splices.iter().map(|splice| splice.place.len());
        let longest = self.message.bytes().len() + self.text.len();
        // Exact, since messages are kept, but for what is removed twice.
        let mut out = Vec::with_capacity(longest.saturating_sub(removed.sum()));
        self.emit(&mut out);
        out
    }

    /// Records a splice at its place in the order that [`Kind`] says.
    fn splice(
        &mut self,
        place: Range<usize>,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> &mut Self {
        let text_start = self.text.len();
        if self.splices.is_empty() {
            self.splices.reserve(SPLICE_COUNT_USUAL);
            self.text.reserve(TEXT_LEN_USUAL);
        }
        write(&mut self.text);
        let is_in_order = matches!(kind, Kind::Append(_) | Kind::Received);
        let key = (place.start, rank(kind));
        let number = self.splices.partition_point(|other| {
            let other = (other.place.start, rank(other.kind));
            other < key || (is_in_order && other == key)
        });
        let text = text_start..self.text.len();
        self.splices.insert(number, Splice { place, kind, text });
        self
    }

    /// Appends a field that the message does not have, instead of one that was appended before.
    fn append_once(&mut self, id: HeaderId, value: &[u8]) -> &mut Self {
        self.splices
            .retain(|splice| splice.kind != Kind::Append(id));
        let at = self.end_of_fields();
        self.splice(at..at, Kind::Append(id), |out| {
            push_field(out, id.name().as_bytes(), value);
        })
    }

    fn remove_line(&mut self, entry: &Entry) {
        let line = usize::from(entry.start)..usize::from(entry.end);
        self.splice(line, Kind::Replace, |_| {});
    }

    /// Removes the first of `values`, so that `after`, which follows its comma, comes first.
    fn remove_until(&mut self, values: &[u8], after: &[u8]) {
        let start = self.message.position(values);
        let blanks = after
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let end = self.message.position(after) + blanks;
        self.splice(start..end, Kind::Replace, |_| {});
    }

    /// How many topmost values were removed before this one.
    fn count_removal(&mut self, id: HeaderId) -> usize {
        if let Some((_, count)) = self.removed.iter_mut().find(|(of, _)| *of == id) {
            *count += 1;
            return *count - 1;
        }
        self.removed.push((id, 1));
        0
    }

    fn fields_of(&self, id: HeaderId) -> impl Iterator<Item = Entry> + use<'m, 'a> {
        let table = self.message.table();
        table.iter().filter(move |entry| entry.id == id).copied()
    }

    /// The place of the empty line.
    const fn end_of_fields(&self) -> usize {
        self.message.body_start() - 2
    }
}

const fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Prepend => 0,
        Kind::Replace => 1,
        Kind::Received => 2,
        Kind::Append(_) => 3,
    }
}

#[cfg(test)]
mod tests;

//! One pass over the header section.
//!
//! Each line is looked at twice: the name up to its colon, then the value up to the line's end.
//! What ends a line, and that nothing else can be taken for the end of one, is decided here once:
//! all that reads values later may take CR and LF inside them for a fold.

use memchr::memchr3;

use super::table::{Entry, Table};
use super::{Message, ParseError, Read, StartLine};
use crate::header::HeaderId;
use crate::header::scan::{has_control, is_lws, is_token, number, trim};
use crate::limits::{HEADER_NAME_LEN_MAX, MESSAGE_LEN_MAX, START_LINE_LEN_MAX, URI_LEN_MAX};
use crate::method::Method;

/// Parses a message that may be passed on.
pub(super) fn parse(bytes: &[u8]) -> Result<Message<'_>, ParseError> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(ParseError::TooLong);
    }
    let bytes = skip_empty_lines(bytes);
    let (start_line, is_version_supported, mut at) = start_line(bytes)?;
    let mut table = Table::new();
    while !at_empty_line(bytes, at)? {
        at = field(bytes, at, &mut table)?;
    }
    let body_start = at + 2;
    let body_len = match table.first(HeaderId::ContentLength) {
        None => bytes.len() - body_start,
        Some(entry) => content_length(value(bytes, entry))
            .filter(|len| *len <= bytes.len() - body_start)
            .ok_or(ParseError::ContentLength)?,
    };
    Ok(Message {
        bytes: &bytes[..body_start + body_len],
        start_line,
        is_version_supported,
        body_start,
        table,
        read: Read::default(),
    })
}

/// Reads what [`parse`] refused as well as it goes. There is no body.
pub(super) fn parse_broken(bytes: &[u8]) -> Option<Message<'_>> {
    let bytes = skip_empty_lines(bytes.get(..MESSAGE_LEN_MAX).unwrap_or(bytes));
    let line_end = memchr::memmem::find(bytes, b"\r\n")?;
    let start_line = broken_request_line(&bytes[..line_end])?;
    let mut table = Table::new();
    let mut at = line_end + 2;
    while at < bytes.len() && !bytes[at..].starts_with(b"\r\n") {
        // A duplicate is left out like any broken line: `next_line` goes on in its folds, which
        // are broken lines in turn.
        at = field(bytes, at, &mut table).unwrap_or_else(|_| next_line(bytes, at));
    }
    Some(Message {
        bytes: &bytes[..at],
        start_line,
        is_version_supported: true,
        body_start: at,
        table,
        read: Read::default(),
    })
}

/// The Content-Length of a header section that ends with an empty line, for framing. Other
/// faults than those that hide where the section ends are left to [`parse`].
pub(crate) fn announced_length(header: &[u8]) -> Result<Option<usize>, ParseError> {
    // Offsets have sixteen bits.
    if header.len() > MESSAGE_LEN_MAX {
        return Err(ParseError::TooLong);
    }
    let mut at = line_end(header, 0)? + 2;
    let mut announced = None;
    while !at_empty_line(header, at)? {
        let (id, entry) = line(header, at)?;
        if id == HeaderId::ContentLength {
            let len = content_length(value(header, &entry));
            let len = len.ok_or(ParseError::ContentLength)?;
            if announced.replace(len).is_some() {
                return Err(ParseError::Duplicate(HeaderId::ContentLength));
            }
        }
        at = usize::from(entry.end);
    }
    Ok(announced)
}

fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let [b'\r', b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn value<'a>(bytes: &'a [u8], entry: &Entry) -> &'a [u8] {
    &bytes[usize::from(entry.value_start)..usize::from(entry.value_end)]
}

fn content_length(value: &[u8]) -> Option<usize> {
    number(value).and_then(|len| usize::try_from(len).ok())
}

/// Whether the header section ends at `at`, with a line of nothing.
fn at_empty_line(bytes: &[u8], at: usize) -> Result<bool, ParseError> {
    match bytes.get(at) {
        None => Err(ParseError::Incomplete),
        Some(b'\r') => match bytes.get(at + 1) {
            Some(b'\n') => Ok(true),
            Some(_) => Err(ParseError::BareLineEnd),
            None => Err(ParseError::Incomplete),
        },
        Some(_) => Ok(false),
    }
}

/// Where the line that `from` is in ends: the position of its CR.
#[inline]
fn line_end(bytes: &[u8], from: usize) -> Result<usize, ParseError> {
    let found = memchr3(b'\r', b'\n', 0, &bytes[from..]).ok_or(ParseError::Incomplete)?;
    let at = from + found;
    if bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n') {
        return Ok(at);
    }
    Err(bad_line_end(bytes, at))
}

/// What is wrong with a CR, LF or NUL that is no end of a line.
#[cold]
fn bad_line_end(bytes: &[u8], at: usize) -> ParseError {
    match bytes[at] {
        0 => ParseError::Nul,
        b'\r' if at + 1 == bytes.len() => ParseError::Incomplete,
        _ => ParseError::BareLineEnd,
    }
}

/// Where the value that begins at `from` ends, with its folds: the position of its last CR.
#[inline]
fn value_end(bytes: &[u8], from: usize) -> Result<usize, ParseError> {
    match line_end(bytes, from) {
        Ok(end) if !is_blank(bytes.get(end + 2)) => Ok(end),
        Ok(_) | Err(ParseError::Nul) => unusual_value_end(bytes, from),
        Err(error) => Err(error),
    }
}

/// As [`value_end`], for a value with folds or with a NUL. Whether the NUL is legal is seen when
/// the whole value is known.
#[cold]
fn unusual_value_end(bytes: &[u8], start: usize) -> Result<usize, ParseError> {
    let mut from = start;
    loop {
        let line_break = memchr::memchr2(b'\r', b'\n', &bytes[from..]);
        let end = line_end(bytes, from + line_break.ok_or(ParseError::Incomplete)?)?;
        // Some take a folded line of nothing for the end of the header section.
        if from > start && trim(&bytes[from..end]).is_empty() {
            return Err(ParseError::HeaderLine);
        }
        if !is_blank(bytes.get(end + 2)) {
            return are_nuls_quoted(&bytes[start..end])
                .then_some(end)
                .ok_or(ParseError::Nul);
        }
        from = end + 2;
    }
}

const fn is_blank(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// Whether each NUL is in a quoted string and escaped, which is legal (RFC 3261 §25.1
/// `quoted-pair`), however odd.
fn are_nuls_quoted(value: &[u8]) -> bool {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for byte in value {
        match byte {
            _ if is_escaped => is_escaped = false,
            0 => return false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    true
}

fn next_line(bytes: &[u8], at: usize) -> usize {
    memchr::memmem::find(&bytes[at..], b"\r\n").map_or(bytes.len(), |found| at + found + 2)
}

/// Reads the header field that begins at `at` into the table; returns where the next one begins.
fn field(bytes: &[u8], at: usize, table: &mut Table) -> Result<usize, ParseError> {
    let (id, entry) = line(bytes, at)?;
    if id.is_singleton() && table.contains(id) {
        return Err(ParseError::Duplicate(id));
    }
    let next = usize::from(entry.end);
    table
        .push(entry)
        .then_some(next)
        .ok_or(ParseError::TooManyHeaders)
}

/// Divides the header field that begins at `at`, folded lines included.
#[inline]
fn line(bytes: &[u8], at: usize) -> Result<(HeaderId, Entry), ParseError> {
    let (id, name_end, colon) = name(bytes, at)?;
    let end = value_end(bytes, colon + 1)?;
    let value = &bytes[colon + 1..end];
    let leading = value.iter().take_while(|byte| is_lws(**byte)).count();
    let value_start = colon + 1 + leading;
    let trailing = value[leading..]
        .iter()
        .rev()
        .take_while(|byte| is_lws(**byte))
        .count();
    let entry = Entry {
        id,
        start: offset(at),
        name_end: offset(name_end),
        value_start: offset(value_start),
        value_end: offset(end - trailing),
        end: offset(end + 2),
    };
    Ok((id, entry))
}

/// Reads the name that begins at `at`: which it is, where it ends, and where its colon is.
#[inline]
fn name(bytes: &[u8], at: usize) -> Result<(HeaderId, usize, usize), ParseError> {
    let near = &bytes[at..bytes.len().min(at + HEADER_NAME_LEN_MAX)];
    let len = near.iter().take_while(|byte| is_token(**byte)).count();
    let name_end = at + len;
    let colon = match near.get(len) {
        Some(b':') if len > 0 => name_end,
        _ => late_colon(bytes, at, name_end)?,
    };
    Ok((HeaderId::from_name(&near[..len]), name_end, colon))
}

/// The colon after a name; white space between them is legal (`HCOLON`) and no part of the name.
#[cold]
fn late_colon(bytes: &[u8], at: usize, name_end: usize) -> Result<usize, ParseError> {
    let blanks = bytes[name_end..]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'));
    let colon = name_end + blanks.count();
    match bytes.get(colon) {
        Some(b':') if name_end > at => Ok(colon),
        None => Err(ParseError::Incomplete),
        Some(0) => Err(ParseError::Nul),
        Some(b'\n') => Err(ParseError::BareLineEnd),
        Some(_) => Err(ParseError::HeaderLine),
    }
}

/// A position in a message, which is never longer than [`MESSAGE_LEN_MAX`].
fn offset(position: usize) -> u16 {
    const { assert!(MESSAGE_LEN_MAX <= u16::MAX as usize) };
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    {
        position as u16
    }
}

/// Reads the first line; also says whether its version is ours, and where the next line begins.
fn start_line(bytes: &[u8]) -> Result<(StartLine<'_>, bool, usize), ParseError> {
    if bytes.is_empty() {
        return Err(ParseError::Empty);
    }
    let end = line_end(bytes, 0)?;
    if end > START_LINE_LEN_MAX {
        return Err(ParseError::TooLong);
    }
    let line = &bytes[..end];
    let parsed = if line.len() > 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        status_line(line)
    } else {
        request_line(line)
    };
    let (start_line, is_version_supported) = parsed.ok_or(ParseError::StartLine)?;
    Ok((start_line, is_version_supported, end + 2))
}

/// `Method SP Request-URI SP SIP-Version`, each space exactly one.
fn request_line(line: &[u8]) -> Option<(StartLine<'_>, bool)> {
    let (method, rest) = split_at_space(line)?;
    let (uri, version) = split_at_space(rest)?;
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    if uri.is_empty() || uri.len() > URI_LEN_MAX || has_control(uri) {
        return None;
    }
    let is_version_supported = is_supported(version)?;
    let method = Method::from_name(method);
    Some((StartLine::Request { method, uri }, is_version_supported))
}

/// `SIP-Version SP Status-Code SP Reason-Phrase`; the reason may be empty, and its space missing.
fn status_line(line: &[u8]) -> Option<(StartLine<'_>, bool)> {
    let (version, rest) = split_at_space(line)?;
    let is_version_supported = is_supported(version)?;
    let (code, reason) = split_at_space(rest).unwrap_or((rest, b""));
    if code.len() != 3 {
        return None;
    }
    let code = number(code).and_then(|code| u16::try_from(code).ok())?;
    let start_line = StartLine::Status { code, reason };
    (100..700)
        .contains(&code)
        .then_some((start_line, is_version_supported))
}

fn split_at_space(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', line)?;
    Some((&line[..space], &line[space + 1..]))
}

/// Whether a SIP version is 2.0; `None` if it is no SIP version.
fn is_supported(version: &[u8]) -> Option<bool> {
    if version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Some(true);
    }
    let (name, numbers) = version.split_at_checked(4)?;
    let dot = memchr::memchr(b'.', numbers)?;
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    (name.eq_ignore_ascii_case(b"SIP/")
        && is_number(&numbers[..dot])
        && is_number(&numbers[dot + 1..]))
    .then_some(false)
}

/// A request line with white space where there should be none.
fn broken_request_line(line: &[u8]) -> Option<StartLine<'_>> {
    let method_len = line.iter().position(|byte| !is_token(*byte))?;
    let (method, rest) = line.split_at(method_len);
    let rest = trim(rest);
    let version = rest.iter().rposition(|byte| matches!(byte, b' ' | b'\t'))?;
    let has_version = is_supported(&rest[version + 1..]).is_some();
    (method_len > 0 && has_version).then(|| StartLine::Request {
        method: Method::from_name(method),
        uri: trim(&rest[..version]),
    })
}

#[cfg(test)]
mod tests;

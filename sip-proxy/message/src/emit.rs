//! Writing bytes that cannot become more lines than were meant.

use std::io::Write as _;
use std::net::IpAddr;
use std::ops::Range;

use memchr::memchr3;

use crate::header::scan::is_token;
use crate::header::{HeaderError, HeaderId, first_value};
use crate::message::Message;

/// Appends text with CR, LF and NUL as spaces: no value can add a line or hide the rest of one.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr3(b'\r', b'\n', 0, rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(b' ');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends `Name: value` and CRLF. In a name, what is no token becomes `_`, and so does no name.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let name = if name.is_empty() { b"_" } else { name };
    if name.iter().all(|byte| is_token(*byte)) {
        out.extend_from_slice(name);
    } else {
        let token = |byte: &u8| if is_token(*byte) { *byte } else { b'_' };
        out.extend(name.iter().map(token));
    }
    out.extend_from_slice(b": ");
    push_text(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends Content-Length, the empty line and the body.
pub(crate) fn push_body(out: &mut Vec<u8>, body: &[u8]) {
    push_field(out, b"Content-Length", body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// What is to stand at a place of a message instead of what stands there.
pub(crate) type Replacement = (Range<usize>, Vec<u8>);

/// What makes the topmost Via say where the request came from (RFC 3261 §18.2.1, RFC 3581 §4), in
/// the order of the places.
pub(crate) fn received_replacements(
    message: &Message<'_>,
    address: IpAddr,
    port: Option<u16>,
) -> Result<Vec<Replacement>, HeaderError> {
    let field = message
        .header(HeaderId::Via)
        .ok_or(HeaderError::Missing(HeaderId::Via))?;
    let value = first_value(field);
    let via = message.via()?;
    let value_end = message.position(value) + value.len();
    // Both of them, and an address of any length.
    let start_of = |name: &[u8]| {
        let mut text = Vec::with_capacity(64);
        let place = match via.params.find(name) {
            Some(param) => {
                let start = message.position(param.name);
                let last = param.value.unwrap_or(param.name);
                start..message.position(last) + last.len()
            }
            None => {
                text.push(b';');
                value_end..value_end
            }
        };
        text.extend_from_slice(name);
        text.push(b'=');
        (place, text)
    };
    let mut replacements = Vec::with_capacity(2);
    let (place, mut text) = start_of(b"received");
    push_address(&mut text, address);
    replacements.push((place, text));
    if let Some(port) = port {
        let (place, mut text) = start_of(b"rport");
        push_number(&mut text, port);
        replacements.push((place, text));
    }
    replacements.sort_by_key(|(place, _)| place.start);
    Ok(replacements)
}

/// Without the formatting machinery, which takes ten times as long.
fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (number, octet) in address.octets().into_iter().enumerate() {
                if number > 0 {
                    out.push(b'.');
                }
                push_number(out, octet.into());
            }
        }
        IpAddr::V6(address) => {
            // Writing to memory does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

fn push_number(out: &mut Vec<u8>, number: u16) {
    let mut weight = 10_000;
    while weight > 1 && number < weight {
        weight /= 10;
    }
    while weight > 0 {
        let digit = number / weight % 10;
        out.extend(u8::try_from(digit).map(|digit| b'0' + digit));
        weight /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_everywhere() {
        for number in [0, 1, 9, 10, 99, 100, 255, 1_000, 5_060, 10_000, u16::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
        for address in ["0.0.0.0", "198.51.100.23", "255.255.255.255", "2001:db8::1"] {
            let mut out = Vec::new();
            push_address(&mut out, address.parse().unwrap());
            assert_eq!(out, address.as_bytes());
        }
    }

    #[test]
    fn no_text_adds_a_line() {
        let mut out = Vec::new();
        push_text(&mut out, b"a\r\nb\0c\n");
        assert_eq!(out, b"a  b c ");
        out.clear();
        push_field(&mut out, b"X Y\r", b"1");
        assert_eq!(out, b"X_Y_: 1\r\n");
    }
}

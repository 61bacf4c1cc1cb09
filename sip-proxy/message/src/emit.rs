//! Writing bytes that cannot become more lines than were meant.

use std::fmt::{self, Write as _};
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
    let mut len = Text::new();
    match u16::try_from(body.len()) {
        Ok(short) => push_number(&mut len, short),
        // It fits, but no message is that long.
        Err(_) => len.push(body.len().to_string().as_bytes()),
    }
    push_field(out, b"Content-Length", len.bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// What is to stand at a place of a message instead of what stands there.
pub(crate) type Replacement = (Range<usize>, Text);

/// A number, or a parameter of Via, which takes no memory of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    bytes: [u8; TEXT_LEN_MAX],
    len: usize,
}

/// `;received=` and the longest address.
const TEXT_LEN_MAX: usize = 56;

impl Text {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; TEXT_LEN_MAX],
            len: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes[self.len..].get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

/// Nothing of ours is longer: an address has 45 characters at most.
impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// What makes the topmost Via say where the request came from (RFC 3261 §18.2.1, RFC 3581 §4), in
/// the order of the places.
pub(crate) fn received_replacements(
    message: &Message<'_>,
    address: IpAddr,
    port: Option<u16>,
) -> Result<[Option<Replacement>; 2], HeaderError> {
    let field = message
        .header(HeaderId::Via)
        .ok_or(HeaderError::Missing(HeaderId::Via))?;
    let value = first_value(field);
    let via = message.via()?;
    let value_end = message.position(value) + value.len();
    let begin = |name: &[u8]| {
        let mut text = Text::new();
        let place = match via.params.find(name) {
            Some(param) => {
                let start = message.position(param.name);
                let last = param.value.unwrap_or(param.name);
                start..message.position(last) + last.len()
            }
            None => {
                text.push(b";");
                value_end..value_end
            }
        };
        text.push(name);
        text.push(b"=");
        (place, text)
    };
    let mut received = begin(b"received");
    push_address(&mut received.1, address);
    let Some(port) = port else {
        return Ok([Some(received), None]);
    };
    let mut rport = begin(b"rport");
    push_number(&mut rport.1, port);
    // In the order of their places; where both are added, the address comes first.
    Ok(match rport.0.start < received.0.start {
        true => [Some(rport), Some(received)],
        false => [Some(received), Some(rport)],
    })
}

/// Without the formatting machinery, which takes ten times as long.
fn push_address(out: &mut Text, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (number, octet) in address.octets().into_iter().enumerate() {
                if number > 0 {
                    out.push(b".");
                }
                push_number(out, octet.into());
            }
        }
        IpAddr::V6(address) => {
            // It fits.
            let _ = write!(out, "{address}");
        }
    }
}

pub(crate) fn push_number(out: &mut Text, number: u16) {
    let mut weight = 10_000;
    while weight > 1 && number < weight {
        weight /= 10;
    }
    while weight > 0 {
        if let Ok(digit) = u8::try_from(number / weight % 10) {
            out.push(&[b'0' + digit]);
        }
        weight /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_everywhere() {
        for number in [0, 1, 9, 10, 99, 100, 255, 1_000, 5_060, 10_000, u16::MAX] {
            let mut out = Text::new();
            push_number(&mut out, number);
            assert_eq!(out.bytes(), number.to_string().as_bytes());
        }
        let longest = "2001:db8:1111:2222:3333:4444:5555:6666";
        for address in ["0.0.0.0", "198.51.100.23", "255.255.255.255", longest] {
            let mut out = Text::new();
            push_address(&mut out, address.parse().unwrap());
            assert_eq!(out.bytes(), address.as_bytes());
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

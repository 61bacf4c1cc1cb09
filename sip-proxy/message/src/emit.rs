//! Writing bytes that cannot become more lines than were meant.

use std::net::IpAddr;
use std::ops::Range;

use crate::header::scan::is_token;
use crate::header::{HeaderError, HeaderId, Via, first_value};
use crate::message::Message;

/// Appends text with CR, LF and NUL as spaces: no value can add a line or hide the rest of one.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|byte| match byte {
        b'\r' | b'\n' | 0 => b' ',
        byte => *byte,
    }));
}

/// Appends `Name: value` and CRLF. In a name, what is no token becomes `_`, and so does no name.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let name = if name.is_empty() { b"_" } else { name };
    out.extend(
        name.iter()
            .map(|byte| if is_token(*byte) { *byte } else { b'_' }),
    );
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
pub(crate) type Replacement = (Range<usize>, String);

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
    let via = Via::parse(value)?;
    let value_end = message.position(value) + value.len();
    let mut replacements = Vec::with_capacity(2);
    let mut set = |name: &str, text: &str| {
        let replacement = match via.params.find(name.as_bytes()) {
            Some(param) => {
                let start = message.position(param.name);
                let last = param.value.unwrap_or(param.name);
                let end = message.position(last) + last.len();
                (start..end, format!("{name}={text}"))
            }
            None => (value_end..value_end, format!(";{name}={text}")),
        };
        replacements.push(replacement);
    };
    set("received", &address.to_string());
    if let Some(port) = port {
        set("rport", &port.to_string());
    }
    replacements.sort_by_key(|(place, _)| place.start);
    Ok(replacements)
}

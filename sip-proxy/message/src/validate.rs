//! What must hold before a request or a response is processed (RFC 3261 §8.2, §16.3, §18.1.2).

use crate::header::{CSeq, Contact, Contacts, HeaderError, HeaderId, Via, first_value};
use crate::limits::VALUE_COUNT_MAX;
use crate::message::{Message, StartLine};
use crate::method::Method;
use crate::uri::{Scheme, Uri, UriError};

/// Why a message goes no further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Answer with this status, made by [`Response`](crate::Response). If the topmost Via cannot be
    /// parsed, the answer goes to where the request came from.
    Answer {
        /// 400, 414, 416, 420, 483, 505.
        status: u16,
        /// The phrase says what is wrong.
        reason: &'static str,
        /// For 420: the header whose option tags we do not know. Those of them that are not
        /// supported go into Unsupported.
        unsupported: Option<HeaderId>,
    },
    /// No answer is possible: an ACK, a response, or nobody to send it to.
    Drop {
        /// For a counter.
        reason: &'static str,
    },
}

/// Checks a request, whoever is to process it (RFC 3261 §8.2.1, §8.2.2, §16.3 steps 1 and 2).
///
/// # Errors
/// If it is to be answered or dropped at once.
pub fn validate_request(message: &Message<'_>) -> Result<(), Refusal> {
    let StartLine::Request { method, uri } = message.start_line() else {
        return Err(drop("not a request"));
    };
    let Some(via) = message.header(HeaderId::Via) else {
        return Err(drop("no Via"));
    };
    if message.via().is_err() && !Via::has_sent_by(first_value(via)) {
        return Err(drop("unusable Via"));
    }
    check_request(message, method, uri).map_err(|refusal| unanswerable(method, refusal))
}

/// Checks a request that is to be forwarded (RFC 3261 §16.3 steps 3 and 5), after
/// [`validate_request`]. `options` are the option tags that the proxy supports.
///
/// # Errors
/// If it is to be answered or dropped.
pub fn validate_forward(message: &Message<'_>, options: &[&[u8]]) -> Result<(), Refusal> {
    let check = || {
        let hops = message
            .max_forwards()
            .map_err(|_| bad("Bad Max-Forwards"))?;
        if hops == Some(0) {
            return Err(answer(483, "Too Many Hops"));
        }
        check_options(message, HeaderId::ProxyRequire, options)
    };
    check().map_err(|refusal| unanswerable_for(message, refusal))
}

/// Checks a request that is answered here and not forwarded (RFC 3261 §8.2.2.3), after
/// [`validate_request`]. `options` are the option tags that are supported.
///
/// # Errors
/// If it is to be answered or dropped.
pub fn validate_local(message: &Message<'_>, options: &[&[u8]]) -> Result<(), Refusal> {
    // "Require MUST NOT be used in … CANCEL, or in an ACK … and MUST be ignored if present."
    if matches!(message.method(), Some(Method::Ack | Method::Cancel)) {
        return Ok(());
    }
    check_options(message, HeaderId::Require, options)
}

/// Checks a response: what is needed to find its transaction and to pass it on.
///
/// # Errors
/// If it is to be dropped.
pub fn validate_response(message: &Message<'_>) -> Result<(), Refusal> {
    if message.status().is_none() {
        return Err(drop("not a response"));
    }
    if !message.is_version_supported() {
        return Err(drop("unknown SIP version"));
    }
    message.via().map_err(|_| drop("unusable Via"))?;
    check_dialog_fields(message).map_err(drop)?;
    check_lists(message).map_err(drop)
}

/// Reads what [`Message::parse`] refused as far as that can be done, to answer it: with 400 if
/// this returns a request. Lines that are broken are passed over, of duplicates the first is
/// taken. The result is for [`Response`](crate::Response) only, and must never be passed on. `None`
/// if no answer is possible.
#[must_use]
pub fn salvage(bytes: &[u8]) -> Option<Message<'_>> {
    let message = Message::parse_broken(bytes)?;
    let has_via = message
        .header(HeaderId::Via)
        .is_some_and(|via| Via::has_sent_by(first_value(via)));
    (has_via && message.method() != Some(Method::Ack)).then_some(message)
}

fn check_request(message: &Message<'_>, method: Method<'_>, uri: &[u8]) -> Result<(), Refusal> {
    if !message.is_version_supported() {
        return Err(answer(505, "Version Not Supported"));
    }
    let cseq = check_dialog_fields(message).map_err(bad)?;
    if cseq.method != method {
        return Err(bad("CSeq Method Mismatch"));
    }
    message
        .max_forwards()
        .map_err(|_| bad("Bad Max-Forwards"))?;
    check_request_uri(uri)?;
    check_lists(message).map_err(bad)?;
    message.expires().map_err(|_| bad("Bad Expires"))?;
    Ok(())
}

/// Each reason is what is wrong.
fn check_dialog_fields<'a>(message: &Message<'a>) -> Result<CSeq<'a>, &'static str> {
    let is_sound = |name_addr: crate::NameAddr<'_>| name_addr.parse_uri().is_ok();
    let phrase = |error, missing, malformed| match error {
        HeaderError::Missing(_) => missing,
        HeaderError::Malformed(_) | HeaderError::TooMany(_) => malformed,
    };
    let from = message.from();
    let from = from.map_err(|error| phrase(error, "Missing From", "Bad From"))?;
    let to = message.to();
    let to = to.map_err(|error| phrase(error, "Missing To", "Bad To"))?;
    if !is_sound(from) {
        return Err("Bad From URI");
    }
    if !is_sound(to) {
        return Err("Bad To URI");
    }
    let call_id = message.call_id();
    call_id.map_err(|error| phrase(error, "Missing Call-ID", "Bad Call-ID"))?;
    let cseq = message.cseq();
    cseq.map_err(|error| phrase(error, "Missing CSeq", "Bad CSeq"))
}

/// A request URI has no headers (RFC 3261 §19.1.1, table 1): who takes them for a request to
/// build, builds another one than was sent.
fn check_request_uri(uri: &[u8]) -> Result<(), Refusal> {
    match Uri::parse(uri) {
        Ok(uri) if uri.scheme == Scheme::Other => Err(answer(416, "Unsupported URI Scheme")),
        Ok(uri) if uri.headers.is_some() => Err(bad("Headers In Request-URI")),
        Ok(_) => Ok(()),
        Err(UriError::Length) => Err(answer(414, "Request-URI Too Long")),
        Err(_) => Err(bad("Bad Request-URI")),
    }
}

/// What a proxy routes by, and what the ends of a dialog will route by.
fn check_lists(message: &Message<'_>) -> Result<(), &'static str> {
    for (id, bad) in [
        (HeaderId::Via, "Bad Via"),
        (HeaderId::Route, "Bad Route"),
        (HeaderId::RecordRoute, "Bad Record-Route"),
        (HeaderId::Path, "Bad Path"),
    ] {
        if !message.contains(id) {
            continue;
        }
        let mut count = 0;
        let mut note = |is_sound| {
            count += 1;
            is_sound && count <= VALUE_COUNT_MAX
        };
        let is_sound = match id {
            HeaderId::Via => message.vias().all(|via| note(via.is_ok())),
            _ => message
                .name_addrs(id)
                .all(|route| note(route.is_ok_and(|route| route.parse_uri().is_ok()))),
        };
        if !is_sound {
            return Err(bad);
        }
    }
    let is_sound = |contact: &Contact<'_>| contact.name_addr.parse_uri().is_ok();
    match Contacts::parse(message, is_sound) {
        Ok(Contacts::List(_)) => Ok(()),
        Ok(Contacts::Star) if message.method() == Some(Method::Register) => Ok(()),
        Ok(Contacts::Star) | Err(_) => Err("Bad Contact"),
    }
}

fn check_options(message: &Message<'_>, id: HeaderId, options: &[&[u8]]) -> Result<(), Refusal> {
    let is_known = |tag: &[u8]| options.iter().any(|known| known.eq_ignore_ascii_case(tag));
    if message.tokens(id).all(is_known) {
        return Ok(());
    }
    Err(Refusal::Answer {
        status: 420,
        reason: "Bad Extension",
        unsupported: Some(id),
    })
}

fn unanswerable_for(message: &Message<'_>, refusal: Refusal) -> Refusal {
    match message.method() {
        Some(method) => unanswerable(method, refusal),
        None => drop("not a request"),
    }
}

/// An ACK is never answered (RFC 3261 §17.1).
fn unanswerable(method: Method<'_>, refusal: Refusal) -> Refusal {
    match (method, refusal) {
        (Method::Ack, Refusal::Answer { reason, .. }) => drop(reason),
        (_, refusal) => refusal,
    }
}

const fn answer(status: u16, reason: &'static str) -> Refusal {
    Refusal::Answer {
        status,
        reason,
        unsupported: None,
    }
}

const fn bad(reason: &'static str) -> Refusal {
    answer(400, reason)
}

const fn drop(reason: &'static str) -> Refusal {
    Refusal::Drop { reason }
}

#[cfg(test)]
mod tests;

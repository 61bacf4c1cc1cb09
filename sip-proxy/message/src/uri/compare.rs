//! When two URIs are the same (RFC 3261 §19.1.4).

use super::escape::characters;
use super::{Scheme, Uri};
use crate::header::{Param, Params};
use crate::limits::PARAM_COUNT_MAX;

/// Parameters that make URIs different if only one has them.
const DECISIVE: [&[u8]; 5] = [b"maddr", b"method", b"transport", b"ttl", b"user"];

pub(super) fn is_equivalent(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    if one.scheme != other.scheme {
        return false;
    }
    match one.scheme {
        Scheme::Other => one.bytes == other.bytes,
        Scheme::Tel => is_same_number(one, other) && agree(one.params, other.params),
        Scheme::Sip | Scheme::Sips => {
            is_same_part(one.user, other.user)
                && is_same_part(one.password, other.password)
                && is_same_host(one, other)
                && one.port == other.port
                && agree(one.params, other.params)
                && are_same_headers(one.headers, other.headers)
        }
    }
}

fn is_same_host(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    match (one.host, other.host) {
        (Some(one), Some(other)) => one.is_equivalent(other),
        _ => false,
    }
}

/// User and password are compared with case.
fn is_same_part(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => characters(one).eq(characters(other)),
        _ => false,
    }
}

/// Visual separators do not count (RFC 3966 §4).
fn is_same_number(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    let digits = |uri: &Uri<'_>| {
        uri.user
            .unwrap_or_default()
            .iter()
            .filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')'))
            .map(u8::to_ascii_lowercase)
            .collect::<Vec<_>>()
    };
    digits(one) == digits(other)
}

fn agree(one: Params<'_>, other: Params<'_>) -> bool {
    covers(one, other) && covers(other, one)
}

/// Whether each parameter of `one` is the same in `other`, or may be missing there.
fn covers(one: Params<'_>, other: Params<'_>) -> bool {
    one.iter().all(|param| match other.find(param.name) {
        Some(found) => is_same_value(param, found),
        None => !DECISIVE
            .iter()
            .any(|name| param.name.eq_ignore_ascii_case(name)),
    })
}

fn is_same_value(one: Param<'_>, other: Param<'_>) -> bool {
    match (one.value, other.value) {
        (None, None) => true,
        (Some(one), Some(other)) => is_same_text(one, other),
        _ => false,
    }
}

fn is_same_text(one: &[u8], other: &[u8]) -> bool {
    let lowered = |bytes| {
        characters(bytes).map(|mut character| {
            character.byte.make_ascii_lowercase();
            character
        })
    };
    lowered(one).eq(lowered(other))
}

/// In any order. More headers than anybody uses are the same only if written the same.
fn are_same_headers(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return one.is_none() && other.is_none();
    };
    let split = |headers| <[u8]>::split(headers, |byte: &u8| *byte == b'&');
    if split(one).count() > PARAM_COUNT_MAX || split(one).count() != split(other).count() {
        return one == other;
    }
    let count = |header: &[u8], headers| split(headers).filter(|h| is_same_text(h, header)).count();
    split(one).all(|header| count(header, one) == count(header, other))
}

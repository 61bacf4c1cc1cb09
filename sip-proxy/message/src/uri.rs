//! URIs (RFC 3261 §19.1, RFC 3966).

mod compare;
mod escape;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memchr;

use crate::header::scan::{is_host, is_plain_uri, is_uri, is_user, port};
use crate::header::{Param, Params};
use crate::limits::URI_LEN_MAX;

/// A URI as it stands in a message.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Uri<'a> {
    bytes: &'a [u8],
    /// Which grammar the rest follows.
    pub scheme: Scheme,
    /// The user, escaped as written; of a `tel` URI the number; `None` if there is no `@`.
    pub user: Option<&'a [u8]>,
    /// Deprecated, and a secret: never logged.
    pub password: Option<&'a [u8]>,
    /// `None` for `tel` and schemes we do not know.
    pub host: Option<Host<'a>>,
    /// As written; 5060 or 5061 is not assumed.
    pub port: Option<u16>,
    /// `;transport=udp;lr` …
    pub params: Params<'a>,
    /// After `?`, without it.
    pub headers: Option<&'a [u8]>,
}

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// Any other; only its bytes are known.
    Other,
    /// `sip`.
    Sip,
    /// `sips`: TLS to the target's domain.
    Sips,
    /// `tel` (RFC 3966).
    Tel,
}

/// A host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Host<'a> {
    /// An IPv4 or (in brackets) an IPv6 address.
    Address(IpAddr),
    /// A name; compared without case.
    Name(&'a [u8]),
}

/// Why bytes are no URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UriError {
    /// The host is missing or not one.
    #[error("URI without a valid host")]
    Host,
    /// Longer than [`URI_LEN_MAX`].
    #[error("URI too long")]
    Length,
    /// Not a number from 1 to 65535.
    #[error("URI with an invalid port")]
    Port,
    /// No scheme, or something that is no scheme.
    #[error("URI without a scheme")]
    Scheme,
    /// A character that must be escaped, or an escape that is none.
    #[error("URI with an invalid character")]
    Syntax,
}

impl<'a> Uri<'a> {
    /// Parses a URI to its last byte.
    ///
    /// # Errors
    /// If it breaks its grammar. A scheme that we do not know has none, but for white space,
    /// angle brackets and quotes, which no URI holds.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UriError> {
        if bytes.len() > URI_LEN_MAX {
            return Err(UriError::Length);
        }
        let (scheme, rest) = match bytes {
            // As nearly all are written.
            [b's', b'i', b'p', b':', rest @ ..] => (Scheme::Sip, rest),
            _ => split_scheme(bytes)?,
        };
        let marks = Marks::find(rest).ok_or(UriError::Syntax)?;
        let mut uri = Self {
            bytes,
            scheme,
            user: None,
            password: None,
            host: None,
            port: None,
            params: Params::default(),
            headers: None,
        };
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => uri.read_sip(rest, marks)?,
            Scheme::Tel => uri.read_tel(rest)?,
            Scheme::Other => {}
        }
        Ok(uri)
    }

    /// As written.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The user without escapes (`%41` → `A`), to compare or to look up. May hold any byte.
    #[must_use]
    pub fn user_unescaped(&self) -> Option<Cow<'a, [u8]>> {
        self.user.map(escape::unescape)
    }

    /// Whether it has `;lr`: the next hop is a loose router (RFC 3261 §19.1.1).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.params.contains(b"lr")
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4). A URI of a scheme that we do not
    /// know is equal to the same bytes only.
    #[must_use]
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        compare::is_equivalent(self, other)
    }

    fn read_sip(&mut self, rest: &'a [u8], marks: Marks) -> Result<(), UriError> {
        let rest = match marks.at {
            None => rest,
            Some(at) if marks.is_user_plain && at > 0 => {
                self.user = Some(&rest[..at]);
                &rest[at + 1..]
            }
            Some(at) => {
                self.read_user(&rest[..at])?;
                &rest[at + 1..]
            }
        };
        let host_len = host_len(rest).ok_or(UriError::Host)?;
        let (host, rest) = rest.split_at(host_len);
        self.host = Some(Host::parse(host).ok_or(UriError::Host)?);
        let rest = match rest {
            [b':', rest @ ..] => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                self.port = Some(port(&rest[..digits]).ok_or(UriError::Port)?);
                &rest[digits..]
            }
            rest => rest,
        };
        // A second `@` would show another host to whoever looks for the last one.
        if marks.has_second_at {
            return Err(UriError::Syntax);
        }
        let mut params = rest;
        if marks.has_question
            && let Some(question) = memchr(b'?', rest)
        {
            params = &rest[..question];
            let headers = &rest[question + 1..];
            self.headers = Some(headers).filter(|headers| !headers.is_empty());
            self.headers.ok_or(UriError::Syntax)?;
        }
        self.read_params(params)
    }

    fn read_user(&mut self, userinfo: &'a [u8]) -> Result<(), UriError> {
        let user_len = userinfo.iter().take_while(|byte| is_user(**byte)).count();
        let (user, rest) = userinfo.split_at(user_len);
        self.user = Some(user);
        match rest {
            _ if user.is_empty() => return Err(UriError::Syntax),
            [] => {}
            [b':', password @ ..] if password.iter().all(|byte| is_user(*byte)) => {
                self.password = Some(password);
            }
            _ => return Err(UriError::Syntax),
        }
        Ok(())
    }

    fn read_tel(&mut self, rest: &'a [u8]) -> Result<(), UriError> {
        let end = memchr(b';', rest).unwrap_or(rest.len());
        let (number, params) = rest.split_at(end);
        if number.is_empty() || !number.iter().all(|byte| is_phone(*byte)) {
            return Err(UriError::Syntax);
        }
        self.user = Some(number);
        self.read_params(params)
    }

    /// No parameter may stand twice (RFC 3261 §19.1.1): the next hop may believe the other one.
    fn read_params(&mut self, params: &'a [u8]) -> Result<(), UriError> {
        if params.is_empty() {
            return Ok(());
        }
        self.params = Params::parse(params, |_| Some(())).ok_or(UriError::Syntax)?;
        let is_repeated = |(number, param): (usize, Param<'_>)| {
            let mut earlier = self.params.iter().take(number);
            earlier.any(|other| other.name.eq_ignore_ascii_case(param.name))
        };
        if self.params.iter().enumerate().any(is_repeated) {
            return Err(UriError::Syntax);
        }
        Ok(())
    }
}

/// Without the password.
impl fmt::Debug for Uri<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Uri")
            .field("scheme", &self.scheme)
            .field("user", &self.user.map(String::from_utf8_lossy))
            .field("host", &self.host)
            .field("port", &self.port)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl Scheme {
    fn from_name(name: &[u8]) -> Self {
        if name.eq_ignore_ascii_case(b"sip") {
            Self::Sip
        } else if name.eq_ignore_ascii_case(b"sips") {
            Self::Sips
        } else if name.eq_ignore_ascii_case(b"tel") {
            Self::Tel
        } else {
            Self::Other
        }
    }
}

impl<'a> Host<'a> {
    /// Parses a host: an address, an IPv6 address in brackets, or a name.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes {
            [b'[', inner @ .., b']'] => parse_ipv6(inner).map(Self::Address),
            [b'0'..=b'9', ..] => match parse_ipv4(bytes) {
                Some(address) => Some(Self::Address(IpAddr::V4(address))),
                None => is_name(bytes).then_some(Self::Name(bytes)),
            },
            name => is_name(name).then_some(Self::Name(name)),
        }
    }

    /// Parses an address, an IPv6 address with or without brackets.
    pub(crate) fn parse_address(bytes: &[u8]) -> Option<IpAddr> {
        match bytes {
            [b'[', inner @ .., b']'] => parse_ipv6(inner),
            _ => parse_ipv4(bytes)
                .map(IpAddr::V4)
                .or_else(|| parse_ipv6(bytes)),
        }
    }

    /// The address, if it is one.
    #[must_use]
    pub const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Name(_) => None,
        }
    }

    /// Whether both are the same host. A dot at the end of a name makes no difference.
    #[must_use]
    pub fn is_equivalent(self, other: Host<'_>) -> bool {
        match (self, other) {
            (Self::Address(one), Host::Address(other)) => one == other,
            (Self::Name(one), Host::Name(other)) => {
                without_dot(one).eq_ignore_ascii_case(without_dot(other))
            }
            _ => false,
        }
    }
}

/// As it stands in a URI: IPv6 in brackets.
impl fmt::Display for Host<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(formatter),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Name(name) => formatter.write_str(&String::from_utf8_lossy(name)),
        }
    }
}

/// Where the marks of a URI are.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// The first `@`.
    at: Option<usize>,
    /// What stands before it is a user and no more.
    is_user_plain: bool,
    has_second_at: bool,
    has_question: bool,
}

impl Marks {
    /// Checks every character of what follows the scheme, and every escape, in one pass: nearly
    /// every URI has an `@`, so looking for the marks afterwards is slower.
    fn find(rest: &[u8]) -> Option<Self> {
        let mut marks = Self::default();
        let mut has_escape = false;
        let mut is_user_so_far = true;
        for (at, byte) in rest.iter().enumerate() {
            if !is_plain_uri(*byte) {
                match byte {
                    byte if !is_uri(*byte) => return None,
                    b'@' if marks.at.is_some() => marks.has_second_at = true,
                    b'@' => {
                        marks.at = Some(at);
                        marks.is_user_plain = is_user_so_far;
                    }
                    b'?' => marks.has_question = true,
                    _ => has_escape = true,
                }
            }
            is_user_so_far &= is_user(*byte);
        }
        let is_sound = !rest.is_empty() && (!has_escape || escape::is_sound(rest));
        is_sound.then_some(marks)
    }
}

fn without_dot(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

/// The scheme and what follows its colon.
fn split_scheme(bytes: &[u8]) -> Result<(Scheme, &[u8]), UriError> {
    let colon = bytes
        .iter()
        .position(|byte| !is_scheme(*byte))
        .filter(|at| bytes[*at] == b':')
        .ok_or(UriError::Scheme)?;
    let (scheme, rest) = (&bytes[..colon], &bytes[colon + 1..]);
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(UriError::Scheme);
    }
    Ok((Scheme::from_name(scheme), rest))
}

/// Length of the host that `bytes` begins with.
fn host_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'[') {
        return memchr(b']', bytes).map(|close| close + 1);
    }
    let len = bytes
        .iter()
        .position(|byte| !is_host(*byte))
        .unwrap_or(bytes.len());
    matches!(bytes.get(len), None | Some(b':' | b';' | b'?')).then_some(len)
}

/// Without brackets. A zone (`%eth0`) is refused by the standard library too; the length bounds
/// its work.
fn parse_ipv6(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = Some(text).filter(|text| text.len() <= IPV6_LEN_MAX)?;
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// Four numbers of one to three digits; a leading zero is refused, since some read it as octal.
fn parse_ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    if !(7..=15).contains(&bytes.len()) {
        return None;
    }
    let (mut address, mut dots, mut octet, mut digits) = (0_u32, 0, 0_u32, 0);
    for byte in bytes {
        if *byte == b'.' {
            if digits == 0 || dots == 3 {
                return None;
            }
            address = address << 8 | octet;
            (dots, octet, digits) = (dots + 1, 0, 0);
            continue;
        }
        let is_leading_zero = digits > 0 && octet == 0;
        if !byte.is_ascii_digit() || is_leading_zero {
            return None;
        }
        octet = octet * 10 + u32::from(*byte - b'0');
        digits += 1;
        if octet > 255 {
            return None;
        }
    }
    let is_whole = dots == 3 && digits > 0;
    is_whole.then(|| Ipv4Addr::from_bits(address << 8 | octet))
}

/// Labels divided by dots, the last of which is not a number: `1.2.3` is a mistake, not a name.
fn is_name(bytes: &[u8]) -> bool {
    let bytes = without_dot(bytes);
    if bytes.is_empty() || bytes.len() > HOST_LEN_MAX {
        return false;
    }
    let mut label_start = 0;
    let mut last_has_letter = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'.' if at == label_start => return false,
            b'.' => {
                label_start = at + 1;
                last_has_letter = false;
            }
            byte if !is_host(*byte) => return false,
            byte => last_has_letter |= !byte.is_ascii_digit(),
        }
    }
    label_start < bytes.len() && last_has_letter
}

/// Of an IPv6 address with an IPv4 address as its end, written in full.
const IPV6_LEN_MAX: usize = 45;

/// Of a domain name (RFC 1035 §2.3.4).
const HOST_LEN_MAX: usize = 255;

const fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Digits, `+`, visual separators, and what RFC 3966 §3 calls local numbers.
const fn is_phone(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b'+' | b'-' | b'.' | b'(' | b')' | b'*' | b'#')
}

#[cfg(test)]
mod tests;

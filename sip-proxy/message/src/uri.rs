//! URIs (RFC 3261 §19.1, RFC 3966).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::header::Params;

/// A URI as it stands in a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    /// Longer than [`URI_LEN_MAX`](crate::URI_LEN_MAX).
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
    pub fn parse(_bytes: &'a [u8]) -> Result<Self, UriError> {
        todo!()
    }

    /// As written.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The user without escapes (`%41` → `A`), to compare or to look up.
    #[must_use]
    pub fn user_unescaped(&self) -> Option<Vec<u8>> {
        todo!()
    }

    /// Whether it has `;lr`: the next hop is a loose router (RFC 3261 §19.1.1).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.params.contains(b"lr")
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4). `header` fields in URIs are
    /// compared byte by byte in the order written.
    #[must_use]
    pub fn is_equivalent(&self, _other: &Uri<'_>) -> bool {
        todo!()
    }
}

impl<'a> Host<'a> {
    /// Parses a host: an address, an address in brackets, or a name.
    #[must_use]
    pub fn parse(_bytes: &'a [u8]) -> Option<Self> {
        todo!()
    }

    /// The address, if it is one.
    #[must_use]
    pub const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Name(_) => None,
        }
    }

    /// Whether both are the same host.
    #[must_use]
    pub fn is_equivalent(self, _other: Host<'_>) -> bool {
        todo!()
    }
}

impl std::fmt::Display for Host<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => {
                <Ipv4Addr as std::fmt::Display>::fmt(address, formatter)
            }
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{}]", address as &Ipv6Addr),
            Self::Name(name) => formatter.write_str(&String::from_utf8_lossy(name)),
        }
    }
}

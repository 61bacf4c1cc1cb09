//! What Record-Route carries: where both ends of a dialog are, signed.
//!
//! A request inside a dialog comes back with it, so that it finds its way even when nobody here
//! remembers the dialog, and to nowhere else: whoever is not part of the dialog cannot make a
//! token, and whoever is can reach only the other end with it.

use std::net::{IpAddr, SocketAddr};

use subtle::ConstantTimeEq;

use crate::interface::{ConnectionId, Destination, ListenerId};
use crate::secret::{CODE_LEN, Secret, hex, unhex};

/// Both ends of a dialog.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FlowToken {
    /// Which run of the process made it.
    pub(crate) epoch: u32,
    /// The end whose tag the token is signed with.
    pub(crate) caller: Destination,
    pub(crate) callee: Destination,
}

impl FlowToken {
    /// The user part of a URI.
    pub(crate) fn emit(&self, secret: &Secret, call_id: &[u8], caller_tag: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        write_end(&mut bytes, self.caller);
        write_end(&mut bytes, self.callee);
        let code = secret.code("flow", &[call_id, caller_tag, &bytes]);
        bytes.extend_from_slice(&code);
        [str::from_utf8(PREFIX).unwrap_or_default(), &hex(&bytes)].concat()
    }

    /// Reads a token, if it was made for this dialog.
    pub(crate) fn parse(
        user: &[u8],
        secret: &Secret,
        call_id: &[u8],
        caller_tag: &[u8],
    ) -> Option<Self> {
        let bytes = unhex(user.strip_prefix(PREFIX)?)?;
        let (signed, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE_LEN)?)?;
        let expected = secret.code("flow", &[call_id, caller_tag, signed]);
        if !bool::from(expected.ct_eq(code)) {
            return None;
        }
        let (epoch, mut rest) = signed.split_first_chunk()?;
        Some(Self {
            epoch: u32::from_be_bytes(*epoch),
            caller: read_end(&mut rest)?,
            callee: read_end(&mut rest)?,
        })
    }
}

/// Begins the user part.
pub(crate) const PREFIX: &[u8] = b"tan";

/// Characters of the shortest token: the run, two IPv4 ends, the code.
const USER_LEN_MIN: usize = PREFIX.len() + 2 * (4 + 2 * 9 + CODE_LEN);

/// Whether a user part is a token rather than somebody's name; says nothing about whose it is.
pub(crate) fn looks_like_token(user: &[u8]) -> bool {
    user.len() >= USER_LEN_MIN
        && user
            .strip_prefix(PREFIX)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

const FLAG_IPV6: u8 = 1;
const FLAG_CONNECTION: u8 = 2;

fn write_end(bytes: &mut Vec<u8>, end: Destination) {
    let is_v6 = end.address.is_ipv6();
    let mut flags = if is_v6 { FLAG_IPV6 } else { 0 };
    if end.connection.is_some() {
        flags |= FLAG_CONNECTION;
    }
    bytes.push(flags);
    bytes.extend_from_slice(&end.listener.0.to_be_bytes());
    match end.address.ip() {
        IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
    }
    bytes.extend_from_slice(&end.address.port().to_be_bytes());
    if let Some(ConnectionId(number)) = end.connection {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
}

fn read_end(bytes: &mut &[u8]) -> Option<Destination> {
    let [flags] = take(bytes)?;
    let listener = ListenerId(u16::from_be_bytes(take(bytes)?));
    let ip = if flags & FLAG_IPV6 == 0 {
        IpAddr::from(take::<4>(bytes)?)
    } else {
        IpAddr::from(take::<16>(bytes)?)
    };
    let port = u16::from_be_bytes(take(bytes)?);
    let connection = match flags & FLAG_CONNECTION {
        0 => None,
        _ => Some(ConnectionId(u64::from_be_bytes(take(bytes)?))),
    };
    Some(Destination {
        listener,
        address: SocketAddr::new(ip, port),
        connection,
    })
}

fn take<const LEN: usize>(bytes: &mut &[u8]) -> Option<[u8; LEN]> {
    let (chunk, rest) = bytes.split_first_chunk::<LEN>()?;
    *bytes = rest;
    Some(*chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> FlowToken {
        FlowToken {
            epoch: 77,
            caller: Destination {
                listener: ListenerId(0),
                address: "192.0.2.1:5060".parse().unwrap(),
                connection: None,
            },
            callee: Destination {
                listener: ListenerId(3),
                address: "[2001:db8::1]:50000".parse().unwrap(),
                connection: Some(ConnectionId(9)),
            },
        }
    }

    #[test]
    fn comes_back_for_its_dialog_only() {
        let secret = Secret::new([3; 32]);
        let user = token().emit(&secret, b"call", b"tag");
        assert!(looks_like_token(user.as_bytes()));
        assert!(!looks_like_token(b"tangent"));
        let parse = |secret: &Secret, call_id: &[u8], tag: &[u8]| {
            FlowToken::parse(user.as_bytes(), secret, call_id, tag)
        };
        assert_eq!(parse(&secret, b"call", b"tag"), Some(token()));
        assert_eq!(parse(&secret, b"other", b"tag"), None);
        assert_eq!(parse(&secret, b"call", b"gat"), None);
        assert_eq!(parse(&Secret::new([4; 32]), b"call", b"tag"), None);
    }

    #[test]
    fn nothing_shorter_or_changed_is_a_token() {
        let secret = Secret::new([3; 32]);
        let user = token().emit(&secret, b"call", b"tag").into_bytes();
        for at in 0..user.len() {
            let mut forged = user.clone();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(FlowToken::parse(&forged, &secret, b"call", b"tag"), None);
            assert_eq!(
                FlowToken::parse(&user[..at], &secret, b"call", b"tag"),
                None
            );
        }
    }
}

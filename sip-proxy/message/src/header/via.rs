//! Via (RFC 3261 §20.42, RFC 3581).

use std::net::IpAddr;

use super::scan::{Cursor, is_lws, is_token, port};
use super::{HeaderError, HeaderId, Param, Params};
use crate::uri::Host;

/// One hop that a request went through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Via<'a> {
    /// `UDP`, `TCP` …; compared without case.
    pub transport: &'a [u8],
    /// Who sent it, by its own account.
    pub host: Host<'a>,
    /// Where it wants responses, by its own account.
    pub port: Option<u16>,
    /// Names the transaction; begins with `z9hG4bK` if it follows RFC 3261.
    pub branch: Option<&'a [u8]>,
    /// Where the request really came from, by the account of whoever received it.
    pub received: Option<IpAddr>,
    /// Whether responses are to go to the port that the request came from (RFC 3581).
    pub rport: Rport,
    /// Where responses are to go, by multicast.
    pub maddr: Option<Host<'a>>,
    /// All parameters.
    pub params: Params<'a>,
}

/// The parameter `rport`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Rport {
    /// Not there.
    #[default]
    Absent,
    /// Filled in by whoever received the request.
    Port(u16),
    /// Asked for.
    Requested,
}

/// Version, transport, host and port.
type SentBy<'a> = (&'a [u8], &'a [u8], Host<'a>, Option<u16>);

/// What a branch begins with if it names a transaction by itself (RFC 3261 §8.1.1.7).
const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

impl<'a> Via<'a> {
    /// Parses one value.
    ///
    /// # Errors
    /// If it breaks its grammar, or has one of the known parameters twice.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        Self::read(value).ok_or(HeaderError::Malformed(HeaderId::Via))
    }

    /// Whether a value says at least who sent the message, whatever follows.
    pub(crate) fn has_sent_by(value: &[u8]) -> bool {
        sent_by(&mut Cursor::new(value)).is_some()
    }

    /// Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4), apart from connections: `maddr`,
    /// else `received`, else the sent-by host; and `rport`, else the sent-by port, else none.
    #[must_use]
    pub fn response_target(&self) -> (Host<'a>, Option<u16>) {
        let host = match (self.maddr, self.received) {
            (Some(maddr), _) => maddr,
            (None, Some(address)) => Host::Address(address),
            (None, None) => self.host,
        };
        let port = match self.rport {
            Rport::Port(port) => Some(port),
            Rport::Absent | Rport::Requested => self.port,
        };
        (host, port)
    }

    /// The branch if it can name a transaction by itself (RFC 3261 §17.2.3).
    #[must_use]
    pub fn unique_branch(&self) -> Option<&'a [u8]> {
        self.branch.filter(|branch| {
            branch
                .split_at_checked(MAGIC_COOKIE.len())
                .is_some_and(|(cookie, rest)| {
                    cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !rest.is_empty()
                })
        })
    }

    fn read(value: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let (version, transport, host, port) = sent_by(&mut cursor)?;
        if version != b"2.0" {
            return None;
        }
        let mut via = Self {
            transport,
            host,
            port,
            branch: None,
            received: None,
            rport: Rport::Absent,
            maddr: None,
            params: Params::default(),
        };
        via.params = Params::parse(cursor.rest(), |param| via.read_param(param))?;
        Some(via)
    }

    /// Takes a parameter that we know; `None` if it is malformed or there twice.
    fn read_param(&mut self, param: Param<'a>) -> Option<()> {
        let is = |name: &[u8]| param.name.eq_ignore_ascii_case(name);
        let is_first = match param.name.len() {
            6 if is(b"branch") => {
                let branch = param
                    .value
                    .filter(|value| value.iter().all(|b| is_token(*b)))?;
                self.branch.replace(branch).is_none()
            }
            5 if is(b"rport") => {
                let rport = match param.value {
                    None => Rport::Requested,
                    Some(digits) => Rport::Port(port(digits)?),
                };
                std::mem::replace(&mut self.rport, rport) == Rport::Absent
            }
            8 if is(b"received") => {
                let address = Host::parse_address(param.value?)?;
                self.received.replace(address).is_none()
            }
            5 if is(b"maddr") => self.maddr.replace(Host::parse(param.value?)?).is_none(),
            _ => true,
        };
        is_first.then_some(())
    }
}

/// `SIP / 2.0 / UDP host : port`, white space as RFC 3261 §25.1 allows, as version, transport, host
/// and port. The version may be any: who speaks another one is told so.
fn sent_by<'a>(cursor: &mut Cursor<'a>) -> Option<SentBy<'a>> {
    cursor.skip_lws();
    let name = cursor.token()?;
    if !name.eq_ignore_ascii_case(b"SIP") || !cursor.eat_separator(b'/') {
        return None;
    }
    let version = cursor.token()?;
    if !cursor.eat_separator(b'/') {
        return None;
    }
    let transport = cursor.token()?;
    let before = cursor.rest().len();
    cursor.skip_lws();
    if cursor.rest().len() == before {
        return None;
    }
    let host = if cursor.peek() == Some(b'[') {
        let close = memchr::memchr(b']', cursor.rest())?;
        cursor.take(close + 1)
    } else {
        cursor.take_while(|byte| !is_lws(byte) && byte != b';' && byte != b':')
    };
    let host = Host::parse(host)?;
    let port = if cursor.eat_separator(b':') {
        Some(port(cursor.take_while(|byte| byte.is_ascii_digit()))?)
    } else {
        None
    };
    Some((version, transport, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_that_a_response_needs() {
        let via =
            Via::parse(b"SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa;rport;x=\"y;z\"").unwrap();
        assert_eq!(via.transport, b"UDP");
        assert_eq!(via.host, Host::Address([192, 0, 2, 1].into()));
        assert_eq!((via.port, via.rport), (Some(5070), Rport::Requested));
        assert_eq!(via.unique_branch(), Some(&b"z9hG4bKa"[..]));
        assert_eq!(via.params.value(b"X"), Some(&b"\"y;z\""[..]));
    }

    #[test]
    fn white_space_and_folds_stand_where_the_grammar_allows() {
        let via = Via::parse(
            b"SIP  / 2.0\r\n  / TCP     h.example.com : 9 ;\r\n  branch  =   z9hG4bK9 ; rport = 7",
        )
        .unwrap();
        assert_eq!((via.transport, via.port), (&b"TCP"[..], Some(9)));
        assert_eq!(via.host, Host::Name(b"h.example.com"));
        assert_eq!(
            (via.branch, via.rport),
            (Some(&b"z9hG4bK9"[..]), Rport::Port(7))
        );
    }

    #[test]
    fn response_goes_to_maddr_then_received_then_sent_by() {
        let target = |value| Via::parse(value).unwrap().response_target();
        let address = |text: &str| Host::Address(text.parse().unwrap());
        assert_eq!(target(b"SIP/2.0/UDP h:1"), (Host::Name(b"h"), Some(1)));
        assert_eq!(
            target(b"SIP/2.0/UDP h:1;received=::1;rport=2"),
            (address("::1"), Some(2))
        );
        assert_eq!(
            target(b"SIP/2.0/UDP h;maddr=239.1.1.1;received=[2001:db8::1]"),
            (address("239.1.1.1"), None)
        );
    }

    #[test]
    fn cookie_alone_names_no_transaction() {
        let via = Via::parse(b"SIP/2.0/UDP h;branch=z9hG4bK").unwrap();
        assert_eq!(via.unique_branch(), None);
        assert_eq!(via.branch, Some(&b"z9hG4bK"[..]));
    }

    #[test]
    fn refuses_malformed_and_doubled() {
        for value in [
            &b""[..],
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDP ",
            b"SIP/2.0 UDP h",
            b"SIP/3.0/UDP h",
            b"HTTP/2.0/UDP h",
            b"SIP/2.0/UDP h:",
            b"SIP/2.0/UDP h:0",
            b"SIP/2.0/UDP h:65536",
            b"SIP/2.0/UDP h:1x",
            b"SIP/2.0/UDP 1.2.3.4.5",
            b"SIP/2.0/UDP [::1",
            b"SIP/2.0/UDP h;;",
            b"SIP/2.0/UDP h;branch",
            b"SIP/2.0/UDP h;branch=a;branch=b",
            b"SIP/2.0/UDP h;rport;rport=1",
            b"SIP/2.0/UDP h;rport=x",
            b"SIP/2.0/UDP h;received=h",
            b"SIP/2.0/UDP h;received=1.1.1.1;received=2.2.2.2",
            b"SIP/2.0/UDP h i",
        ] {
            assert!(
                Via::parse(value).is_err(),
                "{}",
                String::from_utf8_lossy(value)
            );
        }
    }
}

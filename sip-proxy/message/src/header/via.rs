//! Via (RFC 3261 §20.42, RFC 3581).

use std::net::IpAddr;

use super::{HeaderError, Params};
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

impl<'a> Via<'a> {
    /// Parses one value.
    ///
    /// # Errors
    /// If it breaks its grammar, or has one of the known parameters twice.
    pub fn parse(_value: &'a [u8]) -> Result<Self, HeaderError> {
        todo!()
    }

    /// Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4), apart from connections: `maddr`,
    /// else `received`, else the sent-by host; and `rport`, else the sent-by port, else none.
    #[must_use]
    pub fn response_target(&self) -> (Host<'a>, Option<u16>) {
        todo!()
    }

    /// The branch if it can name a transaction by itself (RFC 3261 §17.2.3).
    #[must_use]
    pub fn unique_branch(&self) -> Option<&'a [u8]> {
        self.branch
            .filter(|branch| branch.len() > 7 && branch[..7].eq_ignore_ascii_case(b"z9hG4bK"))
    }
}

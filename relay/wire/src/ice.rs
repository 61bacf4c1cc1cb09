//! Ways to a peer that are found out by checks (ICE, RFC 8445).

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{ICE_BASES_MAX, ICE_CANDIDATES_MAX, ICE_TEXT_BYTES_MAX, Port};

/// What the relay must know to speak ICE for one component of a stream by itself: RTP, or RTCP
/// that has a port of its own.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ice {
    /// What the peer was told. Another is another beginning (RFC 8445 §9); media goes on as it
    /// went until that has led somewhere.
    pub local: IceCredentials,
    /// What the peer said; `None`: nothing yet. Its checks are answered, and none are made.
    pub remote: Option<IceCredentials>,
    /// The endpoints that the peer was told of, the one whose peer it is first; 1 to
    /// [`ICE_BASES_MAX`].
    pub bases: Vec<IceBase>,
    /// What the peer was told: 1 is RTP, or all; 2 is RTCP.
    pub component: u8,
    /// Decides if both sides want to decide, or none.
    pub tie_breaker: u64,
    /// The relay decides which way is taken, unless it turns out that the peer does too.
    pub is_controlling: bool,
    /// The relay makes no checks (RFC 8445 §2.5).
    pub is_lite: bool,
    /// The peer makes none.
    pub remote_is_lite: bool,
    /// Where the peer may be: at most [`ICE_CANDIDATES_MAX`].
    pub candidates: Vec<IceCandidate>,
}

impl Ice {
    /// Whether lists and texts are within their limits.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let texts = [Some(&self.local), self.remote.as_ref()];
        let mut texts = texts.into_iter().flatten();
        (1..=ICE_BASES_MAX).contains(&self.bases.len())
            && self.candidates.len() <= ICE_CANDIDATES_MAX
            && texts.all(|it| it.user.len().max(it.password.len()) <= ICE_TEXT_BYTES_MAX)
    }
}

/// Who somebody is (RFC 8839 §5.4). The password is not shown.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct IceCredentials {
    /// `ice-ufrag`.
    pub user: String,
    /// `ice-pwd`.
    pub password: String,
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// An endpoint that a peer was told of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct IceBase {
    /// Which.
    pub port: Port,
    /// That of its candidate.
    pub priority: u32,
}

/// Where a peer may be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct IceCandidate {
    /// The address.
    pub address: SocketAddr,
    /// The peer's priority for it.
    pub priority: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InterfaceId;

    #[test]
    fn what_is_too_much_is_seen_and_passwords_are_not() {
        let text = |len| IceCredentials {
            user: "u".repeat(len),
            password: "secret".to_owned(),
        };
        let base = IceBase {
            port: Port {
                interface: InterfaceId(0),
                number: 30_000,
            },
            priority: 1,
        };
        let ice = Ice {
            local: text(8),
            remote: None,
            bases: vec![base],
            component: 1,
            tie_breaker: 1,
            is_controlling: true,
            is_lite: false,
            remote_is_lite: false,
            candidates: Vec::new(),
        };
        assert!(ice.is_bounded());
        assert!(!format!("{ice:?}").contains("secret"));
        let candidate = IceCandidate {
            address: "192.0.2.1:1".parse().unwrap(),
            priority: 1,
        };
        for bad in [
            Ice {
                bases: vec![],
                ..ice.clone()
            },
            Ice {
                bases: vec![base; ICE_BASES_MAX + 1],
                ..ice.clone()
            },
            Ice {
                candidates: vec![candidate; ICE_CANDIDATES_MAX + 1],
                ..ice.clone()
            },
            Ice {
                local: text(ICE_TEXT_BYTES_MAX + 1),
                ..ice.clone()
            },
            Ice {
                remote: Some(text(ICE_TEXT_BYTES_MAX + 1)),
                ..ice.clone()
            },
        ] {
            assert!(!bad.is_bounded());
        }
    }
}

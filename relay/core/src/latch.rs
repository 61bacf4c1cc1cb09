//! Learns where the peer of an endpoint really is (RFC 7362 §4).
//!
//! Behind a NAT the address in SDP is a hint at best. The source of what arrives is the truth,
//! but anybody can send; so what is learnt is locked soon, and packets from elsewhere are
//! dropped from then on (RFC 7362 §5, CVE-2025-53399).
//!
//! ```text
//!            first packet                window over
//! Waiting ─────────────────► Learning ────────────────► Locked
//!    │                          │ a better match: learn that instead
//!    └──────────────────────────┴── a perfect match, or `Immediate` ──► Locked
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_wire::Learning;

use crate::DropReason;

/// How long after its first packet a peer may still turn out to be somewhere else. It is what
/// operators know from other relays.
pub(crate) const LEARNING_WINDOW: Duration = Duration::from_secs(3);

/// The address of one endpoint's peer, and how sure that is.
#[derive(Debug)]
pub(crate) struct Latch {
    signalled: Option<SocketAddr>,
    learning: Learning,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing has arrived yet.
    Waiting,
    /// Something has; something better may.
    Learning {
        source: SocketAddr,
        fit: Fit,
        until: Instant,
    },
    /// Nothing else is believed any more.
    Locked { source: SocketAddr },
}

/// How well a source fits what was signalled; the better, the greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Fit {
    Neither,
    Port,
    Address,
    Both,
}

impl Latch {
    pub(crate) fn new(signalled: Option<SocketAddr>, learning: Learning) -> Self {
        Self {
            signalled: signalled.filter(is_unicast),
            learning,
            state: State::Waiting,
        }
    }

    /// Takes over what signalling says. If it says the same as before (a re-INVITE that holds
    /// a call, say), what was learnt stays, so that nobody gets a second chance to be learnt.
    pub(crate) fn signal(&mut self, signalled: Option<SocketAddr>, learning: Learning) {
        let signalled = signalled.filter(is_unicast);
        if self.signalled != signalled || self.learning != learning {
            *self = Self::new(signalled, learning);
        }
    }

    /// Decides whether a packet from `source` is the peer's, and learns from it.
    pub(crate) fn accept(&mut self, now: Instant, source: SocketAddr) -> Result<(), DropReason> {
        if let State::Learning { source, until, .. } = self.state
            && now >= until
        {
            self.state = State::Locked { source };
        }
        let is_peer = match self.state {
            State::Locked { source: peer } => peer == source,
            State::Waiting => self.learn(now + LEARNING_WINDOW, source),
            State::Learning {
                source: peer,
                until,
                fit,
            } => peer == source || (self.is_better(source, fit) && self.learn(until, source)),
        };
        if is_peer {
            Ok(())
        } else {
            Err(DropReason::SourceMismatch)
        }
    }

    /// Where to send: what was learnt, or else what was signalled.
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        match self.state {
            State::Waiting => self.signalled,
            State::Learning { source, .. } | State::Locked { source } => Some(source),
        }
    }

    /// The address comes from packets.
    pub(crate) fn is_learnt(&self) -> bool {
        self.state != State::Waiting
    }

    /// Learns `source`, if this mode may. Says whether it did.
    fn learn(&mut self, until: Instant, source: SocketAddr) -> bool {
        let fit = self.fit(source);
        // Nobody can be sent to at port 0.
        if source.port() == 0 || (self.learning == Learning::Off && fit != Fit::Both) {
            return false;
        }
        let is_certain = match self.learning {
            Learning::Delayed => false,
            Learning::Heuristic => fit == Fit::Both,
            Learning::Immediate | Learning::Off => true,
        };
        self.state = if is_certain {
            State::Locked { source }
        } else {
            State::Learning { source, fit, until }
        };
        true
    }

    /// Within the window: may `source` take the place of one that fits as well as `fit`?
    fn is_better(&self, source: SocketAddr, fit: Fit) -> bool {
        match self.learning {
            Learning::Delayed => true,
            Learning::Heuristic => self.fit(source) > fit,
            Learning::Immediate | Learning::Off => false,
        }
    }

    fn fit(&self, source: SocketAddr) -> Fit {
        let Some(signalled) = self.signalled else {
            return Fit::Neither;
        };
        match (
            signalled.ip() == source.ip(),
            signalled.port() == source.port(),
        ) {
            (true, true) => Fit::Both,
            (true, false) => Fit::Address,
            (false, true) => Fit::Port,
            (false, false) => Fit::Neither,
        }
    }
}

/// Something that one peer can have: `c=0.0.0.0`, port 0 and groups are nowhere to send to.
fn is_unicast(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(address, SocketAddr::V4(it) if it.ip().is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    const SIGNALLED: &str = "192.0.2.1:4000";
    const SAME_ADDRESS: &str = "192.0.2.1:5000";
    const SAME_PORT: &str = "198.51.100.1:4000";
    const STRANGER: &str = "198.51.100.2:5000";

    /// One test: what arrives when, in milliseconds, and whether it is let through.
    struct Case {
        what: &'static str,
        learning: Learning,
        signalled: Option<&'static str>,
        packets: &'static [(u64, &'static str, bool)],
        remote: Option<&'static str>,
    }

    const CASES: &[Case] = &[
        Case {
            what: "a perfect match is locked at once",
            learning: Learning::Heuristic,
            signalled: Some(SIGNALLED),
            packets: &[(0, SIGNALLED, true), (1, SAME_ADDRESS, false)],
            remote: Some(SIGNALLED),
        },
        Case {
            what: "better and better matches win within the window",
            learning: Learning::Heuristic,
            signalled: Some(SIGNALLED),
            packets: &[
                (0, STRANGER, true),
                (500, SAME_PORT, true),
                (600, STRANGER, false),
                (1_000, SAME_ADDRESS, true),
                (1_100, SAME_PORT, false),
                (2_999, SIGNALLED, true),
                (3_000, SAME_ADDRESS, false),
            ],
            remote: Some(SIGNALLED),
        },
        Case {
            what: "the window counts from the first packet, not from the best",
            learning: Learning::Heuristic,
            signalled: Some(SIGNALLED),
            packets: &[
                (0, STRANGER, true),
                (2_999, SAME_PORT, true),
                (3_000, SIGNALLED, false),
                (3_001, SAME_PORT, true),
            ],
            remote: Some(SAME_PORT),
        },
        Case {
            what: "of two that fit alike the first stays",
            learning: Learning::Heuristic,
            signalled: None,
            packets: &[(0, STRANGER, true), (1, SAME_PORT, false)],
            remote: Some(STRANGER),
        },
        Case {
            what: "after the window nothing is believed any more",
            learning: Learning::Heuristic,
            signalled: Some(SIGNALLED),
            packets: &[
                (0, SAME_ADDRESS, true),
                (60_000, SIGNALLED, false),
                (60_001, SAME_ADDRESS, true),
            ],
            remote: Some(SAME_ADDRESS),
        },
        Case {
            what: "immediate locks whoever is first",
            learning: Learning::Immediate,
            signalled: Some(SIGNALLED),
            packets: &[(0, STRANGER, true), (1, SIGNALLED, false)],
            remote: Some(STRANGER),
        },
        Case {
            what: "delayed locks whoever is last within the window",
            learning: Learning::Delayed,
            signalled: Some(SIGNALLED),
            packets: &[
                (0, SIGNALLED, true),
                (2_000, STRANGER, true),
                (2_500, SAME_PORT, true),
                (3_000, STRANGER, false),
                (3_001, SAME_PORT, true),
            ],
            remote: Some(SAME_PORT),
        },
        Case {
            what: "off lets only the signalled address through",
            learning: Learning::Off,
            signalled: Some(SIGNALLED),
            packets: &[
                (0, STRANGER, false),
                (1, SAME_ADDRESS, false),
                (2, SIGNALLED, true),
                (3, STRANGER, false),
            ],
            remote: Some(SIGNALLED),
        },
        Case {
            what: "off without an address lets nobody through",
            learning: Learning::Off,
            signalled: None,
            packets: &[(0, STRANGER, false)],
            remote: None,
        },
        Case {
            what: "before the first packet the signalled address is all there is",
            learning: Learning::Heuristic,
            signalled: Some(SIGNALLED),
            packets: &[],
            remote: Some(SIGNALLED),
        },
        Case {
            what: "an unspecified address is none",
            learning: Learning::Heuristic,
            signalled: Some("0.0.0.0:4000"),
            packets: &[],
            remote: None,
        },
        Case {
            what: "a group is none",
            learning: Learning::Heuristic,
            signalled: Some("224.0.0.1:4000"),
            packets: &[],
            remote: None,
        },
        Case {
            what: "port 0 is nobody",
            learning: Learning::Immediate,
            signalled: None,
            packets: &[(0, "192.0.2.1:0", false), (1, STRANGER, true)],
            remote: Some(STRANGER),
        },
    ];

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn follows_the_table() {
        for case in CASES {
            let start = start();
            let mut latch = Latch::new(case.signalled.map(address), case.learning);
            for (at, source, is_accepted) in case.packets {
                let now = start + Duration::from_millis(*at);
                let accepted = latch.accept(now, address(source)).is_ok();
                assert_eq!(accepted, *is_accepted, "{}: at {at} ms", case.what);
            }
            assert_eq!(latch.remote(), case.remote.map(address), "{}", case.what);
        }
    }

    #[test]
    fn the_same_signalling_again_keeps_the_lock() {
        let now = start();
        let mut latch = Latch::new(Some(address(SIGNALLED)), Learning::Immediate);
        latch.accept(now, address(SAME_ADDRESS)).unwrap();
        latch.signal(Some(address(SIGNALLED)), Learning::Immediate);
        assert!(latch.accept(now, address(STRANGER)).is_err());
        assert!(latch.is_learnt());
    }

    #[test]
    fn other_signalling_begins_anew() {
        let now = start();
        let mut latch = Latch::new(Some(address(SIGNALLED)), Learning::Immediate);
        latch.accept(now, address(SAME_ADDRESS)).unwrap();
        latch.signal(Some(address(STRANGER)), Learning::Immediate);
        assert_eq!(latch.remote(), Some(address(STRANGER)));
        assert!(!latch.is_learnt());
        latch.accept(now, address(STRANGER)).unwrap();
    }
}

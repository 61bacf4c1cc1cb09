//! What was said about ICE (RFC 8445) between the relay and one party, for one stream.
//!
//! The relay speaks ICE with each party by itself: what one party says of its candidates is never
//! passed on to the other. So for each there are the party's word, which stays until it says
//! another, and the relay's own, which is made when the party is first told of it and stays until
//! the party begins anew (RFC 8445 §9).

use std::fmt;
use std::net::SocketAddr;

use rand::RngExt;
use rand::distr::Alphanumeric;
use rand::rngs::StdRng;
use relay_wire::{
    ICE_CANDIDATES_MAX, IceBase, IceCandidate, IceCredentials, Interface, InterfaceId, Port,
};
use serde::{Deserialize, Serialize};

use crate::lean::{Address, Usual};

/// Characters of a user name fragment of ours, and of a password (RFC 8839 §5.4 wants 4 and 22).
const USER_LEN: usize = 8;
const PASSWORD_LEN: usize = 26;

/// Characters of a foundation.
const FOUNDATION_LEN: usize = 16;

/// What was said about one stream with one party.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Ice {
    /// The party was told of candidates, and speaks ICE as far as anybody knows.
    pub(crate) is_on: bool,
    /// It was told, and answered as if it had not understood.
    pub(crate) is_declined: bool,
    /// The relay makes no checks, and says so.
    pub(crate) is_lite: bool,
    /// It has begun anew, and is to be told of another name when it is told next.
    pub(crate) is_stale: bool,
    /// What it was told.
    pub(crate) own: Option<Own>,
    /// What it said.
    pub(crate) peer: Option<Peer>,
}

/// The relay's word.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Own {
    pub(crate) user: String,
    password: String,
    tie_breaker: u64,
    /// Makes foundations.
    foundation: u64,
    /// Ports on further addresses of the interface, by that of RTP.
    pub(crate) others: Vec<Port>,
}

/// A party's word.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Peer {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) is_lite: bool,
    pub(crate) words: Words,
    pub(crate) candidates: Vec<Candidate>,
}

/// Where a party may be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Candidate {
    /// 1: RTP, or all; 2: RTCP.
    pub(crate) component: u8,
    pub(crate) address: Address,
    pub(crate) priority: u32,
}

impl Usual for Ice {
    const USUAL: &'static Self = &Self {
        is_on: false,
        is_declined: false,
        is_lite: false,
        is_stale: false,
        own: None,
        peer: None,
    };
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own")
            .field("user", &self.user)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("user", &self.user)
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}

impl Own {
    pub(crate) fn new(rng: &mut StdRng) -> Self {
        Self {
            user: text(rng, USER_LEN),
            password: text(rng, PASSWORD_LEN),
            tie_breaker: rng.random(),
            foundation: rng.random(),
            others: Vec::new(),
        }
    }

    /// The same ports under another name.
    pub(crate) fn renewed(&self, rng: &mut StdRng) -> Self {
        Self {
            others: self.others.clone(),
            ..Self::new(rng)
        }
    }

    /// The bases of a component, `first` being the stream's port for RTP.
    fn bases(&self, first: Port, component: u8) -> impl Iterator<Item = (usize, IceBase)> {
        let above = u16::from(component.saturating_sub(1));
        let ports = [first].into_iter().chain(self.others.iter().copied());
        ports.enumerate().map(move |(place, port)| {
            let number = port.number.saturating_add(above);
            let port = Port { number, ..port };
            let priority = priority(place, component);
            (place, IceBase { port, priority })
        })
    }

    /// What a description says of it. `components` is 2 if RTCP has a port of its own.
    pub(crate) fn lines(
        &self,
        first: Port,
        components: u8,
        interfaces: &[Interface],
        words: Words,
    ) -> Vec<Vec<u8>> {
        let mut lines = vec![
            format!("ice-ufrag:{}", self.user),
            format!("ice-pwd:{}", self.password),
        ];
        let options: Vec<_> = [(words.trickles, "trickle"), (words.is_ice2, "ice2")]
            .into_iter()
            .filter_map(|(is_said, word)| is_said.then_some(word))
            .collect();
        if !options.is_empty() {
            lines.push(format!("ice-options:{}", options.join(" ")));
        }
        for component in 1..=components {
            for (place, base) in self.bases(first, component) {
                let InterfaceId(interface) = base.port.interface;
                let Some(interface) = interfaces.get(usize::from(interface)) else {
                    continue;
                };
                let address = interface.advertised.unwrap_or(interface.address);
                let (foundation, priority) = (self.foundation(place), base.priority);
                let port = base.port.number;
                lines.push(format!(
                    "candidate:{foundation} {component} UDP {priority} {address} {port} typ host"
                ));
            }
        }
        if words.trickles {
            lines.push("end-of-candidates".to_owned());
        }
        lines.into_iter().map(String::into_bytes).collect()
    }

    /// Of each base its own.
    fn foundation(&self, place: usize) -> String {
        let place = u64::try_from(place).unwrap_or_default();
        let number = self.foundation.wrapping_add(place);
        format!("{number:0width$x}", width = FOUNDATION_LEN)
    }
}

/// What else is said beside candidates.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Words {
    /// Candidates may come later, and ours are all there (RFC 8838).
    pub(crate) trickles: bool,
    /// RFC 8445 and not its predecessor.
    pub(crate) is_ice2: bool,
}

impl Ice {
    /// What the relay must know for a component, whose first base is one of the stream's ports.
    pub(crate) fn component(
        &self,
        component: u8,
        first: Port,
        is_controlling: bool,
    ) -> Option<Box<relay_wire::Ice>> {
        let own = self.own.as_ref().filter(|_| self.is_on)?;
        let peer = self.peer.as_ref();
        let candidates = peer.map_or(&[][..], |it| &it.candidates);
        let candidates = candidates.iter().filter(|it| it.component == component);
        // If neither made checks, nothing would ever be found to be reachable (RFC 8445 §6.1.1).
        let remote_is_lite = peer.is_some_and(|it| it.is_lite);
        let is_lite = self.is_lite && !remote_is_lite;
        Some(Box::new(relay_wire::Ice {
            local: credentials(&own.user, &own.password),
            remote: peer.map(|it| credentials(&it.user, &it.password)),
            bases: own.bases(first, component).map(|(_, base)| base).collect(),
            component,
            tie_breaker: own.tie_breaker,
            is_controlling: is_controlling && !is_lite,
            is_lite,
            remote_is_lite,
            candidates: candidates
                .map(|it| IceCandidate {
                    address: SocketAddr::from(it.address),
                    priority: it.priority,
                })
                .take(ICE_CANDIDATES_MAX)
                .collect(),
        }))
    }

    /// Ports besides the stream's own, by that of RTP.
    pub(crate) fn others(&self) -> &[Port] {
        self.own.as_ref().map_or(&[], |it| &it.others)
    }

    /// Takes a party's word. Says whether it has begun anew.
    pub(crate) fn hear(&mut self, said: Option<Peer>) {
        let before = self.peer.as_ref();
        let is_new = match (before, &said) {
            (Some(before), Some(said)) => {
                before.user != said.user || before.password != said.password
            }
            _ => false,
        };
        self.is_stale |= is_new && self.own.is_some();
        self.peer = said;
    }
}

fn credentials(user: &str, password: &str) -> IceCredentials {
    IceCredentials {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// That of a host candidate (RFC 8445 §5.1.2): the stream's own address first.
fn priority(place: usize, component: u8) -> u32 {
    let place = u32::try_from(place).unwrap_or(u32::MAX).min(0xffff);
    (126 << 24) + ((0xffff - place) << 8) + (256 - u32::from(component))
}

fn text(rng: &mut StdRng, len: usize) -> String {
    let characters = rng.sample_iter(Alphanumeric).take(len);
    characters.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn port(interface: u8, number: u16) -> Port {
        Port {
            interface: InterfaceId(interface),
            number,
        }
    }

    fn interface(address: &str, advertised: Option<&str>) -> Interface {
        Interface {
            name: "default".to_owned(),
            address: address.parse().unwrap(),
            advertised: advertised.map(|it| it.parse().unwrap()),
            ports: None,
        }
    }

    fn peer(user: &str) -> Peer {
        Peer {
            user: user.to_owned(),
            password: "secret".to_owned(),
            is_lite: false,
            words: Words::default(),
            candidates: Vec::new(),
        }
    }

    #[test]
    fn a_party_is_told_of_all_addresses_the_first_first() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut own = Own::new(&mut rng);
        own.others = vec![port(1, 40_000)];
        let interfaces = [
            interface("10.0.0.1", Some("203.0.113.1")),
            interface("2001:db8::1", None),
        ];
        let words = Words {
            trickles: true,
            is_ice2: true,
        };
        let lines = own.lines(port(0, 30_000), 2, &interfaces, words);
        let lines: Vec<_> = lines
            .iter()
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect();
        let [one, two] = [0, 1].map(|it| own.foundation(it));
        assert_ne!(one, two);
        assert_eq!(one.len(), FOUNDATION_LEN);
        assert_eq!(
            lines[2..],
            [
                "ice-options:trickle ice2".to_owned(),
                format!("candidate:{one} 1 UDP 2130706431 203.0.113.1 30000 typ host"),
                format!("candidate:{two} 1 UDP 2130706175 2001:db8::1 40000 typ host"),
                format!("candidate:{one} 2 UDP 2130706430 203.0.113.1 30001 typ host"),
                format!("candidate:{two} 2 UDP 2130706174 2001:db8::1 40001 typ host"),
                "end-of-candidates".to_owned(),
            ]
        );
        assert_eq!(lines[0].len(), "ice-ufrag:".len() + USER_LEN);
        assert_eq!(lines[1].len(), "ice-pwd:".len() + PASSWORD_LEN);
    }

    #[test]
    fn who_has_another_name_has_begun_anew() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ice = Ice {
            own: Some(Own::new(&mut rng)),
            ..Ice::default()
        };
        ice.hear(Some(peer("one")));
        ice.hear(Some(peer("one")));
        assert!(!ice.is_stale);
        ice.hear(Some(peer("two")));
        assert!(ice.is_stale);
    }

    #[test]
    fn one_of_two_makes_checks() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ice = Ice {
            is_on: true,
            is_lite: true,
            own: Some(Own::new(&mut rng)),
            ..Ice::default()
        };
        for (remote_is_lite, is_lite) in [(false, true), (true, false)] {
            ice.hear(Some(Peer {
                is_lite: remote_is_lite,
                ..peer("one")
            }));
            let told = ice.component(1, port(0, 30_000), true).unwrap();
            assert_eq!((told.is_lite, told.is_controlling), (is_lite, !is_lite));
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let mut rng = StdRng::seed_from_u64(1);
        let own = Own::new(&mut rng);
        let ice = Ice {
            own: Some(own.clone()),
            peer: Some(peer("one")),
            ..Ice::default()
        };
        let shown = format!("{ice:?}");
        assert!(!shown.contains(&own.password) && !shown.contains("secret"));
    }
}

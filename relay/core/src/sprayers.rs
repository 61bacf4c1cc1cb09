//! Strangers that knock at the ports of several calls: those are nobody's phone.
//!
//! [Probation](crate::probation) hears a stranger out at one port. An attacker who goes round all
//! ports, with the next number of its stream each time, would pass it at each of them. But it
//! shows at all of them, and a phone does not:
//!
//! - a phone's socket takes part in one call at a time;
//! - a phone's host does not send to calls whose peers are elsewhere, and talking.
//!
//! Who does either at [`CALLS_MAX`] calls is a sprayer, until it has been quiet for [`MEMORY`].
//! What it has shown does not count then, and where it was believed it is believed no more.
//!
//! A host may have many phones, all strangers at first: a company behind one NAT. So it is not
//! counted where nobody else has been heard yet. Who is where signalling says is no stranger,
//! whatever else comes from that host.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use relay_wire::CallKey;

use crate::SocketId;

/// Calls at which only a sprayer shows at once.
const CALLS_MAX: usize = 3;

/// Who has been quiet for so long has not been here.
const MEMORY: Duration = Duration::from_secs(10);

/// Sockets, and hosts, that are remembered. Looked through for each packet from a stranger.
const STRANGERS_MAX: usize = 32;

/// Where a stranger was: the slot may be another call's by now.
pub(crate) type Place = (CallKey, SocketId);

/// Who was where.
#[derive(Debug)]
pub(crate) struct Sprayers {
    sockets: Strangers<SocketAddr>,
    hosts: Strangers<IpAddr>,
}

/// Those seen lately. Packets make no list grow.
type Strangers<K> = Box<[Option<Stranger<K>>; STRANGERS_MAX]>;

#[derive(Clone, Copy, Debug)]
struct Stranger<K> {
    key: K,
    places: [Option<Place>; CALLS_MAX],
    seen_at: Instant,
}

/// A packet from somebody who is not the peer, nor where the peer was said to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knock {
    pub(crate) at: Instant,
    pub(crate) source: SocketAddr,
    pub(crate) place: Place,
    /// The peer is on another host, and is heard.
    pub(crate) is_anothers: bool,
}

impl Default for Sprayers {
    fn default() -> Self {
        Self {
            sockets: Box::new([None; STRANGERS_MAX]),
            hosts: Box::new([None; STRANGERS_MAX]),
        }
    }
}

impl Sprayers {
    /// Remembers a knock. If it is a sprayer's, says where that socket was.
    pub(crate) fn note(
        &mut self,
        knock: Knock,
        is_open: impl Fn(Place) -> bool,
    ) -> Option<[Option<Place>; CALLS_MAX]> {
        let host = knock.source.ip();
        if knock.is_anothers {
            note(&mut self.hosts, host, knock, &is_open);
        }
        note(&mut self.sockets, knock.source, knock, &is_open);
        let host = find(&self.hosts, host, knock.at);
        let socket = find(&self.sockets, knock.source, knock.at);
        let is_sprayer =
            host.is_some_and(Stranger::is_sprayer) || socket.is_some_and(Stranger::is_sprayer);
        is_sprayer.then(|| socket.map(|it| it.places).unwrap_or_default())
    }
}

impl<K> Stranger<K> {
    fn is_sprayer(&self) -> bool {
        self.places.iter().all(Option::is_some)
    }

    /// Adds a call. A sprayer has enough of them already.
    fn add(&mut self, (call, socket): Place, is_open: impl Fn(Place) -> bool) {
        let is_known = self
            .places
            .iter()
            .flatten()
            .any(|(known, _)| *known == call);
        if is_known || self.is_sprayer() {
            return;
        }
        for place in &mut self.places {
            place.take_if(|it| !is_open(*it));
        }
        let free = self.places.iter_mut().find(|it| it.is_none());
        if let Some(free) = free {
            *free = Some((call, socket));
        }
    }
}

fn find<K: PartialEq>(strangers: &Strangers<K>, key: K, now: Instant) -> Option<&Stranger<K>> {
    let mut known = strangers.iter().flatten();
    known.find(|it| it.key == key && now < it.seen_at + MEMORY)
}

/// Adds a knock to what is known of a stranger. A new one takes the place of who has shown at the
/// fewest calls, and of these, of who has been quiet for the longest; never of a sprayer.
fn note<K: Copy + PartialEq>(
    strangers: &mut Strangers<K>,
    key: K,
    knock: Knock,
    is_open: impl Fn(Place) -> bool,
) {
    let is_over = |it: &Stranger<K>| knock.at >= it.seen_at + MEMORY;
    let known = |it: &Option<Stranger<K>>| it.as_ref().is_some_and(|it| it.key == key);
    let worth = |it: &Option<Stranger<K>>| {
        let lately = it.as_ref().filter(|it| !is_over(it));
        lately.map(|it| (it.places.iter().flatten().count(), it.seen_at))
    };
    let place = match strangers.iter().position(known) {
        Some(index) => strangers.get_mut(index),
        None => strangers.iter_mut().min_by_key(|it| worth(it)),
    };
    let Some(place) = place else {
        return;
    };
    place.take_if(|it| is_over(it) || (it.key != key && !it.is_sprayer()));
    let stranger = place.get_or_insert(Stranger {
        key,
        places: [None; CALLS_MAX],
        seen_at: knock.at,
    });
    if stranger.key == key {
        stranger.seen_at = knock.at;
        stranger.add(knock.place, is_open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    struct Bench {
        sprayers: Sprayers,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                sprayers: Sprayers::default(),
                now: start(),
            }
        }

        /// Says whether a knock at a call is a sprayer's.
        fn knock(&mut self, source: &str, call: u64, is_anothers: bool) -> bool {
            let knock = Knock {
                at: self.now,
                source: source.parse().unwrap(),
                place: (CallKey(call), SocketId::new(0)),
                is_anothers,
            };
            self.sprayers
                .note(knock, |(call, _)| call.0 < 100)
                .is_some()
        }
    }

    #[test]
    fn a_socket_at_three_calls_is_a_sprayers() {
        let mut bench = Bench::new();
        assert!(!bench.knock("203.0.113.66:1", 1, false));
        assert!(!bench.knock("203.0.113.66:1", 1, false), "one call");
        assert!(!bench.knock("203.0.113.66:1", 2, false));
        assert!(bench.knock("203.0.113.66:1", 3, false));
        assert!(bench.knock("203.0.113.66:1", 1, false), "from then on");
        assert!(
            !bench.knock("203.0.113.66:2", 4, false),
            "that socket alone"
        );
    }

    #[test]
    fn a_host_with_many_phones_is_none() {
        let mut bench = Bench::new();
        for phone in 1..1_000_u16 {
            let source = format!("198.51.100.1:{phone}");
            assert!(!bench.knock(&source, phone.into(), false));
        }
    }

    #[test]
    fn a_host_at_three_calls_of_others_is() {
        let mut bench = Bench::new();
        assert!(!bench.knock("203.0.113.66:1", 1, true));
        assert!(!bench.knock("203.0.113.66:2", 2, true));
        assert!(bench.knock("203.0.113.66:3", 3, true));
        assert!(bench.knock("203.0.113.66:4", 4, false), "everywhere");
        assert!(!bench.knock("203.0.113.67:4", 4, true), "another host");
    }

    #[test]
    fn calls_one_after_the_other_do_not_add_up() {
        let mut bench = Bench::new();
        for over in 100..200 {
            assert!(!bench.knock("198.51.100.1:1", over, false));
        }
        for call in 1..50 {
            assert!(!bench.knock("198.51.100.2:1", call, false));
            bench.now += MEMORY;
        }
    }

    #[test]
    fn a_flood_of_addresses_hides_nobody() {
        let mut bench = Bench::new();
        let sprayer = "203.0.113.66:1";
        let mut is_known = false;
        for flood in 1..1_000_u16 {
            bench.now += Duration::from_millis(1);
            bench.knock(&format!("198.51.100.1:{flood}"), 1, false);
            if flood % 20 == 0 {
                is_known = bench.knock(sprayer, (flood / 20).into(), false);
            }
        }
        assert!(is_known);
    }

    #[test]
    fn so_many_sprayers_leave_no_room_until_they_are_quiet() {
        let mut bench = Bench::new();
        for sprayer in 1..1_000 {
            for call in 1..4 {
                bench.knock(&format!("203.0.113.66:{sprayer}"), call, false);
            }
        }
        let knock =
            |bench: &mut Bench| (1..4).any(|call| bench.knock("203.0.113.67:1", call, false));
        assert!(!knock(&mut bench));
        bench.now += MEMORY;
        assert!(knock(&mut bench));
    }
}

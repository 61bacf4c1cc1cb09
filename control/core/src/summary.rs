//! A call in a few numbers: for its record in the log, and for whoever watches calls.

use std::net::SocketAddr;

use codec_catalog::Descriptor;
use relay_wire::{CallStats, EndpointStats, Interface, Port};

use crate::call::{CallState, Leg};
use crate::quality::mos_tenths;

/// A call in a few numbers. Texts are as clients sent them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallSummary {
    /// Call-ID.
    pub call_id: String,
    /// When it began: milliseconds since 1970.
    pub created_unix_ms: u64,
    /// For how long it has been there.
    pub duration_ms: u64,
    /// It was answered for good.
    pub is_answered: bool,
    /// All media rest.
    pub is_held: bool,
    /// Which worker of the relay has it.
    pub worker: u8,
    /// Each party, in the order in which they came.
    pub sides: Vec<Side>,
}

/// What came from one party.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Side {
    /// Its tag; empty before it has answered.
    pub tag: String,
    /// The interface that faces it.
    pub interface: String,
    /// Where its first stream is sent.
    pub remote: Option<SocketAddr>,
    /// What it sends, if the payload type says so by itself.
    pub codec: Option<&'static str>,
    /// RTP packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that never came.
    pub lost: u64,
    /// Those that went no further.
    pub dropped: u64,
    /// The greatest of its streams.
    pub jitter_us: Option<u32>,
    /// From the relay to it and back.
    pub round_trip_us: Option<u32>,
    /// Mean opinion score of its worst stream, in tenths.
    pub mos_tenths: Option<u64>,
    /// Since its newest packet.
    pub idle_ms: Option<u64>,
}

impl CallSummary {
    /// Sums a call up. Without counts, what signalling knows is told.
    pub(crate) fn of(
        (state, worker): (&CallState, u8),
        stats: Option<&CallStats>,
        interfaces: &[Interface],
        unix_ms: u64,
    ) -> Self {
        let endpoints = stats.map_or(&[][..], |stats| &stats.endpoints[..]);
        let sides = state.legs.iter();
        let sides = sides.map(|leg| side(state, leg, endpoints, interfaces));
        Self {
            call_id: text(&state.call_id),
            created_unix_ms: state.created_unix_ms,
            duration_ms: unix_ms.saturating_sub(state.created_unix_ms),
            is_answered: state.is_confirmed,
            is_held: state.is_held(),
            worker,
            sides: sides.collect(),
        }
    }

    /// The worst of all parties' scores, in tenths.
    #[must_use]
    pub fn mos_tenths(&self) -> Option<u64> {
        self.sides.iter().filter_map(|side| side.mos_tenths).min()
    }

    /// RTP packets of all parties.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.sides.iter().map(|side| side.packets).sum()
    }

    /// Packets of all parties that never came.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sides.iter().map(|side| side.lost).sum()
    }
}

fn side(
    state: &CallState,
    leg: &Leg,
    endpoints: &[EndpointStats],
    interfaces: &[Interface],
) -> Side {
    let interface = interfaces.get(usize::from(leg.interface.0));
    let mut side = Side {
        tag: leg.tags.first().map(text).unwrap_or_default(),
        interface: interface.map(|it| it.name.clone()).unwrap_or_default(),
        ..Side::default()
    };
    for index in 0..leg.streams.len() {
        let Some(port) = leg.port(index) else {
            continue;
        };
        let Some(endpoint) = at(endpoints, port) else {
            let said = leg.streams[index].remote.map(SocketAddr::from);
            side.remote = side.remote.or(said);
            continue;
        };
        let near = round_trip_us(endpoints, port);
        let far = leg.peer.and_then(|peer| state.leg(peer)?.port(index));
        let far = far.and_then(|port| round_trip_us(endpoints, port));
        let both = near.zip(far).map(|(near, far)| near.saturating_add(far));
        side.round_trip_us = side.round_trip_us.max(near);
        add(&mut side, endpoint, both);
    }
    side
}

fn add(side: &mut Side, endpoint: &EndpointStats, round_trip_us: Option<u32>) {
    side.remote = side.remote.or(endpoint.remote);
    let codec = endpoint.payload_type.and_then(Descriptor::of_payload_type);
    side.codec = side.codec.or_else(|| Some(codec?.name));
    side.packets += endpoint.rtp_packets_in;
    side.bytes += endpoint.rtp_bytes_in;
    side.dropped += endpoint.dropped;
    side.idle_ms = least(side.idle_ms, endpoint.idle_ms);
    for source in &endpoint.sources {
        side.lost += source.lost;
        side.jitter_us = side.jitter_us.max(source.jitter_us);
        side.mos_tenths = least(side.mos_tenths, mos_tenths(source, round_trip_us));
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn at(endpoints: &[EndpointStats], port: Port) -> Option<&EndpointStats> {
    endpoints.iter().find(|endpoint| endpoint.port == port)
}

/// By the reports at a port, or at the next one where RTCP has its own.
fn round_trip_us(endpoints: &[EndpointStats], port: Port) -> Option<u32> {
    let above = Port {
        number: port.number.checked_add(1)?,
        ..port
    };
    let of = |port| at(endpoints, port)?.round_trip_us;
    of(port).or_else(|| of(above))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use crate::CallSummary;
    use crate::output::Notice;
    use crate::tests::{Sim, delete, port, sdp};

    fn records(sim: &Sim) -> Vec<&CallSummary> {
        let notices = sim.notices.iter();
        let records = notices.filter_map(|notice| match notice {
            Notice::CallRecord { summary, .. } => Some(&**summary),
            _ => None,
        });
        records.collect()
    }

    #[test]
    fn a_call_that_ends_is_summed_up_party_by_party() {
        let mut sim = Sim::new();
        sim.control.want_call_records(true);
        let to_bob = sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        let to_alice = sim.answer("c1", "a", "b", &sdp("192.0.2.2", 5000));
        sim.relay.at(port(&to_alice, 0)).packets = 300;
        sim.relay.at(port(&to_bob, 0)).packets = 100;
        sim.sleep(std::time::Duration::from_secs(6));
        sim.request(&delete(b"c1"));
        let records = records(&sim);
        let [record] = &records[..] else {
            panic!("one call, one record: {records:?}");
        };
        assert_eq!((&record.call_id[..], record.duration_ms), ("c1", 6_000));
        assert!(record.is_answered && !record.is_held);
        let sides: Vec<_> = record
            .sides
            .iter()
            .map(|it| (&it.tag[..], it.packets))
            .collect();
        assert_eq!(sides, [("a", 300), ("b", 100)]);
        // The simulated relay loses one packet for each that comes.
        assert_eq!((record.packets(), record.lost()), (400, 400));
        assert_eq!(record.sides[0].codec, Some("PCMA"));
        assert_eq!(record.sides[0].jitter_us, Some(2_500));
        assert!(
            record
                .mos_tenths()
                .is_some_and(|mos| (10..44).contains(&mos))
        );
    }

    #[test]
    fn a_call_that_nobody_spoke_in_has_a_record_too() {
        let mut sim = Sim::new();
        sim.control.want_call_records(true);
        sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        sim.request(&delete(b"c1"));
        let records = records(&sim);
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].packets(), records[0].mos_tenths()), (0, None));
    }
}

//! One direction of a stream whose sender may change among the codecs that were agreed.

use std::time::Instant;

use codec::Error;
use relay_rtp::{Packet, PayloadType, Sequence, Ssrc};

use crate::plan::Plan;
use crate::stream::{Identity, Stream};

/// A packet so far behind the newest says nothing of what is sent now.
const NEWER_MAX: i32 = 3_000;

/// A [`Stream`] with a plan for each payload type of speech that may come. The plan of the newest
/// packet holds.
#[derive(Debug)]
pub struct Routes {
    plans: Box<[Plan]>,
    stream: Stream,
    newest: Option<(Ssrc, Sequence)>,
    /// Times that another plan could not be gone by.
    failed: u64,
}

impl Routes {
    /// A direction in which nothing has come yet. The first plan holds until a packet of another
    /// comes.
    ///
    /// # Errors
    ///
    /// If libopus has no memory, or is not given what it can do.
    ///
    /// # Panics
    ///
    /// Without a plan.
    pub fn new(now: Instant, plans: Box<[Plan]>, identity: Identity) -> Result<Self, Error> {
        let first = *plans.first().expect("there is a plan");
        Ok(Self {
            stream: Stream::new(now, first, identity)?,
            plans,
            newest: None,
            failed: 0,
        })
    }

    /// Goes on by other plans.
    ///
    /// # Errors
    ///
    /// As [`Stream::set_plan`]. The old ones hold then.
    ///
    /// # Panics
    ///
    /// Without a plan.
    pub fn set_plans(&mut self, now: Instant, plans: Box<[Plan]>) -> Result<(), Error> {
        let sent = self.stream.plan().from.payload_type;
        let same = plans.iter().find(|it| it.from.payload_type == sent);
        let plan = *same.or_else(|| plans.first()).expect("there is a plan");
        self.stream.set_plan(now, plan)?;
        self.plans = plans;
        Ok(())
    }

    /// What is done with packets.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The same, to drive it.
    pub fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Takes a datagram of RTP, as [`Stream::begin_packet`]. What leaves begins with the source, the
    /// number and the timestamp of the first: whoever looks at both sides finds one packet in the
    /// other, and a receiver that was forwarded packets before hears the same stream go on.
    pub fn begin_packet(&mut self, now: Instant, datagram: &[u8]) {
        if let Ok(packet) = Packet::parse(datagram) {
            let is_first = self.newest.is_none();
            if self.is_newest(packet.ssrc(), packet.sequence())
                && let Some(plan) = self.plan_of(packet.payload_type())
                && self.stream.set_plan(now, plan).is_err()
            {
                self.failed += 1;
            }
            if is_first {
                self.stream.begin_as(&packet);
            }
        }
        self.stream.begin_packet(now, datagram);
    }

    /// Takes a datagram of RTP.
    pub fn handle_packet(&mut self, now: Instant, datagram: &[u8]) {
        self.begin_packet(now, datagram);
        self.stream.finish_speech();
    }

    /// The plan by which a packet is to be taken, if that is another than holds.
    fn plan_of(&self, payload_type: PayloadType) -> Option<Plan> {
        let from = &self.stream.plan().from;
        let events = from.events.map(|it| it.payload_type);
        let known = [Some(from.payload_type), events, from.comfort_noise];
        if known.contains(&Some(payload_type)) {
            return None;
        }
        let mut plans = self.plans.iter();
        plans
            .find(|it| it.from.payload_type == payload_type)
            .copied()
    }

    /// Late packets are of the codec before.
    fn is_newest(&mut self, ssrc: Ssrc, sequence: Sequence) -> bool {
        let is_newest = self.newest.is_none_or(|(newest_of, newest)| {
            let ahead = i32::from(sequence.distance_from(newest));
            newest_of != ssrc || !(-NEWER_MAX..=0).contains(&ahead)
        });
        if is_newest {
            self.newest = Some((ssrc, sequence));
        }
        is_newest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use codec::Codec;

    use super::*;
    use crate::counters::DropReason;
    use crate::plan::Side;

    fn plans() -> Box<[Plan]> {
        let side =
            |codec, payload_type| Side::new(codec, PayloadType::new(payload_type).unwrap(), 20);
        let to = side(Codec::Gsm, 3);
        Box::new([
            Plan::new(side(Codec::Pcmu, 0), to),
            Plan::new(side(Codec::Pcma, 8), to),
        ])
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "std makes an Instant in no other way"
    )]
    fn routes() -> (Instant, Routes) {
        let start = Instant::now();
        let ours = Identity {
            ssrc: Ssrc::new(7),
            sequence: 1,
            timestamp: 2,
        };
        (start, Routes::new(start, plans(), ours).unwrap())
    }

    fn packet(payload_type: u8, at: u16) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(at.to_be_bytes());
        packet.extend((u32::from(at) * 160).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend([0xd5; 160]);
        packet
    }

    #[test]
    fn the_codec_of_the_newest_packet_is_decoded() {
        let (start, mut routes) = routes();
        let mut left = 0;
        for (at, payload_type) in [8, 8, 8, 0, 0, 0, 8, 8].into_iter().enumerate() {
            let at = u16::try_from(at).unwrap();
            let now = start + Duration::from_millis(20) * at.into();
            routes.handle_packet(now, &packet(payload_type, at));
            assert_eq!(
                routes.stream().plan().from.payload_type.value(),
                payload_type
            );
            while routes.stream_mut().poll_packet(now).is_some() {
                left += 1;
            }
        }
        assert!(left >= 7, "{left}");
    }

    #[test]
    fn what_leaves_begins_as_what_came() {
        for (marker, payload_type) in [(0, 8), (0x80, 0)] {
            let (start, mut routes) = routes();
            let mut first = packet(payload_type, 700);
            first[1] |= marker;
            routes.handle_packet(start, &first);
            let left = routes.stream_mut().poll_packet(start).unwrap();
            let left = Packet::parse(left).unwrap();
            assert_eq!(left.sequence(), Sequence::new(700));
            assert_eq!((left.timestamp(), left.marker()), (700 * 160, marker != 0));
            assert_eq!(left.ssrc(), Ssrc::new(9));
            let sent = routes.stream().sent(start).unwrap();
            assert_eq!(sent.ssrc, Ssrc::new(9), "so do our reports");
        }
    }

    #[test]
    fn what_leaves_stays_one_source_when_another_sends() {
        let (start, mut routes) = routes();
        let mut sources = vec![];
        for at in 0..6 {
            let now = start + Duration::from_millis(20) * at.into();
            let mut packet = packet(8, at);
            packet[11] += u8::from(at >= 3);
            routes.handle_packet(now, &packet);
            while let Some(left) = routes.stream_mut().poll_packet(now) {
                sources.push(Packet::parse(left).unwrap().ssrc());
            }
        }
        assert!(sources.len() >= 5, "{}", sources.len());
        assert!(sources.iter().all(|it| *it == Ssrc::new(9)), "{sources:?}");
    }

    #[test]
    fn what_cannot_be_read_may_come_first() {
        let (start, mut routes) = routes();
        // It says that there are 15 more sources than it has room for.
        routes.handle_packet(start, &[0x8f; 12]);
        routes.handle_packet(start, &packet(8, 700));
        let left = routes.stream_mut().poll_packet(start).unwrap();
        assert_eq!(Packet::parse(left).unwrap().sequence(), Sequence::new(700));
        let dropped = routes.stream().counters();
        assert_eq!(dropped.dropped(DropReason::Malformed), 1);
    }

    #[test]
    fn a_late_packet_does_not_bring_the_old_codec_back() {
        let (start, mut routes) = routes();
        for at in [0, 1, 2] {
            routes.handle_packet(start, &packet(8, at));
        }
        routes.handle_packet(start, &packet(0, 4));
        routes.handle_packet(start, &packet(8, 3));
        assert_eq!(routes.stream().plan().from.codec, Codec::Pcmu);
        let dropped = routes.stream().counters();
        assert!(dropped.dropped(DropReason::PayloadType) <= 1);
        routes.handle_packet(start, &packet(9, 5));
        assert_eq!(routes.stream().plan().from.codec, Codec::Pcmu);
    }

    #[test]
    fn other_plans_keep_the_codec_that_is_sent() {
        let (start, mut routes) = routes();
        routes.handle_packet(start, &packet(8, 0));
        routes.set_plans(start, plans()).unwrap();
        assert_eq!(routes.stream().plan().from.codec, Codec::Pcma);
        routes.set_plans(start, plans()[..1].into()).unwrap();
        assert_eq!(routes.stream().plan().from.codec, Codec::Pcmu);
    }
}

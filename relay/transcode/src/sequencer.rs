//! Packets in order, as far as that costs little: what comes too early is held until what is before
//! it has come, or two are held, or a packet time has passed.
//!
//! A packet whose number is far from those before it may be a stray, or the sender counts from
//! somewhere else now. It waits for its neighbour, which shows the latter, as does that nothing
//! comes for a while; a packet with a number as before shows the former.

use relay_rtp::{ExtendedSequence, Packet, PayloadType, Sequence, Ssrc};

use crate::counters::DropReason;
use crate::plan::PAYLOAD_LEN_MAX;

/// Packets that are held.
const HELD_MAX: usize = 2;

/// RFC 3550 A.1: a step forward, and one back, that the same source does not take.
const DROPOUT_MAX: i64 = 3_000;
const MISORDER_MAX: i64 = 100;

/// For how many packet times nothing comes after a jump that is to be believed.
const JUMP_HOLDS: u64 = 3;

/// What is wanted of a packet's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) payload_type: PayloadType,
    pub(crate) sequence: Sequence,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: Ssrc,
}

impl Header {
    pub(crate) fn of(packet: &Packet<&[u8]>) -> Self {
        Self {
            payload_type: packet.payload_type(),
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            ssrc: packet.ssrc(),
        }
    }
}

/// A packet whose turn has come.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) header: Header,
    number: u64,
    /// How many before it never came.
    pub(crate) lost: u64,
    bytes: Box<[u8]>,
    len: usize,
}

impl Held {
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offer {
    /// It is its turn.
    Now,
    /// It is kept; its turn will come.
    Held,
    /// The first of those held must be taken first; then offer it again.
    Full,
    /// Another source: take what is held, begin anew, and offer it again.
    NewSource,
    /// The packet before has jumped indeed: take what is held, and [`Sequencer::take_jump`]; then
    /// offer this again.
    Jumped,
    Drop(DropReason),
}

#[derive(Debug)]
struct Source {
    ssrc: Ssrc,
    /// The number of the next packet whose turn it is.
    next: ExtendedSequence,
    /// Which of the last 64 before `next` came; the lowest bit is the last.
    came: u64,
}

#[derive(Debug)]
pub(crate) struct Sequencer {
    source: Option<Source>,
    /// In order.
    held: Vec<Held>,
    spare: Vec<Box<[u8]>>,
    /// When those held are no longer held.
    until: Option<u64>,
    /// A packet that has jumped, and when it is believed.
    jump: Option<(Held, u64)>,
    /// Those that turned out to be strays, and are not told yet.
    strays: u64,
}

impl Sequencer {
    pub(crate) fn new() -> Self {
        Self {
            source: None,
            held: Vec::with_capacity(HELD_MAX),
            spare: (0..=HELD_MAX)
                .map(|_| vec![0; PAYLOAD_LEN_MAX].into())
                .collect(),
            until: None,
            jump: None,
            strays: 0,
        }
    }

    /// Begins anew with whatever comes next.
    pub(crate) fn forget_source(&mut self) {
        self.source = None;
        self.forget_jump();
    }

    /// How many packets turned out to be strays since this was asked last.
    pub(crate) fn take_strays(&mut self) -> u64 {
        std::mem::take(&mut self.strays)
    }

    /// A packet has come. `hold` is how long it may wait, in nanoseconds.
    pub(crate) fn offer(&mut self, now: u64, hold: u64, header: Header, payload: &[u8]) -> Offer {
        let Some(source) = &mut self.source else {
            self.source = Some(Source {
                ssrc: header.ssrc,
                next: ExtendedSequence::first(header.sequence.next()),
                came: 1,
            });
            return Offer::Now;
        };
        if header.ssrc != source.ssrc {
            return Offer::NewSource;
        }
        let number = source.next.extend(header.sequence).value();
        let ahead = i64::from(header.sequence.distance_from(source.next.sequence()));
        if !(-MISORDER_MAX..=DROPOUT_MAX).contains(&ahead) {
            return self.offer_jump(now + JUMP_HOLDS * hold, number, header, payload);
        }
        if ahead < 0 {
            let before = u32::try_from(-1 - ahead).unwrap_or(u32::MAX);
            let did_come = source
                .came
                .checked_shr(before)
                .is_some_and(|it| it & 1 == 1);
            return Offer::Drop(if did_come {
                DropReason::Duplicate
            } else {
                DropReason::Late
            });
        }
        if ahead == 0 {
            source.advance(number);
            self.forget_jump();
            return Offer::Now;
        }
        self.hold(now.saturating_add(hold), number, header, payload)
    }

    fn offer_jump(&mut self, until: u64, number: u64, header: Header, payload: &[u8]) -> Offer {
        if let Some((jump, _)) = &self.jump {
            let jumped_to = jump.header.sequence;
            if header.sequence == jumped_to.next() {
                return Offer::Jumped;
            }
            if header.sequence == jumped_to {
                return Offer::Drop(DropReason::Duplicate);
            }
        }
        self.forget_jump();
        self.jump = self.keep(number, header, payload).map(|it| (it, until));
        Offer::Held
    }

    fn hold(&mut self, until: u64, number: u64, header: Header, payload: &[u8]) -> Offer {
        if self.held.iter().any(|it| it.number == number) {
            return Offer::Drop(DropReason::Duplicate);
        }
        if self.held.len() == HELD_MAX {
            return Offer::Full;
        }
        self.forget_jump();
        let Some(held) = self.keep(number, header, payload) else {
            return Offer::Full;
        };
        let at = self.held.partition_point(|it| it.number < number);
        self.held.insert(at, held);
        self.until.get_or_insert(until);
        Offer::Held
    }

    /// There is memory for as many as are ever held, and one that has jumped.
    fn keep(&mut self, number: u64, header: Header, payload: &[u8]) -> Option<Held> {
        let mut bytes = self.spare.pop()?;
        let len = payload.len().min(bytes.len());
        bytes[..len].copy_from_slice(&payload[..len]);
        Some(Held {
            header,
            number,
            lost: 0,
            bytes,
            len,
        })
    }

    /// The packet that has jumped was a stray.
    fn forget_jump(&mut self) {
        if let Some((stray, _)) = self.jump.take() {
            self.give_back(stray);
            self.strays += 1;
        }
    }

    /// Whether a packet that has jumped is to be believed, since nothing else has come.
    pub(crate) fn is_jump_due(&self, now: u64) -> bool {
        self.jump.as_ref().is_some_and(|(_, until)| *until <= now)
    }

    /// Takes the packet that has jumped; numbers go on from it.
    pub(crate) fn take_jump(&mut self) -> Option<Held> {
        let (jump, _) = self.jump.take()?;
        self.source = Some(Source {
            ssrc: jump.header.ssrc,
            next: ExtendedSequence::first(jump.header.sequence.next()),
            came: 1,
        });
        Some(jump)
    }

    /// Takes the first of those held if it is its turn, or has waited long enough.
    pub(crate) fn take(&mut self, now: u64) -> Option<Held> {
        let first = self.held.first()?.number;
        let is_next = self
            .source
            .as_ref()
            .is_none_or(|it| it.next.value() == first);
        let is_over = self.until.is_some_and(|it| it <= now);
        if is_next || is_over {
            self.take_first()
        } else {
            None
        }
    }

    /// Takes the first of those held.
    pub(crate) fn take_first(&mut self) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let mut held = self.held.remove(0);
        if let Some(source) = &mut self.source {
            held.lost = held.number.saturating_sub(source.next.value());
            source.advance(held.number);
        }
        if self.held.is_empty() {
            self.until = None;
        }
        Some(held)
    }

    /// The memory of a packet that was taken can be used again.
    pub(crate) fn give_back(&mut self, held: Held) {
        self.spare.push(held.bytes);
    }

    /// When [`Self::take`] gives something even if nothing comes, or a jump is to be believed.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let believed = self.jump.as_ref().map(|(_, until)| *until);
        self.until.into_iter().chain(believed).min()
    }
}

impl Source {
    /// The turn of this number has come.
    fn advance(&mut self, number: u64) {
        let steps = number.saturating_sub(self.next.value()) + 1;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.came = self.came.checked_shl(steps).unwrap_or(0) | 1;
        let [.., high, low] = number.to_be_bytes();
        let sequence = Sequence::new(u16::from_be_bytes([high, low]));
        self.next = self.next.extend(sequence.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16, ssrc: u32) -> Header {
        Header {
            payload_type: PayloadType::new(0).unwrap(),
            sequence: Sequence::new(sequence),
            timestamp: 0,
            ssrc: Ssrc::new(ssrc),
        }
    }

    /// Offers packets 1 ns apart that may be held for 20 ns; the order that comes out, with losses.
    fn order(sequences: &[u16]) -> (Vec<(u16, u64)>, Vec<DropReason>) {
        let (mut sequencer, mut out, mut drops) = (Sequencer::new(), vec![], vec![]);
        let mut now = 0;
        let take = |sequencer: &mut Sequencer, held: Held, out: &mut Vec<(u16, u64)>| {
            assert_eq!(held.payload(), held.header.sequence.value().to_be_bytes());
            out.push((held.header.sequence.value(), held.lost));
            sequencer.give_back(held);
        };
        for sequence in sequences {
            now += 1;
            loop {
                match sequencer.offer(now, 20, header(*sequence, 1), &sequence.to_be_bytes()) {
                    Offer::Now => out.push((*sequence, 0)),
                    Offer::Held => {}
                    Offer::Full => {
                        let held = sequencer.take_first().unwrap();
                        take(&mut sequencer, held, &mut out);
                        continue;
                    }
                    Offer::NewSource => {
                        sequencer.forget_source();
                        continue;
                    }
                    Offer::Jumped => {
                        let jump = sequencer.take_jump().unwrap();
                        take(&mut sequencer, jump, &mut out);
                        continue;
                    }
                    Offer::Drop(reason) => drops.push(reason),
                }
                break;
            }
            while let Some(held) = sequencer.take(now) {
                take(&mut sequencer, held, &mut out);
            }
        }
        now += 100;
        while let Some(held) = sequencer.take(now) {
            take(&mut sequencer, held, &mut out);
        }
        if sequencer.is_jump_due(now) {
            let jump = sequencer.take_jump().unwrap();
            take(&mut sequencer, jump, &mut out);
        }
        drops.extend((0..sequencer.take_strays()).map(|_| DropReason::Jump));
        assert_eq!(sequencer.spare.len(), HELD_MAX + 1, "all memory is back");
        (out, drops)
    }

    #[test]
    fn checklist_2_packets_come_out_in_order() {
        let (out, drops) = order(&[65_534, 0, 65_535, 1, 3, 4, 2, 5]);
        assert_eq!(out, [65_534, 65_535, 0, 1, 2, 3, 4, 5].map(|it| (it, 0)));
        assert_eq!(drops, []);
    }

    #[test]
    fn checklist_2_duplicates_and_late_packets_are_dropped() {
        let (out, drops) = order(&[1, 1, 3, 3, 2, 2, 5, 6, 7, 4]);
        assert_eq!(out, [(1, 0), (2, 0), (3, 0), (5, 1), (6, 0), (7, 0)]);
        use DropReason::{Duplicate, Late};
        assert_eq!(drops, [Duplicate, Duplicate, Duplicate, Late]);
    }

    #[test]
    fn checklist_2_a_jump_is_believed_when_its_neighbour_comes() {
        let (out, drops) = order(&[1, 2, 40_000, 3, 50_000, 50_000, 50_001, 50_002]);
        assert_eq!(out, [1, 2, 3, 50_000, 50_001, 50_002].map(|it| (it, 0)));
        assert_eq!(drops, [DropReason::Duplicate, DropReason::Jump]);
    }

    #[test]
    fn checklist_2_a_jump_is_believed_when_nothing_else_comes() {
        let (out, drops) = order(&[1, 2, 20_000, 40_000]);
        assert_eq!(out, [1, 2, 40_000].map(|it| (it, 0)));
        assert_eq!(drops, [DropReason::Jump]);
        let (out, drops) = order(&[1, 40_000, 3]);
        assert_eq!(out, [(1, 0), (3, 1)], "one with the old numbers has come");
        assert_eq!(drops, [DropReason::Jump]);
    }

    #[test]
    fn a_jump_waits_for_three_packet_times() {
        let mut sequencer = Sequencer::new();
        assert_eq!(sequencer.offer(0, 20, header(1, 1), &[]), Offer::Now);
        assert_eq!(sequencer.offer(5, 20, header(9_000, 1), &[]), Offer::Held);
        assert_eq!(sequencer.poll_timeout(), Some(65));
        assert!(!sequencer.is_jump_due(64) && sequencer.is_jump_due(65));
        assert_eq!(sequencer.offer(30, 20, header(9, 2), &[]), Offer::NewSource);
    }

    #[test]
    fn what_is_held_is_held_for_so_long() {
        let mut sequencer = Sequencer::new();
        assert_eq!(sequencer.offer(0, 20, header(1, 1), &[]), Offer::Now);
        assert_eq!(sequencer.offer(5, 20, header(3, 1), &[]), Offer::Held);
        assert!(sequencer.take(24).is_none());
        assert_eq!(sequencer.poll_timeout(), Some(25));
        assert_eq!(sequencer.take(25).unwrap().lost, 1);
        assert_eq!(sequencer.poll_timeout(), None);
        assert_eq!(sequencer.offer(30, 20, header(9, 2), &[]), Offer::NewSource);
    }
}

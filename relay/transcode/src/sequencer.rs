//! Packets in order, as far as that costs little: what comes too early is held until what is before
//! it has come, or two are held, or a packet time has passed.

use relay_rtp::{ExtendedSequence, Packet, PayloadType, Sequence, Ssrc};

use crate::counters::DropReason;
use crate::plan::PAYLOAD_LEN_MAX;

/// Packets that are held.
const HELD_MAX: usize = 2;

/// RFC 3550 A.1: a step forward, and one back, that the same source does not take.
const DROPOUT_MAX: i64 = 3_000;
const MISORDER_MAX: i64 = 100;

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
    Drop(DropReason),
}

#[derive(Debug)]
struct Source {
    ssrc: Ssrc,
    /// The number of the next packet whose turn it is.
    next: ExtendedSequence,
    /// Which of the last 64 before `next` came; the lowest bit is the last.
    came: u64,
    /// After a jump: the number that would confirm it.
    jumped_to: Option<Sequence>,
}

#[derive(Debug)]
pub(crate) struct Sequencer {
    source: Option<Source>,
    /// In order.
    held: Vec<Held>,
    spare: Vec<Box<[u8]>>,
    /// When those held are no longer held.
    until: Option<u64>,
}

impl Sequencer {
    pub(crate) fn new() -> Self {
        Self {
            source: None,
            held: Vec::with_capacity(HELD_MAX),
            spare: (0..HELD_MAX)
                .map(|_| vec![0; PAYLOAD_LEN_MAX].into())
                .collect(),
            until: None,
        }
    }

    /// Begins anew with whatever comes next.
    pub(crate) fn forget_source(&mut self) {
        self.source = None;
    }

    /// A packet has come. `hold` is how long it may wait, in nanoseconds.
    pub(crate) fn offer(&mut self, now: u64, hold: u64, header: Header, payload: &[u8]) -> Offer {
        let Some(source) = &mut self.source else {
            self.source = Some(Source {
                ssrc: header.ssrc,
                next: ExtendedSequence::first(header.sequence.next()),
                came: 1,
                jumped_to: None,
            });
            return Offer::Now;
        };
        if header.ssrc != source.ssrc {
            return Offer::NewSource;
        }
        let number = source.next.extend(header.sequence).value();
        let ahead = i64::from(header.sequence.distance_from(source.next.sequence()));
        if !(-MISORDER_MAX..=DROPOUT_MAX).contains(&ahead) {
            if source.jumped_to == Some(header.sequence) {
                return Offer::NewSource;
            }
            source.jumped_to = Some(header.sequence.next());
            return Offer::Drop(DropReason::Jump);
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
            return Offer::Now;
        }
        self.hold(now.saturating_add(hold), number, header, payload)
    }

    fn hold(&mut self, until: u64, number: u64, header: Header, payload: &[u8]) -> Offer {
        if self.held.iter().any(|it| it.number == number) {
            return Offer::Drop(DropReason::Duplicate);
        }
        let Some(mut bytes) = self.spare.pop() else {
            return Offer::Full;
        };
        let len = payload.len().min(bytes.len());
        bytes[..len].copy_from_slice(&payload[..len]);
        let held = Held {
            header,
            number,
            lost: 0,
            bytes,
            len,
        };
        let at = self.held.partition_point(|it| it.number < number);
        self.held.insert(at, held);
        self.until.get_or_insert(until);
        Offer::Held
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

    /// When [`Self::take`] gives something even if nothing comes.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.until
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
        self.jumped_to = None;
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
        let (out, drops) = order(&[1, 2, 40_000, 3, 50_000, 50_001, 50_002]);
        assert_eq!(out, [1, 2, 3, 50_001, 50_002].map(|it| (it, 0)));
        assert_eq!(drops, [DropReason::Jump; 2]);
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

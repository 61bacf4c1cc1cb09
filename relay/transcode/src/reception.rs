//! How reception goes, as reports tell it (RFC 3550 A.3, A.8).

use relay_rtp::rtcp::ReportBlock;
use relay_rtp::{ExtendedSequence, Ssrc};

use crate::sequencer::Header;

/// A step that the same source does not take.
const STEP_MAX: u64 = 3_000;

/// What was received of the source that is heard now.
#[derive(Clone, Debug)]
pub struct Reception {
    clock_hz: u32,
    source: Option<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    ssrc: Ssrc,
    first: ExtendedSequence,
    highest: ExtendedSequence,
    received: u64,
    /// Expected and received when the last report was made.
    reported: (u64, u64),
    /// Time of arrival less timestamp, of the last packet.
    transit: Option<u32>,
    /// 16 times the jitter.
    jitter: u64,
}

impl Reception {
    pub(crate) fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz,
            source: None,
        }
    }

    /// A packet has come. Events stand still in time and tell nothing of jitter.
    pub(crate) fn note(&mut self, now: u64, header: &Header, is_timed: bool) {
        let fresh = Source {
            ssrc: header.ssrc,
            first: ExtendedSequence::first(header.sequence),
            highest: ExtendedSequence::first(header.sequence),
            received: 0,
            reported: (0, 0),
            transit: None,
            jitter: 0,
        };
        let source = self.source.get_or_insert_with(|| fresh.clone());
        let number = source.highest.extend(header.sequence);
        let step = number.value().abs_diff(source.highest.value());
        if source.ssrc != header.ssrc || step > STEP_MAX {
            *source = fresh;
        } else if number > source.highest {
            source.highest = number;
        }
        source.received += 1;
        if is_timed {
            let arrival = u128::from(now) * u128::from(self.clock_hz) / 1_000_000_000;
            let [.., a, b, c, d] = arrival.to_be_bytes();
            source.note_transit(u32::from_be_bytes([a, b, c, d]).wrapping_sub(header.timestamp));
        }
    }

    /// Whose packets came last.
    #[must_use]
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.source.as_ref().map(|it| it.ssrc)
    }

    /// What a report says; the next one tells the share lost from here on. What is known of the
    /// sender's own reports is still to be put in.
    pub fn report(&mut self) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let expected = source.highest.value().saturating_sub(source.first.value()) + 1;
        let (expected_before, received_before) =
            std::mem::replace(&mut source.reported, (expected, source.received));
        let expected_since = expected.saturating_sub(expected_before);
        let lost_since = expected_since.saturating_sub(source.received - received_before);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        let lost = i128::from(expected) - i128::from(source.received);
        let [.., a, b, c, d] = source.highest.value().wrapping_sub(1 << 16).to_be_bytes();
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: i32::try_from(lost.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0),
            highest_sequence: u32::from_be_bytes([a, b, c, d]),
            jitter: u32::try_from(source.jitter >> 4).unwrap_or(u32::MAX),
            last_report: 0,
            delay_since_last_report: 0,
        })
    }
}

impl Source {
    fn note_transit(&mut self, transit: u32) {
        if let Some(last) = self.transit.replace(transit) {
            let difference = u64::from(transit.wrapping_sub(last).cast_signed().unsigned_abs());
            self.jitter = (self.jitter + difference).saturating_sub((self.jitter + 8) >> 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_rtp::{PayloadType, Sequence};

    const PACKET: u64 = 20_000_000;

    fn note(reception: &mut Reception, now: u64, sequence: u16, timestamp: u32) {
        let header = Header {
            payload_type: PayloadType::new(0).unwrap(),
            sequence: Sequence::new(sequence),
            timestamp,
            ssrc: Ssrc::new(7),
        };
        reception.note(now, &header, true);
    }

    #[test]
    fn checklist_12_loss_is_told_as_a_3_of_rfc_3550_does() {
        let mut reception = Reception::new(8_000);
        assert_eq!(reception.report(), None);
        for at in (0..100_u16).filter(|it| it % 10 != 9) {
            note(
                &mut reception,
                u64::from(at) * PACKET,
                at.wrapping_add(65_500),
                u32::from(at) * 160,
            );
        }
        let block = reception.report().unwrap();
        // The last of the ten that were lost is not missed yet.
        assert_eq!((block.lost, block.fraction_lost), (9, 23));
        assert_eq!(block.highest_sequence, 65_598);
        assert_eq!(block.jitter, 0);
        let block = reception.report().unwrap();
        assert_eq!((block.lost, block.fraction_lost), (9, 0));
    }

    #[test]
    fn checklist_12_jitter_is_counted_in_the_clock_of_the_near_side() {
        let mut reception = Reception::new(48_000);
        for at in 0..2_000_u16 {
            let late = u64::from(at % 2) * 5_000_000;
            note(
                &mut reception,
                u64::from(at) * PACKET + late,
                at,
                u32::from(at) * 960,
            );
        }
        let jitter = reception.report().unwrap().jitter;
        assert!((235..=241).contains(&jitter), "5 ms are 240: {jitter}");
    }
}

//! Sender and receiver reports (RFC 3550 §6.4).

use super::word;
use crate::Ssrc;

/// Bytes of one report block.
const BLOCK_LEN: usize = 24;

/// Bytes before the blocks: the SSRC of whoever reports.
const RECEIVER_REPORT_LEN: usize = 4;

/// The same and the sender's information.
const SENDER_REPORT_LEN: usize = 24;

/// What was sent, and how reception goes (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    content: &'a [u8],
    count: u8,
}

/// How reception goes (RFC 3550 §6.4.2).
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    content: &'a [u8],
    count: u8,
}

/// How reception of one source goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReportBlock {
    /// Whose stream is reported on.
    pub ssrc: Ssrc,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; duplicates make it negative.
    pub lost: i32,
    /// The highest sequence number received, extended.
    pub highest_sequence: u32,
    /// In units of the timestamp.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report; 0 if there was none.
    pub last_report: u32,
    /// Time since that report arrived, in 1/65,536 s.
    pub delay_since_last_report: u32,
}

pub(super) fn is_sender_report(content: &[u8], count: u8) -> bool {
    content.len() >= SENDER_REPORT_LEN + BLOCK_LEN * usize::from(count)
}

pub(super) fn is_receiver_report(content: &[u8], count: u8) -> bool {
    content.len() >= RECEIVER_REPORT_LEN + BLOCK_LEN * usize::from(count)
}

impl<'a> SenderReport<'a> {
    pub(super) fn new(content: &'a [u8], count: u8) -> Self {
        Self { content, count }
    }

    /// Who reports.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc::new(word(self.content, 0))
    }

    /// When, in NTP's format: seconds since 1900 and their fraction.
    #[must_use]
    pub fn ntp_time(&self) -> u64 {
        u64::from(word(self.content, 4)) << 32 | u64::from(word(self.content, 8))
    }

    /// The same moment in units of the media's clock.
    #[must_use]
    pub fn rtp_timestamp(&self) -> u32 {
        word(self.content, 12)
    }

    /// RTP packets sent since the beginning.
    #[must_use]
    pub fn packet_count(&self) -> u32 {
        word(self.content, 16)
    }

    /// Payload bytes sent since the beginning.
    #[must_use]
    pub fn octet_count(&self) -> u32 {
        word(self.content, 20)
    }

    /// How reception goes, one block for each source.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        blocks(&self.content[SENDER_REPORT_LEN..], self.count)
    }
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn new(content: &'a [u8], count: u8) -> Self {
        Self { content, count }
    }

    /// Who reports.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc::new(word(self.content, 0))
    }

    /// How reception goes, one block for each source.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        blocks(&self.content[RECEIVER_REPORT_LEN..], self.count)
    }
}

fn blocks(bytes: &[u8], count: u8) -> impl ExactSizeIterator<Item = ReportBlock> + use<'_> {
    (0..usize::from(count)).map(|index| ReportBlock::read(&bytes[index * BLOCK_LEN..]))
}

impl ReportBlock {
    fn read(block: &[u8]) -> Self {
        // 24 bits with a sign: shifted up to 32 and back down.
        let lost = (word(block, 4) << 8).cast_signed() >> 8;
        Self {
            ssrc: Ssrc::new(word(block, 0)),
            fraction_lost: block[4],
            lost,
            highest_sequence: word(block, 8),
            jitter: word(block, 12),
            last_report: word(block, 16),
            delay_since_last_report: word(block, 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Ssrc;
    use crate::rtcp::{Body, Compound};

    #[test]
    fn reads_a_sender_report() {
        let mut bytes = vec![0x81, 200, 0, 12];
        for word in 1..=12_u32 {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        // The second word of the block: a share of 2/256, and one packet more than expected.
        bytes[32..36].copy_from_slice(&[2, 0xff, 0xff, 0xff]);
        let compound = Compound::parse(&bytes).unwrap();
        let Body::SenderReport(report) = compound.packets().next().unwrap().body() else {
            panic!("it is a sender report");
        };
        assert_eq!(report.ssrc(), Ssrc::new(1));
        assert_eq!(report.ntp_time(), 2 << 32 | 3);
        assert_eq!(report.rtp_timestamp(), 4);
        assert_eq!(report.packet_count(), 5);
        assert_eq!(report.octet_count(), 6);
        let block = report.blocks().next().unwrap();
        assert_eq!(block.ssrc, Ssrc::new(7));
        assert_eq!((block.fraction_lost, block.lost), (2, -1));
        assert_eq!(block.highest_sequence, 9);
        assert_eq!(block.jitter, 10);
        assert_eq!(block.last_report, 11);
        assert_eq!(block.delay_since_last_report, 12);
    }

    #[test]
    fn refuses_more_blocks_than_there_is_room_for() {
        let mut bytes = vec![0x81, 201, 0, 1, 0, 0, 0, 1];
        assert!(Compound::parse(&bytes).is_err());
        bytes[0] = 0x80;
        assert!(Compound::parse(&bytes).is_ok());
    }
}

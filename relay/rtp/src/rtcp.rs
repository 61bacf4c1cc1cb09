//! RTCP: several packets in one datagram (RFC 3550 §6).
//!
//! [`Compound::parse`] walks all headers and checks the inside of those kinds that it knows, so
//! that the views it hands out cannot fail.

mod emit;
mod feedback;
mod goodbye;
mod report;
mod source_description;

pub use emit::{CNAME_LEN_MAX, OwnReport, REPORT_LEN_MAX, SenderInfo};
pub use feedback::remove_feedback;
pub use goodbye::Goodbye;
pub use report::{ReceiverReport, ReportBlock, SenderReport};
pub use source_description::{Chunk, Item, SourceDescription};

/// RFC 3550 §12.1, RFC 4585 §6.1.
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const GOODBYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Bytes of the header that all RTCP packets have.
const HEADER_LEN: usize = 4;

const FLAG_PADDING: u8 = 0x20;

/// Why bytes are no RTCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParseError {
    /// A count or an item goes on beyond its packet.
    Content,
    /// Padding that is impossible, or not in the last packet (RFC 3550 §6.4.1).
    Padding,
    /// A packet goes on beyond the end of the datagram.
    Truncated,
    /// A packet type outside 192 to 223 (RFC 5761 §4).
    Type,
    /// Not version 2.
    Version,
}

/// A datagram of RTCP: one packet or more.
///
/// RFC 3550 §6.1 wants a report first; RFC 5506 does without, so that is asked by
/// [`Compound::begins_with_report`] and not refused.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

/// One packet of a [`Compound`].
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    bytes: &'a [u8],
}

/// What one packet says.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Somebody leaves.
    Goodbye(Goodbye<'a>),
    /// A kind that is not looked into: its bytes after the header, padding included.
    Other(&'a [u8]),
    /// How reception goes.
    ReceiverReport(ReceiverReport<'a>),
    /// What was sent, and how reception goes.
    SenderReport(SenderReport<'a>),
    /// Who the sources are.
    SourceDescription(SourceDescription<'a>),
}

impl<'a> Compound<'a> {
    /// Checks all packets.
    ///
    /// # Errors
    ///
    /// When one of them is malformed, or nothing is there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = bytes;
        loop {
            let packet;
            (packet, rest) = Packet::split(rest)?;
            packet.check(rest.is_empty())?;
            if rest.is_empty() {
                return Ok(Self { bytes });
            }
        }
    }

    /// Its packets, in order: one at least.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let packet;
            // Fails only at the end, since `parse` has walked the same way.
            (packet, rest) = Packet::split(rest).ok()?;
            Some(packet)
        })
    }

    /// RFC 3550 §6.1: the first packet of a full compound is a report.
    #[must_use]
    pub fn begins_with_report(&self) -> bool {
        matches!(
            self.bytes[1],
            packet_type::SENDER_REPORT | packet_type::RECEIVER_REPORT
        )
    }
}

impl<'a> Packet<'a> {
    /// Takes the first packet off `bytes`.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let &[flags, packet_type, high, low, ..] = bytes else {
            return Err(ParseError::Truncated);
        };
        if flags >> 6 != 2 {
            return Err(ParseError::Version);
        }
        if !(192..=223).contains(&packet_type) {
            return Err(ParseError::Type);
        }
        // "The length of this RTCP packet in 32-bit words minus one".
        let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let (bytes, rest) = bytes.split_at_checked(len).ok_or(ParseError::Truncated)?;
        Ok((Self { bytes }, rest))
    }

    /// Checks padding and content.
    fn check(&self, is_last: bool) -> Result<(), ParseError> {
        if self.bytes[0] & FLAG_PADDING != 0 {
            let padding = usize::from(self.bytes[self.len() - 1]);
            let body_len = self.len() - HEADER_LEN;
            if !is_last || padding == 0 || padding % 4 != 0 || padding > body_len {
                return Err(ParseError::Padding);
            }
        }
        let (content, count) = (self.content(), self.count());
        let is_whole = match self.packet_type() {
            packet_type::SENDER_REPORT => report::is_sender_report(content, count),
            packet_type::RECEIVER_REPORT => report::is_receiver_report(content, count),
            packet_type::SOURCE_DESCRIPTION => source_description::is_whole(content, count),
            packet_type::GOODBYE => goodbye::is_whole(content, count),
            _ => true,
        };
        if is_whole {
            Ok(())
        } else {
            Err(ParseError::Content)
        }
    }

    /// What it says.
    #[must_use]
    pub fn body(&self) -> Body<'a> {
        let (content, count) = (self.content(), self.count());
        match self.packet_type() {
            packet_type::SENDER_REPORT => Body::SenderReport(SenderReport::new(content, count)),
            packet_type::RECEIVER_REPORT => {
                Body::ReceiverReport(ReceiverReport::new(content, count))
            }
            packet_type::SOURCE_DESCRIPTION => {
                Body::SourceDescription(SourceDescription::new(content, count))
            }
            packet_type::GOODBYE => Body::Goodbye(Goodbye::new(content, count)),
            _ => Body::Other(&self.bytes[HEADER_LEN..]),
        }
    }

    /// 192 to 223.
    #[must_use]
    pub fn packet_type(&self) -> u8 {
        self.bytes[1]
    }

    /// The five bits after the padding bit: how many blocks, chunks or sources there are, or a
    /// subtype.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.bytes[0] & 0x1f
    }

    /// Bytes of the whole packet, header and padding included: never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes between header and padding.
    fn content(&self) -> &'a [u8] {
        let padding = if self.bytes[0] & FLAG_PADDING == 0 {
            0
        } else {
            usize::from(self.bytes[self.len() - 1])
        };
        &self.bytes[HEADER_LEN..self.len() - padding]
    }
}

/// The 32-bit word at `at`.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ssrc;
    use proptest::prelude::*;

    /// An empty receiver report, a description with one name, a goodbye with a reason.
    const COMPOUND: [u8; 36] = [
        0x80, 201, 0, 1, 0, 0, 0, 1, // receiver report
        0x81, 202, 0, 3, 0, 0, 0, 1, 1, 3, b'a', b'@', b'b', 0, 0, 0, // description
        0x81, 203, 0, 2, 0, 0, 0, 1, 3, b'b', b'y', b'e', // goodbye
    ];

    fn parse(bytes: &[u8]) -> Result<(), ParseError> {
        Compound::parse(bytes).map(drop)
    }

    #[test]
    fn walks_a_compound() {
        let compound = Compound::parse(&COMPOUND).unwrap();
        assert!(compound.begins_with_report());
        let types: Vec<_> = compound.packets().map(|it| it.packet_type()).collect();
        assert_eq!(types, [201, 202, 203]);
        let Body::Goodbye(goodbye) = compound.packets().last().unwrap().body() else {
            panic!("the last is a goodbye");
        };
        assert!(goodbye.sources().eq([Ssrc::new(1)]));
        assert_eq!(goodbye.reason(), Some(&b"bye"[..]));
    }

    #[test]
    fn refuses_every_cut() {
        for len in 0..COMPOUND.len() {
            let is_boundary = [8, 24].contains(&len);
            assert_eq!(parse(&COMPOUND[..len]).is_ok(), is_boundary, "{len} bytes");
        }
    }

    #[test]
    fn only_the_last_packet_may_be_padded() {
        let padded = [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4];
        assert_eq!(parse(&padded), Ok(()));
        let followed = [&padded[..], &COMPOUND[..8]].concat();
        assert_eq!(parse(&followed), Err(ParseError::Padding));
        for count in [0, 3, 12] {
            let mut wrong = padded;
            wrong[11] = count;
            assert_eq!(parse(&wrong), Err(ParseError::Padding), "{count}");
        }
        let mut too_much = padded;
        too_much[11] = 8;
        assert_eq!(
            parse(&too_much),
            Err(ParseError::Content),
            "the SSRC is gone"
        );
    }

    #[test]
    fn refuses_what_is_not_rtcp() {
        assert_eq!(parse(&[0x40, 201, 0, 0]), Err(ParseError::Version));
        assert_eq!(parse(&[0x80, 8, 0, 0]), Err(ParseError::Type));
        assert_eq!(parse(&[0x80, 201, 0, 0]), Err(ParseError::Content));
        assert_eq!(parse(&[0x80, 204, 0, 0]), Ok(()), "not looked into");
    }

    proptest! {
        #[test]
        fn survives_any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 4..120), packet_type in 199_u8..206) {
            crate::fuzz::compound(&bytes);
            // Nearer to the truth: a right header over random content.
            bytes.truncate(bytes.len() / 4 * 4);
            bytes[0] = 0x80 | (bytes[0] & 0x23);
            bytes[1] = packet_type;
            bytes[2] = 0;
            bytes[3] = u8::try_from(bytes.len() / 4 - 1).unwrap();
            crate::fuzz::compound(&bytes);
            crate::fuzz::demux(&bytes);
        }
    }
}

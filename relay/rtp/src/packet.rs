//! The RTP packet (RFC 3550 §5.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! ┌───┬─┬─┬───────┬─┬─────────────┬───────────────────────────────┐
//! │V=2│P│X│  CC   │M│     PT      │           sequence            │
//! ├───┴─┴─┴───────┴─┴─────────────┴───────────────────────────────┤
//! │                           timestamp                           │
//! ├───────────────────────────────────────────────────────────────┤
//! │                             SSRC                              │
//! ├───────────────────────────────────────────────────────────────┤
//! │                     CSRC, CC times                            │
//! ├───────────────────────────────────────────────────────────────┤
//! │      if X: profile (16), length in words (16), data           │
//! ├───────────────────────────────────────────────────────────────┤
//! │      payload … if P: padding, its last byte says how much     │
//! └───────────────────────────────────────────────────────────────┘
//! ```

use crate::{Extension, Sequence};

/// The synchronisation source of a packet (RFC 3550 §3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ssrc(u32);

impl Ssrc {
    /// Any 32 bits are an SSRC.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// As a number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

/// What the payload is, as SDP agreed (RFC 3550 §5.1): 0 to 127.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PayloadType(u8);

impl PayloadType {
    /// `None` above 127.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        if value < 128 { Some(Self(value)) } else { None }
    }

    /// Of the second byte of a packet, whose highest bit is the marker.
    pub(crate) const fn of_byte(byte: u8) -> Self {
        Self(byte & !FLAG_MARKER)
    }

    /// As a number from 0 to 127.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }
}

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParseError {
    /// The last byte asks for no padding, or for more than there is room for.
    Padding,
    /// The headers go on beyond the end.
    Truncated,
    /// Not version 2.
    Version,
}

/// A view of an RTP packet over borrowed bytes (RFC 3550 §5.1).
///
/// [`Packet::parse`] checks every length once, so that the accessors cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B> {
    bytes: B,
    /// Where the payload begins.
    payload_start: usize,
    /// Where it ends: before the padding.
    payload_end: usize,
}

mod field {
    pub(super) const FLAGS: usize = 0;
    pub(super) const TYPE: usize = 1;
    pub(super) const SEQUENCE: usize = 2;
    pub(super) const TIMESTAMP: usize = 4;
    pub(super) const SSRC: usize = 8;
    pub(super) const HEADER_LEN: usize = 12;
    pub(super) const EXTENSION_HEADER_LEN: usize = 4;
}

const VERSION: u8 = 2;
const FLAG_PADDING: u8 = 0x20;
const FLAG_EXTENSION: u8 = 0x10;
const FLAG_MARKER: u8 = 0x80;

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks the version and that CSRC list, extension and padding lie within the bytes.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub fn parse(bytes: B) -> Result<Self, ParseError> {
        let all = bytes.as_ref();
        if all.len() < field::HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        let flags = all[field::FLAGS];
        if flags >> 6 != VERSION {
            return Err(ParseError::Version);
        }
        let mut payload_start = field::HEADER_LEN + 4 * usize::from(flags & 0x0f);
        if flags & FLAG_EXTENSION != 0 {
            let header = all
                .get(payload_start..payload_start + field::EXTENSION_HEADER_LEN)
                .ok_or(ParseError::Truncated)?;
            let words = u16::from_be_bytes([header[2], header[3]]);
            payload_start += field::EXTENSION_HEADER_LEN + 4 * usize::from(words);
        }
        if payload_start > all.len() {
            return Err(ParseError::Truncated);
        }
        let payload_end = all.len() - padding_len(&all[payload_start..], flags)?;
        Ok(Self {
            bytes,
            payload_start,
            payload_end,
        })
    }

    /// The beginning of a talk spurt, or of a frame: the profile says.
    #[must_use]
    pub fn marker(&self) -> bool {
        self.all()[field::TYPE] & FLAG_MARKER != 0
    }

    /// What the payload is.
    #[must_use]
    pub fn payload_type(&self) -> PayloadType {
        PayloadType::of_byte(self.all()[field::TYPE])
    }

    /// The number of this packet in its stream.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        let bytes = self.all();
        Sequence::new(u16::from_be_bytes([
            bytes[field::SEQUENCE],
            bytes[field::SEQUENCE + 1],
        ]))
    }

    /// When the first sample of the payload was taken, in units of the payload's clock.
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        self.word(field::TIMESTAMP)
    }

    /// Whose stream it is.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc(self.word(field::SSRC))
    }

    /// Who contributed, where a mixer made the packet: at most 15.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + '_ {
        let count = usize::from(self.all()[field::FLAGS] & 0x0f);
        (0..count).map(|index| Ssrc(self.word(field::HEADER_LEN + 4 * index)))
    }

    /// The header extension (RFC 3550 §5.3.1).
    #[must_use]
    pub fn extension(&self) -> Option<Extension<'_>> {
        let bytes = self.all();
        if bytes[field::FLAGS] & FLAG_EXTENSION == 0 {
            return None;
        }
        let start = field::HEADER_LEN + 4 * self.csrcs().len();
        let data = start + field::EXTENSION_HEADER_LEN;
        Some(Extension {
            profile: u16::from_be_bytes([bytes[start], bytes[start + 1]]),
            data: &bytes[data..self.payload_start],
        })
    }

    /// What is carried, without padding.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.all()[self.payload_start..self.payload_end]
    }

    /// How many bytes of padding follow the payload, the byte that counts them included.
    #[must_use]
    pub fn padding_len(&self) -> usize {
        self.all().len() - self.payload_end
    }

    fn all(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.all();
        u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Packet<B> {
    /// Overwrites the sequence number.
    pub fn set_sequence(&mut self, sequence: Sequence) {
        self.bytes.as_mut()[field::SEQUENCE..][..2]
            .copy_from_slice(&sequence.value().to_be_bytes());
    }

    /// What is carried, without padding, to be overwritten.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.payload_start, self.payload_end);
        &mut self.bytes.as_mut()[start..end]
    }

    /// Makes the payload shorter, and leaves padding out. How many bytes of the packet are left:
    /// those behind are none of it any more.
    pub fn shorten_payload(&mut self, len: usize) -> usize {
        self.payload_end = self.payload_end.min(self.payload_start + len);
        self.bytes.as_mut()[field::FLAGS] &= !FLAG_PADDING;
        self.payload_end
    }

    /// Overwrites the timestamp.
    pub fn set_timestamp(&mut self, timestamp: u32) {
        self.bytes.as_mut()[field::TIMESTAMP..][..4].copy_from_slice(&timestamp.to_be_bytes());
    }

    /// Overwrites the SSRC.
    pub fn set_ssrc(&mut self, ssrc: Ssrc) {
        self.bytes.as_mut()[field::SSRC..][..4].copy_from_slice(&ssrc.0.to_be_bytes());
    }

    /// Overwrites the payload type and leaves the marker as it is.
    pub fn set_payload_type(&mut self, payload_type: PayloadType) {
        let byte = &mut self.bytes.as_mut()[field::TYPE];
        *byte = (*byte & FLAG_MARKER) | payload_type.0;
    }
}

/// How much of what follows the headers is padding.
fn padding_len(after_headers: &[u8], flags: u8) -> Result<usize, ParseError> {
    if flags & FLAG_PADDING == 0 {
        return Ok(0);
    }
    match after_headers.last() {
        Some(&count) if count > 0 && usize::from(count) <= after_headers.len() => {
            Ok(usize::from(count))
        }
        _ => Err(ParseError::Padding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two CSRCs, one word of extension, three bytes of payload, two of padding.
    const FULL: [u8; 33] = [
        0xb2, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, // fixed header
        0, 0, 0, 1, 0, 0, 0, 2, // CSRC
        0xbe, 0xde, 0, 1, 0x10, 0x7f, 0, 0, // extension
        7, 8, 9, // payload
        0, 2, // padding
    ];

    #[test]
    fn reads_every_field() {
        let packet = Packet::parse(&FULL[..]).unwrap();
        assert!(packet.marker());
        assert_eq!(packet.payload_type(), PayloadType(8));
        assert_eq!(packet.sequence(), Sequence::new(0x1234));
        assert_eq!(packet.timestamp(), 160);
        assert_eq!(packet.ssrc(), Ssrc(0xdead_beef));
        assert!(packet.csrcs().eq([Ssrc(1), Ssrc(2)]));
        let extension = packet.extension().unwrap();
        assert_eq!(extension.profile, 0xbede);
        assert_eq!(extension.data, [0x10, 0x7f, 0, 0]);
        assert_eq!(packet.payload(), [7, 8, 9]);
        assert_eq!(packet.padding_len(), 2);
    }

    #[test]
    fn refuses_headers_that_go_on_beyond_the_end() {
        for len in 0..28 {
            let error = Packet::parse(&FULL[..len]).unwrap_err();
            assert_eq!(error, ParseError::Truncated, "{len} bytes");
        }
        assert_eq!(
            Packet::parse(&FULL[..28]).unwrap_err(),
            ParseError::Padding,
            "no byte is left to count the padding"
        );
    }

    #[test]
    fn refuses_impossible_padding() {
        for count in [0, 6, 255] {
            let mut bytes = FULL;
            bytes[32] = count;
            assert_eq!(Packet::parse(&bytes[..]).unwrap_err(), ParseError::Padding);
        }
        let mut bytes = FULL;
        bytes[32] = 5;
        let packet = Packet::parse(&bytes[..]).unwrap();
        assert!(packet.payload().is_empty(), "all padding is allowed");
    }

    #[test]
    fn refuses_other_versions() {
        let mut bytes = FULL;
        bytes[0] = 0x72;
        assert_eq!(Packet::parse(&bytes[..]).unwrap_err(), ParseError::Version);
    }

    #[test]
    fn writes_fields_and_leaves_the_others() {
        let mut bytes = FULL;
        let mut packet = Packet::parse(&mut bytes[..]).unwrap();
        packet.set_sequence(Sequence::new(9));
        packet.set_timestamp(10);
        packet.set_ssrc(Ssrc(11));
        packet.set_payload_type(PayloadType(12));
        packet.payload_mut()[2] = 10;
        assert_eq!(
            bytes[..12],
            [0xb2, 0x8c, 0, 9, 0, 0, 0, 10, 0, 0, 0, 11],
            "the marker stays"
        );
        assert_eq!(bytes[28..31], [7, 8, 10]);
        bytes[30] = FULL[30];
        assert_eq!(bytes[12..], FULL[12..]);
    }

    #[test]
    fn a_shorter_payload_has_no_padding() {
        let mut bytes = FULL;
        let mut packet = Packet::parse(&mut bytes[..]).unwrap();
        assert_eq!(packet.shorten_payload(2), 30);
        let packet = Packet::parse(&bytes[..30]).unwrap();
        assert_eq!((packet.payload(), packet.padding_len()), (&[7, 8][..], 0));
        assert!(packet.extension().is_some());
    }

    /// Bytes that get past the first checks more often than random ones do.
    fn nearly_rtp() -> impl Strategy<Value = Vec<u8>> {
        (0x80..=0xbf_u8, prop::collection::vec(any::<u8>(), 0..96)).prop_map(|(first, mut rest)| {
            if let Some(length) = rest.get_mut(13) {
                *length = 0;
            }
            rest.insert(0, first);
            rest
        })
    }

    proptest! {
        #[test]
        fn agrees_with_another_implementation(bytes in nearly_rtp()) {
            crate::fuzz::packet(&bytes);
            let theirs = rtp_rs::RtpReader::new(&bytes);
            let Ok(ours) = Packet::parse(&bytes[..]) else {
                // It also takes packets whose padding leaves nothing to count it.
                let flags = bytes[0];
                prop_assert!(theirs.is_err() || flags & FLAG_PADDING != 0);
                return Ok(());
            };
            let Ok(theirs) = theirs else {
                // It refuses padding that fills the whole payload.
                prop_assert!(ours.payload().is_empty());
                return Ok(());
            };
            prop_assert_eq!(ours.marker(), theirs.mark());
            prop_assert_eq!(ours.payload_type().value(), theirs.payload_type());
            prop_assert_eq!(ours.sequence().value(), u16::from(theirs.sequence_number()));
            prop_assert_eq!(ours.timestamp(), theirs.timestamp());
            prop_assert_eq!(ours.ssrc().value(), theirs.ssrc());
            prop_assert!(ours.csrcs().map(Ssrc::value).eq(theirs.csrc()));
            prop_assert_eq!(ours.payload(), theirs.payload());
            prop_assert_eq!(
                ours.extension().map(|it| (it.profile, it.data)),
                theirs.extension()
            );
        }
    }
}

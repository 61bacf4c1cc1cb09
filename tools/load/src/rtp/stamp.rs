//! What each packet carries, so that its receiver can tell whose it is, whether it is whole, and
//! how long it was on its way.
//!
//! ```text
//! RTP header (12)
//! payload:  checksum (8)  run (4)  stream (4)  number (4)  zero (4)  sent, ns since 1970 (8)  filling
//! ```
//!
//! The checksum covers all of the payload behind it. The header is not covered, but follows from
//! the stamp: sequence number and timestamp count with `number`, the SSRC is made from run and
//! stream. The packets are written and read by `rtp-rs`, an RTP implementation that is not ours.

use std::hash::Hasher;

use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};
use rustc_hash::FxHasher;

/// Bytes of a stamp: no payload can be shorter.
pub(crate) const STAMP_LEN: usize = 32;

/// Bytes of an RTP header as we write it.
pub(crate) const HEADER_LEN: usize = 12;

const CHECKSUM_LEN: usize = 8;

/// Whose packet it is, and from when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    /// Tells this run from others.
    pub(crate) run: u32,
    /// Which stream: one direction of a call.
    pub(crate) stream: u32,
    /// Counts the packets of the stream from 0.
    pub(crate) number: u32,
    /// When it was sent, in nanoseconds since 1970.
    pub(crate) sent_ns: u64,
}

/// What all packets of a run have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    pub(crate) run: u32,
    pub(crate) payload_type: u8,
    pub(crate) payload_len: usize,
    /// Clock ticks from one packet to the next.
    pub(crate) timestamp_step: u32,
}

/// Why a datagram is not a packet of this run as it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Something of it was changed on the way.
    Corrupt,
    /// It is whole, but of another run.
    Foreign,
}

impl Shape {
    /// Bytes of a packet.
    pub(crate) fn packet_len(&self) -> usize {
        HEADER_LEN + self.payload_len
    }

    /// Writes a packet; returns its length, which is [`Self::packet_len`].
    pub(crate) fn write(&self, stamp: &Stamp, payload: &mut [u8], out: &mut [u8]) -> usize {
        stamp.write(payload);
        let built = RtpPacketBuilder::new()
            .payload_type(self.payload_type)
            .ssrc(self.ssrc(stamp.stream))
            .sequence(Seq::from(low_16(stamp.number)))
            .timestamp(stamp.number.wrapping_mul(self.timestamp_step))
            .marked(stamp.number == 0)
            .payload(payload)
            .build_into(out);
        // Buffers are made as long as packets are.
        built.unwrap_or(0)
    }

    /// Reads a packet and holds all of it against what was sent.
    pub(crate) fn read(&self, bytes: &[u8]) -> Result<Stamp, Fault> {
        let packet = RtpReader::new(bytes).map_err(|_| Fault::Corrupt)?;
        let stamp = Stamp::read(packet.payload()).ok_or(Fault::Corrupt)?;
        if stamp.run != self.run {
            return Err(Fault::Foreign);
        }
        let number = stamp.number;
        let is_as_sent = bytes.len() == self.packet_len()
            && packet.payload_type() == self.payload_type
            && packet.ssrc() == self.ssrc(stamp.stream)
            && packet.sequence_number() == Seq::from(low_16(number))
            && packet.timestamp() == number.wrapping_mul(self.timestamp_step)
            && packet.mark() == (number == 0)
            && packet.extension().is_none()
            && packet.csrc_count() == 0;
        is_as_sent.then_some(stamp).ok_or(Fault::Corrupt)
    }

    fn ssrc(&self, stream: u32) -> u32 {
        self.run ^ stream
    }
}

impl Stamp {
    fn write(&self, payload: &mut [u8]) {
        payload[8..12].copy_from_slice(&self.run.to_be_bytes());
        payload[12..16].copy_from_slice(&self.stream.to_be_bytes());
        payload[16..20].copy_from_slice(&self.number.to_be_bytes());
        payload[20..24].fill(0);
        payload[24..32].copy_from_slice(&self.sent_ns.to_be_bytes());
        let sum = checksum(&payload[CHECKSUM_LEN..]);
        payload[..CHECKSUM_LEN].copy_from_slice(&sum.to_be_bytes());
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let sum = u64::from_be_bytes(*payload.first_chunk()?);
        if payload.len() < STAMP_LEN || sum != checksum(&payload[CHECKSUM_LEN..]) {
            return None;
        }
        let word = |at: usize| Some(u32::from_be_bytes(*payload.get(at..)?.first_chunk()?));
        Some(Self {
            run: word(8)?,
            stream: word(12)?,
            number: word(16)?,
            sent_ns: u64::from_be_bytes(*payload.get(24..)?.first_chunk()?),
        })
    }
}

/// Not cryptographic: it is to notice accidents, at some 10 ns a packet.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// The low half, as a sequence number counts.
fn low_16(number: u32) -> u16 {
    let [.., high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: Shape = Shape {
        run: 7,
        payload_type: 8,
        payload_len: 160,
        timestamp_step: 160,
    };

    fn packet(stamp: &Stamp) -> Vec<u8> {
        let mut out = vec![0; SHAPE.packet_len()];
        let len = SHAPE.write(stamp, &mut [0x55; 160], &mut out);
        assert_eq!(len, out.len());
        out
    }

    proptest! {
        #[test]
        fn a_packet_reads_as_it_was_written(stream: u32, number: u32, sent_ns: u64) {
            let stamp = Stamp { run: 7, stream, number, sent_ns };
            prop_assert_eq!(SHAPE.read(&packet(&stamp)), Ok(stamp));
        }

        #[test]
        fn any_change_is_noticed(number: u32, at in 0_usize..172, bit in 0_u8..8) {
            let stamp = Stamp { run: 7, stream: 3, number, sent_ns: 5 };
            let mut bytes = packet(&stamp);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(SHAPE.read(&bytes), Err(Fault::Corrupt));
        }

        #[test]
        fn any_length_is_noticed(len in 0_usize..172) {
            let stamp = Stamp { run: 7, stream: 3, number: 9, sent_ns: 5 };
            prop_assert_eq!(SHAPE.read(&packet(&stamp)[..len]), Err(Fault::Corrupt));
        }

        #[test]
        fn junk_is_never_a_packet(bytes: Vec<u8>) {
            prop_assert!(SHAPE.read(&bytes).is_err());
        }
    }

    #[test]
    fn another_run_is_foreign() {
        let stamp = Stamp {
            run: 8,
            stream: 1,
            number: 1,
            sent_ns: 1,
        };
        assert_eq!(SHAPE.read(&packet(&stamp)), Err(Fault::Foreign));
    }
}

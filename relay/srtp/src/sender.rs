//! Packets that leave.

use relay_wire::{Crypto, Refusal};

use crate::keys::{Keys, Method};
use crate::layout::{RTCP_CLEAR_LEN, RTCP_INDEX_LEN, RtpHeader, rtcp_ssrc};
use crate::sources::Sources;
use crate::transform::Place;
use crate::window::extend;

/// Why a packet cannot leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtectError {
    /// It is no RTP, or no RTCP.
    #[error("it is no packet that could be protected")]
    Malformed,
    /// There is no room behind it.
    #[error("there is no room for the tag")]
    NoRoom,
    /// Another packet left with this number, or it is too late to say. To encrypt two with one number
    /// would let others read both (RFC 3711 §9.1).
    #[error("its number was used")]
    Repeated,
    /// Where it comes from there were as many sources already as one place may have:
    /// [`SOURCES_MAX`](crate::SOURCES_MAX) if it is the only one. None is forgotten, since its numbers
    /// could come again.
    #[error("there were too many sources")]
    TooManySources,
    /// As many packets as a key is good for have left (RFC 3711 §9.2).
    #[error("the key is used up")]
    UsedUp,
}

/// Numbers of RTP: 2^48 packets of one source.
const RTP_NUMBERS: u64 = 1 << 48;

/// Numbers of RTCP. All sources share them, which receivers do not notice.
const RTCP_NUMBERS: u32 = 1 << 31;

/// Bit that says that RTCP is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Protects what is sent with one set of keys.
#[derive(Debug)]
pub struct Sender {
    keys: Keys,
    sources: Sources,
    /// The number of the next RTCP.
    rtcp_number: u32,
    rtcp_is_clear: bool,
    /// A source, and the roll-over counter that it begins with.
    expected: Option<(u32, u32)>,
    /// The place that RTP comes from.
    origin: u32,
}

impl Sender {
    /// With keys that nothing was sent with yet.
    ///
    /// # Errors
    ///
    /// [`Refusal::WrongKey`] if they do not fit their suite.
    pub fn new(crypto: &Crypto) -> Result<Self, Refusal> {
        Ok(Self {
            keys: Keys::new(crypto).ok_or(Refusal::WrongKey)?,
            sources: Sources::default(),
            rtcp_number: 0,
            rtcp_is_clear: crypto.rtcp_is_clear,
            expected: None,
            origin: 0,
        })
    }

    /// RTCP has this number or a higher one from now on: others may have used those below.
    pub fn skip_rtcp(&mut self, number: u32) {
        self.rtcp_number = self.rtcp_number.max(number);
    }

    /// These keys take the place of others. Numbers of RTCP go on (RFC 3711 §3.4: they are not to
    /// be reset); those of RTP begin anew, as with most phones.
    pub fn follow(&mut self, before: &Self) {
        self.skip_rtcp(before.rtcp_number);
    }

    /// Another has sent with the same key: no number that it has used is used again.
    pub fn join(&mut self, other: &Self) {
        self.skip_rtcp(other.rtcp_number);
        self.sources.join(&other.sources, false);
    }

    /// If nothing of this source has left yet, it begins with this roll-over counter.
    pub fn expect(&mut self, ssrc: u32, roll_over: u32) {
        self.expected = Some((ssrc, roll_over));
    }

    /// RTP comes from this place from now on; those of no other place take all the room for sources.
    pub fn come_from(&mut self, origin: u32) {
        self.origin = origin;
    }

    /// The number of the first packet of a source.
    fn first(&self, header: RtpHeader) -> u64 {
        let expected = self.expected.filter(|(ssrc, _)| *ssrc == header.ssrc);
        let roll_over = expected.map_or(0, |(_, roll_over)| roll_over);
        u64::from(roll_over) << 16 | u64::from(header.sequence)
    }

    /// Protects RTP in the first `len` bytes of the buffer. Says how many it is then.
    ///
    /// # Errors
    ///
    /// When it cannot leave; then the bytes are as they were.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let packet = buffer.get(..len).ok_or(ProtectError::NoRoom)?;
        let header = RtpHeader::read(packet).ok_or(ProtectError::Malformed)?;
        let grown = len + self.keys.rtp.tag_len() + self.keys.identifier.len();
        if grown > buffer.len() {
            return Err(ProtectError::NoRoom);
        }
        let window = self.sources.get(header.ssrc);
        if window.is_none() && !self.sources.has_room_for(self.origin) {
            return Err(ProtectError::TooManySources);
        }
        let number = match window {
            Some(window) => extend(Some(window.highest()), header.sequence),
            None => self.first(header),
        };
        if number >= RTP_NUMBERS {
            return Err(ProtectError::UsedUp);
        }
        if window.is_some_and(|it| !it.is_new(number)) {
            return Err(ProtectError::Repeated);
        }
        self.sources.note_from(self.origin, header.ssrc, number);
        let place = Place {
            ssrc: header.ssrc,
            number,
            is_rtcp: false,
        };
        let (packet, behind) = buffer.split_at_mut(len);
        self.seal_rtp(place, header.len, packet, behind)?;
        Ok(grown)
    }

    fn seal_rtp(
        &self,
        place: Place,
        header_len: usize,
        packet: &mut [u8],
        behind: &mut [u8],
    ) -> Result<(), ProtectError> {
        let (header, payload) = packet.split_at_mut(header_len);
        let identifier = &self.keys.identifier;
        match &self.keys.rtp {
            Method::Split { cipher, tagger } => {
                cipher.apply(place, (header, payload), [0; 4]);
                behind[..identifier.len()].copy_from_slice(identifier);
                if let Some(tagger) = tagger {
                    let tag = tagger.tag(packet, &place.roll_over());
                    behind[identifier.len()..][..tagger.len].copy_from_slice(&tag[..tagger.len]);
                }
            }
            Method::Joined(aead) => {
                let tag = aead.encrypt(place, header, payload);
                let tag = tag.ok_or(ProtectError::NoRoom)?;
                behind[..tag.len()].copy_from_slice(&tag);
                behind[tag.len()..][..identifier.len()].copy_from_slice(identifier);
            }
        }
        Ok(())
    }

    /// Protects RTCP in the first `len` bytes of the buffer. Says how many it is then.
    ///
    /// # Errors
    ///
    /// When it cannot leave; then the bytes are as they were.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let packet = buffer.get(..len).ok_or(ProtectError::NoRoom)?;
        let ssrc = rtcp_ssrc(packet).ok_or(ProtectError::Malformed)?;
        let grown = len + RTCP_INDEX_LEN + self.keys.rtcp.tag_len() + self.keys.identifier.len();
        if grown > buffer.len() {
            return Err(ProtectError::NoRoom);
        }
        if self.rtcp_number >= RTCP_NUMBERS {
            return Err(ProtectError::UsedUp);
        }
        let number = self.rtcp_number;
        self.rtcp_number += 1;
        let is_encrypted = !self.rtcp_is_clear;
        let trailer = if is_encrypted {
            number | ENCRYPTED
        } else {
            number
        };
        let place = Place {
            ssrc,
            number: number.into(),
            is_rtcp: true,
        };
        self.seal_rtcp(place, trailer.to_be_bytes(), buffer, len)?;
        Ok(grown)
    }

    fn seal_rtcp(
        &self,
        place: Place,
        trailer: [u8; RTCP_INDEX_LEN],
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(), ProtectError> {
        let identifier = &self.keys.identifier;
        let (packet, behind) = buffer.split_at_mut(len);
        let (header, payload) = packet.split_at_mut(RTCP_CLEAR_LEN);
        let behind = match &self.keys.rtcp {
            Method::Split { cipher, tagger } => {
                if !self.rtcp_is_clear {
                    cipher.apply(place, (header, payload), trailer);
                }
                behind[..RTCP_INDEX_LEN].copy_from_slice(&trailer);
                let behind = &mut behind[RTCP_INDEX_LEN..];
                behind[..identifier.len()].copy_from_slice(identifier);
                if let Some(tagger) = tagger {
                    let tag = tagger.tag(packet, &trailer);
                    behind[identifier.len()..][..tagger.len].copy_from_slice(&tag[..tagger.len]);
                }
                return Ok(());
            }
            Method::Joined(aead) => {
                let tag = aead.encrypt(place, &rtcp_clear(header, trailer), payload);
                let tag = tag.ok_or(ProtectError::NoRoom)?;
                behind[..tag.len()].copy_from_slice(&tag);
                &mut behind[tag.len()..]
            }
        };
        behind[..RTCP_INDEX_LEN].copy_from_slice(&trailer);
        behind[RTCP_INDEX_LEN..][..identifier.len()].copy_from_slice(identifier);
        Ok(())
    }

    /// Bytes by which RTP grows.
    #[must_use]
    pub fn rtp_growth(&self) -> usize {
        self.keys.rtp.tag_len() + self.keys.identifier.len()
    }
}

/// What Galois/counter mode authenticates of encrypted RTCP and does not encrypt (RFC 7714 §9.2).
pub(crate) fn rtcp_clear(header: &[u8], trailer: [u8; RTCP_INDEX_LEN]) -> [u8; 12] {
    let mut clear = [0; RTCP_CLEAR_LEN + RTCP_INDEX_LEN];
    clear[..RTCP_CLEAR_LEN].copy_from_slice(&header[..RTCP_CLEAR_LEN]);
    clear[RTCP_CLEAR_LEN..].copy_from_slice(&trailer);
    clear
}

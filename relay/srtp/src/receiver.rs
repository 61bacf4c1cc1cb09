//! Packets that arrive.

use relay_wire::{Crypto, Refusal};
use subtle::ConstantTimeEq;

use crate::keys::{Keys, Method};
use crate::layout::{RTCP_CLEAR_LEN, RTCP_INDEX_LEN, RtpHeader, rtcp_ssrc};
use crate::sender::rtcp_clear;
use crate::sources::Sources;
use crate::transform::{Place, TAG_LEN_MAX, Tagger};
use crate::window::extend;

/// Why a packet is not the peer's, or not to be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnprotectError {
    /// It is no RTP, or no RTCP, or too short for a tag.
    #[error("it is no protected packet")]
    Malformed,
    /// Its tag is wrong: somebody else made it, or changed it, or the keys are others.
    #[error("its tag is wrong")]
    Unauthentic,
    /// It was there before, or is too late to say.
    #[error("it was there before")]
    Replayed,
}

/// Numbers of RTP: 48 bits.
const RTP_NUMBERS: u64 = 1 << 48;

/// One roll-over.
const ROLL_OVER: u64 = 1 << 16;

/// Of packets in a row that are not authentic, one of so many is tried with other roll-over counters
/// as well. So a flood of forged ones costs little more than one trial each.
const GUESS_EVERY: u32 = 16;

/// As many roll-over counters beyond the likely one are tried, one after the other: a day of
/// packets every 20 ms.
const GUESSES_MAX: u32 = 64;

/// Takes the protection off what one set of keys protects.
#[derive(Debug)]
pub struct Receiver {
    keys: Keys,
    rtp: Sources,
    rtcp: Sources,
    /// RTP in a row that was not authentic.
    failures: u32,
    /// What was heard with the keys before these: a sender may count on, or begin anew.
    before: Option<Box<Sources>>,
}

impl Receiver {
    /// With keys that nothing was received with yet.
    ///
    /// # Errors
    ///
    /// [`Refusal::WrongKey`] if they do not fit their suite.
    pub fn new(crypto: &Crypto) -> Result<Self, Refusal> {
        Ok(Self {
            keys: Keys::new(crypto).ok_or(Refusal::WrongKey)?,
            rtp: Sources::default(),
            rtcp: Sources::default(),
            failures: 0,
            before: None,
        })
    }

    /// These keys take the place of others.
    pub fn follow(&mut self, before: &Self) {
        self.before = Some(Box::new(before.rtp.clone()));
    }

    /// Another has received with the same key: what it has taken is not taken again.
    pub fn join(&mut self, other: &Self) {
        self.rtp.join(&other.rtp, true);
        self.rtcp.join(&other.rtcp, true);
    }

    /// The roll-over counter of a source's newest RTP.
    #[must_use]
    pub fn roll_over(&self, ssrc: u32) -> Option<u32> {
        let number = self.rtp.get(ssrc)?.highest() >> 16;
        u32::try_from(number).ok()
    }

    /// Takes the protection off RTP. Says how many bytes are left.
    ///
    /// # Errors
    ///
    /// When it is not the peer's, or was there before; then the bytes are as they were.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        self.open_rtp_from(packet, true)
    }

    /// The same of what somebody may have sent who is not the peer. That is told by the tag; where
    /// there is none (`UNAUTHENTICATED_SRTP`), nothing is remembered of the packet.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn unprotect_strange_rtp(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        self.open_rtp_from(packet, false)
    }

    fn open_rtp_from(&mut self, packet: &mut [u8], is_peer: bool) -> Result<usize, UnprotectError> {
        let header = RtpHeader::read(packet).ok_or(UnprotectError::Malformed)?;
        let overhead = self.keys.rtp.tag_len() + self.keys.identifier.len();
        let len = packet.len().checked_sub(overhead);
        let len = len.filter(|it| *it >= header.len);
        let len = len.ok_or(UnprotectError::Malformed)?;
        self.check_identifier(packet, len)?;
        let window = self.rtp.get(header.ssrc);
        let number = extend(window.map(|it| it.highest()), header.sequence);
        let is_tagged = self.keys.rtp.tag_len() > 0;
        // Without tags anybody could move the window.
        let is_new = !is_tagged || window.is_none_or(|it| it.is_new(number));
        if is_new && self.open_rtp(number, header, packet, len) {
            if is_tagged || is_peer {
                self.failures = 0;
                self.rtp.note(header.ssrc, number);
            }
            return Ok(len);
        }
        let may_guess = self.failures.is_multiple_of(GUESS_EVERY);
        if may_guess && self.guess(number, header, packet, len) {
            self.failures = 0;
            return Ok(len);
        }
        self.failures = self.failures.wrapping_add(1);
        match is_new {
            true => Err(UnprotectError::Unauthentic),
            false => Err(UnprotectError::Replayed),
        }
    }

    /// The sender's roll-over counter may be another than it should be: it was heard late, or not
    /// for long, or has begun anew. Nobody else knows the tag that goes with another; but one that
    /// was used must not be used again, so the numbers only go on.
    fn guess(&mut self, number: u64, header: RtpHeader, packet: &mut [u8], len: usize) -> bool {
        let highest = self.rtp.get(header.ssrc).map(|it| it.highest());
        let before = self.before.as_ref().and_then(|it| it.get(header.ssrc));
        let step = 1 + self.failures / GUESS_EVERY % GUESSES_MAX;
        let guesses = [
            Some(number.wrapping_add(ROLL_OVER * u64::from(step))),
            before.map(|it| extend(Some(it.highest()), header.sequence)),
        ];
        for guess in guesses.into_iter().flatten() {
            let is_possible = guess != number && guess < RTP_NUMBERS;
            let goes_on = highest.is_none_or(|it| guess > it);
            if is_possible && goes_on && self.open_rtp(guess, header, packet, len) {
                self.rtp.restart(header.ssrc, guess);
                return true;
            }
        }
        false
    }

    /// Says whether the packet is authentic if it has this number; then it is clear.
    fn open_rtp(&self, number: u64, header: RtpHeader, packet: &mut [u8], len: usize) -> bool {
        let place = Place {
            ssrc: header.ssrc,
            number,
            is_rtcp: false,
        };
        if number >= RTP_NUMBERS {
            return false;
        }
        let (packet, behind) = packet.split_at_mut(len);
        match &self.keys.rtp {
            Method::Split { cipher, tagger } => {
                let tag = behind.get(self.keys.identifier.len()..).unwrap_or_default();
                let is_ours = |it: &Tagger| it.is_tag(tag, packet, &place.roll_over());
                if !tagger.as_ref().is_none_or(is_ours) {
                    return false;
                }
                let (header, payload) = packet.split_at_mut(header.len);
                cipher.apply(place, (header, payload), [0; 4]);
                true
            }
            Method::Joined(aead) => {
                let (header, payload) = packet.split_at_mut(header.len);
                let tag = behind.first_chunk::<TAG_LEN_MAX>();
                tag.is_some_and(|tag| aead.decrypt(place, header, payload, *tag))
            }
        }
    }

    /// Each packet says which key it is of, where there may be several. It stands before a tag of
    /// its own, and behind one that is part of what was encrypted.
    fn check_identifier(&self, packet: &[u8], len: usize) -> Result<(), UnprotectError> {
        let at = match &self.keys.rtp {
            Method::Split { .. } => len,
            Method::Joined(_) => len + TAG_LEN_MAX,
        };
        self.is_identifier(packet.get(at..))
    }

    fn is_identifier(&self, bytes: Option<&[u8]>) -> Result<(), UnprotectError> {
        let found = bytes.and_then(|it| it.get(..self.keys.identifier.len()));
        let is_ours = found.is_some_and(|it| bool::from(it.ct_eq(&self.keys.identifier)));
        is_ours.then_some(()).ok_or(UnprotectError::Unauthentic)
    }

    /// Takes the protection off RTCP. Says how many bytes are left.
    ///
    /// # Errors
    ///
    /// When it is not the peer's, or was there before; then the bytes are as they were.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        let ssrc = rtcp_ssrc(packet).ok_or(UnprotectError::Malformed)?;
        let overhead = RTCP_INDEX_LEN + self.keys.rtcp.tag_len() + self.keys.identifier.len();
        let len = packet.len().checked_sub(overhead);
        let len = len.filter(|it| *it >= RTCP_CLEAR_LEN);
        let len = len.ok_or(UnprotectError::Malformed)?;
        let (packet, behind) = packet.split_at_mut(len);
        let (trailer_at, identifier_at) = match &self.keys.rtcp {
            Method::Split { .. } => (0, RTCP_INDEX_LEN),
            Method::Joined(_) => (TAG_LEN_MAX, TAG_LEN_MAX + RTCP_INDEX_LEN),
        };
        let trailer = behind.get(trailer_at..).and_then(|it| it.first_chunk());
        let trailer: [u8; 4] = *trailer.ok_or(UnprotectError::Malformed)?;
        self.is_identifier(behind.get(identifier_at..))?;
        let number = u64::from(u32::from_be_bytes(trailer) & 0x7fff_ffff);
        if self.rtcp.get(ssrc).is_some_and(|it| !it.is_new(number)) {
            return Err(UnprotectError::Replayed);
        }
        let place = Place {
            ssrc,
            number,
            is_rtcp: true,
        };
        if !self.open_rtcp(place, trailer, packet, behind) {
            return Err(UnprotectError::Unauthentic);
        }
        self.rtcp.note(ssrc, number);
        Ok(len)
    }

    fn open_rtcp(
        &self,
        place: Place,
        trailer: [u8; RTCP_INDEX_LEN],
        packet: &mut [u8],
        behind: &[u8],
    ) -> bool {
        let is_encrypted = trailer[0] & 0x80 != 0;
        match &self.keys.rtcp {
            Method::Split { cipher, tagger } => {
                let tag = behind.get(RTCP_INDEX_LEN + self.keys.identifier.len()..);
                let tag = tag.unwrap_or_default();
                let is_ours = |it: &Tagger| it.is_tag(tag, packet, &trailer);
                if !tagger.as_ref().is_none_or(is_ours) {
                    return false;
                }
                if is_encrypted {
                    let (header, payload) = packet.split_at_mut(RTCP_CLEAR_LEN);
                    cipher.apply(place, (header, payload), trailer);
                }
                true
            }
            // Nobody may ask for RTCP that can be read with these (RFC 7714 §14.2).
            Method::Joined(_) if !is_encrypted => false,
            Method::Joined(aead) => {
                let (header, payload) = packet.split_at_mut(RTCP_CLEAR_LEN);
                let clear = rtcp_clear(header, trailer);
                let tag = behind.first_chunk::<TAG_LEN_MAX>();
                tag.is_some_and(|tag| aead.decrypt(place, &clear, payload, *tag))
            }
        }
    }

    /// Sources that are remembered.
    #[cfg(test)]
    pub(crate) fn sources(&self) -> [usize; 2] {
        [self.rtp.len(), self.rtcp.len()]
    }
}

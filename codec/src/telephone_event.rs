//! Named telephone events: the keys of a phone, said instead of sung (RFC 4733).
//!
//! ```text
//! octet 0   event            0 – 9, 10 = *, 11 = #, 12 – 15 = A – D, 16 = flash
//! octet 1   E R volume       E: this is the end; volume: dB below 1 mW
//! octet 2   duration         so far, in ticks of the RTP clock
//! ```
//!
//! All packets of an event carry the timestamp of its beginning. One that lasts longer than 16
//! bits can say goes on in a further segment, whose timestamp is where the last one ended. The last
//! packet comes three times.
//!
//! [`Receiver`] tells events from packets, [`Sender`] makes packets of events; between them, time
//! is counted in ticks of the one's clock or of the other's: [`rescale`].

mod receiver;
mod sender;

pub use receiver::{Heard, Receiver};
pub use sender::{Outgoing, Sender};

/// Octets of a payload.
pub const PAYLOAD_LEN: usize = 4;

/// Events that are keys: `0` to `9`, `*`, `#`, `A` to `D`.
pub const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// The longest duration of a segment (RFC 4733 §2.5.1.3).
const SEGMENT_MAX: u16 = u16::MAX;

/// What one packet says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Payload {
    /// Which event.
    pub event: u8,
    /// Whether it has ended.
    pub is_end: bool,
    /// dB below 1 mW: 0 to 63.
    pub volume: u8,
    /// How long the segment has lasted, in ticks.
    pub duration: u16,
}

impl Payload {
    /// Reads a payload. `None` if it is too short; what follows it is passed over.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, upper, lower] = *payload.first_chunk()?;
        Some(Self {
            event,
            is_end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([upper, lower]),
        })
    }

    /// The octets.
    #[must_use]
    pub fn emit(&self) -> [u8; PAYLOAD_LEN] {
        let end = if self.is_end { 0x80 } else { 0 };
        let [upper, lower] = self.duration.to_be_bytes();
        [self.event, end | self.volume.min(0x3f), upper, lower]
    }
}

/// The event of a key such as `b'5'`. `None` if there is no such key.
#[must_use]
pub fn event_of_key(key: u8) -> Option<u8> {
    let at = KEYS.iter().position(|it| it.eq_ignore_ascii_case(&key))?;
    u8::try_from(at).ok()
}

/// The key of an event. `None` if it is none, such as flash.
#[must_use]
pub fn key_of_event(event: u8) -> Option<u8> {
    KEYS.get(usize::from(event)).copied()
}

/// A duration in ticks of another clock, rounded down.
#[must_use]
pub fn rescale(duration: u64, from_hz: u32, to_hz: u32) -> u64 {
    duration.saturating_mul(u64::from(to_hz)) / u64::from(from_hz.max(1))
}

#[cfg(test)]
mod tests;

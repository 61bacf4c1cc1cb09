//! From events to packets.

use super::{PAYLOAD_LEN, Payload, SEGMENT_MAX};

/// How often the end is sent (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;

/// A packet to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outgoing {
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Its marker bit: set in the first packet of an event.
    pub marker: bool,
    /// Its payload.
    pub payload: [u8; PAYLOAD_LEN],
}

/// Makes packets of events, one whenever one is due.
///
/// Tell it of the event by [`Self::begin`], [`Self::extend`] and [`Self::end`], and ask for a packet
/// once every packet time.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    event: Option<Event>,
}

#[derive(Clone, Debug)]
struct Event {
    event: u8,
    volume: u8,
    /// The timestamp of the current segment.
    timestamp: u32,
    /// Ticks since then.
    duration: u64,
    is_begun: bool,
    is_ended: bool,
    ends_sent: u8,
}

impl Sender {
    /// One that has nothing to send.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An event begins at this RTP timestamp. One whose end is not sent yet is forgotten: its
    /// successor tells the other side as much.
    pub fn begin(&mut self, timestamp: u32, event: u8, volume: u8) {
        self.event = Some(Event {
            event,
            volume,
            timestamp,
            duration: 0,
            is_begun: false,
            is_ended: false,
            ends_sent: 0,
        });
    }

    /// The event lasts at least until this many ticks after [`Self::begin`]'s timestamp.
    pub fn extend(&mut self, timestamp: u32) {
        if let Some(event) = self.event.as_mut().filter(|it| !it.is_ended) {
            let duration = u64::from(timestamp.wrapping_sub(event.timestamp));
            // A timestamp before the beginning is no duration.
            if duration < 1 << 31 {
                event.duration = event.duration.max(duration);
            }
        }
    }

    /// The event has ended, where it was last extended to.
    pub fn end(&mut self) {
        if let Some(event) = &mut self.event {
            event.is_ended = true;
        }
    }

    /// Whether there is something to send.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.event.is_some()
    }

    /// The packet that is due now. `None` if there is no event.
    pub fn poll_packet(&mut self) -> Option<Outgoing> {
        let event = self.event.as_mut()?;
        let packet = event.packet();
        if event.ends_sent == ENDS {
            self.event = None;
        }
        Some(packet)
    }
}

impl Event {
    fn packet(&mut self) -> Outgoing {
        let timestamp = self.timestamp;
        // The last packet of a full segment does not end the event, and comes once.
        let duration = u16::try_from(self.duration);
        let is_end = self.is_ended && duration.is_ok();
        let payload = Payload {
            event: self.event,
            is_end,
            volume: self.volume,
            duration: duration.unwrap_or(SEGMENT_MAX),
        };
        if duration.is_err() {
            self.timestamp = timestamp.wrapping_add(u32::from(SEGMENT_MAX));
            self.duration -= u64::from(SEGMENT_MAX);
        }
        self.ends_sent += u8::from(is_end);
        Outgoing {
            timestamp,
            marker: !std::mem::replace(&mut self.is_begun, true),
            payload: payload.emit(),
        }
    }
}

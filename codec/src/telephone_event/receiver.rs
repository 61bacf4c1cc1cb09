//! From packets to events.

use super::Payload;

/// What a packet let us know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heard {
    /// Which event.
    pub event: u8,
    /// dB below 1 mW.
    pub volume: u8,
    /// The RTP timestamp of its beginning.
    pub timestamp: u32,
    /// How long it has lasted, all segments together, in ticks.
    pub duration: u64,
    /// This is the first that is heard of it. Another one before it has ended, even if no packet
    /// said so.
    pub is_new: bool,
    /// It has ended.
    pub is_end: bool,
}

/// Tells events from packets that may be lost, repeated and out of order.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    newest: Option<Event>,
}

#[derive(Clone, Debug)]
struct Event {
    heard: Heard,
    /// The timestamp of the current segment.
    segment: u32,
    /// Ticks of the segments before it.
    before: u64,
}

impl Receiver {
    /// One that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one packet: its RTP timestamp and payload. `None` if it says nothing new: repetitions
    /// of the end, packets that were overtaken, and rubbish.
    pub fn handle_packet(&mut self, timestamp: u32, payload: &[u8]) -> Option<Heard> {
        let payload = Payload::parse(payload)?;
        match &mut self.newest {
            Some(event) if event.segment == timestamp => event.go_on(payload),
            Some(event) if is_before(timestamp, event.segment) => None,
            Some(event) if event.is_continued_by(timestamp, payload) => {
                event.before += u64::from(timestamp.wrapping_sub(event.segment));
                event.segment = timestamp;
                event.go_on(payload)
            }
            _ => {
                let event = Event::new(timestamp, payload);
                let heard = event.heard;
                self.newest = Some(event);
                Some(heard)
            }
        }
    }

    /// Ends the event that is going on, if any: its packets have stopped coming. RFC 4733
    /// §2.5.2.2 leaves it to us how long to wait for them.
    pub fn handle_timeout(&mut self) -> Option<Heard> {
        let event = self.newest.as_mut()?;
        if event.heard.is_end {
            return None;
        }
        event.heard.is_end = true;
        event.heard.is_new = false;
        Some(event.heard)
    }

    /// The sender counts from this timestamp now: an event that has ended, and began later, makes none
    /// that follows look overtaken.
    pub fn handle_step(&mut self, timestamp: u32) {
        self.newest
            .take_if(|it| it.heard.is_end && is_before(timestamp, it.segment));
    }

    /// Whether an event has begun and not ended.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.newest.as_ref().is_some_and(|it| !it.heard.is_end)
    }
}

impl Event {
    fn new(timestamp: u32, payload: Payload) -> Self {
        let heard = Heard {
            event: payload.event,
            volume: payload.volume,
            timestamp,
            duration: u64::from(payload.duration),
            is_new: true,
            is_end: payload.is_end,
        };
        Self {
            heard,
            segment: timestamp,
            before: 0,
        }
    }

    fn go_on(&mut self, payload: Payload) -> Option<Heard> {
        let duration = self.before + u64::from(payload.duration);
        let is_other = payload.event != self.heard.event;
        if self.heard.is_end || is_other || duration < self.heard.duration {
            return None;
        }
        self.heard = Heard {
            duration,
            is_end: payload.is_end,
            is_new: false,
            ..self.heard
        };
        Some(self.heard)
    }

    /// Whether a segment that begins here belongs to this event: it begins where the longest
    /// segment ends. Some senders count that end as 2^16 − 1, some as what their last packet said.
    fn is_continued_by(&self, timestamp: u32, payload: Payload) -> bool {
        let distance = u64::from(timestamp.wrapping_sub(self.segment));
        let said = self.heard.duration - self.before;
        let is_long = distance >= u64::from(u16::MAX) / 2 && distance <= 1 << 16;
        !self.heard.is_end && payload.event == self.heard.event && is_long && distance >= said
    }
}

/// Whether a timestamp lies before another, in the half of the circle that is nearer.
fn is_before(timestamp: u32, other: u32) -> bool {
    timestamp != other && other.wrapping_sub(timestamp) < 1 << 31
}

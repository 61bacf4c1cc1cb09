//! Packets that wait for their time, in memory that was set aside for them.

use relay_rtp::PayloadType;

/// Octets of the fixed header.
pub(crate) const HEADER_LEN: usize = 12;

/// The header of a packet but for what is told when it leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) due: u64,
    pub(crate) payload_type: PayloadType,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    /// Numbers that are passed over before it.
    pub(crate) skipped: u16,
}

/// A packet that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    head: Head,
    slot: usize,
    len: usize,
}

/// A queue by time; packets of the same time leave as they came.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Box<[u8]>,
    slot_len: usize,
    free: Vec<usize>,
    waiting: Vec<Waiting>,
    /// The slot of the packet that left last: its bytes are still being read.
    left: Option<usize>,
}

impl Outbox {
    pub(crate) fn new(slots: usize, payload_len_max: usize) -> Self {
        let slot_len = HEADER_LEN + payload_len_max;
        Self {
            bytes: vec![0; slots * slot_len].into_boxed_slice(),
            slot_len,
            free: (0..slots).collect(),
            waiting: Vec::with_capacity(slots),
            left: None,
        }
    }

    /// Queues a packet whose payload `write` writes; its length is what that returns. If there is no
    /// room, nothing is written.
    pub(crate) fn push(
        &mut self,
        head: Head,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Pushed {
        let Some(slot) = self.free.pop().or_else(|| self.left.take()) else {
            return Pushed::Full;
        };
        let start = slot * self.slot_len;
        let place = &mut self.bytes[start + HEADER_LEN..start + self.slot_len];
        let Some(len) = write(place).filter(|len| *len > 0 && *len <= place.len()) else {
            self.free.push(slot);
            return Pushed::Nothing;
        };
        let waiting = Waiting { head, slot, len };
        let later = self
            .waiting
            .iter()
            .rev()
            .take_while(|it| it.head.due > head.due);
        let at = self.waiting.len() - later.count();
        self.waiting.insert(at, waiting);
        Pushed::Queued(slot)
    }

    /// Where the payload of a packet that waits is, and room beyond it.
    pub(crate) fn payload_mut(&mut self, slot: usize) -> &mut [u8] {
        let start = slot * self.slot_len;
        &mut self.bytes[start + HEADER_LEN..start + self.slot_len]
    }

    /// When the next packet leaves.
    pub(crate) fn due(&self) -> Option<u64> {
        self.waiting.first().map(|it| it.head.due)
    }

    /// Takes the packet that is due: its header but for its number and source, and all its bytes,
    /// of which the header is not yet written.
    pub(crate) fn pop(&mut self, now: u64) -> Option<(Head, &mut [u8])> {
        if self.due()? > now {
            return None;
        }
        let Waiting { head, slot, len } = self.waiting.remove(0);
        if let Some(left) = self.left.replace(slot) {
            self.free.push(left);
        }
        let start = slot * self.slot_len;
        Some((head, &mut self.bytes[start..start + HEADER_LEN + len]))
    }
}

/// What became of a packet that was to be queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pushed {
    /// It waits in this slot.
    Queued(usize),
    /// There was nothing to send.
    Nothing,
    /// There is no room.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(due: u64) -> Head {
        Head {
            due,
            payload_type: PayloadType::new(0).unwrap(),
            marker: false,
            timestamp: 0,
            skipped: 0,
        }
    }

    #[test]
    fn packets_leave_by_time_and_a_full_queue_says_so() {
        let mut outbox = Outbox::new(3, 4);
        let push = |outbox: &mut Outbox, due, octet| {
            outbox.push(head(due), |place| {
                place[0] = octet;
                Some(1)
            })
        };
        for (due, octet) in [(30, 3), (10, 1), (20, 2)] {
            assert!(matches!(push(&mut outbox, due, octet), Pushed::Queued(_)));
        }
        assert_eq!(push(&mut outbox, 5, 0), Pushed::Full);
        assert!(outbox.pop(9).is_none());
        for octet in 1..=3 {
            let (_, bytes) = outbox.pop(30).unwrap();
            assert_eq!(bytes[HEADER_LEN..], [octet]);
        }
        assert_eq!(outbox.push(head(1), |_| None), Pushed::Nothing);
        for _ in 0..3 {
            let pushed = push(&mut outbox, 1, 9);
            assert!(matches!(pushed, Pushed::Queued(_)), "nothing leaked");
        }
    }
}

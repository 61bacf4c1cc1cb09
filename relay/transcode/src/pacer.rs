//! When packets leave: evenly, however they came about.
//!
//! Media and wall clock run side by side, `anchor` apart. What is ready before its time waits for
//! it; what is late leaves at once, a quarter of a packet time after its predecessor at the
//! soonest, and moves the anchor a little.

/// The nanoseconds of a millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// Later than this, the clocks are compared anew.
const LATE_MAX: u64 = 200 * MS;

#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// Wall clock less media time, in nanoseconds.
    anchor: Option<i64>,
    last_due: Option<u64>,
    /// Nanoseconds of a packet that leaves.
    packet: u64,
    /// Nanoseconds of a packet that arrives.
    arriving: u64,
}

impl Pacer {
    pub(crate) fn new(packet: u64, arriving: u64) -> Self {
        Self {
            anchor: None,
            last_due: None,
            packet: packet.max(1),
            arriving: arriving.max(1),
        }
    }

    /// Packets that arrive are this long from now on.
    pub(crate) fn set_arriving(&mut self, arriving: u64) {
        self.arriving = arriving.max(1);
    }

    /// When the packet whose media begins at `media` is to leave, which is ready `now`.
    pub(crate) fn due(&mut self, now: u64, media: u64) -> u64 {
        let on_time = self.on_time(now, media);
        let spaced = self.last_due.map_or(0, |it| it + self.packet / 4);
        let due = on_time.max(spaced);
        self.last_due = Some(due);
        due
    }

    /// What media is to leave at this time.
    pub(crate) fn media_at(&self, now: u64) -> Option<u64> {
        let media = signed(now).saturating_sub(self.anchor?);
        Some(u64::try_from(media).unwrap_or(0))
    }

    /// When this media is to leave.
    pub(crate) fn time_of(&self, media: u64) -> Option<u64> {
        let time = self.anchor?.saturating_add(signed(media));
        Some(u64::try_from(time).unwrap_or(0))
    }

    fn on_time(&mut self, now: u64, media: u64) -> u64 {
        let Some(time) = self.time_of(media) else {
            return self.begin(now, media);
        };
        if now > time {
            let late = now - time;
            if late > LATE_MAX {
                return self.begin(now, media);
            }
            self.shift(signed(late / 16));
            return now;
        }
        let early = time - now;
        let most = self.packet.max(self.arriving);
        if early > most {
            self.shift(-signed(early - most));
            return now + most;
        }
        // What regular arrival makes ready early is as it should be.
        let idle = early.saturating_sub(self.arriving - self.common());
        self.shift(-signed(idle / 64));
        time
    }

    /// Compares the clocks anew: such that packets which arrive regularly are always ready.
    fn begin(&mut self, now: u64, media: u64) -> u64 {
        let (packet, arriving) = (self.packet, self.arriving);
        let until_first = packet.div_ceil(arriving) * arriving - arriving;
        let wait = (packet - self.common()).saturating_sub(until_first);
        let time = now + wait;
        self.anchor = Some(signed(time) - signed(media));
        time
    }

    fn shift(&mut self, by: i64) {
        if let Some(anchor) = &mut self.anchor {
            *anchor = anchor.saturating_add(by);
        }
    }

    /// The greatest common divisor.
    fn common(&self) -> u64 {
        let (mut a, mut b) = (self.packet, self.arriving);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    }
}

/// Nanoseconds of centuries fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When packets leave, in ms, if packets of `arriving` ms arrive evenly for `count` times.
    fn dues(arriving: u64, packet: u64, count: u64) -> Vec<u64> {
        let mut pacer = Pacer::new(packet * MS, arriving * MS);
        let (mut dues, mut sent) = (vec![], 0);
        for at in 0..count {
            while (at + 1) * arriving >= (sent + 1) * packet {
                dues.push(pacer.due(at * arriving * MS, sent * packet * MS) / MS);
                sent += 1;
            }
        }
        dues
    }

    #[test]
    fn checklist_5_packets_of_another_length_leave_evenly() {
        for (arriving, packet) in [
            (20, 30),
            (30, 20),
            (20, 20),
            (60, 20),
            (20, 60),
            (120, 10),
            (30, 40),
        ] {
            let dues = dues(arriving, packet, 60);
            assert!(dues.len() > 10);
            for pair in dues.windows(2) {
                assert_eq!(
                    pair[1] - pair[0],
                    packet,
                    "{arriving} to {packet} ms: {dues:?}"
                );
            }
        }
    }

    #[test]
    fn late_packets_catch_up_and_the_delay_stays_bounded() {
        let mut pacer = Pacer::new(20 * MS, 20 * MS);
        let mut last = 0;
        for at in 0..500_u64 {
            // Every tenth comes with its three successors.
            let arrives = if at % 10 < 4 {
                (at - at % 10 + 3) * 20
            } else {
                at * 20
            } * MS;
            let due = pacer.due(arrives, at * 20 * MS);
            assert!(due >= arrives && due <= arrives + 40 * MS, "{at}");
            assert!(due >= last + 5 * MS || at == 0);
            last = due;
        }
    }

    #[test]
    fn clocks_that_differ_are_followed() {
        for skew_us in [-50_i64, 50] {
            let mut pacer = Pacer::new(20 * MS, 20 * MS);
            for at in 0..50_000_i64 {
                let arrives = u64::try_from(at * (20_000 + skew_us) * 1_000).unwrap();
                let due = pacer.due(arrives, u64::try_from(at).unwrap() * 20 * MS);
                assert!(due - arrives <= 20 * MS, "{at}");
            }
        }
    }
}

//! Keys as events (RFC 4733): when one was pressed, and for how long, told once.
//!
//! A key is a row of packets with one timestamp and a duration that grows. The last one says that
//! it is the end, and is usually sent three times; any of them may be lost, repeated or late. A key
//! that is down for longer than a duration can say goes on in another row (RFC 4733 §2.5.1.3).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use relay_rtp::{Packet, RedundantBlock, Ssrc};
use relay_wire::Key;

use crate::allowance::Allowance;

/// Bytes of an event's report (RFC 4733 §2.3).
const REPORT_LEN: usize = 4;

const FLAG_END: u8 = 0x80;
const VOLUME: u8 = 0x3f;

/// The greatest code that is a key: flash (RFC 4733 §3.2).
const CODE_MAX: u8 = 16;

/// A duration that says no more: the key goes on in another row.
const UNITS_MAX: u16 = u16::MAX;

/// A key of which nothing is heard for so long is over, if something else is heard. Reports come
/// every 50 ms at the latest (RFC 4733 §2.5.1.2).
const SILENCE: Duration = Duration::from_millis(500);

/// No report is later than that: one that seems to be is of a sender whose timestamps have jumped
/// back, and whose keys would not be heard any more.
const LATE_MAX: Duration = Duration::from_secs(5);

/// What may be told, so that nobody can make the relay tell of keys all day: nobody presses faster.
type Pace = Allowance<32, 25>;

/// What a packet says of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Press {
    pub(crate) ssrc: Ssrc,
    timestamp: u32,
    is_first: bool,
    is_end: bool,
    code: u8,
    volume: u8,
    units: u16,
    clock_hz: u32,
}

impl Press {
    /// Of a payload, or one within it (RFC 2198). `None` if that is too short for a report.
    pub(crate) fn read<B: AsRef<[u8]>>(
        packet: &Packet<B>,
        block: RedundantBlock,
        clock_hz: u32,
    ) -> Option<Self> {
        let payload = packet.payload().get(block.start..)?.get(..block.len)?;
        let &[code, flags, high, low] = payload.first_chunk::<REPORT_LEN>()?;
        Some(Self {
            ssrc: packet.ssrc(),
            timestamp: packet.timestamp().wrapping_sub(block.older_by),
            // Of an older payload nobody says whether it was the first.
            is_first: packet.marker() && block.older_by == 0,
            is_end: flags & FLAG_END != 0,
            code,
            volume: flags & VOLUME,
            units: u16::from_be_bytes([high, low]),
            clock_hz,
        })
    }
}

/// The newest key of one sender.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    newest: Option<Newest>,
    pace: Pace,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    press: Press,
    /// The timestamp of its first row.
    begun: u32,
    /// What rows before this one have lasted.
    units_before: u32,
    source: IpAddr,
    heard_at: Instant,
    is_told: bool,
}

impl Keys {
    /// A key was heard of and its end was not.
    pub(crate) fn is_down(&self) -> bool {
        self.newest.is_some_and(|it| !it.is_told)
    }

    /// The first timestamp of the key that a report is of.
    pub(crate) fn begun(&self, press: Press) -> u32 {
        let newest = self.newest.filter(|it| it.is_of(press));
        newest.map_or(press.timestamp, |it| it.begun)
    }

    /// Takes a report, and says which keys are over now: the one before, whose end was lost, and
    /// this one.
    pub(crate) fn note(&mut self, now: Instant, source: IpAddr, press: Press) -> [Option<Key>; 2] {
        let mut before = None;
        match &mut self.newest {
            Some(newest) if newest.is_of(press) => {
                newest.press.units = newest.press.units.max(press.units);
                newest.heard_at = now;
            }
            Some(newest) if newest.is_later_than(press, now) => return [None; 2],
            Some(newest) if newest.goes_on_in(press) => {
                // Rows without end are of nobody's finger.
                let row = press.timestamp.wrapping_sub(newest.press.timestamp);
                newest.units_before = newest.units_before.saturating_add(row);
                newest.press = press;
                newest.heard_at = now;
            }
            _ => {
                before = self.tell(now);
                self.newest = Some(Newest {
                    press,
                    begun: press.timestamp,
                    units_before: 0,
                    source,
                    heard_at: now,
                    is_told: false,
                });
            }
        }
        [before, if press.is_end { self.tell(now) } else { None }]
    }

    /// Something else was heard: says which key is over, if the last of it was lost.
    pub(crate) fn note_other(&mut self, now: Instant) -> Option<Key> {
        let newest = self.newest?;
        let is_silent = now.saturating_duration_since(newest.heard_at) >= SILENCE;
        if is_silent { self.tell(now) } else { None }
    }

    fn tell(&mut self, now: Instant) -> Option<Key> {
        let newest = self.newest.as_mut().filter(|it| !it.is_told)?;
        newest.is_told = true;
        let key = newest.key();
        let is_key = key.code <= CODE_MAX;
        (is_key && self.pace.take(now)).then_some(key)
    }
}

impl Newest {
    fn is_of(&self, press: Press) -> bool {
        let name = |it: &Press| (it.ssrc, it.timestamp, it.code);
        name(&self.press) == name(&press)
    }

    /// The report is of a key before, and comes late.
    fn is_later_than(&self, press: Press, now: Instant) -> bool {
        let age = self.press.timestamp.wrapping_sub(press.timestamp);
        let may_be_late = now.saturating_duration_since(self.heard_at) < LATE_MAX;
        self.press.ssrc == press.ssrc && age != 0 && age < 1 << 31 && may_be_late
    }

    /// The report is of the next row of the same key.
    fn goes_on_in(&self, press: Press) -> bool {
        let row = press.timestamp.wrapping_sub(self.press.timestamp);
        let is_full = row == u32::from(UNITS_MAX) || row == u32::from(self.press.units);
        let is_same = (self.press.ssrc, self.press.code) == (press.ssrc, press.code);
        is_same && is_full && !press.is_first && !self.is_told
    }

    fn key(&self) -> Key {
        let units = u64::from(self.units_before) + u64::from(self.press.units);
        let ms = units * 1_000 / u64::from(self.press.clock_hz.max(1));
        Key {
            code: self.press.code,
            volume: self.press.volume,
            duration_ms: u32::try_from(ms).unwrap_or(u32::MAX),
            source: self.source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    const SOURCE: &str = "192.0.2.1";

    fn press(timestamp: u32, code: u8, units: u16, is_end: bool) -> Press {
        Press {
            ssrc: Ssrc::new(7),
            timestamp,
            is_first: false,
            is_end,
            code,
            volume: 10,
            units,
            clock_hz: 8_000,
        }
    }

    /// Keys with a clock: what is told of reports that come every 20 ms.
    struct Heard {
        keys: Keys,
        now: Instant,
    }

    impl Heard {
        fn new() -> Self {
            Self {
                keys: Keys::default(),
                now: start(),
            }
        }

        fn note(&mut self, press: Press) -> Vec<(u8, u32)> {
            self.now += Duration::from_millis(20);
            let keys = self.keys.note(self.now, SOURCE.parse().unwrap(), press);
            let keys = keys.into_iter().flatten();
            keys.map(|it| (it.code, it.duration_ms)).collect()
        }

        fn note_all(&mut self, presses: &[Press]) -> Vec<(u8, u32)> {
            presses.iter().flat_map(|it| self.note(*it)).collect()
        }
    }

    /// A key as phones send it: every 160 units, and three times that it is over.
    fn row(timestamp: u32, code: u8) -> Vec<Press> {
        let reports = (1..5).map(|n| press(timestamp, code, n * 160, false));
        let ends = [press(timestamp, code, 800, true); 3];
        reports.chain(ends).collect()
    }

    #[test]
    fn a_key_is_told_once_however_often_its_end_is_said() {
        let mut heard = Heard::new();
        assert_eq!(heard.note_all(&row(1_000, 5)), [(5, 100)]);
        assert!(!heard.keys.is_down());
        assert_eq!(heard.note_all(&row(4_000, 5)), [(5, 100)], "the same again");
    }

    #[test]
    fn whatever_is_lost_or_late_or_twice_a_key_is_told_once() {
        // Every way to lose packets of the first key; then a second that is whole.
        let first = row(1_000, 1);
        for lost in 0..1_u32 << first.len() {
            let mut heard = Heard::new();
            let left = first.iter().enumerate();
            let left: Vec<_> = left
                .filter(|(at, _)| lost & 1 << at == 0)
                .flat_map(|(_, it)| [*it, *it])
                .collect();
            let mut told = heard.note_all(&left);
            told.extend(heard.note_all(&row(4_000, 2)));
            // And what was late.
            told.extend(heard.note_all(&first));
            let codes: Vec<_> = told.iter().map(|it| it.0).collect();
            let expected: &[u8] = if left.is_empty() { &[2] } else { &[1, 2] };
            assert_eq!(codes, expected, "{lost:b}");
        }
    }

    #[test]
    fn a_key_whose_end_is_lost_is_over_when_something_else_is_heard_for_long() {
        let mut heard = Heard::new();
        assert_eq!(heard.note(press(1_000, 3, 320, false)), []);
        // Some send both at once.
        assert_eq!(heard.keys.note_other(heard.now), None);
        let key = heard.keys.note_other(heard.now + SILENCE).unwrap();
        assert_eq!((key.code, key.duration_ms, key.volume), (3, 40, 10));
        assert_eq!(key.source, SOURCE.parse::<IpAddr>().unwrap());
        assert_eq!(heard.keys.note_other(heard.now + SILENCE), None);
        let late = press(1_000, 3, 800, true);
        assert_eq!(heard.note(late), [], "its end comes after all");
    }

    #[test]
    fn a_key_that_is_down_for_long_is_one() {
        let mut heard = Heard::new();
        let first = press(1_000, 9, UNITS_MAX, false);
        let next = 1_000 + u32::from(UNITS_MAX);
        let presses = [
            first,
            press(next, 9, 800, false),
            first,
            press(next, 9, 8_000, true),
        ];
        assert_eq!(heard.note_all(&presses), [(9, 9_191)]);
        assert_eq!(heard.keys.begun(press(next, 9, 0, false)), 1_000);
    }

    #[test]
    fn a_key_that_is_never_released_does_not_overflow() {
        let mut heard = Heard::new();
        let rows = u32::MAX / u32::from(UNITS_MAX) + 2;
        for row in 0..rows {
            let timestamp = row.wrapping_mul(UNITS_MAX.into());
            assert_eq!(heard.note(press(timestamp, 9, UNITS_MAX, false)), []);
        }
        let last = (rows - 1).wrapping_mul(UNITS_MAX.into());
        let told = heard.note(press(last, 9, UNITS_MAX, true));
        assert_eq!(told, [(9, 536_879_103)], "as long as can be said");
    }

    #[test]
    fn a_sender_whose_timestamps_jump_back_is_heard_again() {
        let mut heard = Heard::new();
        assert_eq!(heard.note_all(&row(1_000_000, 1)), [(1, 100)]);
        assert_eq!(heard.note_all(&row(1_000, 2)), [], "it may be late");
        heard.now += LATE_MAX;
        assert_eq!(heard.note_all(&row(3_000, 3)), [(3, 100)]);
        assert_eq!(heard.note_all(&row(6_000, 4)), [(4, 100)]);
    }

    #[test]
    fn another_source_is_another_key() {
        let mut heard = Heard::new();
        let one = press(1_000, 4, 160, true);
        let other = Press {
            ssrc: Ssrc::new(8),
            ..one
        };
        assert_eq!(heard.note_all(&[one, other]), [(4, 20), (4, 20)]);
    }

    #[test]
    fn timestamps_may_wrap() {
        let mut heard = Heard::new();
        let told = heard.note_all(&[row(u32::MAX - 10, 1), row(3_000, 2)].concat());
        assert_eq!(told, [(1, 100), (2, 100)]);
    }

    #[test]
    fn what_is_no_key_is_not_told() {
        let mut heard = Heard::new();
        // A fax calls.
        assert_eq!(heard.note_all(&row(1_000, 36)), []);
        assert_eq!(heard.note_all(&row(4_000, 16)), [(16, 100)], "flash");
    }

    #[test]
    fn nobody_presses_without_end() {
        let at_once = |count: u32| {
            let mut keys = Keys::default();
            let told = (0..count).filter(|n| {
                let keys = keys.note(
                    start(),
                    SOURCE.parse().unwrap(),
                    press(n * 100, 1, 80, true),
                );
                keys.iter().flatten().count() > 0
            });
            told.count()
        };
        assert_eq!(at_once(20), 20);
        assert!((30..=40).contains(&at_once(1_000)));
    }
}

//! Packets that go in a circle: who is told to send to a port of ours as if it were a phone's gets
//! its own packets back, and sends them again.
//!
//! Such a packet is the same, bit by bit, again and again. A phone's are not: each has another
//! sequence number. So when one of the last two packets has come more than [`REPEATS_MAX`] times
//! without another in between, and without a second's rest, it goes no further.

use std::time::{Duration, Instant};

/// Of each packet that is looked at: its RTP header and some of what follows.
const HEAD_LEN: usize = 28;

/// Different packets that may go round, such as RTP and RTCP.
const PACKETS: usize = 2;

/// The same packet so often after the first time is none that circles: it may be sent again on
/// purpose, as the end of a telephone event is.
const REPEATS_MAX: u32 = 30;

/// After so long the same packet is another one.
const REST: Duration = Duration::from_secs(1);

/// The last packets that arrived at a port.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    newest: [Option<Seen>; PACKETS],
    /// The older of them.
    next: usize,
    repeats: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    len: usize,
    head: [u8; HEAD_LEN],
    at: Instant,
}

impl Seen {
    fn new(now: Instant, packet: &[u8]) -> Self {
        let mut head = [0; HEAD_LEN];
        let len = packet.len().min(HEAD_LEN);
        head[..len].copy_from_slice(&packet[..len]);
        Self {
            len: packet.len(),
            head,
            at: now,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.len == other.len && self.head == other.head
    }
}

impl Loops {
    /// Notes a packet. Says whether it goes round and round.
    pub(crate) fn note(&mut self, now: Instant, packet: &[u8]) -> bool {
        let packet = Seen::new(now, packet);
        let mut newest = self.newest.iter_mut().flatten();
        let Some(seen) = newest.find(|it| it.is_same(&packet)) else {
            self.newest[self.next] = Some(packet);
            self.next = (self.next + 1) % PACKETS;
            self.repeats = 0;
            return false;
        };
        let has_rested = now.saturating_duration_since(seen.at) > REST;
        seen.at = now;
        if has_rested {
            self.repeats = 0;
            return false;
        }
        let circles = self.repeats >= REPEATS_MAX;
        self.repeats += u32::from(!circles);
        circles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    /// How many of `count` packets, `every` so often, are held to circle.
    fn circling(count: u32, every: Duration, packet: impl Fn(u32) -> Vec<u8>) -> u32 {
        let mut loops = Loops::default();
        let start = start();
        let circles = (0..count).map(|n| loops.note(start + every * n, &packet(n)));
        circles.map(u32::from).sum()
    }

    #[test]
    fn the_same_packet_again_and_again_circles_and_a_stream_does_not() {
        let every = Duration::from_millis(20);
        assert_eq!(circling(31, every, |_| vec![1; 172]), 0);
        assert_eq!(circling(100, every, |_| vec![1; 172]), 69);
        let stream = |n: u32| [&n.to_be_bytes()[..], &[1; 168]].concat();
        assert_eq!(circling(1_000, every, stream), 0);
        let growing = |n: u32| vec![1; 12 + usize::try_from(n).unwrap()];
        assert_eq!(circling(1_000, every, growing), 0);
    }

    #[test]
    fn two_packets_may_circle_at_once() {
        let every = Duration::from_millis(1);
        let turns = |n: u32, of: u32| vec![u8::try_from(n % of).unwrap(); 172];
        assert_eq!(circling(100, every, |n| turns(n, 2)), 68);
        assert_eq!(circling(300, every, |n| turns(n, 3)), 0);
    }

    #[test]
    fn what_comes_seldom_does_not_circle() {
        let seldom = Duration::from_millis(1_001);
        assert_eq!(circling(200, seldom, |_| vec![1; 172]), 0);
        let mut loops = Loops::default();
        let start = start();
        assert!((0..40).any(|_| loops.note(start, &[1; 20])));
        assert!(!loops.note(start + Duration::from_secs(2), &[1; 20]));
    }
}

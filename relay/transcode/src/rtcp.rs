//! RTCP of one leg: our own reports (RFC 3550 §6.4), and what the other says of us.
//!
//! Reports of one side mean nothing on the other, since packets are other ones: so RTCP ends here.

use std::fmt;
use std::time::{Duration, Instant};

use relay_rtp::Ssrc;
use relay_rtp::rtcp::{Body, CNAME_LEN_MAX, Compound, OwnReport, ReportBlock, SenderInfo};

pub use relay_rtp::rtcp::REPORT_LEN_MAX;

use crate::reception::Reception;

/// What we have sent, for a sender report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sent {
    /// Our source.
    pub ssrc: Ssrc,
    /// RTP packets since the beginning.
    pub packets: u32,
    /// Octets of their payloads.
    pub octets: u32,
    /// The RTP timestamp of now.
    pub timestamp: u32,
}

/// RTCP of one leg.
pub struct Leg {
    start: Instant,
    /// NTP's time at `start`.
    ntp_start: u64,
    ssrc: Ssrc,
    cname: [u8; CNAME_LEN_MAX],
    cname_len: usize,
    interval: Duration,
    due: Instant,
    /// The middle of the other's last sender report, and when it came.
    last_report: Option<(Ssrc, u32, Instant)>,
    /// The middle of our own last sender report, and when it left.
    own_report: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
    /// What the other last said of our stream.
    heard: Option<ReportBlock>,
    said_goodbye: bool,
    received: u64,
    malformed: u64,
}

impl fmt::Debug for Leg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Leg");
        debug
            .field("ssrc", &self.ssrc)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

impl Leg {
    /// A leg on which we send as `ssrc`. `ntp` is NTP's time now, seconds since 1900 and their
    /// fraction; reports come `interval` apart.
    #[must_use]
    pub fn new(now: Instant, ntp: u64, ssrc: Ssrc, cname: &str, interval: Duration) -> Self {
        let mut name = [0; CNAME_LEN_MAX];
        let cname_len = cname.len().min(CNAME_LEN_MAX);
        name[..cname_len].copy_from_slice(&cname.as_bytes()[..cname_len]);
        Self {
            start: now,
            ntp_start: ntp,
            ssrc,
            cname: name,
            cname_len,
            interval,
            due: now + interval,
            last_report: None,
            own_report: None,
            round_trip: None,
            heard: None,
            said_goodbye: false,
            received: 0,
            malformed: 0,
        }
    }

    /// We send as another source from now on.
    pub fn set_source(&mut self, ssrc: Ssrc) {
        if ssrc != self.ssrc {
            (self.ssrc, self.heard) = (ssrc, None);
        }
    }

    /// Reads what the other side says. It goes no further. Says whether it was RTCP.
    pub fn handle_rtcp(&mut self, now: Instant, datagram: &[u8]) -> bool {
        let Ok(compound) = Compound::parse(datagram) else {
            self.malformed += 1;
            return false;
        };
        self.received += 1;
        for packet in compound.packets() {
            match packet.body() {
                Body::SenderReport(report) => {
                    let middle = middle_of(report.ntp_time());
                    self.last_report = Some((report.ssrc(), middle, now));
                    self.note_blocks(now, report.blocks());
                }
                Body::ReceiverReport(report) => self.note_blocks(now, report.blocks()),
                Body::Goodbye(_) => self.said_goodbye = true,
                _ => {}
            }
        }
        true
    }

    fn note_blocks(&mut self, now: Instant, mut blocks: impl Iterator<Item = ReportBlock>) {
        if let Some(block) = blocks.find(|it| it.ssrc == self.ssrc) {
            self.heard = Some(block);
            self.round_trip = self.round_trip_of(now, block).or(self.round_trip);
        }
    }

    /// RFC 3550 §6.4.1: what has passed since our report that this answers, without the time that
    /// it lay at the other side.
    fn round_trip_of(&self, now: Instant, block: ReportBlock) -> Option<Duration> {
        let (middle, at) = self.own_report?;
        if block.last_report != middle || middle == 0 {
            return None;
        }
        let held_us = u64::from(block.delay_since_last_report) * 1_000_000 / 65_536;
        let passed = now.saturating_duration_since(at);
        passed.checked_sub(Duration::from_micros(held_us))
    }

    /// How long it last took from here to the other side and back, as far as it says.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What the other side last said of our stream.
    #[must_use]
    pub fn heard(&self) -> Option<ReportBlock> {
        self.heard
    }

    /// The other side has said that it leaves.
    #[must_use]
    pub fn said_goodbye(&self) -> bool {
        self.said_goodbye
    }

    /// Datagrams that came, and those of them that were no RTCP.
    #[must_use]
    pub fn received(&self) -> (u64, u64) {
        (self.received + self.malformed, self.malformed)
    }

    /// When the next report is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Writes the report that is due now, if one is: what we have `sent`, of what was `received`.
    /// Its length.
    pub fn poll_report(
        &mut self,
        now: Instant,
        sent: Option<Sent>,
        received: Option<&mut Reception>,
        report: &mut [u8; REPORT_LEN_MAX],
    ) -> Option<usize> {
        if now < self.due {
            return None;
        }
        self.due = now + self.interval;
        let block = received.and_then(Reception::report);
        if sent.is_some() {
            self.own_report = Some((middle_of(self.ntp(now)), now));
        }
        Some(self.write(now, sent, block, report))
    }

    fn write(
        &self,
        now: Instant,
        sent: Option<Sent>,
        block: Option<ReportBlock>,
        report: &mut [u8; REPORT_LEN_MAX],
    ) -> usize {
        let own = OwnReport {
            ssrc: sent.map_or(self.ssrc, |it| it.ssrc),
            sender: sent.map(|it| SenderInfo {
                ntp_time: self.ntp(now),
                rtp_timestamp: it.timestamp,
                packets: it.packets,
                octets: it.octets,
            }),
            block: block.map(|it| self.answered(now, it)),
            cname: &self.cname[..self.cname_len],
        };
        own.emit(report)
    }

    /// A block that says when the other's last report came.
    fn answered(&self, now: Instant, block: ReportBlock) -> ReportBlock {
        let last = self.last_report.filter(|(ssrc, ..)| *ssrc == block.ssrc);
        let (middle, delay) = last.map_or((0, 0), |(_, middle, at)| {
            let delay = now.saturating_duration_since(at).as_nanos() * 65_536 / 1_000_000_000;
            (middle, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        ReportBlock {
            last_report: middle,
            delay_since_last_report: delay,
            ..block
        }
    }

    fn ntp(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        let elapsed = (elapsed << 32) / 1_000_000_000;
        self.ntp_start
            .wrapping_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

/// The middle of an NTP time, by which a report is known.
fn middle_of(ntp: u64) -> u32 {
    let [_, _, a, b, c, d, _, _] = ntp.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::Header;
    use relay_rtp::{PayloadType, Sequence};

    #[expect(
        clippy::disallowed_methods,
        reason = "std makes an Instant in no other way"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn leg(now: Instant) -> Leg {
        Leg::new(
            now,
            100 << 32,
            Ssrc::new(7),
            "us@host",
            Duration::from_secs(5),
        )
    }

    fn reception() -> Reception {
        let mut reception = Reception::new(8_000);
        let header = Header {
            payload_type: PayloadType::new(0).unwrap(),
            sequence: Sequence::new(3),
            timestamp: 0,
            ssrc: Ssrc::new(9),
        };
        reception.note(0, &header, true);
        reception
    }

    const SENT: Sent = Sent {
        ssrc: Ssrc::new(7),
        packets: 50,
        octets: 8_000,
        timestamp: 4_711,
    };

    #[test]
    fn checklist_12_each_leg_has_reports_of_its_own() {
        let start = start();
        let (mut leg, mut reception) = (leg(start), reception());
        let mut bytes = [0; REPORT_LEN_MAX];
        let early = start + Duration::from_millis(4_999);
        assert_eq!(leg.poll_report(early, Some(SENT), None, &mut bytes), None);
        // The other side's own report: its middle comes back, with the time since.
        let mut theirs = vec![
            0x80, 200, 0, 6, 0, 0, 0, 9, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0,
        ];
        theirs.resize(28, 0);
        assert!(leg.handle_rtcp(start + Duration::from_secs(4), &theirs));
        let due = start + Duration::from_secs(5);
        assert_eq!(leg.poll_timeout(), due);
        let len = leg
            .poll_report(due, Some(SENT), Some(&mut reception), &mut bytes)
            .unwrap();
        let compound = Compound::parse(&bytes[..len]).unwrap();
        let mut packets = compound.packets();
        let Body::SenderReport(report) = packets.next().unwrap().body() else {
            panic!("it sends");
        };
        assert_eq!(report.ntp_time(), 105 << 32);
        assert_eq!((report.ssrc(), report.rtp_timestamp()), (SENT.ssrc, 4_711));
        assert_eq!((report.packet_count(), report.octet_count()), (50, 8_000));
        let block = report.blocks().next().unwrap();
        assert_eq!((block.ssrc, block.highest_sequence), (Ssrc::new(9), 3));
        assert_eq!(
            (block.last_report, block.delay_since_last_report),
            (0xaabb_ccdd, 65_536)
        );
        let Body::SourceDescription(description) = packets.next().unwrap().body() else {
            panic!("a name follows");
        };
        assert_eq!(description.chunks().next().unwrap().ssrc, Ssrc::new(7));
        assert_eq!(leg.poll_timeout(), due + Duration::from_secs(5));
    }

    #[test]
    fn who_sends_nothing_reports_as_a_receiver() {
        let start = start();
        let (mut leg, mut bytes) = (leg(start), [0; REPORT_LEN_MAX]);
        let len = leg
            .poll_report(start + Duration::from_secs(9), None, None, &mut bytes)
            .unwrap();
        let compound = Compound::parse(&bytes[..len]).unwrap();
        let first = compound.packets().next().unwrap();
        assert!(matches!(first.body(), Body::ReceiverReport(_)) && first.count() == 0);
    }

    #[test]
    fn what_the_other_says_of_us_is_known_and_goes_no_further() {
        let start = start();
        let mut leg = leg(start);
        let mut theirs = vec![0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0, 7, 64, 0, 0, 5];
        theirs.resize(32, 0);
        theirs.extend([0x81, 203, 0, 1, 0, 0, 0, 9]);
        assert!(leg.handle_rtcp(start, &theirs));
        let block = leg.heard().unwrap();
        assert_eq!((block.fraction_lost, block.lost), (64, 5));
        assert!(leg.said_goodbye());
        assert!(!leg.handle_rtcp(start, &[0x80, 201, 0, 9]));
        assert_eq!(leg.received(), (2, 1));
    }

    #[test]
    fn who_answers_our_report_says_how_far_it_is() {
        let mut now = start();
        let (mut leg, mut bytes) = (leg(now), [0; REPORT_LEN_MAX]);
        now += Duration::from_secs(5);
        assert!(leg.poll_report(now, Some(SENT), None, &mut bytes).is_some());
        // Its NTP time is 105 s; the other side held it for half a second.
        let answer = |ssrc: u8, seconds: u8, held: u32| {
            let mut answer = vec![0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0, ssrc];
            answer.resize(24, 0);
            answer.extend([0, seconds, 0, 0]);
            answer.extend(held.to_be_bytes());
            answer
        };
        now += Duration::from_millis(620);
        assert!(leg.handle_rtcp(now, &answer(8, 105, 32_768)));
        assert_eq!(leg.round_trip(), None, "of another's stream");
        assert!(leg.handle_rtcp(now, &answer(7, 100, 32_768)));
        assert_eq!(leg.round_trip(), None, "an answer to no report of ours");
        assert!(leg.handle_rtcp(now, &answer(7, 105, u32::MAX)));
        assert_eq!(leg.round_trip(), None, "held for longer than there was");
        assert!(leg.handle_rtcp(now, &answer(7, 105, 32_768)));
        assert_eq!(leg.round_trip(), Some(Duration::from_millis(120)));
        // What means nothing takes nothing back.
        assert!(leg.handle_rtcp(now, &answer(7, 0, 0)));
        assert_eq!(leg.round_trip(), Some(Duration::from_millis(120)));
    }

    #[test]
    fn a_name_of_any_length_fits() {
        for len in [0, 1, 2, 3, 63, 64, 300] {
            let mut leg = Leg::new(start(), 0, Ssrc::new(7), &"x".repeat(len), Duration::ZERO);
            let mut bytes = [0; REPORT_LEN_MAX];
            let now = start() + Duration::from_secs(1);
            let len = leg
                .poll_report(now, Some(SENT), Some(&mut reception()), &mut bytes)
                .unwrap();
            assert!(Compound::parse(&bytes[..len]).is_ok(), "{len}");
        }
    }
}

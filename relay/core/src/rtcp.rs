//! RTCP that is not only forwarded: it ends here and is answered, or passes in part.
//!
//! Where a stream is answered, its peer gets reports that the relay makes of what it has measured
//! anyhow: of what arrives from the peer, and of what is sent to it. A packet costs nothing for
//! that. Each endpoint has a deadline of its own; those of many are spread by chance, and no more
//! than [`MADE_MAX`] are made in one turn.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use relay_rtp::rtcp::{self, OwnReport, REPORT_LEN_MAX, ReportBlock, SenderInfo};
use relay_rtp::{Kind, Ssrc};
use relay_wire::{Answer, CallKey, OnRtcp, Port, Refusal};

use crate::endpoint::{Endpoint, Reported};
use crate::quality::Reception;
use crate::{Egress, GROWTH_MAX, Relay, SocketId, Verdict};

/// From one report to the next (RFC 3550 §6.2), and up to a second more, by chance.
const INTERVAL: Duration = Duration::from_secs(5);
const INTERVAL_SPREAD_US: u64 = 1_000_000;

/// Reports that are made in one turn at most; they take some hundred microseconds.
const MADE_MAX: usize = 256;

/// A stream of which something came so lately goes on.
const LIVE: Duration = Duration::from_millis(500);

/// Who has sent something since the report before the last one is a sender (RFC 3550 §6.4).
const SENDER: Duration = Duration::from_secs(12);

/// Octets of our name.
const CNAME_LEN: usize = 12;

/// What becomes of the RTCP that arrives at one endpoint.
#[derive(Debug, Default)]
pub(crate) enum Rtcp {
    #[default]
    Pass,
    PassReports,
    Answer(Box<Reporter>),
    /// It ends here, and is answered elsewhere.
    End,
}

/// Makes the reports of one endpoint.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// Where the RTP of the peer arrives.
    received: Port,
    /// Where that arrives which the peer is sent.
    sent: Option<Port>,
    due: Instant,
    /// Who reports while the peer is sent nothing.
    ssrc: Ssrc,
    /// Our newest sender report, to know it again when the peer answers it.
    own: Option<Reported>,
    /// What was reported before.
    before: Option<Reception>,
}

/// The reports of a worker.
#[derive(Debug)]
pub(crate) struct Reports {
    deadlines: BTreeSet<(Instant, SocketId)>,
    ready: VecDeque<Report>,
    identity: Identity,
    /// Where chance is.
    random: u64,
    pub(crate) made: u64,
}

/// Who reports, and how it tells the time.
#[derive(Clone, Copy, Debug)]
struct Identity {
    cname: [u8; CNAME_LEN],
    /// A moment, and NTP's time then.
    clock: Option<(Instant, u64)>,
}

/// A report that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    egress: Egress,
    bytes: [u8; REPORT_LEN_MAX + GROWTH_MAX],
    len: usize,
}

impl Report {
    /// Where it goes.
    #[must_use]
    pub fn egress(&self) -> Egress {
        self.egress
    }

    /// What is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            deadlines: BTreeSet::new(),
            ready: VecDeque::new(),
            identity: Identity {
                cname: *b"tandem-relay",
                clock: None,
            },
            random: 0,
            made: 0,
        }
    }
}

impl Reports {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Forgets what leaves through a socket that is being closed. Its deadline stays until its
    /// time comes.
    pub(crate) fn forget(&mut self, socket: SocketId) {
        self.ready.retain(|it| it.egress.socket != socket);
    }

    /// Takes a socket whose deadline has come.
    fn due(&mut self, now: Instant) -> Option<(Instant, SocketId)> {
        let (at, _) = self.deadlines.first()?;
        if *at > now || self.is_full() {
            return None;
        }
        self.deadlines.pop_first()
    }

    /// When a report is due after now.
    fn schedule(&mut self, now: Instant, socket: SocketId) -> Instant {
        let due = self.next_after(now);
        self.deadlines.insert((due, socket));
        due
    }

    /// When the report after one of now is due.
    pub(crate) fn next_after(&mut self, now: Instant) -> Instant {
        let spread = Duration::from_micros(self.chance() % INTERVAL_SPREAD_US);
        now + INTERVAL + spread
    }

    /// More are not made in one turn.
    pub(crate) fn is_full(&self) -> bool {
        self.ready.len() >= MADE_MAX
    }

    /// A report is to be sent.
    pub(crate) fn push(&mut self, report: Report) {
        self.made += 1;
        self.ready.push_back(report);
    }

    /// NTP's time, and who reports.
    pub(crate) fn sign(&self, now: Instant) -> (u64, [u8; CNAME_LEN]) {
        (self.identity.ntp(now), self.identity.cname)
    }

    /// A number that is like any other (`SplitMix64`).
    fn chance(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Identity {
    fn ntp(&self, now: Instant) -> u64 {
        let Some((start, ntp)) = self.clock else {
            return 0;
        };
        let elapsed = now.saturating_duration_since(start).as_nanos();
        let elapsed = (elapsed << 32) / 1_000_000_000;
        ntp.wrapping_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

/// A block on what arrives from a peer, whose newest report is known; and what was reported
/// `before`.
pub(crate) fn block(
    now: Instant,
    new: Reception,
    before: &mut Option<Reception>,
    reported: Option<Reported>,
) -> ReportBlock {
    let before = before.replace(new).filter(|it| it.ssrc == new.ssrc);
    let (expected, lost) = before.map_or((new.expected, new.lost), |before| {
        let expected = new.expected.saturating_sub(before.expected);
        (expected, new.lost.saturating_sub(before.lost))
    });
    let fraction = (lost * 256).checked_div(expected).unwrap_or(0);
    let reported = reported.filter(|it| it.ssrc == new.ssrc);
    let delay = reported.map_or(0, |it| {
        let passed = now.saturating_duration_since(it.at).as_nanos();
        u32::try_from(passed * 65_536 / 1_000_000_000).unwrap_or(u32::MAX)
    });
    ReportBlock {
        ssrc: Ssrc::new(new.ssrc),
        fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
        // 24 bits with a sign.
        lost: i32::try_from(new.lost).unwrap_or(i32::MAX).min(0x7f_ffff),
        highest_sequence: new.highest_sequence,
        jitter: new.jitter,
        last_report: reported.map_or(0, |it| it.name),
        delay_since_last_report: delay,
    }
}

impl Relay {
    /// Says who the relay is in reports of its own: NTP's time now (seconds since 1900 and their
    /// fraction), and any number that nobody knows, of which names follow (RFC 7022).
    pub fn set_identity(&mut self, now: Instant, ntp_time: u64, seed: u64) {
        const LETTERS: &[u8; 16] = b"0123456789abcdef";
        self.reports.random = seed;
        let name = self.reports.chance();
        let mut cname = [0; CNAME_LEN];
        for (at, letter) in cname.iter_mut().enumerate() {
            let four_bits = usize::try_from(name >> (4 * at) & 15).unwrap_or(0);
            *letter = LETTERS[four_bits];
        }
        self.reports.identity = Identity {
            cname,
            clock: Some((now, ntp_time)),
        };
    }

    /// Says what becomes of RTCP at an endpoint. Reports that come already go on as they do.
    pub(crate) fn set_rtcp(
        &mut self,
        now: Instant,
        (call, port): (CallKey, Port),
        rtcp: OnRtcp,
    ) -> Result<Answer, Refusal> {
        let socket = self.socket_of(call, port)?;
        let rtcp = match rtcp {
            OnRtcp::Pass => Rtcp::Pass,
            OnRtcp::PassReports => Rtcp::PassReports,
            OnRtcp::End => Rtcp::End,
            OnRtcp::Answer { received, sent } => {
                let endpoint = self.endpoint_of(call, port)?;
                let rare = endpoint.rare_if(false);
                if let Some(Rtcp::Answer(reporter)) = rare.map(|it| &mut it.on_rtcp) {
                    (reporter.received, reporter.sent) = (received, sent);
                    return Ok(Answer::Done);
                }
                let [a, b, c, d, ..] = self.reports.chance().to_be_bytes();
                Rtcp::Answer(Box::new(Reporter {
                    received,
                    sent,
                    due: self.reports.schedule(now, socket),
                    ssrc: Ssrc::new(u32::from_be_bytes([a, b, c, d])),
                    own: None,
                    before: None,
                }))
            }
        };
        let is_needed = !matches!(rtcp, Rtcp::Pass);
        let endpoint = self.endpoint_of(call, port)?;
        if let Some(rare) = endpoint.rare_if(is_needed) {
            rare.on_rtcp = rtcp;
        }
        Ok(Answer::Done)
    }

    /// Sees RTCP of the peer that would leave. Says how much of it does: `None` if it ends here.
    /// Nothing is taken out of it if it must stay `whole`.
    pub(crate) fn pass_rtcp(
        &mut self,
        now: Instant,
        (from, to): (SocketId, SocketId),
        packet: &mut [u8],
        whole: bool,
    ) -> Option<usize> {
        let reported = self.flows.endpoint(to).and_then(|it| it.reported);
        let endpoint = self.flows.open(from)?;
        let (own, len) = match &endpoint.rare().on_rtcp {
            Rtcp::Pass => (reported, Some(packet.len())),
            Rtcp::PassReports if whole => (reported, Some(packet.len())),
            Rtcp::PassReports => (reported, Some(rtcp::remove_feedback(packet))),
            Rtcp::Answer(reporter) => (reporter.own, None),
            Rtcp::End => (None, None),
        };
        let seen = &packet[..len.unwrap_or(packet.len())];
        endpoint.note_reports(now, seen, own);
        len
    }

    /// Makes the reports that are due.
    pub(crate) fn make_reports(&mut self, now: Instant) {
        while let Some((at, socket)) = self.reports.due(now) {
            let is_due = |it: &Rtcp| matches!(it, Rtcp::Answer(reporter) if reporter.due == at);
            let endpoint = self.flows.endpoint(socket);
            if !endpoint.is_some_and(|it| is_due(&it.rare().on_rtcp)) {
                // It was closed since, or is another's.
                continue;
            }
            let due = self.reports.schedule(now, socket);
            if let Some(endpoint) = self.flows.open(socket)
                && let Rtcp::Answer(reporter) = &mut endpoint.rare_mut().on_rtcp
            {
                reporter.due = due;
            }
            if let Some(report) = self.make_report(now, socket) {
                self.bytes_out += report.bytes().len() as u64;
                self.reports.push(report);
            }
        }
    }

    /// Takes the next report that is to be sent.
    #[must_use]
    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.ready.pop_front()
    }

    /// `None` if there is nothing to say, or nobody to say it to.
    fn make_report(&mut self, now: Instant, socket: SocketId) -> Option<Report> {
        let endpoint = self.flows.endpoint(socket)?;
        let Rtcp::Answer(reporter) = &endpoint.rare().on_rtcp else {
            return None;
        };
        // What is remade is reported on by who makes it.
        let is_remade = endpoint.rare().rtcp_of.is_some();
        let (call, received_at, sent) = (endpoint.call, reporter.received, reporter.sent);
        let received = self
            .reception(now, call, Some(received_at))
            .filter(|_| !is_remade);
        let sent = self.sent(now, call, (received_at, sent));
        let sent = sent.filter(|_| !is_remade);
        let Identity { cname, .. } = self.reports.identity;
        let (sent, timed_at) = sent.unzip();
        let ntp_time = self.reports.identity.ntp(timed_at.unwrap_or(now));
        // The peer is where its agent has found it, if it has one.
        let told = self.agents.elected(socket);
        let reported = self.flows.endpoint(told)?.reported;
        let endpoint = self.flows.open(socket)?;
        let Rtcp::Answer(reporter) = &mut endpoint.rare_mut().on_rtcp else {
            return None;
        };
        if received.is_none() && sent.is_none() {
            return None;
        }
        // As rtpengine counts them: whole packets, though RFC 3550 §6.4.1 has payloads.
        let sender = sent.map(|it| SenderInfo {
            ntp_time,
            rtp_timestamp: it.timestamp,
            packets: low(it.packets),
            octets: low(it.bytes),
        });
        let block = received.map(|it| block(now, it, &mut reporter.before, reported));
        let report = OwnReport {
            ssrc: sent.map_or(reporter.ssrc, |it| Ssrc::new(it.ssrc)),
            sender,
            block,
            cname: &cname,
        };
        if sender.is_some() {
            reporter.own = Some(Reported::new(now, report.ssrc, ntp_time));
        }
        self.address(told, &report)
    }

    /// The report as it is to leave from a socket, sealed if that is how things leave there. `None` if
    /// it cannot.
    pub(crate) fn address(&mut self, socket: SocketId, report: &OwnReport<'_>) -> Option<Report> {
        let mut bytes = [0; REPORT_LEN_MAX + GROWTH_MAX];
        let len = report.emit(bytes.first_chunk_mut()?);
        let (egress, len) = match self.depart(socket, Kind::Rtcp, len).ok()? {
            Verdict::Seal(sealing) => {
                let (egress, len) = self.seal_in_place(sealing, &mut bytes).ok()?;
                (egress, len.into())
            }
            Verdict::Forward(egress) => (egress, len),
            _ => return None,
        };
        Some(Report { egress, bytes, len })
    }

    /// What leaves from a port for its peer, if that is what arrives at another, and went on
    /// lately; and the moment that its timestamp is of. Of a stream that pauses nobody knows the
    /// timestamp of now, but that of its newest packet and when that came are a true pair.
    fn sent(
        &mut self,
        now: Instant,
        call: CallKey,
        (leaves, arrives): (Port, Option<Port>),
    ) -> Option<(Reception, Instant)> {
        let leaves = self.agents.elected(self.socket_of(call, leaves).ok()?);
        let found = self.reception(now, call, arrives)?;
        let socket = self.agents.elected(self.socket_of(call, arrives?).ok()?);
        let endpoint = self.flows.endpoint(socket)?;
        let is_stopped = endpoint.rare().filtering.as_ref();
        let is_stopped = is_stopped.is_some_and(|it| it.drops_media());
        // What is made of it has other numbers, and who makes it reports on them.
        let is_remade = endpoint.is_taken() && endpoint.rare().reports.is_some();
        let is_sent = endpoint.rtp == Some(leaves) && !is_stopped && !is_remade;
        let heard_at = endpoint.heard_at.filter(|at| now < *at + SENDER)?;
        let timed_at = if is_live(endpoint, now) {
            now
        } else {
            heard_at
        };
        is_sent.then_some((found, timed_at))
    }

    /// What the peer of a port of a call sends.
    pub(crate) fn reception(
        &mut self,
        now: Instant,
        call: CallKey,
        port: Option<Port>,
    ) -> Option<Reception> {
        let socket = self.agents.elected(self.socket_of(call, port?).ok()?);
        self.absorb(now, socket);
        let now_ns = self.clock.read(now).ns;
        let endpoint = self.flows.endpoint(socket)?;
        let now_ns = is_live(endpoint, now).then_some(now_ns);
        endpoint.quality().reception(now_ns)
    }
}

/// Something of the peer came lately.
fn is_live(endpoint: &Endpoint, now: Instant) -> bool {
    endpoint.heard_at.is_some_and(|at| now < at + LIVE)
}

/// The lower 32 bits, which is all that there is room for.
pub(crate) fn low(count: u64) -> u32 {
    let [.., a, b, c, d] = count.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

//! One flow as its codec thread sees it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use codec::{Codec, Error};
use relay_core::SocketId;
use relay_rtp::{Kind, Ssrc};
use relay_transcode::{Identity, Leg, Plan, REPORT_LEN_MAX, Routes, Sent, Stream};

use crate::ntp::ntp_now;

use super::courier::Label;
use super::shared::{Counts, FlowKey, FlowState, Outlet, counts_of};

/// How far reports are apart (RFC 3550 §6.2: five seconds are the usual minimum).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What a flow is made of.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) key: FlowKey,
    pub(super) plans: Box<[Plan]>,
    /// Reports are exchanged with the peer.
    pub(super) has_rtcp: bool,
    pub(super) state: Arc<FlowState>,
}

/// A flow: its stream, and RTCP of the peer that sends it.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) key: FlowKey,
    routes: Routes,
    leg: Leg,
    has_rtcp: bool,
    state: Arc<FlowState>,
    counts: Counts,
    /// The time that the stream knows. Packets bring that of their arrival, which may be a little
    /// before.
    clock: Instant,
    /// Something was done, and what comes of it has not left yet.
    pub(super) is_touched: bool,
    /// When it is looked at.
    pub(super) scheduled: Option<Instant>,
    /// Where its packets leave from.
    pub(super) leaves: Option<SocketId>,
}

impl Direction {
    /// # Errors
    ///
    /// If libopus has no memory, or is not given what it can do.
    pub(super) fn new(now: Instant, opening: Opening) -> Result<Self, Error> {
        let Opening {
            key,
            plans,
            has_rtcp,
            state,
        } = opening;
        // RFC 3550 §5.1: nobody is to guess these. Each hasher has random keys of its own.
        let [a, b, c, d, e, f, ..] = random(key).to_be_bytes();
        let [g, h, i, j, ..] = random(key).to_be_bytes();
        let ours = Identity {
            ssrc: Ssrc::new(u32::from_be_bytes([a, b, c, d])),
            sequence: u16::from_be_bytes([e, f]),
            timestamp: u32::from_be_bytes([g, h, i, j]),
        };
        // RFC 7022: a name that says nothing of us and is not used again.
        let name = format!("{:016x}", random(key));
        Ok(Self {
            key,
            routes: Routes::new(now, plans, ours)?,
            leg: Leg::new(now, ntp_now(), ours.ssrc, &name, REPORT_INTERVAL),
            has_rtcp,
            state,
            counts: Counts::default(),
            clock: now,
            is_touched: false,
            scheduled: None,
            leaves: None,
        })
    }

    /// # Errors
    ///
    /// If libopus has no memory, or is not given what it can do. The old plans hold then.
    pub(super) fn change(
        &mut self,
        now: Instant,
        plans: Box<[Plan]>,
        has_rtcp: bool,
    ) -> Result<(), Error> {
        self.has_rtcp = has_rtcp;
        let now = self.tick(now);
        self.routes.set_plans(now, plans)
    }

    /// Takes in a packet. A frame of it may be left to be decoded with those of other flows.
    pub(super) fn begin_packet(&mut self, at: Instant, kind: Kind, datagram: &[u8]) {
        self.state.end_waiting();
        if kind == Kind::Rtcp {
            self.leg.handle_rtcp(at, datagram);
            if let Some(round_trip) = self.leg.round_trip() {
                self.state.set_round_trip(round_trip);
            }
        } else {
            let at = self.tick(at);
            self.routes.begin_packet(at, datagram);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.routes.stream_mut().handle_timeout(now);
    }

    pub(super) fn stream_mut(&mut self) -> &mut Stream {
        self.routes.stream_mut()
    }

    /// When there is something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let report = self.has_rtcp.then(|| self.leg.poll_timeout());
        let stream = self.routes.stream().poll_timeout();
        report.into_iter().chain(stream).min()
    }

    /// Sends what is to leave by now; how many packets that were.
    pub(super) fn send(&mut self, now: Instant, outlet: &Outlet) -> u32 {
        let now = self.tick(now);
        let mut sent = 0;
        while let Some(packet) = self.routes.stream_mut().poll_packet(now) {
            sent += u32::from(send(outlet, self.key, (Kind::Rtp, None), now, packet));
        }
        sent
    }

    /// What its sender reports say to whom its packets go.
    pub(super) fn sent(&self, now: Instant) -> Option<Sent> {
        self.routes.stream().sent(now)
    }

    pub(super) fn is_report_due(&self, now: Instant) -> bool {
        self.has_rtcp && self.leg.poll_timeout() <= now
    }

    /// Sends a report to the peer, to whom we have `sent`; whether it left.
    pub(super) fn report(&mut self, now: Instant, sent: Option<Sent>, outlet: &Outlet) -> bool {
        if let Some(sent) = sent {
            self.leg.set_source(sent.ssrc);
        }
        let mut report = [0; REPORT_LEN_MAX];
        let received = self.routes.stream_mut().reception();
        let len = self.leg.poll_report(now, sent, Some(received), &mut report);
        len.is_some_and(|len| send(outlet, self.key, (Kind::Rtcp, None), now, &report[..len]))
    }

    /// Makes less work of Opus, or as much as was asked for.
    pub(super) fn press(&mut self, is_pressed: bool) {
        let stream = self.routes.stream_mut();
        let plan = stream.plan();
        if !matches!(plan.to.codec, Codec::Opus(_)) {
            return;
        }
        let asked = plan.opus.map_or(0, |it| it.complexity);
        // What it cannot do it leaves as it was.
        let _ = stream.set_complexity(if is_pressed { 0 } else { asked });
    }

    /// Tells the worker how far it is.
    pub(super) fn publish(&mut self, outlet: &Outlet) {
        let counters = self.routes.stream().counters();
        self.state.publish(counters);
        let counts = counts_of(counters);
        outlet.totals.add(&counts, &self.counts);
        self.counts = counts;
    }

    fn tick(&mut self, now: Instant) -> Instant {
        self.clock = self.clock.max(now);
        self.clock
    }
}

/// Sends what was made to the worker; whether it left.
pub(super) fn send(
    outlet: &Outlet,
    key: FlowKey,
    (kind, leaves): (Kind, Option<SocketId>),
    at: Instant,
    packet: &[u8],
) -> bool {
    let label = Label {
        key,
        kind,
        leaves,
        at,
    };
    let is_sent = outlet.courier.send(label, packet);
    if !is_sent {
        outlet.count_unsent();
    }
    is_sent
}

fn random(key: FlowKey) -> u64 {
    RandomState::new().hash_one(key)
}

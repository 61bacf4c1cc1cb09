//! One open port and its peer: the unit of the flow table.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_rtp::rtcp::{self, Body, ReportBlock};
use relay_rtp::{Kind, Packet, Sequence};
use relay_wire::{CallKey, EndpointStats, Learning, Port};

use crate::latch::{Heard, Latch};
use crate::probation::Evidence;
use crate::quality::Quality;
use crate::{DropReason, SocketId};

/// One open port, its peer, and where what arrives here leaves.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) call: CallKey,
    pub(crate) port: Port,
    pub(crate) latch: Latch,
    /// The family of the socket, and so of everything that can be sent from it.
    is_ipv4: bool,
    /// Where RTP, and anything that is not RTCP, leaves.
    pub(crate) rtp: Option<SocketId>,
    /// Where RTCP leaves.
    pub(crate) rtcp: Option<SocketId>,
    /// When the newest packet from the peer arrived.
    pub(crate) heard_at: Option<Instant>,
    newest: Option<Newest>,
    quality: Quality,
    /// The newest sender report of the peer, to know it again when others answer it.
    pub(crate) reported: Option<Reported>,
    round_trip: Option<Duration>,
    rtp_in: Count,
    rtcp_in: Count,
    out: Count,
    dropped: u64,
    /// Empty datagrams go out until the peer is heard.
    is_piercing: bool,
}

/// What the newest RTP packet said.
#[derive(Clone, Copy, Debug)]
struct Newest {
    ssrc: u32,
    payload_type: u8,
    sequence: Sequence,
}

/// A sender report that came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported {
    /// As who answers it names it: the middle of its NTP time.
    name: u32,
    at: Instant,
}

impl Reported {
    /// How long it took from here to who answers it and back.
    fn round_trip(self, now: Instant, block: &ReportBlock) -> Option<Duration> {
        if block.last_report != self.name || self.name == 0 {
            return None;
        }
        let held_us = u64::from(block.delay_since_last_report) * 1_000_000 / 65_536;
        let passed = now.saturating_duration_since(self.at);
        passed.checked_sub(Duration::from_micros(held_us))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    packets: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: usize) {
        self.packets += 1;
        // Widening: a usize has at most 64 bits.
        self.bytes += bytes as u64;
    }
}

impl Endpoint {
    pub(crate) fn new(call: CallKey, port: Port, is_ipv4: bool) -> Self {
        Self {
            call,
            port,
            latch: Latch::new(None, Learning::default()),
            is_ipv4,
            rtp: None,
            rtcp: None,
            heard_at: None,
            newest: None,
            quality: Quality::new(),
            reported: None,
            round_trip: None,
            rtp_in: Count::default(),
            rtcp_in: Count::default(),
            out: Count::default(),
            dropped: 0,
            is_piercing: false,
        }
    }

    /// Takes in a packet that arrived here; says where it leaves.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        source: SocketAddr,
        packet: &[u8],
    ) -> Result<SocketId, DropReason> {
        let kind = Kind::of(packet);
        if !self.latch.is_peer(source) {
            let evidence = Evidence::of(kind, packet);
            self.latch.judge(now, source, evidence, self.heard())?;
        }
        self.heard_at = Some(now);
        let egress = match kind {
            Kind::Rtcp => {
                self.rtcp_in.add(packet.len());
                self.rtcp
            }
            Kind::Rtp => {
                self.note_newest(now, packet);
                self.rtp_in.add(packet.len());
                self.rtp
            }
            Kind::Other => {
                self.rtp_in.add(packet.len());
                self.rtp
            }
        };
        egress.ok_or(DropReason::NotConnected)
    }

    /// Counts a packet that is about to leave here; says who gets it.
    pub(crate) fn send(&mut self, packet: &[u8]) -> Result<SocketAddr, DropReason> {
        let remote = self.latch.remote().ok_or(DropReason::NoRemote)?;
        if remote.is_ipv4() != self.is_ipv4 {
            return Err(DropReason::AddressFamily);
        }
        self.out.add(packet.len());
        Ok(remote)
    }

    /// Whether empty datagrams are to go out and do not yet. From now on they do.
    pub(crate) fn begin_piercing(&mut self) -> bool {
        self.piercing_target().is_some() && !std::mem::replace(&mut self.is_piercing, true)
    }

    /// Where an empty datagram is to go: nowhere if the peer is heard or nobody knows where it
    /// is.
    pub(crate) fn piercing_target(&self) -> Option<SocketAddr> {
        let is_wanted = self.latch.rules().pierces_nat && !self.latch.is_learnt();
        let target = self.latch.signalled().filter(|_| is_wanted)?;
        (target.is_ipv4() == self.is_ipv4).then_some(target)
    }

    pub(crate) fn end_piercing(&mut self) {
        self.is_piercing = false;
    }

    /// Counts a packet that arrived here and goes no further.
    pub(crate) fn count_drop(&mut self) {
        self.dropped += 1;
    }

    /// No packets leave through `socket` any more.
    pub(crate) fn disconnect(&mut self, socket: SocketId) {
        self.rtp.take_if(|it| *it == socket);
        self.rtcp.take_if(|it| *it == socket);
    }

    pub(crate) fn stats(&self, now: Instant) -> EndpointStats {
        let idle = self
            .heard_at
            .map(|heard_at| now.saturating_duration_since(heard_at));
        EndpointStats {
            port: self.port,
            remote: self.latch.remote(),
            learnt: self.latch.is_learnt(),
            ssrc: self.newest.map(|it| it.ssrc),
            payload_type: self.newest.map(|it| it.payload_type),
            idle_ms: idle.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            rtp_packets_in: self.rtp_in.packets,
            rtp_bytes_in: self.rtp_in.bytes,
            rtcp_packets_in: self.rtcp_in.packets,
            rtcp_bytes_in: self.rtcp_in.bytes,
            packets_out: self.out.packets,
            bytes_out: self.out.bytes,
            dropped: self.dropped,
            sources: self.quality.stats(),
            round_trip_us: self
                .round_trip
                .map(|it| u32::try_from(it.as_micros()).unwrap_or(u32::MAX)),
        }
    }

    /// Reads the reports of the peer; `reported` is the newest sender report that it was sent.
    pub(crate) fn note_reports(&mut self, now: Instant, packet: &[u8], reported: Option<Reported>) {
        let Ok(compound) = rtcp::Compound::parse(packet) else {
            return;
        };
        for packet in compound.packets() {
            match packet.body() {
                Body::SenderReport(report) => {
                    let [_, _, a, b, c, d, _, _] = report.ntp_time().to_be_bytes();
                    let name = u32::from_be_bytes([a, b, c, d]);
                    self.reported = Some(Reported { name, at: now });
                    self.note_blocks(now, report.blocks(), reported);
                }
                Body::ReceiverReport(report) => self.note_blocks(now, report.blocks(), reported),
                _ => {}
            }
        }
    }

    fn note_blocks(
        &mut self,
        now: Instant,
        mut blocks: impl Iterator<Item = ReportBlock>,
        reported: Option<Reported>,
    ) {
        let round_trip = |block| reported?.round_trip(now, &block);
        if let Some(round_trip) = blocks.find_map(round_trip) {
            self.round_trip = Some(round_trip);
        }
    }

    fn heard(&self) -> Option<Heard> {
        let newest = self.newest.map_or(Evidence::Other, |it| Evidence::Rtp {
            ssrc: it.ssrc,
            sequence: it.sequence,
        });
        self.heard_at.map(|at| Heard { at, newest })
    }

    fn note_newest(&mut self, now: Instant, packet: &[u8]) {
        let len = packet.len();
        if let Ok(packet) = Packet::parse(packet) {
            self.newest = Some(Newest {
                ssrc: packet.ssrc().value(),
                payload_type: packet.payload_type().value(),
                sequence: packet.sequence(),
            });
            self.quality.note(now, &packet, len);
        }
    }
}

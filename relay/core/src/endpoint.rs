//! One open port and its peer: the unit of the flow table.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_rtp::rtcp::{self, Body, ReportBlock};
use relay_rtp::{FixedHeader, Kind, Ssrc};
use relay_wire::{CallKey, EndpointStats, Learning, Port, Sink, SourceRules};

use crate::clock::Now;
use crate::filter::{Filtering, Glance};
use crate::flow_table::Reservation;
use crate::kernel::Shortcut;
use crate::latch::{HANDOVER_SILENCE, Heard, Latch};
use crate::loops::Loops;
use crate::probation::Evidence;
use crate::quality::{Count, Quality};
use crate::reports::TellingPace;
use crate::rtcp::Rtcp;
use crate::sinks::Sinks;
use crate::{DropReason, SocketId};

/// One open port, its peer, and where what arrives here leaves.
///
/// What a packet reads and writes comes first, on three cache lines: who the peer is; where
/// packets leave, and how many did; the source of RTP. A packet that leaves here needs the first
/// two.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Endpoint {
    pub(crate) latch: Latch,
    /// Where RTP, and anything that is not RTCP, leaves.
    pub(crate) rtp: Option<SocketId>,
    /// Where RTCP leaves.
    pub(crate) rtcp: Option<SocketId>,
    /// When the newest packet from the peer arrived.
    pub(crate) heard_at: Option<Instant>,
    out: Count,
    /// The family of the socket, and so of everything that can be sent from it.
    is_ipv4: bool,
    /// Empty datagrams go out until the peer is heard.
    is_piercing: bool,
    /// RTP that arrives here is taken out to be changed.
    pub(crate) is_taken: bool,
    /// Others get copies of what arrives here.
    is_copied: bool,
    /// Which packets that arrive here the filter must see.
    pub(crate) glance: Glance,

    quality: Quality,

    pub(crate) call: CallKey,
    pub(crate) port: Port,
    /// The newest sender report of the peer, to know it again when others answer it.
    pub(crate) reported: Option<Reported>,
    round_trip: Option<Duration>,
    /// Neither RTP, which [`Quality`] counts, nor RTCP.
    other_in: Count,
    rtcp_in: Count,
    dropped: u64,
    /// RTCP that arrives here is about what arrives there, and is taken out.
    pub(crate) rtcp_of: Option<SocketId>,
    /// Where reports to this peer leave, if its RTP is taken out.
    pub(crate) reports: Option<SocketId>,
    /// What of this is in the kernel's table.
    pub(crate) shortcut: Shortcut,
    /// What becomes of single packets.
    pub(crate) filtering: Option<Box<Filtering>>,
    sinks: Option<Box<Sinks>>,
    /// What becomes of RTCP that arrives here.
    pub(crate) on_rtcp: Rtcp,
    /// How many of the peer's reports are told.
    pub(crate) telling: TellingPace,
    /// Looks for packets that go in a circle.
    loops: Option<Box<Loops>>,
}

const _: () = assert!(std::mem::offset_of!(Endpoint, quality) == 128);

/// Which way a packet goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Out of this socket.
    Leave(SocketId),
    /// Nowhere, but copies of it go.
    Copy,
    /// It is a report about what arrives at `flow`.
    TakeRtcp { flow: SocketId },
    /// What is made of it is to leave from there.
    TakeRtp { leaves: Option<SocketId> },
}

/// What is known of a packet that is the peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) way: Way,
    /// The filter must see it.
    pub(crate) is_filtered: bool,
    /// Others get copies of it.
    pub(crate) is_copied: bool,
}

/// A sender report that came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported {
    pub(crate) ssrc: u32,
    /// As who answers it names it: the middle of its NTP time.
    pub(crate) name: u32,
    pub(crate) at: Instant,
}

impl Reported {
    pub(crate) fn new(at: Instant, ssrc: Ssrc, ntp_time: u64) -> Self {
        let [_, _, a, b, c, d, _, _] = ntp_time.to_be_bytes();
        Self {
            ssrc: ssrc.value(),
            name: u32::from_be_bytes([a, b, c, d]),
            at,
        }
    }

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

impl Endpoint {
    pub(crate) fn new(reserved: Reservation) -> Self {
        let Reservation {
            call,
            port,
            is_ipv4,
        } = reserved;
        Self {
            call,
            port,
            latch: Latch::new(None, Learning::default()),
            is_ipv4,
            rtp: None,
            rtcp: None,
            heard_at: None,
            quality: Quality::new(),
            reported: None,
            round_trip: None,
            other_in: Count::default(),
            rtcp_in: Count::default(),
            out: Count::default(),
            dropped: 0,
            is_piercing: false,
            is_taken: false,
            is_copied: false,
            rtcp_of: None,
            reports: None,
            shortcut: Shortcut::default(),
            glance: Glance::NONE,
            filtering: None,
            sinks: None,
            on_rtcp: Rtcp::Pass,
            telling: TellingPace::default(),
            loops: None,
        }
    }

    /// Says what holds for the source of what arrives here.
    pub(crate) fn set_rules(&mut self, rules: SourceRules) {
        self.latch.set_rules(rules);
        if !rules.checks_loops {
            self.loops = None;
        } else if self.loops.is_none() {
            self.loops = Some(Box::default());
        }
    }

    /// Says who gets copies of what arrives here.
    pub(crate) fn set_sinks(&mut self, sinks: Option<Box<Sinks>>) {
        self.is_copied = sinks.is_some();
        self.sinks = sinks;
    }

    pub(crate) fn sinks(&self) -> &[Sink] {
        self.sinks.as_ref().map_or(&[], |it| it.all())
    }

    /// Whether what arrives here may be copied now.
    pub(crate) fn may_copy(&mut self, now: Instant) -> bool {
        self.sinks.as_mut().is_none_or(|it| it.admits(now))
    }

    /// Takes in a packet that arrived here; says which way it goes.
    pub(crate) fn receive(
        &mut self,
        now: Now,
        source: SocketAddr,
        kind: Kind,
        packet: &[u8],
    ) -> Result<Received, DropReason> {
        if !self.latch.is_peer(source) {
            let evidence = Evidence::of(kind, packet);
            self.latch.judge(now.at, source, evidence, self.heard())?;
        }
        if self.latch.rules().checks_loops
            && let Some(loops) = &mut self.loops
            && loops.note(now.at, packet)
        {
            return Err(DropReason::Loop);
        }
        self.heard_at = Some(now.at);
        let egress = match kind {
            Kind::Rtcp => {
                self.rtcp_in.add(packet.len());
                if let Some(flow) = self.rtcp_of {
                    return Ok(Received {
                        way: Way::TakeRtcp { flow },
                        is_filtered: false,
                        is_copied: self.is_copied,
                    });
                }
                self.rtcp
            }
            Kind::Rtp | Kind::Other => {
                match FixedHeader::read(packet) {
                    Some(header) => self.quality.note(now.ns, header, packet.len()),
                    None => self.other_in.add(packet.len()),
                }
                self.rtp
            }
        };
        let is_taken = self.is_taken && kind == Kind::Rtp;
        Ok(Received {
            way: match egress {
                None if !self.is_copied => return Err(DropReason::NotConnected),
                leaves if is_taken => Way::TakeRtp { leaves },
                Some(socket) => Way::Leave(socket),
                None => Way::Copy,
            },
            is_filtered: kind != Kind::Rtcp && self.glance.wants(packet),
            is_copied: self.is_copied,
        })
    }

    /// The peer is on another host than this, and has just been heard.
    pub(crate) fn is_heard_elsewhere(&self, now: Instant, source: SocketAddr) -> bool {
        let peer = self.latch.learnt();
        let is_silent = |at| now >= at + HANDOVER_SILENCE;
        peer.is_some_and(|it| it.ip() != source.ip()) && !self.heard_at.is_none_or(is_silent)
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

    /// Nothing is done with RTP that arrives here but to send it on. Whatever else is done with
    /// packets one day must be told here, or it will not be done with those that the kernel
    /// forwards.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_taken
            && !self.is_copied
            && self.filtering.is_none()
            && !self.latch.rules().checks_loops
    }

    pub(crate) fn quality(&self) -> &Quality {
        &self.quality
    }

    pub(crate) fn quality_mut(&mut self) -> &mut Quality {
        &mut self.quality
    }

    /// Counts packets that have left from here without us.
    pub(crate) fn count_out(&mut self, packets: Count) {
        self.out.add_all(packets);
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
        self.rtcp_of.take_if(|it| *it == socket);
        self.reports.take_if(|it| *it == socket);
    }

    pub(crate) fn stats(&self, now: Instant) -> EndpointStats {
        let idle = self
            .heard_at
            .map(|heard_at| now.saturating_duration_since(heard_at));
        let newest = self.quality.newest();
        let rtp_in = self.quality.count();
        EndpointStats {
            port: self.port,
            remote: self.latch.remote(),
            learnt: self.latch.is_learnt(),
            ssrc: newest.map(|(ssrc, ..)| ssrc),
            payload_type: newest.map(|(_, payload_type, _)| payload_type),
            idle_ms: idle.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            rtp_packets_in: rtp_in.packets + self.other_in.packets,
            rtp_bytes_in: rtp_in.bytes + self.other_in.bytes,
            rtcp_packets_in: self.rtcp_in.packets,
            rtcp_bytes_in: self.rtcp_in.bytes,
            packets_out: self.out.packets,
            bytes_out: self.out.bytes,
            dropped: self.dropped,
            sources: self.quality.stats(),
            round_trip_us: self
                .round_trip
                .map(|it| u32::try_from(it.as_micros()).unwrap_or(u32::MAX)),
            transcoding: None,
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
                    self.reported = Some(Reported::new(now, report.ssrc(), report.ntp_time()));
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
        let newest = self.quality.newest();
        let newest = newest.map_or(Evidence::Other, |(ssrc, _, sequence)| Evidence::Rtp {
            ssrc,
            sequence,
        });
        self.heard_at.map(|at| Heard { at, newest })
    }
}

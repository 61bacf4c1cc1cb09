//! One open port and its peer: the unit of the flow table.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use relay_rtp::rtcp::{self, Body, ReportBlock};
use relay_rtp::{FixedHeader, Kind, Ssrc};
use relay_wire::{CallKey, EndpointStats, Learning, Port, Sink, SourceRules};

use crate::clock::Now;
use crate::filter::{Filtering, Glance};
use crate::flow_table::Reservation;
use crate::latch::{HANDOVER_SILENCE, Heard, Latch};
use crate::probation::Evidence;
use crate::quality::{Count, Quality};
use crate::rare::Rare;
use crate::sinks::Sinks;
use crate::{DropReason, SocketId};

/// One open port, its peer, and where what arrives here leaves.
///
/// What a packet reads and writes comes first, on three cache lines: who the peer is; where
/// packets leave, and how many did; the source of RTP. A packet that leaves here needs the first
/// two. A call has four of these at least, so what few of them need is [`Rare`].
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
    /// Nothing is done with RTP that arrives here but to send it on.
    is_plain: bool,
    /// The family of the socket, and so of everything that can be sent from it as it is.
    sends: Sends,
    /// Empty datagrams go out until the peer is heard.
    is_piercing: bool,
    /// RTP that arrives here is taken out to be changed.
    is_taken: bool,
    /// Others get copies of what arrives here.
    is_copied: bool,
    /// Which packets that arrive here the filter must see.
    glance: Glance,

    quality: Quality,

    pub(crate) call: CallKey,
    rare: Option<Box<Rare>>,
    pub(crate) port: Port,
    round_trip_us: Option<NonZeroU32>,
    /// The newest sender report of the peer, to know it again when others answer it.
    pub(crate) reported: Option<Reported>,
    /// Neither RTP, which [`Quality`] counts, nor RTCP.
    other_in: Count,
    rtcp_in: Count,
    dropped: u64,
}

const _: () = assert!(std::mem::offset_of!(Endpoint, quality) == 128);
const _: () = assert!(size_of::<Endpoint>() == 5 * 64);

/// What can be sent from a socket as it is: of one byte, since it is compared for each packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sends(u8);

impl Sends {
    const SEALED: u8 = 2;

    /// Packets to addresses of this family.
    const fn clear(is_ipv4: bool) -> Self {
        Self(is_ipv4 as u8)
    }

    /// The same, unless it must be sealed: then it is like no family.
    const fn new(is_ipv4: bool, is_sealed: bool) -> Self {
        Self(is_ipv4 as u8 | if is_sealed { Self::SEALED } else { 0 })
    }

    const fn is_ipv4(self) -> bool {
        self.0 & 1 != 0
    }

    const fn is_sealed(self) -> bool {
        self.0 & Self::SEALED != 0
    }
}

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
            sends: Sends::clear(is_ipv4),
            rtp: None,
            rtcp: None,
            heard_at: None,
            quality: Quality::new(),
            reported: None,
            round_trip_us: None,
            other_in: Count::default(),
            rtcp_in: Count::default(),
            out: Count::default(),
            dropped: 0,
            is_plain: true,
            is_piercing: false,
            is_taken: false,
            is_copied: false,
            glance: Glance::NONE,
            rare: None,
        }
    }

    /// What few endpoints have.
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(Rare::NOTHING)
    }

    /// The same, to be changed. It takes memory, if there is none of it.
    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The same where it may have to be there; if it need not and is not, there is nothing to
    /// change.
    pub(crate) fn rare_if(&mut self, is_needed: bool) -> Option<&mut Rare> {
        match is_needed {
            true => Some(self.rare_mut()),
            false => self.rare.as_deref_mut(),
        }
    }

    /// Says what holds for the source of what arrives here.
    pub(crate) fn set_rules(&mut self, rules: SourceRules) {
        self.latch.set_rules(rules);
        if let Some(rare) = self.rare_if(rules.checks_loops) {
            let loops = rare.loops.take();
            rare.loops = rules.checks_loops.then(|| loops.unwrap_or_default());
        }
        self.settle();
    }

    /// Says who gets copies of what arrives here.
    pub(crate) fn set_sinks(&mut self, sinks: Option<Box<Sinks>>) {
        self.is_copied = sinks.is_some();
        if let Some(rare) = self.rare_if(sinks.is_some()) {
            rare.sinks = sinks;
        }
        self.settle();
    }

    /// RTP that arrives here is kept from who is played something at this socket, or no more.
    pub(crate) fn set_muted(&mut self, socket: SocketId, is_muted: bool) {
        let hears = is_muted && self.rtp == Some(socket);
        if let Some(rare) = self.rare_if(hears) {
            rare.muted_for.take_if(|it| *it == socket);
            if hears {
                rare.muted_for = Some(socket);
            }
        }
        self.settle();
    }

    /// Says whether RTP that arrives here is taken out.
    pub(crate) fn set_taken(&mut self, is_taken: bool) {
        self.is_taken = is_taken;
        self.settle();
    }

    /// Says what becomes of single packets that arrive here.
    pub(crate) fn set_filtering(&mut self, filtering: Option<Box<Filtering>>) {
        if let Some(rare) = self.rare_if(filtering.is_some()) {
            rare.filtering = filtering;
        }
        self.look_at_filter();
        self.settle();
    }

    /// The filter may want to see other packets from now on.
    pub(crate) fn look_at_filter(&mut self) {
        let filtering = self.rare().filtering.as_ref();
        self.glance = filtering.map_or(Glance::NONE, |it| it.glance());
    }

    /// Whatever is done with packets one day must be told here, or it will not be done with
    /// those that pass at once, nor with those that the kernel forwards.
    fn settle(&mut self) {
        self.is_plain = !self.is_taken
            && !self.is_copied
            && self.rare().filtering.is_none()
            && self.rare().loops.is_none()
            && !self.opens()
            && self.rare().muted_for.is_none();
    }

    /// Nothing is done with RTP that arrives here but to send it on.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// RTP that arrives here is taken out to be changed.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken
    }

    pub(crate) fn sinks(&self) -> &[Sink] {
        self.rare().sinks.as_ref().map_or(&[], |it| it.all())
    }

    /// Whether what arrives here may be copied now.
    pub(crate) fn may_copy(&mut self, now: Instant) -> bool {
        let sinks = self.rare_if(false).and_then(|it| it.sinks.as_mut());
        sinks.is_none_or(|it| it.admits(now))
    }

    /// Takes in what nearly all packets are: RTP of the peer, with which nothing is done but to
    /// send it on. Says where it leaves. `None`: it is something else, and nothing has been done.
    #[inline]
    pub(crate) fn pass(&mut self, now: Now, source: SocketAddr, packet: &[u8]) -> Option<SocketId> {
        if !self.is_plain || !self.latch.is_peer(source) || Kind::of(packet) != Kind::Rtp {
            return None;
        }
        let leaves = self.rtp?;
        let header = FixedHeader::read(packet)?;
        self.heard_at = Some(now.at);
        self.quality.note(now.ns, header, packet.len());
        Some(leaves)
    }

    /// Takes in a packet that arrived here, of so many bytes if it was sealed; says which way it
    /// goes.
    pub(crate) fn receive(
        &mut self,
        now: Now,
        source: SocketAddr,
        kind: Kind,
        (packet, wire_len): (&[u8], usize),
    ) -> Result<Received, DropReason> {
        if !self.latch.is_peer(source) {
            match &self.rare().ice {
                Some(ice) if ice.knows(source) => {}
                Some(_) => return Err(DropReason::Unchecked),
                None => {
                    let evidence = Evidence::of(kind, packet);
                    self.latch.judge(now.at, source, evidence, self.heard())?;
                }
            }
        }
        let loops = self.rare_if(false).and_then(|it| it.loops.as_mut());
        if loops.is_some_and(|it| it.note(now.at, packet)) {
            return Err(DropReason::Loop);
        }
        self.heard_at = Some(now.at);
        let egress = match kind {
            Kind::Rtcp => {
                self.rtcp_in.add(wire_len);
                if let Some(flow) = self.rare().rtcp_of {
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
                    Some(header) => self.quality.note(now.ns, header, wire_len),
                    None => self.other_in.add(wire_len),
                }
                self.rtp
            }
        };
        let is_taken = self.is_taken && kind == Kind::Rtp;
        let is_muted = kind != Kind::Rtcp && egress.is_some() && egress == self.rare().muted_for;
        Ok(Received {
            way: match egress {
                _ if is_muted && self.is_copied && !is_taken => Way::Copy,
                _ if is_muted => return Err(DropReason::Filtered),
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
    #[inline]
    pub(crate) fn send(&mut self, len: usize) -> Result<SocketAddr, DropReason> {
        let remote = self.latch.remote().ok_or(DropReason::NoRemote)?;
        if self.sends != Sends::clear(remote.is_ipv4()) {
            return Err(DropReason::AddressFamily);
        }
        self.out.add(len);
        Ok(remote)
    }

    /// Who gets what leaves here, sealed.
    pub(crate) fn destination(&self) -> Result<SocketAddr, DropReason> {
        let remote = self.latch.remote().ok_or(DropReason::NoRemote)?;
        if remote.is_ipv4() != self.sends.is_ipv4() {
            return Err(DropReason::AddressFamily);
        }
        Ok(remote)
    }

    /// Whether anything can be sent there.
    pub(crate) fn is_of_family(&self, remote: SocketAddr) -> bool {
        remote.is_ipv4() == self.sends.is_ipv4()
    }

    /// Counts a packet that leaves here, sealed.
    pub(crate) fn count_sent(&mut self, len: usize) {
        self.out.add(len);
    }

    /// There may be other keys, or none.
    pub(crate) fn look_at_keys(&mut self) {
        let is_sealed = self.rare().crypto.as_ref().is_some_and(|it| it.seals());
        self.sends = Sends::new(self.sends.is_ipv4(), is_sealed);
        self.settle();
    }

    /// What leaves here is sealed: nothing is sent as it is.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sends.is_sealed()
    }

    /// What arrives here is to be opened.
    pub(crate) fn opens(&self) -> bool {
        self.rare().crypto.as_ref().is_some_and(|it| it.opens())
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
        (target.is_ipv4() == self.sends.is_ipv4()).then_some(target)
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
        if let Some(rare) = self.rare_if(false) {
            rare.rtcp_of.take_if(|it| *it == socket);
            rare.reports.take_if(|it| *it == socket);
            rare.muted_for.take_if(|it| *it == socket);
            self.settle();
        }
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
            round_trip_us: self.round_trip_us.map(NonZeroU32::get),
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
            let us = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
            self.round_trip_us = Some(NonZeroU32::MIN.saturating_add(us.saturating_sub(1)));
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

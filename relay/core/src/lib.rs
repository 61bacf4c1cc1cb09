//! Decides what happens to each packet; performs no I/O.
//!
//! One [`Relay`] serves one worker thread. Bytes, commands and the time go in through `handle_*`;
//! what is to be done comes back as a [`Verdict`] or an [`Outcome`], or is asked for by `poll_*`.
//!
//! ```text
//!           socket ─► FlowTable ─► Latch ─► Kind ─┬─ RTP  ─► Egress
//!  packet ─►           (slot)     (whose?)        └─ RTCP ─► Egress
//! ```
//!
//! Nothing is allocated, locked, logged or hashed for a packet; but once for an endpoint whose peer
//! has to prove itself, sends from a second source, or is put into the kernel's table, since most
//! never do. Time is an argument.
//!
//! ```
//! use std::time::Instant;
//! use relay_core::{DropReason, Ingress, Limits, Outcome, Relay, SocketId, Verdict};
//! use relay_wire::{Answer, CallKey, Command, PortPartition, WorkerId};
//!
//! let mut relay = Relay::new(Limits {
//!     worker: WorkerId(0),
//!     partition: PortPartition::new(30_000, 30_999, 1).unwrap(),
//!     interfaces: vec!["127.0.0.1".parse().unwrap()],
//!     calls_max: 100,
//!     endpoints_max: 1_000,
//!     idle_max: 0,
//! });
//! let now = Instant::now();
//! let command = Command::CreateCall {
//!     call: CallKey(1),
//!     media_timeout_ms: 0,
//!     record: vec![],
//! };
//! let outcome = relay.handle_command(now, command, 1_000).unwrap();
//! assert_eq!(outcome, Outcome::Done(Answer::Done));
//!
//! // The driver's turn: packets, then time, then what came of it.
//! let ingress = Ingress {
//!     socket: SocketId::new(7),
//!     source: "192.0.2.1:4000".parse().unwrap(),
//! };
//! let verdict = relay.handle_packet(now, ingress, &mut [0x80, 0]);
//! assert_eq!(verdict, Verdict::Drop(DropReason::UnknownFlow));
//! relay.handle_timeout(now);
//! while let Some(socket) = relay.poll_close() {
//!     // … close it, and when nothing can come from it any more:
//!     relay.handle_closed(socket);
//! }
//! assert_eq!(relay.poll_event(), None);
//! assert_eq!(relay.poll_timeout(), None);
//! ```

#![forbid(unsafe_code)]

mod allowance;
mod call;
mod clock;
mod command;
mod crypto;
mod dtls;
mod endpoint;
mod filter;
mod flow_table;
#[doc(hidden)]
pub mod fuzz;
mod ice;
mod idle_list;
mod kernel;
mod keys;
mod latch;
mod limits;
mod loops;
mod piercing;
mod played;
mod probation;
mod quality;
mod rare;
mod reports;
mod rtcp;
mod sinks;
mod sprayers;
mod transcoding;
mod verdict;

#[cfg(test)]
mod tests;

pub use command::Outcome;
pub use crypto::Sealing;
pub use dtls::{Shaken, Shaking};
pub use ice::Transmit;
pub use kernel::{KernelCounts, KernelFlow, KernelSlot, KernelTable};
pub use limits::Limits;
pub use relay_srtp::GROWTH_MAX;
pub use rtcp::Report;
pub use sinks::{COPIED_BURST, Copy};
pub use transcoding::{Target, Treatment};
pub use verdict::{DropReason, Egress, Ingress, SocketId, Taken, Verdict};

use std::collections::VecDeque;
use std::time::Instant;

use relay_rtp::Kind;
use relay_wire::{CallKey, Event, Port};

use call::{Calls, Silence};
use clock::{Clock, Now};
use dtls::Handshaking;
use endpoint::Way;
use flow_table::FlowTable;
use ice::Agents;
use kernel::Kernel;
use piercing::Piercings;
use reports::Telling;
use rtcp::Reports;
use sinks::{Copied, Copying};
use sprayers::{Knock, Place, Sprayers};

/// Decides what happens to each packet of one worker's flows.
///
/// Performs no I/O and reads no clock: bytes, commands and time come in through `handle_*`, and
/// what is to be done comes back as a value or through `poll_*`.
#[derive(Debug)]
pub struct Relay {
    limits: Limits,
    clock: Clock,
    flows: FlowTable,
    calls: Calls,
    events: VecDeque<Event>,
    events_lost: u64,
    /// Endpoints that open the NAT of their peer.
    piercings: Piercings,
    agents: Agents,
    handshaking: Handshaking,
    sprayers: Sprayers,
    /// Packets from these.
    sprayed: u64,
    packets_in: u64,
    /// Of these, packets that were taken out to be changed.
    packets_taken: u64,
    /// Packets that were made of them.
    packets_made: u64,
    packets_out: u64,
    /// UDP payload of what was forwarded.
    bytes_out: u64,
    drops: [u64; DropReason::ALL.len()],
    kernel: Kernel,
    /// Packets that were opened with the keys of their peer.
    opened: u64,
    /// Of what the newest of them was, if it was RTP.
    newest_opened: Option<crypto::Opened>,
    /// Packets that were sealed.
    sealed: u64,
    /// Keys that control was told of.
    keys_told: u64,
    telling: Telling,
    reports: Reports,
    /// The packet at hand, while copies are made of it.
    copying: Option<Copying>,
    copied: Copied,
}

/// Events that wait to be polled: a driver polls each turn, so this many would be a driver that
/// stands still.
const EVENTS_MAX: usize = 4_096;

impl Relay {
    /// A worker with no calls.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            clock: Clock::default(),
            flows: FlowTable::new(limits.endpoints_max, limits.idle_max)
                .with_addresses(&limits.interfaces),
            calls: Calls::default(),
            events: VecDeque::new(),
            events_lost: 0,
            piercings: Piercings::default(),
            agents: Agents::default(),
            handshaking: Handshaking::default(),
            sprayers: Sprayers::default(),
            sprayed: 0,
            packets_in: 0,
            packets_taken: 0,
            packets_made: 0,
            packets_out: 0,
            bytes_out: 0,
            drops: [0; DropReason::ALL.len()],
            kernel: Kernel::default(),
            opened: 0,
            newest_opened: None,
            sealed: 0,
            keys_told: 0,
            telling: Telling::default(),
            copying: None,
            copied: Copied::default(),
            reports: Reports::default(),
            limits,
        }
    }

    /// Decides about one datagram. If it is to be forwarded, the bytes are as they are to leave.
    pub fn handle_packet(&mut self, now: Instant, ingress: Ingress, packet: &mut [u8]) -> Verdict {
        self.packets_in += 1;
        let now = self.clock.read(now);
        if !self.kernel.is_on() {
            return self.decide(now, ingress, packet);
        }
        self.absorb(now.at, ingress.socket);
        let verdict = self.decide(now, ingress, packet);
        let is_plain = matches!(verdict, Verdict::Forward(_)) && Kind::of(packet) == Kind::Rtp;
        self.review(now.at, ingress.socket, is_plain);
        verdict
    }

    fn decide(&mut self, now: Now, ingress: Ingress, packet: &mut [u8]) -> Verdict {
        let arrived_at = self.flows.open(ingress.socket);
        let leaves = arrived_at.and_then(|it| it.pass(now, ingress.source, packet));
        let Some(socket) = leaves else {
            return self.decide_rest(now, ingress, packet);
        };
        match self.leave(socket, packet.len()) {
            Ok(egress) => {
                self.packets_out += 1;
                self.bytes_out += packet.len() as u64;
                Verdict::Forward(egress)
            }
            Err(reason) => self.refuse_or_seal(now, ingress, socket, packet.len(), reason),
        }
    }

    /// A packet that would pass at once may not leave as it is.
    #[cold]
    fn refuse_or_seal(
        &mut self,
        now: Now,
        ingress: Ingress,
        leaves: SocketId,
        len: usize,
        reason: DropReason,
    ) -> Verdict {
        match self.to_seal(leaves, Kind::Rtp, len, reason) {
            Ok(sealing) => Verdict::Seal(sealing),
            Err(reason) => self.refuse(now, ingress, reason),
        }
    }

    /// The same for what does not pass at once.
    #[inline(never)]
    fn decide_rest(&mut self, now: Now, ingress: Ingress, packet: &mut [u8]) -> Verdict {
        match self.route(now, ingress, packet) {
            Ok(Verdict::Take(taken)) => {
                self.packets_taken += 1;
                Verdict::Take(taken)
            }
            Ok(verdict @ (Verdict::Seal(_) | Verdict::Shake(_))) => verdict,
            Ok(Verdict::Copied) => {
                self.copied.only += 1;
                Verdict::Copied
            }
            Ok(Verdict::Drop(reason)) => {
                self.drops[reason.index()] += 1;
                Verdict::Drop(reason)
            }
            Ok(verdict) => {
                self.packets_out += 1;
                self.bytes_out += match verdict {
                    Verdict::ForwardPart { len, .. } => u64::from(len),
                    _ => packet.len() as u64,
                };
                verdict
            }
            Err(reason) => self.refuse(now, ingress, reason),
        }
    }

    /// A packet goes no further.
    #[cold]
    fn refuse(&mut self, now: Now, ingress: Ingress, reason: DropReason) -> Verdict {
        let is_idle = reason == DropReason::UnknownFlow && self.flows.is_idle(ingress.socket);
        let reason = if is_idle {
            DropReason::IdlePort
        } else {
            reason
        };
        self.drops[reason.index()] += 1;
        if let Some(endpoint) = self.flows.open(ingress.socket) {
            endpoint.count_drop();
        }
        if matches!(reason, DropReason::SourceMismatch | DropReason::Unproven) {
            self.note_stranger(now.at, ingress);
        }
        Verdict::Drop(reason)
    }

    /// A packet is about to leave through a socket: says who gets it.
    #[inline]
    fn leave(&mut self, socket: SocketId, len: usize) -> Result<Egress, DropReason> {
        let leaves_from = self.flows.open(socket);
        let leaves_from = leaves_from.ok_or(DropReason::NotConnected)?;
        let destination = leaves_from.send(len)?;
        Ok(Egress {
            socket,
            destination,
        })
    }

    /// Counts datagrams that the driver has thrown away, since they had come to an idle port
    /// before that was opened again.
    pub fn handle_discarded(&mut self, packets: u64) {
        self.packets_in += packets;
        self.drops[DropReason::IdlePort.index()] += packets;
    }

    /// Takes what is of ICE or of a handshake, where there are such.
    #[cold]
    fn take_other(
        &mut self,
        now: Instant,
        ingress: Ingress,
        packet: &[u8],
    ) -> Option<Result<Verdict, DropReason>> {
        let endpoint = self.flows.endpoint(ingress.socket)?;
        if endpoint.rare().ice.is_some() && relay_ice::is_stun(packet) {
            let handled = self.handle_stun(now, ingress, packet);
            return Some(handled.map(|()| Verdict::Drop(DropReason::Answered)));
        }
        self.take_handshake(now, ingress, packet)
    }

    fn route(
        &mut self,
        now: Now,
        ingress: Ingress,
        packet: &mut [u8],
    ) -> Result<Verdict, DropReason> {
        let kind = Kind::of(packet);
        if kind == Kind::Other
            && let Some(taken) = self.take_other(now.at, ingress, packet)
        {
            return taken;
        }
        let arrived_at = self.flows.open(ingress.socket);
        let arrived_at = arrived_at.ok_or(DropReason::UnknownFlow)?;
        let wire_len = packet.len();
        let clear_len = match arrived_at.opens() {
            true => self.open_packet(ingress, kind, packet)?,
            false => wire_len,
        };
        let packet = &mut packet[..clear_len];
        let arrived_at = self.flows.open(ingress.socket);
        let arrived_at = arrived_at.ok_or(DropReason::UnknownFlow)?;
        let received = match arrived_at.receive(now, ingress.source, kind, (packet, wire_len)) {
            Err(DropReason::SourceMismatch | DropReason::Unproven)
                if kind == Kind::Rtcp && self.vouches(now.at, ingress) =>
            {
                let arrived_at = self.flows.open(ingress.socket);
                let arrived_at = arrived_at.ok_or(DropReason::UnknownFlow)?;
                arrived_at.receive(now, ingress.source, kind, (packet, wire_len))?
            }
            other => other?,
        };
        if kind == Kind::Rtcp && self.telling.is_on {
            self.tell_reports(now.at, ingress, packet);
        }
        let mut len = packet.len();
        if received.is_filtered {
            len = self.filter(now, ingress, kind, packet)?;
            if received.is_copied && len < packet.len() {
                // Copies are made of whole packets.
                return Err(DropReason::Filtered);
            }
        }
        if received.is_copied {
            let copied = self.flows.open(ingress.socket);
            if copied.is_some_and(|it| !it.may_copy(now.at)) {
                return Err(DropReason::Loop);
            }
            self.begin_copies(ingress.socket, kind, packet.len(), false);
        }
        let take = |flow, leaves| {
            let len = u16::try_from(clear_len).unwrap_or(u16::MAX);
            Verdict::Take(Taken {
                flow,
                kind,
                leaves,
                len,
            })
        };
        let socket = match received.way {
            Way::Leave(socket) => socket,
            Way::Copy => return Ok(Verdict::Copied),
            Way::TakeRtcp { flow } => return Ok(take(flow, None)),
            Way::TakeRtp { leaves } => return Ok(take(ingress.socket, leaves)),
        };
        if kind == Kind::Rtcp {
            let is_whole = received.is_copied;
            match self.pass_rtcp(now.at, (ingress.socket, socket), packet, is_whole) {
                None => return Ok(Verdict::Drop(DropReason::Answered)),
                Some(0) => return Err(DropReason::Filtered),
                Some(left) => len = left,
            }
        }
        let verdict = self.depart(socket, kind, len)?;
        Ok(match (verdict, u16::try_from(len)) {
            (Verdict::Forward(egress), Ok(len)) if usize::from(len) < wire_len => {
                Verdict::ForwardPart { egress, len }
            }
            (verdict, _) => verdict,
        })
    }

    /// Somebody was not believed: remembers where that was, and sees to it that it counts for
    /// nothing if it is everywhere.
    fn note_stranger(&mut self, now: Instant, ingress: Ingress) {
        let Ingress { source, socket } = ingress;
        let Some(endpoint) = self.flows.endpoint(socket) else {
            return;
        };
        if endpoint.latch.is_where_signalled(source) {
            return;
        }
        let knock = Knock {
            at: now,
            source,
            place: (endpoint.call, socket),
            is_anothers: endpoint.is_heard_elsewhere(now, source),
        };
        let flows = &self.flows;
        let is_open = |(call, socket): Place| {
            let endpoint = flows.endpoint(socket);
            endpoint.is_some_and(|it| it.call == call)
        };
        let Some(places) = self.sprayers.note(knock, is_open) else {
            return;
        };
        self.sprayed += 1;
        for (call, socket) in places.into_iter().flatten().chain([knock.place]) {
            let endpoint = self.flows.open(socket).filter(|it| it.call == call);
            if let Some(endpoint) = endpoint {
                endpoint.latch.disbelieve(source);
                self.review(now, socket, false);
            }
        }
    }

    /// Lets the RTP endpoint vouch for a stranger that sends RTCP to the port above it (RFC 3550
    /// §11). Says whether it does.
    fn vouches(&mut self, now: Instant, ingress: Ingress) -> bool {
        let Some(endpoint) = self.flows.endpoint(ingress.socket) else {
            return false;
        };
        let rtp = Port {
            number: endpoint.port.number.wrapping_sub(1),
            ..endpoint.port
        };
        let rtp = self
            .flows
            .socket_of(rtp)
            .and_then(|it| self.flows.endpoint(it));
        let rtp = rtp.filter(|it| it.call == endpoint.call);
        let learnt = rtp.and_then(|it| it.latch.learnt());
        learnt.is_some_and(|it| it.ip() == ingress.source.ip())
            && self
                .flows
                .open(ingress.socket)
                .is_some_and(|it| it.latch.vouch(now, ingress.source))
    }

    /// Looks for calls that have been silent for too long, for NATs that are to be opened, for
    /// checks, and for reports that are due.
    /// Does nothing before [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.piercings.handle_timeout(now, &mut self.flows);
        self.check_peers(now);
        self.make_reports(now);
        while let Some(key) = self.calls.due(now) {
            self.absorb_call(now, key);
            let heard_at = self.heard_at(key);
            match self.calls.look(now, key, heard_at) {
                Some(Silence::ForLong) => self.emit(Event::MediaTimeout { call: key }),
                Some(Silence::FromTheFirst) => self.emit(Event::FirstPacketTimeout { call: key }),
                None => {}
            }
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.calls.next_deadline(),
            self.piercings.next_deadline(),
            self.agents.next_deadline(),
            self.reports.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Takes the next datagram of the relay's own that is to be sent: an empty one that opens a
    /// NAT, or one of ICE.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let empty = |egress| Transmit::new(egress, Vec::new());
        let piercing = self.piercings.poll_transmit().map(empty);
        piercing.or_else(|| self.agents.poll_transmit())
    }

    /// Takes the next thing that control should hear of.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes the next socket that is to be closed. When nothing can come from it any more, the
    /// driver calls [`Self::handle_closed`].
    #[must_use]
    pub fn poll_close(&mut self) -> Option<SocketId> {
        self.flows.poll_close()
    }

    /// A socket of [`Self::poll_close`] is gone, and its slot and port may be used again.
    pub fn handle_closed(&mut self, socket: SocketId) {
        self.flows.free(socket);
    }

    /// When any endpoint of a call was last heard.
    fn heard_at(&self, key: CallKey) -> Option<Instant> {
        let endpoints = self.calls.get(key)?.endpoints.iter();
        endpoints
            .filter_map(|it| self.flows.endpoint(*it)?.heard_at)
            .max()
    }

    fn emit(&mut self, event: Event) {
        self.push_event(event, EVENTS_MAX);
    }

    /// The same of what anybody in a call can bring about as often as he likes, which leaves room
    /// for what ends calls. Says whether there was room for it.
    fn tell(&mut self, event: Event) -> bool {
        self.push_event(event, EVENTS_MAX / 2)
    }

    fn push_event(&mut self, event: Event, len_max: usize) -> bool {
        let has_room = self.events.len() < len_max;
        if has_room {
            self.events.push_back(event);
        } else {
            self.events_lost += 1;
        }
        has_room
    }
}

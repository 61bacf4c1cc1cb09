//! Flows that the kernel forwards by itself, without the relay seeing their packets.
//!
//! A flow goes into the kernel's table when there is nothing left to decide about its packets: its
//! sender is locked, where they leave is known, and nothing is done with them. It is taken out when
//! any of that changes. Whatever the table does not know for a packet of the flow (another source,
//! another type, RTCP, a number that is late, one in some hundreds) comes to the socket as before;
//! so does all that strangers send.
//!
//! What the table has counted is added to what the endpoint has before anybody looks at it. So
//! learning, time-outs and queries see no difference.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_wire::{CallKey, Port};

use crate::quality::{Count, Stream};
use crate::{Relay, SocketId};

/// A table that forwards; the driver has it from the kernel, if it can.
pub trait KernelTable: Debug + Send {
    /// Puts a flow in. `None`: it stays with its sockets.
    fn install(&mut self, now: Instant, flow: &KernelFlow) -> Option<KernelSlot>;

    /// Takes a flow out. What it has counted can be read until the next is put in.
    fn take_out(&mut self, now: Instant, slot: KernelSlot);

    /// What a flow has counted since it was put in.
    fn read(&self, slot: KernelSlot) -> KernelCounts;
}

/// The name that the table has for a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KernelSlot(pub u32);

/// RTP of one source and type, from one peer to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KernelFlow {
    /// Who sends.
    pub peer: SocketAddr,
    /// Where that arrives.
    pub ingress: Port,
    /// Where it leaves from.
    pub egress: Port,
    /// Who gets it.
    pub to: SocketAddr,
    /// Whose it is (RFC 3550 §5.1).
    pub ssrc: u32,
    /// What is in it.
    pub payload_type: u8,
    /// Nanoseconds of one unit of its timestamps, times 2^15; 0: not known.
    pub tick: u32,
    /// Where it is: the highest number so far, extended beyond 16 bits.
    pub highest: u64,
    /// Bit n: the packet n before that has come.
    pub seen: u64,
    /// Jitter so far, in 1/16 ns (RFC 3550 A.8).
    pub jitter: u64,
}

/// What a table has counted of a flow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KernelCounts {
    /// Packets forwarded.
    pub packets: u64,
    /// Their UDP payload.
    pub bytes: u64,
    /// How long ago the newest came; `None`: none did.
    pub idle: Option<Duration>,
    /// As in [`KernelFlow::highest`], now.
    pub highest: u64,
    /// As in [`KernelFlow::seen`].
    pub seen: u64,
    /// As in [`KernelFlow::jitter`].
    pub jitter: u64,
}

/// What an endpoint has to do with the table.
#[derive(Debug, Default)]
pub(crate) struct Shortcut {
    /// The flow that arrives here.
    pub(crate) installed: Option<Box<Installed>>,
    /// Where the flow arrives that leaves from here.
    pub(crate) fed_by: Option<SocketId>,
    /// RTP that came to the socket and could have been forwarded without, since the table last
    /// forwarded some.
    plain: u16,
    /// How often it was put in, or refused, since then.
    attempts: u8,
    /// How often it was put in, or refused, since the turn began.
    attempts_in_turn: u8,
    turn_began: Option<Instant>,
}

impl Shortcut {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        installed: None,
        fed_by: None,
        plain: 0,
        attempts: 0,
        attempts_in_turn: 0,
        turn_began: None,
    };

    /// Notes RTP that the table could have forwarded. Says whether it is to be put there now.
    fn note_plain(&mut self, now: Instant) -> bool {
        self.plain = self.plain.saturating_add(1);
        if self.plain < PLAIN_MIN << self.attempts {
            return false;
        }
        if self.turn_began.is_none_or(|it| now >= it + TURN) {
            (self.turn_began, self.attempts_in_turn) = (Some(now), 0);
        }
        if self.attempts_in_turn == ATTEMPTS_PER_TURN {
            return false;
        }
        self.attempts_in_turn += 1;
        self.plain = 0;
        self.attempts = ATTEMPTS_MAX.min(self.attempts + 1);
        true
    }
}

/// A flow that is in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Installed {
    slot: KernelSlot,
    wanted: Wanted,
    payload_type: u8,
    tick: u32,
    /// What of its counts is in the endpoint's already.
    counted: Count,
}

/// What must not change while a flow is in the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Wanted {
    peer: SocketAddr,
    leaves: SocketId,
    to: SocketAddr,
    ssrc: u32,
}

/// The table, and what became of what was put in.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    table: Option<Box<dyn KernelTable>>,
    flows: u64,
    installed: u64,
    refused: u64,
    packets: u64,
    bytes: u64,
}

/// So many packets of a flow come to the socket before it is put into the table: some half a
/// second of voice, so that a short stream or one of many sources costs nothing there.
const PLAIN_MIN: u16 = 25;

/// Each attempt that nothing comes of doubles that, so often at most: a quarter of an hour.
const ATTEMPTS_MAX: u8 = 10;

/// A place that was left is nobody's for some seconds. So a peer that makes its flow leave again and
/// again, by another SSRC each time, is let in only so often in a turn: it takes few places from
/// others.
const ATTEMPTS_PER_TURN: u8 = 4;
const TURN: Duration = Duration::from_secs(5);

impl Kernel {
    pub(crate) fn is_on(&self) -> bool {
        self.table.is_some()
    }

    pub(crate) fn counters(&self) -> [(&'static str, u64); 5] {
        [
            ("kernel_flows", self.flows),
            ("kernel_flows_installed", self.installed),
            ("kernel_flows_refused", self.refused),
            ("kernel_packets", self.packets),
            ("kernel_bytes", self.bytes),
        ]
    }
}

impl Relay {
    /// Has flows put into a table of the kernel's from now on.
    pub fn set_kernel_table(&mut self, table: Box<dyn KernelTable>) {
        self.kernel.table = Some(table);
    }

    /// Looks at an endpoint that a packet has come to: what is in the table may be so no more, and
    /// what is not may go in now.
    pub(crate) fn review(&mut self, now: Instant, socket: SocketId, is_plain: bool) {
        self.review_arriving(now, socket);
        let fed_by = self
            .flows
            .endpoint(socket)
            .and_then(|it| it.rare().shortcut.fed_by);
        if let Some(fed_by) = fed_by {
            self.review_arriving(now, fed_by);
        }
        let Some(endpoint) = self.flows.open(socket).filter(|_| is_plain) else {
            return;
        };
        if endpoint.rare_mut().shortcut.note_plain(now) {
            // If it is there, it forwards nothing: the stream is of another type, say.
            self.take_out(now, socket);
            self.install(now, socket);
        }
    }

    fn review_arriving(&mut self, now: Instant, socket: SocketId) {
        let endpoint = self.flows.endpoint(socket);
        let installed = endpoint.and_then(|it| it.rare().shortcut.installed.as_ref());
        if installed.is_some_and(|it| self.wanted(now, socket) != Some(it.wanted)) {
            self.take_out(now, socket);
        }
    }

    /// What is to be in the table of what arrives at an endpoint: nothing, if its packets must be
    /// looked at one by one.
    fn wanted(&self, now: Instant, socket: SocketId) -> Option<Wanted> {
        let endpoint = self.flows.endpoint(socket).filter(|it| it.is_plain())?;
        let leaves = endpoint.rtp?;
        let leaves_from = self.flows.endpoint(leaves).filter(|it| !it.is_sealed())?;
        let is_free = leaves_from
            .rare()
            .shortcut
            .fed_by
            .is_none_or(|it| it == socket);
        let peer = endpoint.latch.locked(now).filter(|_| is_free)?;
        let to = leaves_from.latch.remote()?;
        let (ssrc, ..) = endpoint.quality().newest()?;
        let is_possible =
            peer.is_ipv4() == to.is_ipv4() && !is_of_a_link(peer) && !is_of_a_link(to);
        is_possible.then_some(Wanted {
            peer,
            leaves,
            to,
            ssrc,
        })
    }

    fn install(&mut self, now: Instant, socket: SocketId) {
        let Some(wanted) = self.wanted(now, socket) else {
            return;
        };
        let Some(flow) = self.describe(socket, wanted) else {
            return;
        };
        let Some(table) = &mut self.kernel.table else {
            return;
        };
        let Some(slot) = table.install(now, &flow) else {
            self.kernel.refused += 1;
            return;
        };
        self.kernel.installed += 1;
        self.kernel.flows += 1;
        if let Some(endpoint) = self.flows.open(socket) {
            endpoint.rare_mut().shortcut.installed = Some(Box::new(Installed {
                slot,
                wanted,
                payload_type: flow.payload_type,
                tick: flow.tick,
                counted: Count::default(),
            }));
        }
        if let Some(leaves_from) = self.flows.open(wanted.leaves) {
            leaves_from.rare_mut().shortcut.fed_by = Some(socket);
        }
    }

    fn describe(&self, socket: SocketId, wanted: Wanted) -> Option<KernelFlow> {
        let endpoint = self.flows.endpoint(socket)?;
        let stream = endpoint.quality().stream();
        Some(KernelFlow {
            peer: wanted.peer,
            ingress: endpoint.port,
            egress: self.flows.endpoint(wanted.leaves)?.port,
            to: wanted.to,
            ssrc: wanted.ssrc,
            payload_type: stream.payload_type,
            tick: stream.tick,
            highest: stream.highest,
            seen: stream.seen,
            jitter: stream.jitter,
        })
    }

    /// Takes what arrives at an endpoint out of the table, if it is there.
    pub(crate) fn take_out(&mut self, now: Instant, socket: SocketId) {
        let endpoint = self.flows.endpoint(socket);
        let installed = endpoint.and_then(|it| it.rare().shortcut.installed.as_deref());
        let Some(installed) = installed.copied() else {
            return;
        };
        if let Some(table) = &mut self.kernel.table {
            table.take_out(now, installed.slot);
        }
        self.absorb(now, socket);
        self.kernel.flows -= 1;
        if let Some(endpoint) = self.flows.open(socket) {
            endpoint.rare_mut().shortcut.installed = None;
        }
        if let Some(leaves_from) = self.flows.open(installed.wanted.leaves) {
            let shortcut = &mut leaves_from.rare_mut().shortcut;
            shortcut.fed_by.take_if(|it| *it == socket);
        }
    }

    /// Takes all of a call out, since it is about to change.
    pub(crate) fn take_call_out(&mut self, now: Instant, call: CallKey) {
        self.each_endpoint(call, |relay, socket| relay.take_out(now, socket));
    }

    /// Adds to a call what the table has counted since somebody looked.
    pub(crate) fn absorb_call(&mut self, now: Instant, call: CallKey) {
        self.each_endpoint(call, |relay, socket| relay.absorb(now, socket));
    }

    fn each_endpoint(&mut self, call: CallKey, mut act: impl FnMut(&mut Self, SocketId)) {
        if !self.kernel.is_on() {
            return;
        }
        let nth = |relay: &Self, index: usize| {
            let call = relay.calls.get(call)?;
            call.endpoints.get(index).copied()
        };
        for index in 0.. {
            let Some(socket) = nth(self, index) else {
                return;
            };
            act(self, socket);
        }
    }

    /// Adds to an endpoint what the table has counted since somebody looked.
    pub(crate) fn absorb(&mut self, now: Instant, socket: SocketId) {
        let Some(table) = &self.kernel.table else {
            return;
        };
        let Some(endpoint) = self.flows.open(socket) else {
            return;
        };
        let Some(shortcut) = endpoint.rare_if(false).map(|it| &mut it.shortcut) else {
            return;
        };
        let Some(installed) = &mut shortcut.installed else {
            return;
        };
        let counts = table.read(installed.slot);
        let new = Count {
            packets: counts.packets.saturating_sub(installed.counted.packets),
            bytes: counts.bytes.saturating_sub(installed.counted.bytes),
        };
        if new.packets == 0 {
            return;
        }
        installed.counted.add_all(new);
        let Wanted { leaves, ssrc, .. } = installed.wanted;
        let (payload_type, tick) = (installed.payload_type, installed.tick);
        (shortcut.plain, shortcut.attempts) = (0, 0);
        let heard_at = counts.idle.and_then(|it| now.checked_sub(it));
        endpoint.heard_at = endpoint.heard_at.max(heard_at);
        let stream = Stream {
            highest: counts.highest,
            seen: counts.seen,
            jitter: counts.jitter,
            payload_type,
            tick,
        };
        endpoint.quality_mut().absorb(ssrc, new, stream);
        if let Some(leaves_from) = self.flows.open(leaves) {
            leaves_from.count_out(new);
        }
        self.kernel.packets += new.packets;
        self.kernel.bytes += new.bytes;
        self.packets_in += new.packets;
        self.packets_out += new.packets;
        self.bytes_out += new.bytes;
    }
}

/// The same address may be somebody else on another link (RFC 4291 §2.5.6), and packets do not say
/// which.
fn is_of_a_link(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local())
}

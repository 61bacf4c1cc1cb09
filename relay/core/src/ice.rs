//! Peers whose place is found out by checks (ICE, RFC 8445).
//!
//! Each component that a peer was told of has an [agent](relay_ice::Agent), whose bases are the
//! endpoints that candidates name: one for each address of the relay. The first is the one that
//! flows go to as far as control knows; they go to the one that was decided on.
//!
//! ```text
//!                    ┌─ STUN ─► agent ─► poll_transmit
//!  packet at a base ─┤            │ selected: the latch of that base knows the peer
//!                    └─ media ─ from where the agent knows the peer ─► as ever
//! ```
//!
//! Most media is from the peer that the latch knows, and never sees any of this.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_ice::{Agent, Base, Candidate, Counters, Credentials, Received, Role, Settings};
use relay_wire::{Answer, CallKey, Ice, IceBase, IceCredentials, Port, Refusal};

use crate::{DropReason, Egress, Ingress, Relay, SocketId};

/// Datagrams that wait to be polled: a driver polls each turn.
const TRANSMITS_MAX: usize = 4_096;

/// How long RTCP that has a port of its own waits for a way of RTP to be found: one that works for
/// the one will for the other, most likely.
const RTP_WAIT: Duration = Duration::from_millis(750);

/// Places of a peer that packets are taken from.
const KNOWN_MAX: usize = 16;

/// A datagram of the relay's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    egress: Egress,
    bytes: Vec<u8>,
}

impl Transmit {
    pub(crate) fn new(egress: Egress, bytes: Vec<u8>) -> Self {
        Self { egress, bytes }
    }

    /// Where it leaves, and who gets it.
    #[must_use]
    pub fn egress(&self) -> Egress {
        self.egress
    }

    /// What is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What an endpoint has that is a base.
#[derive(Debug)]
pub(crate) struct Membership {
    /// The first base, which is the name of the agent.
    agent: SocketId,
    base: usize,
    /// Where the peer has shown to be.
    known: Vec<SocketAddr>,
}

impl Membership {
    /// The first socket of the component.
    pub(crate) fn agent(&self) -> SocketId {
        self.agent
    }

    pub(crate) fn knows(&self, source: SocketAddr) -> bool {
        self.known.contains(&source)
    }
}

/// The agents of a worker.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    all: BTreeMap<SocketId, Component>,
    due: BTreeSet<(Instant, SocketId)>,
    transmits: VecDeque<Transmit>,
    /// What agents that are gone have seen.
    gone: Counters,
    selections: u64,
}

/// One component of a stream.
#[derive(Debug)]
struct Component {
    agent: Agent,
    call: CallKey,
    bases: Vec<SocketId>,
    /// Where flows to the first base go.
    elected: SocketId,
    due: Option<Instant>,
}

impl Agents {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The socket that flows to another really go to.
    pub(crate) fn elected(&self, socket: SocketId) -> SocketId {
        self.all.get(&socket).map_or(socket, |it| it.elected)
    }

    /// All sockets of the component that this is the first of; others are alone.
    pub(crate) fn bases_of(&self, socket: SocketId) -> Vec<SocketId> {
        let component = self.all.get(&socket);
        component.map_or_else(|| vec![socket], |it| it.bases.clone())
    }

    /// What was seen, by the names of its metrics.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 7] {
        let agents = self.all.values().map(|it| it.agent.counters());
        let sum = agents.fold(self.gone, sum);
        [
            ("ice_agents", self.all.len() as u64),
            ("ice_checks_answered", sum.checks_answered),
            ("ice_checks_sent", sum.checks_sent),
            ("ice_pairs_evicted", sum.pairs_evicted),
            ("ice_pairs_refused", sum.pairs_refused),
            ("ice_refused", sum.refused),
            ("ice_selections", self.selections),
        ]
    }

    fn schedule(&mut self, name: SocketId) {
        let Some(component) = self.all.get_mut(&name) else {
            return;
        };
        let due = component.agent.poll_timeout();
        if due != component.due {
            if let Some(at) = component.due {
                self.due.remove(&(at, name));
            }
            self.due.extend(due.map(|at| (at, name)));
            component.due = due;
        }
    }

    fn send(&mut self, transmit: Transmit) {
        if self.transmits.len() < TRANSMITS_MAX {
            self.transmits.push_back(transmit);
        }
    }
}

impl Relay {
    pub(crate) fn set_ice(
        &mut self,
        now: Instant,
        (call, port): (CallKey, Port),
        ice: Option<&Ice>,
    ) -> Result<Answer, Refusal> {
        let socket = self.socket_of(call, port)?;
        let Some(ice) = ice else {
            self.forget_ice(socket);
            self.begin_handshake(socket);
            return Ok(Answer::Done);
        };
        let bases = self.bases(call, ice)?;
        if bases.first() != Some(&socket) {
            return Err(Refusal::UnknownPort);
        }
        let settings = self.settings(ice)?;
        let is_same = self.agents.all.get(&socket).is_some_and(|it| {
            let remote = it.agent.remote().filter(|_| ice.remote.is_some());
            let is_peer = |it: &Credentials| Some(it) == ice.remote.as_ref().map(named).as_ref();
            *it.agent.settings() == settings && it.bases == bases && remote.is_none_or(is_peer)
        });
        if !is_same {
            self.begin_ice(call, bases, settings);
        }
        let waits = ice.component > 1 && self.has_rtp_in_doubt(call, port);
        if let Some(component) = self.agents.all.get_mut(&socket) {
            let candidates = ice.candidates.iter().map(|it| Candidate {
                address: it.address,
                priority: it.priority,
            });
            let candidates: Vec<_> = candidates.collect();
            let role = match ice.is_controlling {
                true => Role::Controlling,
                false => Role::Controlled,
            };
            let remote = ice.remote.as_ref().map(named);
            let agent = &mut component.agent;
            let is_unknown = agent.remote().is_none();
            agent.update(now, role, remote, ice.remote_is_lite, &candidates);
            if waits && is_unknown && agent.remote().is_some() {
                agent.wait(now + RTP_WAIT);
            }
        }
        self.follow_agent(now, socket);
        Ok(Answer::Done)
    }

    /// Whether there is an agent for RTP beside this one for RTCP that has found no way yet.
    fn has_rtp_in_doubt(&self, call: CallKey, rtcp: Port) -> bool {
        let number = rtcp.number.wrapping_sub(1);
        let socket = self.socket_of(call, Port { number, ..rtcp });
        let component = socket.ok().and_then(|it| self.agents.all.get(&it));
        component.is_some_and(|it| it.agent.selected().is_none())
    }

    /// The way of RTP is found: that of RTCP is to be looked for, if it is another one.
    fn let_rtcp_go_on(&mut self, now: Instant, rtp: SocketId) {
        let Some(endpoint) = self.flows.endpoint(rtp) else {
            return;
        };
        let number = endpoint.port.number.wrapping_add(1);
        let rtcp = Port {
            number,
            ..endpoint.port
        };
        let Ok(socket) = self.socket_of(endpoint.call, rtcp) else {
            return;
        };
        let component = self.agents.all.get_mut(&socket);
        if let Some(component) = component.filter(|it| it.agent.settings().component > 1) {
            component.agent.go_on(now);
            self.agents.schedule(socket);
        }
    }

    /// The sockets of all bases, each of which belongs to the call and to no other agent.
    fn bases(&self, call: CallKey, ice: &Ice) -> Result<Vec<SocketId>, Refusal> {
        if !ice.is_bounded() {
            return Err(Refusal::TooLong);
        }
        let mut sockets = Vec::with_capacity(ice.bases.len());
        for base in &ice.bases {
            let socket = self.socket_of(call, base.port)?;
            if sockets.contains(&socket) {
                return Err(Refusal::UnknownPort);
            }
            sockets.push(socket);
        }
        let is_taken = |it: &SocketId| {
            let member = self
                .flows
                .endpoint(*it)
                .and_then(|it| it.rare().ice.as_ref());
            member.is_some_and(|it| it.agent != sockets[0])
        };
        match sockets.iter().any(is_taken) {
            true => Err(Refusal::PortOpen),
            false => Ok(sockets),
        }
    }

    fn settings(&self, ice: &Ice) -> Result<Settings, Refusal> {
        let bases = ice.bases.iter().map(|IceBase { port, priority }| {
            let address = self.limits.address_of(*port);
            let address = address.ok_or(Refusal::UnknownPort)?;
            Ok(Base {
                address: SocketAddr::new(address, port.number),
                priority: *priority,
            })
        });
        Ok(Settings {
            local: named(&ice.local),
            bases: bases.collect::<Result<_, _>>()?,
            component: ice.component,
            tie_breaker: ice.tie_breaker,
            is_lite: ice.is_lite,
        })
    }

    /// Has an agent speak for a component, in place of the one before. Where that has found the
    /// peer, packets still go, and are taken from, until there is something better.
    fn begin_ice(&mut self, call: CallKey, bases: Vec<SocketId>, settings: Settings) {
        let name = bases[0];
        let before = self.agents.all.remove(&name);
        let mut elected = name;
        if let Some(before) = before {
            self.agents.gone = sum(self.agents.gone, before.agent.counters());
            if let Some(at) = before.due {
                self.agents.due.remove(&(at, name));
            }
            if bases.contains(&before.elected) {
                elected = before.elected;
            } else {
                self.redirect(call, before.elected, name);
            }
            for socket in before.bases.iter().filter(|it| !bases.contains(it)) {
                self.leave_agent(*socket);
            }
        }
        for (base, socket) in bases.iter().enumerate() {
            let Some(endpoint) = self.flows.open(*socket) else {
                continue;
            };
            let before = endpoint.rare_mut().ice.take();
            if before.is_none() {
                // Whoever was learnt has not been checked.
                endpoint.latch.forget();
            }
            let known = before.map_or_else(Vec::new, |it| it.known);
            endpoint.rare_mut().ice = Some(Box::new(Membership {
                agent: name,
                base,
                known,
            }));
        }
        let component = Component {
            agent: Agent::new(settings),
            call,
            bases,
            elected,
            due: None,
        };
        self.agents.all.insert(name, component);
        self.share_keys(name);
    }

    /// No ICE is spoken for a component any more, one of whose bases this is.
    pub(crate) fn forget_ice(&mut self, socket: SocketId) {
        let endpoint = self.flows.endpoint(socket);
        let member = endpoint.and_then(|it| it.rare().ice.as_ref());
        let Some(name) = member.map(|it| it.agent) else {
            return;
        };
        let Some(component) = self.agents.all.remove(&name) else {
            return;
        };
        self.agents.gone = sum(self.agents.gone, component.agent.counters());
        if let Some(at) = component.due {
            self.agents.due.remove(&(at, name));
        }
        self.redirect(component.call, component.elected, name);
        for socket in component.bases {
            self.leave_agent(socket);
        }
    }

    /// The same for all of a call.
    pub(crate) fn forget_ice_of(&mut self, call: CallKey) {
        if self.agents.all.is_empty() {
            return;
        }
        let call = self.calls.get(call);
        let endpoints = call.map_or_else(Vec::new, |it| it.endpoints.clone());
        for socket in endpoints {
            self.forget_ice(socket);
        }
    }

    fn leave_agent(&mut self, socket: SocketId) {
        self.agents
            .transmits
            .retain(|it| it.egress.socket != socket);
        if let Some(rare) = self.flows.open(socket).and_then(|it| it.rare_if(false)) {
            rare.ice = None;
        }
    }

    /// Takes a datagram of STUN at an endpoint that speaks ICE.
    #[cold]
    pub(crate) fn handle_stun(
        &mut self,
        now: Instant,
        ingress: Ingress,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let Ingress { socket, source } = ingress;
        let endpoint = self.flows.endpoint(socket);
        let member = endpoint.and_then(|it| it.rare().ice.as_ref());
        let (name, base) = member
            .map(|it| (it.agent, it.base))
            .ok_or(DropReason::Unchecked)?;
        let component = self.agents.all.get_mut(&name);
        let agent = &mut component.ok_or(DropReason::Unchecked)?.agent;
        let received = agent.handle_packet(now, base, source, datagram);
        if agent.knows(base, source)
            && let Some(endpoint) = self.flows.open(socket)
        {
            endpoint.note_known(source);
        }
        self.follow_agent(now, name);
        match received {
            Received::Taken => Ok(()),
            Received::Refused => Err(DropReason::Unchecked),
        }
    }

    /// Sends the checks that are due.
    pub(crate) fn check_peers(&mut self, now: Instant) {
        while let Some((at, name)) = self.agents.due.first().copied()
            && at <= now
        {
            self.agents.due.pop_first();
            if let Some(component) = self.agents.all.get_mut(&name) {
                component.due = None;
                component.agent.handle_timeout(now);
                self.follow_agent(now, name);
            }
        }
    }

    /// Does what an agent wants done.
    fn follow_agent(&mut self, now: Instant, name: SocketId) {
        let Some(component) = self.agents.all.get_mut(&name) else {
            return;
        };
        let selected = component.agent.poll_selected();
        while let Some(sent) = self
            .agents
            .all
            .get_mut(&name)
            .and_then(|it| it.agent.poll_transmit())
        {
            let socket = self.agents.all[&name].bases[sent.base];
            let egress = Egress {
                socket,
                destination: sent.destination,
            };
            self.agents.send(Transmit::new(egress, sent.bytes));
        }
        self.agents.schedule(name);
        if selected.is_some() {
            self.agents.selections += 1;
            self.elect(now, name);
            self.let_rtcp_go_on(now, name);
        }
    }

    /// Sends to the peer where its agent says, and that from the right endpoint.
    pub(crate) fn elect(&mut self, now: Instant, name: SocketId) {
        let Some(component) = self.agents.all.get_mut(&name) else {
            return;
        };
        let Some(selected) = component.agent.selected() else {
            return;
        };
        let call = component.call;
        let socket = component.bases[selected.base];
        let before = std::mem::replace(&mut component.elected, socket);
        self.take_call_out(now, call);
        if let Some(endpoint) = self.flows.open(socket) {
            endpoint.note_known(selected.remote);
            endpoint.latch.elect(now, selected.remote);
        }
        self.redirect(call, before, socket);
        self.begin_handshake(name);
    }

    /// Signalling has said something of an endpoint's peer: what its agent has found out counts
    /// more.
    pub(crate) fn elect_again(&mut self, now: Instant, socket: SocketId) {
        let endpoint = self.flows.endpoint(socket);
        let member = endpoint.and_then(|it| it.rare().ice.as_ref());
        if let Some(name) = member.map(|it| it.agent) {
            self.elect(now, name);
        }
    }

    /// Packets of a call that leave through one socket leave through another.
    fn redirect(&mut self, call: CallKey, from: SocketId, to: SocketId) {
        if from == to {
            return;
        }
        self.follow_keys(call, to);
        let Some(call) = self.calls.get(call) else {
            return;
        };
        for socket in &call.endpoints {
            let Some(endpoint) = self.flows.open(*socket) else {
                continue;
            };
            for leaves in [&mut endpoint.rtp, &mut endpoint.rtcp] {
                if *leaves == Some(from) {
                    *leaves = Some(to);
                }
            }
            let rare = endpoint.rare_if(false);
            if let Some(rare) = rare.filter(|it| it.muted_for == Some(from)) {
                rare.muted_for = Some(to);
            }
        }
    }
}

impl crate::endpoint::Endpoint {
    fn note_known(&mut self, source: SocketAddr) {
        let member = self.rare_if(false).and_then(|it| it.ice.as_mut());
        if let Some(member) = member.filter(|it| !it.knows(source)) {
            if member.known.len() == KNOWN_MAX {
                member.known.remove(0);
            }
            member.known.push(source);
        }
    }
}

fn named(credentials: &IceCredentials) -> Credentials {
    Credentials::new(&*credentials.user, &*credentials.password)
}

fn sum(one: Counters, other: Counters) -> Counters {
    Counters {
        checks_sent: one.checks_sent + other.checks_sent,
        checks_answered: one.checks_answered + other.checks_answered,
        refused: one.refused + other.refused,
        pairs_evicted: one.pairs_evicted + other.pairs_evicted,
        pairs_refused: one.pairs_refused + other.pairs_refused,
    }
}

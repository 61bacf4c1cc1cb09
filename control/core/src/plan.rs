//! What the relay is to do for a call, and the commands that lead there from what it does now.
//!
//! A [`Plan`] follows from a [`CallState`] alone. So a change of a call, its first installation,
//! its installation anew in a relay that was restarted, and the way back after half of a request
//! failed are all the same thing: the difference between two plans.

use std::net::SocketAddr;

use relay_wire::{
    CallKey, Command, Dtls, DtlsRole, EndpointCrypto, Filter, Ice, Learning, OnRtcp, Port, Route,
    Sink, SourceRules, Transcoding,
};

use crate::call::{CallState, Leg, Stream};
use crate::codecs::Exchange;
use crate::echo::Reflection;
use crate::links::rtcp_of;
use crate::reporting;
use crate::seals::Seals;
use crate::srtp::Agreed;
use crate::treatment::filter_of;

/// What the relay is to do for a call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Plan {
    /// The call is there.
    pub(crate) exists: bool,
    pub(crate) media_timeout_ms: u32,
    pub(crate) first_packet_timeout_ms: u32,
    /// In order of their ports.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// One port of the relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) port: Port,
    /// `None`: nothing was said about it yet.
    pub(crate) remote: Option<(Option<SocketAddr>, Learning)>,
    pub(crate) rules: SourceRules,
    /// What it was opened with; that does not change.
    pub(crate) tos: Option<u8>,
    /// What becomes of RTCP.
    pub(crate) rtcp: OnRtcp,
    pub(crate) egress: Egress,
    /// What becomes of RTP before it leaves.
    pub(crate) transcoding: Option<Transcoding>,
    /// What becomes of single packets.
    pub(crate) filter: Option<Filter>,
    /// Who else gets what arrives.
    pub(crate) sinks: Vec<Sink>,
    /// What packets are decrypted and encrypted with. `None`: they are as they are.
    pub(crate) keys: Option<Box<Agreed>>,
    /// How keys are agreed on by a handshake.
    pub(crate) dtls: Option<Box<Dtls>>,
    /// How the peer is found by ICE.
    pub(crate) ice: Option<Box<Ice>>,
}

/// Where packets that arrive at a port leave.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Egress {
    pub(crate) rtp: Option<Port>,
    rtcp: Option<Port>,
}

/// What holds for all calls: how long they may be silent, and more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// When media flows.
    pub(crate) media_ms: u32,
    /// When all media is on hold.
    pub(crate) held_ms: u32,
    /// When nothing was ever heard.
    pub(crate) first_packet_ms: u32,
    /// Somebody wants to hear of keys.
    pub(crate) tells_keys: bool,
}

impl Plan {
    /// What a call needs.
    pub(crate) fn of(state: &CallState, terms: Terms) -> Self {
        let streams = state.legs.iter().map(|leg| leg.streams.len());
        let mut endpoints = Vec::with_capacity(2 * streams.sum::<usize>());
        let seals = Seals::of(state, terms.tells_keys);
        for leg in &state.legs {
            let peer = state.listener(leg).filter(|_| !leg.is_diverted());
            for index in 0..leg.streams.len() {
                let new = endpoints.len();
                endpoints_of((state, leg), peer, (index, terms), &mut endpoints);
                let dtls = leg.streams[index].handshake.agreed();
                if let Some(dtls) = dtls {
                    shake_hands(&mut endpoints[new..], &leg.streams[index], dtls);
                } else if seals.has(index) {
                    let keys = leg.streams[index].keys();
                    for endpoint in &mut endpoints[new..] {
                        endpoint.keys = keys.cloned().map(Box::new);
                    }
                }
            }
        }
        endpoints.sort_by_key(|endpoint| endpoint.port);
        reporting::decide(state, &mut endpoints);
        // Nobody need send anything while the phone rings; the offer's own time-out stands for it.
        let (media_timeout_ms, first_packet_timeout_ms) =
            match (state.is_confirmed, state.is_held()) {
                (false, _) => (0, 0),
                (true, false) => (terms.media_ms, terms.first_packet_ms),
                (true, true) => (terms.held_ms, 0),
            };
        Self {
            exists: true,
            media_timeout_ms,
            first_packet_timeout_ms,
            endpoints,
        }
    }

    /// The commands that lead from this plan to another, which leaves `record` with the call.
    ///
    /// What flows in between has the keys that it has in the one or in the other: what ends goes
    /// first, then keys change, all at once, and then comes what begins. Keys that one endpoint has
    /// and another has not yet would let something out in clear. Handshakes that begin have an
    /// endpoint wait for keys before it loses its own, and those that end do so when it has others.
    pub(crate) fn commands_to(&self, next: &Self, call: CallKey, record: Vec<u8>) -> Vec<Command> {
        // Three at most for most endpoints that are new.
        let mut commands = Vec::with_capacity(3 * next.endpoints.len() + 3);
        commands.push(if self.exists {
            Command::SetRecord { call, record }
        } else {
            Command::CreateCall {
                call,
                media_timeout_ms: next.media_timeout_ms,
                record,
            }
        });
        if self.exists && self.media_timeout_ms != next.media_timeout_ms {
            commands.push(Command::SetMediaTimeout {
                call,
                media_timeout_ms: next.media_timeout_ms,
            });
        }
        if self.first_packet_timeout_ms != next.first_packet_timeout_ms {
            commands.push(Command::SetFirstPacketTimeout {
                call,
                first_packet_timeout_ms: next.first_packet_timeout_ms,
            });
        }
        let gone = self.endpoints.iter().map(|endpoint| endpoint.port);
        commands.extend(
            gone.filter(|port| next.endpoint(*port).is_none())
                .map(|port| Command::CloseEndpoint { call, port }),
        );
        let endpoints = self.keys_to(next);
        let changes = !endpoints.is_empty() || self.shakes_otherwise(next);
        let rest = changes.then(|| self.without_what_ends(next));
        if let Some(rest) = &rest {
            self.push_flows(rest, call, &mut commands);
        }
        let stands = rest.as_ref().unwrap_or(self);
        for endpoint in &next.endpoints {
            stands.push_opening(endpoint, call, &mut commands);
            if !endpoint.is_secret() {
                stands.push_remote(endpoint, call, &mut commands);
            }
        }
        for endpoint in next.endpoints.iter().filter(|it| it.dtls.is_some()) {
            stands.push_dtls(endpoint, call, &mut commands);
        }
        if !endpoints.is_empty() {
            commands.push(Command::SetCrypto { call, endpoints });
        }
        for endpoint in next.endpoints.iter().filter(|it| it.dtls.is_none()) {
            stands.push_dtls(endpoint, call, &mut commands);
        }
        // Nobody is learnt there without keys.
        for endpoint in next.endpoints.iter().filter(|it| it.is_secret()) {
            stands.push_remote(endpoint, call, &mut commands);
        }
        // What is given up first: another may take it.
        for is_there in [false, true] {
            let endpoints = next.endpoints.iter();
            for endpoint in endpoints.filter(|it| it.ice.is_some() == is_there) {
                stands.push_ice(endpoint, call, &mut commands);
            }
        }
        stands.push_flows(next, call, &mut commands);
        commands
    }

    /// Whether handshakes are others in another plan.
    fn shakes_otherwise(&self, next: &Self) -> bool {
        let before = |it: &Endpoint| self.endpoint(it.port).and_then(|it| it.dtls.as_ref());
        let mut endpoints = next.endpoints.iter();
        endpoints.any(|it| before(it) != it.dtls.as_ref())
    }

    /// Keys that are others in another plan.
    fn keys_to(&self, next: &Self) -> Vec<EndpointCrypto> {
        let before = |it: &Endpoint| self.endpoint(it.port).and_then(|it| it.keys.as_ref());
        let endpoints = next.endpoints.iter();
        let changed = endpoints.filter(|it| before(it) != it.keys.as_ref());
        let crypto = changed.map(|it| {
            let keys = it.keys.as_deref().cloned();
            let (receive, send) = keys.map(|it| (it.receive, it.send)).unzip();
            EndpointCrypto {
                port: it.port,
                receive,
                send,
            }
        });
        crypto.collect()
    }

    /// What goes on in another plan, of what flows in this one.
    fn without_what_ends(&self, next: &Self) -> Self {
        let endpoints = self.endpoints.iter();
        let kept = endpoints.filter_map(|it| Some(it.without_what_ends(next.endpoint(it.port)?)));
        Self {
            endpoints: kept.collect(),
            ..*self
        }
    }

    fn push_flows(&self, next: &Self, call: CallKey, commands: &mut Vec<Command>) {
        for endpoint in &next.endpoints {
            self.push_egress(endpoint, call, commands);
            self.push_rtcp(endpoint, call, commands);
        }
        for endpoint in &next.endpoints {
            self.push_transcoding(endpoint, call, commands);
            self.push_filter(endpoint, call, commands);
            self.push_sinks(endpoint, call, commands);
        }
    }

    fn push_opening(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let Endpoint { port, tos, .. } = *endpoint;
        if self.endpoint(port).is_none() {
            commands.push(Command::OpenEndpoint { call, port, tos });
        }
    }

    fn push_remote(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let port = endpoint.port;
        let before = self.endpoint(port);
        // First, so that nothing is learnt by other rules.
        if before.map(|before| before.rules).unwrap_or_default() != endpoint.rules {
            commands.push(Command::SetSourceRules {
                call,
                port,
                rules: endpoint.rules,
            });
        }
        // An endpoint begins with what is default, so that need not be said of a new one.
        let said = before.and_then(|before| before.remote).unwrap_or_default();
        if let Some((remote, learning)) = endpoint.remote
            && said != (remote, learning)
        {
            commands.push(Command::SetRemote {
                call,
                port,
                remote,
                learning,
            });
        }
    }

    fn push_egress(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let before = self.endpoint(endpoint.port);
        if before.map(|before| before.egress).unwrap_or_default() != endpoint.egress {
            commands.push(Command::Connect {
                call,
                ingress: endpoint.port,
                rtp: endpoint.egress.rtp,
                rtcp: endpoint.egress.rtcp,
            });
        }
    }

    fn push_ice(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let Endpoint { port, ref ice, .. } = *endpoint;
        let before = self.endpoint(port).and_then(|before| before.ice.as_ref());
        if before != ice.as_ref() {
            let ice = ice.as_deref().cloned();
            commands.push(Command::SetIce { call, port, ice });
        }
    }

    fn push_dtls(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let Endpoint { port, ref dtls, .. } = *endpoint;
        let before = self.endpoint(port).and_then(|before| before.dtls.as_ref());
        if before != dtls.as_ref() {
            let dtls = dtls.as_deref().cloned();
            commands.push(Command::SetDtls { call, port, dtls });
        }
    }

    fn push_rtcp(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let Endpoint { port, rtcp, .. } = *endpoint;
        let before = self.endpoint(port).map(|before| before.rtcp);
        if before.unwrap_or_default() != rtcp {
            commands.push(Command::SetRtcp { call, port, rtcp });
        }
    }

    fn push_transcoding(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let before = self.endpoint(endpoint.port);
        let stands = before.and_then(|before| before.transcoding.as_ref());
        if stands != endpoint.transcoding.as_ref() {
            commands.push(Command::SetTranscoding {
                call,
                ingress: endpoint.port,
                transcoding: endpoint.transcoding.clone(),
            });
        }
    }

    fn push_filter(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let before = self.endpoint(endpoint.port);
        let stands = before.and_then(|before| before.filter.as_ref());
        if stands != endpoint.filter.as_ref() {
            commands.push(Command::SetFilter {
                call,
                ingress: endpoint.port,
                filter: endpoint.filter.clone(),
            });
        }
    }

    fn push_sinks(&self, endpoint: &Endpoint, call: CallKey, commands: &mut Vec<Command>) {
        let before = self.endpoint(endpoint.port);
        if before.map_or(&[][..], |before| &before.sinks) != endpoint.sinks {
            commands.push(Command::SetSinks {
                call,
                ingress: endpoint.port,
                sinks: endpoint.sinks.clone(),
            });
        }
    }

    /// Makes this plan say what a command did that the relay has carried out.
    pub(crate) fn apply(&mut self, command: &Command) {
        match *command {
            Command::CreateCall {
                media_timeout_ms, ..
            } => {
                self.exists = true;
                self.media_timeout_ms = media_timeout_ms;
            }
            Command::RemoveCall { .. } => *self = Self::default(),
            Command::SetMediaTimeout {
                media_timeout_ms, ..
            } => self.media_timeout_ms = media_timeout_ms,
            Command::SetFirstPacketTimeout {
                first_packet_timeout_ms,
                ..
            } => self.first_packet_timeout_ms = first_packet_timeout_ms,
            Command::OpenEndpoint { port, tos, .. } => {
                let at = self.endpoints.partition_point(|other| other.port < port);
                self.endpoints.insert(at, Endpoint::new(port, tos));
            }
            Command::CloseEndpoint { port, .. } => {
                self.endpoints.retain(|endpoint| endpoint.port != port);
                for endpoint in &mut self.endpoints {
                    endpoint.egress.forget(port);
                    endpoint
                        .ice
                        .take_if(|it| it.bases.iter().any(|it| it.port == port));
                }
            }
            Command::SetRemote {
                port,
                remote,
                learning,
                ..
            } => self.change(port, |endpoint| endpoint.remote = Some((remote, learning))),
            Command::SetSourceRules { port, rules, .. } => {
                self.change(port, |endpoint| endpoint.rules = rules);
            }
            Command::SetIce { port, ref ice, .. } => {
                self.change(port, |endpoint| endpoint.ice = ice.clone().map(Box::new));
            }
            Command::SetDtls { port, ref dtls, .. } => {
                self.change(port, |endpoint| endpoint.dtls = dtls.clone().map(Box::new));
            }
            Command::SetRtcp { port, rtcp, .. } => {
                self.change(port, |endpoint| endpoint.rtcp = rtcp);
            }
            Command::Connect {
                ingress, rtp, rtcp, ..
            } => self.change(ingress, |endpoint| endpoint.egress = Egress { rtp, rtcp }),
            Command::SetTranscoding {
                ingress,
                ref transcoding,
                ..
            } => self.change(ingress, |endpoint| {
                endpoint.transcoding.clone_from(transcoding);
            }),
            Command::SetFilter {
                ingress,
                ref filter,
                ..
            } => self.change(ingress, |endpoint| endpoint.filter.clone_from(filter)),
            Command::SetSinks {
                ingress, ref sinks, ..
            } => self.change(ingress, |endpoint| endpoint.sinks.clone_from(sinks)),
            Command::SetCrypto { ref endpoints, .. } => {
                for it in endpoints {
                    let keys = it.receive.clone().zip(it.send.clone());
                    let keys = keys.map(|(receive, send)| Box::new(Agreed { receive, send }));
                    self.change(it.port, |endpoint| endpoint.keys = keys);
                }
            }
            Command::ListCalls { .. }
            | Command::Play { .. }
            | Command::QueryCall { .. }
            | Command::QueryWorker
            | Command::SetRecord { .. }
            | Command::StopPlaying { .. }
            | Command::TellReports { .. } => {}
        }
    }

    fn endpoint(&self, port: Port) -> Option<&Endpoint> {
        let at = self
            .endpoints
            .binary_search_by_key(&port, |endpoint| endpoint.port)
            .ok()?;
        self.endpoints.get(at)
    }

    fn change(&mut self, port: Port, change: impl FnOnce(&mut Endpoint)) {
        let mut endpoints = self.endpoints.iter_mut();
        if let Some(endpoint) = endpoints.find(|endpoint| endpoint.port == port) {
            change(endpoint);
        }
    }
}

impl Endpoint {
    fn new(port: Port, tos: Option<u8>) -> Self {
        Self {
            port,
            tos,
            rtcp: OnRtcp::Pass,
            remote: None,
            rules: SourceRules::default(),
            egress: Egress::default(),
            transcoding: None,
            filter: None,
            sinks: Vec::new(),
            keys: None,
            dtls: None,
            ice: None,
        }
    }

    /// What arrives is encrypted.
    fn is_secret(&self) -> bool {
        self.keys.is_some() || self.dtls.is_some()
    }

    /// What goes on, of what flows from here.
    fn without_what_ends(&self, next: &Self) -> Self {
        let sinks = self.sinks.iter().filter(|it| next.sinks.contains(it));
        Self {
            egress: Egress {
                rtp: self.egress.rtp.filter(|it| next.egress.rtp == Some(*it)),
                rtcp: self.egress.rtcp.filter(|it| next.egress.rtcp == Some(*it)),
            },
            rtcp: match next.rtcp {
                OnRtcp::Pass => OnRtcp::Pass,
                _ => self.rtcp,
            },
            transcoding: self
                .transcoding
                .clone()
                .filter(|_| next.transcoding.is_some()),
            sinks: sinks.copied().collect(),
            ..self.clone()
        }
    }
}

impl Egress {
    /// The relay ends flows to a port that is closed.
    fn forget(&mut self, port: Port) {
        self.rtp = self.rtp.filter(|egress| *egress != port);
        self.rtcp = self.rtcp.filter(|egress| *egress != port);
    }
}

/// Has the endpoints of a stream shake hands: each by itself, but for those that ICE makes one, of
/// which the first does so for all. Ports that were told before begin nothing.
fn shake_hands(endpoints: &mut [Endpoint], stream: &Stream, dtls: &Dtls) {
    let is_former = |it: Port| {
        let mut former = stream.former.iter();
        former.any(|former| it.number.wrapping_sub(former.port) <= 1)
    };
    let ices = endpoints.iter().filter_map(|it| it.ice.as_ref());
    let others = ices.flat_map(|it| it.bases.iter().skip(1));
    let others: Vec<_> = others.map(|base| base.port).collect();
    for endpoint in endpoints {
        if !others.contains(&endpoint.port) {
            let role = if is_former(endpoint.port) {
                DtlsRole::Passive
            } else {
                dtls.role
            };
            let dtls = dtls.clone();
            endpoint.dtls = Some(Box::new(Dtls { role, ..dtls }));
        }
    }
}

/// Adds the one or two endpoints of a stream.
fn endpoints_of(
    (state, leg): (&CallState, &Leg),
    peer: Option<&Leg>,
    (index, terms): (usize, Terms),
    endpoints: &mut Vec<Endpoint>,
) {
    let (Some(stream), Some(port)) = (leg.streams.get(index), leg.port(index)) else {
        return;
    };
    // Where nobody need prove anything, nobody is learnt before the other side can say so.
    let learning = if stream.source_rules.forwards_others && !state.is_answered() {
        Learning::Off
    } else {
        stream.learning
    };
    let peer = peer.filter(|_| stream.reflection == Reflection::None);
    let mut egress = egress_of(stream, peer, index);
    let heard_by = peer.filter(|_| egress.rtp.is_some());
    let transcoding = transcoding_of((state, leg), heard_by, index);
    // Where another stream is made for others, the peer is one of those who get it as it comes.
    let is_others = transcoding.is_some()
        && heard_by.is_some_and(|peer| routes_to(state, leg, peer, index).is_empty());
    if is_others {
        egress = Egress::default();
    }
    let sinks = match stream.reflection {
        Reflection::None => leg.sinks(index, transcoding.as_ref(), is_others),
        _ => Vec::new(),
    };
    let is_heard = heard_by.is_some() || !sinks.is_empty();
    let filter = filter_of(state, (leg, heard_by), index, terms.tells_keys);
    endpoints.push(Endpoint {
        port,
        remote: Some((stream.remote.map(SocketAddr::from), learning)),
        rules: stream.source_rules,
        tos: stream.tos,
        rtcp: OnRtcp::Pass,
        egress,
        transcoding,
        filter: filter.filter(|_| is_heard),
        sinks: sinks.clone(),
        keys: None,
        dtls: None,
        ice: ice_of(stream, 1, port),
    });
    if stream.reflection == Reflection::Echo
        && let Some(endpoint) = endpoints.last_mut()
    {
        endpoint.egress.rtp = Some(port);
    }
    let rtcp_port = stream.rtcp_port().filter(|number| *number != port.number);
    if let Some(number) = rtcp_port {
        endpoints.push(Endpoint {
            port: Port { number, ..port },
            remote: Some((stream.remote_rtcp.map(SocketAddr::from), learning)),
            rules: stream.source_rules,
            tos: stream.tos,
            rtcp: OnRtcp::Pass,
            egress: Egress {
                rtp: None,
                rtcp: egress.rtcp,
            },
            transcoding: None,
            filter: None,
            sinks: sinks
                .into_iter()
                .map(|it| Sink { rtp: None, ..it })
                .collect(),
            keys: None,
            dtls: None,
            ice: ice_of(stream, 2, port),
        });
    }
    push_former(stream, port, endpoints);
    push_bases(stream, port, endpoints);
}

/// Whether ICE decides where the party is. Who talked without it up to now goes on until it has
/// answered that it speaks it.
fn has_ice(stream: &Stream) -> bool {
    stream.ice.is_on && (stream.ice.peer.is_some() || stream.remote.is_none())
}

fn ice_of(stream: &Stream, component: u8, port: Port) -> Option<Box<Ice>> {
    let ice = has_ice(stream).then_some(&stream.ice)?;
    ice.component(component, port, stream.was_offered)
}

/// The party may come from another address of the relay's, and then what it sends is treated like
/// the rest. Flows to it go to the stream's own ports: the relay knows better.
fn push_bases(stream: &Stream, port: Port, endpoints: &mut Vec<Endpoint>) {
    if !has_ice(stream) {
        return;
    }
    let new = endpoints.iter().rposition(|it| it.port == port);
    let new = new.unwrap_or(endpoints.len())..endpoints.len();
    for other in stream.ice.others() {
        let moved = |it: Port| {
            let above = it.number.wrapping_sub(port.number);
            let is_own = it.interface == port.interface && above <= 1;
            let number = other.number.wrapping_add(above);
            is_own.then_some(Port { number, ..*other })
        };
        for at in new.clone() {
            let endpoint = endpoints[at].clone();
            let Some(port) = moved(endpoint.port) else {
                continue;
            };
            let transcoding = endpoint.transcoding.map(|it| Transcoding {
                rtcp: it.rtcp.map(|it| moved(it).unwrap_or(it)),
                ..it
            });
            endpoints.push(Endpoint {
                port,
                remote: Some((None, stream.learning)),
                transcoding,
                ice: None,
                ..endpoint
            });
        }
    }
}

/// What arrives at ports that the party was told of before goes where the rest goes, and is kept
/// back like the rest; only codecs have nothing to do with it.
fn push_former(stream: &Stream, port: Port, endpoints: &mut Vec<Endpoint>) {
    let new = endpoints.iter().rposition(|it| it.port == port);
    let new = new.unwrap_or(endpoints.len())..endpoints.len();
    for former in stream.former.iter() {
        for at in new.clone() {
            let endpoint = endpoints[at].clone();
            let passes = endpoint.transcoding.is_none();
            let sinks = endpoint.sinks.iter().filter(|it| !it.is_remade);
            let sinks = sinks.copied().collect();
            let above = endpoint.port.number.saturating_sub(port.number);
            let number = former.port.saturating_add(above);
            endpoints.push(Endpoint {
                port: Port { number, ..port },
                egress: Some(endpoint.egress).filter(|_| passes).unwrap_or_default(),
                transcoding: None,
                sinks,
                ice: None,
                ..endpoint
            });
        }
    }
}

fn transcoding_of(
    (state, leg): (&CallState, &Leg),
    peer: Option<&Leg>,
    index: usize,
) -> Option<Transcoding> {
    let routes = peer.map(|peer| routes_to(state, leg, peer, index));
    let routes = routes.filter(|it| !it.is_empty());
    let stream = leg.streams.get(index)?;
    let is_heard = stream.reflection == Reflection::None;
    let for_others = || if is_heard { leg.routes(index) } else { &[] };
    let routes = routes.unwrap_or_else(for_others);
    let rtcp = stream.rtcp_port();
    (!routes.is_empty()).then(|| Transcoding {
        routes: routes.to_vec(),
        rtcp: rtcp.map(|number| Port {
            interface: leg.interface,
            number,
        }),
    })
}

fn routes_to<'a>(state: &'a CallState, leg: &Leg, peer: &Leg, index: usize) -> &'a [Route] {
    Exchange::routes(state, index, leg.id, peer.id)
}

fn egress_of(stream: &Stream, peer: Option<&Leg>, index: usize) -> Egress {
    let to = peer.and_then(|peer| Some((peer.streams.get(index)?, peer.port(index)?)));
    // What one party encrypts and the other does not understand is noise to it, or no secret any more.
    let is_understood = |to: &Stream| stream.is_opaque() == to.is_opaque();
    let flows = |to: &Stream| stream.is_active && to.is_active && is_understood(to);
    let Some((to, port)) = to.filter(|(to, _)| flows(to)) else {
        return Egress::default();
    };
    Egress {
        rtp: Some(port),
        rtcp: rtcp_of(to).map(|number| Port { number, ..port }),
    }
}

#[cfg(test)]
mod tests;

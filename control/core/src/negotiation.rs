//! Offers and answers: what becomes of a call, and of the SDP.
//!
//! An offer is the offerer's word to the receiver, an answer the answerer's word to the offerer.
//! Either way the sender's leg learns where its party wants media, and the SDP goes on with the
//! ports that face the other party.

use std::borrow::Cow;
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use control_ng::{
    AddressFamily, DtmfSecurity, EndpointLearning, Flag, Flags, Ice, KeyPolicy, MediaKind,
    Negotiation, Replace, RtcpMux, Support, Words,
};
use rand::RngExt;
use rand::rngs::StdRng;
use relay_wire::{Handover, Interface, InterfaceId, Learning, Port, SourceRules, WorkerId};
use rustc_hash::FxHasher;

use crate::call::{self, ALIASES_MAX, CallState, Client, LEGS_MAX, Leg, LegId, Origin, Stream};
use crate::codecs::{Passage, Payload, Transcode, Wishes};
use crate::control::{Now, policy_of_keys};
use crate::echo::Reflection;
use crate::ports::Ports;
use crate::profile;
use crate::sdp::{
    Direction, Manipulation, Media, OriginChange, Rewrite, RtcpAttribute, Sdp, SdpError, Section,
    Transport, rewrite,
};

mod alias;
mod moves;

/// Why there is no new SDP. Displayed, it is the `error-reason`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The tags name no parties that talk to one another.
    #[error("Invalid dialogue association")]
    Dialogue,
    /// No port is left.
    #[error("Ran out of ports")]
    OutOfPorts,
    /// The SDP is none.
    #[error("Failed to parse SDP")]
    Sdp(#[from] SdpError),
    /// The call has too many parties already.
    #[error("Too many branches")]
    TooManyLegs,
    /// There is no such call.
    #[error("Unknown call-id")]
    UnknownCall,
}

/// What holds for all negotiations.
#[derive(Debug)]
pub(crate) struct Policy {
    learning: Learning,
    /// Media goes on wherever it comes from ([`SourceRules::forwards_others`]).
    forwards_others: bool,
    /// Other names of interfaces, and the names that they stand for.
    aliases: Vec<(String, String)>,
    /// By which we know descriptions that have passed us before.
    loop_mark: String,
}

impl Policy {
    pub(crate) fn new(learning: Learning, mark: u64) -> Self {
        Self {
            learning,
            forwards_others: false,
            aliases: Vec::new(),
            loop_mark: format!("{:012x}", mark & 0xffff_ffff_ffff),
        }
    }

    pub(crate) fn forward_others(&mut self) {
        self.forwards_others = true;
    }

    pub(crate) fn add_alias(&mut self, alias: &str, name: &str) {
        self.aliases.push((alias.to_owned(), name.to_owned()));
    }

    /// The name of the interface that is called so.
    fn interface_name<'n>(&'n self, name: &'n [u8]) -> &'n [u8] {
        let mut aliases = self.aliases.iter();
        let found = aliases.find(|(alias, _)| alias.as_bytes() == name);
        found.map_or(name, |(_, name)| name.as_bytes())
    }
}

/// What a negotiation needs of its surroundings.
#[derive(Debug)]
pub(crate) struct Negotiator<'a> {
    pub(crate) now: Now,
    pub(crate) client: Client,
    pub(crate) worker: WorkerId,
    pub(crate) interfaces: &'a [Interface],
    pub(crate) policy: &'a Policy,
    pub(crate) ports: &'a mut Ports,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) transcode: Transcode,
    /// The relay has too much to do: what can be done without codecs is to be.
    pub(crate) spares_codecs: bool,
}

impl Negotiator<'_> {
    /// Carries an offer out on a call, which is new if it has no legs, and returns the SDP for
    /// the receiver. After an error the state is not to be used, but ports in it are taken.
    pub(crate) fn offer(
        &mut self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let sdp = Sdp::parse(offer.sdp)?;
        let offerer = self.offerer(state, offer, &sdp)?;
        alias::note(state, offerer, alias::key(offer, &sdp));
        let receiver = self.receiver(state, offer, &sdp, offerer)?;
        note_payloads(state, &sdp, offerer);
        block_keys(state, offer, offerer, self.rng.random());
        let wishes = Wishes::new(offer);
        let whole = completed(state, offerer, offer.sdp);
        hide(state, receiver, offer, &whole)?;
        let text = self
            .passage(&wishes, offerer, receiver)
            .offer(state, &whole);
        let sdp = Sdp::parse(&text)?;
        let sections = self.offer_sections(state, offer, &sdp, (offerer, receiver))?;
        state.last_signal_unix_ms = self.now.unix_ms;
        state.delete_at_unix_ms = None;
        if offer.supports.has(Support::Events) {
            state.subscriber = Some(self.client);
        }
        self.write(state, offer, &sdp, receiver, &sections)
    }

    /// Carries an answer out on a call and returns the SDP for the offerer.
    pub(crate) fn answer(
        &mut self,
        state: &mut CallState,
        answer: &Negotiation<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let offerer = state.leg_by_tag(answer.from_tag).ok_or(Refusal::Dialogue)?;
        let offerer = offerer.id;
        let answerer = answerer(state, answer, offerer).ok_or(Refusal::Dialogue)?;
        associate(state, offerer, answerer);
        if let (Some(label), Some(leg)) = (answer.label, state.leg_mut(answerer)) {
            leg.label = Some(label.to_vec());
        }
        note_payloads(state, &Sdp::parse(answer.sdp)?, answerer);
        block_keys(state, answer, answerer, self.rng.random());
        let wishes = Wishes::new(answer);
        let whole = completed(state, answerer, answer.sdp);
        let text = self
            .passage(&wishes, answerer, offerer)
            .answer(state, &whole);
        let sdp = Sdp::parse(&text)?;
        alias::note(state, answerer, alias::key(answer, &sdp));
        let sections = self.answer_sections(state, answer, &sdp, (offerer, answerer))?;
        state.last_signal_unix_ms = self.now.unix_ms;
        state.delete_at_unix_ms = None;
        if !answer.flags.has(Flag::Provisional) {
            state.is_confirmed = true;
            state.offer_deadline_unix_ms = None;
        }
        self.write(state, answer, &sdp, offerer, &sections)
    }

    fn passage<'w>(&self, wishes: &'w Wishes, sender: LegId, receiver: LegId) -> Passage<'w> {
        Passage {
            transcode: self.transcode,
            wishes,
            sender,
            receiver,
            spares: self.spares_codecs,
        }
    }

    /// The leg of who made the offer.
    fn offerer(
        &self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
    ) -> Result<LegId, Refusal> {
        if let Some(leg) = state.leg_by_tag(offer.from_tag) {
            return Ok(leg.id);
        }
        if let Some(id) = alias::back(state, alias::key(offer, sdp), offer.from_tag) {
            return Ok(id);
        }
        // A callee that has not answered in SDP yet, and now offers (RFC 3311).
        let known = offer.to_tag.and_then(|tag| state.leg_by_tag(tag));
        let silent = known.and_then(|leg| {
            let mut callees = state.legs_towards(leg.id);
            callees.find(|callee| callee.tags.is_empty())
        });
        let id = match silent.map(|leg| leg.id) {
            Some(id) => id,
            None => {
                let family = sdp_family(sdp);
                let name = offer.direction.map(|[from, _]| from);
                self.add_leg(state, name, family)?
            }
        };
        let leg = state.leg_mut(id).ok_or(Refusal::Dialogue)?;
        leg.add_tag(offer.from_tag);
        if let Some(label) = offer.label {
            leg.label = Some(label.to_vec());
        }
        Ok(id)
    }

    /// The leg that the offer is for.
    fn receiver(
        &self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        offerer: LegId,
    ) -> Result<LegId, Refusal> {
        let known = receiver(state, offer, offerer);
        if known == Some(offerer) {
            return Err(Refusal::Dialogue);
        }
        let id = match known {
            Some(id) => id,
            None => {
                let name = offer.direction.map(|[_, to]| to);
                let family = match offer.address_family {
                    Some(family) => Some(family == AddressFamily::Ip6),
                    None => sdp_family(sdp),
                };
                self.add_leg(state, name, family)?
            }
        };
        let leg = state.leg_mut(id).ok_or(Refusal::Dialogue)?;
        leg.peer = Some(offerer);
        if let Some(tag) = offer.to_tag
            && leg.tags.is_empty()
        {
            leg.add_tag(tag);
        }
        if leg.via_branch.is_none() && leg.tags.is_empty() {
            leg.via_branch = offer.via_branch.map(<[u8]>::to_vec);
        }
        let offerer = state.leg_mut(offerer).ok_or(Refusal::Dialogue)?;
        // A further fork must not cut off the one that has answered, before it answers itself.
        if !offerer.is_settled || offerer.peer.is_none() || offer.to_tag.is_some() {
            offerer.peer = Some(id);
        }
        Ok(id)
    }

    fn add_leg(
        &self,
        state: &mut CallState,
        name: Option<&[u8]>,
        is_ip6: Option<bool>,
    ) -> Result<LegId, Refusal> {
        if state.legs.len() >= LEGS_MAX {
            return Err(Refusal::TooManyLegs);
        }
        let interface = self.interface(name, is_ip6).ok_or(Refusal::OutOfPorts)?;
        Ok(state.add_leg(interface, self.now.unix_ms))
    }

    /// The first interface of the name and family wanted; else the first of the name; else the
    /// first of the family; else the first.
    fn interface(&self, name: Option<&[u8]>, is_ip6: Option<bool>) -> Option<InterfaceId> {
        let name = name.map(|name| self.policy.interface_name(name));
        let is_ip6 = name.and_then(|name| self.family_by_name(name)).or(is_ip6);
        let has_name =
            |interface: &Interface| name.is_some_and(|name| interface.name.as_bytes() == name);
        let has_family = |interface: &Interface| {
            is_ip6.is_none_or(|is_ip6| interface.address.is_ipv6() == is_ip6)
        };
        let rank = |interface: &Interface| match (has_name(interface), has_family(interface)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        let ranked = self.interfaces.iter().enumerate();
        let (index, _) = ranked.min_by_key(|(_, interface)| rank(interface))?;
        u8::try_from(index).ok().map(InterfaceId)
    }

    /// Names that stand for families where no interface has them, as rtpengine knows them from
    /// its own past.
    fn family_by_name(&self, name: &[u8]) -> Option<bool> {
        let mut interfaces = self.interfaces.iter();
        let is_known = interfaces.any(|it| it.name.as_bytes() == name);
        match name {
            b"external" if !is_known => Some(true),
            b"internal" if !is_known => Some(false),
            _ => None,
        }
    }

    fn offer_sections(
        &mut self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        (offerer, receiver): (LegId, LegId),
    ) -> Result<Vec<Section>, Refusal> {
        let mut sections = Vec::with_capacity(sdp.media().len());
        for (index, media) in sdp.media().iter().enumerate() {
            if is_hidden(state, receiver, index) {
                sections.push(Section::Hide);
                continue;
            }
            // It cannot be told of less than before.
            if is_unwanted(offer, sdp, media) {
                sections.push(Section::Refuse);
                continue;
            }
            // What a re-offer gives up goes on until the answer gives it up too.
            if media.port == 0 || media.transport == Transport::Other {
                sections.push(unrelayed(media));
                continue;
            }
            sections.push(self.offered(state, offer, sdp, (offerer, receiver), (index, media))?);
        }
        Ok(sections)
    }

    /// What becomes of a medium that is offered, and of its section.
    fn offered(
        &mut self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        (offerer, receiver): (LegId, LegId),
        (index, media): (usize, &Media),
    ) -> Result<Section, Refusal> {
        self.ensure_port(state, offerer, index, offer.tos)?;
        let is_new = state
            .leg(receiver)
            .is_none_or(|it| it.port(index).is_none());
        self.ensure_port(state, receiver, index, offer.tos)?;
        let port = self.port_told(state, offer, sdp, (offerer, receiver), (index, media))?;
        let mux = Mux::offer(media.has_rtcp_mux(), offer.rtcp_mux);
        let before = state.leg(offerer).and_then(|it| it.streams.get(index));
        let is_same = before.is_some_and(|it| it.protocol == sdp.text(&media.protocol));
        let sender = self.learn(state, offer, sdp, (offerer, index, media));
        let sender = sender.ok_or(Refusal::Dialogue)?;
        sender.rtcp_mux.is_offered = mux.is_offered;
        let [sent, received] = reflections(offer);
        sender.reflection = sent.unwrap_or(sender.reflection);
        let (kind, protocol) = (sender.kind.clone(), sender.protocol.clone());
        let receiver = state.leg_mut(receiver).ok_or(Refusal::Dialogue)?;
        let receiver = receiver.stream_mut(index);
        receiver.kind = kind;
        // What it was told before goes on unless the offerer itself changes.
        let told = Some(&receiver.protocol[..]).filter(|_| is_same && !is_new);
        let feedback = profile::written(&protocol, profile_wanted(offer).or(told));
        receiver.protocol = profile::rewritten(&protocol, feedback);
        receiver.transport = media.transport;
        receiver.rtcp_mux.is_offered = mux.pass_on;
        receiver.rtcp_mux.accept = mux.accept;
        receiver.reflection = received.unwrap_or(receiver.reflection);
        receiver.was_offered |= is_new;
        receiver.is_active = true;
        Ok(Section::Relay {
            port,
            rtcp_port: if mux.is_required { port } else { port + 1 },
            rtcp_mux: mux.pass_on,
            feedback,
        })
    }

    fn answer_sections(
        &mut self,
        state: &mut CallState,
        answer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        (offerer, answerer): (LegId, LegId),
    ) -> Result<Vec<Section>, Refusal> {
        let mut sections = Vec::with_capacity(sdp.media().len());
        for (index, media) in sdp.media().iter().enumerate() {
            if is_hidden(state, offerer, index) {
                sections.push(Section::Hide);
                continue;
            }
            let port = state.leg(offerer).and_then(|leg| leg.port(index));
            if port.is_none() || media.port == 0 {
                refuse(state, index, (offerer, answerer));
                sections.push(unrelayed(media));
                continue;
            }
            sections.push(self.answered(
                state,
                answer,
                sdp,
                (offerer, answerer),
                (index, media),
            )?);
        }
        Ok(sections)
    }

    /// What becomes of a medium that is accepted, and of its section.
    fn answered(
        &mut self,
        state: &mut CallState,
        answer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        (offerer, answerer): (LegId, LegId),
        (index, media): (usize, &Media),
    ) -> Result<Section, Refusal> {
        let port = self.port_told(state, answer, sdp, (answerer, offerer), (index, media))?;
        let sender = self.learn(state, answer, sdp, (answerer, index, media));
        let sender = sender.ok_or(Refusal::Dialogue)?;
        sender.rtcp_mux.is_on = sender.rtcp_mux.is_offered && media.has_rtcp_mux();
        let is_mux = sender.rtcp_mux.is_on || sender.rtcp_mux.accept;
        let is_held = sender.is_held;
        let [sent, received] = reflections(answer);
        sender.reflection = sent.unwrap_or(sender.reflection);
        let receiver = state.leg_mut(offerer).ok_or(Refusal::Dialogue)?;
        let receiver = receiver.stream_mut(index);
        receiver.is_active = true;
        receiver.is_held |= is_held;
        receiver.rtcp_mux.is_on = Mux::answer(receiver.rtcp_mux, is_mux, answer.rtcp_mux);
        receiver.reflection = received.unwrap_or(receiver.reflection);
        // An answer has the profile of the offer.
        let protocol = sdp.text(&media.protocol);
        let wanted = profile_wanted(answer).or(Some(&receiver.protocol));
        let feedback = profile::written(protocol, wanted.filter(|_| !accepts_profile(answer)));
        Ok(Section::Relay {
            port,
            rtcp_port: receiver.rtcp_port().unwrap_or(port),
            rtcp_mux: receiver.rtcp_mux.is_on,
            feedback,
        })
    }

    /// Notes what the sender of an SDP says of one medium.
    fn learn<'s>(
        &self,
        state: &'s mut CallState,
        negotiation: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        (leg, index, media): (LegId, usize, &Media),
    ) -> Option<&'s mut Stream> {
        let leg = state.leg_mut(leg)?;
        let interface = self.interfaces.get(usize::from(leg.interface.0))?;
        let is_ip6 = interface.address.is_ipv6();
        let source = source(negotiation);
        let remote = sdp.remote(media, source);
        let is_zero = sdp.is_zero(media);
        let is_ours = sdp.signalled(media).is_some_and(|it| self.is_ours(it));
        let stream = leg.stream_mut(index);
        stream.kind = sdp.text(&media.kind).to_vec();
        stream.protocol = sdp.text(&media.protocol).to_vec();
        stream.transport = media.transport;
        stream.remote = remote.rtp.filter(|remote| remote.is_ipv6() == is_ip6);
        stream.remote_rtcp = remote.rtcp.filter(|remote| remote.is_ipv6() == is_ip6);
        stream.learning = learning(negotiation, self.policy.learning);
        stream.source_rules = source_rules(negotiation.flags, self.policy.forwards_others);
        stream.source_rules.checks_loops = is_ours;
        stream.direction = sdp.direction(media);
        stream.is_held = is_zero || stream.direction != Direction::SendRecv;
        stream.is_active = true;
        Some(stream)
    }

    /// The port of a stream, taken if it has none; what leaves there then has the type of service
    /// that is asked for.
    fn ensure_port(
        &mut self,
        state: &mut CallState,
        leg: LegId,
        index: usize,
        tos: Option<u8>,
    ) -> Result<u16, Refusal> {
        let leg = state.leg_mut(leg).ok_or(Refusal::Dialogue)?;
        if let Some(port) = leg.port(index) {
            return Ok(port.number);
        }
        let taken = self
            .ports
            .take(self.now.instant, self.worker, leg.interface, self.rng);
        let number = taken.ok_or(Refusal::OutOfPorts)?;
        let stream = leg.stream_mut(index);
        (stream.port, stream.tos) = (Some(number), tos);
        // Before its party has said anything, too.
        stream.source_rules.forwards_others = self.policy.forwards_others;
        Ok(number)
    }

    /// The SDP for the party of a leg.
    fn write(
        &self,
        state: &mut CallState,
        negotiation: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        to: LegId,
        sections: &[Section],
    ) -> Result<Vec<u8>, Refusal> {
        let leg = state.leg_mut(to).ok_or(Refusal::Dialogue)?;
        let address = self.advertised(leg.interface, negotiation.media_address);
        let flags = negotiation.flags;
        let rtcp_attribute = if flags.has(Flag::NoRtcpAttribute) {
            RtcpAttribute::None
        } else if flags.has(Flag::FullRtcpAttribute) {
            RtcpAttribute::Full
        } else {
            RtcpAttribute::Port
        };
        let replace = negotiation.replace;
        let address = address.ok_or(Refusal::OutOfPorts)?;
        let has_origin = replace.has(Replace::Origin) || replace.has(Replace::OriginFull);
        let origin = OriginChange {
            address: Some(address).filter(|_| has_origin),
            ..origin_kept(leg.origin.as_ref(), replace)
        };
        let changes = Rewrite {
            address,
            origin: &origin,
            replace_zero: replace.has(Replace::ZeroAddress),
            keeps_direction: flags.has(Flag::OriginalSendrecv),
            strips_extensions: flags.has(Flag::StripExtmap),
            loop_mark: Some(&self.policy.loop_mark)
                .filter(|_| flags.has(Flag::LoopProtect))
                .map(String::as_str),
            manipulation: Manipulation::new(&negotiation.attribute_changes),
            rtcp_attribute,
            sections,
        };
        let out = rewrite(sdp, &changes);
        Ok(keep_origin(leg, sdp, &changes, replace, out))
    }

    /// Whether a place is one of the relay's.
    fn is_ours(&self, place: SocketAddr) -> bool {
        let mut interfaces = self.interfaces.iter();
        let is_ours =
            |it: &Interface| it.address == place.ip() || it.advertised == Some(place.ip());
        interfaces.any(is_ours) && self.ports.cover(place.port())
    }

    fn advertised(&self, interface: InterfaceId, instead: Option<IpAddr>) -> Option<IpAddr> {
        let interface = self.interfaces.get(usize::from(interface.0))?;
        Some(
            instead
                .or(interface.advertised)
                .unwrap_or(interface.address),
        )
    }
}

/// Notes what who wrote a description says of its payload types.
fn note_payloads(state: &mut CallState, sdp: &Sdp<'_>, sender: LegId) {
    let Some(leg) = state.leg_mut(sender) else {
        return;
    };
    for (index, media) in sdp.media().iter().enumerate() {
        if media.port != 0 {
            leg.stream_mut(index).payloads = Payload::read(sdp, media);
        }
    }
}

/// Keeps the sender's keys back, if the request says so.
fn block_keys(state: &mut CallState, negotiation: &Negotiation<'_>, sender: LegId, seed: u64) {
    let policy = policy_of(negotiation);
    let keys = policy.and_then(|policy| policy_of_keys(policy, seed));
    if let (Some(keys), Some(leg)) = (keys, state.leg_mut(sender)) {
        leg.treatment.keys = keys;
    }
}

fn policy_of(negotiation: &Negotiation<'_>) -> Option<KeyPolicy> {
    let is_wanted = negotiation.flags.has(Flag::BlockDtmf);
    is_wanted.then(|| KeyPolicy::Block {
        security: negotiation.dtmf_security.unwrap_or(DtmfSecurity::Drop),
        digit: negotiation.digit,
        has_trigger: false,
    })
}

/// What `o=` is to say that it said before.
fn origin_kept(before: Option<&Origin>, replace: Words<Replace>) -> OriginChange {
    let Some(before) = before else {
        return OriginChange::default();
    };
    let is_full = replace.has(Replace::OriginFull);
    let keeps_version = is_full || replace.has(Replace::SdpVersion);
    let version = if replace.has(Replace::ForceIncrementSdpVersion) {
        Some(before.version.saturating_add(1))
    } else {
        Some(before.version).filter(|_| keeps_version)
    };
    let keeps_name = is_full || replace.has(Replace::Username);
    OriginChange {
        user_name: Some(before.user_name.clone()).filter(|_| keeps_name),
        session_id: Some(before.session_id.clone()).filter(|_| is_full),
        version,
        address: None,
    }
}

/// Notes what `o=` says, if it is asked to stay so, and counts its version up if the description
/// is another one than before.
fn keep_origin(
    leg: &mut Leg,
    sdp: &Sdp<'_>,
    changes: &Rewrite<'_>,
    replace: Words<Replace>,
    out: Vec<u8>,
) -> Vec<u8> {
    let counts = replace.has(Replace::SdpVersion) || replace.has(Replace::OriginFull);
    let is_kept =
        counts || replace.has(Replace::Username) || replace.has(Replace::ForceIncrementSdpVersion);
    let Some([user_name, session_id, version, ..]) = sdp.origin().filter(|_| is_kept) else {
        return out;
    };
    let written = std::str::from_utf8(version)
        .ok()
        .and_then(|it| it.parse().ok());
    let version = changes.origin.version.or(written).unwrap_or_default();
    let kept = changes.origin;
    let mut origin = Origin {
        user_name: kept.user_name.as_deref().unwrap_or(user_name).to_vec(),
        session_id: kept.session_id.as_deref().unwrap_or(session_id).to_vec(),
        version,
        hash: hash(&out),
    };
    let before = leg.origin.as_ref().map(|before| before.hash);
    let mut out = out;
    if counts && before.is_some_and(|before| before != origin.hash) {
        origin.version = version.saturating_add(1);
        let change = OriginChange {
            version: Some(origin.version),
            ..kept.clone()
        };
        out = rewrite(
            sdp,
            &Rewrite {
                origin: &change,
                ..*changes
            },
        );
        origin.hash = hash(&out);
    }
    leg.origin = Some(origin);
    out
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

/// Whether a description has passed us before, and is to be left alone then.
pub(crate) fn is_loop(policy: &Policy, negotiation: &Negotiation<'_>) -> bool {
    if !negotiation.flags.has(Flag::LoopProtect) {
        return false;
    }
    let sdp = Sdp::parse(negotiation.sdp);
    sdp.is_ok_and(|sdp| sdp.has_loop_mark(policy.loop_mark.as_bytes()))
}

/// Finds the leg that an offer is for, if there is one.
fn receiver(state: &CallState, offer: &Negotiation<'_>, offerer: LegId) -> Option<LegId> {
    if let Some(leg) = offer.to_tag.and_then(|tag| state.leg_by_tag(tag)) {
        return Some(leg.id);
    }
    let peers = || state.legs_towards(offerer);
    if let Some(branch) = offer.via_branch {
        // A new branch is a new fork, unless the dialogue is there already.
        let mut branches = peers();
        let leg = branches.find(|leg| leg.via_branch.as_deref() == Some(branch));
        if leg.is_some() || offer.to_tag.is_none() {
            return leg.map(|leg| leg.id);
        }
    }
    let silent = peers().find(|leg| leg.tags.is_empty());
    if let (Some(leg), Some(_)) = (silent, offer.to_tag) {
        return Some(leg.id);
    }
    // Another party on another branch, though it has a tag already; and if parties may be known by
    // other things, one that is not is another one.
    let is_told_apart = offer.via_branch.is_some() || offer.alias_key.is_some();
    if is_told_apart && offer.to_tag.is_some() {
        return None;
    }
    state.leg(offerer)?.peer
}

/// Finds the leg that an answer is from, and notes its tag.
fn answerer(state: &mut CallState, answer: &Negotiation<'_>, offerer: LegId) -> Option<LegId> {
    let tag = answer.to_tag?;
    let known = state.leg_by_tag(tag).map(|leg| leg.id);
    let by_branch = || {
        let branch = answer.via_branch?;
        let mut peers = state.legs_towards(offerer);
        peers.find(|leg| leg.via_branch.as_deref() == Some(branch))
    };
    let silent = || {
        let peers = state.legs_towards(offerer);
        peers.filter(|leg| leg.tags.is_empty()).last()
    };
    // From a tag never seen: the party that the SDP went to, under another name. It was given
    // one set of ports, whoever uses them.
    let alias = || state.leg(state.leg(offerer)?.peer?);
    let id = match known {
        Some(id) => id,
        None => by_branch().or_else(silent).or_else(alias)?.id,
    };
    if id == offerer {
        return None;
    }
    let leg = state.leg_mut(id)?;
    if !leg.has_tag(tag) && leg.tags.len() < ALIASES_MAX {
        // Who it is now need not have moved.
        for stream in &mut leg.streams {
            stream.chosen_for = None;
        }
        // The newest is the party's name; the others are still known.
        leg.tags.insert(0, tag.to_vec());
    }
    Some(id)
}

/// From now on these two talk to one another.
fn associate(state: &mut CallState, offerer: LegId, answerer: LegId) {
    if let Some(leg) = state.leg_mut(offerer) {
        leg.peer = Some(answerer);
        leg.is_settled = true;
    }
    if let Some(leg) = state.leg_mut(answerer) {
        leg.peer = Some(offerer);
    }
}

/// A medium that one party will not have needs no ports, unless another fork uses them.
fn refuse(state: &mut CallState, index: usize, (offerer, answerer): (LegId, LegId)) {
    drop_port(state, answerer, index);
    let is_wanted = |leg: &Leg| leg.port(index).is_some();
    if !state.legs_towards(offerer).any(is_wanted) {
        drop_port(state, offerer, index);
    }
}

fn drop_port(state: &mut CallState, leg: LegId, index: usize) {
    let leg = state.leg_mut(leg);
    if let Some(stream) = leg.and_then(|leg| leg.streams.get_mut(index)) {
        (stream.port, stream.former) = (None, Box::default());
        stream.chosen_for = None;
        stream.is_active = false;
        stream.rtcp_mux = call::Mux::default();
    }
}

/// What a party says, with the sections of which it was not told.
fn completed<'a>(state: &CallState, leg: LegId, sdp: &'a [u8]) -> Cow<'a, [u8]> {
    let leg = state.leg(leg);
    leg.map_or(Cow::Borrowed(sdp), |leg| leg.completed(sdp))
}

fn is_hidden(state: &CallState, leg: LegId, index: usize) -> bool {
    let stream = state.leg(leg).and_then(|leg| leg.streams.get(index));
    stream.is_some_and(|stream| stream.hidden.is_some())
}

fn is_unwanted(offer: &Negotiation<'_>, sdp: &Sdp<'_>, media: &Media) -> bool {
    offer
        .media_removed
        .has(MediaKind::of(sdp.text(&media.kind)))
}

/// Notes which sections the receiver of an offer, who has not heard of them, never hears of.
fn hide(
    state: &mut CallState,
    receiver: LegId,
    offer: &Negotiation<'_>,
    whole: &[u8],
) -> Result<(), Refusal> {
    if offer.media_removed.is_empty() {
        return Ok(());
    }
    let sdp = Sdp::parse(whole)?;
    let leg = state.leg_mut(receiver).ok_or(Refusal::Dialogue)?;
    for (index, media) in sdp.media().iter().enumerate() {
        if leg.streams.len() <= index && is_unwanted(offer, &sdp, media) {
            leg.stream_mut(index).hidden = Some(sdp.refusal(media));
        }
    }
    Ok(())
}

/// What becomes of a section that gets no port.
fn unrelayed(media: &Media) -> Section {
    match media.transport {
        Transport::Other => Section::Keep,
        Transport::Rtp | Transport::Udp => Section::Refuse,
    }
}

/// The address that stands in for those in the SDP, if the proxy knows better.
fn source(negotiation: &Negotiation<'_>) -> Option<IpAddr> {
    let flags = negotiation.flags;
    let wanted = flags.has(Flag::SipSourceAddress) && !flags.has(Flag::TrustAddress);
    negotiation.received_from.filter(|_| wanted)
}

fn learning(negotiation: &Negotiation<'_>, default: Learning) -> Learning {
    match negotiation.endpoint_learning {
        Some(EndpointLearning::Delayed) => Learning::Delayed,
        Some(EndpointLearning::Immediate) => Learning::Immediate,
        Some(EndpointLearning::Heuristic) => Learning::Heuristic,
        Some(EndpointLearning::Off) => Learning::Off,
        _ => default,
    }
}

/// What the flags say of the source of media. Of two that exclude each other the stricter wins.
fn source_rules(flags: Flags, forwards_others: bool) -> SourceRules {
    let handover = if flags.has(Flag::StrictSource) {
        Handover::Never
    } else if flags.has(Flag::MediaHandover) {
        Handover::AnyStream
    } else {
        Handover::SameStream
    };
    SourceRules {
        is_asymmetric: flags.has(Flag::Asymmetric),
        waits_for_peer: flags.has(Flag::NatWait),
        pierces_nat: flags.has(Flag::PierceNat),
        handover,
        forwards_others,
        checks_loops: false,
    }
}

/// Whether the addresses in an SDP are IPv6; `None` if it names none.
fn sdp_family(sdp: &Sdp<'_>) -> Option<bool> {
    let mut addresses = sdp.media().iter().filter_map(|media| sdp.address(media));
    addresses.next().map(|address| address.is_ipv6())
}

/// What becomes of RTCP on the port of RTP in an offer.
#[derive(Clone, Copy, Debug)]
struct Mux {
    is_offered: bool,
    accept: bool,
    pass_on: bool,
    is_required: bool,
}

impl Mux {
    fn offer(is_offered: bool, wish: Words<RtcpMux>) -> Self {
        let demux = wish.has(RtcpMux::Demux);
        let reject = wish.has(RtcpMux::Reject);
        let is_required = wish.has(RtcpMux::Require);
        let is_added = is_required || wish.has(RtcpMux::Offer);
        Self {
            is_offered: is_offered && !reject,
            accept: is_offered && !reject && (demux || wish.has(RtcpMux::Accept)),
            pass_on: is_added || (is_offered && !demux && !reject),
            is_required,
        }
    }

    /// Whether the offerer is told that it is agreed on.
    fn answer(offered: call::Mux, other_accepts: bool, wish: Words<RtcpMux>) -> bool {
        let accept = other_accepts || wish.has(RtcpMux::Accept) || wish.has(RtcpMux::Demux);
        offered.is_offered && accept && !wish.has(RtcpMux::Reject)
    }
}

/// What a request asks for that is not done (yet). The request is carried out without it.
pub(crate) fn not_done(negotiation: &Negotiation<'_>) -> Vec<&'static str> {
    let wishes = [
        (
            matches!(negotiation.ice, Some(Ice::Force | Ice::ForceRelay)),
            "ICE force",
        ),
        (wants_other_profile(negotiation), "transport protocol"),
        (
            policy_of(negotiation).is_some_and(|it| policy_of_keys(it, 0).is_none()),
            "block DTMF",
        ),
    ];
    let wishes = wishes.into_iter().filter(|(is_wished, _)| *is_wished);
    wishes.map(|(_, name)| name).collect()
}

/// The profile that the receiver is to be told of.
fn profile_wanted<'n>(negotiation: &Negotiation<'n>) -> Option<&'n [u8]> {
    let wanted = negotiation.transport_protocol;
    wanted.filter(|_| !accepts_profile(negotiation))
}

/// Whether the profile of an answer is to be passed on, though it is not that of the offer.
fn accepts_profile(negotiation: &Negotiation<'_>) -> bool {
    negotiation.transport_protocol == Some(b"accept")
}

/// Whether a profile is asked for that the SDP does not have and cannot be given.
fn wants_other_profile(negotiation: &Negotiation<'_>) -> bool {
    profile_wanted(negotiation).is_some_and(|wanted| {
        let lines = negotiation.sdp.split(|&b| b == b'\n');
        let mut media = lines.filter(|line| line.starts_with(b"m="));
        let is_done = |it: &[u8]| it == wanted || profile::is_like(it, wanted);
        !media.all(|line| line.split(|&b| b == b' ').nth(2).is_some_and(is_done))
    })
}

/// What becomes of what the sender sends, and of what the receiver does. `None`: as before.
fn reflections(negotiation: &Negotiation<'_>) -> [Option<Reflection>; 2] {
    let wished = negotiation.media_echo.map(Reflection::both);
    wished.map_or([None; 2], |wished| wished.map(Some))
}

/// The pairs of ports that one state has and another has not.
pub(crate) fn ports_added(before: &CallState, after: &CallState) -> Vec<Port> {
    let added = after.ports();
    added
        .filter(|port| !before.ports().any(|other| other == *port))
        .collect()
}

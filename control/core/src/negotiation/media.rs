//! What becomes of each medium of a description, and what is noted of it.

use std::net::SocketAddr;

use control_ng::{MediaKind, Negotiation};
use relay_wire::Interface;

use super::ice;
use super::keys::{Parties, hear};
use super::wanted::{Mux, learning, makes_reports, reflections, source, source_rules};
use super::{Negotiator, Refusal};
use crate::call::{self, CallState, Leg, LegId, Stream};
use crate::lean::{Address, Rare};
use crate::sdp::{Direction, Media, Sdp, Section, Transport};

impl Negotiator<'_> {
    pub(super) fn offer_sections(
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
        let before = before.map(Stream::profile);
        let sender = self.learn(state, offer, sdp, (offerer, index, media));
        let sender = sender.ok_or(Refusal::Dialogue)?;
        sender.rtcp_mux.is_offered = mux.is_offered;
        ice::hear(sender, sdp.ice(media), false);
        let [sent, received] = reflections(offer);
        sender.reflection = sent.unwrap_or(sender.reflection);
        let kind = sender.kind.clone();
        // What it was told before goes on unless the offerer itself changes.
        let is_same = before == Some(sender.profile()) && !is_new;
        let parties = Parties {
            sender: offerer,
            receiver,
            index,
            handshake: sdp.handshake(media),
        };
        let (profile, keys) = self.offer_keys(state, offer, &parties, is_same)?;
        let receiver = state.leg_mut(receiver).ok_or(Refusal::Dialogue)?;
        let receiver = receiver.stream_mut(index);
        receiver.kind = kind;
        receiver.transport = media.transport;
        receiver.makes_reports = makes_reports(offer, receiver.makes_reports);
        receiver.rtcp_mux.is_offered = mux.pass_on;
        receiver.rtcp_mux.accept = mux.accept;
        receiver.reflection = received.unwrap_or(receiver.reflection);
        receiver.was_offered |= is_new;
        receiver.is_active = true;
        let mixes_extensions = !receiver.mixes_no_extensions;
        let is_shared = mux.is_required || (mux.pass_on && receiver.rtcp_mux.is_on);
        let components = if is_shared { 1 } else { 2 };
        let Parties {
            sender, receiver, ..
        } = parties;
        let ice = self.offer_ice(
            state,
            offer,
            (sender, receiver, index),
            (is_new, components),
        )?;
        Ok(Section::Relay {
            port,
            rtcp_port: if mux.is_required { port } else { port + 1 },
            rtcp_mux: mux.pass_on,
            profile,
            keys,
            mixes_extensions,
            ice,
        })
    }

    pub(super) fn answer_sections(
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
        let told = state.leg(answerer).and_then(|it| it.streams.get(index));
        let told = told.map(Stream::profile);
        let sender = self.learn(state, answer, sdp, (answerer, index, media));
        let sender = sender.ok_or(Refusal::Dialogue)?;
        sender.rtcp_mux.is_on = sender.rtcp_mux.is_offered && media.has_rtcp_mux();
        ice::hear(sender, sdp.ice(media), true);
        let is_mux = sender.rtcp_mux.is_on || sender.rtcp_mux.accept;
        let is_held = sender.is_held;
        let [sent, received] = reflections(answer);
        sender.reflection = sent.unwrap_or(sender.reflection);
        let is_same = told == Some(sender.profile());
        let parties = Parties {
            sender: answerer,
            receiver: offerer,
            index,
            handshake: sdp.handshake(media),
        };
        let (profile, keys) = self.answer_keys(state, answer, &parties, is_same)?;
        let receiver = state.leg_mut(offerer).ok_or(Refusal::Dialogue)?;
        let receiver = receiver.stream_mut(index);
        receiver.is_active = true;
        receiver.makes_reports = makes_reports(answer, receiver.makes_reports);
        receiver.is_held |= is_held;
        receiver.rtcp_mux.is_on = Mux::answer(receiver.rtcp_mux, is_mux, answer.rtcp_mux);
        receiver.reflection = received.unwrap_or(receiver.reflection);
        let mixes_extensions = !receiver.mixes_no_extensions;
        let rtcp_port = receiver.rtcp_port().unwrap_or(port);
        let rtcp_mux = receiver.rtcp_mux.is_on;
        let components = if rtcp_port == port { 1 } else { 2 };
        let ice = self.answer_ice(state, answer, (offerer, index), components)?;
        Ok(Section::Relay {
            port,
            rtcp_port,
            rtcp_mux,
            profile,
            keys,
            mixes_extensions,
            ice,
        })
    }

    /// Notes what the sender of an SDP says of one medium.
    pub(super) fn learn<'s>(
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
        stream.kind = sdp.text(&media.kind).into();
        stream.protocol = sdp.text(&media.protocol).into();
        stream.transport = media.transport;
        hear(stream, sdp.keys(media), negotiation);
        let within_reach = |it: Option<SocketAddr>| it.filter(|it| it.is_ipv6() == is_ip6);
        stream.remote = within_reach(remote.rtp).map(Address::from);
        stream.remote_rtcp = within_reach(remote.rtcp).map(Address::from);
        stream.learning = learning(negotiation, self.policy.learning);
        stream.source_rules = source_rules(negotiation.flags, self.policy.forwards_others);
        stream.source_rules.checks_loops = is_ours;
        stream.makes_reports = makes_reports(negotiation, stream.makes_reports);
        stream.knows_feedback = sdp.names_feedback(media);
        stream.mixes_no_extensions = sdp.mixes_no_extensions(media);
        stream.direction = sdp.direction(media);
        stream.is_held = is_zero || stream.direction != Direction::SendRecv;
        stream.is_active = true;
        Some(stream)
    }

    /// The port of a stream, taken if it has none; what leaves there then has the type of service
    /// that is asked for.
    pub(super) fn ensure_port(
        &mut self,
        state: &mut CallState,
        leg: LegId,
        index: usize,
        tos: Option<u8>,
    ) -> Result<u16, Refusal> {
        let worker = self.worker_of(leg);
        let leg = state.leg_mut(leg).ok_or(Refusal::Dialogue)?;
        if let Some(port) = leg.port(index) {
            return Ok(port.number);
        }
        let taken = self
            .ports
            .take(self.now.instant, worker, leg.interface, self.rng);
        let number = taken.ok_or(Refusal::OutOfPorts)?;
        let stream = leg.stream_mut(index);
        (stream.port, stream.tos) = (Some(number), tos);
        // Before its party has said anything, too.
        stream.source_rules.forwards_others = self.policy.forwards_others;
        Ok(number)
    }

    /// Whether a place is one of the relay's.
    fn is_ours(&self, place: SocketAddr) -> bool {
        let mut interfaces = self.interfaces.iter();
        let is_ours =
            |it: &Interface| it.address == place.ip() || it.advertised == Some(place.ip());
        interfaces.any(is_ours) && self.ports.cover(place.port())
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

pub(super) fn drop_port(state: &mut CallState, leg: LegId, index: usize) {
    let leg = state.leg_mut(leg);
    if let Some(stream) = leg.and_then(|leg| leg.streams.get_mut(index)) {
        (stream.port, stream.former) = (None, Rare::default());
        stream.chosen_for = None;
        stream.is_active = false;
        stream.rtcp_mux = call::Mux::default();
        stream.srtp = Rare::default();
        stream.handshake = Rare::default();
        stream.ice = Rare::default();
    }
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
pub(super) fn hide(
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
            leg.stream_mut(index).hidden = Some(Box::new(sdp.refusal(media)[..].into()));
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

//! Descriptions of the relay's own (`create`), and what a party answers to them.
//!
//! A party that is new is offered what the request names, and nobody hears it until it is connected
//! to somebody. One that is there is told once more what it was told: its ports, and the codecs that
//! it has itself.

use control_ng::{AddressFamily, Create, Medium, Negotiation, Replace, SdesWord, Support};
use rand::RngExt;

use super::media::drop_port;
use super::order::{joined, told_by, told_to};
use super::wanted::{Mux, accepts_profile, learning, makes_reports, reflections, source_rules};
use super::{Negotiator, Refusal, block_keys, completed, note_key_log, note_payloads};
use super::{dtls, ice, keepsake};
use crate::call::{CallState, Leg, LegId, Stream};
use crate::codecs::{
    Exchange, Format, Payload, Transcode, Wishes, formats_again, formats_of, routes_between,
};
use crate::digits::push_number;
use crate::profile;
use crate::sdp::{Direction, HandshakeLines, Sdp, Section, SectionKeys, Transport};
use crate::srtp::{KeyWishes, Srtp};

/// The longest name of a kind of media.
const KIND_BYTES_MAX: usize = 32;

/// One section of a description that is to be written.
#[derive(Debug)]
struct Draft {
    kind: Vec<u8>,
    protocol: Vec<u8>,
    formats: Formats,
    direction: Direction,
}

#[derive(Debug)]
enum Formats {
    /// Nobody uses the section.
    Refused,
    Rtp(Vec<Format>),
    /// T.38 (RFC 7345 and T.38 annex D).
    Fax,
}

impl Negotiator<'_> {
    /// Writes a description for a party, which is made if it is not there.
    pub(super) fn create(
        &mut self,
        state: &mut CallState,
        create: &Create<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let party = &create.party;
        let wishes = Wishes::new(party, &self.policy.codecs);
        let known = state.leg_by_tag(party.from_tag).map(|leg| leg.id);
        let (id, drafts) = match known {
            Some(id) => (id, drafts_again(state, id, &wishes)?),
            None => (self.new_party(state, create)?, drafts_of(create, &wishes)?),
        };
        let leg = state.leg(id).ok_or(Refusal::Dialogue)?;
        let told = keepsake::session(leg);
        let is_own = told.is_empty();
        let own = is_own.then(|| self.own_session());
        let text = text(own.as_deref().unwrap_or(told), &drafts);
        let sdp = Sdp::parse(&text)?;
        if known.is_none() {
            for (index, draft) in drafts.iter().enumerate() {
                self.open(state, party, (id, index), draft)?;
            }
            note_created(state, &sdp, id, &drafts);
        }
        let mut sections = self.created_sections(state, party, id, &drafts)?;
        for (index, section) in sections.iter_mut().enumerate() {
            self.create_ice(state, party, (id, index), section)?;
        }
        state.last_signal_unix_ms = self.now.unix_ms;
        state.delete_at_unix_ms = None;
        note_key_log(state, party);
        if party.supports.has(Support::Events) {
            state.subscriber = Some(Box::new(self.client));
        }
        let replace = if is_own {
            party.replace.with(Replace::Origin)
        } else {
            party.replace
        };
        let said = Negotiation {
            replace,
            ..party.clone()
        };
        let sdp = self.write(state, &said, &sdp, id, &sections)?;
        Ok(told_to(state, id, sdp))
    }

    fn new_party(&self, state: &mut CallState, create: &Create<'_>) -> Result<LegId, Refusal> {
        let party = &create.party;
        let towards = party.direction.map(|[_, to]| to);
        let is_ip6 = party.address_family.map(|it| it == AddressFamily::Ip6);
        let id = self.add_leg(state, create.interface.or(towards), is_ip6)?;
        let leg = state.leg_mut(id).ok_or(Refusal::Dialogue)?;
        leg.add_tag(party.from_tag);
        leg.label = party.label.map(Into::into);
        Ok(id)
    }

    /// The session part of a description that is nobody else's, but for the address.
    fn own_session(&mut self) -> Vec<u8> {
        let id: u32 = self.rng.random();
        let version = env!("CARGO_PKG_VERSION");
        // Tools for the peer look for its name.
        format!("o=- {id} 1 IN IP4 0.0.0.0\r\ns=rtpengine-tandem-{version}\r\n").into_bytes()
    }

    /// Takes a port for a medium of a party that is new.
    fn open(
        &mut self,
        state: &mut CallState,
        party: &Negotiation<'_>,
        (leg, index): (LegId, usize),
        draft: &Draft,
    ) -> Result<(), Refusal> {
        self.ensure_port(state, leg, index, party.tos)?;
        let leg = state.leg_mut(leg).ok_or(Refusal::Dialogue)?;
        let stream = leg.stream_mut(index);
        stream.kind = (&draft.kind[..]).into();
        stream.protocol = (&draft.protocol[..]).into();
        stream.learning = learning(party, self.policy.learning);
        stream.source_rules = source_rules(party.flags, self.policy.forwards_others);
        stream.makes_reports = makes_reports(party, false);
        stream.reflection = reflections(party)[1].unwrap_or_default();
        stream.was_offered = true;
        stream.is_active = true;
        if stream.is_secure() {
            let wishes = KeyWishes::offer(&party.sdes);
            let (nobody, rng) = (&mut Srtp::default(), &mut *self.rng);
            let srtp = &mut stream.srtp;
            srtp.change(|it| Srtp::offer(nobody, it, &wishes, rng));
        }
        Ok(())
    }

    /// What becomes of the sections: each goes to the port that the party has for it.
    fn created_sections(
        &mut self,
        state: &mut CallState,
        party: &Negotiation<'_>,
        leg: LegId,
        drafts: &[Draft],
    ) -> Result<Vec<Section>, Refusal> {
        let wishes = self.handshake_wishes(party);
        let leg = state.leg_mut(leg).ok_or(Refusal::Dialogue)?;
        let sections = leg.streams.iter_mut().zip(drafts).map(|(stream, draft)| {
            Ok(match (stream.port, &draft.formats) {
                _ if stream.hidden.is_some() => Section::Hide,
                (None, _) | (_, Formats::Refused) => Section::Refuse,
                (Some(port), _) => {
                    let keys = dtls::create(stream, &wishes, self.rng)?;
                    relayed(stream, party, port, keys)
                }
            })
        });
        sections.collect()
    }

    /// Notes what a party answered to a description of the relay's own.
    pub(super) fn create_answer(
        &mut self,
        state: &mut CallState,
        answer: &Negotiation<'_>,
    ) -> Result<(), Refusal> {
        let leg = state.leg_by_tag(answer.from_tag).ok_or(Refusal::FromTag)?;
        let (id, peer) = (leg.id, leg.peer);
        let streams = leg.streams.iter();
        let before: Vec<_> = streams.map(|stream| stream.payloads.clone()).collect();
        let joined = joined(state, id, answer);
        let told = told_by(state, id, &joined);
        let whole = completed(state, id, &told).into_owned();
        let sdp = Sdp::parse(&whole)?;
        note_payloads(state, &sdp, id);
        block_keys(state, answer, id, self.rng.random());
        for (index, media) in sdp.media().iter().enumerate() {
            let port = state.leg(id).and_then(|leg| leg.port(index));
            if media.port == 0 || port.is_none() {
                drop_port(state, id, index);
                continue;
            }
            let wishes = self.handshake_wishes(answer);
            let stream = self.learn(state, answer, &sdp, (id, index, media));
            let stream = stream.ok_or(Refusal::Dialogue)?;
            dtls::hear_answer(stream, sdp.handshake(media), &wishes);
            stream.rtcp_mux.is_on = stream.rtcp_mux.is_offered && media.has_rtcp_mux();
            answer_alone(stream);
            ice::hear(stream, sdp.ice(media), true);
        }
        if let Some(peer) = peer {
            for (index, before) in before.iter().enumerate() {
                self.translate(state, (id, peer), index, before);
            }
        }
        self.note_answer(state, answer);
        Ok(())
    }

    /// Has the relay translate between two parties, one of which has other codecs than `before`.
    fn translate(
        &self,
        state: &mut CallState,
        (leg, peer): (LegId, LegId),
        index: usize,
        before: &[Payload],
    ) {
        let stream = |leg: LegId| state.leg(leg).and_then(|leg| leg.streams.get(index));
        let (Some(own), Some(other)) = (stream(leg), stream(peer)) else {
            return;
        };
        if own.payloads[..] == *before {
            return;
        }
        let is_readable = !own.is_opaque() && !other.is_opaque();
        let translates = self.transcode != Transcode::Never && !self.spares_codecs;
        let routes = if translates && is_readable {
            [
                routes_between(&own.payloads, &other.payloads),
                routes_between(&other.payloads, &own.payloads),
            ]
        } else {
            [Vec::new(), Vec::new()]
        };
        Exchange::reroute(state, index, (leg, peer), routes);
    }
}

/// The party has taken one of the keys that it was told, or none.
fn answer_alone(stream: &mut Stream) {
    if stream.is_secure() {
        stream.srtp.change(Srtp::answer_alone);
    } else if *stream.srtp != Srtp::default() {
        stream.srtp.change(Srtp::forget);
    }
}

/// Until a party answers, what it is offered is what it is taken to send.
fn note_created(state: &mut CallState, sdp: &Sdp<'_>, leg: LegId, drafts: &[Draft]) {
    note_payloads(state, sdp, leg);
    let Some(leg) = state.leg_mut(leg) else {
        return;
    };
    for (stream, draft) in leg.streams.iter_mut().zip(drafts) {
        if matches!(&draft.formats, Formats::Rtp(formats) if formats.is_empty()) {
            stream.payloads = Box::default();
        }
    }
}

fn relayed(
    stream: &mut Stream,
    party: &Negotiation<'_>,
    port: u16,
    handshake: Option<HandshakeLines>,
) -> Section {
    // What was offered once is offered again.
    let is_offered = stream.rtcp_mux.is_on || stream.rtcp_mux.is_offered;
    let mux = Mux::offer(is_offered, party.rtcp_mux);
    stream.rtcp_mux.is_offered = mux.pass_on;
    let is_shared = mux.is_required || (mux.pass_on && stream.rtcp_mux.is_on);
    Section::Relay {
        port,
        rtcp_port: if is_shared { port } else { port + 1 },
        rtcp_mux: mux.pass_on,
        profile: None,
        keys: SectionKeys::Ours {
            lines: stream.srtp.told.clone(),
            handshake,
            keeps_handshake: true,
        },
        mixes_extensions: false,
        ice: Vec::new(),
    }
}

/// What a party is offered that is new.
fn drafts_of(create: &Create<'_>, wishes: &Wishes) -> Result<Vec<Draft>, Refusal> {
    let party = &create.party;
    let wanted = party.transport_protocol;
    let protocol = wanted.filter(|_| !accepts_profile(party));
    let protocol = protocol.unwrap_or(b"RTP/AVP");
    // To offer less than is asked for would send in clear what is meant to be secret.
    let is_known = [&b"RTP/AVP"[..], b"RTP/SAVP"].map(|it| profile::is_like(protocol, it));
    let has_no_keys = party.sdes.words.has(SdesWord::Off) && profile::is_secure(protocol);
    if is_known == [false; 2] || has_no_keys {
        return Err(Refusal::Unsupported);
    }
    let audio = [Medium {
        kind: b"audio",
        codecs: Vec::new(),
    }];
    let media = if create.media.is_empty() {
        &audio[..]
    } else {
        &create.media
    };
    if media.len() > crate::MEDIA_MAX || !media.iter().all(|medium| is_kind(medium.kind)) {
        return Err(Refusal::Unsupported);
    }
    let draft = |medium: &Medium<'_>| Draft {
        kind: medium.kind.to_vec(),
        protocol: protocol.to_vec(),
        formats: Formats::Rtp(formats_of(wishes, medium.kind, &medium.codecs)),
        direction: Direction::SendRecv,
    };
    Ok(media.iter().map(draft).collect())
}

/// Whether it can stand in `m=`.
fn is_kind(kind: &[u8]) -> bool {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    (1..=KIND_BYTES_MAX).contains(&kind.len()) && kind.iter().all(is_token)
}

/// What a party was told, as far as it follows from what is known of it.
fn drafts_again(state: &CallState, leg: LegId, wishes: &Wishes) -> Result<Vec<Draft>, Refusal> {
    let leg = state.leg(leg).ok_or(Refusal::Dialogue)?;
    let peer = leg.peer.and_then(|peer| state.leg(peer));
    let streams = leg.streams.iter().enumerate();
    let drafts = streams.map(|(index, stream)| {
        let other = peer.and_then(|peer| peer.streams.get(index));
        Ok(Draft {
            kind: or_else(&stream.kind, b"audio").to_vec(),
            protocol: or_else(&stream.protocol, b"RTP/AVP").to_vec(),
            formats: formats_of_stream((leg, peer), index, wishes)?,
            direction: other.map_or_else(Direction::default, |other| other.direction),
        })
    });
    drafts.collect()
}

fn or_else<'a>(text: &'a [u8], usual: &'a [u8]) -> &'a [u8] {
    if text.is_empty() { usual } else { text }
}

fn formats_of_stream(
    (leg, peer): (&Leg, Option<&Leg>),
    index: usize,
    wishes: &Wishes,
) -> Result<Formats, Refusal> {
    let Some(stream) = leg.streams.get(index) else {
        return Ok(Formats::Refused);
    };
    if stream.port.is_none() || !stream.is_active || stream.hidden.is_some() {
        return Ok(Formats::Refused);
    }
    // Where nobody here has keys they are the other party's word, which is not kept.
    let is_theirs = stream.srtp.told.is_empty() && !stream.handshake.is_told();
    if stream.transport != Transport::Rtp || (stream.is_opaque() && is_theirs) {
        let is_fax = *stream.kind == *b"image" && *stream.protocol == *b"udptl";
        return is_fax.then_some(Formats::Fax).ok_or(Refusal::Unsupported);
    }
    let payloads = |leg: &Leg| {
        let stream = leg.streams.get(index);
        stream.map_or_else(Vec::new, |stream| stream.payloads.to_vec())
    };
    let others = peer.map_or_else(Vec::new, payloads);
    let of = |leg: &Leg| {
        // What one has alone was not agreed on.
        let shared = Payload::shared(&payloads(leg), &others);
        let formats = Payload::formats(&shared, &keepsake::formats(leg, index));
        Some(formats).filter(|it| !it.is_empty())
    };
    // Who has said nothing yet was offered what its peer has.
    let before = of(leg).or_else(|| of(peer?));
    let before = match before {
        None if stream.payloads.is_empty() && peer.is_none() => Vec::new(),
        before => before.ok_or(Refusal::Unsupported)?,
    };
    Ok(Formats::Rtp(formats_again(wishes, &stream.kind, before)))
}

/// A description without addresses, whose ports say no more than which sections are used.
fn text(session: &[u8], drafts: &[Draft]) -> Vec<u8> {
    let mut out = b"v=0\r\n".to_vec();
    out.extend_from_slice(session);
    out.extend_from_slice(b"t=0 0\r\n");
    for draft in drafts {
        draft.write(&mut out);
    }
    out
}

impl Draft {
    fn write(&self, out: &mut Vec<u8>) {
        let port: &[u8] = match self.formats {
            Formats::Refused => b" 0 ",
            Formats::Rtp(_) | Formats::Fax => b" 9 ",
        };
        for part in [b"m=", &self.kind[..], port, &self.protocol] {
            out.extend_from_slice(part);
        }
        match &self.formats {
            Formats::Fax => out.extend_from_slice(b" t38\r\n"),
            Formats::Rtp(formats) if !formats.is_empty() => {
                for format in formats {
                    out.push(b' ');
                    push_number(format.payload_type, out);
                }
                out.extend_from_slice(b"\r\n");
                for format in formats {
                    format.write(b"\r\n", out);
                }
            }
            // There must be one, and who names none gets none that could be used.
            Formats::Refused | Formats::Rtp(_) => out.extend_from_slice(b" 0\r\n"),
        }
        out.extend_from_slice(b"a=");
        out.extend_from_slice(self.direction.name().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

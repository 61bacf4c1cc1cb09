//! What parties are played: which party hears what by which codec, and what has to be read for it.

use control_ng::Play;
use relay_wire::{CallKey, Codec, Command, Format, OpusSettings, Port, SampleRate, SoundKey};

use crate::call::{CallState, Leg, Stream};
use crate::codecs::{Exchange, Payload};
use crate::sdp::Transport;
use crate::seals::Seals;
use crate::sound::Told;

/// A sound that is to be read and given to the relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Load {
    /// Comes back with what became of it.
    pub id: u64,
    /// Where it is.
    pub source: Source,
    /// By how many samples a second it is to be there: one or two of them.
    pub rates: Vec<SampleRate>,
}

/// Where a sound is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// Here: what a file would hold.
    Blob(Vec<u8>),
    /// A file of this name, as the client has said it.
    File(Vec<u8>),
}

/// A sound that the relay has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loaded {
    /// What it says of itself.
    pub told: Told,
    /// Its names, for each of the rates that were asked for.
    pub sounds: Vec<(SampleRate, SoundKey)>,
}

/// A stream of a party, which can be played something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ear {
    pub(crate) port: Port,
    pub(crate) to: Format,
    pub(crate) opus: Option<OpusSettings>,
    /// Where reports leave from.
    pub(crate) rtcp: Option<Port>,
}

impl Ear {
    /// The first stream of a party that can hear, and what it can hear. Who hears what the relay does
    /// not encrypt itself ([`is_passed`]) must not.
    pub(crate) fn of(state: &CallState, leg: &Leg) -> Option<Self> {
        let (index, stream) = first(leg).filter(|it| !is_passed(state, *it))?;
        let (to, opus) = heard(state, leg, (index, stream))?;
        let port = leg.port(index)?;
        let number = stream.rtcp_port();
        let rtcp = number.map(|number| Port { number, ..port });
        Some(Self {
            port,
            to,
            opus,
            rtcp,
        })
    }

    /// What the relay is to do so that it hears something. `None`: it was not read for it.
    pub(crate) fn play(&self, play: &Play<'_>, loaded: &Loaded) -> Option<relay_wire::Play> {
        let rate = self.to.codec.rate();
        let (_, sound) = loaded.sounds.iter().find(|(it, _)| *it == rate)?;
        let start = u64::from(play.start) * u64::from(rate.hz()) / u64::from(loaded.told.hz.max(1));
        // With a time and no number, as often as there is time for it.
        let times = match (play.times, play.duration_ms) {
            (None, Some(_)) => u32::MAX,
            (times, _) => times.unwrap_or(1).max(1),
        };
        Some(relay_wire::Play {
            sound: *sound,
            to: self.to,
            opus: self.opus,
            start: u32::try_from(start).unwrap_or(u32::MAX),
            times,
            duration_ms: play.duration_ms.unwrap_or(0),
            unit_hz: loaded.told.hz,
            is_alone: play.is_alone,
            rtcp: self.rtcp,
        })
    }
}

/// Whether a party could hear something if only its packets did not pass as they are.
pub(crate) fn needs_seal(state: &CallState, leg: &Leg) -> bool {
    first(leg).is_some_and(|it| is_passed(state, it))
}

fn first(leg: &Leg) -> Option<(usize, &Stream)> {
    let mut streams = leg.streams.iter().enumerate();
    streams.find(|(_, stream)| can_hear(stream))
}

/// Whether what the party gets was encrypted by the other party.
fn is_passed(state: &CallState, (index, stream): (usize, &Stream)) -> bool {
    stream.keys().is_some() && !Seals::of(state, false).has(index)
}

/// Whether something can be played to a stream: the relay knows where, and has the keys if there
/// are any.
fn can_hear(stream: &Stream) -> bool {
    *stream.kind == *b"audio"
        && stream.is_active
        && stream.transport == Transport::Rtp
        && !stream.is_opaque()
        && stream.direction.receives()
        && stream.remote.is_some()
        && stream.port.is_some()
}

/// By what codec a party hears: by that which its partner is translated to, or which both have.
fn heard(
    state: &CallState,
    leg: &Leg,
    (index, stream): (usize, &Stream),
) -> Option<(Format, Option<OpusSettings>)> {
    let peer = leg.peer.and_then(|peer| state.leg(peer));
    let routes = peer.map_or(&[][..], |it| Exchange::routes(state, index, it.id, leg.id));
    if let Some(route) = routes.first() {
        let Format {
            codec,
            payload_type,
            ptime_ms,
            ..
        } = route.to;
        let codec = match codec {
            // Files of 48 kHz are rare, and would take three times the room.
            Codec::Opus(SampleRate::Full | SampleRate::Stereo) => Codec::Opus(SampleRate::Wide),
            codec => codec,
        };
        return Some((Format::new(codec, payload_type, ptime_ms), route.opus));
    }
    let others = peer.and_then(|it| it.streams.get(index));
    let others = others.map_or(&[][..], |it| &it.payloads);
    Some((Payload::heard(&stream.payloads, others)?, None))
}

/// Ends whatever is played to the parties of a call.
pub(crate) fn all_over(call: CallKey, state: &CallState) -> Vec<Command> {
    let ears = state.legs.iter().filter_map(|leg| Ear::of(state, leg));
    ears.map(|ear| Command::StopPlaying {
        call,
        port: ear.port,
    })
    .collect()
}

/// Ends what is played to streams that will not hear it any more, or by another codec.
pub(crate) fn endings(call: CallKey, before: &CallState, next: &CallState) -> Vec<Command> {
    let ears = before
        .legs
        .iter()
        .filter_map(|leg| Some((leg.id, Ear::of(before, leg)?)));
    let over = ears.filter(|(leg, ear)| {
        // A port that is closed ends what is played there.
        let is_open = next.ports().any(|port| port == ear.port);
        let after = next.leg(*leg).and_then(|leg| Ear::of(next, leg));
        is_open && after.as_ref() != Some(ear)
    });
    over.map(|(_, ear)| Command::StopPlaying {
        call,
        port: ear.port,
    })
    .collect()
}

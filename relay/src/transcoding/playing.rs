//! What one worker has played.
//!
//! A player is a codec thread's while there is something to play. What is left of it then is what
//! makes the next one go on with the same stream: who was sent a source must not be sent another
//! one of the same call for each announcement.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use codec::Codec;
use relay_core::SocketId;
use relay_rtp::{Packet, Ssrc};
use relay_transcode::{Identity, Plan, Player, Playing, Side};
use relay_wire::{CallKey, Play, Port, Refusal};

use super::courier::Parcel;
use super::engine::Order;
use super::plans::{opus_settings, side};
use super::players::Begin;
use super::shared::FlowKey;
use super::thread::Taking;
use super::transcoder::Transcoder;

/// Where sounds leave from, or have left from.
#[derive(Debug, Default)]
pub(super) struct Heard {
    by_socket: HashMap<SocketId, Box<Place>>,
    /// What was played, and what was not for want of time, or since it could not be.
    played: u64,
    refused: u64,
}

/// One socket that sounds leave from.
#[derive(Debug)]
struct Place {
    call: CallKey,
    port: Port,
    /// What the next packet says at least; its time is later if time goes by.
    next: Identity,
    /// When the last one left.
    at: Instant,
    clock_hz: u32,
    ticks: u32,
    playing: Playing,
    /// Samples of each packet.
    samples: usize,
    /// Packets that have left.
    sent: u64,
    /// What positions are told in, a second.
    unit_hz: u32,
    /// Who plays, as long as there is something to play.
    player: Option<(usize, FlowKey)>,
}

impl Heard {
    /// Counters of this worker.
    pub(super) fn counters(&self) -> [(&'static str, u64); 3] {
        let places = self.by_socket.values();
        let playing = places.filter(|it| it.player.is_some()).count();
        [
            ("sounds_playing", playing as u64),
            ("sounds_played", self.played),
            ("sounds_unplayed", self.refused),
        ]
    }

    /// Whether a parcel is of what is being played.
    pub(super) fn is_of(&self, parcel: &Parcel) -> bool {
        let place = self.by_socket.get(&parcel.flow());
        let player = place.and_then(|it| it.player);
        player.is_some_and(|(_, key)| key == parcel.label.key)
    }

    pub(super) fn port(&self, socket: SocketId) -> Option<Port> {
        self.by_socket.get(&socket).map(|it| it.port)
    }
}

impl Place {
    /// What the first packet says that leaves after the last one.
    fn identity(&self, now: Instant) -> Identity {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let passed = passed * u128::from(self.clock_hz) / 1_000_000_000;
        let [.., a, b, c, d] = passed.to_be_bytes();
        let passed = u32::from_be_bytes([a, b, c, d]);
        // The next packet may already be under way.
        let late = passed.saturating_sub(self.ticks);
        Identity {
            timestamp: self.next.timestamp.wrapping_add(late),
            ..self.next
        }
    }

    /// How far it was played, in its units.
    fn position(&self) -> u64 {
        let heard = self.sent * self.samples as u64;
        let sample = self.playing.position(heard) as u64;
        sample * u64::from(self.unit_hz) / u64::from(self.playing.sound.rate.hz())
    }
}

impl Transcoder {
    /// Plays something from now on.
    ///
    /// # Errors
    ///
    /// When that cannot be, or there is too much to do. All is as it was then.
    pub(crate) fn play(
        &mut self,
        now: Instant,
        (call, port, socket): (CallKey, Port, SocketId),
        play: &Play,
    ) -> Result<(), Refusal> {
        let result = self.begin_playing(now, (call, port, socket), play);
        let count = match result {
            Ok(()) => &mut self.heard.played,
            Err(_) => &mut self.heard.refused,
        };
        *count += 1;
        result
    }

    fn begin_playing(
        &mut self,
        now: Instant,
        (call, port, socket): (CallKey, Port, SocketId),
        play: &Play,
    ) -> Result<(), Refusal> {
        let sound = self.pool.sounds.get(play.sound);
        let sound = sound.ok_or(Refusal::UnknownSound)?;
        let plan = plan(play).filter(|it| it.to.codec.rate() == sound.rate);
        let plan = plan.ok_or(Refusal::Unsupported)?;
        let thread = self.reserve(call, Taking::New)?;
        if !self.pool.inlets[thread].has_room() {
            self.pool.inlets[thread].give_back();
            return Err(Refusal::Overload);
        }
        let rate = u64::from(sound.rate.hz());
        let samples_max = u64::from(play.duration_ms) * rate / 1_000;
        let playing = Playing {
            sound,
            start: usize::try_from(play.start).unwrap_or(usize::MAX),
            times: play.times,
            samples_max: (play.duration_ms > 0).then_some(samples_max),
        };
        self.stop_playing(socket);
        let before = self.heard.by_socket.get(&socket);
        let identity = before.map_or_else(random, |it| it.identity(now));
        let key = self.next_key(socket);
        let samples = Player::packet_samples(&plan);
        let clock_hz = plan.to.codec.rtp_clock_hz();
        let ticks = samples as u64 * u64::from(clock_hz) / rate;
        let place = Place {
            call,
            port,
            next: identity,
            at: now,
            clock_hz,
            ticks: u32::try_from(ticks).unwrap_or(0),
            playing: playing.clone(),
            samples,
            sent: 0,
            unit_hz: play.unit_hz,
            player: Some((thread, key)),
        };
        if self
            .heard
            .by_socket
            .insert(socket, Box::new(place))
            .is_none()
        {
            self.note_played(call, socket);
        }
        let begin = Begin {
            key,
            plan,
            playing,
            identity,
        };
        self.pool.inlets[thread].order(Order::Play(Box::new(begin)));
        Ok(())
    }

    /// Plays nothing more there. Says how far it was; `None`: nothing was ever played there.
    pub(crate) fn stop_playing(&mut self, socket: SocketId) -> Option<u64> {
        let place = self.heard.by_socket.get_mut(&socket)?;
        let position = place.position();
        if let Some((thread, key)) = place.player.take() {
            self.pool.inlets[thread].order(Order::Close(key));
        }
        Some(position)
    }

    /// Nothing will be played there again.
    pub(super) fn forget_played(&mut self, socket: SocketId) {
        self.stop_playing(socket);
        self.heard.by_socket.remove(&socket);
    }

    /// A packet that was [made](Self::poll_made) of a sound is about to leave; an empty one says
    /// that it was the last one. Says whose it was then.
    pub(crate) fn note_leaving(
        &mut self,
        now: Instant,
        socket: SocketId,
        packet: &[u8],
    ) -> Option<CallKey> {
        let place = self.heard.by_socket.get_mut(&socket)?;
        if let Ok(packet) = Packet::parse(packet) {
            place.next.sequence = packet.sequence().value().wrapping_add(1);
            place.next.timestamp = packet.timestamp().wrapping_add(place.ticks);
            place.at = now;
            place.sent += 1;
            return None;
        }
        let call = place.call;
        self.stop_playing(socket);
        Some(call)
    }
}

/// From the sound, as if it were a codec's, to what is heard.
fn plan(play: &Play) -> Option<Plan> {
    let to = side(&play.to)?;
    let to = Side::new(to.codec, to.payload_type, to.ptime_ms);
    let from = Side {
        codec: Codec::L16(to.codec.rate()),
        ..to
    };
    let mut plan = Plan::new(from, to);
    if let (Codec::Opus(rate), Some(settings)) = (to.codec, play.opus) {
        plan.opus = Some(opus_settings(rate, settings)?);
    }
    Some(plan)
}

/// RFC 3550 §5.1: nobody is to guess these. Each hasher has random keys of its own.
fn random() -> Identity {
    let random = || RandomState::new().hash_one(0).to_be_bytes();
    let [a, b, c, d, e, f, ..] = random();
    let [g, h, i, j, ..] = random();
    Identity {
        ssrc: Ssrc::new(u32::from_be_bytes([a, b, c, d])),
        sequence: u16::from_be_bytes([e, f]),
        timestamp: u32::from_be_bytes([g, h, i, j]),
    }
}

#[cfg(test)]
mod tests;

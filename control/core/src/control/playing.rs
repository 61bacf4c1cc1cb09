//! What parties are played: `play media`, `stop media`.
//!
//! Control keeps nothing of it. The relay knows what it plays, and goes on while another control
//! takes over, which can end it as well.

use std::collections::HashMap;

use control_ng::{Clip, Command as Asked, Listener, Message, Play, Request, Stop, Value, reply};
use relay_wire::{Answer, CallKey, Command, CommandError, Refusal};

use crate::base64;
use crate::call::{CallState, LegId};
use crate::output::{Notice, Output};
use crate::playing::{self, Ear, Load, Loaded, Source};
use crate::sound::SoundError;

use super::jobs::{Job, Kind, Then};
use super::treating::find;
use super::{Control, Held, Now};

/// The peer's words.
const UNKNOWN_CALL: &str = "Unknown call-ID";
const NOBODY: &str = "No participant party specified";
const NO_MEDIUM: &str = "No media file specified";
const NO_FILE: &str = "Failed to start media playback from file";
const NO_BLOB: &str = "Failed to start media playback from blob";
const NO_DATABASE: &str = "Failed to start media playback from database";
const NOTHING: &str = "Not currently playing media";

/// Requests whose sounds are being read.
const LOADING_MAX: usize = 64;

/// How often a sound is read that the relay then knows nothing of.
const ATTEMPTS_MAX: u8 = 3;

/// Requests whose sounds are being read, by number.
#[derive(Debug, Default)]
pub(super) struct Loading {
    held: HashMap<u64, Held>,
    last: u64,
}

/// What is answered when the relay has done it.
#[derive(Debug)]
pub(super) enum Playing {
    /// Something is played, of so many milliseconds.
    Begun(u32),
    /// Nothing is played any more.
    Over,
}

/// How far something was played that has ended.
pub(super) fn position(answers: &[Answer]) -> Option<u64> {
    answers.iter().find_map(|answer| match answer {
        Answer::Played(position) => *position,
        _ => None,
    })
}

impl Control {
    /// Has what is to be played read.
    pub(super) fn play(&mut self, now: Now, held: Held, cookie: &[u8], play: &Play<'_>) {
        let Some((key, held)) = self.ready(now, held, cookie, (play.call_id, UNKNOWN_CALL)) else {
            return;
        };
        if needs_seal(&self.calls[&key].state, &play.to) {
            return self.seal(now, key, held, cookie);
        }
        let ears = ears(&self.calls[&key].state, &play.to);
        let load = ears.and_then(|ears| {
            let failure = failure(play);
            if ears.is_empty() || self.loading.held.len() >= LOADING_MAX {
                return Err(failure);
            }
            let mut rates: Vec<_> = ears.iter().map(|ear| ear.to.codec.rate()).collect();
            rates.dedup();
            Ok((source(play)?, rates))
        });
        match load {
            Ok((source, rates)) => {
                self.loading.last += 1;
                let id = self.loading.last;
                self.loading.held.insert(id, held);
                let load = Load { id, source, rates };
                self.outputs.push_back(Output::Load(Box::new(load)));
            }
            Err(reason) => self.finish_refused(now, &held, cookie, reason),
        }
    }

    /// Has what passes as it is decrypted and encrypted by the relay, and then sees to the request
    /// again.
    fn seal(&mut self, now: Now, key: CallKey, held: Held, cookie: &[u8]) {
        let mut next = self.calls[&key].state.clone();
        next.recrypts = true;
        let changed = self.change(key, held.clone(), (next, Then::Again), Vec::new());
        if let Err(error) = changed {
            self.finish_refused(now, &held, cookie, &error.to_string());
        }
    }

    /// What was to be [read](Output::Load) is given to the relay, or could not be.
    pub fn handle_loaded(&mut self, now: Now, id: u64, loaded: Result<Loaded, SoundError>) {
        let Some(held) = self.loading.held.remove(&id) else {
            return;
        };
        let datagram = std::sync::Arc::clone(&held.datagram);
        let message = Message::split(&datagram).expect("it was divided before");
        let document = Value::parse(message.body).expect("it was parsed before");
        let request = Request::parse(&document).expect("it was understood before");
        let Asked::Play(play) = &request.command else {
            return;
        };
        match loaded {
            Ok(loaded) => {
                let home = self.home(&request.command);
                let call_id = home.as_deref().unwrap_or(play.call_id);
                let play = Play {
                    call_id,
                    ..play.clone()
                };
                self.play_loaded(now, held, message.cookie, &play, &loaded);
            }
            Err(_) => self.finish_refused(now, &held, message.cookie, failure(play)),
        }
    }

    /// Has the relay play something.
    fn play_loaded(
        &mut self,
        now: Now,
        held: Held,
        cookie: &[u8],
        play: &Play<'_>,
        loaded: &Loaded,
    ) {
        let Some((key, held)) = self.ready(now, held, cookie, (play.call_id, UNKNOWN_CALL)) else {
            return;
        };
        let ears = ears(&self.calls[&key].state, &play.to).unwrap_or_default();
        let commands = ears.iter().map(|ear| {
            let (port, play) = (ear.port, ear.play(play, loaded)?);
            let call = key;
            Some(Command::Play { call, port, play })
        });
        // What was read may be for another codec than that of now.
        let commands: Option<Vec<_>> = commands.collect();
        match commands.filter(|it| !it.is_empty()) {
            Some(commands) => {
                let playing = Playing::Begun(loaded.told.duration_ms);
                self.start_playing(key, held, playing, commands);
            }
            None => self.finish_refused(now, &held, cookie, failure(play)),
        }
    }

    /// Has the relay play nothing any more.
    pub(super) fn stop(&mut self, now: Now, held: Held, cookie: &[u8], stop: &Stop<'_>) {
        let Some((key, held)) = self.ready(now, held, cookie, (stop.call_id, UNKNOWN_CALL)) else {
            return;
        };
        let state = &self.calls[&key].state;
        let legs = listeners(state, &stop.to);
        let ports = legs.map(|legs| {
            let legs = legs.into_iter().filter_map(|leg| state.leg(leg));
            let ears = legs.filter_map(|leg| Ear::of(state, leg));
            ears.map(|ear| ear.port).collect::<Vec<_>>()
        });
        match ports {
            Ok(ports) if ports.is_empty() => self.finish_refused(now, &held, cookie, NOTHING),
            Ok(ports) => {
                let call = key;
                let stop = |port| Command::StopPlaying { call, port };
                let commands = ports.into_iter().map(stop).collect();
                self.start_playing(key, held, Playing::Over, commands);
            }
            Err(reason) => self.finish_refused(now, &held, cookie, reason),
        }
    }

    fn start_playing(
        &mut self,
        key: CallKey,
        held: Held,
        playing: Playing,
        commands: Vec<Command>,
    ) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.may_play = true;
        }
        let stands = self.installed(&self.calls[&key]);
        let job = Job::new(Some(held), Kind::Play(playing), stands, commands);
        self.start(key, job);
    }

    /// The relay plays it, or nothing any more.
    pub(super) fn finish_playing(
        &mut self,
        now: Now,
        held: Option<Held>,
        playing: Playing,
        position: Option<u64>,
    ) {
        let Some(held) = held else {
            return;
        };
        let datagram = std::sync::Arc::clone(&held.datagram);
        let cookie = Message::split(&datagram).map_or(&[][..], |it| it.cookie);
        let reply = match (playing, position) {
            (Playing::Begun(duration_ms), _) => reply::ok().with("duration", duration_ms),
            (Playing::Over, Some(position)) => {
                let position = i64::try_from(position).unwrap_or(i64::MAX);
                reply::ok().with("last-frame-pos", position)
            }
            (Playing::Over, None) => {
                return self.finish_refused(now, &held, cookie, NOTHING);
            }
        };
        self.finish(now, &held, reply.encode(cookie));
    }

    /// The relay does not play it.
    pub(super) fn fail_playing(
        &mut self,
        now: Now,
        key: CallKey,
        held: Option<Held>,
        playing: Playing,
        error: CommandError,
    ) {
        let Some(mut held) = held else {
            return;
        };
        held.attempts += 1;
        let is_gone = error == CommandError::Refused(Refusal::UnknownSound);
        if is_gone && held.attempts < ATTEMPTS_MAX {
            return self.resume(now, held);
        }
        self.counters.relay_refusals += 1;
        let call_id = self.calls.get(&key).map(|it| it.name()).unwrap_or_default();
        self.notice(Notice::RelayRefused { call_id, error });
        let datagram = std::sync::Arc::clone(&held.datagram);
        let message = Message::split(&datagram);
        let document = message.as_ref().and_then(|it| Value::parse(it.body).ok());
        let request = document.as_ref().and_then(|it| Request::parse(it).ok());
        let reason = match (&playing, request.map(|it| it.command)) {
            (Playing::Begun(_), Some(Asked::Play(play))) => failure(&play),
            _ => NOTHING,
        };
        let cookie = message.map_or(&[][..], |it| it.cookie);
        self.finish_refused(now, &held, cookie, reason);
    }
}

/// Who is meant.
fn listeners(state: &CallState, to: &Listener<'_>) -> Result<Vec<LegId>, &'static str> {
    match to {
        Listener::Everybody => Ok(state.legs.iter().map(|leg| leg.id).collect()),
        Listener::Party(party) => find(state, party).map(|leg| vec![leg]),
        Listener::Unnamed => Err(NOBODY),
    }
}

/// Whether somebody is meant who could hear something if only packets did not pass as they are.
fn needs_seal(state: &CallState, to: &Listener<'_>) -> bool {
    let legs = listeners(state, to).unwrap_or_default();
    let mut legs = legs.into_iter().filter_map(|leg| state.leg(leg));
    legs.any(|leg| playing::needs_seal(state, leg))
}

/// Those of them that can hear something.
fn ears(state: &CallState, to: &Listener<'_>) -> Result<Vec<Ear>, &'static str> {
    let legs = listeners(state, to)?;
    let legs = legs.into_iter().filter_map(|leg| state.leg(leg));
    Ok(legs.filter_map(|leg| Ear::of(state, leg)).collect())
}

fn source(play: &Play<'_>) -> Result<Source, &'static str> {
    match play.medium {
        Some(Clip::Blob(bytes)) => Ok(Source::Blob(bytes.to_vec())),
        Some(Clip::Blob64(text)) => base64::read(text.trim_ascii_end())
            .map(Source::Blob)
            .ok_or(NO_BLOB),
        Some(Clip::File(path)) => Ok(Source::File(path.to_vec())),
        Some(_) => Err(NO_DATABASE),
        None => Err(NO_MEDIUM),
    }
}

/// What is said if it does not come to it.
fn failure(play: &Play<'_>) -> &'static str {
    match play.medium {
        Some(Clip::Blob(_) | Clip::Blob64(_)) => NO_BLOB,
        Some(Clip::File(_)) => NO_FILE,
        Some(_) => NO_DATABASE,
        None => NO_MEDIUM,
    }
}

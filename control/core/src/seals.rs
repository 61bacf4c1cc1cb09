//! Which streams of a call the relay decrypts and encrypts.
//!
//! Where two parties have each other's keys (RFC 4568) packets pass as they are, as with the peer: it
//! costs nothing, and nobody can tell. As soon as anybody must read what is said, or somebody else is
//! to hear it, all of the stream is decrypted where it arrives and encrypted where it leaves.

use relay_wire::{OnEvents, OnMedia};

use crate::call::{CallState, Leg, Stream};
use crate::codecs::Exchange;
use crate::echo::Reflection;
use crate::treatment::filter_of;

/// The streams of a call that are decrypted and encrypted, one bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seals(u32);

const _: () = assert!(crate::MEDIA_MAX <= 32);

impl Seals {
    /// `tells_keys`: somebody wants to hear of keys (RFC 4733) of all calls.
    pub(crate) fn of(state: &CallState, tells_keys: bool) -> Self {
        let has_keys = |index: usize| {
            let mut streams = state.legs.iter().filter_map(|leg| leg.streams.get(index));
            streams.any(|stream| stream.keys().is_some() || shakes(stream))
        };
        let count = state.legs.iter().map(|leg| leg.streams.len()).max();
        let indices = 0..count.unwrap_or(0).min(crate::MEDIA_MAX);
        let sealed = indices.filter(|index| has_keys(*index) && is_read(state, *index, tells_keys));
        Self(sealed.fold(0, |bits, index| bits | 1 << index))
    }

    /// Whether the stream is one of them.
    pub(crate) fn has(self, index: usize) -> bool {
        index < crate::MEDIA_MAX && self.0 & 1 << index != 0
    }
}

/// Whether somebody must read what is sent, or it is not understood by who gets it.
fn is_read(state: &CallState, index: usize, tells_keys: bool) -> bool {
    if state.recrypts || state.is_joined() {
        return true;
    }
    state.legs.iter().any(|leg| {
        let Some(stream) = leg.streams.get(index) else {
            return false;
        };
        let peer = state.listener(leg);
        let filter = filter_of(state, (leg, peer), index, tells_keys);
        let is_filtered = filter.is_some_and(|it| {
            it.tells_keys || it.on_events != OnEvents::Pass || is_written(&it.on_media)
        });
        let is_changed = |peer: &Leg| {
            let other = peer.streams.get(index);
            other.is_some_and(|other| !has_keys_of(stream, other))
                || !Exchange::routes(state, index, leg.id, peer.id).is_empty()
        };
        // Nobody but the relay has the keys that it has shaken hands for.
        shakes(stream)
            || stream.makes_reports
            || stream.reflection != Reflection::None
            || is_filtered
            || peer.is_some_and(is_changed)
    })
}

fn is_written(on_media: &OnMedia) -> bool {
    !matches!(on_media, OnMedia::Pass | OnMedia::Drop)
}

fn shakes(stream: &Stream) -> bool {
    stream.handshake.agreed().is_some()
}

/// Whether the one was told the keys of the other.
fn has_keys_of(from: &Stream, to: &Stream) -> bool {
    from.keys().map(|it| &it.receive) == to.keys().map(|it| &it.send)
}

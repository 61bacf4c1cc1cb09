//! Parties that talk to one another from now on, without having offered one another anything.

use control_ng::{Connect, reply};

use crate::call::{CallState, LegId};
use crate::codecs::{Exchange, Transcode, routes_between};

use super::jobs::Then;
use super::treating::{UNSUPPORTED, find};
use super::{Control, Held, Now};

/// The peer's words.
const UNKNOWN_CALLS: &str = "Unknown call-ID(s)";
const NOBODY: &str = "No medias found (no monologues matched)";
const NO_SINK: &str = "To-tag not found";

impl Control {
    /// Carries `connect` out.
    pub(super) fn connect(&mut self, now: Now, held: Held, cookie: &[u8], connect: &Connect<'_>) {
        let ready = self.ready(now, held, cookie, (connect.call_id, UNKNOWN_CALLS));
        let Some((key, held)) = ready else {
            return;
        };
        let mut next = self.calls[&key].state.clone();
        if let Err(reason) = self.join(&mut next, connect, held.spares_codecs) {
            return self.finish_refused(now, &held, cookie, reason);
        }
        next.last_signal_unix_ms = now.unix_ms;
        let then = Then::Reply(reply::ok().encode(cookie));
        if let Err(error) = self.change(key, held.clone(), (next, then), Vec::new()) {
            self.finish_refused(now, &held, cookie, &error.to_string());
        }
    }

    fn join(
        &self,
        state: &mut CallState,
        connect: &Connect<'_>,
        spares_codecs: bool,
    ) -> Result<(), &'static str> {
        if connect.is_directional {
            return Err(UNSUPPORTED);
        }
        if let Some(other) = connect.to_call_id.filter(|it| *it != connect.call_id) {
            // Either call's ports belong to its worker, so that two calls are never made one.
            let is_known = self.keys.contains_key(other);
            return Err(if is_known { UNSUPPORTED } else { UNKNOWN_CALLS });
        }
        let from = find(state, connect.from.as_ref().ok_or(NOBODY)?)?;
        let to = state.leg_by_tag(connect.to_tag).ok_or(NO_SINK)?.id;
        if from == to {
            return Err(NO_SINK);
        }
        if !are_alike(state, from, to) {
            return Err(UNSUPPORTED);
        }
        for (leg, peer) in [(from, to), (to, from)] {
            if let Some(leg) = state.leg_mut(leg) {
                leg.peer = Some(peer);
                leg.is_settled = true;
            }
        }
        if self.config.transcode != Transcode::Never && !spares_codecs {
            translate(state, from, to);
        }
        Ok(())
    }
}

/// Whether each medium of the one party has its like at the same place of the other.
fn are_alike(state: &CallState, one: LegId, other: LegId) -> bool {
    let streams = |leg: LegId| state.leg(leg).into_iter().flat_map(|leg| &leg.streams);
    let mut pairs = streams(one).zip(streams(other));
    pairs.all(|(a, b)| a.kind == b.kind || !a.is_active || !b.is_active)
}

/// Has the relay translate where two parties share no codec.
fn translate(state: &mut CallState, one: LegId, other: LegId) {
    for index in 0..crate::MEDIA_MAX {
        let payloads = |leg: LegId| Some(&state.leg(leg)?.streams.get(index)?.payloads[..]);
        let (Some(of_one), Some(of_other)) = (payloads(one), payloads(other)) else {
            return;
        };
        let is_secure = |leg: LegId| {
            let stream = state.leg(leg).and_then(|leg| leg.streams.get(index));
            stream.is_none_or(crate::call::Stream::is_secure)
        };
        let routes = if is_secure(one) || is_secure(other) {
            [Vec::new(), Vec::new()]
        } else {
            [
                routes_between(of_one, of_other),
                routes_between(of_other, of_one),
            ]
        };
        Exchange::connect(state, index, (one, other), routes);
    }
}

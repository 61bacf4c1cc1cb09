//! Which port the one party is told of when the other moves.
//!
//! A party that is told of the same port again takes it that nothing has moved. So who moves gets
//! its peer told of another port, and who moves back, of the first one, as the peer has it. What
//! still arrives at ports that were told before is forwarded like the rest.
//!
//! Who shakes hands with the relay does so with a port, which stays: that the other has moved is
//! nothing to it.
//!
//! A party that will receive nothing is about to be put on hold, which often moves it to nowhere:
//! then ports are kept.

use std::net::SocketAddr;

use control_ng::{Flag, Negotiation};

use super::{Negotiator, Refusal};
use crate::call::{CallState, FORMER_MAX, Former, LegId, Stream};
use crate::sdp::{Media, Sdp};

impl Negotiator<'_> {
    /// The port that a receiver is told of, which has one.
    pub(super) fn port_told(
        &mut self,
        state: &mut CallState,
        negotiation: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        (sender, receiver): (LegId, LegId),
        (index, media): (usize, &Media),
    ) -> Result<u16, Refusal> {
        let told = state.leg(receiver).and_then(|leg| leg.port(index));
        let told = told.ok_or(Refusal::Dialogue)?;
        let Some(signalled) = sdp.signalled(media) else {
            return Ok(told.number);
        };
        // By ICE it finds out by itself that the other has moved.
        let stream = state.leg(receiver).and_then(|leg| leg.streams.get(index));
        let has_ice = stream.is_some_and(|it| it.ice.is_on);
        let finds_out = has_ice && !negotiation.flags.has(Flag::NoPortLatching);
        // Its keys are those of the port, and by another one it would not know that it needs others.
        let has_shaken = stream.is_some_and(|it| it.handshake.agreed().is_some());
        let leg = state.leg_mut(sender).ok_or(Refusal::Dialogue)?;
        let chosen_for = &mut leg.stream_mut(index).chosen_for;
        let Some(before) = chosen_for.map(SocketAddr::from) else {
            *chosen_for = Some(signalled.into());
            return Ok(told.number);
        };
        let is_latched = finds_out || has_shaken || is_latched(negotiation, sdp, media);
        let has_moved = !is_same(before, signalled) && !is_latched;
        if before.ip().is_unspecified() || has_moved {
            *chosen_for = Some(signalled.into());
        }
        if !has_moved {
            return Ok(told.number);
        }
        let (of, port) = (before.into(), told.number);
        let stream = state.leg_mut(receiver).ok_or(Refusal::Dialogue)?;
        let stream = stream.stream_mut(index);
        let worker = self.worker_of(receiver);
        let taken = move || {
            self.ports
                .take(self.now.instant, worker, told.interface, self.rng)
        };
        // Without a port to change to things stay as they are.
        stream.port = stream.recall(signalled).or_else(taken).or(Some(port));
        if stream.port != Some(port) {
            stream.remember(Former { of, port });
            if has_ice {
                // What is elsewhere is another one.
                stream.ice.change(|it| it.is_stale = true);
            }
        }
        stream.port.ok_or(Refusal::OutOfPorts)
    }
}

impl Stream {
    /// The port that was told when the other party was somewhere before.
    fn recall(&mut self, of: SocketAddr) -> Option<u16> {
        let mut former = self.former.iter();
        let at = former.position(|it| is_same(it.of.into(), of))?;
        Some(self.former.change(|former| former.remove(at)).port)
    }

    fn remember(&mut self, port: Former) {
        self.former.change(|former| {
            former.drain(..(former.len() + 1).saturating_sub(FORMER_MAX));
            former.push(port);
        });
    }
}

/// Whether two places are one. Of who names an address of zeros only the port is known.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let is_unknown = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (is_unknown || one.ip() == other.ip())
}

/// Whether the port stays whatever the sender does.
fn is_latched(negotiation: &Negotiation<'_>, sdp: &Sdp<'_>, media: &Media) -> bool {
    let flags = negotiation.flags;
    let receives = sdp.direction(media).receives();
    flags.has(Flag::PortLatching) || (!receives && !flags.has(Flag::NoPortLatching))
}

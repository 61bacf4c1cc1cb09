//! Where packets get their last: what has arrived is decided about, and what is to leave sealed is
//! sealed.

use std::time::Instant;

use relay_core::{Egress, GROWTH_MAX, Ingress, Relay, Sealing, Verdict};

use super::send_copies;
use crate::copier::Copier;
use crate::dtls::Shaker;
use crate::io::{Decide, Io, SEND_BYTES_MAX};
use crate::transcoding::Transcoder;

/// Decides about what has arrived.
pub(super) struct Decider<'a> {
    pub(super) now: Instant,
    pub(super) relay: &'a mut Relay,
    pub(super) transcoder: &'a mut Transcoder,
    pub(super) copier: &'a mut Copier,
    pub(super) shaker: &'a mut Shaker,
}

impl Decide for Decider<'_> {
    #[inline]
    fn decide(&mut self, ingress: Ingress, packet: &mut [u8]) -> Verdict {
        let verdict = self.relay.handle_packet(self.now, ingress, packet);
        send_copies(self.relay, self.copier, packet);
        let taken = match verdict {
            Verdict::Take(taken) => taken,
            Verdict::Shake(shaken) => {
                self.shaker.take(shaken, ingress.source, packet);
                return verdict;
            }
            _ => return verdict,
        };
        let verdict = self.transcoder.take(self.now, self.relay, taken, packet);
        send_copies(self.relay, self.copier, packet);
        verdict
    }

    fn seal(&mut self, sealing: Sealing, buffer: &mut [u8]) -> Verdict {
        self.relay.seal(sealing, buffer)
    }
}

/// Room for one packet that has not arrived here and is to be sealed.
#[derive(Debug)]
pub(super) struct Desk {
    buffer: Box<[u8; SEND_BYTES_MAX + GROWTH_MAX]>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            buffer: Box::new([0; _]),
        }
    }
}

impl Desk {
    /// Sends a packet that was made here, as was decided.
    pub(super) fn send(&mut self, relay: &mut Relay, io: &mut Io, verdict: Verdict, packet: &[u8]) {
        match verdict {
            Verdict::Forward(egress) => io.send(egress, packet),
            Verdict::Seal(sealing) => {
                if let Some((egress, sealed)) = self.seal(relay, sealing, packet) {
                    io.send(egress, sealed);
                }
            }
            _ => {}
        }
    }

    fn seal(
        &mut self,
        relay: &mut Relay,
        sealing: Sealing,
        packet: &[u8],
    ) -> Option<(Egress, &[u8])> {
        let packet = packet.get(..sealing.len())?;
        self.buffer.get_mut(..packet.len())?.copy_from_slice(packet);
        match relay.seal(sealing, &mut self.buffer[..]) {
            Verdict::ForwardPart { egress, len } => Some((egress, self.buffer.get(..len.into())?)),
            _ => None,
        }
    }
}

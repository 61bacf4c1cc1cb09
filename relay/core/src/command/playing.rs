//! Packets of sounds, which nobody sent: the driver makes them, and they leave like others.

use std::time::Instant;

use relay_rtp::Kind;
use relay_wire::{CallKey, Play, Port, Refusal};

use super::Outcome;
use crate::{DropReason, Relay, SocketId, Verdict};

impl Relay {
    pub(super) fn plan_playing(
        &mut self,
        call: CallKey,
        port: Port,
        play: Option<Play>,
    ) -> Result<Outcome, Refusal> {
        let socket = self.socket_of(call, port)?;
        if let Some(play) = &play {
            self.expect_played(socket, play.rtcp);
        }
        Ok(Outcome::Play {
            call,
            port,
            socket,
            play,
        })
    }

    /// What others send to the peer of this socket is kept from it while it is played something
    /// there, or is not any more. RTCP goes on.
    pub fn handle_playing(&mut self, call: CallKey, socket: SocketId, is_alone: bool) {
        let socket = self.agents.elected(socket);
        let Some(call) = self.calls.get(call) else {
            return;
        };
        for other in &call.endpoints {
            if let Some(endpoint) = self.flows.open(*other) {
                endpoint.set_muted(socket, is_alone);
            }
        }
    }

    /// Takes a packet of a sound; says where it leaves. It is counted already, and reported on with
    /// [`Self::poll_report`].
    pub fn handle_played(&mut self, now: Instant, socket: SocketId, packet: &[u8]) -> Verdict {
        self.packets_made += 1;
        let leaves = self.agents.elected(socket);
        let verdict = match self.flows.endpoint(leaves) {
            Some(_) => self.depart(leaves, Kind::Rtp, packet.len()),
            None => Err(DropReason::UnknownFlow),
        };
        match verdict {
            Ok(verdict) => {
                // What is to be sealed is counted then.
                if matches!(verdict, Verdict::Forward(_)) {
                    self.packets_out += 1;
                    self.bytes_out += packet.len() as u64;
                }
                self.report_played(now, socket, packet);
                verdict
            }
            Err(reason) => {
                self.drops[reason.index()] += 1;
                Verdict::Drop(reason)
            }
        }
    }
}

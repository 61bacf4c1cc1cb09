//! Packets that are taken out to be changed, and what was made of them.
//!
//! The core knows no codecs: whose packets they are is decided here as for all others, and then
//! they are the driver's, which has somebody change them.

use relay_rtp::Kind;
use relay_wire::{Answer, CallKey, CommandError, Port, Refusal, Transcoding};

use crate::command::Outcome;
use crate::{DropReason, Relay, SocketId, Verdict};

/// What is to be changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target {
    /// Whose it is.
    pub call: CallKey,
    /// Where it arrives, as control says it.
    pub ingress: Port,
    /// The socket of that: the name of the flow.
    pub flow: SocketId,
    /// The socket that exchanges RTCP with the peer, if one does.
    pub rtcp: Option<SocketId>,
}

/// What packets of a flow need.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Treatment {
    /// Nothing: they leave as they come.
    None,
    /// They are changed one by one, and RTCP passes as it is.
    Each,
    /// Others are made of them, and so RTCP is for who makes them.
    Remade,
}

impl Relay {
    pub(crate) fn plan_transcoding(
        &self,
        call: CallKey,
        ingress: Port,
        transcoding: Option<Transcoding>,
    ) -> Result<Outcome, Refusal> {
        let rtcp = transcoding.as_ref().and_then(|it| it.rtcp);
        let target = Target {
            call,
            ingress,
            flow: self.socket_of(call, ingress)?,
            rtcp: rtcp.map(|it| self.socket_of(call, it)).transpose()?,
        };
        Ok(Outcome::Treat {
            target,
            transcoding,
        })
    }

    /// The driver has seen to it that a flow is changed, or has not.
    ///
    /// # Errors
    ///
    /// When it has not; then all is as it was.
    pub fn handle_treated(
        &mut self,
        target: Target,
        result: Result<Treatment, Refusal>,
    ) -> Result<Answer, CommandError> {
        let treatment = result.map_err(CommandError::Refused)?;
        let Target { flow, rtcp, .. } = target;
        let rtcp = rtcp.filter(|_| treatment == Treatment::Remade);
        let before = self.flows.open(flow).and_then(|endpoint| {
            endpoint.set_taken(treatment != Treatment::None);
            let rare = endpoint.rare_if(rtcp.is_some())?;
            std::mem::replace(&mut rare.reports, rtcp)
        });
        for (socket, rtcp_of) in [(before, None), (rtcp, Some(flow))] {
            let endpoint = socket.and_then(|it| self.flows.open(it));
            if let Some(rare) = endpoint.and_then(|it| it.rare_if(rtcp_of.is_some())) {
                rare.rtcp_of = rtcp_of;
            }
        }
        Ok(Answer::Done)
    }

    /// A packet was made of what arrived at `flow`, or a report for the peer there: says where it
    /// leaves. [`Self::poll_copy`] says who else gets it. It is counted already.
    pub fn handle_made(&mut self, flow: SocketId, kind: Kind, packet: &[u8]) -> Verdict {
        self.packets_made += 1;
        let endpoint = self.flows.endpoint(flow).filter(|it| it.is_taken());
        let is_copied = kind != Kind::Rtcp && endpoint.is_some_and(|it| !it.sinks().is_empty());
        if is_copied {
            self.begin_copies(flow, kind, packet.len(), true);
        }
        match self.route_made(flow, kind, packet) {
            Ok(Verdict::Seal(sealing)) => Verdict::Seal(sealing),
            Ok(verdict) => {
                self.packets_out += 1;
                self.bytes_out += packet.len() as u64;
                verdict
            }
            Err(DropReason::NotConnected) if is_copied => {
                self.copied.only += 1;
                Verdict::Copied
            }
            Err(reason) => {
                self.drops[reason.index()] += 1;
                Verdict::Drop(reason)
            }
        }
    }

    fn route_made(
        &mut self,
        flow: SocketId,
        kind: Kind,
        packet: &[u8],
    ) -> Result<Verdict, DropReason> {
        let endpoint = self.flows.endpoint(flow);
        let endpoint = endpoint.filter(|it| it.is_taken());
        let endpoint = endpoint.ok_or(DropReason::UnknownFlow)?;
        let socket = match kind {
            Kind::Rtcp => endpoint.rare().reports.map(|it| self.agents.elected(it)),
            Kind::Rtp | Kind::Other => endpoint.rtp,
        };
        let socket = socket.ok_or(DropReason::NotConnected)?;
        self.depart(socket, kind, packet.len())
    }
}

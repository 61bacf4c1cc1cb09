//! What becomes of one request that is passed on: its branches, and which of their responses the
//! sender gets (RFC 3261 §16.7).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::call::CallNumber;
use crate::interface::{Destination, Source, Token, Transport};
use crate::route::Way;
use crate::transaction::TransactionId;
use crate::transaction::key::Branch as BranchKey;

/// One request, named by its server transaction.
#[derive(Debug)]
pub(crate) struct Fork {
    /// As received, with `received` and `rport`; emptied when nothing is made of it any more.
    pub(crate) request: Arc<[u8]>,
    pub(crate) source: Source,
    pub(crate) is_invite: bool,
    pub(crate) way: Way,
    /// Of what routing depends on.
    pub(crate) loop_hash: u32,
    pub(crate) kind: Kind,
    pub(crate) call: Option<CallNumber>,
    /// The parties, if the request's SDP and its answers go through the relay.
    pub(crate) media: Option<MediaParties>,
    /// Contacts still to be tried, best first.
    pub(crate) groups: VecDeque<Vec<Target>>,
    pub(crate) branches: Vec<Branch>,
    /// Responses on their way to the sender, in order; the first may wait for the relay.
    pub(crate) upstream: VecDeque<Passing>,
    /// The best final response other than 2xx so far.
    pub(crate) best: Option<Final>,
    pub(crate) is_cancelled: bool,
    /// A final response is on its way or was sent.
    pub(crate) is_decided: bool,
    /// It was decided that the sender is told of a failure.
    pub(crate) is_failed: bool,
}

/// Which requests it is one of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Begins a dialog or stands alone.
    First,
    /// Inside a dialog.
    InDialog,
}

/// Who talks, as the relay names them.
#[derive(Clone, Debug)]
pub(crate) struct MediaParties {
    pub(crate) call_id: String,
    /// Tag of whoever sent the request.
    pub(crate) sender_tag: String,
    /// Tag of the other, if the request names it.
    pub(crate) other_tag: Option<String>,
    /// Of a request inside a dialog: names the fork that became the dialog.
    pub(crate) branch: Option<String>,
    /// What the SDP of the request is.
    pub(crate) request_sdp: SdpRole,
}

/// What an SDP is, or what one in a response would be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SdpRole {
    /// The request answers an offer that came before: a response's SDP would be a new offer's
    /// answer, which does not happen.
    Answer,
    /// The request holds none: the first SDP in a response is an offer.
    None,
    /// The request holds an offer: SDP in responses answers it.
    Offer,
}

/// Where a branch is to go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The request URI; `None` keeps that of [`Fork::way`].
    pub(crate) uri: Option<Vec<u8>>,
    /// Routes before those of [`Fork::way`].
    pub(crate) path: Vec<Vec<u8>>,
    pub(crate) hop: Hop,
}

/// The next hop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Hop {
    /// Known.
    At(Destination),
    /// Still to be looked up.
    Named {
        host: String,
        port: Option<u16>,
        transport: Transport,
    },
}

/// One copy of the request.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) key: BranchKey,
    pub(crate) target: Target,
    pub(crate) destination: Option<Destination>,
    pub(crate) state: BranchState,
    /// To be cancelled as soon as that is possible.
    pub(crate) is_cancel_due: bool,
    /// It was cancelled because it rang for too long.
    pub(crate) has_rung_out: bool,
    /// The relay was asked for ports for it.
    pub(crate) has_media: bool,
    /// The last SDP of a response and what the relay made of it.
    pub(crate) sdp: Option<(Vec<u8>, Vec<u8>)>,
    /// Each 2xx, by its tag: a proxy behind it may fork too.
    pub(crate) accepted: Vec<Accepted>,
}

/// What to do when a 2xx comes again.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) to_tag: Vec<u8>,
    pub(crate) again: Again,
}

#[derive(Debug)]
pub(crate) enum Again {
    /// Acknowledge it: the sender of the INVITE was told that it failed.
    Acknowledge(Vec<u8>),
    /// It is not passed on yet.
    Ignore,
    /// Pass this on, with the SDP that the relay made.
    PassOn(Vec<u8>),
    /// Pass on what came.
    PassOnAsItCame,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BranchState {
    /// A 2xx came; retransmissions of it may follow.
    Accepted,
    /// It had a final response, or never will.
    Over,
    /// The relay is asked.
    Offering(Token),
    /// The next hop is looked up.
    Resolving(Token),
    /// It was sent.
    Sent,
}

/// A response on its way to the sender.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) branch: Option<TransactionId>,
    pub(crate) status: u16,
    pub(crate) bytes: Vec<u8>,
    /// The question to the relay that it waits for.
    pub(crate) waits_for: Option<Token>,
    /// Tag of whoever sent it.
    pub(crate) to_tag: Vec<u8>,
}

/// A final response other than 2xx.
#[derive(Clone, Debug)]
pub(crate) enum Final {
    /// Made here.
    Local {
        status: u16,
        /// The relay is full: say when to try again.
        is_overload: bool,
    },
    /// Received.
    Received { status: u16, bytes: Vec<u8> },
}

impl Final {
    pub(crate) const fn local(status: u16) -> Self {
        Self::Local {
            status,
            is_overload: false,
        }
    }

    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Local { status, .. } | Self::Received { status, .. } => *status,
        }
    }

    /// Smaller is better (RFC 3261 §16.7 step 6): 6xx before all, then the lowest class; within
    /// 4xx those first that say how to do better, and last what only means that nobody was there.
    fn rank(&self) -> u16 {
        match self.status() {
            600.. => 0,
            401 | 407 | 415 | 420 | 484 => 400,
            408 | 487 => 499,
            status @ 400..=499 => status.clamp(401, 498),
            status => status,
        }
    }
}

impl Fork {
    pub(crate) fn branch_mut(&mut self, id: TransactionId) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.key.id == id)
    }

    pub(crate) fn branch(&self, id: TransactionId) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.key.id == id)
    }

    /// Keeps the better one.
    pub(crate) fn consider(&mut self, response: Final) {
        if self
            .best
            .as_ref()
            .is_none_or(|best| response.rank() < best.rank())
        {
            self.best = Some(response);
        }
    }

    /// Whether a branch may still bring a response.
    pub(crate) fn is_pending(&self) -> bool {
        self.branches.iter().any(|branch| branch.is_pending())
    }

    /// Nothing more will come of it.
    pub(crate) fn is_done(&self) -> bool {
        self.is_decided
            && self.upstream.is_empty()
            && self
                .branches
                .iter()
                .all(|branch| branch.state == BranchState::Over)
    }
}

impl Branch {
    /// It has no final response yet.
    pub(crate) const fn is_pending(&self) -> bool {
        !matches!(self.state, BranchState::Accepted | BranchState::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best_of(statuses: &[u16]) -> u16 {
        let finals = statuses.iter().map(|status| Final::local(*status));
        finals.min_by_key(Final::rank).unwrap().status()
    }

    #[test]
    fn the_best_response_is_the_one_that_helps_most() {
        for (statuses, best) in [
            (&[404, 603, 302][..], 603),
            (&[486, 302], 302),
            (&[486, 503], 486),
            (&[486, 407], 407),
            (&[408, 486], 486),
            (&[487, 480], 480),
            (&[500, 408], 408),
            (&[480, 486], 480),
        ] {
            assert_eq!(best_of(statuses), best, "{statuses:?}");
        }
    }
}

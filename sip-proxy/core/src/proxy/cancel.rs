//! CANCEL, from the sender and to the branches (RFC 3261 §9, §16.10).

use sip_proxy_message::{Message, Method};

use crate::Proxy;
use crate::fork::{BranchState, Final};
use crate::interface::{Now, Source};
use crate::proxy::reply::Reply;
use crate::transaction::TransactionId;
use crate::transaction::key::ServerKey;

impl Proxy {
    /// Answers a CANCEL without a transaction of its own: doing it twice changes nothing.
    pub(crate) fn handle_cancel(&mut self, now: Now, source: Source, message: &Message<'_>) {
        let invite = ServerKey::new(message, Method::Invite)
            .ok()
            .and_then(|key| self.transactions.find_server(&key))
            // Whoever guesses a branch must also be at the sender's address.
            .filter(|id| {
                let peer = self.transactions.peer(*id);
                peer.is_some_and(|peer| peer.address.ip() == source.address.ip())
            });
        let Some(id) = invite else {
            self.counters.dialog_unknown += 1;
            self.reply(source, message, &Reply::new(481));
            return;
        };
        self.reply(source, message, &Reply::new(200));
        if self.transactions.is_server_proceeding(id) {
            self.cancel_fork(now, id);
        }
    }

    fn cancel_fork(&mut self, now: Now, id: TransactionId) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        // A final response is on its way; it waits for the relay.
        if fork.is_decided || fork.is_cancelled {
            return;
        }
        fork.is_cancelled = true;
        fork.groups.clear();
        self.cancel_others(now, id, None);
        self.advance(now, id);
    }

    /// Cancels all branches but one.
    pub(crate) fn cancel_others(
        &mut self,
        now: Now,
        id: TransactionId,
        but: Option<TransactionId>,
    ) {
        let Some(fork) = self.forks.get_mut(&id) else {
            return;
        };
        let mut unsent = Vec::new();
        for branch in &mut fork.branches {
            if Some(branch.key.id) == but {
                continue;
            }
            match branch.state {
                BranchState::Sent if fork.is_invite => {
                    let out = &mut self.out;
                    // Before a provisional response a CANCEL must wait for it.
                    branch.is_cancel_due =
                        !self.transactions.cancel(now.instant, branch.key.id, out);
                }
                BranchState::Offering(_) | BranchState::Resolving(_) => {
                    branch.state = BranchState::Over;
                    unsent.push(branch.key.id);
                }
                BranchState::Accepted | BranchState::Over | BranchState::Sent => {}
            }
        }
        if !unsent.is_empty() {
            fork.consider(Final::local(487));
        }
        for branch in unsent {
            self.release_branch_media(id, branch);
        }
    }
}

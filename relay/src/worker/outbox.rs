//! Replies of one turn, which leave together.
//!
//! A message to control costs it a wake-up or a system call, whatever is in it. So the replies of
//! a turn are one packet, one behind the other.

use relay_wire::{FromRelay, append};

use crate::mailbox::{Mailbox, Outgoing, ReplyTo, Sent};

/// Bytes after which replies are sent though there may be more: a packet has room for these and one
/// more short reply.
const BYTES_MAX: usize = 32 * 1_024;

/// Replies that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Who gets them.
    to: Option<ReplyTo>,
}

impl Outbox {
    /// Adds a short reply. Says whether more may be added.
    pub(super) fn push(&mut self, to: ReplyTo, message: &FromRelay, mailbox: &Mailbox) -> bool {
        let is_other = |it: &ReplyTo| it.connection != to.connection;
        if self.to.as_ref().is_some_and(is_other) {
            // Whoever asked before has been replaced, and needs no replies.
            self.forget();
        }
        append(message, &mut self.bytes);
        self.to = Some(to);
        self.bytes.len() < BYTES_MAX || self.flush(mailbox)
    }

    /// Sends what there is, or has the link send it when control has room. If not even the link
    /// has, it stays here, and the worker is woken when that has changed. Says whether nothing is
    /// left.
    pub(super) fn flush(&mut self, mailbox: &Mailbox) -> bool {
        let Some(to) = &self.to else {
            return true;
        };
        if to.send(&self.bytes) == Sent::NoRoom {
            if !mailbox.has_room() {
                return false;
            }
            mailbox.say(Outgoing::Replies {
                connection: to.connection,
                packet: self.bytes.clone(),
            });
        }
        self.forget();
        true
    }

    fn forget(&mut self) {
        self.bytes.clear();
        self.to = None;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::Arc;

    use relay_wire::{Reply, decode_first};

    use super::*;
    use crate::mailbox::ConnectionId;
    use crate::wake::Wake;

    fn reply(id: u32) -> FromRelay {
        FromRelay::Reply(Reply {
            id,
            answers: Vec::new(),
            failure: None,
        })
    }

    fn ids(packet: &[u8]) -> Vec<u32> {
        let (mut rest, mut ids) = (packet, Vec::new());
        while !rest.is_empty() {
            let (message, more) = decode_first(rest).unwrap();
            let FromRelay::Reply(reply) = message else {
                panic!("{message:?}");
            };
            ids.push(reply.id);
            rest = more;
        }
        ids
    }

    #[test]
    fn replies_leave_together_and_wait_where_there_is_room() {
        let [wake, link_wake] = [(); 2].map(|()| Arc::new(Wake::new().unwrap()));
        let mailbox = Mailbox::new(wake, link_wake);
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let to = ReplyTo {
            connection: ConnectionId(1),
            socket: Arc::new(ours.into()),
        };
        let mut outbox = Outbox::default();
        assert!(outbox.flush(&mailbox), "nothing to send");
        for id in 0..3 {
            assert!(outbox.push(to.clone(), &reply(id), &mailbox));
        }
        assert!(outbox.flush(&mailbox));
        let mut packet = [0; 1_000];
        let len = theirs.recv(&mut packet).unwrap();
        assert_eq!(ids(&packet[..len]), [0, 1, 2]);

        // The socket is full, and then the mailbox.
        while to.send(&[7; 1_000]) == Sent::Done {}
        let mut id = 3;
        loop {
            outbox.push(to.clone(), &reply(id), &mailbox);
            if !outbox.flush(&mailbox) {
                break;
            }
            id += 1;
            assert!(id < 1_000, "the mailbox has an end");
        }
        let heard = std::iter::from_fn(|| mailbox.hear()).flat_map(|it| match it {
            Outgoing::Replies { packet, .. } => ids(&packet),
            other => panic!("{other:?}"),
        });
        assert!(heard.eq(3..id));
        assert!(outbox.flush(&mailbox), "there is room again");
        match mailbox.hear() {
            Some(Outgoing::Replies { packet, .. }) => assert_eq!(ids(&packet), [id]),
            other => panic!("{other:?}"),
        }
    }
}

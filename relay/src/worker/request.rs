//! A request that is being answered, command by command.

use std::collections::VecDeque;

use relay_wire::{
    Answer, COMMANDS_MAX, CallKey, Command, CommandError, Failure, MESSAGE_BYTES_MAX, Refusal,
    Reply,
};

use crate::mailbox::{Incoming, ReplyTo};

/// Bytes of a reply that are not answers, with room to spare: its tag, its number, the count of
/// answers, the failure; and one byte for each answer that says no more than that it is done.
const REPLY_BYTES: usize = 64 + COMMANDS_MAX;

/// Bytes of answers that a worker encodes and sends itself: some microseconds, which packets can
/// wait for.
const SHORT_BYTES_MAX: usize = 4 * 1_024;

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Progress {
    from: ReplyTo,
    commands: VecDeque<Command>,
    reply: Reply,
    /// Bytes that are left for answers.
    room: usize,
    /// The call that it has begun last.
    created: Option<CallKey>,
}

impl Progress {
    pub(super) fn new(incoming: Incoming) -> Self {
        let Incoming { from, request } = incoming;
        let mut progress = Self {
            from,
            reply: Reply {
                id: request.id,
                answers: Vec::new(),
                failure: None,
            },
            commands: request.commands.into(),
            room: MESSAGE_BYTES_MAX - REPLY_BYTES,
            created: None,
        };
        if progress.commands.len() > COMMANDS_MAX {
            progress.note(Err(CommandError::Refused(Refusal::TooLong)));
        }
        progress
    }

    /// The next command: `None` when all are done, or one has failed.
    pub(super) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// A command is about to be done.
    pub(super) fn note_command(&mut self, command: &Command) {
        if let Command::CreateCall { call, .. } = *command {
            self.created = Some(call);
        }
    }

    /// Whether it has begun this call.
    pub(super) fn has_created(&self, call: CallKey) -> bool {
        self.created == Some(call)
    }

    /// A command that cannot be done yet is the next once more.
    pub(super) fn put_back(&mut self, command: Command) {
        self.commands.push_front(command);
    }

    /// Bytes that the next answer may take.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Notes what became of a command. After a failure the others are not tried.
    pub(super) fn note(&mut self, result: Result<Answer, CommandError>) {
        match result {
            Ok(answer) => {
                if answer != Answer::Done {
                    self.room = self.room.saturating_sub(answer.encoded_len_max());
                }
                self.reply.answers.push(answer);
            }
            Err(error) => {
                let index = u16::try_from(self.reply.answers.len()).unwrap_or(u16::MAX);
                self.reply.failure = Some(Failure { index, error });
                self.commands.clear();
            }
        }
    }

    /// Whether the reply is soon encoded.
    pub(super) fn is_short(&self) -> bool {
        self.room + SHORT_BYTES_MAX >= MESSAGE_BYTES_MAX - REPLY_BYTES
    }

    pub(super) fn finish(self) -> (ReplyTo, Reply) {
        (self.from, self.reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::ConnectionId;
    use relay_wire::{CallRecord, FromRelay, Request, WorkerId, encode};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    use std::sync::Arc;

    fn progress(commands: usize) -> Progress {
        let socket: OwnedFd = UnixDatagram::unbound().unwrap().into();
        Progress::new(Incoming {
            from: ReplyTo {
                connection: ConnectionId(1),
                socket: Arc::new(socket),
            },
            request: Request {
                id: u32::MAX,
                worker: WorkerId(0),
                commands: vec![Command::QueryWorker; commands],
            },
        })
    }

    #[test]
    fn stops_at_the_first_failure() {
        let mut progress = progress(3);
        progress.next_command().unwrap();
        progress.note(Ok(Answer::Done));
        assert!(progress.is_short());
        progress.next_command().unwrap();
        progress.note(Err(CommandError::System(98)));
        assert_eq!(progress.next_command(), None);
        let (_, reply) = progress.finish();
        assert_eq!(reply.answers, [Answer::Done]);
        assert_eq!(reply.failure.unwrap().index, 1);
    }

    #[test]
    fn refuses_a_list_that_is_too_long() {
        let mut progress = progress(COMMANDS_MAX + 1);
        assert_eq!(progress.next_command(), None);
        assert!(progress.finish().1.failure.is_some());
    }

    #[test]
    fn the_fullest_reply_fits_a_message() {
        let mut progress = progress(COMMANDS_MAX);
        for _ in 0..COMMANDS_MAX - 2 {
            progress.note(Ok(Answer::Done));
        }
        let overhead = Answer::CALLS_LEN_MAX + CallRecord::encoded_len_max(0);
        let record = vec![0xff; progress.room() - overhead];
        let call = CallKey(u64::MAX);
        progress.note(Ok(Answer::Calls {
            calls: vec![CallRecord { call, record }],
            more: true,
        }));
        assert_eq!(progress.room(), 0);
        assert!(!progress.is_short());
        progress.note(Err(CommandError::System(i32::MIN)));
        let mut bytes = Vec::new();
        encode(&FromRelay::Reply(progress.finish().1), &mut bytes);
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
    }
}

//! ng over TCP: `cookie document`, one after the other, many under way at once.

use std::io;
use std::time::Duration;

use control_ng::{FrameError, Framer, reply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::{IN_FLIGHT_MAX, Peer, Place, REPLY_TIME, REQUEST_BYTES_MAX, Waiting};
use crate::ng_gate::Counts;

/// Bytes read at once.
const READ_BYTES: usize = 8_192;

/// Serves a connection until it ends.
pub(super) async fn serve<S>(place: Place, peer: Peer, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let remote = peer.client.remote;
    let mut connection = Connection {
        peer,
        stream,
        framer: Framer::new(REQUEST_BYTES_MAX),
        held: None,
        in_flight: 0,
        has_come: false,
        has_begun: false,
        is_ended: false,
        deadline: None,
    };
    let ending = connection.run().await;
    debug!(%remote, ?ending, "connection over");
    drop(place);
}

/// Why a connection is over.
#[derive(Debug)]
enum Ending {
    /// The peer closed it.
    Closed,
    /// Nothing came, or not all of a message.
    Idle,
    Io(#[expect(dead_code, reason = "for the log")] io::Error),
    /// What came cannot be divided.
    Frame(#[expect(dead_code, reason = "for the log")] FrameError),
}

struct Connection<S> {
    peer: Peer,
    stream: S,
    framer: Framer,
    /// A request that came too early for its sender's rate, and when it is in time.
    held: Option<(Vec<u8>, Instant)>,
    /// Requests that were not answered yet.
    in_flight: usize,
    /// What came last was not looked at yet.
    has_come: bool,
    /// The deadline is that of a message which has begun.
    has_begun: bool,
    /// Whether the peer will send nothing more.
    is_ended: bool,
    /// When it is over unless something comes.
    deadline: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> Ending {
        let mut buffer = vec![0; READ_BYTES];
        self.expect_message();
        loop {
            if let Err(error) = self.hand_on().await {
                return self.refuse(error).await;
            }
            if self.is_ended && self.in_flight == 0 && self.held.is_none() {
                return Ending::Closed;
            }
            let is_waiting = self.held.is_some() || self.in_flight >= IN_FLIGHT_MAX;
            let may_read = !is_waiting && !self.is_ended;
            let held_until = self.held.as_ref().map(|(_, due)| *due);
            let deadline = held_until.or(self.deadline);
            let turn = tokio::select! {
                Some(reply) = self.peer.replies.recv() => self.reply(&reply).await,
                read = self.stream.read(&mut buffer), if may_read => match read {
                    Ok(len) => {
                        self.take(&buffer[..len]);
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    if held_until.is_none() && !self.give_up() {
                        Counts::add(&self.peer.link.gate.counts.idle);
                        return Ending::Idle;
                    }
                    Ok(())
                }
            };
            if let Err(error) = turn {
                if error.kind() == io::ErrorKind::TimedOut {
                    // It does not read.
                    Counts::add(&self.peer.link.gate.counts.idle);
                }
                return Ending::Io(error);
            }
        }
    }

    /// Hands complete messages to the loop, as many as may be under way, unless their sender has to
    /// wait.
    async fn hand_on(&mut self) -> Result<(), FrameError> {
        while self.in_flight < IN_FLIGHT_MAX {
            let message = match self.held.take() {
                Some((message, due)) if due <= Instant::now() => message,
                Some(held) => {
                    self.held = Some(held);
                    break;
                }
                None => match self.framer.next_message()? {
                    Some(message) => message.to_vec(),
                    None => break,
                },
            };
            let Peer { link, client, .. } = &self.peer;
            if let Err(due) = link.take(*client) {
                self.held = Some((message, due));
                break;
            }
            link.hand_in(*client, message).await;
            self.in_flight += 1;
            self.deadline = Some(Instant::now() + REPLY_TIME);
        }
        if std::mem::take(&mut self.has_come) {
            self.expect_rest();
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
        self.is_ended = bytes.is_empty();
        self.has_come = !self.is_ended;
        if self.is_ended {
            self.deadline = Some(Instant::now() + REPLY_TIME);
        }
    }

    /// Once a message has begun it is to come, however slowly. White space is none.
    fn expect_rest(&mut self) {
        let is_within = self.has_begun && self.framer.pending_bytes() > 0;
        if self.in_flight == 0 && self.held.is_none() && !is_within {
            self.expect_message();
        }
    }

    async fn reply(&mut self, reply: &Waiting) -> io::Result<()> {
        if reply.is_reply {
            self.in_flight = self.in_flight.saturating_sub(1);
            if self.in_flight == 0 {
                self.expect_message();
            }
        }
        let patience = self.peer.link.message_time();
        write(&mut self.stream, reply.bytes(), patience).await
    }

    /// What is not answered by now never will be. `false` if nothing was waited for.
    fn give_up(&mut self) -> bool {
        let did_wait = self.in_flight > 0;
        self.in_flight = 0;
        self.expect_message();
        did_wait
    }

    fn expect_message(&mut self) {
        let link = &self.peer.link;
        self.has_begun = self.framer.pending_bytes() > 0;
        let time = match self.has_begun {
            true => Some(link.message_time()),
            false => link.idle_timeout,
        };
        self.deadline = time.map(|time| Instant::now() + time);
    }

    /// Says what is wrong, and that nothing more will be read.
    async fn refuse(&mut self, error: FrameError) -> Ending {
        let patience = self.peer.link.message_time();
        Counts::add(&self.peer.link.gate.counts.malformed);
        let reason = match error {
            FrameError::TooLong => "Request too long",
            _ => "Invalid NG data format",
        };
        // What was asked before is answered before.
        while self.in_flight > 0
            && let Ok(Some(reply)) = timeout(REPLY_TIME, self.peer.replies.recv()).await
        {
            self.in_flight -= usize::from(reply.is_reply);
            if let Err(error) = write(&mut self.stream, reply.bytes(), patience).await {
                return Ending::Io(error);
            }
        }
        if let Some(cookie) = self.framer.cookie() {
            let refusal = reply::error(reason).encode(cookie);
            if let Err(error) = write(&mut self.stream, &refusal, patience).await {
                return Ending::Io(error);
            }
        }
        self.part().await;
        Ending::Frame(error)
    }

    /// Closes so that what was written last arrives: what still comes is read and thrown away, for
    /// a while.
    async fn part(&mut self) {
        let mut rest = vec![0; READ_BYTES];
        let read_rest = async {
            self.stream.shutdown().await?;
            let mut read = 0;
            while read < REQUEST_BYTES_MAX {
                match self.stream.read(&mut rest).await? {
                    0 => break,
                    len => read += len,
                }
            }
            io::Result::Ok(())
        };
        let _ = timeout(REPLY_TIME, read_rest).await;
    }
}

/// Writes all, if it is read in time.
async fn write<S>(stream: &mut S, bytes: &[u8], patience: Duration) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let written = timeout(patience, stream.write_all(bytes)).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

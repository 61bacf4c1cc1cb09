//! ng over TCP: `cookie document`, one after the other, many under way at once.

use std::io;
use std::time::Duration;

use control_ng::{FrameError, Framer, reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::{IN_FLIGHT_MAX, Peer, Place, REPLY_TIME, REQUEST_BYTES_MAX, Waiting};
use crate::ng_gate::Counts;

/// Bytes read at once.
const READ_BYTES: usize = 8_192;

/// Serves a connection until it ends.
pub(super) async fn serve(place: Place, peer: Peer, stream: TcpStream) {
    let remote = peer.client.remote;
    let mut connection = Connection {
        peer,
        stream,
        framer: Framer::new(REQUEST_BYTES_MAX),
        in_flight: 0,
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

struct Connection {
    peer: Peer,
    stream: TcpStream,
    framer: Framer,
    /// Requests that were not answered yet.
    in_flight: usize,
    /// Whether the peer will send nothing more.
    is_ended: bool,
    /// When it is over unless something comes.
    deadline: Option<Instant>,
}

impl Connection {
    async fn run(&mut self) -> Ending {
        let mut buffer = vec![0; READ_BYTES];
        self.expect_message();
        loop {
            if let Err(error) = self.hand_on().await {
                return self.refuse(error).await;
            }
            if self.is_ended && self.in_flight == 0 {
                return Ending::Closed;
            }
            let may_read = self.in_flight < IN_FLIGHT_MAX && !self.is_ended;
            let deadline = self.deadline;
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
                    if !self.give_up() {
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

    /// Hands complete messages to the loop, as many as may be under way.
    async fn hand_on(&mut self) -> Result<(), FrameError> {
        while self.in_flight < IN_FLIGHT_MAX {
            let Some(message) = self.framer.next_message()? else {
                break;
            };
            let message = message.to_vec();
            self.peer.link.ask(self.peer.client, message).await;
            self.in_flight += 1;
            self.deadline = Some(Instant::now() + REPLY_TIME);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        let was_empty = self.framer.pending_bytes() == 0;
        self.framer.push(bytes);
        self.is_ended = bytes.is_empty();
        if self.is_ended {
            self.deadline = Some(Instant::now() + REPLY_TIME);
        } else if was_empty && self.in_flight == 0 {
            // A message has begun: from now on it is to come, however slowly.
            self.deadline = Some(Instant::now() + self.peer.link.message_time());
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
        let idle = self.peer.link.idle_timeout;
        self.deadline = match self.framer.pending_bytes() {
            0 => idle.map(|idle| Instant::now() + idle),
            _ => Some(Instant::now() + self.peer.link.message_time()),
        };
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
async fn write(stream: &mut TcpStream, bytes: &[u8], patience: Duration) -> io::Result<()> {
    let written = timeout(patience, stream.write_all(bytes)).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

//! Finds the messages in a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1).

use memchr::memmem;

use crate::header::scan::is_token;
use crate::limits::{MESSAGE_LEN_MAX, START_LINE_LEN_MAX};
use crate::message::{ParseError, parse};

/// What was found in a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame<'a> {
    /// The bytes of one message, for [`Message::parse`](crate::Message::parse).
    Message(&'a [u8]),
    /// CRLF CRLF between messages: answer with CRLF.
    Ping,
    /// CRLF between messages: the answer to our own ping, or half of a ping. If the next thing
    /// that comes is the other half, it is reported as [`Self::Ping`].
    Pong,
}

/// Why a stream cannot be read on: close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Nobody can know where the message ends: Content-Length is missing, doubled or no number,
    /// or the header is so broken that others may find another one.
    #[error("no usable Content-Length")]
    ContentLength,
    /// What begins here is no SIP.
    #[error("not SIP")]
    NotSip,
    /// A message is longer than [`MESSAGE_LEN_MAX`].
    #[error("message too long")]
    TooLong,
}

/// Collects the bytes of one connection and cuts messages off. Holds no more than one message
/// that is not complete and what was pushed last.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were handed out.
    consumed: usize,
    /// Bytes after `consumed` that hold no end of a header.
    searched: usize,
    /// Length of the message that begins at `consumed`, once its header is there.
    awaited: Option<usize>,
    /// The last thing that came was half of a ping.
    after_pong: bool,
    failure: Option<FrameError>,
}

impl Framer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read. Call [`Self::poll_frame`] until it returns `None` before the next.
    ///
    /// # Errors
    /// If more is waiting than a message can be long, or the stream failed before.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        if self.buffer.len() > MESSAGE_LEN_MAX {
            return Err(self.fail(FrameError::TooLong));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes the next frame; `None` if it is not complete.
    ///
    /// # Errors
    /// If the stream cannot be read on. The error stays.
    pub fn poll_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.next_frame() {
            Err(failure) => Err(self.fail(failure)),
            Ok(None) => Ok(None),
            Ok(Some(Found::Ping)) => Ok(Some(Frame::Ping)),
            Ok(Some(Found::Pong)) => Ok(Some(Frame::Pong)),
            Ok(Some(Found::Message(len))) => {
                let start = self.consumed;
                self.consumed += len;
                Ok(Some(Frame::Message(&self.buffer[start..self.consumed])))
            }
        }
    }

    /// Bytes that wait for the rest of their message. A connection that has some for long is
    /// either slow or an attack.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    const fn fail(&mut self, failure: FrameError) -> FrameError {
        self.failure = Some(failure);
        failure
    }

    fn next_frame(&mut self) -> Result<Option<Found>, FrameError> {
        let pending = &self.buffer[self.consumed..];
        match pending {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', rest @ ..] => {
                let is_whole = !self.after_pong && rest.starts_with(b"\r\n");
                self.consumed += if is_whole { 4 } else { 2 };
                let is_ping = is_whole || self.after_pong;
                self.after_pong = !is_ping;
                return Ok(Some(if is_ping { Found::Ping } else { Found::Pong }));
            }
            [first, ..] if !is_token(*first) => return Err(FrameError::NotSip),
            _ => {}
        }
        self.after_pong = false;
        let len = match self.awaited {
            Some(len) => len,
            None => {
                check_first_line(pending)?;
                let from = self.searched.saturating_sub(3);
                let Some(found) = memmem::find(&pending[from..], b"\r\n\r\n") else {
                    self.searched = pending.len();
                    let is_bounded = pending.len() <= MESSAGE_LEN_MAX;
                    return is_bounded.then_some(None).ok_or(FrameError::TooLong);
                };
                message_len(&pending[..from + found + 4])?
            }
        };
        if pending.len() < len {
            self.awaited = Some(len);
            return Ok(None);
        }
        self.awaited = None;
        self.searched = 0;
        Ok(Some(Found::Message(len)))
    }
}

enum Found {
    Message(usize),
    Ping,
    Pong,
}

/// Length of the message whose header section `header` is.
fn message_len(header: &[u8]) -> Result<usize, FrameError> {
    let announced = parse::announced_length(header).map_err(|error| match error {
        ParseError::TooLong => FrameError::TooLong,
        _ => FrameError::ContentLength,
    })?;
    let body_len = announced.ok_or(FrameError::ContentLength)?;
    let len = header.len().saturating_add(body_len);
    if len > MESSAGE_LEN_MAX {
        return Err(FrameError::TooLong);
    }
    Ok(len)
}

/// Whether the first line, if it is complete, names SIP at its beginning or end: HTTP and the
/// like are seen off at once.
fn check_first_line(pending: &[u8]) -> Result<(), FrameError> {
    let near = &pending[..pending.len().min(START_LINE_LEN_MAX + 2)];
    let Some(end) = memmem::find(near, b"\r\n") else {
        let may_go_on = near.len() == pending.len();
        return may_go_on.then_some(()).ok_or(FrameError::TooLong);
    };
    let names_sip = |word: &[u8]| {
        let name = word.get(..4);
        name.is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/"))
    };
    let line = &near[..end];
    let last_word = line
        .rsplit(|byte| *byte == b' ')
        .find(|word| !word.is_empty());
    let is_sip = names_sip(line) || last_word.is_some_and(names_sip);
    is_sip.then_some(()).ok_or(FrameError::NotSip)
}

#[cfg(test)]
mod tests;

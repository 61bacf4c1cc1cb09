//! Finds the messages in a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1).

/// What was found in a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame<'a> {
    /// The bytes of one message, for [`Message::parse`](crate::Message::parse).
    Message(&'a [u8]),
    /// CRLF CRLF between messages: answer with CRLF.
    Ping,
    /// CRLF between messages: the answer to our own ping.
    Pong,
}

/// Why a stream cannot be read on: close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Nobody can know where the message ends.
    #[error("no usable Content-Length")]
    ContentLength,
    /// A message, or its header, is longer than we take.
    #[error("message too long")]
    TooLong,
    /// What begins here is no SIP.
    #[error("not SIP")]
    NotSip,
}

/// Collects the bytes of one connection and cuts messages off.
#[derive(Debug, Default)]
pub struct Framer {
    _buffer: Vec<u8>,
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
    /// If more is waiting than a message can be long.
    pub fn push(&mut self, _bytes: &[u8]) -> Result<(), FrameError> {
        todo!()
    }

    /// Takes the next frame; `None` if it is not complete.
    ///
    /// # Errors
    /// If the stream cannot be read on. The error stays.
    pub fn poll_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        todo!()
    }

    /// Bytes that wait for the rest of their message.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        todo!()
    }
}

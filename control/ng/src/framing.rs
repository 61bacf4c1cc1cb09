//! Messages in a stream, where nothing says how long one is but itself.
//!
//! Over TCP messages follow one another, each `cookie SP document`, and arrive in pieces that have
//! nothing to do with them. [`Framer`] finds where a document ends while it arrives: each byte is
//! looked at once, however small the pieces are. It does not say whether the document is right, only
//! how long it is; white space before a cookie is skipped.

use std::ops::Range;

use crate::message::COOKIE_BYTES_MAX;

/// Why a stream cannot be divided any further.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A document whose end cannot be found.
    #[error("neither bencode nor JSON")]
    Document,
    /// The cookie has no end.
    #[error("the cookie is too long")]
    LongCookie,
    /// The message is longer than is allowed.
    #[error("the message is too long")]
    TooLong,
}

/// Divides a stream into messages.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the message begins that is being looked at.
    start: usize,
    /// How far it was looked at.
    position: usize,
    part: Part,
    message_bytes_max: usize,
    error: Option<FrameError>,
}

/// What a byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// White space between messages.
    Gap,
    Cookie,
    Document(Document),
}

impl Framer {
    /// A framer of messages of this length at most, cookies and all.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            position: 0,
            part: Part::Gap,
            message_bytes_max,
            error: None,
        }
    }

    /// Takes what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            // What was handed out is let go, at the cost of moving what was begun.
            self.buffer.drain(..self.start);
            self.position -= self.start;
            self.start = 0;
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next message that is complete.
    ///
    /// # Errors
    ///
    /// When the stream cannot be divided any further; from then on always the same.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.find() {
            Ok(range) => Ok(range.map(|range| &self.buffer[range])),
            Err(error) => {
                self.error = Some(error);
                Err(error)
            }
        }
    }

    /// The cookie of the message that is not complete, if that much has arrived.
    #[must_use]
    pub fn cookie(&self) -> Option<&[u8]> {
        let rest = &self.buffer[self.start..];
        let is_beyond = matches!(self.part, Part::Document(_));
        let len = memchr::memchr(b' ', rest).filter(|_| is_beyond)?;
        Some(&rest[..len])
    }

    /// Bytes that wait for more.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn find(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        while let Some(byte) = self.buffer.get(self.position) {
            match &mut self.part {
                Part::Gap if byte.is_ascii_whitespace() => {
                    self.position += 1;
                    self.start = self.position;
                }
                Part::Gap => self.part = Part::Cookie,
                Part::Cookie => self.look_for_space()?,
                Part::Document(document) => {
                    let (read, is_end) = document.read(&self.buffer[self.position..])?;
                    self.position += read;
                    self.check_len()?;
                    if is_end {
                        let message = self.start..self.position;
                        self.start = self.position;
                        self.part = Part::Gap;
                        return Ok(Some(message));
                    }
                }
            }
        }
        self.check_len()?;
        Ok(None)
    }

    fn look_for_space(&mut self) -> Result<(), FrameError> {
        let rest = &self.buffer[self.position..];
        let space = memchr::memchr(b' ', rest);
        self.position += space.unwrap_or(rest.len());
        if self.position - self.start > COOKIE_BYTES_MAX {
            return Err(FrameError::LongCookie);
        }
        if space.is_some() {
            self.position += 1;
            self.part = Part::Document(Document::default());
        }
        Ok(())
    }

    /// What is announced counts, too: nobody waits for a string that will be too long.
    fn check_len(&self) -> Result<(), FrameError> {
        let announced = match self.part {
            Part::Document(Document::Bencode { skip, .. }) => skip,
            _ => 0,
        };
        let len = (self.position - self.start).saturating_add(announced);
        (len <= self.message_bytes_max)
            .then_some(())
            .ok_or(FrameError::TooLong)
    }
}

/// How far a document was looked at.
#[derive(Clone, Copy, Debug, Default)]
enum Document {
    /// Not at all.
    #[default]
    New,
    Bencode {
        depth: usize,
        /// Bytes left of a string.
        skip: usize,
        token: Token,
    },
    Json {
        depth: usize,
        within: Within,
    },
}

/// What of bencode comes next.
#[derive(Clone, Copy, Debug)]
enum Token {
    /// A value, or the end of a list.
    Any,
    Integer,
    /// The digits before a string.
    Length(usize),
}

/// Where in JSON a byte stands.
#[derive(Clone, Copy, Debug)]
enum Within {
    Escape,
    Structure,
    Text,
}

impl Document {
    /// Looks at bytes, and says how many and whether the last one is the end.
    fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), FrameError> {
        let mut read = 0;
        while let Some(byte) = bytes.get(read) {
            if let Self::Bencode { skip, .. } = self
                && *skip > 0
            {
                let len = (*skip).min(bytes.len() - read);
                *skip -= len;
                read += len;
                continue;
            }
            read += 1;
            if self.take(*byte)? {
                return Ok((read, true));
            }
        }
        Ok((read, false))
    }

    fn take(&mut self, byte: u8) -> Result<bool, FrameError> {
        match self {
            Self::New => {
                *self = match byte {
                    b'd' => Self::Bencode {
                        depth: 1,
                        skip: 0,
                        token: Token::Any,
                    },
                    b'{' => Self::Json {
                        depth: 1,
                        within: Within::Structure,
                    },
                    _ => return Err(FrameError::Document),
                };
                Ok(false)
            }
            Self::Bencode { depth, skip, token } => take_bencode(byte, depth, skip, token),
            Self::Json { depth, within } => Ok(take_json(byte, depth, within)),
        }
    }
}

fn take_bencode(
    byte: u8,
    depth: &mut usize,
    skip: &mut usize,
    token: &mut Token,
) -> Result<bool, FrameError> {
    *token = match (*token, byte) {
        (Token::Any, b'd' | b'l') => {
            *depth += 1;
            Token::Any
        }
        (Token::Any, b'e') => {
            *depth -= 1;
            Token::Any
        }
        (Token::Any, b'i') => Token::Integer,
        (Token::Any, b'0'..=b'9') => Token::Length(usize::from(byte - b'0')),
        (Token::Integer, b'e') => Token::Any,
        (Token::Integer, b'-' | b'0'..=b'9') => Token::Integer,
        (Token::Length(len), b'0'..=b'9') => {
            let len = len.saturating_mul(10);
            Token::Length(len.saturating_add(usize::from(byte - b'0')))
        }
        (Token::Length(len), b':') => {
            *skip = len;
            Token::Any
        }
        _ => return Err(FrameError::Document),
    };
    Ok(*depth == 0)
}

fn take_json(byte: u8, depth: &mut usize, within: &mut Within) -> bool {
    *within = match (*within, byte) {
        (Within::Structure, b'"') => Within::Text,
        (Within::Structure, b'{' | b'[') => {
            *depth += 1;
            Within::Structure
        }
        (Within::Structure, b'}' | b']') => {
            *depth -= 1;
            Within::Structure
        }
        (Within::Text, b'\\') => Within::Escape,
        (Within::Text, b'"') => Within::Structure,
        (Within::Escape, _) => Within::Text,
        (within, _) => within,
    };
    *depth == 0
}

#[cfg(test)]
mod tests;

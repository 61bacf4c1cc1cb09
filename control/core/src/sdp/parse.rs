//! Finds what a relay must know and change.
//!
//! Lines that are nothing to us are skipped, malformed or not: they are the parties' affair.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// Media sections of one description.
pub const MEDIA_MAX: usize = 16;

/// Why bytes are no description that can be relayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SdpError {
    /// A `c=` line that is none.
    #[error("a connection line is malformed")]
    Connection,
    /// An `m=` line that is none.
    #[error("a media line is malformed")]
    MediaLine,
    /// More than [`MEDIA_MAX`] media sections.
    #[error("too many media sections")]
    TooManyMedia,
    /// It does not begin with `v=`.
    #[error("it does not begin with v=")]
    Version,
}

/// A description and where things are in it.
#[derive(Debug)]
pub(crate) struct Sdp<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) session: Session,
    pub(super) media: Vec<Media>,
}

/// What stands before the first `m=`.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Of `o=`, from the address type on.
    pub(super) origin_address: Option<Range<usize>>,
    /// Lines `a=group:BUNDLE`, whole.
    pub(super) bundles: Vec<Range<usize>>,
    pub(super) block: Block,
}

/// What a session and a media section have alike.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) connections: Vec<Connection>,
    /// Attribute lines of ICE, whole.
    pub(super) ice: Vec<Range<usize>>,
    pub(super) direction: Option<Direction>,
}

/// A `c=` line.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// From the address type on.
    pub(super) field: Range<usize>,
    /// `None`: a host name.
    pub(super) address: Option<IpAddr>,
}

/// One media section.
#[derive(Debug)]
pub(crate) struct Media {
    /// Such as `audio`.
    pub(crate) kind: Range<usize>,
    /// As written: 0 is a medium that is refused or no longer used.
    pub(crate) port: u16,
    /// Such as `RTP/AVP`.
    pub(crate) protocol: Range<usize>,
    /// What the protocol runs on.
    pub(crate) transport: Transport,
    pub(super) port_field: Range<usize>,
    /// After `m=` and `i=`, where `c=` belongs.
    pub(super) connection_place: usize,
    pub(super) end: usize,
    /// Lines `a=rtcp`, whole.
    pub(super) rtcp_lines: Vec<Range<usize>>,
    /// Lines `a=rtcp-mux` and `a=rtcp-mux-only`, whole.
    pub(super) mux_lines: Vec<Range<usize>>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    pub(super) block: Block,
}

/// What a media protocol runs on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Transport {
    /// Not UDP: cannot be relayed.
    Other,
    /// RTP and RTCP over UDP, secured or not.
    Rtp,
    /// Something else over UDP.
    Udp,
}

/// Which way media may flow, as its sender sees it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    Inactive,
    RecvOnly,
    SendOnly,
    SendRecv,
}

/// Where a party wants to receive one medium.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Remote {
    /// `None`: nowhere, or it cannot be said without asking a name server.
    pub(crate) rtp: Option<SocketAddr>,
    /// The same for RTCP that has a port of its own.
    pub(crate) rtcp: Option<SocketAddr>,
}

impl<'a> Sdp<'a> {
    /// Reads a description.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, SdpError> {
        if !bytes.starts_with(b"v=") {
            return Err(SdpError::Version);
        }
        let mut sdp = Self {
            bytes,
            session: Session::default(),
            media: Vec::new(),
        };
        let mut start = 0;
        while start < bytes.len() {
            let rest = &bytes[start..];
            let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            sdp.line(start..start + len)?;
            start += len;
        }
        Ok(sdp)
    }

    /// The media sections.
    pub(crate) fn media(&self) -> &[Media] {
        &self.media
    }

    /// The bytes of a range within.
    pub(crate) fn text(&self, range: &Range<usize>) -> &'a [u8] {
        &self.bytes[range.clone()]
    }

    /// Which way a medium may flow.
    pub(crate) fn direction(&self, media: &Media) -> Direction {
        let direction = media.block.direction.or(self.session.block.direction);
        direction.unwrap_or(Direction::SendRecv)
    }

    /// The address given for a medium; `None` if there is none or it is a host name.
    pub(crate) fn address(&self, media: &Media) -> Option<IpAddr> {
        let connections = &media.block.connections;
        let connection = connections.first();
        connection
            .or_else(|| self.session.block.connections.first())?
            .address
    }

    /// Where a medium is to be sent, if `source` does not stand in for the address given.
    pub(crate) fn remote(&self, media: &Media, source: Option<IpAddr>) -> Remote {
        let Some(signalled) = self.address(media) else {
            return Remote::default();
        };
        // An address of zeros says "send nothing" (RFC 3264 §8.4), from wherever it was sent.
        if !is_usable(signalled) {
            return Remote::default();
        }
        let address = source.unwrap_or(signalled);
        let rtcp_port = media
            .rtcp
            .map_or_else(|| media.port.checked_add(1), |(port, _)| Some(port));
        let rtcp_address = match media.rtcp {
            Some((_, Some(address))) if source.is_none() => address,
            _ => address,
        };
        Remote {
            rtp: reachable(address, Some(media.port)),
            rtcp: reachable(rtcp_address, rtcp_port),
        }
    }

    /// Takes a line with its end.
    fn line(&mut self, whole: Range<usize>) -> Result<(), SdpError> {
        let line = trim_end(self.bytes, &whole);
        let kind = self.text(&line).get(..2).unwrap_or_default();
        let value = line.start + kind.len()..line.end;
        match kind {
            b"m=" => self.media_line(whole, value),
            b"c=" => self.connection_line(&value),
            b"o=" if self.media.is_empty() => {
                self.session.origin_address = nth_word(self.bytes, &value, 4)
                    .map(|address_type| address_type.start..value.end);
                Ok(())
            }
            b"a=" => {
                self.attribute_line(whole, &value);
                Ok(())
            }
            b"i=" => {
                self.title_line(&whole);
                Ok(())
            }
            _ => {
                self.extend_media(&whole);
                Ok(())
            }
        }
    }

    /// `m=audio 49170/2 RTP/AVP 0 8`
    fn media_line(&mut self, whole: Range<usize>, value: Range<usize>) -> Result<(), SdpError> {
        if self.media.len() == MEDIA_MAX {
            return Err(SdpError::TooManyMedia);
        }
        let word = |n| nth_word(self.bytes, &value, n).ok_or(SdpError::MediaLine);
        let (kind, port_field, protocol) = (word(0)?, word(1)?, word(2)?);
        let port = self.text(&port_field).split(|&b| b == b'/').next();
        let port = number(port.unwrap_or_default()).ok_or(SdpError::MediaLine)?;
        self.media.push(Media {
            kind,
            port,
            transport: Transport::of(self.text(&protocol)),
            protocol,
            port_field,
            connection_place: whole.end,
            end: whole.end,
            rtcp_lines: Vec::new(),
            mux_lines: Vec::new(),
            rtcp: None,
            block: Block::default(),
        });
        Ok(())
    }

    /// `c=IN IP4 192.0.2.1`
    fn connection_line(&mut self, value: &Range<usize>) -> Result<(), SdpError> {
        let address_type = nth_word(self.bytes, value, 1).ok_or(SdpError::Connection)?;
        let address = nth_word(self.bytes, value, 2).ok_or(SdpError::Connection)?;
        let connection = Connection {
            field: address_type.start..value.end,
            address: parse_address(self.text(&address)),
        };
        self.block().connections.push(connection);
        let end = line_end(self.bytes, value.end);
        self.extend_media(&(value.start..end));
        Ok(())
    }

    fn title_line(&mut self, whole: &Range<usize>) {
        self.extend_media(whole);
        if let Some(media) = self.media.last_mut()
            && media.connection_place == whole.start
        {
            media.connection_place = whole.end;
        }
    }

    fn attribute_line(&mut self, whole: Range<usize>, value: &Range<usize>) {
        self.extend_media(&whole);
        let text = self.text(value);
        let (name, argument) = match memchr::memchr(b':', text) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &[][..]),
        };
        if is_ice(name) {
            self.block().ice.push(whole);
        } else if let Some(direction) = Direction::of(name) {
            self.block().direction = Some(direction);
        } else if let Some(media) = self.media.last_mut() {
            media.attribute(name, argument, whole);
        } else if name == b"group" && argument.starts_with(b"BUNDLE") {
            self.session.bundles.push(whole);
        }
    }

    fn block(&mut self) -> &mut Block {
        match self.media.last_mut() {
            Some(media) => &mut media.block,
            None => &mut self.session.block,
        }
    }

    /// A section ends with its last line that says something: what is appended to it goes there.
    fn extend_media(&mut self, whole: &Range<usize>) {
        let is_blank = trim_end(self.bytes, whole).is_empty();
        if let Some(media) = self.media.last_mut()
            && !is_blank
        {
            media.end = whole.end;
        }
    }
}

impl Media {
    /// Whether RTCP on the port of RTP is offered or accepted (RFC 5761 §5.1.1).
    pub(crate) fn has_rtcp_mux(&self) -> bool {
        !self.mux_lines.is_empty()
    }

    fn attribute(&mut self, name: &[u8], argument: &[u8], whole: Range<usize>) {
        match name {
            b"rtcp" => {
                self.rtcp = self.rtcp.or_else(|| parse_rtcp(argument));
                self.rtcp_lines.push(whole);
            }
            b"rtcp-mux" | b"rtcp-mux-only" => self.mux_lines.push(whole),
            _ => {}
        }
    }
}

impl Transport {
    fn of(protocol: &[u8]) -> Self {
        if protocol.starts_with(b"TCP") || protocol.starts_with(b"DCCP") {
            Self::Other
        } else if protocol.starts_with(b"RTP/") || protocol.windows(5).any(|w| w == b"/RTP/") {
            Self::Rtp
        } else {
            Self::Udp
        }
    }
}

impl Direction {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"inactive" => Some(Self::Inactive),
            b"recvonly" => Some(Self::RecvOnly),
            b"sendonly" => Some(Self::SendOnly),
            b"sendrecv" => Some(Self::SendRecv),
            _ => None,
        }
    }
}

fn is_ice(name: &[u8]) -> bool {
    matches!(
        name,
        b"candidate" | b"end-of-candidates" | b"remote-candidates"
    ) || name.starts_with(b"ice-")
}

/// `53020 IN IP4 126.16.64.4`, all but the port optional (RFC 3605 §2.1).
fn parse_rtcp(argument: &[u8]) -> Option<(u16, Option<IpAddr>)> {
    let mut words = argument
        .split(|&b| b == b' ')
        .filter(|word| !word.is_empty());
    let port = number(words.next()?)?;
    let address = words.nth(2).and_then(parse_address);
    Some((port, address.filter(|address| is_usable(*address))))
}

/// An address without the time to live and the count of a multicast one. `None`: a host name.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let address = text.split(|&b| b == b'/').next()?;
    std::str::from_utf8(address).ok()?.parse().ok()
}

fn number(digits: &[u8]) -> Option<u16> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether media may be sent there: to one party, and not to everyone.
fn is_usable(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !is_broadcast
}

fn reachable(address: IpAddr, port: Option<u16>) -> Option<SocketAddr> {
    let port = port.filter(|port| *port != 0)?;
    Some(SocketAddr::new(address, port))
}

/// The line without its end.
fn trim_end(bytes: &[u8], whole: &Range<usize>) -> Range<usize> {
    let line = &bytes[whole.clone()];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    whole.start..whole.start + line.len()
}

/// Where the line goes on after the end of its text.
fn line_end(bytes: &[u8], text_end: usize) -> usize {
    let rest = &bytes[text_end..];
    text_end + memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1)
}

/// The `n`th of the words that spaces divide.
fn nth_word(bytes: &[u8], range: &Range<usize>, n: usize) -> Option<Range<usize>> {
    let mut start = range.start;
    let words = bytes[range.clone()].split(|&b| b == b' ').map(|word| {
        let place = start..start + word.len();
        start = place.end + 1;
        place
    });
    words.filter(|place| !place.is_empty()).nth(n)
}

//! Finds what a relay must know and change.
//!
//! Lines that are nothing to us are skipped, malformed or not: they are the parties' affair.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// Media sections of one description.
pub const MEDIA_MAX: usize = 16;

/// Stands for a port that is not known yet (RFC 8840 §4.1.1).
const PORT_TO_COME: u16 = 9;

/// Lines of most sections; others grow.
const LINES_USUAL: usize = 20;

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
    /// It does not begin with `v=0`.
    #[error("it does not begin with v=0")]
    Version,
}

/// A description and where things are in it.
#[derive(Debug)]
pub(crate) struct Sdp<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) session: Session,
    pub(super) media: Vec<Media>,
    /// A blank line was read: what follows belongs to no section.
    is_past_end: bool,
}

/// What stands before the first `m=`.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The words of `o=`.
    pub(super) origin: Option<[Range<usize>; 6]>,
    pub(super) block: Block,
}

/// What a session and a media section have alike.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// All but `m=` and blank ones.
    pub(super) lines: Vec<Line>,
    /// The places of these, one bit each.
    pub(super) places: u64,
    /// The first `c=`.
    pub(super) connection: Option<Connection>,
    pub(super) direction: Option<Direction>,
}

/// A line, and where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Without its end.
    pub(super) text: Range<usize>,
    pub(super) place: Place,
    /// The payload type that it speaks of.
    pub(super) payload_type: Option<u8>,
}

/// Where a line belongs. Parts are written in this order, and lines of one part in the order that
/// they came in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Place {
    Version,
    Origin,
    Name,
    Title,
    Uri,
    Email,
    Phone,
    Connection,
    /// `b=`, in the order of the peer: AS, RR, RS, CT, TIAS, and what else there is.
    Bandwidth,
    BandwidthRr,
    BandwidthRs,
    BandwidthCt,
    BandwidthTias,
    BandwidthOther,
    Time,
    /// No line that we know.
    Unknown,
    Mid,
    Label,
    /// `rtpmap`, `fmtp` and `rtcp-fb`, which go by payload types.
    Format,
    Extmap,
    /// Attributes that are nothing to us.
    Other,
    Direction,
    Rtcp,
    RtcpMux,
    Crypto,
    Setup,
    Fingerprint,
    TlsId,
    Ptime,
    PtimeMax,
    /// Speaks of sections that share a port.
    Bundle,
    Ice,
    /// Names the relays that the description has passed.
    Loop,
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
    /// The line `m=`.
    pub(super) line: Range<usize>,
    pub(super) port_field: Range<usize>,
    /// What follows the protocol: payload types, or whatever it is.
    pub(super) formats: Range<usize>,
    has_mux: bool,
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
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Direction {
    Inactive,
    RecvOnly,
    SendOnly,
    #[default]
    SendRecv,
}

impl Direction {
    /// Whether the party sends.
    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::SendOnly | Self::SendRecv)
    }

    /// Whether the party receives.
    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::RecvOnly | Self::SendRecv)
    }
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
        if !bytes.starts_with(b"v=0") {
            return Err(SdpError::Version);
        }
        let mut sdp = Self {
            bytes,
            session: Session::default(),
            media: Vec::with_capacity(1),
            is_past_end: false,
        };
        let mut start = 0;
        while start < bytes.len() {
            let rest = &bytes[start..];
            let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            sdp.line(trim_end(bytes, &(start..start + len)))?;
            start += len;
        }
        Ok(sdp)
    }

    /// Reads a description, unless it is this one.
    pub(crate) fn or_parse(self, bytes: &'a [u8]) -> Result<Self, SdpError> {
        if self.bytes == bytes {
            Ok(self)
        } else {
            Self::parse(bytes)
        }
    }

    /// The media sections.
    pub(crate) fn media(&self) -> &[Media] {
        &self.media
    }

    /// The bytes of a range within.
    pub(crate) fn text(&self, range: &Range<usize>) -> &'a [u8] {
        &self.bytes[range.clone()]
    }

    /// What stands for the codecs of a medium in its line: payload types, or whatever it is.
    pub(crate) fn formats(&self, media: &Media) -> &'a [u8] {
        self.text(&media.formats)
    }

    /// What is said of a payload type: the name of each attribute, and what follows the number.
    pub(crate) fn format_lines<'s>(
        &'s self,
        media: &'s Media,
        payload_type: u8,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 's {
        let lines = media.block.lines.iter();
        let lines = lines.filter(move |line| line.payload_type == Some(payload_type));
        lines.filter_map(|line| {
            let (name, argument) = name_and_argument(self.text(&line.text).get(2..)?);
            let at = argument.iter().position(|&b| b == b' ')?;
            Some((name, &argument[at..]))
        })
    }

    /// The line by which a medium is refused.
    pub(crate) fn refusal(&self, media: &Media) -> Vec<u8> {
        let before = self.text(&(media.line.start..media.port_field.start));
        let after = self.text(&(media.port_field.end..media.line.end));
        [before, b"0", after].concat()
    }

    /// Whether a relay has left its mark.
    pub(crate) fn has_loop_mark(&self, mark: &[u8]) -> bool {
        let lines = self.session.block.lines.iter();
        let mut marks = lines.filter(|line| line.place == Place::Loop);
        marks.any(|line| self.text(&line.text).ends_with(mark))
    }

    /// Which way a medium may flow. Who names an address of zeros receives nothing there (RFC 3264
    /// §8.4).
    pub(crate) fn direction(&self, media: &Media) -> Direction {
        let direction = media.block.direction.or(self.session.block.direction);
        let direction = direction.unwrap_or(Direction::SendRecv);
        let is_zero = self.is_zero(media);
        match direction {
            Direction::SendRecv if is_zero => Direction::SendOnly,
            Direction::RecvOnly if is_zero => Direction::Inactive,
            other => other,
        }
    }

    /// The words of `o=`: user name, session, version, network, family and address.
    pub(crate) fn origin(&self) -> Option<[&'a [u8]; 6]> {
        let words = self.session.origin.as_ref()?;
        Some(words.each_ref().map(|word| self.text(word)))
    }

    /// Whether the address given for a medium says that nothing is to be sent. Who trickles
    /// candidates gives one of zeros, and port 9, because it knows none yet (RFC 8840 §4.1.1).
    pub(crate) fn is_zero(&self, media: &Media) -> bool {
        let is_zero = self.address(media).is_some_and(|it| it.is_unspecified());
        is_zero && !(media.port == PORT_TO_COME && self.trickles(media))
    }

    /// Whether candidates of ICE are still to come.
    fn trickles(&self, media: &Media) -> bool {
        let blocks = [&media.block, &self.session.block];
        let mut lines = blocks.into_iter().flat_map(|block| &block.lines);
        lines.any(|line| {
            let text = self.text(&line.text);
            let options = text.strip_prefix(b"a=ice-options:").unwrap_or_default();
            options.split(|&b| b == b' ').any(|it| it == b"trickle")
        })
    }

    /// The address given for a medium; `None` if there is none or it is a host name.
    pub(crate) fn address(&self, media: &Media) -> Option<IpAddr> {
        self.connection(media)?.address
    }

    /// The address and port given for a medium, be they zeros.
    pub(crate) fn signalled(&self, media: &Media) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address(media)?, media.port))
    }

    /// The line `c=` that speaks for a medium.
    pub(super) fn connection<'s>(&'s self, media: &'s Media) -> Option<&'s Connection> {
        let own = media.block.connection.as_ref();
        own.or(self.session.block.connection.as_ref())
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

    /// Takes a line without its end.
    fn line(&mut self, line: Range<usize>) -> Result<(), SdpError> {
        let kind = self.text(&line).get(..2).unwrap_or_default();
        if self.is_past_end && kind != b"m=" {
            return Ok(());
        }
        let value = line.start + kind.len()..line.end;
        let is_session = self.media.is_empty();
        let place = match kind {
            b"m=" => return self.media_line(line, value),
            b"c=" => {
                self.connection_line(&value)?;
                Place::Connection
            }
            b"a=" => return self.attribute_line(line, &value),
            b"b=" => Place::of_bandwidth(self.text(&value)),
            b"i=" => Place::Title,
            b"v=" if line.start == 0 => Place::Version,
            b"o=" if is_session && self.session.origin.is_none() => {
                self.origin_line(&value);
                Place::Origin
            }
            b"s=" if is_session => Place::Name,
            b"u=" if is_session => Place::Uri,
            b"e=" if is_session => Place::Email,
            b"p=" if is_session => Place::Phone,
            b"t=" | b"r=" | b"z=" if is_session => Place::Time,
            _ if self.text(&line).trim_ascii().is_empty() => {
                self.is_past_end = true;
                return Ok(());
            }
            _ => Place::Unknown,
        };
        self.push(line, place, None);
        Ok(())
    }

    fn push(&mut self, text: Range<usize>, place: Place, payload_type: Option<u8>) {
        let block = self.block();
        if block.lines.is_empty() {
            block.lines.reserve(LINES_USUAL);
        }
        block.places |= place.bit();
        block.lines.push(Line {
            text,
            place,
            payload_type,
        });
    }

    /// `o=alice 2890844526 2890844526 IN IP4 host.example.com`
    fn origin_line(&mut self, value: &Range<usize>) {
        let words = words::<6>(self.bytes, value);
        if let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)] = words {
            self.session.origin = Some([a, b, c, d, e, f.start..value.end]);
        }
    }

    /// `m=audio 49170/2 RTP/AVP 0 8`
    fn media_line(&mut self, line: Range<usize>, value: Range<usize>) -> Result<(), SdpError> {
        if self.media.len() == MEDIA_MAX {
            return Err(SdpError::TooManyMedia);
        }
        let [Some(kind), Some(port_field), Some(protocol)] = words::<3>(self.bytes, &value) else {
            return Err(SdpError::MediaLine);
        };
        self.is_past_end = false;
        let port = self.text(&port_field).split(|&b| b == b'/').next();
        let port = number(port.unwrap_or_default()).ok_or(SdpError::MediaLine)?;
        self.media.push(Media {
            kind,
            port,
            transport: Transport::of(self.text(&protocol)),
            formats: (protocol.end + 1).min(line.end)..line.end,
            protocol,
            line,
            port_field,
            has_mux: false,
            rtcp: None,
            block: Block::default(),
        });
        Ok(())
    }

    /// `c=IN IP4 192.0.2.1`
    fn connection_line(&mut self, value: &Range<usize>) -> Result<(), SdpError> {
        let [_, Some(address_type), Some(address)] = words::<3>(self.bytes, value) else {
            return Err(SdpError::Connection);
        };
        let connection = Connection {
            field: address_type.start..value.end,
            address: parse_address(self.text(&address)),
        };
        self.block().connection.get_or_insert(connection);
        Ok(())
    }

    fn attribute_line(&mut self, line: Range<usize>, value: &Range<usize>) -> Result<(), SdpError> {
        let (name, argument) = name_and_argument(self.text(value));
        let place = Place::of_attribute(name, argument);
        if place == Place::Direction
            && let Some(direction) = Direction::of(name)
        {
            self.block().direction = Some(direction);
        }
        if let Some(media) = self.media.last_mut() {
            media.attribute(place, argument);
        }
        let payload_type = (place == Place::Format).then(|| leading_number(argument));
        self.push(line, place, payload_type.flatten());
        Ok(())
    }

    fn block(&mut self) -> &mut Block {
        match self.media.last_mut() {
            Some(media) => &mut media.block,
            None => &mut self.session.block,
        }
    }
}

impl Media {
    /// Whether RTCP on the port of RTP is offered or accepted (RFC 5761 §5.1.1).
    pub(crate) fn has_rtcp_mux(&self) -> bool {
        self.has_mux
    }

    fn attribute(&mut self, place: Place, argument: &[u8]) {
        match place {
            Place::Rtcp => self.rtcp = self.rtcp.or_else(|| parse_rtcp(argument)),
            Place::RtcpMux => self.has_mux = true,
            _ => {}
        }
    }
}

impl Place {
    pub(super) fn bit(self) -> u64 {
        1 << self as u32
    }

    fn of_bandwidth(value: &[u8]) -> Self {
        match name_and_argument(value).0 {
            b"AS" => Self::Bandwidth,
            b"RR" => Self::BandwidthRr,
            b"RS" => Self::BandwidthRs,
            b"CT" => Self::BandwidthCt,
            b"TIAS" => Self::BandwidthTias,
            _ => Self::BandwidthOther,
        }
    }

    fn of_attribute(name: &[u8], argument: &[u8]) -> Self {
        match name {
            b"bundle-only" => Self::Bundle,
            b"candidate" | b"end-of-candidates" | b"remote-candidates" => Self::Ice,
            b"crypto" => Self::Crypto,
            b"extmap" | b"extmap-allow-mixed" => Self::Extmap,
            b"fingerprint" => Self::Fingerprint,
            b"group" if argument.starts_with(b"BUNDLE") => Self::Bundle,
            b"inactive" | b"recvonly" | b"sendonly" | b"sendrecv" => Self::Direction,
            b"label" => Self::Label,
            b"maxptime" => Self::PtimeMax,
            b"mid" => Self::Mid,
            b"ptime" => Self::Ptime,
            b"rtcp" => Self::Rtcp,
            b"rtcp-mux" | b"rtcp-mux-only" => Self::RtcpMux,
            b"rtpengine" => Self::Loop,
            b"rtpmap" | b"fmtp" | b"rtcp-fb" => Self::Format,
            b"setup" => Self::Setup,
            b"tls-id" => Self::TlsId,
            _ if name.starts_with(b"ice-") => Self::Ice,
            _ => Self::Other,
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

/// `name:argument`, or the name alone.
pub(super) fn name_and_argument(attribute: &[u8]) -> (&[u8], &[u8]) {
    // Names are so short that to look at each byte takes least.
    match attribute.iter().position(|&b| b == b':') {
        Some(at) => (&attribute[..at], &attribute[at + 1..]),
        None => (attribute, &[]),
    }
}

fn leading_number(text: &[u8]) -> Option<u8> {
    let len = text.iter().take_while(|b| b.is_ascii_digit()).count();
    number(&text[..len])?.try_into().ok()
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
    let mut number: u16 = 0;
    for byte in digits {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    (!digits.is_empty()).then_some(number)
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

/// The line without its end, however many `\r` that has: written with another end, one of them
/// would be taken for a part of that.
fn trim_end(bytes: &[u8], whole: &Range<usize>) -> Range<usize> {
    let line = &bytes[whole.clone()];
    let mut line = line.strip_suffix(b"\n").unwrap_or(line);
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    whole.start..whole.start + line.len()
}

/// The first of the words that spaces divide.
fn words<const N: usize>(bytes: &[u8], range: &Range<usize>) -> [Option<Range<usize>>; N] {
    let mut words = [const { None }; N];
    let mut rest = range.clone();
    for word in &mut words {
        let text = &bytes[rest.clone()];
        let Some(spaces) = text.iter().position(|&b| b != b' ') else {
            break;
        };
        let len = text[spaces..].iter().position(|&b| b == b' ');
        let start = rest.start + spaces;
        rest.start = len.map_or(rest.end, |len| start + len);
        *word = Some(start..rest.start);
    }
    words
}

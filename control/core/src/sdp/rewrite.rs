//! Writes a description anew, so that it says that media goes to the relay.
//!
//! Lines are put in the peer's order, which proxies and tests are used to, but what a line says is
//! changed only where the relay has a reason to: all others come out byte for byte.

use std::net::IpAddr;

use codec_catalog::Descriptor;

use super::dtls::HandshakeLines;
use super::keys::{KeyLine, KeyStyle};
use super::manipulate::Manipulation;
use super::parse::{Block, Direction, Line, Media, Place, Sdp, Transport};
use super::says::ALLOW_MIXED;
use crate::digits::{Digits, payload_type, push_address};

/// The end of a line (RFC 8866 §5), whatever it was before.
const LINE_BREAK: &[u8] = b"\r\n";

/// What a description is to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite<'a> {
    /// Where the relay receives.
    pub(crate) address: IpAddr,
    /// What `o=` is to say.
    pub(crate) origin: &'a OriginChange,
    /// Put the address even in place of 0.0.0.0, which otherwise stays, being a way to say "hold".
    pub(crate) replace_zero: bool,
    /// Leave the direction of media as it is written, and where.
    pub(crate) keeps_direction: bool,
    /// Say nothing of header extensions (RFC 8285).
    pub(crate) strips_extensions: bool,
    /// How keys are written.
    pub(crate) key_style: KeyStyle,
    /// What `a=rtcp` is to say.
    pub(crate) rtcp_attribute: RtcpAttribute,
    /// Leave this mark, by which we know the description if it comes by again.
    pub(crate) loop_mark: Option<&'a str>,
    /// Say that the relay makes no checks of ICE.
    pub(crate) is_lite: bool,
    /// Attributes to be taken out, put in, and changed.
    pub(crate) manipulation: Manipulation<'a>,
    /// What becomes of each media section, in their order.
    pub(crate) sections: &'a [Section],
}

/// What `o=` is to say instead. `None`: what it said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct OriginChange {
    pub(crate) user_name: Option<Vec<u8>>,
    pub(crate) session_id: Option<Vec<u8>>,
    pub(crate) version: Option<u64>,
    pub(crate) address: Option<IpAddr>,
}

/// What `a=rtcp` is to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RtcpAttribute {
    /// The port and the address.
    Full,
    /// Nothing: it is taken out.
    None,
    /// The port.
    Port,
}

/// What becomes of one media section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Section {
    /// The receiver is not told of it.
    Hide,
    /// It cannot be relayed: it stays as it is, and points where it did.
    Keep,
    /// Its port becomes 0.
    Refuse,
    /// It goes to this port of the relay.
    Relay {
        /// Of RTP, or of whatever it is.
        port: u16,
        /// Of RTCP.
        rtcp_port: u16,
        /// Say that RTCP may come to the port of RTP.
        rtcp_mux: bool,
        /// Which profile the other party is told of. `None`: as it is written.
        profile: Option<&'static [u8]>,
        /// Which keys.
        keys: SectionKeys,
        /// Headers of extensions may be of both kinds.
        mixes_extensions: bool,
        /// What is said of ICE.
        ice: Vec<Vec<u8>>,
    },
}

/// Which keys of SRTP the other party is told of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum SectionKeys {
    /// Those that are written.
    #[default]
    AsWritten,
    /// These.
    Ours {
        lines: Vec<KeyLine>,
        /// What is said of a handshake with the relay.
        handshake: Option<HandshakeLines>,
        /// What is said of a handshake is left there.
        keeps_handshake: bool,
    },
}

/// The description that `sdp` becomes.
pub(crate) fn rewrite(sdp: &Sdp<'_>, rewrite: &Rewrite<'_>) -> Vec<u8> {
    let mut writer = Writer::new(sdp, rewrite);
    writer.session();
    for (media, section) in sdp.media.iter().zip(rewrite.sections) {
        match section {
            Section::Hide => {}
            Section::Keep => writer.kept(media),
            Section::Refuse => writer.refused(media),
            Section::Relay {
                port,
                rtcp_port,
                rtcp_mux,
                profile,
                keys,
                mixes_extensions,
                ice,
            } if media.transport == Transport::Rtp => {
                writer.profile = *profile;
                writer.mixes_extensions = *mixes_extensions;
                writer.ice = ice;
                writer.rtp(media, *port, (*rtcp_port, *rtcp_mux), keys);
            }
            Section::Relay { port, .. } => writer.datagrams(media, *port),
        }
    }
    writer.out
}

#[derive(Debug)]
struct Writer<'a> {
    sdp: &'a Sdp<'a>,
    rewrite: &'a Rewrite<'a>,
    /// The kind of the section being written; `None`: the session part.
    kind: Option<&'a [u8]>,
    /// The profile that the next `m=` gets.
    profile: Option<&'static [u8]>,
    mixes_extensions: bool,
    /// What the next section says of ICE.
    ice: &'a [Vec<u8>],
    /// Where the relay receives, as `c=` says it.
    address: Vec<u8>,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(sdp: &'a Sdp<'a>, rewrite: &'a Rewrite<'a>) -> Self {
        Self {
            sdp,
            rewrite,
            kind: None,
            profile: None,
            mixes_extensions: false,
            ice: &[],
            address: address_field(rewrite.address),
            out: Vec::with_capacity(sdp.bytes.len() + 256),
        }
    }

    fn session(&mut self) {
        let block = &self.sdp.session.block;
        self.places(block, Place::Version..=Place::Version);
        self.origin(block);
        self.places(block, Place::Name..=Place::Phone);
        self.places(block, Place::Bandwidth..=Place::BandwidthOther);
        if block.has(Place::Time) {
            self.places(block, Place::Time..=Place::Time);
        } else {
            self.line(&[b"t=0 0"]);
        }
        self.places(block, Place::Unknown..=Place::Unknown);
        if let Some(mark) = self.rewrite.loop_mark {
            self.line(&[b"a=rtpengine:", mark.as_bytes()]);
        }
        if self.rewrite.is_lite {
            self.text(&[b"a=ice-lite"]);
        }
        for line in &block.lines {
            let is_ours = match line.place {
                Place::Bundle | Place::Ice | Place::RtcpMux => true,
                Place::Direction => !self.rewrite.keeps_direction,
                place => place < Place::Mid,
            };
            if !is_ours {
                self.attribute(line);
            }
        }
        self.added();
    }

    fn origin(&mut self, block: &Block) {
        let (change, words) = (self.rewrite.origin, &self.sdp.session.origin);
        let (Some(words), true) = (words, *change != OriginChange::default()) else {
            return self.places(block, Place::Origin..=Place::Origin);
        };
        let [user_name, session_id, version, net, family, address] =
            words.each_ref().map(|word| self.sdp.text(word));
        let version_changed = change.version.map(|version| version.to_string());
        let (end, changed) = ([family, b" ", address], change.address.map(address_field));
        let end = changed.as_ref().map_or(end, |changed| [changed, b"", b""]);
        self.line(&[
            b"o=",
            change.user_name.as_deref().unwrap_or(user_name),
            b" ",
            change.session_id.as_deref().unwrap_or(session_id),
            b" ",
            version_changed.as_deref().map_or(version, str::as_bytes),
            b" ",
            net,
            b" ",
            end[0],
            end[1],
            end[2],
        ]);
    }

    /// RTP and RTCP.
    fn rtp(&mut self, media: &'a Media, port: u16, rtcp: (u16, bool), keys: &SectionKeys) {
        let block = &media.block;
        self.head(media, port);
        self.places(block, Place::Unknown..=Place::Label);
        self.formats(media);
        if !self.rewrite.strips_extensions {
            self.extensions(block);
        }
        let keeps_direction = self.rewrite.keeps_direction;
        for line in &block.lines {
            let is_here =
                line.place == Place::Other || (line.place == Place::Direction && keeps_direction);
            if is_here {
                self.attribute(line);
            }
        }
        if !keeps_direction {
            let direction = self.sdp.direction(media).name();
            self.text(&[b"a=", direction.as_bytes()]);
        }
        self.rtcp(rtcp.0, rtcp.1);
        self.keys(block, keys);
        self.places(block, Place::Ptime..=Place::PtimeMax);
        for line in std::mem::take(&mut self.ice) {
            self.text(&[b"a=", line]);
        }
        self.added();
    }

    /// Something else over UDP, such as T.38: nothing of it is ours to put in order.
    fn datagrams(&mut self, media: &'a Media, port: u16) {
        self.head(media, port);
        self.places(&media.block, Place::Unknown..=Place::Unknown);
        self.attributes(&media.block);
        self.added();
    }

    /// A section that nobody will use.
    fn refused(&mut self, media: &'a Media) {
        self.kind = Some(self.sdp.text(&media.kind));
        self.media_line(media, 0);
        self.places(&media.block, Place::Title..=Place::Title);
        self.connection(unspecified(self.rewrite.address));
        self.places(&media.block, Place::Bandwidth..=Place::BandwidthOther);
        self.places(&media.block, Place::Mid..=Place::Label);
    }

    /// A section that is not relayed must not inherit the relay's address.
    fn kept(&mut self, media: &'a Media) {
        self.kind = Some(self.sdp.text(&media.kind));
        self.line(&[self.sdp.text(&media.line)]);
        self.places(&media.block, Place::Title..=Place::Title);
        if let Some(connection) = self.sdp.connection(media) {
            self.line(&[b"c=IN ", self.sdp.text(&connection.field)]);
        }
        self.places(&media.block, Place::Bandwidth..=Place::Unknown);
        for line in media.block.lines.iter().filter(|it| it.place >= Place::Mid) {
            self.attribute(line);
        }
    }

    /// `m=`, `i=`, `c=`, `b=`
    fn head(&mut self, media: &'a Media, port: u16) {
        self.kind = Some(self.sdp.text(&media.kind));
        self.media_line(media, port);
        self.places(&media.block, Place::Title..=Place::Title);
        let address = self.rewrite.address;
        if self.sdp.is_zero(media) && !self.rewrite.replace_zero {
            self.connection(unspecified(address));
        } else {
            self.connection(address);
        }
        self.places(&media.block, Place::Bandwidth..=Place::BandwidthOther);
    }

    fn media_line(&mut self, media: &Media, port: u16) {
        let before = self.sdp.text(&(media.line.start..media.port_field.start));
        let protocol = self.sdp.text(&media.protocol);
        let protocol = self.profile.take().unwrap_or(protocol);
        let formats = self.sdp.text(&media.formats);
        let port = Digits::of(port);
        self.line(&[before, port.as_bytes(), b" ", protocol, b" ", formats]);
    }

    fn connection(&mut self, address: IpAddr) {
        if address == self.rewrite.address {
            self.out.extend_from_slice(b"c=IN ");
            self.out.extend_from_slice(&self.address);
            self.out.extend_from_slice(LINE_BREAK);
        } else {
            self.line(&[b"c=IN ", &address_field(address)]);
        }
    }

    /// What is said of each payload type, in the order of `m=`. The static ones get the words that
    /// they could do without (RFC 8866 §6.6): some phones look for them.
    fn formats(&mut self, media: &'a Media) {
        let formats = self.sdp.text(&media.formats);
        let mut listed: u128 = 0;
        for payload_type in formats.split(|&b| b == b' ').filter_map(payload_type) {
            let bit = 1_u128.checked_shl(u32::from(payload_type)).unwrap_or(0);
            if listed & bit == 0 {
                listed |= bit;
                self.format(media, payload_type);
            }
        }
        for line in media
            .block
            .lines
            .iter()
            .filter(|it| it.place == Place::Format)
        {
            let bit = |number| 1_u128.checked_shl(u32::from(number)).unwrap_or(0);
            if line
                .payload_type
                .is_none_or(|number| listed & bit(number) == 0)
            {
                self.attribute(line);
            }
        }
    }

    fn format(&mut self, media: &'a Media, payload_type: u8) {
        let is_of = |it: &&Line| it.place == Place::Format && it.payload_type == Some(payload_type);
        let words = [&b"a=rtpmap"[..], b"a=fmtp", b"a=rtcp-fb"];
        let lines = &media.block.lines;
        let first = lines.iter().position(|it| is_of(&it));
        let last = lines.iter().rposition(|it| is_of(&it));
        let lines = match (first, last) {
            (Some(first), Some(last)) => &lines[first..=last],
            _ => &[],
        };
        for word in words {
            let mut any = false;
            for line in lines.iter().filter(is_of) {
                let text = self.sdp.text(&line.text);
                if text.starts_with(word) {
                    any = true;
                    self.text(&[without_one_channel(word, text)]);
                }
            }
            if let (b"a=rtpmap", false) = (word, any)
                && let Some(descriptor) = Descriptor::of_payload_type(payload_type)
                && self.is_of_kind(descriptor)
            {
                self.static_rtpmap(payload_type, descriptor);
            }
        }
    }

    /// A number stands for another codec, or for none, where media are of another kind.
    fn is_of_kind(&self, descriptor: &Descriptor) -> bool {
        match descriptor.media {
            codec_catalog::Media::Audio => self.kind != Some(b"video"),
            codec_catalog::Media::AudioVideo | codec_catalog::Media::Video => {
                self.kind != Some(b"audio")
            }
        }
    }

    fn static_rtpmap(&mut self, payload_type: u8, descriptor: &Descriptor) {
        let (number, clock_hz) = (
            Digits::of(payload_type),
            Digits::of(descriptor.rtp_clock_hz),
        );
        let channels = Digits::of(descriptor.channels);
        let channels = match descriptor.channels {
            0 | 1 => [&b""[..], b""],
            _ => [b"/", channels.as_bytes()],
        };
        self.text(&[
            b"a=rtpmap:",
            number.as_bytes(),
            b" ",
            descriptor.name.as_bytes(),
            b"/",
            clock_hz.as_bytes(),
            channels[0],
            channels[1],
        ]);
    }

    /// Extensions, and that their headers may be of both kinds, unless the session says so.
    fn extensions(&mut self, block: &'a Block) {
        let sdp = self.sdp;
        let of_session = &sdp.session.block.lines;
        let extensions = || block.lines.iter().filter(|it| sdp.is_extension(it));
        let is_said = of_session.iter().any(|it| sdp.is_mixed(it));
        if self.mixes_extensions && !is_said && extensions().next().is_some() {
            self.text(&[ALLOW_MIXED]);
        }
        for line in extensions() {
            self.attribute(line);
        }
    }

    fn rtcp(&mut self, port: u16, is_mux: bool) {
        let port = Digits::of(port);
        match self.rewrite.rtcp_attribute {
            RtcpAttribute::Full => {
                let address = address_field(self.rewrite.address);
                self.text(&[b"a=rtcp:", port.as_bytes(), b" IN ", &address]);
            }
            RtcpAttribute::None => {}
            RtcpAttribute::Port => self.text(&[b"a=rtcp:", port.as_bytes()]),
        }
        if is_mux {
            self.text(&[b"a=rtcp-mux"]);
        }
    }

    /// Keys of SRTP, and what is said of a handshake. What fills the last octets of keys up says
    /// nothing, and the peer leaves it out.
    fn keys(&mut self, block: &Block, keys: &SectionKeys) {
        let keeps_handshake = match keys {
            SectionKeys::Ours {
                lines,
                handshake,
                keeps_handshake,
            } => {
                for line in lines {
                    let text = line.write(self.rewrite.key_style);
                    self.text(&[b"a=", &text]);
                }
                for text in handshake.iter().flat_map(HandshakeLines::write) {
                    self.text(&[b"a=", text.as_bytes()]);
                }
                *keeps_handshake && handshake.is_none()
            }
            SectionKeys::AsWritten => {
                self.foreign_keys(block);
                true
            }
        };
        if keeps_handshake {
            self.places(block, Place::Setup..=Place::TlsId);
        }
    }

    fn foreign_keys(&mut self, block: &Block) {
        if self.rewrite.key_style.is_padded || !block.has(Place::Crypto) {
            return self.places(block, Place::Crypto..=Place::Crypto);
        }
        for line in block.lines.iter().filter(|it| it.place == Place::Crypto) {
            let text = self.sdp.text(&line.text);
            self.text(&[&without_padding(text)]);
        }
    }

    /// All attributes in the order that they came in, but ways around the relay: candidates name
    /// such.
    fn attributes(&mut self, block: &'a Block) {
        for line in &block.lines {
            let is_ours = matches!(line.place, Place::Bundle | Place::Ice | Place::Rtcp);
            if line.place >= Place::Mid && !is_ours {
                self.attribute(line);
            }
        }
    }

    fn places(&mut self, block: &Block, places: std::ops::RangeInclusive<Place>) {
        let (first, last) = (places.start().bit(), places.end().bit());
        let mut wanted = block.places & (last | (last - 1)) & !(first - 1);
        while wanted != 0 {
            let place = wanted & wanted.wrapping_neg();
            wanted ^= place;
            for line in block.lines.iter().filter(|it| it.place.bit() == place) {
                self.attribute(line);
            }
        }
    }

    /// A line as it came, unless it is an attribute that was asked to be changed.
    fn attribute(&mut self, line: &Line) {
        self.text(&[self.sdp.text(&line.text)]);
    }

    fn text(&mut self, parts: &[&[u8]]) {
        if self.rewrite.manipulation.is_empty() {
            return self.line(parts);
        }
        let line = parts.concat();
        let manipulation = self.rewrite.manipulation;
        match manipulation.apply(self.kind, &line) {
            Some(changed) if changed == line => self.line(&[changed]),
            Some(changed) => self.line(&[b"a=", changed]),
            None => {}
        }
    }

    /// The attributes that were asked for.
    fn added(&mut self) {
        let manipulation = self.rewrite.manipulation;
        for attribute in manipulation.additions(self.kind) {
            self.line(&[b"a=", attribute]);
        }
    }

    fn line(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(LINE_BREAK);
    }
}

/// `a=crypto:1 SUITE inline:KEY==|2^20;inline:KEY== PARAMETERS` without the `=` behind keys.
fn without_padding(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut is_key = false;
    for (at, &byte) in line.iter().enumerate() {
        is_key = (is_key && !b"|; ".contains(&byte)) || line[..at].ends_with(b"inline:");
        if !(is_key && byte == b'=') {
            out.push(byte);
        }
    }
    out
}

/// `a=rtpmap` as rtpengine has it: one channel is not said (RFC 8866 §6.6).
fn without_one_channel<'t>(word: &[u8], text: &'t [u8]) -> &'t [u8] {
    let has_channels = word == b"a=rtpmap" && text.iter().filter(|&&b| b == b'/').count() == 2;
    let shorter = text.strip_suffix(b"/1").filter(|_| has_channels);
    shorter.unwrap_or(text)
}

impl Block {
    pub(super) fn has(&self, place: Place) -> bool {
        self.places & place.bit() != 0
    }
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::RecvOnly => "recvonly",
            Self::SendOnly => "sendonly",
            Self::SendRecv => "sendrecv",
        }
    }
}

fn unspecified(address: IpAddr) -> IpAddr {
    if address.is_ipv4() {
        IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
    }
}

fn family_name(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

/// Such as `IP4 192.0.2.1`.
fn address_field(address: IpAddr) -> Vec<u8> {
    let mut field = Vec::with_capacity(48);
    field.extend_from_slice(family_name(address).as_bytes());
    field.push(b' ');
    push_address(address, &mut field);
    field
}

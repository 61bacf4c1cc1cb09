//! The media sections of a description, as far as codecs are concerned, and writing them anew.

use super::format::{FORMATS_MAX, Format};
use crate::digits::{payload_type, push_number};
use crate::sdp::KeyLine;

/// One media section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Section {
    /// Audio over RTP, in clear or with keys that the relay will have, so that a codec can hear it.
    pub(crate) is_audible: bool,
    /// It is encrypted audio, which a codec can hear once keys are named.
    pub(crate) is_secure: bool,
    /// Its port is 0.
    pub(crate) is_refused: bool,
    /// In the order of preference.
    pub(crate) formats: Vec<Format>,
    /// Milliseconds of a packet, if they are said (RFC 8866 §6.4).
    pub(crate) ptime_ms: Option<u16>,
}

/// What a section is to say instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listing {
    /// In the order of preference. None: the section is refused.
    pub(crate) formats: Vec<Listed>,
    pub(crate) ptime: Ptime,
    /// A bit for each payload type that was spoken of and is not listed, whatever is said of it.
    pub(crate) gone: u128,
}

/// One payload type to be listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Listed {
    /// One of the section's own, in its own words.
    Kept(u8),
    /// One of the section's own, in other words; what is said of feedback on it stays.
    Reworded(Format),
    /// One that it did not have, or had by another number.
    New(Format),
}

/// What becomes of `a=ptime` and `a=maxptime`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ptime {
    Keep,
    /// They speak for another party.
    Remove,
    Set(u16),
}

impl Listed {
    pub(crate) fn payload_type(&self) -> u8 {
        match self {
            Self::Kept(payload_type) => *payload_type,
            Self::Reworded(format) | Self::New(format) => format.payload_type,
        }
    }
}

/// The media sections, in their order; `None` for one that has no payload types, or so many or
/// such that it is better left alone.
pub(crate) fn sections(sdp: &[u8]) -> Vec<Option<Section>> {
    let mut sections: Vec<Option<Section>> = Vec::new();
    for line in lines(sdp) {
        let is_read = line.starts_with(b"m=") || (line.starts_with(b"a=") && !sections.is_empty());
        if !is_read {
            continue;
        }
        let text = trim(line);
        if let Some(value) = text.strip_prefix(b"m=") {
            sections.push(read_media(&String::from_utf8_lossy(value)));
        } else if let (Some(Some(section)), Some(attribute)) =
            (sections.last_mut(), text.strip_prefix(b"a="))
        {
            section.read_attribute(attribute);
        }
    }
    sections
}

/// The description with other payload types in some of its sections.
pub(crate) fn relist(sdp: &[u8], listings: &[Option<Listing>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sdp.len() + 256);
    let mut listings = listings.iter();
    let mut section = None;
    for line in lines(sdp) {
        let is_media = line.starts_with(b"m=");
        if is_media {
            finish(section.take(), &mut out);
            section = listings.next().and_then(Option::as_ref).map(Rewriting::new);
        }
        match &mut section {
            Some(section) if is_media => section.media_line(line, &mut out),
            Some(section) => section.line(line, &mut out),
            None => out.extend_from_slice(line),
        }
    }
    finish(section, &mut out);
    out
}

fn finish(section: Option<Rewriting<'_>>, out: &mut Vec<u8>) {
    if let Some(section) = section {
        section.finish(out);
    }
}

impl Section {
    fn read_attribute(&mut self, attribute: &[u8]) {
        if let Some(ptime) = attribute.strip_prefix(b"ptime:") {
            let ptime = String::from_utf8_lossy(ptime).trim().parse().ok();
            self.ptime_ms = ptime.filter(|ptime| (1..=200).contains(ptime));
        } else if let Some(argument) = attribute.strip_prefix(b"crypto:") {
            self.is_audible |= self.is_secure && KeyLine::parse(argument).is_some();
        } else if attribute.starts_with(b"fingerprint:") && self.is_secure {
            // The parties may agree on keys by themselves.
            (self.is_secure, self.is_audible) = (false, false);
        } else if let Some(argument) = attribute.strip_prefix(b"rtpmap:") {
            if let Some((format, text)) = self.format_of(argument) {
                format.read_rtpmap(&String::from_utf8_lossy(text));
            }
        } else if let Some(argument) = attribute.strip_prefix(b"fmtp:")
            && let Some((format, text)) = self.format_of(argument)
        {
            format.read_fmtp(&String::from_utf8_lossy(text));
        }
    }

    /// `0 PCMU/8000`: the payload type that an attribute is about, and what it says of it.
    fn format_of<'t>(&mut self, argument: &'t [u8]) -> Option<(&mut Format, &'t [u8])> {
        let len = argument.iter().position(|&b| b == b' ');
        let (number, text) = argument.split_at(len.unwrap_or(argument.len()));
        let number = payload_type(number)?;
        let mut formats = self.formats.iter_mut();
        let format = formats.find(|it| it.payload_type == number)?;
        Some((format, text.get(1..).unwrap_or_default()))
    }
}

/// `audio 49170 RTP/AVP 0 8`
fn read_media(value: &str) -> Option<Section> {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let (kind, port, protocol) = (words.next()?, words.next()?, words.next()?);
    let is_plain = matches!(protocol, "RTP/AVP" | "RTP/AVPF");
    if !protocol.contains("RTP/") {
        return None;
    }
    let mut formats: Vec<Format> = Vec::new();
    for word in words {
        let payload_type = payload_type(word.as_bytes())?;
        if formats.iter().all(|it| it.payload_type != payload_type) {
            formats.push(Format::of_payload_type(payload_type));
        }
    }
    let is_listed = (1..=FORMATS_MAX).contains(&formats.len());
    let is_secure = matches!(protocol, "RTP/SAVP" | "RTP/SAVPF");
    let is_audio = kind == "audio" && port != "0";
    is_listed.then_some(Section {
        is_audible: is_audio && is_plain,
        is_secure: is_audio && is_secure,
        is_refused: port == "0",
        formats,
        ptime_ms: None,
    })
}

/// How much of what is said of a payload type holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keeping {
    Words,
    Feedback,
    Nothing,
}

/// A section that is being written anew.
struct Rewriting<'a> {
    listing: &'a Listing,
    line_break: &'a [u8],
    /// A bit for each payload type that the section had.
    had: u128,
}

impl<'a> Rewriting<'a> {
    fn new(listing: &'a Listing) -> Self {
        Self {
            listing,
            line_break: b"\r\n",
            had: 0,
        }
    }

    fn media_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let text = trim(line);
        if line.ends_with(b"\n") && !line.ends_with(b"\r\n") {
            self.line_break = b"\n";
        }
        let numbers = text.split(|&b| b == b' ').skip(3);
        self.had = numbers
            .filter_map(payload_type)
            .fold(0, |had, it| had | bit(it));
        if self.listing.formats.is_empty() {
            return self.refuse(text, out);
        }
        // Kind, port and protocol stay as they are written.
        let mut at = 0;
        for _ in 0..3 {
            at += text[at..].iter().take_while(|b| **b == b' ').count();
            at += text[at..].iter().take_while(|b| **b != b' ').count();
        }
        out.extend_from_slice(&text[..at]);
        for format in &self.listing.formats {
            out.push(b' ');
            push_number(format.payload_type(), out);
        }
        out.extend_from_slice(self.line_break);
    }

    /// A section of no codecs is of no use.
    fn refuse(&self, text: &[u8], out: &mut Vec<u8>) {
        for (place, word) in text.split(|&b| b == b' ').enumerate() {
            if place > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(if place == 1 { b"0" } else { word });
        }
        out.extend_from_slice(self.line_break);
    }

    fn line(&self, line: &[u8], out: &mut Vec<u8>) {
        let Some(attribute) = trim(line).strip_prefix(b"a=") else {
            return self.push(line, out);
        };
        let at = memchr::memchr(b':', attribute).unwrap_or(attribute.len());
        let (name, argument) = attribute.split_at(at);
        let is_wanted = match name {
            b"rtpmap" | b"fmtp" => self.keeping(argument) == Keeping::Words,
            b"rtcp-fb" => self.keeping(argument) != Keeping::Nothing,
            b"ptime" => self.listing.ptime == Ptime::Keep,
            b"maxptime" => self.listing.ptime != Ptime::Remove,
            _ => true,
        };
        if is_wanted {
            self.push(line, out);
        }
    }

    /// How much of what is said of a payload type still holds: of `:0 PCMU/8000`, for example.
    fn keeping(&self, argument: &[u8]) -> Keeping {
        let argument = argument.get(1..).unwrap_or_default();
        let number = argument.split(|&b| b == b' ').next();
        let Some(number) = number.and_then(payload_type) else {
            return Keeping::Words;
        };
        let mut formats = self.listing.formats.iter();
        match formats.find(|it| it.payload_type() == number) {
            Some(Listed::Kept(_)) => Keeping::Words,
            Some(Listed::Reworded(_)) => Keeping::Feedback,
            // Nothing to us: it was not listed before, either.
            None if (self.had | self.listing.gone) & bit(number) == 0 => Keeping::Words,
            Some(Listed::New(_)) | None => Keeping::Nothing,
        }
    }

    fn push(&self, line: &[u8], out: &mut Vec<u8>) {
        if !out.ends_with(b"\n") {
            out.extend_from_slice(self.line_break);
        }
        out.extend_from_slice(line);
    }

    fn finish(self, out: &mut Vec<u8>) {
        let blank = trailing_blank(out);
        if !out.ends_with(b"\n") {
            out.extend_from_slice(self.line_break);
        }
        for format in &self.listing.formats {
            if let Listed::New(format) | Listed::Reworded(format) = format {
                format.write(self.line_break, out);
            }
        }
        if let Ptime::Set(ptime) = self.listing.ptime {
            out.extend_from_slice(b"a=ptime:");
            push_number(ptime, out);
            out.extend_from_slice(self.line_break);
        }
        out.extend_from_slice(&blank);
    }
}

/// The bit of a payload type in a set of them.
pub(super) fn bit(payload_type: u8) -> u128 {
    1_u128.checked_shl(payload_type.into()).unwrap_or(0)
}

/// Takes blank lines off the end: what is added comes before them.
fn trailing_blank(out: &mut Vec<u8>) -> Vec<u8> {
    let text_len = out.trim_ascii_end().len();
    let after = memchr::memchr(b'\n', &out[text_len..]).map_or(out.len(), |at| text_len + at + 1);
    out.split_off(after)
}

fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = sdp;
    std::iter::from_fn(move || {
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(len);
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

/// The line without its end.
fn trim(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

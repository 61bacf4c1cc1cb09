//! What a proxy wants done with codecs.

use std::sync::Arc;

use control_ng::{CodecDirective, Codecs, Flag, Negotiation};
use relay_wire::OpusPurpose;

use super::format::{Format, kept};
use super::opus::Options;
use super::{CodecPolicy, OpusPolicy, Preference};

/// Options that are read of one codec's name; more are nothing to us.
const WORDS_MAX: usize = 7;

/// What is to be done with codecs in one offer or answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(super) accept: Vec<Spec>,
    pub(super) consume: Vec<Spec>,
    pub(super) except: Vec<Spec>,
    /// As if the sender had not named them.
    pub(super) ignore: Vec<Spec>,
    pub(super) mask: Vec<Spec>,
    /// In this order before all others.
    pub(super) offer: Vec<Spec>,
    /// Options of codecs that are transcoded.
    pub(super) set: Vec<Spec>,
    pub(super) strip: Vec<Spec>,
    /// To be offered even if the sender does not have them.
    pub(super) transcode: Vec<Spec>,
    /// Milliseconds of a packet towards who gets the offer.
    pub(crate) ptime_ms: Option<u16>,
    /// Milliseconds of a packet towards who made it.
    pub(crate) ptime_reverse_ms: Option<u16>,
    /// The answer names but one.
    pub(super) is_single: bool,
    /// What was agreed on keeps its place and its meaning.
    pub(super) reuses: bool,
    /// Who gets the offer is offered what it was offered before.
    pub(super) keeps_answerer: bool,
    /// A stream may be left without codecs.
    pub(super) allows_none: bool,
    /// What is received need not be what is sent.
    pub(super) is_asymmetric: bool,
    /// What the settings say: which codec is made of which …
    pub(super) preferences: Arc<[Preference]>,
    /// … and how Opus is encoded, where the proxy says nothing.
    pub(super) opus: OpusPolicy,
}

/// A codec as proxies name it, in full or in part:
/// `name/clock/channels/bit rate/packet time/parameters/options`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Spec {
    name: String,
    clock_hz: Option<u32>,
    channels: Option<u8>,
    pub(super) bitrate: Option<u32>,
    pub(super) ptime_ms: Option<u16>,
    pub(super) parameters: Option<String>,
    pub(super) complexity: Option<u8>,
    pub(super) purpose: Option<OpusPurpose>,
}

/// What becomes of a payload type of an offer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is offered on.
    Keep,
    /// It is not offered on, but taken from who offered it.
    Mask,
    /// As if it had never been there.
    Strip,
}

impl Wishes {
    pub(crate) fn new(negotiation: &Negotiation<'_>, policy: &CodecPolicy) -> Self {
        let flags = negotiation.flags;
        let mut wishes = Self {
            ptime_ms: negotiation.ptime_ms,
            ptime_reverse_ms: negotiation.ptime_reverse_ms,
            is_single: flags.has(Flag::SingleCodec),
            reuses: flags.has(Flag::ReuseCodecs) || flags.has(Flag::NoCodecRenegotiation),
            keeps_answerer: flags.has(Flag::StaticCodecs),
            allows_none: flags.has(Flag::AllowNoCodecMedia),
            is_asymmetric: flags.has(Flag::AllowAsymmetricCodecs),
            preferences: Arc::clone(&policy.preferences),
            opus: policy.opus,
            ..Self::default()
        };
        if !negotiation.codecs.is_empty() {
            wishes.read(&negotiation.codecs);
        }
        // All codecs of who made the offer are taken from there.
        if flags.has(Flag::AlwaysTranscode) {
            wishes.accept.push(Spec::new(b"all"));
        }
        wishes
    }

    fn read(&mut self, codecs: &Codecs<'_>) {
        let specs = |directive| codecs.named(directive).map(Spec::new).collect();
        self.accept = specs(CodecDirective::Accept);
        self.consume = specs(CodecDirective::Consume);
        self.except = specs(CodecDirective::Except);
        self.ignore = specs(CodecDirective::Ignore);
        self.mask = specs(CodecDirective::Mask);
        self.offer = specs(CodecDirective::Offer);
        self.set = specs(CodecDirective::Set);
        self.strip = specs(CodecDirective::Strip);
        self.transcode = specs(CodecDirective::Transcode);
    }

    /// Whether anything is to be done with what an offer lists.
    pub(crate) fn is_empty(&self) -> bool {
        let lists = [
            &self.accept,
            &self.consume,
            &self.mask,
            &self.offer,
            &self.strip,
        ];
        lists.iter().all(|it| it.is_empty())
            && self.transcode.is_empty()
            && self.ptime_ms.or(self.ptime_reverse_ms).is_none()
    }

    /// Whether anything is to be done with what an answer lists.
    pub(crate) fn concern_answers(&self) -> bool {
        self.is_single || !self.strip.is_empty() || !self.offer.is_empty()
    }

    /// Whether the proxy has its own idea of what is to become of codecs.
    pub(super) fn directs(&self) -> bool {
        let lists = [&self.transcode, &self.consume, &self.accept, &self.ignore];
        let flags = [self.reuses, self.keeps_answerer, self.allows_none];
        lists.iter().any(|it| !it.is_empty()) || flags.contains(&true)
    }

    /// What becomes of a payload type that is offered.
    pub(super) fn fate(&self, format: &Format) -> Fate {
        if names(&self.strip, format) {
            return Fate::Strip;
        }
        let masks = || self.mask.iter().chain(&self.consume);
        if masks().any(|it| it.names(format)) {
            return Fate::Mask;
        }
        let is_kept = names(&self.except, format) || names(&self.offer, format);
        // `all` gives way to `transcode`, `full` does not.
        let is_restored = names(&self.transcode, format);
        let is_meant = |spec: &Spec| spec.is_full() || (spec.is_all() && !is_restored);
        if is_kept {
            Fate::Keep
        } else if self.strip.iter().any(is_meant) {
            Fate::Strip
        } else if masks().any(is_meant) {
            Fate::Mask
        } else {
            Fate::Keep
        }
    }

    /// Whether a codec may be offered though nobody asked for it.
    pub(super) fn allows(&self, format: &Format) -> bool {
        let mut specs = self.strip.iter().chain(&self.mask);
        !specs.any(|spec| spec.is_every() || spec.names(format))
    }

    /// Where a codec is to stand among others.
    pub(super) fn place(&self, format: &Format) -> usize {
        let mut specs = self.offer.iter();
        specs.position(|it| it.names(format)).unwrap_or(usize::MAX)
    }

    /// What was offered is not offered again, not even what is asked for by name.
    pub(super) fn strips_full(&self) -> bool {
        let mut specs = [&self.strip, &self.mask, &self.consume]
            .into_iter()
            .flatten();
        specs.any(Spec::is_full)
    }

    /// How a codec is to be encoded, if anything is said of it.
    pub(super) fn options_set(&self, format: &Format) -> Option<Options> {
        self.spec_set(format).map(Spec::options)
    }

    /// What is said of how a codec is to be encoded.
    pub(super) fn spec_set(&self, format: &Format) -> Option<&Spec> {
        self.set.iter().find(|spec| spec.names(format))
    }
}

fn names(specs: &[Spec], format: &Format) -> bool {
    specs.iter().any(|spec| spec.names(format))
}

impl Spec {
    pub(super) fn new(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut words = text.trim().splitn(WORDS_MAX, '/').map(str::trim);
        let has_parameters = words.clone().count() > 5;
        let mut next = || words.next().unwrap_or_default();
        let name = next().to_owned();
        let (clock, channels, bitrate, ptime, parameters, options) =
            (next(), next(), next(), next(), next(), next());
        // Where `=` would be taken for something else, it is written `--`.
        let unescaped = |text: &str| text.replace("--", "=");
        Self {
            name,
            clock_hz: clock.parse().ok(),
            channels: channels.parse().ok(),
            bitrate: bitrate.parse().ok().filter(|it| *it > 0),
            ptime_ms: ptime.parse().ok().filter(|it| (1..=200).contains(it)),
            // None that are named are other than none named.
            parameters: has_parameters.then(|| unescaped(parameters)),
            complexity: complexity(&unescaped(options)),
            purpose: purpose(&unescaped(options)),
        }
    }

    /// Writes the name as it is spelt, and as many channels as are meant: one, if a clock is named
    /// alone.
    pub(super) fn spell(&self, format: &mut Format) {
        format.name = kept(&self.name);
        if self.clock_hz.is_some() {
            format.channels = self.channels.unwrap_or(1);
        }
    }

    /// A codec by this name that nobody has to know, with the clock that is named, or a usual one. It
    /// has no number.
    pub(super) fn format(&self, usual_hz: Option<u32>) -> Option<Format> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-_.+".contains(&b);
        let is_name = !self.name.is_empty() && self.name.bytes().all(is_token);
        let clock_hz = self.clock_hz.or(usual_hz).filter(|_| is_name)?;
        let mut format = Format::of_payload_type(u8::MAX);
        format.read_rtpmap(&format!("{}/{clock_hz}", self.name));
        format.channels = self.channels.unwrap_or(1).max(1);
        let parameters = self.parameters.as_deref().unwrap_or_default();
        if parameters.contains(char::is_control) {
            return None;
        }
        format.read_fmtp(parameters);
        Some(format).filter(|it| !it.name.is_empty())
    }

    /// Whether a payload type is meant by its number.
    pub(super) fn is_number(&self, format: &Format) -> bool {
        !format.name.is_empty() && self.name.parse() == Ok(format.payload_type)
    }

    pub(super) fn is_nameless(&self) -> bool {
        self.name.is_empty()
    }

    fn is_all(&self) -> bool {
        self.name == "all"
    }

    fn is_full(&self) -> bool {
        self.name == "full"
    }

    pub(super) fn options(&self) -> Options {
        Options {
            bitrate: self.bitrate,
            complexity: self.complexity,
            purpose: self.purpose,
        }
    }

    pub(super) fn is_every(&self) -> bool {
        self.is_all() || self.is_full()
    }

    /// Whether a payload type is meant. With a clock but no channels, one channel is.
    pub(super) fn names(&self, format: &Format) -> bool {
        if self.name.parse() == Ok(format.payload_type) {
            return true;
        }
        let clock = self.clock_hz.is_none_or(|it| it == format.clock_hz);
        let channels = match (self.clock_hz, self.channels) {
            (_, Some(channels)) => channels == format.channels,
            (Some(_), None) => format.channels == 1,
            (None, None) => true,
        };
        format.is_named(&self.name) && clock && channels
    }

    /// Whether a codec that has a full name can be what is meant.
    pub(super) fn means(&self, format: &Format) -> bool {
        let clock = self.clock_hz.is_none_or(|it| it == format.clock_hz);
        // Opus says so itself, packet by packet (RFC 7587 §3.4).
        let is_opus = format.is_named("opus");
        let channels = self
            .channels
            .is_none_or(|it| is_opus || it == format.channels);
        format.is_named(&self.name) && clock && channels
    }
}

/// `complexity=5`, or in the words of another library `compression_level=5`.
fn complexity(options: &str) -> Option<u8> {
    let is_it = |key: &str| matches!(key, "complexity" | "compression_level");
    let value = option(options, is_it)?.parse().ok();
    value.filter(|it| *it <= 10)
}

/// `application=audio`.
fn purpose(options: &str) -> Option<OpusPurpose> {
    let value = option(options, |key| key == "application")?;
    match value.to_ascii_lowercase().as_str() {
        "voip" => Some(OpusPurpose::Speech),
        "audio" => Some(OpusPurpose::Audio),
        "low-delay" | "lowdelay" => Some(OpusPurpose::LowDelay),
        _ => None,
    }
}

fn option(options: &str, is_it: impl Fn(&str) -> bool) -> Option<&str> {
    let divide = |c: char| c.is_whitespace() || ":;,".contains(c);
    let mut options = options.split(divide).filter_map(|it| it.split_once('='));
    options.find(|(key, _)| is_it(key)).map(|(_, value)| value)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn format(payload_type: u8, rtpmap: &str) -> Format {
        let mut format = Format::of_payload_type(payload_type);
        format.read_rtpmap(rtpmap);
        format
    }

    /// What a request with these words wants.
    pub(in crate::codecs) fn wishes(named: &[(CodecDirective, &'static str)]) -> Wishes {
        let mut codecs = Codecs::default();
        for (directive, name) in named {
            assert!(codecs.push(*directive, name.as_bytes()));
        }
        let negotiation = Negotiation {
            codecs,
            ..Negotiation::default()
        };
        Wishes::new(&negotiation, &CodecPolicy::default())
    }

    #[test]
    fn a_codec_is_named_in_full_or_in_part_or_by_number() {
        let opus = format(111, "opus/48000/2");
        let cases = [
            ("opus", true),
            ("OPUS", true),
            ("111", true),
            ("opus/48000/2", true),
            ("opus/48000", false),
            ("opus/48000/1", false),
            ("opus/16000/2", false),
            ("PCMU", false),
            ("", false),
        ];
        for (name, is_named) in cases {
            assert_eq!(Spec::new(name.as_bytes()).names(&opus), is_named, "{name}");
        }
        let unknown = Format::of_payload_type(99);
        assert!(!Spec::new(b"").names(&unknown));
        assert!(Spec::new(b"99").names(&unknown));
    }

    #[test]
    fn options_follow_the_name() {
        let spec = Spec::new(b"iLBC/8000/1///mode--20");
        assert_eq!(spec.parameters.as_deref(), Some("mode=20"));
        let spec = Spec::new(b"opus/48000/2/24000/40//application=voip:complexity=4");
        assert_eq!((spec.bitrate, spec.ptime_ms), (Some(24_000), Some(40)));
        assert_eq!(spec.complexity, Some(4));
        assert_eq!(spec.purpose, Some(OpusPurpose::Speech));
        let spec = Spec::new(b"opus/48000/2////compression_level=2");
        assert_eq!((spec.complexity, spec.purpose), (Some(2), None));
        let spec = Spec::new(b"opus/x/y/0/900//complexity=11");
        assert_eq!(
            (spec.clock_hz, spec.bitrate, spec.ptime_ms),
            (None, None, None)
        );
        assert_eq!(spec.complexity, None);
    }

    #[test]
    fn what_is_stripped_and_masked_and_what_is_not() {
        use CodecDirective::{Consume, Except, Mask, Offer, Strip, Transcode};
        let (pcmu, opus) = (Format::of_payload_type(0), format(111, "opus/48000/2"));
        type Named = &'static [(CodecDirective, &'static str)];
        let cases: [(Named, Fate, Fate); 9] = [
            (&[], Fate::Keep, Fate::Keep),
            (&[(Strip, "PCMU")], Fate::Strip, Fate::Keep),
            (&[(Strip, "all"), (Except, "opus")], Fate::Strip, Fate::Keep),
            (&[(Strip, "all"), (Offer, "PCMU")], Fate::Keep, Fate::Strip),
            (
                &[(Mask, "all"), (Transcode, "PCMU")],
                Fate::Keep,
                Fate::Mask,
            ),
            (
                &[(Mask, "full"), (Transcode, "PCMU")],
                Fate::Mask,
                Fate::Mask,
            ),
            (
                &[(Mask, "PCMU"), (Transcode, "PCMU")],
                Fate::Mask,
                Fate::Keep,
            ),
            (&[(Consume, "opus")], Fate::Keep, Fate::Mask),
            (
                &[(Strip, "full"), (Transcode, "opus")],
                Fate::Strip,
                Fate::Strip,
            ),
        ];
        for (named, of_pcmu, of_opus) in cases {
            let wishes = wishes(named);
            assert_eq!(
                (wishes.fate(&pcmu), wishes.fate(&opus)),
                (of_pcmu, of_opus),
                "{named:?}"
            );
        }
    }
}

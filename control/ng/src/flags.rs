//! The words that requests are made of: flags, and values that are one of a few.

use std::fmt;
use std::marker::PhantomData;

use crate::word;

/// A word of one vocabulary.
pub trait Word: Copy + fmt::Debug + Eq + 'static {
    /// All words, in the order of their numbers.
    const ALL: &'static [Self];

    /// As it is written.
    fn name(self) -> &'static str;

    /// Its place in [`Self::ALL`].
    fn number(self) -> u32;

    /// The word in any spelling.
    #[must_use]
    fn find(spelling: &[u8]) -> Option<Self> {
        let mut words = Self::ALL.iter().copied();
        words.find(|word| word::same(word.name().as_bytes(), spelling))
    }
}

/// A set of words of one vocabulary.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Words<T> {
    bits: u64,
    vocabulary: PhantomData<T>,
}

impl<T: Word> Words<T> {
    /// Whether the word is in the set.
    #[must_use]
    pub fn has(self, word: T) -> bool {
        self.bits & (1 << word.number()) != 0
    }

    /// Puts a word into the set.
    pub fn insert(&mut self, word: T) {
        self.bits |= 1 << word.number();
    }

    /// The set and one more word.
    #[must_use]
    pub fn with(mut self, word: T) -> Self {
        self.insert(word);
        self
    }

    /// Whether no word is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The words in the set.
    pub fn iter(self) -> impl Iterator<Item = T> {
        let all = T::ALL.iter().copied();
        all.filter(move |word| self.has(*word))
    }
}

impl<T> Default for Words<T> {
    fn default() -> Self {
        Self {
            bits: 0,
            vocabulary: PhantomData,
        }
    }
}

impl<T: Word> fmt::Debug for Words<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Defines a vocabulary: an enum and the spelling of each variant.
macro_rules! words {
    ($(#[$of_enum:meta])* $name:ident { $($(#[$of_word:meta])* $word:ident = $spelling:literal,)+ }) => {
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$of_word])* $word,)+
        }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$word),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $spelling,)+
                }
            }

            fn number(self) -> u32 {
                self as u32
            }
        }
    };
}

words! {
    /// `flags` of a request.
    Flag {
        /// All parties.
        All = "all",
        /// Codecs need not be the same both ways: they need not be anyhow.
        AllowAsymmetricCodecs = "allow asymmetric codecs",
        /// A medium whose codecs are all stripped is refused, not left as it was.
        AllowNoCodecMedia = "allow no codec media",
        /// Transcode what an answer leaves out: what is done anyhow where it can be.
        AllowTranscoding = "allow transcoding",
        /// The sender's codecs are all accepted, whatever the other party says.
        AlwaysTranscode = "always transcode",
        /// The peer sends from elsewhere than it receives.
        Asymmetric = "asymmetric",
        /// And the other way round.
        Bidirectional = "bidirectional",
        /// The sender's keys go no further, or become something else (`DTMF-security`).
        BlockDtmf = "block DTMF",
        /// Who is played something hears nothing else meanwhile.
        BlockEgress = "block egress",
        /// The tags say which direction is meant.
        Directional = "directional",
        /// Spare the statistics in the reply to delete.
        Fast = "fast",
        /// Deleting an unknown call is an error.
        Fatal = "fatal",
        /// Write `a=rtcp` with the address, not only the port.
        FullRtcpAttribute = "full rtcp attribute",
        /// Have the relay report by RTCP itself, of streams that it only forwards.
        GenerateRtcp = "generate RTCP",
        /// Mark the description, and leave one alone that has the mark.
        LoopProtect = "loop protect",
        /// Media may move to a new source without being signalled.
        MediaHandover = "media handover",
        /// Send nothing before something was received.
        NatWait = "NAT wait",
        /// An answer from another tag is another party, not an alias.
        NewBranch = "new branch",
        /// Codecs agreed on before stay the preferred ones.
        NoCodecRenegotiation = "no codec renegotiation",
        /// Take new ports when the peer's change, even if it will receive nothing.
        NoPortLatching = "no port latching",
        /// Write no `a=rtcp`.
        NoRtcpAttribute = "no rtcp attribute",
        /// Leave the direction attribute of media alone.
        OriginalSendrecv = "original sendrecv",
        /// Leave `=` at the end of keys of SRTP.
        PadCrypto = "pad crypto",
        /// Send empty packets until something is received.
        PierceNat = "pierce NAT",
        /// Keep the ports when the peer's change.
        PortLatching = "port latching",
        /// The answer is provisional.
        Provisional = "provisional",
        /// Decrypt and encrypt what could pass as it is, so that only what is authentic passes.
        Recrypt = "recrypt",
        /// Answer as if ICE were not understood.
        RejectIce = "reject ICE",
        /// Codecs agreed on before stay the preferred ones.
        ReuseCodecs = "reuse codecs",
        /// Name but one codec in the answer.
        SingleCodec = "single codec",
        /// Use the address that the SIP message came from.
        SipSourceAddress = "SIP source address",
        /// Offer what was offered to the other party before, whatever is offered now.
        StaticCodecs = "static codecs",
        /// Accept media from the signalled address only.
        StrictSource = "strict source",
        /// Say nothing of header extensions.
        StripExtmap = "strip extmap",
        /// Symmetric media: what is done anyhow.
        Symmetric = "symmetric",
        /// In a delete: regard the to-tag.
        ToTag = "to tag",
        /// Who hears whom begins anew.
        Unsubscribe = "unsubscribe",
        /// Say that candidates of ICE may come one by one.
        TrickleIce = "trickle ICE",
        /// Use the addresses in the SDP.
        TrustAddress = "trust address",
    }
}

impl Flag {
    /// The flag by any of the names that the peer knows it by.
    pub(crate) fn find_any(spelling: &[u8]) -> Option<Self> {
        let others = [
            ("allow asymmetric codec", Self::AllowAsymmetricCodecs),
            ("allow empty codec media", Self::AllowNoCodecMedia),
            ("allow empty codec medias", Self::AllowNoCodecMedia),
            ("allow no codec medias", Self::AllowNoCodecMedia),
            ("static codec", Self::StaticCodecs),
        ];
        let other = || {
            let mut others = others.iter();
            others.find(|(name, _)| word::same(name.as_bytes(), spelling))
        };
        Self::find(spelling).or_else(|| other().map(|(_, flag)| *flag))
    }
}

words! {
    /// What becomes of keys that are blocked (`DTMF-security`).
    DtmfSecurity {
        /// They go no further.
        Drop = "drop",
        /// Another key, which the request names.
        Dtmf = "DTMF",
        /// They pass.
        Off = "off",
        /// Any key.
        Random = "random",
        /// Silence.
        Silence = "silence",
        /// A tone.
        Tone = "tone",
        /// The key 0.
        Zero = "zero",
    }
}

words! {
    /// What to replace in the session part of SDP (`replace`).
    Replace {
        /// Raise the version of `o=` even if nothing changed.
        ForceIncrementSdpVersion = "force increment sdp ver",
        /// The address of `o=`.
        Origin = "origin",
        /// The whole of `o=`.
        OriginFull = "origin full",
        /// Obsolete: `c=` is replaced anyhow.
        SessionConnection = "session connection",
        /// The name in `s=`.
        SessionName = "session name",
        /// The version of `o=`.
        SdpVersion = "SDP version",
        /// The user name of `o=`.
        Username = "username",
        /// Write an address where the peer wrote 0.0.0.0.
        ZeroAddress = "zero address",
    }
}

words! {
    /// What to do with codecs (`codec`): the name of a list of them.
    CodecDirective {
        /// Offer it, and take it from the sender even if the other party refuses it.
        Accept = "accept",
        /// As [`Mask`](Self::Mask).
        Consume = "consume",
        /// Keep it, whatever else is taken out.
        Except = "except",
        /// Do not transcode from or to it.
        Ignore = "ignore",
        /// Do not offer it to the other party, but take it from the sender.
        Mask = "mask",
        /// Keep it, and offer it before others, in this order.
        Offer = "offer",
        /// Options of a codec that is transcoded.
        Set = "set",
        /// Take it out.
        Strip = "strip",
        /// Offer it even if the sender does not have it.
        Transcode = "transcode",
    }
}

words! {
    /// What to do about RTCP on the port of RTP (`rtcp-mux`, RFC 5761).
    RtcpMux {
        /// Accept it in the answer, even if the other party does not.
        Accept = "accept",
        /// Do not pass the offer of it on; separate here.
        Demux = "demux",
        /// Offer it, even if the offer did not.
        Offer = "offer",
        /// Refuse it in the answer.
        Reject = "reject",
        /// Offer it without a second port.
        Require = "require",
    }
}

words! {
    /// What to do about keys of SRTP in SDP (`SDES`, RFC 4568), but for lists of suites.
    SdesWord {
        /// Have RTP authenticated where that was not offered.
        AuthenticatedSrtp = "authenticated SRTP",
        /// Have RTCP encrypted where that was not offered.
        EncryptedSrtcp = "encrypted SRTCP",
        /// Have RTP encrypted where that was not offered.
        EncryptedSrtp = "encrypted SRTP",
        /// Say how long keys last.
        Lifetime = "lifetime",
        /// Offer no suites but those that were offered.
        NoNew = "nonew",
        /// Offer no keys of the relay's own.
        Off = "off",
        /// Rather than DTLS, where both are offered.
        Prefer = "prefer",
        /// The key that a party was told stays, whatever the other party says.
        Static = "static",
        /// Offer not to authenticate RTP.
        UnauthenticatedSrtp = "unauthenticated SRTP",
        /// Offer not to encrypt RTCP.
        UnencryptedSrtcp = "unencrypted SRTCP",
        /// Offer not to encrypt RTP.
        UnencryptedSrtp = "unencrypted SRTP",
    }
}

impl SdesWord {
    /// The word in any of the ways that the peer understands.
    pub(crate) fn find_short(spelling: &[u8]) -> Option<Self> {
        let short = match spelling.to_ascii_lowercase().as_slice() {
            b"no" | b"disabled" | b"disable" => Self::Off,
            b"priority" => Self::Prefer,
            _ => return Self::find(spelling),
        };
        Some(short)
    }
}

words! {
    /// What to do about handshakes that give keys of SRTP (`DTLS`, RFC 5763).
    Dtls {
        /// Begin them, where the other side lets us choose. That is usual.
        Active = "active",
        /// Have none with those who would.
        Off = "off",
        /// Wait for them, where the other side lets us choose.
        Passive = "passive",
    }
}

impl Dtls {
    /// The word in any of the ways that the peer understands.
    pub(crate) fn find_short(spelling: &[u8]) -> Option<Self> {
        match spelling.to_ascii_lowercase().as_slice() {
            b"no" | b"disabled" | b"disable" => Some(Self::Off),
            _ => Self::find(spelling),
        }
    }
}

words! {
    /// What to do about SRTP that may be declined (`OSRTP`, RFC 8643).
    Osrtp {
        /// Accept it whatever the other party says, in either form.
        Accept = "accept",
        /// The form of before the RFC: a section with keys and one without.
        AcceptLegacy = "accept legacy",
        /// The form of the RFC: one section, of a profile without keys, that names some.
        AcceptRfc = "accept RFC",
        /// Offer it.
        Offer = "offer",
        /// The same as [`Offer`](Self::Offer).
        OfferRfc = "offer RFC",
    }
}

words! {
    /// By what a party is known that comes back under another tag (`alias-key`).
    AliasKey {
        /// By the address and port of its first medium.
        Address = "address",
        /// By nothing.
        None = "none",
        /// By its description.
        Sdp = "SDP",
    }
}

impl AliasKey {
    /// The word in any of the ways that the peer understands.
    pub(crate) fn find_short(spelling: &[u8]) -> Option<Self> {
        let short = match spelling.to_ascii_lowercase().as_slice() {
            b"endpoint" => Self::Address,
            b"off" | b"no" => Self::None,
            _ => return Self::find(spelling),
        };
        Some(short)
    }
}

words! {
    /// What is to be sent back to who sent it (`media echo`).
    MediaEcho {
        /// What the sender sends goes back, what the receiver sends nowhere.
        Backward = "backward",
        /// What either sends goes nowhere.
        Blackhole = "blackhole",
        /// What either sends goes back.
        Both = "both",
        /// What the receiver sends goes back, what the sender sends nowhere.
        Forward = "forward",
    }
}

impl MediaEcho {
    /// The word in any of the many ways that the peer understands.
    pub(crate) fn find_short(spelling: &[u8]) -> Option<Self> {
        let short = match spelling.to_ascii_lowercase().as_slice() {
            b"sinkhole" => Self::Blackhole,
            b"fwd" | b"fw" => Self::Forward,
            b"backwards" | b"reverse" | b"back" | b"bkw" | b"bk" => Self::Backward,
            _ => return Self::find(spelling),
        };
        Some(short)
    }
}

words! {
    /// What a client understands (`supports`).
    Support {
        /// Unasked-for datagrams about calls ([`Event`](crate::Event)).
        Events = "events",
        /// The result `load limit`.
        LoadLimit = "load limit",
    }
}

words! {
    /// What to do about ICE (RFC 8445) in SDP (`ICE`).
    Ice {
        /// As the peer's default.
        Default = "default",
        /// Replace candidates by the relay's.
        Force = "force",
        /// Let only the relay's candidate be used.
        ForceRelay = "force relay",
        /// Keep what is there if it can be kept.
        Optional = "optional",
        /// Take it out.
        Remove = "remove",
    }
}

words! {
    /// To whom the relay says that it makes no checks of ICE itself (`ICE-lite`).
    IceLite {
        /// To who sent the description.
        Backward = "backward",
        /// To both parties.
        Both = "both",
        /// To who gets it.
        Forward = "forward",
        /// To nobody.
        Off = "off",
    }
}

words! {
    /// The family of addresses that the other side wants.
    AddressFamily {
        /// IPv4.
        Ip4 = "IP4",
        /// IPv6.
        Ip6 = "IP6",
    }
}

words! {
    /// Whether something is done.
    Switch {
        /// It is not.
        Off = "off",
        /// It is.
        On = "on",
    }
}

words! {
    /// Kinds of media (`sdp-media-remove`).
    MediaKind {
        /// Such as a shared screen.
        Application = "application",
        /// Speech.
        Audio = "audio",
        /// Fax.
        Image = "image",
        /// Chat.
        Message = "message",
        /// Whatever else.
        Other = "other",
        /// Text as it is typed.
        Text = "text",
        /// Pictures.
        Video = "video",
    }
}

impl MediaKind {
    /// What an `m=` line is about.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        Self::find(name).unwrap_or(Self::Other)
    }
}

words! {
    /// How the address of a peer is learnt (`endpoint-learning`).
    EndpointLearning {
        /// After three seconds.
        Delayed = "delayed",
        /// By the best match with what was signalled.
        Heuristic = "heuristic",
        /// From the first packet.
        Immediate = "immediate",
        /// Not at all.
        Off = "off",
    }
}

/// The flags of a request.
pub type Flags = Words<Flag>;

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Word>() {
        assert!(T::ALL.len() <= 64, "they must fit in the bits of a set");
        let mut set = Words::default();
        for word in T::ALL {
            assert_eq!(T::find(word.name().as_bytes()), Some(*word));
            assert!(!set.has(*word));
            set.insert(*word);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), T::ALL);
    }

    #[test]
    fn each_word_is_found_by_its_name_and_kept_apart() {
        check::<Flag>();
        check::<DtmfSecurity>();
        check::<Replace>();
        check::<CodecDirective>();
        check::<AliasKey>();
        check::<MediaEcho>();
        check::<RtcpMux>();
        check::<Support>();
        check::<Ice>();
        check::<AddressFamily>();
        check::<EndpointLearning>();
        check::<MediaKind>();
        check::<Switch>();
        check::<SdesWord>();
        check::<Osrtp>();
    }

    #[test]
    fn spelling_does_not_matter() {
        for spelling in ["trust address", "trust-address", "Trust_Address"] {
            assert_eq!(Flag::find(spelling.as_bytes()), Some(Flag::TrustAddress));
        }
        assert_eq!(Flag::find(b"trustaddress"), None);
        for spelling in ["fw", "fwd", "Forward"] {
            let found = MediaEcho::find_short(spelling.as_bytes());
            assert_eq!(found, Some(MediaEcho::Forward));
        }
    }
}

//! Requests: parsed by control, written by its clients.

use std::net::{IpAddr, SocketAddr};

use crate::attribute::{ATTRIBUTE_CHANGES_MAX, AttributeChange};
use crate::flags::{
    AddressFamily, AliasKey, Dtls, DtmfSecurity, EndpointLearning, Flag, Flags, Ice, IceLite,
    MediaEcho, MediaKind, Osrtp, Replace, RtcpMux, Support, Switch, Word, Words,
};
use crate::word::{self, Normal};
use crate::{Dictionary, Value, reply};

mod codecs;
mod connect;
mod create;
mod encode;
mod given;
mod play;
mod srtp;
mod treat;

use given::{Given, Script, Word as ScriptWord};

pub use codecs::{CODEC_DIRECTIVES_MAX, Codecs};
use connect::Joining;
pub use connect::{Connect, Mesh, MeshFlow, Senders};
use create::Creating;
pub use create::{Create, Medium};
use play::Playing;
pub use play::{Clip, Listener, Play, Stop};
pub use srtp::{SUITES_MAX, Sdes};
use treat::Selection;
pub use treat::{Change, KeyPolicy, Party, Sink, Treat, Whose};

/// Calls that `list` names unless the request says how many.
const LIST_LIMIT_DEFAULT: u32 = 32;

/// Commands of the peer that are not there.
const UNSUPPORTED: [&str; 10] = [
    "inject-start",
    "inject-stop",
    "pause-recording",
    "play-dtmf",
    "publish",
    "start-recording",
    "stop-recording",
    "subscribe-answer",
    "subscribe-request",
    "transform",
];

/// Flags that ask for what is the case anyhow, or that the peer knows no more.
const NOTHING_TO_DO: [&str; 10] = [
    "asymmetric codecs",
    "no audio player",
    "no jitter buffer",
    "no passthrough",
    "no player",
    "no redis update",
    "reorder codecs",
    "skip recording database",
    "skip recording db",
    "symmetric codecs",
];

/// Words not acted on whose names are kept, to be logged.
const UNHEEDED_NAMES_MAX: usize = 16;

/// Milliseconds of the longest packet (RFC 3551 §4.2).
const PTIME_MS_MAX: u16 = 200;

/// A request, understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request<'a> {
    /// What is asked.
    pub command: Command<'a>,
    /// Keys and flags that are not acted on. Never an error: deployed clients send many.
    pub unheeded: Unheeded<'a>,
}

/// What a client asks.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// The client heard an [`Event`](crate::Event). No reply is sent.
    Acknowledge,
    /// Rewrite the answer to an offer.
    Answer(Negotiation<'a>),
    /// A line of the peer's command line.
    Cli(&'a [u8]),
    /// Let two parties talk to one another.
    Connect(Connect<'a>),
    /// Offer a party something of the relay's own, or what it was told before.
    Create(Create<'a>),
    /// What a party answered to that; [`Negotiation::from_tag`] is its own.
    CreateAnswer(Negotiation<'a>),
    /// End a call, or a part of it.
    Delete(Delete<'a>),
    /// Name the calls there are.
    List {
        /// How many at most.
        limit: u32,
    },
    /// Make several calls one, and say who hears whom.
    Mesh(Mesh<'a>),
    /// Rewrite an offer, and begin a call if there is none.
    Offer(Negotiation<'a>),
    /// Are you there?
    Ping,
    /// Play something to a party, or to all.
    Play(Play<'a>),
    /// Counts of a call.
    Query(Query<'a>),
    /// Counts of the whole daemon.
    Statistics,
    /// Play no more.
    Stop(Stop<'a>),
    /// Stop media or keys of a call, or of one party, make them something else, or let them go on.
    Treat(Treat<'a>),
    /// Undo what [`Self::Connect`] did; if not directional, end a party.
    Unsubscribe(Connect<'a>),
}

/// An offer or an answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Negotiation<'a> {
    /// Which call.
    pub call_id: &'a [u8],
    /// Tag of the party that made the offer; in an answer too.
    pub from_tag: &'a [u8],
    /// Tag of the other party, if it is known.
    pub to_tag: Option<&'a [u8]>,
    /// Names the fork.
    pub via_branch: Option<&'a [u8]>,
    /// The session description.
    pub sdp: &'a [u8],
    /// Where the SIP message came from.
    pub received_from: Option<IpAddr>,
    /// Names of the interface towards the sender and towards the receiver.
    pub direction: Option<[&'a [u8]; 2]>,
    /// The family of the address to advertise to the receiver.
    pub address_family: Option<AddressFamily>,
    /// Advertise this address instead of the interface's.
    pub media_address: Option<IpAddr>,
    /// Profile of the m-lines towards the receiver, such as `RTP/AVP`.
    pub transport_protocol: Option<&'a [u8]>,
    /// What to do about ICE.
    pub ice: Option<Ice>,
    /// To whom the relay says that it makes no checks.
    pub ice_lite: Option<IceLite>,
    /// How to learn the sender's address.
    pub endpoint_learning: Option<EndpointLearning>,
    /// What to do about RTCP on the port of RTP.
    pub rtcp_mux: Words<RtcpMux>,
    /// What to replace in the session part.
    pub replace: Words<Replace>,
    /// The rest.
    pub flags: Flags,
    /// What the client understands.
    pub supports: Words<Support>,
    /// Type of service of media sent.
    pub tos: Option<u8>,
    /// Seconds that the call lives on after it is deleted.
    pub delete_delay_s: Option<u32>,
    /// A name of the sender, for later requests.
    pub label: Option<&'a [u8]>,
    /// What to do with codecs.
    pub codecs: Codecs<'a>,
    /// Milliseconds of a packet towards the receiver of an offer.
    pub ptime_ms: Option<u16>,
    /// Milliseconds of a packet towards the sender of an offer.
    pub ptime_reverse_ms: Option<u16>,
    /// By what the sender is known if it comes back under another tag.
    pub alias_key: Option<AliasKey>,
    /// What is to be sent back to who sent it.
    pub media_echo: Option<MediaEcho>,
    /// Media of which the receiver of an offer is not to hear.
    pub media_removed: Words<MediaKind>,
    /// Attributes to be taken out, put in or changed.
    pub attribute_changes: Vec<AttributeChange<'a>>,
    /// What becomes of the sender's keys with [`Flag::BlockDtmf`], unless they go no further.
    pub dtmf_security: Option<DtmfSecurity>,
    /// The key that they become with [`DtmfSecurity::Dtmf`].
    pub digit: Option<u8>,
    /// Whether the relay reports by RTCP itself.
    pub generate_rtcp: Option<Switch>,
    /// Where keys of the call are told.
    pub key_log: Option<SocketAddr>,
    /// What to do about keys of SRTP.
    pub sdes: Sdes<'a>,
    /// What to do about handshakes that give them.
    pub dtls: Words<Dtls>,
    /// The hash function of the fingerprint that the receiver is told of, such as `sha-256`.
    pub dtls_fingerprint: Option<&'a [u8]>,
    /// What to do about SRTP that may be declined.
    pub osrtp: Words<Osrtp>,
}

/// Which call, or which part of it, is to end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Delete<'a> {
    /// Which call.
    pub call_id: &'a [u8],
    /// Only this party and those it talks to; `None`: the whole call.
    pub from_tag: Option<&'a [u8]>,
    /// Only this pair of parties; regarded only with [`Flag::ToTag`].
    pub to_tag: Option<&'a [u8]>,
    /// Only this fork.
    pub via_branch: Option<&'a [u8]>,
    /// Seconds until it really ends; `None`: as the server is set.
    pub delay_s: Option<u32>,
    /// `fatal`, `fast`, `to tag`.
    pub flags: Flags,
}

/// Which call, or which part of it, is asked about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query<'a> {
    /// Which call.
    pub call_id: &'a [u8],
    /// Only this party.
    pub from_tag: Option<&'a [u8]>,
    /// Only the other party of these two.
    pub to_tag: Option<&'a [u8]>,
}

/// Why a request cannot be understood. Displayed, it is the `error-reason` that proxies know.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// `address` is none.
    #[error("Failed to parse network address")]
    Address,
    /// `body` is missing.
    #[error("No 'body' in message")]
    NoBody,
    /// `call-id` is missing.
    #[error("No call-id in message")]
    NoCallId,
    /// `command` is missing.
    #[error("Dictionary contains no key \"command\"")]
    NoCommand,
    /// `from-tag` is missing.
    #[error("No from-tag in message")]
    NoFromTag,
    /// `sdp` is missing.
    #[error("No SDP body in message")]
    NoSdp,
    /// `to-tag` is missing.
    #[error("No to-tag in message")]
    NoToTag,
    /// The document is no dictionary.
    #[error("Could not decode bencode dictionary")]
    NotDictionary,
    /// More calls than can be joined.
    #[error("Too many calls")]
    TooManyCalls,
    /// More parties than can be joined.
    #[error("Too many parties")]
    TooManyParties,
    /// A command that there is, but this server cannot do.
    #[error("unsupported")]
    Unsupported,
    /// A command that there is not.
    #[error("Unrecognized command")]
    UnknownCommand,
}

/// Keys and flags that are not acted on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Unheeded<'a> {
    /// How many.
    pub count: u32,
    /// The first of them.
    pub names: Vec<&'a [u8]>,
}

impl<'a> Unheeded<'a> {
    fn add(&mut self, name: &'a [u8]) {
        self.count = self.count.saturating_add(1);
        if self.names.len() < UNHEEDED_NAMES_MAX {
            self.names.push(name);
        }
    }
}

impl<'a> Request<'a> {
    /// Understands a document.
    ///
    /// # Errors
    ///
    /// When the command is not known or lacks what it needs. What is there beyond that is no
    /// error.
    pub fn parse(document: &'a Value<'_>) -> Result<Self, RequestError> {
        let dictionary = document
            .as_dictionary()
            .ok_or(RequestError::NotDictionary)?;
        let Some(command) = dictionary.find("command") else {
            if dictionary.get("result").is_some() {
                return Ok(Self {
                    command: Command::Acknowledge,
                    unheeded: Unheeded::default(),
                });
            }
            return Err(RequestError::NoCommand);
        };
        let name = Normal::new(command.as_bytes().unwrap_or_default());
        let mut keys = Keys::default();
        keys.read(dictionary);
        let command = keys.command(name.as_str())?;
        Ok(Self {
            command,
            unheeded: keys.unheeded,
        })
    }
}

/// Everything that a request may say, before it is known what the command makes of it.
#[derive(Debug, Default)]
struct Keys<'a> {
    negotiation: Negotiation<'a>,
    limit: Option<u32>,
    body: Option<&'a [u8]>,
    selection: Selection<'a>,
    joining: Joining<'a>,
    creating: Creating<'a>,
    playing: Playing<'a>,
    from_interface: Option<&'a [u8]>,
    to_interface: Option<&'a [u8]>,
    unheeded: Unheeded<'a>,
}

impl<'a> Keys<'a> {
    fn read(&mut self, dictionary: &'a Dictionary<'_>) {
        for (key, value) in dictionary.iter() {
            if !self.key(Normal::new(key).as_str(), Given::Document(value)) {
                self.unheeded.add(key);
            }
        }
        let directions = (self.from_interface, self.to_interface);
        if let (Some(from), Some(to)) = directions {
            self.negotiation.direction.get_or_insert([from, to]);
        }
    }

    /// Takes one key. `false` if it is not acted on.
    fn key(&mut self, key: &str, value: Given<'a>) -> bool {
        match key {
            "body" => set(&mut self.body, non_empty(value)),
            "command" => true,
            "direction" => self.direction(value),
            "flags" => self.flags(value),
            "from-interface" => set(&mut self.from_interface, non_empty(value)),
            "limit" => set(&mut self.limit, unsigned(value)),
            "to-interface" => set(&mut self.to_interface, non_empty(value)),
            "rtpp-flags" => self.flag_string(value),
            _ => {
                let selected = self.selection.read_key(key, value);
                let joined = selected.or_else(|| self.joining.read_key(key, value));
                let read = joined.or_else(|| self.creating.read_key(key, value));
                let read = read.or_else(|| self.playing.read_key(key, value));
                read.unwrap_or_else(|| self.negotiation.read_key(key, value, &mut self.unheeded))
            }
        }
    }

    /// Both names at once, or one after the other.
    fn direction(&mut self, value: Given<'a>) -> bool {
        let mut count = 0;
        for name in value.words() {
            count += 1;
            if self.from_interface.is_none() {
                self.from_interface = Some(name);
            } else {
                self.to_interface.get_or_insert(name);
            }
        }
        count > 0
    }

    fn flags(&mut self, value: Given<'a>) -> bool {
        for flag in value.words() {
            if !self.flag(flag) {
                self.unheeded.add(flag);
            }
        }
        true
    }

    /// Takes one flag. `false` if it is not acted on.
    fn flag(&mut self, flag: &'a [u8]) -> bool {
        self.negotiation.read_flag(flag)
            || self.joining.read_flag(flag)
            || NOTHING_TO_DO
                .iter()
                .any(|it| word::same(it.as_bytes(), flag))
    }

    /// The flags as a proxy's script has them, which newer Kamailios pass on unread.
    fn flag_string(&mut self, value: Given<'a>) -> bool {
        let Some(flags) = value.as_bytes() else {
            return false;
        };
        for word in Script::new(flags) {
            let is_known = match word {
                ScriptWord::Bare(word) => self.script_flag(word),
                ScriptWord::Named(key, value) => {
                    // A key of a key would be a flag string in a flag string.
                    let normal = Normal::new(key);
                    let is_nested = matches!(normal.as_str(), "rtpp-flags" | "command");
                    !is_nested
                        && (self.key(normal.as_str(), Given::Script(value))
                            || self.negotiation.read_named_flag(key, Given::Script(value)))
                }
            };
            if !is_known {
                let (ScriptWord::Bare(name) | ScriptWord::Named(name, _)) = word;
                self.unheeded.add(name);
            }
        }
        true
    }

    fn script_flag(&mut self, word: &'a [u8]) -> bool {
        if word == b"internal" || word == b"external" {
            return self.direction(Given::Script(word));
        }
        if word.starts_with(b"RTP/") || word.starts_with(b"UDP/") {
            self.negotiation.transport_protocol = Some(word);
            return true;
        }
        self.flag(word)
    }

    fn command(&mut self, name: &str) -> Result<Command<'a>, RequestError> {
        Ok(match name {
            "answer" => Command::Answer(self.negotiation(true)?),
            "block-dtmf" => Command::Treat(self.treat(Change::Keys(self.block_keys()))?),
            "block-media" => Command::Treat(self.treat(Change::Block(true))?),
            "cli" => Command::Cli(self.body.ok_or(RequestError::NoBody)?),
            "connect" => Command::Connect(self.connect()?),
            "create" => Command::Create(self.create()),
            "create-answer" => Command::CreateAnswer(self.negotiation(false)?),
            "delete" => Command::Delete(self.delete()?),
            "list" => Command::List {
                limit: self.limit.unwrap_or(LIST_LIMIT_DEFAULT),
            },
            "mesh" => Command::Mesh(self.mesh()?),
            "offer" => Command::Offer(self.negotiation(false)?),
            "ping" => Command::Ping,
            "play-media" => Command::Play(self.play()?),
            "query" => Command::Query(self.query()?),
            "silence-media" => Command::Treat(self.treat(Change::Silence(true))?),
            "start-forwarding" => Command::Treat(self.treat(Change::Forward(true))?),
            "statistics" => Command::Statistics,
            "stop-forwarding" => Command::Treat(self.treat(Change::Forward(false))?),
            "stop-media" => Command::Stop(self.stop()?),
            "unblock-dtmf" => Command::Treat(self.treat(Change::Keys(KeyPolicy::Pass))?),
            "unblock-media" => Command::Treat(self.treat(Change::Block(false))?),
            "unsubscribe" => Command::Unsubscribe(self.connect()?),
            "unsilence-media" => Command::Treat(self.treat(Change::Silence(false))?),
            _ if UNSUPPORTED.contains(&name) => return Err(RequestError::Unsupported),
            _ => return Err(RequestError::UnknownCommand),
        })
    }

    /// All that is said of a party and its media.
    fn said(&mut self) -> Negotiation<'a> {
        Negotiation {
            dtmf_security: self.selection.security,
            digit: self.selection.digit,
            ..std::mem::take(&mut self.negotiation)
        }
    }

    fn negotiation(&mut self, is_answer: bool) -> Result<Negotiation<'a>, RequestError> {
        let negotiation = self.said();
        if negotiation.sdp.is_empty() {
            return Err(RequestError::NoSdp);
        }
        if negotiation.call_id.is_empty() {
            return Err(RequestError::NoCallId);
        }
        if negotiation.from_tag.is_empty() {
            return Err(RequestError::NoFromTag);
        }
        if is_answer && negotiation.to_tag.is_none() {
            return Err(RequestError::NoToTag);
        }
        Ok(negotiation)
    }

    fn delete(&self) -> Result<Delete<'a>, RequestError> {
        let keys = &self.negotiation;
        Ok(Delete {
            call_id: self.call_id()?,
            from_tag: Some(keys.from_tag).filter(|tag| !tag.is_empty()),
            to_tag: keys.to_tag,
            via_branch: keys.via_branch,
            delay_s: keys.delete_delay_s,
            flags: keys.flags,
        })
    }

    fn query(&self) -> Result<Query<'a>, RequestError> {
        let keys = &self.negotiation;
        Ok(Query {
            call_id: self.call_id()?,
            from_tag: Some(keys.from_tag).filter(|tag| !tag.is_empty()),
            to_tag: keys.to_tag,
        })
    }

    fn call_id(&self) -> Result<&'a [u8], RequestError> {
        Some(self.negotiation.call_id)
            .filter(|call_id| !call_id.is_empty())
            .ok_or(RequestError::NoCallId)
    }
}

impl<'a> Negotiation<'a> {
    /// Takes one key. `false` if it is not acted on.
    fn read_key(&mut self, key: &str, value: Given<'a>, unheeded: &mut Unheeded<'a>) -> bool {
        match key {
            "address-family" => set(&mut self.address_family, word(value)),
            "alias-key" => set(&mut self.alias_key, alias_key(value)),
            "call-id" => fill(&mut self.call_id, value),
            "codec" | "codecs" => self.codecs.read(value, |name| unheeded.add(name)),
            "delete-delay" => set(&mut self.delete_delay_s, unsigned(value)),
            "dtmf-log-dest" | "dtmf-log-destination" => set(&mut self.key_log, place(value)),
            "dtls" | "dtls-reverse" => self.read_dtls(value),
            "dtls-fingerprint" => set(&mut self.dtls_fingerprint, non_empty(value)),
            "endpoint-learning" => set(&mut self.endpoint_learning, word(value)),
            "from-tag" => fill(&mut self.from_tag, value),
            "generate-rtcp" => set(&mut self.generate_rtcp, word(value)),
            "ice" => set(&mut self.ice, word(value)),
            "ice-lite" => set(&mut self.ice_lite, word(value)),
            "from-label" | "label" => set(&mut self.label, non_empty(value)),
            "media-address" => set(&mut self.media_address, address(value)),
            "media-echo" => set(&mut self.media_echo, media_echo(value)),
            "osrtp" => collect(&mut self.osrtp, value, unheeded),
            "ptime" => set(&mut self.ptime_ms, milliseconds(value.as_integer())),
            "ptime-reverse" | "reverse-ptime" => {
                set(&mut self.ptime_reverse_ms, milliseconds(value.as_integer()))
            }
            "received-from" => set(&mut self.received_from, received_from(value)),
            "replace" => collect(&mut self.replace, value, unheeded),
            "rtcp-mux" => collect(&mut self.rtcp_mux, value, unheeded),
            "sdes" => self.read_sdes(value),
            "sdp" => fill(&mut self.sdp, value),
            "sdp-attr" => self.attributes(value, unheeded),
            "sdp-media-remove" => collect(&mut self.media_removed, value, unheeded),
            // Every client lists what it could do with; that we cannot is nothing to report.
            "supports" => collect(&mut self.supports, value, &mut Unheeded::default()),
            "to-tag" => set(&mut self.to_tag, non_empty(value)),
            // Newer Kamailios say it with each request; here nothing depends on it.
            "sip-code" | "sip-message-type" | "sip-response-code" => true,
            "tos" => set(
                &mut self.tos,
                value.as_integer().and_then(|n| n.try_into().ok()),
            ),
            "transport-protocol" => set(&mut self.transport_protocol, non_empty(value)),
            "via-branch" => set(&mut self.via_branch, non_empty(value)),
            _ => false,
        }
    }

    /// Takes one flag, be it plain or with the name of a list in front.
    fn read_flag(&mut self, flag: &'a [u8]) -> bool {
        if let Some(flag) = Flag::find_any(flag) {
            self.flags.insert(flag);
            return true;
        }
        if self.codecs.read_flag(flag) {
            return true;
        }
        if self.read_attribute_flag(flag) {
            return true;
        }
        if let Some(is_known) = self.read_srtp_flag(flag) {
            return is_known;
        }
        let normal = Normal::new(flag);
        let Some((list, rest)) = split_prefix(normal.as_str()) else {
            return false;
        };
        match list {
            "endpoint-learning-" => set(&mut self.endpoint_learning, EndpointLearning::find(rest)),
            "ice-" => set(&mut self.ice, Ice::find(rest)),
            "ice-lite-" => set(&mut self.ice_lite, IceLite::find(rest)),
            "replace-" => insert(&mut self.replace, rest),
            _ => insert(&mut self.rtcp_mux, rest),
        }
    }

    /// Takes `codec-mask=opus` and the like.
    fn read_named_flag(&mut self, key: &[u8], value: Given<'a>) -> bool {
        let mut any = false;
        for word in value.words() {
            any = self.codecs.read_named(key, word);
        }
        any
    }

    /// `sdp-attr`: changes by section and edit.
    fn attributes(&mut self, value: Given<'a>, unheeded: &mut Unheeded<'a>) -> bool {
        for (section, edits) in value.entries() {
            for (edit, arguments) in edits.entries() {
                let normal = Normal::new(edit);
                for argument in arguments.words() {
                    let change = AttributeChange::read(section, normal.as_str(), argument);
                    self.attribute(change, argument, unheeded);
                }
                for pair in arguments.lists() {
                    let mut words = pair.words();
                    let pair = words.next().zip(words.next());
                    let change = pair.and_then(|(from, to)| {
                        AttributeChange::read_pair(section, normal.as_str(), from, to)
                    });
                    self.attribute(change, edit, unheeded);
                }
            }
        }
        true
    }

    fn attribute(
        &mut self,
        change: Option<AttributeChange<'a>>,
        name: &'a [u8],
        unheeded: &mut Unheeded<'a>,
    ) {
        let has_room = self.attribute_changes.len() < ATTRIBUTE_CHANGES_MAX;
        match change.filter(|_| has_room) {
            Some(change) => self.attribute_changes.push(change),
            None => unheeded.add(name),
        }
    }

    /// `sdp-attr-remove-audio-ptime`
    fn read_attribute_flag(&mut self, flag: &'a [u8]) -> bool {
        let mut parts = flag.splitn(5, |&b| b == b'-');
        let mut part = || parts.next().unwrap_or_default();
        let (sdp, attr, edit, section, argument) = (part(), part(), part(), part(), part());
        let is_one = sdp.eq_ignore_ascii_case(b"sdp") && attr.eq_ignore_ascii_case(b"attr");
        let normal = Normal::new(edit);
        let change = AttributeChange::read(section, normal.as_str(), argument);
        match change.filter(|_| is_one && self.attribute_changes.len() < ATTRIBUTE_CHANGES_MAX) {
            Some(change) => self.attribute_changes.push(change),
            None => return false,
        }
        true
    }
}

fn split_prefix(flag: &str) -> Option<(&'static str, &[u8])> {
    [
        "endpoint-learning-",
        "ice-lite-",
        "ice-",
        "replace-",
        "rtcp-mux-",
    ]
    .into_iter()
    .find_map(|prefix| Some((prefix, flag.strip_prefix(prefix)?.as_bytes())))
}

/// Sets a value that could be read. `false` if it could not, and then it stays as it was.
fn set<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let could = value.is_some();
    if could {
        *slot = value;
    }
    could
}

fn fill<'a>(slot: &mut &'a [u8], value: Given<'a>) -> bool {
    let bytes = value.as_bytes();
    *slot = bytes.unwrap_or(*slot);
    bytes.is_some()
}

fn insert<T: Word>(set: &mut Words<T>, spelling: &[u8]) -> bool {
    let word = T::find(spelling);
    if let Some(word) = word {
        set.insert(word);
    }
    word.is_some()
}

fn collect<'a, T: Word>(set: &mut Words<T>, value: Given<'a>, unheeded: &mut Unheeded<'a>) -> bool {
    for spelling in value.words() {
        if !insert(set, spelling) {
            unheeded.add(spelling);
        }
    }
    true
}

/// A string that says something. Clients send empty ones for tags that they do not know.
fn non_empty<'a>(value: Given<'a>) -> Option<&'a [u8]> {
    value.as_bytes().filter(|bytes| !bytes.is_empty())
}

fn word<T: Word>(value: Given<'_>) -> Option<T> {
    T::find(value.words().next()?)
}

fn alias_key(value: Given<'_>) -> Option<AliasKey> {
    AliasKey::find_short(value.words().next()?)
}

fn media_echo(value: Given<'_>) -> Option<MediaEcho> {
    MediaEcho::find_short(value.words().next()?)
}

fn unsigned(value: Given<'_>) -> Option<u32> {
    u32::try_from(value.as_integer()?).ok()
}

/// A packet time that can be.
fn milliseconds(number: Option<i64>) -> Option<u16> {
    let milliseconds = u16::try_from(number?).ok()?;
    (1..=PTIME_MS_MAX)
        .contains(&milliseconds)
        .then_some(milliseconds)
}

fn address(value: Given<'_>) -> Option<IpAddr> {
    value.as_str()?.trim().parse().ok()
}

/// An address with a port that something can be sent to.
fn place(value: Given<'_>) -> Option<SocketAddr> {
    let place: Option<SocketAddr> = value.as_str()?.trim().parse().ok();
    place.filter(|it| it.port() != 0)
}

/// `[family, address]`, or the address alone.
fn received_from(value: Given<'_>) -> Option<IpAddr> {
    let address = value.words().last()?;
    std::str::from_utf8(address).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;

//! What comes out of control.

use std::net::{IpAddr, SocketAddr};

use control_ng::{Dictionary, Value};
use relay_wire::{CommandError, Report, Request};
use serde::{Deserialize, Serialize};

use crate::call::Client;
use crate::playing::Load;
use crate::summary::CallSummary;

/// What the driver is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Read a sound, give it to the relay, and call [`Control::handle_loaded`](crate::Control).
    Load(Box<Load>),
    /// A key was pressed: tell whoever wants to know. Only if that is
    /// [wanted](crate::Config::tells_keys), or a request wants it of the call.
    Key(Box<KeyReport>),
    /// Something worth a line in the log.
    Notice(Notice),
    /// A party has reported by RTCP. Only if that is [wanted](crate::Config::tells_reports).
    Report(Box<QualityReport>),
    /// Send a request to the relay.
    Relay(Request),
    /// Send a datagram to a client, from the address that it knows us by.
    Send {
        /// Where to, and from where.
        client: Client,
        /// What.
        datagram: Vec<u8>,
    },
}

/// A key that a party pressed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyReport {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// Tag of who pressed it; empty before it is known.
    pub source_tag: Vec<u8>,
    /// The label of that party.
    pub source_label: Option<Vec<u8>>,
    /// Tags of all parties.
    pub tags: Vec<Vec<u8>>,
    /// When, in seconds since 1970.
    pub unix_s: u64,
    /// Where its packets came from.
    pub source: IpAddr,
    /// RFC 4733 §3.2.
    pub code: u8,
    /// How long it was pressed.
    pub duration_ms: u32,
    /// RFC 4733 §2.3.4: dBm0 without the sign.
    pub volume: u8,
    /// Where it is to be told by datagram, if not where those of all calls are.
    pub destination: Option<SocketAddr>,
}

/// What a party has said by RTCP of what it sends and hears.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QualityReport {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// When it came, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Where it came to.
    pub destination: SocketAddr,
    /// Where from, and what it says.
    pub report: Report,
}

impl KeyReport {
    /// As the peer writes it in a datagram, and proxies read it.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Value::from(self.dictionary()).encode_json(&mut out);
        out
    }

    /// As the peer tells its clients over TCP.
    #[must_use]
    pub fn notification(&self, cookie: &[u8]) -> Vec<u8> {
        let notification = Dictionary::new().with("notify", "onDTMF");
        notification
            .with("data", self.dictionary())
            .encode_message(cookie)
    }

    fn dictionary(&self) -> Dictionary<'_> {
        let tags = self.tags.iter().map(|tag| Value::from(&tag[..]));
        Dictionary::new()
            .with("callid", &self.call_id[..])
            .with("source_tag", &self.source_tag[..])
            .with(
                "source_label",
                self.source_label.as_deref().unwrap_or_default(),
            )
            .with("tags", tags.collect::<Vec<_>>())
            .with("type", "DTMF")
            .with("timestamp", i64::try_from(self.unix_s).unwrap_or(i64::MAX))
            .with("source_ip", self.source.to_string())
            .with("event", u32::from(self.code))
            .with("duration", self.duration_ms)
            .with("volume", u32::from(self.volume))
    }
}

/// Something worth a line in the log. Texts are as clients sent them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A call is over.
    CallEnded {
        /// Call-ID.
        call_id: String,
        /// Why.
        reason: EndReason,
    },
    /// A call could not be kept when the relay came back.
    CallLost {
        /// Call-ID, or the key if the record could not be read.
        call: String,
        /// What was wrong.
        reason: String,
    },
    /// A call is over: what became of it. Only if
    /// [asked for](crate::Control::want_call_records).
    CallRecord {
        /// Why.
        reason: EndReason,
        /// What went through it.
        summary: Box<CallSummary>,
    },
    /// A call began.
    CallStarted {
        /// Call-ID.
        call_id: String,
    },
    /// A client changes something for all calls, or ends some, by `cli`.
    Commanded {
        /// Who.
        client: Client,
        /// What was said, or its beginning.
        line: String,
    },
    /// The relay is there, and control knows what it is doing.
    Recovered {
        /// Calls whose records were read.
        adopted: usize,
        /// Calls installed anew.
        restored: usize,
        /// Calls of the relay that were removed: their records could not be used, or they had
        /// ended meanwhile.
        removed: usize,
    },
    /// The relay could not do what was asked.
    RelayRefused {
        /// Call-ID.
        call_id: String,
        /// Why.
        error: CommandError,
    },
    /// A request was answered with an error.
    RequestRefused {
        /// Who asked.
        client: Client,
        /// Why.
        reason: String,
    },
    /// A request has keys or flags that are not acted on.
    Unheeded {
        /// Who asked.
        client: Client,
        /// Some of them.
        names: String,
    },
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EndReason {
    /// The proxy said so.
    Deleted,
    /// It was there for too long.
    FinalTimeout,
    /// No media at all after the answer.
    FirstPacketTimeout,
    /// No media for too long.
    MediaTimeout,
    /// No answer for too long.
    OfferTimeout,
    /// No media for too long while all media were on hold.
    SilentTimeout,
}

impl EndReason {
    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::MediaTimeout => "media timeout",
            Self::OfferTimeout => "offer timeout",
            Self::FinalTimeout | Self::FirstPacketTimeout | Self::SilentTimeout => {
                self.name().unwrap_or_default()
            }
        }
    }

    /// Control ends the call by itself: the client, which has one up, is told, and asks for the
    /// counts later.
    pub(crate) fn is_news(self) -> bool {
        !matches!(self, Self::Deleted | Self::OfferTimeout)
    }

    /// What the client is told beyond that there are no media.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::FinalTimeout => Some("final timeout"),
            Self::FirstPacketTimeout => Some("first packet timeout"),
            Self::SilentTimeout => Some("silent timeout"),
            Self::Deleted | Self::MediaTimeout | Self::OfferTimeout => None,
        }
    }
}

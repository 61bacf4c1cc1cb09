//! What comes out of control.

use relay_wire::{CommandError, Request};

use crate::call::Client;
use crate::summary::CallSummary;

/// What the driver is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Something worth a line in the log.
    Notice(Notice),
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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

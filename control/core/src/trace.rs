//! What happened to each call: a few dozen events of it, for whoever asks later.
//!
//! ```text
//! calls that are there ──► a history for each    the first event and the newest ones
//! calls that are over  ──► the newest of them
//! requests that never came to a call ──► the newest of them, by Call-ID
//! ```
//!
//! Nearly nobody asks, and each call has a history: events are kept as they would be written, one
//! after the other, in some ten bytes each.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::output::EndReason;

/// Events of one call. Beyond these, all but the first and the newest are gone.
const EVENTS_MAX: usize = 32;

/// Calls that are over and still remembered.
const OVER_MAX: usize = 4_096;

/// Requests remembered that never came to a call.
const STRAYS_MAX: usize = 1_024;

/// Bytes of the events of most calls; more grow.
const HISTORY_BYTES_USUAL: usize = 40;

/// Bytes of a text that are kept.
const TEXT_BYTES_MAX: usize = 160;

/// Bytes of a Call-ID that are kept of a call that is over.
const CALL_ID_BYTES_MAX: usize = 512;

/// One event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TraceEvent {
    /// When: milliseconds since 1970.
    pub unix_ms: u64,
    /// What.
    pub what: What,
}

/// What happened to a call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum What {
    /// An offer, an answer or a delete came.
    Asked {
        /// The command.
        #[serde(
            serialize_with = "serialize_command",
            deserialize_with = "deserialize_command"
        )]
        command: CommandName,
        /// Who asked.
        client: SocketAddr,
    },
    /// The relay does what the request said, and the client knows.
    Agreed {
        /// Parties of the call now.
        legs: usize,
        /// Pairs of ports of the call now.
        ports: usize,
    },
    /// A request was answered with an error.
    Refused {
        /// What was said.
        reason: Box<str>,
    },
    /// A request came again.
    Repeated {
        /// The command.
        #[serde(
            serialize_with = "serialize_command",
            deserialize_with = "deserialize_command"
        )]
        command: CommandName,
    },
    /// The relay could not do it.
    RelayRefused {
        /// Why.
        error: Box<str>,
    },
    /// The relay hears nothing.
    Silent {
        /// It never heard anything.
        from_the_first: bool,
    },
    /// The call was read from the record that an earlier control left.
    Adopted,
    /// The call was installed again, in a relay that did not know it or not all of it.
    Restored,
    /// It could not go on.
    Lost {
        /// Why.
        reason: Box<str>,
    },
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

impl What {
    /// A refusal, its text cut to what is kept.
    pub(crate) fn refused(reason: &str) -> Self {
        Self::Refused {
            reason: cut(reason),
        }
    }

    pub(crate) fn relay_refused(error: &str) -> Self {
        Self::RelayRefused { error: cut(error) }
    }

    pub(crate) fn lost(reason: &str) -> Self {
        Self::Lost {
            reason: cut(reason),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { command, client } => write!(f, "{command} from {client}"),
            Self::Agreed { legs, ports } => {
                write!(f, "done: {legs} parties, {ports} pairs of ports")
            }
            Self::Refused { reason } => write!(f, "refused: {reason}"),
            Self::Repeated { command } => write!(f, "{command} came again"),
            Self::RelayRefused { error } => write!(f, "the relay could not do it: {error}"),
            Self::Silent { from_the_first } if *from_the_first => {
                f.write_str("the relay never heard anything")
            }
            Self::Silent { .. } => f.write_str("the relay hears nothing any more"),
            Self::Adopted => f.write_str("taken over from an earlier control"),
            Self::Restored => f.write_str("installed again in the relay"),
            Self::Lost { reason } => write!(f, "lost: {reason}"),
            Self::Ended { reason } => write!(f, "over: {}", reason.text()),
        }
    }
}

/// By another name than it has, since serde would borrow it.
type CommandName = &'static str;

/// Commands by name. Those that are not listed are other ones.
const COMMANDS: [&str; 9] = [
    "other",
    "offer",
    "answer",
    "delete",
    "query",
    "connect",
    "mesh",
    "unsubscribe",
    "create",
];

fn serialize_command<S: Serializer>(command: &&str, serializer: S) -> Result<S::Ok, S::Error> {
    let place = COMMANDS.iter().position(|it| it == command);
    let place = place.and_then(|place| u8::try_from(place).ok());
    serializer.serialize_u8(place.unwrap_or_default())
}

fn deserialize_command<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static str, D::Error> {
    let place = usize::from(u8::deserialize(deserializer)?);
    Ok(COMMANDS.get(place).unwrap_or(&COMMANDS[0]))
}

/// What is remembered of what is over.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    over: VecDeque<(Box<[u8]>, History)>,
    strays: VecDeque<(Box<[u8]>, TraceEvent)>,
}

/// The events of one call.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// One after the other: the milliseconds since the first one, and what.
    written: Vec<u8>,
    first_unix_ms: u64,
    count: u8,
    /// Events that are gone.
    gone: u32,
}

/// What is remembered of one Call-ID.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trace {
    /// The oldest first.
    pub events: Vec<TraceEvent>,
    /// Events that are not remembered, between the first and the next.
    pub gone: u64,
    /// The call is there.
    pub is_here: bool,
}

impl Traces {
    /// Something happened that came to no call.
    pub(crate) fn note_stray(&mut self, call_id: &[u8], unix_ms: u64, what: What) {
        if self.strays.len() == STRAYS_MAX {
            self.strays.pop_front();
        }
        let event = TraceEvent { unix_ms, what };
        self.strays.push_back((name(call_id), event));
    }

    /// A call is not there any more.
    pub(crate) fn close(&mut self, call_id: &[u8], mut history: History) {
        if history.count == 0 {
            return;
        }
        if self.over.len() == OVER_MAX {
            self.over.pop_front();
        }
        history.written.shrink_to_fit();
        self.over.push_back((name(call_id), history));
    }

    /// What is known of a Call-ID. `here`: of the call of that name that is there.
    pub(crate) fn find(&self, call_id: &[u8], here: Option<&History>) -> Trace {
        let call_id = name(call_id);
        let mut trace = Trace::default();
        let here = here.filter(|history| history.count > 0);
        trace.is_here = here.is_some();
        let over = self.over.iter().filter(|(id, _)| *id == call_id);
        for history in over.map(|(_, history)| history).chain(here) {
            trace.gone += u64::from(history.gone);
            trace.events.extend(history.events());
        }
        let strays = self.strays.iter().filter(|(id, _)| *id == call_id);
        trace.events.extend(strays.map(|(_, event)| event.clone()));
        trace.events.sort_by_key(|event| event.unix_ms);
        trace
    }
}

impl History {
    /// Something happened.
    pub(crate) fn note(&mut self, unix_ms: u64, what: What) {
        if self.count == 0 {
            self.first_unix_ms = unix_ms;
            self.written.reserve_exact(HISTORY_BYTES_USUAL);
        } else if usize::from(self.count) >= EVENTS_MAX {
            self.drop_second();
        }
        self.write(&TraceEvent { unix_ms, what });
    }

    fn write(&mut self, event: &TraceEvent) {
        let elapsed_ms = event.unix_ms.saturating_sub(self.first_unix_ms);
        relay_wire::append(&(elapsed_ms, &event.what), &mut self.written);
        self.count += 1;
    }

    /// How it began says more than what was in the middle.
    fn drop_second(&mut self) {
        let mut events: Vec<_> = self.events().collect();
        events.remove(1);
        self.gone = self.gone.saturating_add(1);
        self.written.clear();
        self.count = 0;
        for event in &events {
            self.write(event);
        }
    }

    fn events(&self) -> impl Iterator<Item = TraceEvent> {
        let mut rest = &self.written[..];
        std::iter::from_fn(move || {
            let ((elapsed_ms, what), left) = postcard::take_from_bytes::<(u64, What)>(rest).ok()?;
            rest = left;
            let unix_ms = self.first_unix_ms + elapsed_ms;
            Some(TraceEvent { unix_ms, what })
        })
    }
}

fn name(call_id: &[u8]) -> Box<[u8]> {
    call_id[..call_id.len().min(CALL_ID_BYTES_MAX)].into()
}

fn cut(text: &str) -> Box<str> {
    let mut len = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    text[..len].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(events: impl IntoIterator<Item = (u64, What)>) -> History {
        let mut history = History::default();
        for (unix_ms, what) in events {
            history.note(unix_ms, what);
        }
        history
    }

    #[test]
    fn all_that_happened_is_told_as_it_was() {
        let client = "[2001:db8::1]:5060".parse().unwrap();
        let command = "mesh";
        let whats = [
            What::Asked { command, client },
            What::Agreed { legs: 2, ports: 3 },
            What::refused("no"),
            What::Repeated { command: "offer" },
            What::relay_refused("full"),
            What::Silent {
                from_the_first: true,
            },
            What::Adopted,
            What::Restored,
            What::lost("gone"),
            What::Ended {
                reason: EndReason::Deleted,
            },
        ];
        let written = history((1_000..).zip(whats.clone()));
        let events: Vec<_> = written.events().collect();
        let expected = (1_000..).zip(whats);
        let expected = expected.map(|(unix_ms, what)| TraceEvent { unix_ms, what });
        assert_eq!(events, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_call_of_many_events_keeps_the_first_and_the_newest() {
        let history = history((0..100).map(|n| (n, What::Adopted)));
        let trace = Traces::default().find(b"c", Some(&history));
        assert!(trace.is_here);
        assert_eq!((trace.events.len(), trace.gone), (EVENTS_MAX, 68));
        let times: Vec<_> = trace.events.iter().map(|event| event.unix_ms).collect();
        assert_eq!((times[0], times[1], times[31]), (0, 69, 99));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut traces = Traces::default();
        for n in 0..5_000_u64 {
            let id = n.to_string();
            traces.close(id.as_bytes(), history([(n, What::Adopted)]));
            traces.note_stray(id.as_bytes(), n, What::refused(&"ä".repeat(200)));
        }
        assert_eq!(
            (traces.over.len(), traces.strays.len()),
            (OVER_MAX, STRAYS_MAX)
        );
        assert_eq!(traces.find(b"0", None), Trace::default());
        let newest = traces.find(b"4999", None);
        assert_eq!(newest.events.len(), 2);
        assert!(newest.events[1].what.to_string().len() < 200);
    }

    #[test]
    fn a_name_that_comes_again_has_both_lives_in_order() {
        let mut traces = Traces::default();
        traces.close(b"c", history([(1, What::Adopted)]));
        traces.note_stray(b"c", 2, What::refused("no"));
        let here = history([(3, What::Restored)]);
        let trace = traces.find(b"c", Some(&here));
        let texts: Vec<_> = trace.events.iter().map(|it| it.what.to_string()).collect();
        let expected = [
            "taken over from an earlier control",
            "refused: no",
            "installed again in the relay",
        ];
        assert_eq!(texts, expected);
    }
}

//! What happened to each call: a few dozen events of it, for whoever asks later.
//!
//! ```text
//! calls that are there ──► a ring for each       the first event and the newest ones
//! calls that are over  ──► the newest of them
//! requests that never came to a call ──► the newest of them, by Call-ID
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use relay_wire::CallKey;
use rustc_hash::FxHashMap;

use crate::output::EndReason;

/// Events of one call. Beyond these, all but the first and the newest are gone.
const EVENTS_MAX: usize = 32;

/// Calls that are over and still remembered.
const OVER_MAX: usize = 4_096;

/// Requests remembered that never came to a call.
const STRAYS_MAX: usize = 1_024;

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
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// An offer, an answer or a delete came.
    Asked {
        /// The command.
        command: &'static str,
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
        command: &'static str,
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

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    here: FxHashMap<CallKey, Ring>,
    over: VecDeque<(Box<[u8]>, Ring)>,
    strays: VecDeque<(Box<[u8]>, TraceEvent)>,
}

/// The events of one call.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<TraceEvent>,
    /// Events that are gone.
    gone: u64,
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
    /// Something happened to a call that is there.
    pub(crate) fn note(&mut self, key: CallKey, unix_ms: u64, what: What) {
        self.here.entry(key).or_default().push(unix_ms, what);
    }

    /// Something happened that came to no call.
    pub(crate) fn note_stray(&mut self, call_id: &[u8], unix_ms: u64, what: What) {
        if self.strays.len() == STRAYS_MAX {
            self.strays.pop_front();
        }
        let event = TraceEvent { unix_ms, what };
        self.strays.push_back((name(call_id), event));
    }

    /// A call is not there any more.
    pub(crate) fn close(&mut self, key: CallKey, call_id: &[u8]) {
        let Some(mut ring) = self.here.remove(&key) else {
            return;
        };
        if self.over.len() == OVER_MAX {
            self.over.pop_front();
        }
        ring.events.shrink_to_fit();
        self.over.push_back((name(call_id), ring));
    }

    /// What is known of a Call-ID. `key`: the call of that name that is there.
    pub(crate) fn find(&self, call_id: &[u8], key: Option<CallKey>) -> Trace {
        let call_id = name(call_id);
        let mut trace = Trace::default();
        let here = key.and_then(|key| self.here.get(&key));
        trace.is_here = here.is_some();
        let over = self.over.iter().filter(|(id, _)| *id == call_id);
        for ring in over.map(|(_, ring)| ring).chain(here) {
            trace.gone += ring.gone;
            trace.events.extend(ring.events.iter().cloned());
        }
        let strays = self.strays.iter().filter(|(id, _)| *id == call_id);
        trace.events.extend(strays.map(|(_, event)| event.clone()));
        trace.events.sort_by_key(|event| event.unix_ms);
        trace
    }
}

impl Ring {
    fn push(&mut self, unix_ms: u64, what: What) {
        if self.events.len() == EVENTS_MAX {
            // How it began says more than what was in the middle.
            self.events.remove(1);
            self.gone += 1;
        }
        self.events.push_back(TraceEvent { unix_ms, what });
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

    const KEY: CallKey = CallKey(7);

    #[test]
    fn a_call_of_many_events_keeps_the_first_and_the_newest() {
        let mut traces = Traces::default();
        for n in 0..100 {
            traces.note(KEY, n, What::Adopted);
        }
        let trace = traces.find(b"c", Some(KEY));
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
            traces.note(CallKey(n), n, What::Adopted);
            traces.close(CallKey(n), id.as_bytes());
            traces.note_stray(id.as_bytes(), n, What::refused(&"ä".repeat(200)));
        }
        assert_eq!(traces.here.len(), 0);
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
        traces.note(KEY, 1, What::Adopted);
        traces.close(KEY, b"c");
        traces.note(CallKey(8), 3, What::Restored);
        traces.note_stray(b"c", 2, What::refused("no"));
        let trace = traces.find(b"c", Some(CallKey(8)));
        let texts: Vec<_> = trace.events.iter().map(|it| it.what.to_string()).collect();
        let expected = [
            "taken over from an earlier control",
            "refused: no",
            "installed again in the relay",
        ];
        assert_eq!(texts, expected);
    }
}

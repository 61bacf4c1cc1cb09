//! The codecs of one party, in the order of preference, and what can be done with them.

use serde::{Deserialize, Serialize};

use super::parameters::{self, Likeness};
use crate::codecs::capability;
use crate::codecs::format::{FORMATS_MAX, Format};
use crate::codecs::opus::Options;
use crate::codecs::wishes::Spec;

/// The first payload type that is free for whatever SDP says (RFC 3551 §6), and the last.
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// The codecs of one party.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct List {
    pub(super) entries: Vec<Entry>,
    pub(super) touched: Touched,
    /// The first that came of those that go beside codecs: what is added comes before it.
    pub(super) anchor: Option<u8>,
}

/// One payload type.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Entry {
    pub(super) format: Format,
    /// The payload type that the party itself uses for it.
    pub(super) own_number: u8,
    /// The other party does not have it, or need not: packets are changed for it.
    pub(super) is_added: bool,
    /// It is taken from the party whatever the other one says.
    pub(super) is_accepted: bool,
    /// It is of an earlier message.
    pub(super) is_gone: bool,
    pub(super) ptime_ms: Option<u16>,
    pub(super) options: Options,
}

/// The clocks of codecs that were taken out or put in: events and comfort noise follow them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Touched {
    is_every: bool,
    clocks_hz: Vec<u32>,
}

/// Whether the relay can read and write a codec, or translate it.
pub(super) fn is_known(format: &Format) -> bool {
    is_heard(format) || format.is_companion()
}

/// Whether the relay can read and write a codec.
pub(super) fn is_heard(format: &Format) -> bool {
    capability::has(format)
}

impl Touched {
    pub(super) fn every(&mut self) {
        self.is_every = true;
    }

    /// A codec was changed. Where it was what goes beside codecs, all that goes beside them is.
    pub(super) fn note(&mut self, format: &Format) {
        if format.is_companion() {
            self.is_every = true;
        } else {
            self.note_codec(format);
        }
    }

    pub(super) fn note_codec(&mut self, format: &Format) {
        let clock_hz = format.clock_hz;
        if !format.is_companion() && !self.clocks_hz.contains(&clock_hz) {
            self.clocks_hz.push(clock_hz);
        }
    }

    pub(super) fn has(&self, clock_hz: u32) -> bool {
        self.is_every || self.clocks_hz.contains(&clock_hz)
    }
}

impl Entry {
    pub(super) fn new(format: Format) -> Self {
        Self {
            own_number: format.payload_type,
            format,
            is_added: false,
            is_accepted: false,
            is_gone: false,
            ptime_ms: None,
            options: Options::default(),
        }
    }

    pub(super) fn number(&self) -> u8 {
        self.format.payload_type
    }

    /// By the same number, and such that one may stand for the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.number() == other.number() && self.fits(&other.format)
    }

    /// Whether it may stand for a codec, by whatever number.
    pub(super) fn fits(&self, format: &Format) -> bool {
        parameters::compare(&self.format, format) != Likeness::Other
    }

    /// Takes over what was settled about a codec.
    pub(super) fn inherit(&mut self, before: &Self) {
        self.format.payload_type = before.number();
        (self.is_added, self.is_accepted) = (before.is_added, before.is_accepted);
        self.options = before.options;
    }
}

impl List {
    pub(super) fn of(formats: &[Format]) -> Self {
        Self::of_entries(formats.iter().cloned().map(Entry::new).collect())
    }

    pub(super) fn of_entries(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            ..Self::default()
        }
    }

    pub(super) fn by_number(&self, number: u8) -> Option<&Entry> {
        self.entries.iter().find(|it| it.number() == number)
    }

    /// Numbers of another list come in its order, and the rest behind them.
    pub(super) fn sort_as(&mut self, other: &Self) {
        let place = |it: &Entry| other.entries.iter().position(|b| b.number() == it.number());
        self.entries
            .sort_by_key(|it| place(it).unwrap_or(usize::MAX));
    }

    pub(super) fn has_number(&self, number: u8) -> bool {
        self.by_number(number).is_some()
    }

    /// An entry that may stand for a codec; one of the same number before others.
    pub(super) fn fitting(&self, format: &Format) -> Option<&Entry> {
        self.entries.iter().find(|it| it.fits(format))
    }

    pub(super) fn named<'s>(&'s self, spec: &'s Spec) -> impl Iterator<Item = &'s Entry> {
        self.entries.iter().filter(|it| spec.names(&it.format))
    }

    /// Puts a codec behind all others, if its number is free.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.has_room(&entry) {
            self.entries.push(entry);
        }
    }

    fn has_room(&self, entry: &Entry) -> bool {
        self.entries.len() < FORMATS_MAX && !self.has_number(entry.number())
    }

    /// Puts a codec behind all others, but before what goes beside codecs.
    pub(super) fn insert(&mut self, entry: Entry) {
        if !self.has_room(&entry) {
            return;
        }
        let at = self.anchor();
        self.entries.insert(at, entry);
        self.anchor = self.entries.get(at + 1).map(Entry::number);
    }

    fn anchor(&self) -> usize {
        let position = |is_it: &dyn Fn(&Entry) -> bool| self.entries.iter().position(is_it);
        let anchor = self.anchor;
        let known = anchor.and_then(|number| position(&|it| it.number() == number));
        let first = || position(&|it| it.format.is_companion());
        known.or_else(first).unwrap_or(self.entries.len())
    }

    /// Takes codecs out, but those that are excepted from `all`.
    pub(super) fn strip(&mut self, specs: &[Spec], except: &[Spec]) {
        for spec in specs {
            let is_meant = |it: &Entry| {
                if spec.is_every() {
                    !except.iter().any(|it_is| it_is.names(&it.format))
                } else {
                    spec.names(&it.format)
                }
            };
            let touched = &mut self.touched;
            self.entries.retain(|it| {
                let is_meant = is_meant(it);
                if is_meant {
                    touched.note_codec(&it.format);
                }
                !is_meant
            });
        }
    }

    /// A number for a codec: its own one, if nothing else has that here or in `other`.
    pub(super) fn free_number(&self, format: &Format, other: &Self) -> Option<u8> {
        let is_free = |number: u8| {
            let mut users = [self, other]
                .into_iter()
                .filter_map(|list| list.by_number(number));
            users.all(|it| it.format.is_same_codec(format))
        };
        let own = Some(format.payload_type).filter(|it| *it < 128 && !self.has_number(*it));
        own.filter(|it| is_free(*it)).or_else(|| {
            DYNAMIC
                .into_iter()
                .find(|it| is_free(*it) && !self.has_number(*it))
        })
    }

    /// What goes beside codecs has a clock for each of those that were touched (RFC 4733 §2.1).
    /// What it was called by before is found in `known`; what is not there is made if it may be.
    pub(super) fn align_companions(&mut self, known: &Self, may_make: bool) {
        let mut clocks_hz: Vec<_> = {
            let codecs = self.entries.iter().filter(|it| !it.format.is_companion());
            codecs.map(|it| it.format.clock_hz).collect()
        };
        clocks_hz.sort_unstable();
        clocks_hz.dedup();
        for name in ["telephone-event", "CN"] {
            self.align(name, &clocks_hz, known, may_make);
        }
    }

    fn align(&mut self, name: &str, clocks_hz: &[u32], known: &Self, may_make: bool) {
        let own = self.entries.iter().filter(|it| it.format.is_named(name));
        let own: Vec<_> = own.map(|it| it.format.clock_hz).collect();
        if own.is_empty() {
            return;
        }
        for clock_hz in clocks_hz {
            if !own.contains(clock_hz) && self.touched.has(*clock_hz) {
                self.add_companion(name, *clock_hz, known, may_make);
            }
        }
        let touched = &self.touched;
        let is_stray = |it: &Entry| {
            let clock_hz = it.format.clock_hz;
            it.format.is_named(name) && !clocks_hz.contains(&clock_hz) && touched.has(clock_hz)
        };
        self.entries.retain(|it| !is_stray(it));
    }

    fn add_companion(&mut self, name: &str, clock_hz: u32, known: &Self, may_make: bool) {
        let is_it = |it: &&Entry| it.format.is_named(name) && it.format.clock_hz == clock_hz;
        let before = known.entries.iter().find(is_it);
        let before = before.filter(|it| !self.has_number(it.number())).cloned();
        let made = || {
            let mut format = capability::companion(name, clock_hz)?;
            format.payload_type = self.free_number(&format, &Self::default())?;
            Some(Entry::new(format))
        };
        let made = || may_make.then(made).flatten();
        if let Some(mut entry) = before.or_else(made) {
            entry.is_added = true;
            self.insert(entry);
        }
    }
}

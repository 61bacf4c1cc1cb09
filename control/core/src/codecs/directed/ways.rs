//! Where each codec of one party leads, in the list of the other.

use super::list::{Entry, List, is_heard, is_known};
use super::{Party, parameters};
use crate::codecs::OpusPolicy;
use crate::codecs::format::Format;
use crate::codecs::preference::{Preference, points};
use crate::codecs::wishes::Wishes;

/// From one codec of who sends it.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) from: Entry,
    /// What arrives at the other side.
    pub(super) to: Entry,
    /// Packets pass as they are.
    pub(super) passes: bool,
    /// Something was found that the other side is sent. If not, packets pass for want of it.
    pub(super) leads: bool,
    /// The payload type of keys beside it on the other side.
    pub(super) events: Option<u8>,
    /// And of comfort noise.
    pub(super) noise: Option<u8>,
    /// Tones are to become events.
    pub(super) finds_keys: bool,
}

/// What holds for all ways from one party to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) source: &'a Party,
    pub(super) sink: &'a Party,
    pub(super) preferences: &'a [Preference],
    pub(super) opus: OpusPolicy,
    /// Who is sent a codec need not have it by that number.
    pub(super) is_asymmetric: bool,
    /// What was refused beside codecs is refused on the other side, too.
    pub(super) is_answer: bool,
}

impl<'a> Terms<'a> {
    pub(super) fn new(wishes: &'a Wishes, source: &'a Party, sink: &'a Party) -> Self {
        Self {
            source,
            sink,
            preferences: &wishes.preferences,
            opus: wishes.opus,
            is_asymmetric: wishes.is_asymmetric,
            is_answer: false,
        }
    }

    pub(super) fn ways(&self) -> Vec<Way> {
        let entries = self.source.codecs.entries.iter();
        entries.map(|entry| self.way(entry)).collect()
    }

    fn way(&self, from: &Entry) -> Way {
        let preferred = self.preferred(&from.format);
        let found = is_known(&from.format).then(|| self.found(from, preferred));
        let Some(to) = found.flatten() else {
            let is_known = is_known(&from.format);
            let beside = |name| {
                let found = beside(&self.source.codecs, from.format.clock_hz, name);
                found.filter(|_| is_known).map(Entry::number)
            };
            return Way {
                from: from.clone(),
                to: from.clone(),
                passes: true,
                leads: false,
                events: beside("telephone-event"),
                noise: beside("CN"),
                finds_keys: false,
            };
        };
        let events = self.companions(from, &to, "telephone-event");
        let noise = self.companions(from, &to, "CN");
        let is_codec = !from.format.is_companion();
        let finds_keys = is_codec && events.0.is_none() && events.1.is_some_and(|it| it.is_added);
        let is_same = (self.is_asymmetric || from.number() == to.number())
            && from.format.is_same_codec(&to.format);
        let is_lost = |(source, sink): (Option<&Entry>, Option<&Entry>)| {
            source.is_some_and(|it| it.is_added) && sink.is_none()
        };
        let is_made = |(source, sink): (Option<&Entry>, Option<&Entry>)| {
            source.is_none() && sink.is_some_and(|it| it.is_added)
        };
        let is_changed = self.has_other_ptime(from, &to)
            || finds_keys
            || is_lost(events)
            || is_lost(noise)
            || is_made(noise);
        let passes = is_same && !(is_codec && is_changed);
        Way {
            from: from.clone(),
            to: if passes { from.clone() } else { to },
            passes,
            leads: true,
            events: events.1.map(Entry::number),
            noise: noise.1.map(Entry::number),
            finds_keys,
        }
    }

    /// The codec that it becomes.
    fn found(&self, from: &Entry, preferred: Option<&Entry>) -> Option<Entry> {
        let sink = &self.sink.codecs;
        let same = sink.by_number(from.number()).filter(|it| from.is_like(it));
        let is_symmetric = !self.is_asymmetric || from.is_added || from.format.is_companion();
        let found = match same {
            Some(same) => Some(same),
            None if is_symmetric => sink.fitting(&from.format),
            None => Some(from),
        };
        // What was added is what the party is to be sent, if it prefers it.
        let is_overruled = !from.format.is_companion() && preferred.is_some_and(|it| it.is_added);
        let found = if is_overruled && found.is_some() {
            preferred
        } else {
            found.or(preferred)
        };
        found.cloned()
    }

    /// What the party is sent where nothing else is found: what it is best to make of this; of
    /// equals, what must be taken from it before others.
    fn preferred(&self, from: &Format) -> Option<&'a Entry> {
        let codecs = &self.sink.codecs.entries;
        let codecs = codecs.iter().filter(|it| is_heard(&it.format));
        let place = |it: &Entry| (points(self.preferences, from, &it.format), it.is_accepted);
        // The first of the best, where `max_by_key` takes the last.
        codecs.rev().max_by_key(|it| place(it))
    }

    /// What goes beside the codec, on either side.
    fn companions(&self, from: &Entry, to: &Entry, name: &str) -> (Option<&Entry>, Option<&Entry>) {
        let sink = &self.sink.codecs;
        let source = beside(&self.source.codecs, from.format.clock_hz, name);
        let mut other = beside(sink, to.format.clock_hz, name);
        if let (true, Some(source)) = (self.is_asymmetric, source) {
            let is_other = other.is_none_or(|it| {
                parameters::compare(&it.format, &source.format) != parameters::Likeness::Compatible
            });
            if is_other && sink.fitting(&source.format).is_some() {
                other = Some(source);
            }
        }
        if self.is_answer && source.is_none() {
            other = other.filter(|it| it.is_added);
        }
        (source, other)
    }

    fn has_other_ptime(&self, from: &Entry, to: &Entry) -> bool {
        let is_forced = self.source.has_ptime_forced || self.sink.has_ptime_forced;
        is_forced && self.source.ptime(from) != self.sink.ptime(to)
    }
}

impl Party {
    /// Milliseconds of a packet.
    pub(super) fn ptime(&self, entry: &Entry) -> u16 {
        let usual = if entry.format.is_named("iLBC") {
            30
        } else {
            20
        };
        self.ptime_ms.or(entry.ptime_ms).unwrap_or(usual)
    }
}

/// What goes beside codecs of a clock.
fn beside<'l>(list: &'l List, clock_hz: u32, name: &str) -> Option<&'l Entry> {
    let is_it = |it: &&Entry| it.format.is_named(name) && it.format.clock_hz == clock_hz;
    list.entries.iter().find(is_it)
}

/// Whether a payload type goes with another: what has no clock in common with any goes with all.
pub(super) fn beside_any<'l>(list: &'l List, format: &Format, name: &str) -> Option<&'l Entry> {
    let own = beside(list, format.clock_hz, name);
    own.or_else(|| list.entries.iter().find(|it| it.format.is_named(name)))
}

//! What an offer becomes on its way to the other party.

use std::borrow::Cow;

use relay_wire::SampleRate;
use serde::{Deserialize, Serialize};

use super::capability;
use super::format::{FORMATS_MAX, Format};
use super::listing::{Listed, Listing, Ptime, Section};
use super::opus::Options;
use super::wishes::{Fate, Spec, Wishes};

/// Payload types that are free for whatever SDP says (RFC 3551 §6), in the order they are used in:
/// those below 96 only when the others are used up, as RFC 5761 §4 leaves 64 to 95 to RTCP.
pub(super) const DYNAMIC: [std::ops::RangeInclusive<u8>; 2] = [96..=127, 35..=63];

/// What Opus says where it is offered by the relay: what the others hear.
const OPUS_NARROW: &str = "maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1";
const OPUS_WIDE: &str = "maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1";

/// What was offered, so that the answer can be understood.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Offered {
    pub(super) entries: Vec<Entry>,
    /// Milliseconds of a packet, as who made the offer wants them.
    pub(super) ptime_ms: Option<u16>,
    /// The same as the proxy wants them, towards who got the offer.
    pub(super) ptime_to_answerer_ms: Option<u16>,
    /// And towards who made it.
    pub(super) ptime_to_offerer_ms: Option<u16>,
    /// How Opus is encoded.
    pub(super) opus: Options,
}

/// A payload type of an offer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Entry {
    pub(super) format: Format,
    pub(super) known_by: KnownBy,
}

/// Who knows of a payload type.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum KnownBy {
    /// It was offered by one and is offered to the other.
    Both,
    /// It is offered by the relay.
    Answerer,
    /// It is not offered on.
    Offerer,
}

impl Offered {
    /// What a payload type stands for. No number stands for two codecs.
    pub(super) fn format(&self, payload_type: u8) -> Option<&Format> {
        let mut formats = self.entries.iter().map(|it| &it.format);
        formats.find(|it| it.payload_type == payload_type)
    }
}

impl Entry {
    pub(super) fn is_known_by_offerer(&self) -> bool {
        self.known_by != KnownBy::Answerer
    }

    pub(super) fn is_known_by_answerer(&self) -> bool {
        self.known_by != KnownBy::Offerer
    }
}

/// What an offer says to the other party; `None`: what it said. And what must be known of it when
/// the answer comes; `None`: nothing.
pub(crate) type Onward = (Option<Listing>, Option<Offered>);

/// Changes one section of an offer. `transcodes`: what the relay has may be offered, too. `before` is
/// what the last offer between the two parties was, by whomever.
pub(crate) fn onward(
    transcodes: bool,
    wishes: &Wishes,
    section: &Section,
    before: Option<&Offered>,
) -> Onward {
    let mut draft = Draft::sort(wishes, section);
    let is_heard = section.is_audible && transcodes;
    if is_heard && draft.has_source() {
        draft.add(wishes, before);
    }
    draft.restore_if_empty(section);
    let offered = is_heard.then(|| draft.offered(wishes, section)).flatten();
    // What is said of the length of packets holds only if they can be put together anew.
    let ptime = wishes.ptime_ms.filter(|_| is_heard && draft.has_source());
    (draft.listing(wishes, section, ptime), offered)
}

/// An offer in the making.
#[derive(Debug, Default)]
struct Draft {
    kept: Vec<Format>,
    masked: Vec<Format>,
    stripped: Vec<Format>,
    added: Vec<Format>,
}

impl Draft {
    /// Divides what is offered by what is to become of it.
    fn sort(wishes: &Wishes, section: &Section) -> Self {
        let mut draft = Self::default();
        for format in &section.formats {
            let list = match wishes.fate(format) {
                Fate::Keep => &mut draft.kept,
                Fate::Mask => &mut draft.masked,
                Fate::Strip => &mut draft.stripped,
            };
            list.push(format.clone());
        }
        draft
    }

    /// What who made the offer may send.
    fn sources(&self) -> impl Iterator<Item = &Format> {
        self.kept.iter().chain(&self.masked)
    }

    /// Whether something is offered that the relay can read and write.
    fn has_source(&self) -> bool {
        self.sources().any(capability::has)
    }

    fn add(&mut self, wishes: &Wishes, before: Option<&Offered>) {
        for format in capability::usual().filter(|it| wishes.allows(it)) {
            if !self.sources().any(|it| it.is_same_codec(&format)) {
                self.push(format, before);
            }
        }
        if self.kept.iter().any(Format::is_events) {
            self.add_events(before);
        }
        self.limit_opus();
    }

    /// Keys have the clock of the codec beside them (RFC 4733 §2.1).
    fn add_events(&mut self, before: Option<&Offered>) {
        let clocks: Vec<_> = self.added.iter().map(|it| it.clock_hz).collect();
        for clock_hz in clocks {
            let format = events(clock_hz);
            let mut listed = self.kept.iter().chain(&self.added);
            if !listed.any(|it| it.is_same_codec(&format)) {
                self.push(format, before);
            }
        }
    }

    /// What Opus says beyond what the other codecs hear need not be said (RFC 7587 §6.1).
    fn limit_opus(&mut self) {
        let audio = self.sources().filter(|it| capability::has(it));
        let is_wide = audio.map(capability::rate).any(|it| it == SampleRate::Wide);
        let limited = if is_wide { OPUS_WIDE } else { OPUS_NARROW };
        let mut added = self.added.iter_mut();
        if let Some(opus) = added.find(|it| it.is_named("opus")) {
            opus.parameters = Cow::Borrowed(limited);
        }
    }

    fn push(&mut self, mut format: Format, before: Option<&Offered>) {
        let is_full = self.kept.len() + self.added.len() >= FORMATS_MAX;
        if let Some(number) = self.number(&format, before).filter(|_| !is_full) {
            format.payload_type = number;
            self.added.push(format);
        }
    }

    /// The number of what is added: the one that it had before, if it had one.
    fn number(&self, format: &Format, before: Option<&Offered>) -> Option<u8> {
        let offered = || self.sources().chain(&self.stripped);
        let known = before.into_iter().flat_map(|it| &it.entries);
        let known = known.map(|it| &it.format);
        let same = offered()
            .chain(known.clone())
            .filter(|it| it.is_same_codec(format));
        let own = same.map(|it| it.payload_type).chain([format.payload_type]);
        let is_free = |number: u8| {
            let mut listed = self.kept.iter().chain(&self.added);
            number < 128 && listed.all(|it| it.payload_type != number)
        };
        // A number must not stand for one codec now and for another then (RFC 3264 §8.3.2).
        let is_unused = |number: u8| {
            let mut used = offered().chain(known.clone());
            is_free(number) && used.all(|it| it.payload_type != number)
        };
        let mut own = own.filter(|number| is_free(*number));
        own.next()
            .or_else(|| DYNAMIC.into_iter().flatten().find(|it| is_unused(*it)))
            .or_else(|| DYNAMIC.into_iter().flatten().find(|it| is_free(*it)))
    }

    /// To offer nothing is a mistake of who wrote the rules: then they do not hold.
    fn restore_if_empty(&mut self, section: &Section) {
        let mut listed = self.kept.iter().chain(&self.added);
        let is_empty = if section.is_audible {
            listed.all(Format::is_companion)
        } else {
            listed.next().is_none()
        };
        if is_empty {
            *self = Self {
                kept: section.formats.clone(),
                ..Self::default()
            };
        }
    }

    fn offered(&self, wishes: &Wishes, section: &Section) -> Option<Offered> {
        let lists = [
            (&self.kept, KnownBy::Both),
            (&self.masked, KnownBy::Offerer),
            (&self.added, KnownBy::Answerer),
        ];
        let entries = lists.into_iter().flat_map(|(list, known_by)| {
            list.iter().map(move |format| Entry {
                format: format.clone(),
                known_by,
            })
        });
        let offered = Offered {
            entries: entries.collect(),
            ptime_ms: section.ptime_ms,
            ptime_to_answerer_ms: wishes.ptime_ms.or_else(|| self.spec_ptime(wishes)),
            ptime_to_offerer_ms: wishes.ptime_reverse_ms,
            opus: opus(wishes),
        };
        let is_special = |it: &Entry| it.known_by != KnownBy::Both;
        let ptimes = offered.ptime_to_answerer_ms.or(offered.ptime_to_offerer_ms);
        let must_be_known = offered.entries.iter().any(is_special) || ptimes.is_some();
        must_be_known.then_some(offered)
    }

    /// The length of packets that is named with a codec that is added.
    fn spec_ptime(&self, wishes: &Wishes) -> Option<u16> {
        let options = self.added.iter().filter_map(|it| wishes.spec_set(it));
        options.filter_map(|it| it.ptime_ms).next()
    }

    /// What is listed, first what the proxy wants to have first.
    fn listing(&self, wishes: &Wishes, section: &Section, ptime: Option<u16>) -> Option<Listing> {
        let kept = self
            .kept
            .iter()
            .map(|it| (it, Listed::Kept(it.payload_type)));
        let added = self.added.iter().map(|it| (it, Listed::New(it.clone())));
        let mut listed: Vec<_> = kept.chain(added).collect();
        listed.sort_by_key(|(format, _)| wishes.place(format));
        let formats: Vec<_> = listed.into_iter().map(|(_, listed)| listed).collect();
        let own = section
            .formats
            .iter()
            .map(|it| Listed::Kept(it.payload_type));
        let is_same = self.added.is_empty() && formats.iter().cloned().eq(own);
        if is_same && (ptime.is_none() || ptime == section.ptime_ms) {
            return None;
        }
        Some(Listing {
            formats,
            ptime: ptime.map_or(Ptime::Keep, Ptime::Set),
            gone: 0,
        })
    }
}

/// Keys as events, in a clock.
fn events(clock_hz: u32) -> Format {
    let mut format = Format::of_payload_type(u8::MAX);
    format.name = Cow::Borrowed("telephone-event");
    format.clock_hz = clock_hz;
    format.parameters = Cow::Borrowed(capability::EVENTS);
    format
}

/// How the proxy wants Opus to be encoded, as far as it says.
fn opus(wishes: &Wishes) -> Options {
    let mut known = capability::all();
    let opus = known.find(|it| it.is_named("opus"));
    let said = |opus| {
        let specs = wishes.set.iter().filter(|spec| spec.means(&opus));
        let mut options = specs.map(Spec::options);
        options.find(|it| *it != Options::default())
    };
    opus.and_then(said).unwrap_or_default()
}

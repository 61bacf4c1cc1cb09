//! What an answer becomes on its way to who made the offer, and what the relay is to do then.

use std::borrow::Cow;

use relay_wire::Route;

use super::capability;
use super::format::Format;
use super::listing::{Listed, Listing, Ptime, Section};
use super::offer::{Entry, Offered};
use super::routes::Pairing;
use super::wishes::{Fate, Wishes};

/// What the relay is to do with what arrives from either party; nothing: packets pass as they are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Routes {
    pub(crate) from_offerer: Vec<Route>,
    pub(crate) from_answerer: Vec<Route>,
}

/// What an answer says to who made the offer; `None`: what it said. And what the relay does.
pub(crate) type Onward = (Option<Listing>, Routes);

/// Changes one section of an answer. `spares`: what can be done without codecs is to be.
pub(crate) fn onward(
    wishes: &Wishes,
    section: &Section,
    offered: Option<&Offered>,
    spares: bool,
) -> Onward {
    let heard = heard(wishes, section, offered);
    let audible = offered.filter(|_| section.is_audible);
    let agreement = audible.and_then(|offered| Agreement::find(offered, section, &heard, spares));
    match agreement {
        Some(agreement) => agreement.onward(wishes),
        None => (passed(wishes, section, offered, &heard), Routes::default()),
    }
}

/// What the answer lists, in the order that is wanted, without what is not. What is listed by its
/// number only is what was offered by it.
fn heard(wishes: &Wishes, section: &Section, offered: Option<&Offered>) -> Vec<Format> {
    let is_kept = |it: &&Format| !matches!(wishes.fate(it), Fate::Strip);
    let mut heard: Vec<_> = section.formats.iter().filter(is_kept).cloned().collect();
    if heard.iter().all(Format::is_companion) {
        heard.clone_from(&section.formats);
    }
    for format in heard.iter_mut().filter(|it| it.name.is_empty()) {
        let mut entries = offered.into_iter().flat_map(|it| &it.entries);
        let number = format.payload_type;
        let entry =
            entries.find(|it| it.is_known_by_answerer() && it.format.payload_type == number);
        if let Some(entry) = entry {
            format.clone_from(&entry.format);
        }
    }
    heard.sort_by_key(|format| wishes.place(format));
    heard
}

/// The answer without what only the relay has offered.
fn passed(
    wishes: &Wishes,
    section: &Section,
    offered: Option<&Offered>,
    heard: &[Format],
) -> Option<Listing> {
    let is_ours = |format: &Format| {
        let entries = || offered.into_iter().flat_map(|it| &it.entries);
        let same = || entries().filter(|it| it.format.is_same_codec(format));
        same().next().is_some() && !same().any(Entry::is_known_by_offerer)
    };
    let mut listed: Vec<_> = heard.iter().filter(|it| !is_ours(it)).collect();
    if listed.iter().all(|it| it.is_companion()) {
        // None of it is the offerer's: better wrong than nothing.
        listed = heard.iter().collect();
    }
    if wishes.is_single {
        keep_first(&mut listed);
    }
    let numbers = listed.iter().map(|it| it.payload_type);
    let is_same = numbers
        .clone()
        .eq(section.formats.iter().map(|it| it.payload_type));
    (!is_same).then(|| Listing {
        formats: numbers.map(Listed::Kept).collect(),
        ptime: Ptime::Keep,
        gone: 0,
    })
}

/// Leaves but one codec, and what goes beside it.
fn keep_first(listed: &mut Vec<&Format>) {
    let first = listed.iter().position(|it| !it.is_companion());
    let clock_hz = first.and_then(|at| listed.get(at)).map(|it| it.clock_hz);
    let mut at = 0;
    listed.retain(|it| {
        let is_first = Some(at) == first;
        at += 1;
        is_first || (it.is_companion() && Some(it.clock_hz) == clock_hz)
    });
}

/// A stream that the relay has to change.
#[derive(Debug)]
struct Agreement<'a> {
    offered: &'a Offered,
    section: &'a Section,
    heard: &'a [Format],
    /// What the offerer is told that it may send: all can be heard.
    accepted: Vec<&'a Entry>,
}

impl<'a> Agreement<'a> {
    /// What must be done; `None` if nothing must, or can.
    fn find(
        offered: &'a Offered,
        section: &'a Section,
        heard: &'a [Format],
        spares: bool,
    ) -> Option<Self> {
        let mut audio = heard.iter().filter(|it| !it.is_companion());
        let first = audio.next()?;
        let agreement = Self {
            offered,
            section,
            heard,
            accepted: accepted(offered, heard),
        };
        let can = audio_of(heard).next().is_some() && !agreement.accepted.is_empty();
        let shares = shared(offered, heard).next().is_some();
        // The first is what the answerer will most likely send.
        let shares_first = shared(offered, std::slice::from_ref(first))
            .next()
            .is_some();
        let is_needed = !shares_first || (!spares && agreement.must_divide());
        (can && is_needed && !(spares && shares)).then_some(agreement)
    }

    /// Whether packets must be put together anew though the parties share a codec.
    fn must_divide(&self) -> bool {
        let wanted = [
            self.offered.ptime_to_answerer_ms,
            self.offered.ptime_to_offerer_ms,
        ];
        let said = [self.offered.ptime_ms, self.section.ptime_ms];
        let mut both = wanted.iter().zip(said);
        both.any(|(wanted, said)| wanted.is_some_and(|wanted| wanted != said.unwrap_or(20)))
    }

    fn onward(mut self, wishes: &Wishes) -> Onward {
        if wishes.is_single {
            self.accepted.truncate(1);
        }
        let pairing = Pairing {
            offered: self.offered,
            heard: self.heard,
            accepted: &self.accepted,
            ptime_ms: self.section.ptime_ms,
            opus: wishes.opus,
        };
        let routes = Routes {
            from_offerer: pairing.routes_from_offerer(),
            from_answerer: pairing.routes_from_answerer(),
        };
        (Some(self.listing(&routes)), routes)
    }

    /// What the offerer is told: only what there is a route for.
    fn listing(&self, routes: &Routes) -> Listing {
        let from = || routes.from_offerer.iter().map(|it| it.from);
        let has_route = |number: u8| from().any(|it| it.payload_type == number);
        let has_events =
            |number| from().any(|it| it.events.is_some_and(|it| it.payload_type == number));
        let has_noise = |number| from().any(|it| it.comfort_noise == Some(number));
        let is_heard = |it: &Entry| self.heard.iter().any(|b| b.is_same_codec(&it.format));
        let audio = self.accepted.iter().copied();
        let audio = audio.filter(|it| has_route(it.format.payload_type));
        let beside = self.offered.entries.iter().filter(|it| {
            let number = it.format.payload_type;
            let is_events = it.format.is_events() && has_events(number);
            let is_noise = it.format.is_noise() && has_noise(number) && is_heard(it);
            it.is_known_by_offerer() && (is_events || is_noise)
        });
        let formats = audio.chain(beside).map(|it| self.listed(it)).collect();
        let is_ptime_said = self.offered.ptime_ms.or(self.section.ptime_ms).is_some()
            || self.offered.ptime_to_offerer_ms.is_some();
        let ptime = routes.from_answerer.first().map(|it| it.to.ptime_ms);
        Listing {
            formats,
            ptime: match ptime.filter(|_| is_ptime_said) {
                Some(ptime) => Ptime::Set(ptime),
                None => Ptime::Remove,
            },
            gone: 0,
        }
    }

    /// In the answerer's words, if it has some for it; else in those of the relay.
    fn listed(&self, entry: &Entry) -> Listed {
        let mut format = entry.format.clone();
        let mut heard = self.heard.iter();
        match heard.find(|it| it.is_same_codec(&format)) {
            Some(heard) if is_in(self.section, heard, entry) => Listed::Kept(heard.payload_type),
            Some(heard) => {
                format.parameters.clone_from(&heard.parameters);
                Listed::New(format)
            }
            None => {
                if format.is_named("opus") {
                    format.parameters = Cow::Borrowed("useinbandfec=1");
                } else if !format.is_named("iLBC") && !format.is_events() {
                    format.parameters = Cow::Borrowed("");
                }
                Listed::New(format)
            }
        }
    }
}

/// Whether the section says it in words of its own, and by the number of the offer.
fn is_in(section: &Section, heard: &Format, entry: &Entry) -> bool {
    heard.payload_type == entry.format.payload_type && section.formats.contains(heard)
}

/// The codecs that the relay can hear.
pub(super) fn audio_of(formats: &[Format]) -> impl Iterator<Item = &Format> {
    formats.iter().filter(|it| capability::has(it))
}

/// Codecs of the offerer that the answerer has too.
fn shared<'a>(offered: &'a Offered, heard: &'a [Format]) -> impl Iterator<Item = &'a Entry> {
    heard.iter().filter_map(|heard| {
        let mut entries = offered.entries.iter();
        let is_audio = !heard.is_companion();
        entries.find(|it| is_audio && it.is_known_by_offerer() && it.format.is_same_codec(heard))
    })
}

/// What the offerer may send: what both have; if that is nothing, all that can be heard.
fn accepted<'a>(offered: &'a Offered, heard: &'a [Format]) -> Vec<&'a Entry> {
    let known = offered.entries.iter().filter(|it| it.is_known_by_offerer());
    let entries = known.filter(|it| capability::has(&it.format));
    let shared = shared(offered, heard).filter(|it| capability::has(&it.format));
    let mut accepted: Vec<_> = shared.collect();
    if accepted.is_empty() {
        accepted = entries.collect();
    }
    let mut numbers: u128 = 0;
    accepted.retain(|it| {
        let bit = 1_u128 << (it.format.payload_type & 127);
        let is_new = numbers & bit == 0;
        numbers |= bit;
        is_new
    });
    accepted
}

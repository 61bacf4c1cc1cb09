//! What an answer does to the lists of both parties, and what the relay is to do then.

use std::collections::VecDeque;

use relay_wire::{Codec, Events, Route};

use super::list::{Entry, List, is_heard};
use super::offer::{offer, restore_if_empty};
use super::ways::{Terms, Way, beside_any};
use super::{Dialogue, Party, parameters};
use crate::codecs::answer::Routes;
use crate::codecs::capability;
use crate::codecs::format::Format;
use crate::codecs::listing::Section;
use crate::codecs::routes;
use crate::codecs::wishes::Wishes;

pub(super) fn carry_out(
    dialogue: &mut Dialogue<'_>,
    wishes: &Wishes,
    section: &Section,
    spares: bool,
) -> Routes {
    let mut said = List::of(&section.formats);
    let (answerer, offerer) = (&mut *dialogue.sender, &mut *dialogue.receiver);
    if spares {
        leave_shared(&mut said, &offerer.offered);
    }
    answerer.codecs = taken(&answerer.offered, &offerer.offered, &said, wishes);
    answerer.codecs.strip(&wishes.strip, &wishes.except);
    offer(&mut answerer.codecs, &said, wishes);
    restore_if_empty(&mut answerer.codecs, &said, wishes);
    offerer.codecs = offerer.offered.clone();
    let terms = Terms {
        is_answer: true,
        ..Terms::new(wishes, answerer, offerer)
    };
    let ways = terms.ways();
    offerer.codecs = answered(&ways, (&answerer.codecs, &offerer.offered), wishes);
    // Nobody is told of what it has not said itself.
    offerer.codecs.align_companions(&offerer.offered, false);
    answerer.codecs.align_companions(&List::default(), false);
    if section.is_audible {
        routes_of(wishes, offerer, answerer)
    } else {
        Routes::default()
    }
}

/// If the parties share a codec, leaves nothing but what they share: as if no more were answered.
fn leave_shared(said: &mut List, offered: &List) {
    let shared = |entry: &Entry| {
        let offered = offered.by_number(entry.number());
        offered.filter(|it| is_same(it, entry))
    };
    let is_codec = |entry: &Entry| shared(entry).is_some_and(|it| !it.format.is_companion());
    if said.entries.iter().any(is_codec) {
        said.entries.retain(|it| shared(it).is_some());
    }
}

/// What the answer says, of what was offered. What was not offered by anybody cannot be answered.
fn taken(offered: &List, by_other: &List, said: &List, wishes: &Wishes) -> List {
    let mut list = List::default();
    if wishes.reuses {
        list.touched = offered.touched.clone();
    }
    for entry in &said.entries {
        let mut entry = entry.clone();
        entry.options = wishes.options_set(&entry.format).unwrap_or(entry.options);
        let own = offered.by_number(entry.number());
        let own = own.filter(|it| wishes.reuses || is_same(it, &entry));
        let other = || {
            by_other
                .by_number(entry.number())
                .filter(|it| is_same(it, &entry))
        };
        let other = || other().filter(|_| !wishes.reuses);
        let fitting = || {
            offered
                .fitting(&entry.format)
                .filter(|_| wishes.is_asymmetric)
        };
        let Some(known) = own.or_else(other).or_else(fitting) else {
            continue;
        };
        let is_companion_of_other = own.is_none() && known.format.is_companion();
        if !is_companion_of_other {
            let known = known.clone();
            if entry.format.name.is_empty() {
                entry.format.clone_from(&known.format);
            }
            entry.inherit(&known);
            if known.is_added {
                list.touched.note(&entry.format);
            }
        }
        list.push(entry);
    }
    if wishes.reuses {
        list.sort_as(offered);
    }
    list
}

/// Whether an answer means what was offered by that number; some say nothing but the number.
fn is_same(offered: &Entry, answered: &Entry) -> bool {
    answered.format.name.is_empty() || offered.is_like(answered)
}

/// What the offerer is told: where the ways lead that begin at what was answered.
fn answered(ways: &[Way], (answerer, offered): (&List, &List), wishes: &Wishes) -> List {
    let mut list = List {
        touched: offered.touched.clone(),
        ..List::default()
    };
    let mut count = 0;
    let mut beside = VecDeque::new();
    for way in ways {
        let is_companion = way.from.format.is_companion();
        let clock_hz = way.from.format.clock_hz;
        let is_touched = answerer.touched.has(clock_hz) || offered.touched.has(clock_hz);
        if is_companion && (way.from.is_added || is_touched) {
            continue;
        }
        if wishes.is_single && count >= 1 && !is_companion {
            continue;
        }
        if !list.has_number(way.to.number()) {
            list.push(told(way));
            count += usize::from(!is_companion);
        }
        for number in [way.noise, way.events].into_iter().flatten() {
            let mut entry = offered.by_number(number);
            if let (true, Some(said)) = (wishes.is_asymmetric, answerer.by_number(number)) {
                entry = entry.filter(|it| said.is_like(it)).or(Some(said));
            }
            beside.extend(entry.cloned());
        }
    }
    for entry in beside {
        if !list.has_number(entry.number()) {
            list.push(entry);
        }
    }
    list
}

/// A codec as the offerer is told of it.
fn told(way: &Way) -> Entry {
    let mut entry = way.to.clone();
    if way.passes {
        entry.format.payload_type = way.from.own_number;
    } else {
        let is_mono = way.from.format.channels == 1;
        entry.format.parameters = parameters::answered(&way.to.format, is_mono);
    }
    entry
}

fn routes_of(wishes: &Wishes, offerer: &Party, answerer: &Party) -> Routes {
    let down = Terms::new(wishes, offerer, answerer);
    let up = Terms {
        is_answer: true,
        ..Terms::new(wishes, answerer, offerer)
    };
    let (down_ways, up_ways) = (down.ways(), up.ways());
    let mut routes = Routes::default();
    let changes = |ways: &[Way]| ways.iter().any(|it| !it.passes);
    let (changes_down, changes_up) = (changes(&down_ways), changes(&up_ways));
    if changes_down || changes_up {
        routes.from_offerer = routes_along(&down, &down_ways);
        routes.from_answerer = routes_along(&up, &up_ways);
        // Where nothing but the law of G.711 changes, either direction can be left alone.
        let is_light = |it: &Route| is_g711(it.from.codec) && is_g711(it.to.codec);
        let mut all = routes.from_offerer.iter().chain(&routes.from_answerer);
        if all.all(|it| is_light(it) && it.from.ptime_ms == it.to.ptime_ms && !finds_keys(it)) {
            if !changes_down {
                routes.from_offerer.clear();
            }
            if !changes_up {
                routes.from_answerer.clear();
            }
        }
    }
    routes
}

/// A codec as who is sent it has described it: what the offerer is told of it is other than that.
fn wanted<'t>(terms: &Terms<'t>, to: &'t Format) -> &'t Format {
    let offered = &terms.sink.offered;
    let said = offered.by_number(to.payload_type).map(|it| &it.format);
    let said = said.filter(|it| terms.is_answer && it.is_same_codec(to));
    said.unwrap_or(to)
}

/// The same of who sends it.
fn said<'t>(terms: &Terms<'t>, from: &'t Format) -> &'t Format {
    let offered = &terms.source.offered;
    let said = offered.by_number(from.payload_type).map(|it| &it.format);
    let said = said.filter(|it| !terms.is_answer && it.is_same_codec(from));
    said.unwrap_or(from)
}

/// Whether Opus that is to be Opus is coded anew: who sends it was not told what who receives it wants,
/// or what it says is to be searched for keys.
fn is_coded_anew(way: &Way, sent: &Format, wanted: &Format) -> bool {
    let is_opus = |format: &Format| format.is_named("opus");
    if way.passes || !is_opus(&way.from.format) || !is_opus(&way.to.format) {
        return false;
    }
    let asked = way.to.options.or(way.from.options);
    way.finds_keys
        || asked.bitrate.is_some()
        || wanted.parameter("maxaveragebitrate").is_some()
        || matches!(wanted.parameter("maxplaybackrate"), Some(..48_000))
        || (sent.parameter("sprop-stereo"), wanted.parameter("stereo")) == (Some(1), Some(0))
}

/// Keys beside a codec that is sent: in its clock, or in another if that is of no codec either. Who
/// has keys for other codecs alone hears tones beside this one.
fn keys_beside(list: &List, codec: &Format) -> Option<Events> {
    let formats = list.entries.iter().map(|it| &it.format);
    let mut codecs = formats.clone().filter(|it| !it.is_companion());
    let found = routes::events(formats, codec)?;
    let is_anothers =
        found.clock_hz != codec.clock_hz && codecs.any(|it| it.clock_hz == found.clock_hz);
    Some(found).filter(|_| !is_anothers)
}

fn finds_keys(route: &Route) -> bool {
    route.from.events.is_some() != route.to.events.is_some()
}

fn is_g711(codec: Codec) -> bool {
    matches!(codec, Codec::Pcmu | Codec::Pcma)
}

/// The ways that the relay can do something about. Of those that lead nowhere it makes nothing: a route
/// for one would keep from the other party all else that passes, a codec that the relay does not have,
/// and bring it what it was not told of.
fn routes_along(terms: &Terms<'_>, ways: &[Way]) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let is_heard = |it: &&Way| is_heard(&it.from.format) && is_heard(&it.to.format);
    for way in ways.iter().filter(|it| it.leads).filter(is_heard) {
        for number in [way.from.number(), way.from.own_number] {
            if let Some(route) = route(terms, way, number) {
                routes::push(&mut routes, route);
            }
        }
    }
    routes
}

/// The same in words of the relay. `number`: by which it arrives.
fn route(terms: &Terms<'_>, way: &Way, number: u8) -> Option<Route> {
    let (from, to) = (&way.from.format, &way.to.format);
    let mut one = capability::codec(from, capability::rate(to))?;
    let mut other = capability::codec(to, capability::rate(from))?;
    let (sent, wanted) = (said(terms, from), wanted(terms, to));
    match (one, other) {
        (Codec::Ilbc(_), Codec::Ilbc(_)) => {
            one = Codec::Ilbc(capability::ilbc_mode_of_both(from, to));
            other = one;
        }
        (Codec::Opus(_), Codec::Opus(_)) => {
            one = Codec::Opus(terms.opus.rate(sent, wanted));
            other = one;
        }
        _ => {}
    }
    let (ptime, other_ptime) = (terms.source.ptime(&way.from), terms.sink.ptime(&way.to));
    let pick = |codec, ptime| {
        let is_whole = capability::is_whole(codec, ptime);
        if is_whole {
            ptime
        } else {
            capability::ptime_ms(codec)
        }
    };
    let (source, sink) = (&terms.source.codecs, &terms.sink.codecs);
    let events = |list: &List, format| {
        let formats = list.entries.iter().map(|it| &it.format);
        routes::events(formats, format)
    };
    let noise = |list: &List| {
        let number = beside_any(list, from, "CN").map(Entry::number);
        number.filter(|_| from.clock_hz == to.clock_hz)
    };
    let arriving = events(source, from);
    let has_keys = arriving.is_some() || way.finds_keys;
    let opus = way.to.options.or(way.from.options);
    Some(Route {
        from: relay_wire::Format {
            codec: one,
            payload_type: number,
            ptime_ms: pick(one, ptime),
            events: arriving,
            comfort_noise: noise(source),
        },
        to: relay_wire::Format {
            codec: other,
            payload_type: to.payload_type,
            ptime_ms: pick(other, other_ptime),
            events: keys_beside(sink, to).filter(|_| has_keys),
            comfort_noise: noise(sink),
        },
        opus: match other {
            Codec::Opus(rate) => terms.opus.settings(opus, wanted, rate),
            _ => None,
        },
        suppresses_silence: false,
        is_coded_anew: is_coded_anew(way, sent, wanted),
    })
}

//! From what one party sends to what the other understands.

use relay_wire::{Codec, Events, ROUTES_MAX, Route};

use super::answer::audio_of;
use super::capability;
use super::format::Format;
use super::offer::{Entry, Offered};
use super::opus::OpusPolicy;

/// What both parties of a stream may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairing<'a> {
    pub(super) offered: &'a Offered,
    /// What the answerer has, in its order.
    pub(super) heard: &'a [Format],
    /// What the offerer may send. One at least.
    pub(super) accepted: &'a [&'a Entry],
    /// Milliseconds of a packet, as the answerer wants them.
    pub(super) ptime_ms: Option<u16>,
    /// How Opus is encoded where the proxy says nothing.
    pub(super) opus: OpusPolicy,
}

impl Pairing<'_> {
    pub(super) fn routes_from_offerer(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for entry in self.accepted {
            let same = audio_of(self.heard).find(|it| it.is_same_codec(&entry.format));
            let Some(heard) = same.or_else(|| audio_of(self.heard).next()) else {
                continue;
            };
            if let Some((from, to)) = self.pair(&entry.format, heard, heard.payload_type) {
                push(&mut routes, self.route((from, &entry.format), (to, heard)));
            }
        }
        routes
    }

    pub(super) fn routes_from_answerer(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        let mut others = Vec::new();
        for heard in audio_of(self.heard) {
            let mut accepted = self.accepted.iter();
            let same = accepted.find(|it| it.format.is_same_codec(heard));
            let Some(entry) = same.or_else(|| self.accepted.first()) else {
                continue;
            };
            // It sends by the numbers of the offer (RFC 3264 §6.1), but some do by their own.
            let number = self.number_offered(heard).unwrap_or(heard.payload_type);
            if let Some((to, from)) = self.pair(&entry.format, heard, number) {
                let route = self.route((from, heard), (to, &entry.format));
                push(&mut routes, route);
                let mut other = route;
                other.from.payload_type = heard.payload_type;
                others.push(other);
            }
        }
        for other in others {
            push(&mut routes, other);
        }
        routes
    }

    /// The number by which the answerer was offered a codec.
    fn number_offered(&self, heard: &Format) -> Option<u8> {
        let entries = || {
            self.offered
                .entries
                .iter()
                .filter(|it| it.is_known_by_answerer())
        };
        let same = || entries().filter(|it| it.format.is_same_codec(heard));
        let mut by_number = same().filter(|it| it.format.payload_type == heard.payload_type);
        let entry = by_number.next().or_else(|| same().next());
        entry.map(|it| it.format.payload_type)
    }

    /// Both sides of a route, that of the offerer first. The answerer's is known by `number`.
    fn pair(
        &self,
        offerer: &Format,
        answerer: &Format,
        number: u8,
    ) -> Option<(relay_wire::Format, relay_wire::Format)> {
        let mut one = capability::codec(offerer, capability::rate(answerer))?;
        let mut other = capability::codec(answerer, capability::rate(offerer))?;
        if offerer.is_same_codec(answerer) {
            if let Codec::Ilbc(_) = one {
                one = Codec::Ilbc(capability::ilbc_mode_of_both(offerer, answerer));
                other = one;
            }
        } else if let (Codec::Ilbc(_), Some(offered)) = (other, self.offered_to(number)) {
            other = Codec::Ilbc(capability::ilbc_mode_of_both(offered, answerer));
        }
        let (ptime, other_ptime) = self.ptimes(one, other);
        let known = |it: &&Entry| it.is_known_by_offerer();
        let of_offerer = || {
            self.offered
                .entries
                .iter()
                .filter(known)
                .map(|it| &it.format)
        };
        let of_answerer = || self.heard.iter();
        let one = relay_wire::Format {
            codec: one,
            payload_type: offerer.payload_type,
            ptime_ms: ptime,
            events: events(of_offerer(), offerer),
            comfort_noise: noise(of_offerer(), offerer),
        };
        let other = relay_wire::Format {
            codec: other,
            payload_type: number,
            ptime_ms: other_ptime,
            events: events(of_answerer(), answerer),
            comfort_noise: noise(of_answerer(), answerer),
        };
        Some((one, other))
    }

    fn offered_to(&self, number: u8) -> Option<&Format> {
        let mut entries = self
            .offered
            .entries
            .iter()
            .filter(|it| it.is_known_by_answerer());
        let entry = entries.find(|it| it.format.payload_type == number);
        entry.map(|it| &it.format)
    }

    /// Milliseconds of a packet on either side. Where one says nothing, it gets what the other one
    /// wants: packets need not be put together anew.
    fn ptimes(&self, one: Codec, other: Codec) -> (u16, u16) {
        let offered = self.offered;
        let asked = (offered.ptime_to_offerer_ms, offered.ptime_to_answerer_ms);
        let said = (asked.0.or(offered.ptime_ms), asked.1.or(self.ptime_ms));
        if let ((Codec::Pcmu | Codec::Pcma, Codec::Pcmu | Codec::Pcma), (None, None)) =
            ((one, other), asked)
        {
            // Length is a wish (RFC 8866 §6.4), and to fulfil it would cost more than all else.
            let ptime = said.1.or(said.0).unwrap_or(20);
            return (ptime, ptime);
        }
        let pick = |codec: Codec, own: Option<u16>, others: Option<u16>| {
            let others = others.filter(|it| capability::is_whole(codec, *it));
            own.or(others)
                .unwrap_or_else(|| capability::ptime_ms(codec))
        };
        (pick(one, said.0, said.1), pick(other, said.1, said.0))
    }

    fn route(
        &self,
        (mut from, sent): (relay_wire::Format, &Format),
        (mut to, wanted): (relay_wire::Format, &Format),
    ) -> Route {
        if let (Codec::Opus(_), Codec::Opus(_)) = (from.codec, to.codec) {
            from.codec = Codec::Opus(self.opus.rate(sent, wanted));
            to.codec = from.codec;
        }
        let opus = match to.codec {
            Codec::Opus(rate) => self.opus.settings(self.offered.opus, wanted, rate),
            _ => None,
        };
        Route {
            from,
            to,
            opus,
            suppresses_silence: false,
            is_coded_anew: false,
        }
    }
}

/// Adds a route, if there is none for what arrives and room for one more.
pub(super) fn push(routes: &mut Vec<Route>, route: Route) {
    let number = route.from.payload_type;
    let is_new = routes.iter().all(|it| it.from.payload_type != number);
    if is_new && routes.len() < ROUTES_MAX {
        routes.push(route);
    }
}

/// Keys beside a codec: in its clock, or in the one that there is (RFC 7160 speaks of the mess).
pub(super) fn events<'a>(
    formats: impl Iterator<Item = &'a Format> + Clone,
    codec: &Format,
) -> Option<Events> {
    let mut events = formats.filter(|it| it.is_events() && (8_000..=48_000).contains(&it.clock_hz));
    let mut others = events.clone();
    let found = events.find(|it| it.clock_hz == codec.clock_hz);
    found.or_else(|| others.next()).map(|it| Events {
        payload_type: it.payload_type,
        clock_hz: it.clock_hz,
    })
}

fn noise<'a>(mut formats: impl Iterator<Item = &'a Format>, codec: &Format) -> Option<u8> {
    let found = formats.find(|it| it.is_noise() && it.clock_hz == codec.clock_hz);
    found.map(|it| it.payload_type)
}

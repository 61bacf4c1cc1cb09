//! What is remembered of the codecs of a stream, with the younger of its two legs.

use std::borrow::Cow;

use relay_wire::Route;
use serde::{Deserialize, Serialize};

use super::directed::{Dialogue, Ledger};
use super::listing::{self, Listing, Section};
use super::offer::Offered;
use super::{Transcode, Wishes, answer, offer};
use crate::call::{CallState, LegId};
use crate::lean::{Name, Rare};

/// Bytes of what is remembered of most offers; others grow.
const OFFERED_BYTES_USUAL: usize = 192;

/// What two parties said of the codecs of one stream, and what the relay does for it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Exchange {
    /// The other leg.
    elder: LegId,
    /// The last offer, for its answers and for the next offer: a [`Memory`] as bytes, since there
    /// is one for almost each stream. Empty: there was nothing special about it.
    memory: Name,
    /// What becomes of what arrives from the older leg. None: it passes as it is.
    from_elder: Rare<Vec<Route>>,
    /// And from the younger one.
    from_younger: Rare<Vec<Route>>,
}

/// What is remembered of the codecs that were spoken of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Memory {
    /// The relay chose by itself.
    Chosen(Offered),
    /// The proxy said what to do.
    Directed(Box<Ledger>),
}

/// One offer or answer between two legs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage<'a> {
    pub(crate) transcode: Transcode,
    pub(crate) wishes: &'a Wishes,
    pub(crate) sender: LegId,
    pub(crate) receiver: LegId,
    /// The relay has too much to do: what can be done without codecs is to be.
    pub(crate) spares: bool,
}

impl Exchange {
    /// What is to become of what arrives from one of two legs.
    pub(crate) fn routes(state: &CallState, index: usize, from: LegId, to: LegId) -> &[Route] {
        let Some(exchange) = find(state, index, (from, to)) else {
            return &[];
        };
        if from == exchange.elder {
            &exchange.from_elder[..]
        } else {
            &exchange.from_younger
        }
    }

    /// Two legs are connected that need these routes, from the one and from the other. If they have
    /// spoken to one another, what they agreed on stays.
    pub(crate) fn connect(
        state: &mut CallState,
        index: usize,
        (one, other): (LegId, LegId),
        [from_one, from_other]: [Vec<Route>; 2],
    ) {
        if find(state, index, (one, other)).is_none() {
            Self::reroute(state, index, (one, other), [from_one, from_other]);
        }
    }

    /// Two legs need these routes from now on, whatever they agreed on: one of them has other codecs.
    pub(crate) fn reroute(
        state: &mut CallState,
        index: usize,
        (one, other): (LegId, LegId),
        [from_one, from_other]: [Vec<Route>; 2],
    ) {
        let (elder, younger) = sorted((one, other));
        let (from_elder, from_younger) = if one == elder {
            (from_one, from_other)
        } else {
            (from_other, from_one)
        };
        let known = find(state, index, (one, other));
        let exchange = Self {
            elder,
            memory: known.map(|it| it.memory.clone()).unwrap_or_default(),
            from_elder: from_elder.into(),
            from_younger: from_younger.into(),
        };
        let stream = state.leg_mut(younger);
        if let Some(stream) = stream.and_then(|leg| leg.streams.get_mut(index)) {
            stream.exchange = (!exchange.is_empty()).then(|| Box::new(exchange));
        }
    }

    /// The same if it is with a leg of this name, which has another name from now on.
    pub(crate) fn renamed(mut self: Box<Self>, name: LegId, next: LegId) -> Option<Box<Self>> {
        let is_it = self.is_with(name);
        self.elder = next;
        is_it.then_some(self)
    }

    /// Whether the older leg is called so.
    pub(crate) fn is_with(&self, name: LegId) -> bool {
        self.elder == name
    }

    /// What a payload type is called that one of two legs sends, such as `opus/48000/2`, if that is
    /// remembered.
    pub(crate) fn name(
        state: &CallState,
        index: usize,
        (from, to): (LegId, LegId),
        payload_type: u8,
    ) -> Option<String> {
        let exchange = find(state, index, (from, to))?;
        let name = match exchange.memory()? {
            Memory::Directed(ledger) => {
                let is_elder = from == exchange.elder;
                let party = if is_elder {
                    &ledger.elder
                } else {
                    &ledger.younger
                };
                party.format(payload_type)?.title()
            }
            Memory::Chosen(offered) => offered.format(payload_type)?.title(),
        };
        Some(name)
    }

    /// Whether the length of packets between two legs is what the proxy wants.
    pub(crate) fn is_ptime_forced(state: &CallState, index: usize, pair: (LegId, LegId)) -> bool {
        let exchange = find(state, index, pair).filter(|it| it.is_directed());
        match exchange.and_then(Self::memory) {
            Some(Memory::Directed(ledger)) => ledger.elder.is_ptime_forced(),
            _ => false,
        }
    }

    fn memory(&self) -> Option<Memory> {
        postcard::from_bytes(&self.memory).ok()
    }

    /// Whether a [`Memory::Directed`] is remembered, as its first byte says.
    fn is_directed(&self) -> bool {
        self.memory.first() == Some(&1)
    }

    fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.from_elder.is_empty() && self.from_younger.is_empty()
    }
}

impl Memory {
    fn ledger(self) -> Option<Ledger> {
        match self {
            Self::Directed(ledger) => Some(*ledger),
            Self::Chosen(_) => None,
        }
    }

    fn offered(self) -> Option<Offered> {
        match self {
            Self::Chosen(offered) => Some(offered),
            Self::Directed(_) => None,
        }
    }
}

impl Passage<'_> {
    /// An offer as its receiver is to see it.
    pub(crate) fn offer<'s>(&self, state: &mut CallState, sdp: &'s [u8]) -> Cow<'s, [u8]> {
        let is_chosen = !self.wishes.is_empty() || self.transcode == Transcode::WhenNeeded;
        if !self.is_directed() && !is_chosen {
            self.forget_offers(state);
            return Cow::Borrowed(sdp);
        }
        let mut listings = Vec::new();
        for (index, section) in listing::sections(sdp).into_iter().enumerate() {
            let before = find(state, index, self.pair()).and_then(Exchange::memory);
            let (listing, memory) = match section {
                Some(section) => self.offer_section(&section, before),
                None => (None, None),
            };
            self.change(state, index, |exchange| {
                exchange.memory = memory.map(|it| pack(&it)).unwrap_or_default();
            });
            listings.push(listing);
        }
        relisted(sdp, &listings)
    }

    fn offer_section(
        &self,
        section: &Section,
        before: Option<Memory>,
    ) -> (Option<Listing>, Option<Memory>) {
        if self.is_directed() {
            let mut ledger = before.and_then(Memory::ledger).unwrap_or_default();
            let listing = self.dialogue(&mut ledger).offer(self.wishes, section);
            return (listing, Some(Memory::Directed(Box::new(ledger))));
        }
        let before = before.and_then(Memory::offered);
        let transcodes = self.transcode == Transcode::WhenNeeded;
        let (listing, offered) = offer(transcodes, self.wishes, section, before.as_ref());
        (listing, offered.map(Memory::Chosen))
    }

    /// Whether the proxy says what to do with codecs.
    fn is_directed(&self) -> bool {
        match self.transcode {
            Transcode::Directives => true,
            Transcode::WhenNeeded => self.wishes.directs(),
            Transcode::Never => false,
        }
    }

    fn dialogue<'l>(&self, ledger: &'l mut Ledger) -> Dialogue<'l> {
        let (elder, younger) = (&mut ledger.elder, &mut ledger.younger);
        let (sender, receiver) = if self.sender < self.receiver {
            (elder, younger)
        } else {
            (younger, elder)
        };
        Dialogue { sender, receiver }
    }

    /// An answer as who made the offer is to see it.
    pub(crate) fn answer<'s>(&self, state: &mut CallState, sdp: &'s [u8]) -> Cow<'s, [u8]> {
        let pair = self.pair();
        let is_special = (0..crate::MEDIA_MAX).any(|index| find(state, index, pair).is_some());
        if !is_special && !self.wishes.concern_answers() {
            return Cow::Borrowed(sdp);
        }
        let mut listings = Vec::new();
        for (index, section) in listing::sections(sdp).into_iter().enumerate() {
            let memory = find(state, index, pair).and_then(Exchange::memory);
            let (listing, routes, ledger) = match section {
                Some(section) => self.answer_section(&section, memory),
                None => (None, super::Routes::default(), None),
            };
            let elder = self.sender.min(self.receiver);
            self.change(state, index, |exchange| {
                if let Some(ledger) = ledger {
                    exchange.memory = pack(&Memory::Directed(ledger));
                }
                let routes = [routes.from_answerer, routes.from_offerer];
                let [sender, receiver] = routes.map(Rare::from);
                (exchange.from_elder, exchange.from_younger) = if elder == self.sender {
                    (sender, receiver)
                } else {
                    (receiver, sender)
                };
            });
            listings.push(listing);
        }
        relisted(sdp, &listings)
    }

    /// What the other party is told, what becomes of media, and what is to be remembered if that is
    /// something new.
    fn answer_section(
        &self,
        section: &Section,
        memory: Option<Memory>,
    ) -> (Option<Listing>, super::Routes, Option<Box<Ledger>>) {
        match memory {
            Some(Memory::Directed(mut ledger)) => {
                let mut dialogue = self.dialogue(&mut ledger);
                let (listing, routes) = dialogue.answer(self.wishes, section, self.spares);
                (listing, routes, Some(ledger))
            }
            memory => {
                let offered = memory.and_then(Memory::offered);
                let (listing, routes) = answer(self.wishes, section, offered.as_ref(), self.spares);
                (listing, routes, None)
            }
        }
    }

    /// An offer that says nothing special: then the answer to it says nothing special either.
    fn forget_offers(&self, state: &mut CallState) {
        for index in 0..crate::MEDIA_MAX {
            if find(state, index, self.pair()).is_some() {
                self.change(state, index, |exchange| exchange.memory = Name::default());
            }
        }
    }

    /// Changes what is remembered of a stream; what would say nothing is not kept.
    fn change(&self, state: &mut CallState, index: usize, change: impl FnOnce(&mut Exchange)) {
        let (elder, younger) = sorted(self.pair());
        let Some(leg) = state.leg_mut(younger) else {
            return;
        };
        let place = leg.streams.get_mut(index).map(|it| &mut it.exchange);
        let known = place.and_then(|it| it.take_if(|it| it.elder == elder));
        let mut exchange = known.unwrap_or_else(|| {
            Box::new(Exchange {
                elder,
                memory: Name::default(),
                from_elder: Rare::default(),
                from_younger: Rare::default(),
            })
        });
        change(&mut exchange);
        if !exchange.is_empty() {
            leg.stream_mut(index).exchange = Some(exchange);
        }
    }

    fn pair(&self) -> (LegId, LegId) {
        (self.sender, self.receiver)
    }
}

fn find(state: &CallState, index: usize, pair: (LegId, LegId)) -> Option<&Exchange> {
    let (elder, younger) = sorted(pair);
    let stream = state.leg(younger)?.streams.get(index)?;
    stream.exchange.as_deref().filter(|it| it.elder == elder)
}

fn sorted((one, other): (LegId, LegId)) -> (LegId, LegId) {
    (one.min(other), one.max(other))
}

fn pack(memory: &Memory) -> Name {
    let mut bytes = Vec::with_capacity(OFFERED_BYTES_USUAL);
    relay_wire::append(memory, &mut bytes);
    bytes.into()
}

fn relisted<'s>(sdp: &'s [u8], listings: &[Option<Listing>]) -> Cow<'s, [u8]> {
    if listings.iter().all(Option::is_none) {
        Cow::Borrowed(sdp)
    } else {
        Cow::Owned(listing::relist(sdp, listings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, the form of records has changed: see `record.rs`.
    #[test]
    fn the_form_of_what_is_remembered_is_fixed() {
        let sdp = b"v=0\r\nm=audio 4000 RTP/AVP 3\r\n";
        let wishes = Wishes {
            ptime_ms: Some(40),
            ..Wishes::default()
        };
        let mut state = CallState::new(&b"c1"[..], 0);
        let legs = [0; 2].map(|_| state.add_leg(relay_wire::InterfaceId(0), 0));
        let passage = |sender: usize| Passage {
            transcode: Transcode::Directives,
            wishes: &wishes,
            sender: legs[sender],
            receiver: legs[1 - sender],
            spares: false,
        };
        passage(0).offer(&mut state, sdp);
        let wishes = Wishes::default();
        let answering = Passage {
            wishes: &wishes,
            ..passage(1)
        };
        answering.answer(&mut state, sdp);
        let exchange = find(&state, 0, (legs[0], legs[1])).unwrap();
        let mut bytes = Vec::new();
        relay_wire::append(exchange, &mut bytes);
        let golden = [
            0, 86, 1, 1, 3, 0, 11, 192, 62, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 11,
            192, 62, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 3, 0, 11, 192, 62, 1, 0, 0,
            3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 11, 192, 62, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 1, 40, 1, 1, 2, 3, 20, 0, 0, 2, 3, 40, 0, 0, 0, 0, 0, 1, 2, 3, 40, 0, 0, 2, 3,
            20, 0, 0, 0, 0, 0,
        ];
        assert_eq!(bytes, golden);
        assert_eq!(postcard::from_bytes(&bytes), Ok(exchange.clone()));
    }

    #[test]
    fn what_says_nothing_is_not_kept() {
        let sdp = b"v=0\r\nm=audio 4000 RTP/AVP 18\r\n";
        let wishes = Wishes::default();
        let mut state = CallState::new(&b"c1"[..], 0);
        let legs = [0; 2].map(|_| state.add_leg(relay_wire::InterfaceId(0), 0));
        let passage = Passage {
            transcode: Transcode::WhenNeeded,
            wishes: &wishes,
            sender: legs[0],
            receiver: legs[1],
            spares: false,
        };
        assert_eq!(passage.offer(&mut state, sdp), &sdp[..]);
        assert_eq!(find(&state, 0, (legs[0], legs[1])), None);
    }
}

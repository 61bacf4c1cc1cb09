//! Single packets of a stream: keys that are told of or kept back, media that is not to be heard.
//!
//! Most streams have no filter, and most packets of those that have one are none of its business:
//! a [`Glance`] at the second byte tells, and costs the others nothing more.

use std::net::IpAddr;

use relay_rtp::{Kind, Packet, Redundancy, RedundantBlock};
use relay_wire::{Answer, CallKey, EVENT_TYPES_MAX, Event, Events, Filter, Key, OnEvents};
use relay_wire::{OnMedia, Port, REDUNDANT_TYPES_MAX, Refusal, SILENCES_MAX, Silence};

use crate::clock::Now;
use crate::keys::{Keys, Press};
use crate::{DropReason, Ingress, Relay};

/// Which packets a filter must see: this is read for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    sees_all: bool,
    /// Payload types; [`NO_TYPE`] is none.
    types: [u8; 2],
}

/// No payload type.
const NO_TYPE: u8 = 0xff;

impl Glance {
    /// No packet at all.
    pub(crate) const NONE: Self = Self {
        sees_all: false,
        types: [NO_TYPE; 2],
    };

    /// Whether a packet that is no RTCP is to be shown to the filter.
    #[inline]
    pub(crate) fn wants(self, packet: &[u8]) -> bool {
        let second = packet.get(1).map_or(0, |it| it & 0x7f);
        self.sees_all || self.types.contains(&second)
    }
}

/// The filter of one endpoint, and what it has seen.
#[derive(Debug)]
pub(crate) struct Filtering {
    filter: Filter,
    keys: Keys,
}

/// What becomes of a packet that was shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Seen {
    /// How much of it goes on.
    passes: Option<usize>,
    keys: KeysOver,
}

/// Keys that are over with a packet: no sender has more of them in one.
type KeysOver = [Option<Key>; 4];

impl Filtering {
    fn new(filter: Filter) -> Self {
        Self {
            filter,
            keys: Keys::default(),
        }
    }

    pub(crate) fn glance(&self) -> Glance {
        let events = self.filter.events.iter().map(|it| it.payload_type);
        let types = || events.clone().chain(self.filter.redundant.iter().copied());
        let sees_media = self.filter.on_media != OnMedia::Pass;
        let mut glance = Glance {
            sees_all: sees_media || types().count() > 2 || self.waits_for_end(),
            ..Glance::NONE
        };
        for (place, payload_type) in glance.types.iter_mut().zip(types()) {
            *place = payload_type;
        }
        glance
    }

    /// A key is down, so that whatever comes may show that it is not any more.
    fn waits_for_end(&self) -> bool {
        self.filter.tells_keys && self.keys.is_down()
    }

    fn events(&self, payload_type: u8) -> Option<Events> {
        let mut events = self.filter.events.iter();
        events.find(|it| it.payload_type == payload_type).copied()
    }

    fn see(&mut self, now: Now, source: IpAddr, kind: Kind, bytes: &mut [u8]) -> Seen {
        let second = bytes.get(1).map_or(0, |it| it & 0x7f);
        if kind == Kind::Rtp && self.events(second).is_some() {
            return self.see_events(now, source, second, bytes);
        }
        let is_redundant = kind == Kind::Rtp && self.filter.redundant.contains(&second);
        if is_redundant && let Some(seen) = self.see_redundant(now, source, bytes) {
            return seen;
        }
        let key = self.keys.note_other(now.at);
        // Keys may lie in what cannot be told apart.
        let may_pass = !is_redundant || self.filter.on_events == OnEvents::Pass;
        let passes = may_pass && see_media(&self.filter.on_media, kind, bytes);
        Seen {
            passes: passes.then_some(bytes.len()),
            keys: self.told([key, None, None, None]),
        }
    }

    /// Keys of which somebody is to hear.
    fn told(&self, keys: KeysOver) -> KeysOver {
        keys.map(|key| key.filter(|_| self.filter.tells_keys))
    }

    /// Nothing of what is media goes on.
    pub(crate) fn drops_media(&self) -> bool {
        self.filter.on_media == OnMedia::Drop
    }

    fn see_events(&mut self, now: Now, source: IpAddr, payload_type: u8, bytes: &mut [u8]) -> Seen {
        let len = bytes.len();
        let mut keys = KeysOver::default();
        let packet = Packet::parse(bytes).ok();
        let is_read = packet.is_some_and(|mut packet| {
            let block = RedundantBlock {
                payload_type,
                ..RedundantBlock::all_of(packet.payload())
            };
            self.see_block(now, source, (&mut packet, block), &mut keys)
        });
        // What cannot be read cannot be changed either.
        let passes = match self.filter.on_events {
            OnEvents::Pass => true,
            OnEvents::Drop => false,
            OnEvents::Replace(_) | OnEvents::Scramble { .. } => is_read,
        };
        Seen {
            passes: passes.then_some(len),
            keys: self.told(keys),
        }
    }

    /// Sees a payload that may be the report of a key, and has it become what it is to become.
    /// Says whether it could be read.
    fn see_block(
        &mut self,
        now: Now,
        source: IpAddr,
        (packet, block): (&mut Packet<&mut [u8]>, RedundantBlock),
        keys: &mut KeysOver,
    ) -> bool {
        let events = self.events(block.payload_type);
        let press = events.and_then(|it| Press::read(packet, block, it.clock_hz));
        let Some(press) = press else {
            return false;
        };
        let over = self.keys.note(now.at, source, press);
        let free = keys.iter_mut().filter(|it| it.is_none());
        for (place, key) in free.zip(over.into_iter().flatten()) {
            *place = Some(key);
        }
        let code = match self.filter.on_events {
            OnEvents::Pass | OnEvents::Drop => return true,
            OnEvents::Replace(code) => code,
            OnEvents::Scramble { seed } => {
                let begun = u64::from(self.keys.begun(press));
                digit(seed ^ (u64::from(press.ssrc.value()) << 32 | begun))
            }
        };
        replace(&mut packet.payload_mut()[block.start..][..block.len], code);
        true
    }

    /// Sees several payloads in one (RFC 2198), of which some may be reports of keys. `None` if
    /// they cannot be told apart.
    fn see_redundant(&mut self, now: Now, source: IpAddr, bytes: &mut [u8]) -> Option<Seen> {
        let len = bytes.len();
        let mut packet = Packet::parse(&mut *bytes).ok()?;
        let redundancy = Redundancy::parse(packet.payload())?;
        let mut keys = KeysOver::default();
        let (mut has_keys, mut is_changed) = (false, true);
        for block in redundancy.blocks() {
            let is_read = self.see_block(now, source, (&mut packet, *block), &mut keys);
            has_keys |= is_read;
            is_changed &= is_read || !self.is_to_change(block.payload_type);
        }
        if !has_keys {
            keys[0] = self.keys.note_other(now.at);
        }
        let keys = self.told(keys);
        // Of what goes no further nothing may be left that came before.
        let is_unwanted = |payload_type| !self.is_wanted(payload_type);
        let seen = |passes| Some(Seen { passes, keys });
        if !is_changed || is_unwanted(redundancy.newest().payload_type) {
            return seen(None);
        }
        if !redundancy
            .blocks()
            .iter()
            .any(|it| is_unwanted(it.payload_type))
        {
            return seen(Some(len));
        }
        let left = redundancy.remove_older(packet.payload_mut(), is_unwanted);
        seen(Some(packet.shorten_payload(left)))
    }

    /// A payload within another is to become a report of another key.
    fn is_to_change(&self, payload_type: u8) -> bool {
        let changes = match self.filter.on_events {
            OnEvents::Pass | OnEvents::Drop => false,
            OnEvents::Replace(_) | OnEvents::Scramble { .. } => true,
        };
        changes && self.events(payload_type).is_some()
    }

    /// A payload within another goes on. One that has others within it again may hide keys.
    fn is_wanted(&self, payload_type: u8) -> bool {
        if self.events(payload_type).is_some() {
            return self.filter.on_events != OnEvents::Drop;
        }
        let may_hide = self.filter.redundant.contains(&payload_type);
        self.filter.on_media == OnMedia::Pass
            && (!may_hide || self.filter.on_events == OnEvents::Pass)
    }
}

/// Writes another code into each report of an event packet.
fn replace(payload: &mut [u8], code: u8) {
    for report in payload.chunks_mut(4) {
        report[0] = code;
    }
}

/// One of ten digits that looks like any other (`SplitMix64`).
fn digit(number: u64) -> u8 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u8::try_from((mixed ^ (mixed >> 31)) % 10).unwrap_or_default()
}

/// Says whether media goes on, as silence if that is wanted.
fn see_media(on_media: &OnMedia, kind: Kind, bytes: &mut [u8]) -> bool {
    match on_media {
        OnMedia::Pass => true,
        OnMedia::Drop => false,
        OnMedia::Silence(_) if kind != Kind::Rtp => true,
        OnMedia::Silence(silences) => {
            let Ok(mut packet) = Packet::parse(bytes) else {
                return false;
            };
            let number = packet.payload_type().value();
            let silence = silences.iter().find(|it| it.payload_type == number);
            let Some(Silence { octet, .. }) = silence else {
                return false;
            };
            packet.payload_mut().fill(*octet);
            true
        }
    }
}

impl Relay {
    /// Sets or takes away the filter of an endpoint. A key that is down stays so.
    pub(crate) fn set_filter(
        &mut self,
        call: CallKey,
        ingress: Port,
        filter: Option<Filter>,
    ) -> Result<Answer, Refusal> {
        let is_too_long = |it: &Filter| {
            let silences = match &it.on_media {
                OnMedia::Silence(silences) => silences.len(),
                OnMedia::Pass | OnMedia::Drop => 0,
            };
            it.events.len() > EVENT_TYPES_MAX
                || it.redundant.len() > REDUNDANT_TYPES_MAX
                || silences > SILENCES_MAX
        };
        if filter.as_ref().is_some_and(is_too_long) {
            return Err(Refusal::TooLong);
        }
        let endpoint = self.endpoint_of(call, ingress)?;
        let before = endpoint.rare_if(false).and_then(|it| it.filtering.take());
        endpoint.set_filtering(filter.map(|filter| match before {
            Some(before) => Box::new(Filtering { filter, ..*before }),
            None => Box::new(Filtering::new(filter)),
        }));
        Ok(Answer::Done)
    }

    /// Shows a packet to the filter of the endpoint where it arrived. Says how much of it goes on.
    #[cold]
    pub(crate) fn filter(
        &mut self,
        now: Now,
        ingress: Ingress,
        kind: Kind,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let endpoint = self.flows.open(ingress.socket);
        let endpoint = endpoint.ok_or(DropReason::UnknownFlow)?;
        let (call, port) = (endpoint.call, endpoint.port);
        let filtering = endpoint.rare_if(false).and_then(|it| it.filtering.as_mut());
        let Some(filtering) = filtering else {
            return Ok(packet.len());
        };
        let seen = filtering.see(now, ingress.source.ip(), kind, packet);
        endpoint.look_at_filter();
        for key in seen.keys.into_iter().flatten() {
            let is_told = self.tell(Event::Key {
                call,
                ingress: port,
                key,
            });
            self.keys_told += u64::from(is_told);
        }
        seen.passes.ok_or(DropReason::Filtered)
    }
}

//! What becomes of single packets: what requests want, and the relay's filter that it comes to.
//!
//! A request is about a call as a whole, about a party, or about what goes from one party to
//! another. These stand beside each other: what is stopped for a call and for a party goes on when
//! it is let go on for both.

use relay_wire::{Filter, Key, OnEvents, OnMedia, Port};
use serde::{Deserialize, Serialize};

use crate::call::{CallState, Leg, LegId, Stream};
use crate::codecs::{Exchange, Payload};
use crate::lean::Usual;
use crate::output::KeyReport;
use crate::sdp::Transport;

/// What becomes of what somebody sends.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Treatment {
    /// Media goes no further; keys and RTCP do.
    pub(crate) is_blocked: bool,
    /// Speech is made silent.
    pub(crate) is_silenced: bool,
    /// What becomes of keys.
    pub(crate) keys: OnEvents,
}

impl Usual for Treatment {
    const USUAL: &'static Self = &Self {
        is_blocked: false,
        is_silenced: false,
        keys: OnEvents::Pass,
    };
}

/// What becomes of what one party sends another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Flow {
    pub(crate) from: LegId,
    pub(crate) to: LegId,
    pub(crate) treatment: Treatment,
}

impl CallState {
    /// What becomes of what goes from one leg to another.
    fn treatment(&self, from: &Leg, to: Option<&Leg>) -> Treatment {
        let mut flows = self.flows.iter();
        let is_meant = |it: &&Flow| it.from == from.id && Some(it.to) == to.map(|it| it.id);
        let flow = flows.find(is_meant);
        let flow = flow.map(|it| it.treatment).unwrap_or_default();
        let all = [*self.treatment, *from.treatment, flow];
        Treatment {
            is_blocked: all.iter().any(|it| it.is_blocked),
            is_silenced: all.iter().any(|it| it.is_silenced),
            keys: match self.treatment.keys {
                OnEvents::Pass => from.treatment.keys,
                keys => keys,
            },
        }
    }

    /// What is told of a key that arrived at a port.
    pub(crate) fn key_report(&self, ingress: Port, key: Key, unix_ms: u64) -> Option<KeyReport> {
        let is_there = |leg: &&Leg| (0..leg.streams.len()).any(|it| leg.port(it) == Some(ingress));
        let leg = self.legs.iter().find(is_there)?;
        let tags = self.legs.iter().flat_map(|leg| leg.tags.iter());
        Some(KeyReport {
            call_id: self.call_id.to_vec(),
            source_tag: leg.tags.first().unwrap_or_default().to_vec(),
            source_label: leg.label.as_deref().map(<[u8]>::to_vec),
            tags: tags.map(<[u8]>::to_vec).collect(),
            unix_s: unix_ms / 1_000,
            source: key.source,
            code: key.code,
            duration_ms: key.duration_ms,
            volume: key.volume,
            destination: self.key_log.as_deref().copied(),
        })
    }

    /// Changes the treatment of what goes from one leg to another.
    pub(crate) fn change_flow<R>(
        &mut self,
        (from, to): (LegId, LegId),
        change: impl FnOnce(&mut Treatment) -> R,
    ) -> R {
        self.flows.change(|flows| {
            let known = flows.iter().position(|it| (it.from, it.to) == (from, to));
            let at = known.unwrap_or_else(|| {
                flows.push(Flow {
                    from,
                    to,
                    treatment: Treatment::default(),
                });
                flows.len() - 1
            });
            change(&mut flows[at].treatment)
        })
    }
}

/// The relay's filter of what a leg sends its peer on one stream, if it needs one. Without a peer,
/// of what it sends others: these get what is as if they spoke its language.
pub(crate) fn filter_of(
    state: &CallState,
    (leg, peer): (&Leg, Option<&Leg>),
    index: usize,
    tells_keys: bool,
) -> Option<Filter> {
    let stream = leg.streams.get(index)?;
    let heard = peer.map_or(Some(stream), |peer| peer.streams.get(index))?;
    let treatment = state.treatment(leg, peer);
    let tells_keys = tells_keys || state.key_log.is_some();
    if treatment == Treatment::default() && !tells_keys {
        return None;
    }
    let routes = peer.map_or(&[][..], |it| Exchange::routes(state, index, leg.id, it.id));
    let sent = if routes.is_empty() {
        Payload::sent(&heard.payloads, &stream.payloads)
    } else {
        Payload::of_routes(routes)
    };
    // What is encrypted can neither be read nor written.
    let is_opaque = stream.is_opaque();
    let mut filter = Filter {
        events: Payload::events(&sent),
        redundant: match is_opaque {
            true => Vec::new(),
            false => Payload::redundant(&sent),
        },
        on_events: match treatment.keys {
            OnEvents::Replace(_) | OnEvents::Scramble { .. } if is_opaque => OnEvents::Drop,
            keys => keys,
        },
        on_media: on_media(treatment, stream, &sent),
        tells_keys: tells_keys && !is_opaque,
    };
    if filter.events.is_empty() {
        (filter.on_events, filter.tells_keys) = (OnEvents::Pass, false);
        filter.redundant.clear();
    }
    let says_nothing = filter.on_events == OnEvents::Pass
        && filter.on_media == OnMedia::Pass
        && !filter.tells_keys;
    (!says_nothing).then_some(filter)
}

fn on_media(treatment: Treatment, stream: &Stream, sent: &[Payload]) -> OnMedia {
    let is_speech = *stream.kind == *b"audio" && stream.transport == Transport::Rtp;
    if treatment.is_blocked {
        OnMedia::Drop
    } else if !treatment.is_silenced || !is_speech {
        OnMedia::Pass
    } else if stream.is_opaque() {
        OnMedia::Drop
    } else {
        OnMedia::Silence(Payload::silences(sent))
    }
}

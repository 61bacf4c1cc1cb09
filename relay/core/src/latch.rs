//! Learns where the peer of an endpoint really is (RFC 7362 §4).
//!
//! Behind a NAT the address in SDP is a hint at best. The source of what arrives is the truth,
//! but anybody can send; so what is learnt is locked soon, and packets from elsewhere are
//! dropped from then on (RFC 7362 §5, CVE-2025-53399).
//!
//! ```text
//!            the first that may                window over
//!  nobody ─────────────────────► peer, open ────────────────► peer, locked
//!                                   │    ▲                       │    ▲
//!                                   └────┘ a better fit          └────┘ takes over
//! ```
//!
//! # Who sprays gets nothing
//!
//! An attacker who sends a packet to every port must not become the peer of a call: what it
//! sends would be heard, and it would hear the call. How a source fits what was signalled
//! decides how much it has to show:
//!
//! | source | may be learnt ([`Learning::Heuristic`]) |
//! | --- | --- |
//! | the signalled address | at once: what is sent there goes to the peer's host or to its NAT |
//! | another address | after [probation](crate::probation): several packets of one stream, which are dropped |
//!
//! The port is no proof, since the attacker chooses its own and phones have favourites; it only
//! breaks ties. A better fit takes the place of a worse one at once while the window is open; of
//! one at another address than the signalled one even later, but then after probation. So
//! whoever gets in before the phone speaks is out when the phone speaks.
//!
//! Who keeps up a stream at all ports passes probation at none: a stranger at the third call is
//! known as a [sprayer](crate::sprayers). What is left to the attacker is to know better: one
//! call's port, before its phone speaks, and for the whole call if the phone never comes from
//! where signalling says (there, whoever first keeps up a stream is learnt, and a locked phone
//! stays). Whoever can forge the signalled address is heard until the phone speaks from the
//! signalled port, and can end such a call's media, but hears none of it: it goes to the address.
//!
//! RTCP has no sequence to go by and comes seldom, so the RTP endpoint vouches for it: once that
//! has learnt its peer, RTCP from the same address is as good as signalled.
//!
//! # A peer that moves
//!
//! A phone changes its address in mid-call without telling anybody (Wi-Fi to mobile, a NAT that
//! forgot). The lock opens for it if the old source is silent and the new one goes on with the
//! same SSRC where the sequence was: 48 bits that nobody knows who does not hear the call.
//! [`Handover`] can forbid that, or allow any stream.
//!
//! # Who wants it as open as other relays have it
//!
//! With [`SourceRules::forwards_others`] nobody is heard out: the first is learnt at once, and what
//! comes from others goes on as well, without being learnt, as long as the source may change. The
//! lock then only says where packets are sent to. Phones that send from many places work, and so
//! does whoever sends to the port: it is for those who knew that before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_wire::{Handover, Learning, SourceRules};

use crate::DropReason;
use crate::probation::{Evidence, Probation};

/// How long after its first packet a peer may still turn out to be somewhere else. It is what
/// operators know from other relays.
pub(crate) const LEARNING_WINDOW: Duration = Duration::from_secs(3);

/// After so long without a packet a locked peer may have moved: some packets of the usual 20 ms,
/// so that two who send at once do not take turns.
pub(crate) const HANDOVER_SILENCE: Duration = Duration::from_millis(250);

/// How far the sequence may have come meanwhile (`MAX_DROPOUT` of RFC 3550 A.1: a minute).
const HANDOVER_STEP_MAX: i16 = 3_000;

/// The address of one endpoint's peer, and how sure that is.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Latch {
    // All that packets of a known peer need: one cache line.
    peer: Option<Peer>,
    rules: SourceRules,
    learning: Learning,

    rest: Box<Rest>,
}

const _: () = assert!(std::mem::offset_of!(Latch, rest) == 64);

/// What only others than the peer make us look at.
#[derive(Debug)]
struct Rest {
    signalled: Option<SocketAddr>,
    /// While strangers are heard out: most endpoints never do.
    probation: Option<Box<Probation>>,
}

impl Rest {
    /// Hears a stranger out; says whether it has shown enough.
    #[cold]
    fn hear(&mut self, now: Instant, source: SocketAddr, evidence: Evidence) -> bool {
        let probation = self.probation.get_or_insert_default();
        probation.hear(now, source, evidence)
    }
}

/// A source that is believed.
#[derive(Clone, Copy, Debug)]
struct Peer {
    source: SocketAddr,
    fit: Fit,
    /// Until then something better may come; nothing else is believed afterwards.
    open_until: Instant,
}

/// How well a source fits what was signalled; the better, the greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Fit {
    Neither,
    Port,
    Address,
    Both,
}

/// The newest from the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// When anything came.
    pub(crate) at: Instant,
    /// The newest of its RTP, if there was any.
    pub(crate) newest: Evidence,
}

impl Latch {
    pub(crate) fn new(signalled: Option<SocketAddr>, learning: Learning) -> Self {
        Self {
            peer: None,
            rules: SourceRules::default(),
            learning,
            rest: Box::new(Rest {
                signalled: signalled.filter(is_unicast),
                probation: None,
            }),
        }
    }

    /// Takes over what signalling says. If it says the same as before (a re-INVITE that holds
    /// a call, say), what was learnt stays, so that nobody gets a second chance to be learnt.
    pub(crate) fn signal(&mut self, signalled: Option<SocketAddr>, learning: Learning) {
        let signalled = signalled.filter(is_unicast);
        if self.rest.signalled != signalled || self.learning != learning {
            *self = Self {
                rules: self.rules,
                ..Self::new(signalled, learning)
            };
        }
    }

    /// Takes over what else holds.
    pub(crate) fn set_rules(&mut self, rules: SourceRules) {
        self.rules = rules;
    }

    pub(crate) fn rules(&self) -> SourceRules {
        self.rules
    }

    /// The packet is from the peer: what there is to say about nearly all of them.
    #[inline]
    pub(crate) fn is_peer(&self, source: SocketAddr) -> bool {
        self.peer.is_some_and(|peer| peer.source == source)
    }

    /// Decides about a packet from somebody else, and learns from it.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        source: SocketAddr,
        evidence: Evidence,
        heard: Option<Heard>,
    ) -> Result<(), DropReason> {
        let fit = self.fit(source);
        if self.rules.forwards_others {
            return self.admit(now, (source, fit), evidence, heard);
        }
        // Nobody can be sent to at port 0.
        let may_come = source.port() != 0
            && match self.peer {
                None => self.may_be_first(fit),
                Some(peer) => {
                    let may_replace = match now < peer.open_until {
                        true => self.is_better(fit, peer),
                        false => self.may_take_over(fit, peer),
                    };
                    may_replace || self.may_have_moved(now, evidence, heard)
                }
            };
        if !may_come {
            return Err(DropReason::SourceMismatch);
        }
        if self.must_prove(fit, now, evidence, heard) && !self.rest.hear(now, source, evidence) {
            return Err(DropReason::Unproven);
        }
        self.learn(now, source, fit);
        Ok(())
    }

    /// The same where others than the peer are heard too.
    fn admit(
        &mut self,
        now: Instant,
        (source, fit): (SocketAddr, Fit),
        evidence: Evidence,
        heard: Option<Heard>,
    ) -> Result<(), DropReason> {
        // Without a word about the peer there is nothing to tell it by.
        let is_told = self.rest.signalled.is_some();
        // Nobody can be sent to at port 0.
        let may_be_learnt = is_told && source.port() != 0;
        let is_learnt = may_be_learnt
            && match self.peer {
                None => self.may_be_first(fit),
                Some(peer) => {
                    // The first packet after the window locks.
                    let is_open = heard.is_none_or(|it| it.at < peer.open_until);
                    (is_open && self.is_better(fit, peer))
                        || self.may_take_over(fit, peer)
                        || self.takes_turns(now, source, evidence, heard)
                }
            };
        let is_known = self.peer.is_some() || self.learning == Learning::Off;
        if is_learnt {
            self.learn(now, source, fit);
        } else if self.rules.handover == Handover::Never && is_told && is_known {
            return Err(DropReason::SourceMismatch);
        }
        Ok(())
    }

    /// Any stream may take the place of this peer, which is silent, and this is one.
    fn takes_turns(
        &mut self,
        now: Instant,
        source: SocketAddr,
        evidence: Evidence,
        heard: Option<Heard>,
    ) -> bool {
        self.rules.handover == Handover::AnyStream
            && self.may_have_moved(now, evidence, heard)
            && self.rest.hear(now, source, evidence)
    }

    /// Believes a source of RTCP whose address the endpoint of RTP has learnt. Says whether
    /// it does.
    pub(crate) fn vouch(&mut self, now: Instant, source: SocketAddr) -> bool {
        let is_same_host = |peer: Peer| peer.source.ip() == source.ip();
        let may_come = source.port() != 0
            && matches!(self.learning, Learning::Heuristic)
            && !self.peer.is_some_and(is_same_host);
        if may_come {
            self.learn(now, source, Fit::Address);
        }
        may_come
    }

    /// Takes back what a source has shown, and the belief that rests on nothing else.
    pub(crate) fn disbelieve(&mut self, source: SocketAddr) {
        if let Some(probation) = &mut self.rest.probation {
            probation.forget(source);
        }
        if self.learning == Learning::Heuristic {
            self.peer
                .take_if(|it| it.source == source && it.fit < Fit::Address);
        }
    }

    /// Takes a place for the peer's that it has proven to have: nothing else is believed.
    pub(crate) fn elect(&mut self, now: Instant, source: SocketAddr) {
        self.peer = Some(Peer {
            source,
            fit: Fit::Both,
            open_until: now,
        });
        self.rest.probation = None;
    }

    /// Takes back what was learnt.
    pub(crate) fn forget(&mut self) {
        self.peer = None;
        self.rest.probation = None;
    }

    /// The source is on the signalled host.
    pub(crate) fn is_where_signalled(&self, source: SocketAddr) -> bool {
        self.fit(source) >= Fit::Address
    }

    /// The address that was learnt.
    pub(crate) fn learnt(&self) -> Option<SocketAddr> {
        self.peer.map(|peer| peer.source)
    }

    /// The address that was learnt, if nothing better may take its place at once.
    pub(crate) fn locked(&self, now: Instant) -> Option<SocketAddr> {
        let peer = self.peer.filter(|it| now >= it.open_until);
        peer.map(|it| it.source)
    }

    /// Where to send: what was learnt, or else what was signalled.
    #[inline]
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        match self.peer {
            Some(_) if self.rules.is_asymmetric => self.rest.signalled,
            Some(peer) => Some(peer.source),
            None if self.rules.waits_for_peer => None,
            None => self.rest.signalled,
        }
    }

    /// What signalling says.
    pub(crate) fn signalled(&self) -> Option<SocketAddr> {
        self.rest.signalled
    }

    /// The address comes from packets.
    pub(crate) fn is_learnt(&self) -> bool {
        self.peer.is_some()
    }

    fn may_be_first(&self, fit: Fit) -> bool {
        self.learning != Learning::Off || fit == Fit::Both
    }

    /// Within the window: may one that fits so take the place of `peer`?
    fn is_better(&self, fit: Fit, peer: Peer) -> bool {
        match self.learning {
            Learning::Delayed => true,
            Learning::Heuristic => fit > peer.fit,
            Learning::Immediate | Learning::Off => false,
        }
    }

    /// After the window: somebody at the signalled address against somebody elsewhere.
    fn may_take_over(&self, fit: Fit, peer: Peer) -> bool {
        self.learning == Learning::Heuristic && fit >= Fit::Address && peer.fit < Fit::Address
    }

    /// The peer itself, elsewhere.
    fn may_have_moved(&self, now: Instant, evidence: Evidence, heard: Option<Heard>) -> bool {
        let is_silent = heard.is_none_or(|it| now >= it.at + HANDOVER_SILENCE);
        self.learning != Learning::Off
            && is_silent
            && match self.rules.handover {
                Handover::Never => false,
                Handover::SameStream => goes_on(evidence, heard),
                Handover::AnyStream => true,
            }
    }

    /// Is one that may come to be heard out first?
    fn must_prove(&self, fit: Fit, now: Instant, evidence: Evidence, heard: Option<Heard>) -> bool {
        if self.peer.is_some() && goes_on(evidence, heard) {
            return false;
        }
        let is_locked = self.peer.is_some_and(|peer| now >= peer.open_until);
        is_locked || (self.learning == Learning::Heuristic && fit < Fit::Address)
    }

    fn learn(&mut self, now: Instant, source: SocketAddr, fit: Fit) {
        let is_certain = match self.learning {
            Learning::Delayed => false,
            Learning::Heuristic => fit == Fit::Both,
            Learning::Immediate | Learning::Off => true,
        };
        let open_until = match self.peer {
            _ if is_certain => now,
            Some(peer) => peer.open_until,
            None => now + LEARNING_WINDOW,
        };
        self.peer = Some(Peer {
            source,
            fit,
            open_until,
        });
        self.rest.probation = None;
    }

    fn fit(&self, source: SocketAddr) -> Fit {
        let Some(signalled) = self.rest.signalled else {
            return Fit::Neither;
        };
        match (
            signalled.ip() == source.ip(),
            signalled.port() == source.port(),
        ) {
            (true, true) => Fit::Both,
            (true, false) => Fit::Address,
            (false, true) => Fit::Port,
            (false, false) => Fit::Neither,
        }
    }
}

/// The packet is the next, or nearly, of the stream that was heard.
fn goes_on(evidence: Evidence, heard: Option<Heard>) -> bool {
    let newest = heard.map_or(Evidence::Other, |it| it.newest);
    match (newest, evidence) {
        (
            Evidence::Rtp { ssrc, sequence },
            Evidence::Rtp {
                ssrc: next_ssrc,
                sequence: next,
            },
        ) => ssrc == next_ssrc && (1..=HANDOVER_STEP_MAX).contains(&next.distance_from(sequence)),
        _ => false,
    }
}

/// Something that one peer can have: `c=0.0.0.0`, port 0 and groups are nowhere to send to.
fn is_unicast(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(address, SocketAddr::V4(it) if it.ip().is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests;

//! By which profile, and with which keys of SRTP, a party is told of a medium.
//!
//! A profile is what `m=` says, and whether there are keys although it does not say so (RFC 8643).
//! Where the sender can be read, being clear or having named keys that can be used, the receiver may
//! get another one. Where it cannot (DTLS, or keys of a kind that nobody here knows), all is passed
//! on as it is, and the parties see to it.

use control_ng::{Flag, Negotiation, Osrtp, SdesWord};

use super::wanted::{accepts_profile, profile_wanted};
use super::{Negotiator, Refusal, dtls};
use crate::call::{CallState, LegId, Stream};
use crate::handshake::Handshake;
use crate::lean::Word;
use crate::profile;
use crate::sdp::{HandshakeLines, HandshakeSaid, KeyLine, SectionKeys};
use crate::srtp::{KeyWishes, Srtp};

/// Who says something of a medium, and to whom.
#[derive(Clone, Debug)]
pub(super) struct Parties {
    pub(super) sender: LegId,
    pub(super) receiver: LegId,
    pub(super) index: usize,
    /// How the sender would agree on keys with a handshake, if it would.
    pub(super) handshake: Option<HandshakeSaid>,
}

/// What the receiver is told: its profile, if that is not the one that is written, and keys.
type Told = (Option<&'static [u8]>, SectionKeys);

/// A profile, and whether there are keys though it does not say so.
pub(super) type Profile = (Word, bool);

impl Stream {
    pub(super) fn profile(&self) -> Profile {
        (self.protocol.clone(), self.srtp.is_optional)
    }

    /// Whether the relay can read what the party sends, as soon as keys are agreed on.
    pub(super) fn can_be_read(&self) -> bool {
        !self.is_secure() || !self.srtp.said.is_empty() || self.handshake.is_said()
    }
}

/// Notes which keys who wrote a description has named.
pub(super) fn hear(stream: &mut Stream, lines: Vec<KeyLine>, negotiation: &Negotiation<'_>) {
    let is_plain = is_plain(&stream.protocol);
    let can_have_keys = is_plain || profile::is_secure(&stream.protocol);
    let lines = if can_have_keys { lines } else { Vec::new() };
    if lines.is_empty() && *stream.srtp == Srtp::default() {
        return;
    }
    let is_optional = is_plain && !lines.is_empty();
    let wishes = KeyWishes::answer(&negotiation.sdes);
    stream.srtp.change(|it| {
        it.is_optional = is_optional;
        it.hear(lines, &wishes);
    });
}

impl Negotiator<'_> {
    /// What the receiver of an offer is told. `is_same`: the sender has the profile that it had when
    /// the receiver was told of it before.
    pub(super) fn offer_keys(
        &mut self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        parties: &Parties,
        is_same: bool,
    ) -> Result<Told, Refusal> {
        note_recrypt(state, offer);
        let wishes = KeyWishes::offer(&offer.sdes);
        let osrtp = offer.osrtp;
        let offers_osrtp = osrtp.has(Osrtp::Offer) || osrtp.has(Osrtp::OfferRfc);
        let may_offer = !offer.sdes.words.has(SdesWord::Off);
        let prefers = offer.sdes.words.has(SdesWord::Prefer);
        let shaking = self.handshake_wishes(offer);
        let rng = &mut *self.rng;
        let has_fingerprint = parties.handshake.is_some();
        let said = parties.handshake.clone();
        between(state, parties, |sender, receiver| {
            let wanted = profile_wanted(offer);
            let target = wanted.or_else(|| is_same.then_some(&receiver.protocol[..]));
            let can_be_read = dtls::hear_offer(sender, said, target, &shaking);
            let may_shake = shaking.may_shake();
            let may_encrypt = may_offer || may_shake || sender.is_secure();
            let target = target.filter(|it| may_encrypt || !profile::is_secure(it));
            let profile = profile::written(&sender.protocol, target, can_be_read, may_shake);
            let was_optional = receiver.srtp.is_optional && is_same;
            receiver.protocol = profile.map_or_else(|| sender.protocol.clone(), Word::from);
            let is_clear = !profile::is_secure(&receiver.protocol);
            let is_optional = if wanted.is_some() {
                offers_osrtp
            } else {
                offers_osrtp || was_optional || (!is_same && sender.srtp.is_optional)
            };
            let can_add = can_be_read && may_encrypt && is_plain(&receiver.protocol);
            let is_optional = is_optional && can_add;
            // A handshake is the parties' own affair, and there is one to be had.
            let leaves = !may_offer && has_fingerprint && !is_clear;
            let handshake = dtls::offer(can_be_read, receiver, &shaking, rng);
            let only_shakes = handshake.is_some()
                && (!may_offer
                    || receiver.handshake.agreed().is_some()
                    || profile::needs_handshake(&receiver.protocol));
            let names_keys = (!is_clear || is_optional) && can_be_read && !leaves;
            let names_keys = names_keys && !only_shakes;
            let lines = if names_keys {
                receiver.srtp.change(|told| {
                    sender
                        .srtp
                        .change(|said| Srtp::offer(said, told, &wishes, rng));
                    told.is_optional = is_optional;
                    told.told.clone()
                })
            } else {
                sender.srtp.change(|it| it.reorder(&wishes));
                receiver.srtp.change(Srtp::unsay);
                Vec::new()
            };
            let keeps_handshake = !(prefers && names_keys) && is_clear != sender.is_secure();
            let keeps_handshake = keeps_handshake && !sender.handshake.is_said();
            (
                profile,
                told(can_be_read, lines, keeps_handshake, handshake),
            )
        })
    }

    /// What who made an offer is told of the answer. `is_same`: the answer has the profile of the
    /// offer that the answerer got.
    pub(super) fn answer_keys(
        &mut self,
        state: &mut CallState,
        answer: &Negotiation<'_>,
        parties: &Parties,
        is_same: bool,
    ) -> Result<Told, Refusal> {
        note_recrypt(state, answer);
        let wishes = KeyWishes::answer(&answer.sdes);
        let osrtp = answer.osrtp;
        let accepts_osrtp = osrtp.has(Osrtp::Accept) || osrtp.has(Osrtp::AcceptRfc);
        let shaking = self.handshake_wishes(answer);
        let rng = &mut *self.rng;
        let said = parties.handshake.clone();
        between(state, parties, |sender, receiver| {
            dtls::hear_answer(sender, said, &shaking);
            if !sender.srtp.said.is_empty() {
                sender.srtp.change(Srtp::recall);
            }
            if sender.srtp.is_optional && sender.srtp.told.is_empty() {
                // Keys that nobody has asked for.
                sender.srtp.change(Srtp::decline);
            }
            let declines = receiver.srtp.is_optional && !sender.is_secure() && !is_same;
            if declines && !accepts_osrtp {
                receiver.srtp.change(Srtp::forget);
            }
            let wanted = profile_wanted(answer);
            let accepts = accepts_profile(answer);
            if wanted.is_some() || accepts {
                let is_optional = accepts && sender.srtp.is_optional;
                receiver.srtp.change(|it| it.is_optional = is_optional);
            }
            // An answer has the profile of the offer.
            let target = wanted.or(Some(&receiver.protocol)).filter(|_| !accepts);
            let is_foreign = !sender.can_be_read();
            let is_clear = !receiver.is_secure();
            let is_ours = !is_foreign || is_clear;
            let may_shake = receiver.handshake.is_said();
            let profile = profile::written(&sender.protocol, target, is_ours, may_shake);
            receiver.protocol = profile.map_or_else(|| sender.protocol.clone(), Word::from);
            if !sender.is_secure() {
                sender.srtp.change(Srtp::decline);
            }
            if !receiver.is_secure() {
                receiver.srtp.change(Srtp::forget);
                dtls::change(receiver, Handshake::forget);
            }
            if is_foreign && receiver.is_secure() {
                // Keys that were named before hold no more.
                sender.srtp.change(Srtp::decline);
                receiver.srtp.change(Srtp::forget);
                dtls::change(receiver, Handshake::pass_on);
                return (profile, SectionKeys::AsWritten);
            }
            let lines = receiver.srtp.change(|offerer| {
                sender
                    .srtp
                    .change(|it| Srtp::answer(it, offerer, &wishes, rng));
                offerer.told.clone()
            });
            let handshake = dtls::answer(receiver, &shaking, rng);
            let has_keys =
                !lines.is_empty() || !sender.srtp.said.is_empty() || sender.handshake.is_said();
            (profile, told(!is_foreign, lines, !has_keys, handshake))
        })
    }
}

/// Keys that are put in the place of those that are written.
fn told(
    can_be_read: bool,
    lines: Vec<KeyLine>,
    keeps_handshake: bool,
    handshake: Option<HandshakeLines>,
) -> SectionKeys {
    if lines.is_empty() && !can_be_read {
        return SectionKeys::AsWritten;
    }
    SectionKeys::Ours {
        lines,
        handshake,
        keeps_handshake,
    }
}

/// Whether keys may be named although the profile has none.
fn is_plain(protocol: &[u8]) -> bool {
    profile::is_like(protocol, b"RTP/AVP")
}

fn note_recrypt(state: &mut CallState, negotiation: &Negotiation<'_>) {
    state.recrypts |= negotiation.flags.has(Flag::Recrypt);
}

/// Has one stream of two parties changed at once.
fn between<R>(
    state: &mut CallState,
    parties: &Parties,
    change: impl FnOnce(&mut Stream, &mut Stream) -> R,
) -> Result<R, Refusal> {
    let mut take = |leg: LegId| {
        let leg = state.leg_mut(leg)?;
        Some(std::mem::take(leg.stream_mut(parties.index)))
    };
    let (sender, receiver) = (take(parties.sender), take(parties.receiver));
    let mut sender = sender.ok_or(Refusal::Dialogue)?;
    let mut receiver = receiver.ok_or(Refusal::Dialogue)?;
    let result = change(&mut sender, &mut receiver);
    for (leg, stream) in [(parties.sender, sender), (parties.receiver, receiver)] {
        if let Some(leg) = state.leg_mut(leg) {
            *leg.stream_mut(parties.index) = stream;
        }
    }
    Ok(result)
}

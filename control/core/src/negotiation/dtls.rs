//! With whom the relay shakes hands (DTLS-SRTP, RFC 5763), and what they are told of it.
//!
//! The relay does so where one party would and the other cannot, being clear or having other keys.
//! Two parties that both would, shake hands with one another through the relay, which passes on what
//! they say.

use control_ng::Negotiation;
use rand::rngs::StdRng;

use super::{Negotiator, Refusal};
use crate::call::Stream;
use crate::handshake::{Handshake, HandshakeWishes};
use crate::profile;
use crate::sdp::{HandshakeLines, HandshakeSaid};

impl<'a> Negotiator<'a> {
    pub(super) fn handshake_wishes(&self, said: &Negotiation<'_>) -> HandshakeWishes<'a> {
        HandshakeWishes::new(said.dtls, said.dtls_fingerprint, self.fingerprints)
    }
}

/// Takes in what who makes an offer says of handshakes. `target`: the profile that the receiver is to
/// be told of, if that is not the one that is written. Says whether the relay can read what is sent,
/// as far as this receiver goes: others may be told something else of the same offer.
pub(super) fn hear_offer(
    sender: &mut Stream,
    said: Option<HandshakeSaid>,
    target: Option<&[u8]>,
    wishes: &HandshakeWishes<'_>,
) -> bool {
    let passes_on = target
        .is_none_or(|it| it == &sender.protocol[..] || profile::is_like(&sender.protocol, it));
    let is_secret = sender.is_secure() && sender.srtp.said.is_empty();
    match said.filter(|_| is_secret && wishes.may_shake()) {
        Some(said) => sender.handshake.change(|it| it.hear_offer(said, wishes)),
        None => change(sender, Handshake::hear_nothing),
    }
    !is_secret || (sender.handshake.is_said() && !passes_on)
}

/// What the receiver of an offer is told of handshakes with the relay, if there may be any.
pub(super) fn offer(
    can_be_read: bool,
    receiver: &mut Stream,
    wishes: &HandshakeWishes<'_>,
    rng: &mut StdRng,
) -> Option<HandshakeLines> {
    let is_secure = profile::is_secure(&receiver.protocol);
    let has_keys = receiver.srtp.agreed.is_some();
    if is_secure && can_be_read && wishes.may_shake() && !has_keys {
        return receiver.handshake.change(|it| it.offer(wishes, rng));
    }
    change(receiver, Handshake::unsay);
    None
}

/// Takes in what the answerer says of handshakes: that counts if it was asked.
pub(super) fn hear_answer(
    sender: &mut Stream,
    said: Option<HandshakeSaid>,
    wishes: &HandshakeWishes<'_>,
) {
    let is_asked = sender.handshake.is_told() && sender.is_secure();
    let has_keys = !sender.srtp.said.is_empty();
    match said.filter(|_| is_asked && (!has_keys || wishes.may_shake())) {
        Some(said) => {
            sender.handshake.change(|it| it.hear_answer(said));
            sender.srtp.change(crate::srtp::Srtp::decline);
        }
        None => change(sender, Handshake::forget),
    }
}

/// What the offerer is told of handshakes with the relay, if it would shake hands.
pub(super) fn answer(
    receiver: &mut Stream,
    wishes: &HandshakeWishes<'_>,
    rng: &mut StdRng,
) -> Option<HandshakeLines> {
    if receiver.handshake.is_said() {
        return receiver.handshake.change(|it| it.answer(wishes, rng));
    }
    change(receiver, Handshake::forget);
    None
}

/// What a party is told again of handshakes with the relay, if there are any. It is an error if
/// there is nothing else that it could have keys by.
pub(super) fn create(
    stream: &mut Stream,
    wishes: &HandshakeWishes<'_>,
    rng: &mut StdRng,
) -> Result<Option<HandshakeLines>, Refusal> {
    let shakes = stream.handshake.is_told() || stream.handshake.agreed().is_some();
    if !shakes || !stream.is_secure() {
        return Ok(None);
    }
    let told = stream.handshake.change(|it| it.offer(wishes, rng));
    let told = told.filter(|_| wishes.may_shake());
    if told.is_none() && stream.srtp.told.is_empty() {
        return Err(Refusal::Unsupported);
    }
    Ok(told)
}

/// Changes what there is; most streams have none, and that stays so.
pub(super) fn change(stream: &mut Stream, change: impl FnOnce(&mut Handshake)) {
    if *stream.handshake != Handshake::default() {
        stream.handshake.change(change);
    }
}

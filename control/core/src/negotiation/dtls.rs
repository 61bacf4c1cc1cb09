//! With whom the relay shakes hands (DTLS-SRTP, RFC 5763), and what they are told of it.
//!
//! The relay does so where one party would and the other cannot, being clear or having other keys.
//! Two parties that both would, shake hands with one another through the relay, which passes on what
//! they say.

use control_ng::Negotiation;
use rand::rngs::StdRng;

use super::Negotiator;
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
/// be told of, if that is not the one that is written.
pub(super) fn hear_offer(
    sender: &mut Stream,
    said: Option<HandshakeSaid>,
    target: Option<&[u8]>,
    wishes: &HandshakeWishes<'_>,
) {
    let passes_on = target
        .is_none_or(|it| it == &sender.protocol[..] || profile::is_like(&sender.protocol, it));
    let is_ours = sender.is_secure() && sender.srtp.said.is_empty() && !passes_on;
    match said.filter(|_| is_ours && wishes.may_shake()) {
        Some(said) => sender.handshake.change(|it| it.hear_offer(said, wishes)),
        None => forget(sender),
    }
}

/// What the receiver of an offer is told of handshakes with the relay, if there may be any.
pub(super) fn offer(
    sender: &Stream,
    receiver: &mut Stream,
    wishes: &HandshakeWishes<'_>,
    rng: &mut StdRng,
) -> Option<HandshakeLines> {
    let is_secure = profile::is_secure(&receiver.protocol);
    let has_keys = receiver.srtp.agreed.is_some();
    if is_secure && sender.can_be_read() && wishes.may_shake() && !has_keys {
        return receiver.handshake.change(|it| it.offer(wishes, rng));
    }
    forget(receiver);
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
        None => forget(sender),
    }
}

fn forget(stream: &mut Stream) {
    if *stream.handshake != Handshake::default() {
        stream.handshake.change(Handshake::forget);
    }
}

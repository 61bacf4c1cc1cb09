//! Handshakes by which the relay and a party agree on keys (DTLS-SRTP, RFC 5763), as far as
//! descriptions speak of them.
//!
//! ```text
//!  party ──said──► setup, fingerprint ─► our role, whom to expect ─► the relay shakes hands
//!        ◄──told── setup, fingerprint of the relay
//! ```
//!
//! Each party shakes hands with the relay and knows nothing of the other's keys. An association
//! lasts until a party says that it means another one: by its certificate, by its `tls-id`, or by
//! another role (RFC 8842 §4).

use control_ng::{Dtls as Word, Words};
use rand::RngExt;
use rand::rngs::StdRng;
use relay_wire::{Dtls, DtlsRole, Fingerprint, FingerprintHash};
use serde::{Deserialize, Serialize};

use crate::lean::Usual;
use crate::sdp::{HandshakeLines, HandshakeSaid, Setup};

/// Handshakes of one stream with its party.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Handshake {
    /// What the party said.
    said: Option<HandshakeSaid>,
    /// By which hash function, and as which association, the party was told of us.
    told: Option<Told>,
    /// What we do.
    role: Option<DtlsRole>,
    association: u32,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Told {
    hash: FingerprintHash,
    tls_id: Box<str>,
}

impl Usual for Handshake {
    const USUAL: &'static Self = &Self {
        said: None,
        told: None,
        role: None,
        association: 0,
    };
}

/// What a request wants of handshakes, and what the relay has for them.
#[derive(Clone, Debug)]
pub(crate) struct HandshakeWishes<'a> {
    words: Words<Word>,
    hash: Option<FingerprintHash>,
    /// Of the relay's certificate, one for each hash function. None: it shakes no hands.
    fingerprints: &'a [Fingerprint],
}

impl<'a> HandshakeWishes<'a> {
    pub(crate) fn new(
        words: Words<Word>,
        hash: Option<&[u8]>,
        fingerprints: &'a [Fingerprint],
    ) -> Self {
        let hash = hash.and_then(|it| std::str::from_utf8(it).ok());
        Self {
            words,
            hash: hash.and_then(FingerprintHash::from_name),
            fingerprints,
        }
    }

    /// Whether there may be handshakes.
    pub(crate) fn may_shake(&self) -> bool {
        !self.words.has(Word::Off) && !self.fingerprints.is_empty()
    }

    fn fingerprint(&self, hash: FingerprintHash) -> Option<&'a Fingerprint> {
        self.fingerprints.iter().find(|it| it.hash() == hash)
    }
}

impl Handshake {
    /// Whether the party would shake hands with us.
    pub(crate) fn is_said(&self) -> bool {
        self.said.is_some()
    }

    /// Whether the party was told that we would.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// What the relay is to do: nothing before the party can know who shakes hands with it. Where there
    /// was an association it is another one that is meant, and the one before holds as long.
    pub(crate) fn agreed(&self) -> Option<Dtls> {
        let is_known = self.is_told() || self.association > 0;
        Some(Dtls {
            role: self.role.filter(|_| is_known)?,
            fingerprint: self.said.as_ref()?.fingerprint.clone(),
            association: self.association,
        })
    }

    /// Takes in what the party says who makes an offer.
    pub(crate) fn hear_offer(&mut self, said: HandshakeSaid, wishes: &HandshakeWishes<'_>) {
        let was_passive = self.role == Some(DtlsRole::Passive);
        let role = match said.setup {
            Setup::Active => Some(DtlsRole::Passive),
            Setup::Passive => Some(DtlsRole::Active),
            Setup::ActPass if was_passive || wishes.words.has(Word::Passive) => {
                Some(DtlsRole::Passive)
            }
            Setup::ActPass => Some(DtlsRole::Active),
            Setup::HoldConn => None,
        };
        if self.hear(said, role) {
            // We begin another association, too, and say so.
            self.told = None;
        }
    }

    /// The same of who answers.
    pub(crate) fn hear_answer(&mut self, said: HandshakeSaid) {
        let role = match said.setup {
            Setup::Active => Some(DtlsRole::Passive),
            Setup::Passive | Setup::ActPass => Some(DtlsRole::Active),
            Setup::HoldConn => None,
        };
        self.hear(said, role);
    }

    /// Says whether it is another association.
    fn hear(&mut self, said: HandshakeSaid, role: Option<DtlsRole>) -> bool {
        let is_other = self.said.as_ref().is_some_and(|before| {
            let is_renamed = !before.tls_id.is_empty() && before.tls_id != said.tls_id;
            before.fingerprint != said.fingerprint || is_renamed || self.role != role
        });
        self.association = self.association.wrapping_add(u32::from(is_other));
        self.role = role;
        self.said = Some(said);
        is_other
    }

    /// What the party is told that gets an offer.
    pub(crate) fn offer(
        &mut self,
        wishes: &HandshakeWishes<'_>,
        rng: &mut StdRng,
    ) -> Option<HandshakeLines> {
        self.tell(Setup::ActPass, wishes, rng)
    }

    /// What the party is told that gets an answer, if it is one to shake hands with.
    pub(crate) fn answer(
        &mut self,
        wishes: &HandshakeWishes<'_>,
        rng: &mut StdRng,
    ) -> Option<HandshakeLines> {
        self.said.as_ref()?;
        let setup = match self.role {
            Some(DtlsRole::Active) => Setup::Active,
            Some(DtlsRole::Passive) => Setup::Passive,
            None => Setup::HoldConn,
        };
        self.tell(setup, wishes, rng)
    }

    fn tell(
        &mut self,
        setup: Setup,
        wishes: &HandshakeWishes<'_>,
        rng: &mut StdRng,
    ) -> Option<HandshakeLines> {
        let before = self.told.as_ref().map(|it| it.hash);
        let theirs = self.said.as_ref().map(|it| it.fingerprint.hash());
        let hash = wishes.hash.or(before).or(theirs);
        let hash = hash.unwrap_or(FingerprintHash::Sha256);
        let fingerprint = wishes.fingerprint(hash)?.clone();
        let told = self.told.get_or_insert_with(|| Told {
            hash,
            tls_id: format!("{:032x}", rng.random::<u128>()).into(),
        });
        told.hash = hash;
        Some(HandshakeLines {
            setup,
            fingerprint,
            tls_id: told.tls_id.clone(),
        })
    }

    /// There are no handshakes with the party, whatever was spoken of.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn fingerprint(byte: u8) -> Fingerprint {
        Fingerprint::new(FingerprintHash::Sha256, vec![byte; 32]).unwrap()
    }

    fn said(setup: Setup, byte: u8) -> HandshakeSaid {
        HandshakeSaid {
            fingerprint: fingerprint(byte),
            setup,
            tls_id: "".into(),
        }
    }

    fn wishes<'a>(words: &[Word], fingerprints: &'a [Fingerprint]) -> HandshakeWishes<'a> {
        let mut all = Words::default();
        for word in words {
            all.insert(*word);
        }
        HandshakeWishes::new(all, None, fingerprints)
    }

    #[test]
    fn we_begin_where_we_may_unless_told_otherwise() {
        let (ours, mut rng) = ([fingerprint(9)], StdRng::seed_from_u64(1));
        for (setup, words, role) in [
            (Setup::ActPass, &[][..], Some(DtlsRole::Active)),
            (Setup::ActPass, &[Word::Passive], Some(DtlsRole::Passive)),
            (Setup::Active, &[], Some(DtlsRole::Passive)),
            (Setup::Passive, &[Word::Passive], Some(DtlsRole::Active)),
            (Setup::HoldConn, &[], None),
        ] {
            let mut handshake = Handshake::default();
            let wishes = wishes(words, &ours);
            handshake.hear_offer(said(setup, 1), &wishes);
            assert_eq!(handshake.agreed(), None, "before it knows of us");
            handshake.answer(&wishes, &mut rng);
            assert_eq!(handshake.agreed().map(|it| it.role), role);
        }
    }

    #[test]
    fn an_association_lasts_until_the_party_means_another() {
        let (ours, mut rng) = ([fingerprint(9)], StdRng::seed_from_u64(1));
        let wishes = wishes(&[], &ours);
        let mut handshake = Handshake::default();
        handshake.hear_offer(said(Setup::Active, 1), &wishes);
        let told = handshake.answer(&wishes, &mut rng);
        let first = (handshake.agreed(), told);
        handshake.hear_offer(said(Setup::Active, 1), &wishes);
        let again = (handshake.agreed(), handshake.answer(&wishes, &mut rng));
        assert_eq!(again, first);
        // Who was waited for is waited for again, if it leaves us the choice.
        handshake.hear_offer(said(Setup::ActPass, 1), &wishes);
        assert_eq!(handshake.agreed(), first.0);
        handshake.hear_offer(said(Setup::Active, 2), &wishes);
        let other = (handshake.agreed(), handshake.answer(&wishes, &mut rng));
        assert_ne!(other.0, first.0);
        assert_ne!(other.1.unwrap().tls_id, first.1.unwrap().tls_id);
    }

    #[test]
    fn without_a_certificate_there_are_none() {
        assert!(!wishes(&[], &[]).may_shake());
        let ours = [fingerprint(9)];
        assert!(wishes(&[], &ours).may_shake());
        assert!(!wishes(&[Word::Off], &ours).may_shake());
    }
}

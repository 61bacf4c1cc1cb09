//! Handshakes by which the relay and a party agree on keys (DTLS-SRTP, RFC 5763), as far as
//! descriptions speak of them.
//!
//! ```text
//!  party ──said──► setup, fingerprint ─► our role, whom to expect ─► the relay shakes hands
//!        ◄──told── setup, fingerprint of the relay
//! ```
//!
//! Each party shakes hands with the relay and knows nothing of the other's keys. What is agreed on
//! holds until an answer says something else: an offer in between changes nothing yet. So an
//! association lasts until either side means another one: by its certificate, by its `tls-id`, or by
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
    /// What we do, if that is agreed on.
    role: Option<DtlsRole>,
    /// What the party was told of us.
    told: Option<Told>,
    /// What holds.
    agreed: Option<Agreed>,
}

/// What a party knows us by.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Told {
    fingerprint: Fingerprint,
    tls_id: Box<str>,
}

/// What holds, and as which association either side knows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Agreed {
    dtls: Dtls,
    said_tls_id: Box<str>,
    told: Told,
}

impl Usual for Handshake {
    const USUAL: &'static Self = &Self {
        said: None,
        role: None,
        told: None,
        agreed: None,
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

    /// Whether the relay still has the certificate that a party knows it by.
    fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprints.contains(fingerprint)
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

    /// What the relay is to do: nothing before either side knows who shakes hands with it.
    pub(crate) fn agreed(&self) -> Option<&Dtls> {
        self.agreed.as_ref().map(|it| &it.dtls)
    }

    /// Takes in what the party says who makes an offer.
    pub(crate) fn hear_offer(&mut self, said: HandshakeSaid, wishes: &HandshakeWishes<'_>) {
        let before = self.agreed().map(|it| it.role);
        let was_passive = self.role.or(before) == Some(DtlsRole::Passive);
        let waits = was_passive || wishes.words.has(Word::Passive);
        self.hear(said, waits);
        // Where the party means another association so do we, and say it.
        let told = self.goes_on().map(|it| &it.told).cloned();
        self.told = told;
    }

    /// The same of who answers.
    pub(crate) fn hear_answer(&mut self, said: HandshakeSaid) {
        self.hear(said, false);
        self.agree();
    }

    fn hear(&mut self, said: HandshakeSaid, waits: bool) {
        self.role = match said.setup {
            Setup::Active => Some(DtlsRole::Passive),
            Setup::ActPass if waits => Some(DtlsRole::Passive),
            Setup::ActPass | Setup::Passive => Some(DtlsRole::Active),
            // Nothing begins, and what stands goes on (RFC 4145 §4).
            Setup::HoldConn => {
                let stands = self.agreed.as_ref().filter(|it| it.is_with(&said));
                stands.map(|it| it.dtls.role)
            }
        };
        self.said = Some(said);
    }

    /// What holds, if the party means it still.
    fn goes_on(&self) -> Option<&Agreed> {
        let said = self.said.as_ref()?;
        let agreed = self.agreed.as_ref()?;
        (agreed.is_with(said) && self.role == Some(agreed.dtls.role)).then_some(agreed)
    }

    /// The party says nothing of handshakes, or nothing that is for us.
    pub(crate) fn hear_nothing(&mut self) {
        (self.said, self.role) = (None, None);
    }

    /// What the party is told that gets an offer.
    pub(crate) fn offer(
        &mut self,
        wishes: &HandshakeWishes<'_>,
        rng: &mut StdRng,
    ) -> Option<HandshakeLines> {
        let stands = self.agreed.as_ref().map(|it| &it.told);
        self.told = self.told.take().or_else(|| stands.cloned());
        self.tell(Setup::ActPass, wishes, rng)
    }

    /// What the party is told that gets an answer, if it is one to shake hands with. That holds from
    /// now on.
    pub(crate) fn answer(
        &mut self,
        wishes: &HandshakeWishes<'_>,
        rng: &mut StdRng,
    ) -> Option<HandshakeLines> {
        let said = self.said.as_ref()?;
        let setup = match self.role.filter(|_| said.setup != Setup::HoldConn) {
            Some(DtlsRole::Active) => Setup::Active,
            Some(DtlsRole::Passive) => Setup::Passive,
            None => Setup::HoldConn,
        };
        let lines = self.tell(setup, wishes, rng);
        self.agree();
        lines
    }

    /// Says what we are known by: as before, unless there is another association or certificate.
    fn tell(
        &mut self,
        setup: Setup,
        wishes: &HandshakeWishes<'_>,
        rng: &mut StdRng,
    ) -> Option<HandshakeLines> {
        let before = self.told.take();
        let theirs = self.said.as_ref().map(|it| it.fingerprint.hash());
        let ours = before.as_ref().map(|it| it.fingerprint.hash());
        let hash = wishes.hash.or(ours).or(theirs);
        let hash = hash.unwrap_or(FingerprintHash::Sha256);
        let fingerprint = wishes.fingerprint(hash)?.clone();
        let kept = before.filter(|it| wishes.has(&it.fingerprint));
        let tls_id = kept.map(|it| it.tls_id);
        let tls_id = tls_id.unwrap_or_else(|| format!("{:032x}", rng.random::<u128>()).into());
        self.told = Some(Told {
            fingerprint: fingerprint.clone(),
            tls_id: tls_id.clone(),
        });
        Some(HandshakeLines {
            setup,
            fingerprint,
            tls_id,
        })
    }

    /// What was said and told holds.
    fn agree(&mut self) {
        let goes_on = self.goes_on().zip(self.told.as_ref());
        let goes_on = goes_on.is_some_and(|(it, told)| it.told.tls_id == told.tls_id);
        let before = self.agreed.take().map(|it| it.dtls.association);
        let association = before.map_or(0, |it| it.wrapping_add(u32::from(!goes_on)));
        let all = self.said.as_ref().zip(self.told.as_ref()).zip(self.role);
        self.agreed = all.map(|((said, told), role)| Agreed {
            dtls: Dtls {
                role,
                fingerprint: said.fingerprint.clone(),
                association,
            },
            said_tls_id: said.tls_id.clone(),
            told: told.clone(),
        });
    }

    /// The party is told nothing of us. What was agreed on before holds as long as nothing else is.
    pub(crate) fn unsay(&mut self) {
        self.told = None;
    }

    /// The party shakes hands with somebody else, who has answered it. Others may who answer as well.
    pub(crate) fn pass_on(&mut self) {
        (self.told, self.agreed) = (None, None);
    }

    /// There are no handshakes with the party, whatever was spoken of.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Agreed {
    /// Whether the party has the certificate still, and means no other association.
    fn is_with(&self, said: &HandshakeSaid) -> bool {
        let is_renamed = !self.said_tls_id.is_empty() && self.said_tls_id != said.tls_id;
        self.dtls.fingerprint == said.fingerprint && !is_renamed
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

    /// What holds after an offer was answered, and what the offerer was told.
    fn offered(
        handshake: &mut Handshake,
        said: HandshakeSaid,
        wishes: &HandshakeWishes<'_>,
    ) -> (Option<Dtls>, HandshakeLines) {
        let number = handshake.agreed().map_or(0, |it| it.association + 1);
        let mut rng = StdRng::seed_from_u64(number.into());
        handshake.hear_offer(said, wishes);
        let told = handshake.answer(wishes, &mut rng).unwrap();
        (handshake.agreed().cloned(), told)
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
        let ours = [fingerprint(9)];
        let wishes = wishes(&[], &ours);
        let mut handshake = Handshake::default();
        let first = offered(&mut handshake, said(Setup::Active, 1), &wishes);
        let again = offered(&mut handshake, said(Setup::Active, 1), &wishes);
        assert_eq!(again, first);
        // Who was waited for is waited for again, if it leaves us the choice.
        let again = offered(&mut handshake, said(Setup::ActPass, 1), &wishes);
        assert_eq!(again, first);
        let named = HandshakeSaid {
            tls_id: "a".into(),
            ..said(Setup::Active, 1)
        };
        assert_eq!(offered(&mut handshake, named, &wishes), first);
        let mut numbers = vec![first.0.unwrap().association];
        let mut names = vec![first.1.tls_id];
        for (setup, byte) in [
            (Setup::Active, 1),
            (Setup::Active, 2),
            (Setup::Passive, 2),
            (Setup::Active, 2),
        ] {
            let (agreed, told) = offered(&mut handshake, said(setup, byte), &wishes);
            assert!(!names.contains(&told.tls_id), "{setup:?}");
            names.push(told.tls_id);
            numbers.push(agreed.unwrap().association);
        }
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_offer_that_nobody_answers_changes_nothing() {
        let ours = [fingerprint(9)];
        let wishes = wishes(&[], &ours);
        let mut handshake = Handshake::default();
        let first = offered(&mut handshake, said(Setup::Active, 1), &wishes);
        handshake.hear_offer(said(Setup::Passive, 2), &wishes);
        assert_eq!(handshake.agreed(), first.0.as_ref());
        handshake.hear_nothing();
        assert_eq!(handshake.agreed(), first.0.as_ref());
        let again = offered(&mut handshake, said(Setup::Active, 1), &wishes);
        assert_eq!(again, first);
    }

    #[test]
    fn with_another_certificate_of_ours_there_is_another_association() {
        let (old, new) = ([fingerprint(8)], [fingerprint(9)]);
        let (old, new) = (wishes(&[], &old), wishes(&[], &new));
        let mut rng = StdRng::seed_from_u64(7);
        let mut handshake = Handshake::default();
        let first = offered(&mut handshake, said(Setup::Active, 1), &old);
        let (agreed, told) = offered(&mut handshake, said(Setup::Active, 1), &new);
        assert_eq!(agreed.clone().unwrap().association, 1);
        assert_eq!(told.fingerprint, fingerprint(9));
        assert_ne!(told.tls_id, first.1.tls_id);
        // And the same where it is us who offer: from the answer on.
        let offer = handshake.offer(&old, &mut rng).unwrap();
        assert_ne!(offer.tls_id, told.tls_id);
        assert_eq!(handshake.agreed(), agreed.as_ref());
        handshake.hear_answer(said(Setup::Active, 1));
        assert_eq!(handshake.agreed().unwrap().association, 2);
        assert_eq!(handshake.offer(&old, &mut rng), Some(offer));
    }

    #[test]
    fn who_holds_what_begins_holds_nothing_that_stands() {
        let ours = [fingerprint(9)];
        let wishes = wishes(&[], &ours);
        let mut handshake = Handshake::default();
        let first = offered(&mut handshake, said(Setup::ActPass, 1), &wishes);
        let (agreed, told) = offered(&mut handshake, said(Setup::HoldConn, 1), &wishes);
        assert_eq!((&agreed, told.setup), (&first.0, Setup::HoldConn));
        assert_eq!(told.tls_id, first.1.tls_id);
        handshake.hear_answer(said(Setup::HoldConn, 1));
        assert_eq!(handshake.agreed(), first.0.as_ref());
        assert_eq!(
            offered(&mut handshake, said(Setup::ActPass, 1), &wishes),
            first
        );
        // Of another one nothing may begin.
        let (agreed, _) = offered(&mut handshake, said(Setup::HoldConn, 2), &wishes);
        assert_eq!(agreed, None);
    }

    #[test]
    fn without_a_certificate_there_are_none() {
        assert!(!wishes(&[], &[]).may_shake());
        let ours = [fingerprint(9)];
        assert!(wishes(&[], &ours).may_shake());
        assert!(!wishes(&[Word::Off], &ours).may_shake());
    }
}

//! Keys of SRTP that the parties and the relay tell one another (RFC 4568), and which of them hold.
//!
//! ```text
//!  caller ──said──►             ──told──► callee     what was offered goes on, and keys of the
//!         ◄──told──             ◄──said──            relay's own for all other suites
//! ```
//!
//! Each party has one key that it sends with ([`Agreed::receive`]) and is sent to with one
//! ([`Agreed::send`]). If the callee takes a suite that the caller has offered, either is told the
//! other's key, and packets need not be touched. If not, the relay has keys of its own towards one of
//! them, and encrypts anew. What is agreed on holds until an answer says something else: an offer
//! in between changes nothing yet.

use control_ng::{Sdes, SdesWord, Words};
use rand::Rng;
use rand::rngs::StdRng;
use relay_wire::{Crypto, CryptoSuite, Secret};
use serde::{Deserialize, Serialize};

use crate::call::CallState;
use crate::lean::Usual;
use crate::sdp::KeyLine;

/// So long after the newest offer or answer nobody else answers: proxies wait three minutes, or a
/// little longer (RFC 3261 §16.6, timer C).
const FORKS_FOR_MS: u64 = 300_000;

/// Keys of one stream of a party.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Srtp {
    /// There are keys although the profile has none: they may be declined (RFC 8643).
    pub(crate) is_optional: bool,
    /// What the party offered was put in another order, so that it is not asked which suite the other
    /// party has.
    is_reordered: bool,
    /// What the party said, the best first.
    pub(crate) said: Vec<KeyLine>,
    /// What it was told.
    pub(crate) told: Vec<KeyLine>,
    /// What else it was offered. Of several who answer the same offer each may take another line; when
    /// none will any more, these go.
    untaken: Vec<KeyLine>,
    /// What holds.
    pub(crate) agreed: Option<Agreed>,
}

/// Keys between the relay and a party.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Agreed {
    /// Those of the party.
    pub(crate) receive: Crypto,
    /// Those that it was told.
    pub(crate) send: Crypto,
}

impl Usual for Srtp {
    const USUAL: &'static Self = &Self {
        is_optional: false,
        is_reordered: false,
        said: Vec::new(),
        told: Vec::new(),
        untaken: Vec::new(),
        agreed: None,
    };
}

/// What a request wants of keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyWishes {
    words: Words<SdesWord>,
    /// `None`: all but those of `no`.
    only: Option<Vec<CryptoSuite>>,
    no: Vec<CryptoSuite>,
    order: Vec<CryptoSuite>,
    offerer_order: Vec<CryptoSuite>,
    /// Offered keys have parameters that were not asked for.
    is_offer: bool,
}

impl KeyWishes {
    pub(crate) fn offer(sdes: &Sdes<'_>) -> Self {
        Self {
            is_offer: true,
            ..Self::answer(sdes)
        }
    }

    pub(crate) fn answer(sdes: &Sdes<'_>) -> Self {
        Self {
            words: sdes.words,
            only: (!sdes.only.is_empty()).then(|| suites(&sdes.only)),
            no: suites(&sdes.no),
            order: suites(&sdes.order),
            offerer_order: suites(&sdes.offerer_order),
            is_offer: false,
        }
    }

    fn allows(&self, suite: CryptoSuite) -> bool {
        match &self.only {
            Some(only) => only.contains(&suite),
            None => !self.no.contains(&suite),
        }
    }

    /// Whether what a party was told holds if a suite is chosen for which the other party has keys,
    /// which may be new ones.
    fn keeps(&self, told: &Crypto, suite: CryptoSuite, others: Option<&Crypto>) -> bool {
        let is_told = |it: &Crypto| {
            (&it.key_and_salt, &it.identifier) == (&told.key_and_salt, &told.identifier)
        };
        let is_static = self.words.has(SdesWord::Static);
        told.suite == suite && (is_static || others.is_none_or(is_told))
    }

    fn adds(&self) -> bool {
        !self.words.has(SdesWord::NoNew)
    }

    /// Sets the parameters that were asked for. What authenticates and encrypts at once has none.
    fn apply(&self, crypto: &mut Crypto) {
        use SdesWord::{
            AuthenticatedSrtp, EncryptedSrtcp, EncryptedSrtp, UnauthenticatedSrtp,
            UnencryptedSrtcp, UnencryptedSrtp,
        };
        let is_split = !crypto.suite.is_aead();
        for (parameter, less, more) in [
            (&mut crypto.rtp_is_clear, UnencryptedSrtp, EncryptedSrtp),
            (&mut crypto.rtcp_is_clear, UnencryptedSrtcp, EncryptedSrtcp),
            (
                &mut crypto.rtp_is_unauthenticated,
                UnauthenticatedSrtp,
                AuthenticatedSrtp,
            ),
        ] {
            if self.words.has(less) && self.is_offer {
                *parameter = is_split;
            } else if self.words.has(more) {
                *parameter = false;
            }
        }
    }
}

fn suites(names: &[&[u8]]) -> Vec<CryptoSuite> {
    let names = names
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok());
    names.filter_map(CryptoSuite::from_name).collect()
}

impl Srtp {
    /// Takes what the party says now, without what is not wanted of it; something stays.
    pub(crate) fn hear(&mut self, lines: Vec<KeyLine>, wishes: &KeyWishes) {
        self.said = lines;
        if wishes.adds() {
            for at in (0..self.said.len()).rev() {
                if self.said.len() > 1 && !wishes.allows(self.said[at].crypto.suite) {
                    self.said.remove(at);
                }
            }
        }
        self.keep_told();
    }

    /// Of what the party was told only that holds which it has taken, or would take first. Who takes
    /// a suite by another number than it was told means it all the same.
    fn keep_told(&mut self) {
        let Some(first) = self.said.first() else {
            return;
        };
        let at = find(&self.told, first);
        let kept = at.map(|at| self.told.remove(at));
        self.untaken.append(&mut self.told);
        self.told.extend(kept);
    }

    /// The party answers: what it takes may be something that somebody else has not taken who has
    /// answered the same offer.
    pub(crate) fn recall(&mut self) {
        let Some(first) = self.said.first() else {
            return;
        };
        let is_told = self.told.iter().any(|it| is_one(it, first));
        let at = find(&self.untaken, first).filter(|_| !is_told);
        let at = at.filter(|at| self.told.is_empty() || is_one(&self.untaken[*at], first));
        if let Some(at) = at {
            let taken = self.untaken.remove(at);
            self.untaken.append(&mut self.told);
            self.told.push(taken);
        }
    }

    /// Makes up what the receiver of an offer is told: what was offered, what it was told before, and
    /// keys of the relay's own for all other suites.
    pub(crate) fn offer(
        offerer: &mut Self,
        receiver: &mut Self,
        wishes: &KeyWishes,
        rng: &mut StdRng,
    ) {
        let before = std::mem::take(&mut receiver.told);
        let mut list = List::default();
        for line in &offerer.said {
            if !wishes.adds() || wishes.allows(line.crypto.suite) {
                let mut line = line.clone();
                wishes.apply(&mut line.crypto);
                list.push(line);
            }
        }
        for line in before {
            if !list.has(line.crypto.suite) {
                list.push_next(line.crypto, line.tag);
            }
        }
        if wishes.adds() {
            let new = CryptoSuite::ALL.into_iter().filter(|it| wishes.allows(*it));
            for suite in new.collect::<Vec<_>>() {
                if !list.has(suite) {
                    let mut crypto = new_key(suite, rng);
                    wishes.apply(&mut crypto);
                    list.push_next(crypto, 0);
                }
            }
        }
        receiver.told = list.lines;
        receiver.told.sort_by_key(|it| place(&wishes.order, it));
        receiver.untaken.clear();
        offerer.reorder(wishes);
    }

    /// Puts what the party offered in the order that was asked for. It is no longer the one that
    /// answers.
    pub(crate) fn reorder(&mut self, wishes: &KeyWishes) {
        self.untaken.clear();
        let order = &wishes.offerer_order;
        let is_there = |suite: &CryptoSuite| self.said.iter().any(|it| it.crypto.suite == *suite);
        self.is_reordered = order.iter().any(is_there);
        self.said.sort_by_key(|it| place(order, it));
    }

    /// Chooses among what the offerer has said, best what the answerer has chosen, and says what
    /// holds for both from now on. Either may be without keys.
    pub(crate) fn answer(
        answerer: &mut Self,
        offerer: &mut Self,
        wishes: &KeyWishes,
        rng: &mut StdRng,
    ) {
        let taken = answerer.said.first();
        let is_static = wishes.words.has(SdesWord::Static);
        let stays = offerer.told.first().filter(|_| is_static);
        let stays = stays.and_then(|told| {
            let mut said = offerer.said.iter();
            said.find(|it| is_one(it, told))
        });
        let like = taken.filter(|_| !offerer.is_reordered).and_then(|taken| {
            let suite = taken.crypto.suite;
            let like = offerer.said.iter().filter(|it| it.crypto.suite == suite);
            // There may be several keys of one suite.
            like.clone()
                .find(|it| it.tag == taken.tag)
                .or_else(|| like.clone().next())
        });
        let chosen = stays.or(like).or_else(|| offerer.said.first()).cloned();
        if let Some(mut chosen) = chosen {
            offerer.choose(&mut chosen, taken, wishes, rng);
            offerer.said = vec![chosen];
        } else {
            offerer.told.clear();
        }
        answerer.said.truncate(1);
        answerer.agree();
        offerer.agree();
    }

    /// Tells the party a key of the suite that was chosen: the other's, if that has taken the same.
    fn choose(
        &mut self,
        chosen: &mut KeyLine,
        taken: Option<&KeyLine>,
        wishes: &KeyWishes,
        rng: &mut StdRng,
    ) {
        let suite = chosen.crypto.suite;
        self.told.truncate(1);
        let others = taken.map(|it| &it.crypto).filter(|it| it.suite == suite);
        let mut told = self.told.iter().map(|it| &it.crypto);
        if told.any(|it| wishes.keeps(it, suite, others)) {
            return;
        }
        let mut crypto = others.cloned().unwrap_or_else(|| Crypto {
            key_and_salt: new_key(suite, rng).key_and_salt,
            identifier: Vec::new(),
            ..chosen.crypto.clone()
        });
        wishes.apply(&mut crypto);
        wishes.apply(&mut chosen.crypto);
        let tag = chosen.tag;
        self.told = vec![KeyLine { tag, crypto }];
    }

    /// What holds once a party has answered to what nobody else has offered it.
    pub(crate) fn answer_alone(&mut self) {
        self.recall();
        self.said.truncate(1);
        self.agree();
    }

    /// What the party said and was told holds.
    fn agree(&mut self) {
        let keys = self.said.first().zip(self.told.first());
        let keys = keys.filter(|(said, told)| said.crypto.suite == told.crypto.suite);
        self.agreed = keys.map(|(said, told)| Agreed {
            receive: said.crypto.clone(),
            send: told.crypto.clone(),
        });
    }

    /// The party is told no keys. What was agreed on before holds as long as nothing else is.
    pub(crate) fn unsay(&mut self) {
        self.told.clear();
        self.untaken.clear();
        self.is_optional = false;
    }

    /// The party has taken none of what it was offered. Somebody else may who answers as well.
    pub(crate) fn decline(&mut self) {
        let mut untaken = std::mem::take(&mut self.told);
        untaken.append(&mut self.untaken);
        *self = Self {
            untaken,
            ..Self::default()
        };
    }

    /// The party has no keys, whatever was spoken of.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl CallState {
    /// When keys go that nobody has taken, if there are some.
    pub(crate) fn forks_until_unix_ms(&self) -> Option<u64> {
        let mut streams = self.legs.iter().flat_map(|leg| &leg.streams);
        let has_untaken = streams.any(|it| !it.srtp.untaken.is_empty());
        let is_forked = self.is_confirmed && has_untaken;
        is_forked.then(|| self.last_signal_unix_ms.saturating_add(FORKS_FOR_MS))
    }

    /// Nobody else will answer: keys that nobody has taken are of no use.
    pub(crate) fn end_forking(&mut self) {
        let streams = self.legs.iter_mut().flat_map(|leg| &mut leg.streams);
        for stream in streams.filter(|it| !it.srtp.untaken.is_empty()) {
            stream.srtp.change(|it| it.untaken = Vec::new());
        }
    }
}

/// Lines that are to be offered.
#[derive(Debug, Default)]
struct List {
    lines: Vec<KeyLine>,
    tag: u32,
}

impl List {
    fn has(&self, suite: CryptoSuite) -> bool {
        self.lines.iter().any(|it| it.crypto.suite == suite)
    }

    fn push(&mut self, line: KeyLine) {
        self.tag = self.tag.max(line.tag);
        self.lines.push(line);
    }

    /// By a number that nobody has used, its own if that is one.
    fn push_next(&mut self, crypto: Crypto, tag: u32) {
        let tag = tag.max(self.tag.saturating_add(1));
        self.push(KeyLine { tag, crypto });
    }
}

fn is_one(line: &KeyLine, other: &KeyLine) -> bool {
    line.crypto.suite == other.crypto.suite && line.tag == other.tag
}

/// The line of the same suite and number, or else of the suite alone.
fn find(lines: &[KeyLine], like: &KeyLine) -> Option<usize> {
    let is_like = |it: &KeyLine| it.crypto.suite == like.crypto.suite;
    let exact = lines.iter().position(|it| is_one(it, like));
    exact.or_else(|| lines.iter().position(is_like))
}

/// The place in a list of wishes; all that is not in it comes behind.
fn place(order: &[CryptoSuite], line: &KeyLine) -> usize {
    let place = order.iter().position(|it| *it == line.crypto.suite);
    place.unwrap_or(order.len())
}

/// A key of the relay's own.
fn new_key(suite: CryptoSuite, rng: &mut StdRng) -> Crypto {
    let mut bytes = vec![0; suite.key_and_salt_len()];
    rng.fill_bytes(&mut bytes);
    Crypto::new(suite, Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use control_ng::Word;
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::sdp::keys_tests::any_line;

    fn any_wishes() -> impl Strategy<Value = KeyWishes> {
        let suites = || prop::sample::subsequence(&CryptoSuite::ALL[..], 0..4);
        let words = prop::sample::subsequence(SdesWord::ALL, 0..4);
        let only = prop::option::of(suites());
        (words, only, suites(), suites(), suites(), any::<bool>()).prop_map(
            |(words, only, no, order, offerer_order, is_offer)| KeyWishes {
                words: words.into_iter().fold(Words::default(), Words::with),
                only,
                no,
                order,
                offerer_order,
                is_offer,
            },
        )
    }

    fn any_lines() -> impl Strategy<Value = Vec<KeyLine>> {
        prop::collection::vec(any_line(), 0..5)
    }

    /// One offer and one answer.
    fn exchange(
        parties: &mut [Srtp; 2],
        (offered, taken): (&[KeyLine], Option<usize>),
        wishes: [&KeyWishes; 2],
        rng: &mut StdRng,
    ) {
        let [offerer, answerer] = parties;
        offerer.hear(offered.to_vec(), wishes[0]);
        Srtp::offer(offerer, answerer, wishes[0], rng);
        let told = taken.map(|it| answerer.told.get(it % answerer.told.len().max(1)));
        let said = told.flatten().map(|told| KeyLine {
            tag: told.tag,
            crypto: new_key(told.crypto.suite, rng),
        });
        answerer.hear(said.into_iter().collect(), wishes[1]);
        answerer.recall();
        Srtp::answer(answerer, offerer, wishes[1], rng);
    }

    proptest! {
        #[test]
        fn what_is_agreed_on_was_said_and_told(
            offers in prop::collection::vec((any_lines(), any::<Option<usize>>()), 1..4),
            wishes in prop::collection::vec(any_wishes(), 2),
            seed: u64,
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut parties = [Srtp::default(), Srtp::default()];
            for (offered, taken) in offers {
                let wishes = [&wishes[0], &wishes[1]];
                exchange(&mut parties, (&offered, taken), wishes, &mut rng);
                let [offerer, answerer] = &parties;
                prop_assert_eq!(offerer.agreed.is_some(), !offered.is_empty());
                prop_assert_eq!(answerer.agreed.is_some(), !answerer.said.is_empty());
                if let (Some(told), Some(said)) = (offerer.told.first(), offerer.said.first()) {
                    prop_assert_eq!(told.crypto.suite, said.crypto.suite);
                    let is_offered = |it: &KeyLine| it.crypto.suite == told.crypto.suite;
                    prop_assert!(offered.iter().any(is_offered));
                }
                for party in &parties {
                    let keys = party.agreed.iter().flat_map(|it| [&it.receive, &it.send]);
                    for crypto in keys {
                        prop_assert_eq!(crypto.check(), Ok(()));
                    }
                }
            }
        }

        /// Whoever answers gets the keys of the line that it has taken, whatever others took before.
        #[test]
        fn each_who_answers_gets_what_it_has_taken(
            offered in any_lines(),
            takers in prop::collection::vec(any::<Option<prop::sample::Index>>(), 1..5),
            wishes in any_wishes(),
            seed: u64,
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let [mut offerer, mut answerer] = [Srtp::default(), Srtp::default()];
            offerer.hear(offered, &wishes);
            Srtp::offer(&mut offerer, &mut answerer, &wishes, &mut rng);
            let told = answerer.told.clone();
            for taker in takers {
                let taken = taker.filter(|_| !told.is_empty()).map(|it| it.get(&told));
                let Some(taken) = taken else {
                    answerer.hear(Vec::new(), &wishes);
                    answerer.decline();
                    continue;
                };
                let said = KeyLine { crypto: new_key(taken.crypto.suite, &mut rng), ..taken.clone() };
                answerer.hear(vec![said.clone()], &wishes);
                answerer.recall();
                Srtp::answer(&mut answerer, &mut offerer, &wishes, &mut rng);
                let agreed = answerer.agreed.clone().unwrap();
                prop_assert_eq!(&agreed.receive, &said.crypto);
                let is_taken = |it: &KeyLine| is_one(it, taken) && it.crypto == agreed.send;
                prop_assert!(told.iter().any(is_taken));
                prop_assert_eq!(answerer.told.len() + answerer.untaken.len(), told.len());
            }
        }

        #[test]
        fn each_line_that_is_offered_has_its_number(
            offered in any_lines(),
            before in any_lines(),
            wishes in any_wishes(),
            seed: u64,
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut offerer = Srtp::default();
            let mut receiver = Srtp { told: before, ..Srtp::default() };
            offerer.hear(offered.clone(), &wishes);
            let kept = offerer.said.len();
            prop_assert!(offered.is_empty() || kept > 0);
            Srtp::offer(&mut offerer, &mut receiver, &wishes, &mut rng);
            let mut own: Vec<_> = receiver.told.iter().map(|it| it.tag).collect();
            own.retain(|tag| offered.iter().all(|it| it.tag != *tag));
            let count = own.len();
            own.sort_unstable();
            own.dedup();
            prop_assert_eq!(own.len(), count, "no number twice");
            for line in &receiver.told {
                prop_assert_eq!(line.crypto.check(), Ok(()));
            }
        }
    }

    #[test]
    fn of_two_keys_of_one_suite_the_one_is_chosen_that_was_taken() {
        let mut rng = StdRng::seed_from_u64(1);
        let suite = CryptoSuite::AeadAes128Gcm;
        let offered = [1, 2].map(|tag| KeyLine {
            tag,
            crypto: new_key(suite, &mut rng),
        });
        let mut parties = [Srtp::default(), Srtp::default()];
        let wishes = [&KeyWishes::default(), &KeyWishes::default()];
        exchange(&mut parties, (&offered, Some(1)), wishes, &mut rng);
        let [offerer, answerer] = parties;
        assert_eq!(offerer.agreed.unwrap().receive, offered[1].crypto);
        assert_eq!(answerer.agreed.unwrap().send, offered[1].crypto);
    }

    #[test]
    fn the_best_of_the_offerer_may_be_chosen_for_it() {
        let mut rng = StdRng::seed_from_u64(1);
        let line = |tag, suite, rng: &mut StdRng| KeyLine {
            tag,
            crypto: new_key(suite, rng),
        };
        let (short, long) = (CryptoSuite::AesCm128HmacSha1_32, CryptoSuite::AeadAes256Gcm);
        let offered = [line(1, short, &mut rng), line(2, long, &mut rng)];
        let wishes = KeyWishes {
            offerer_order: vec![long],
            ..KeyWishes::default()
        };
        let mut parties = [Srtp::default(), Srtp::default()];
        let wishes = [&wishes, &KeyWishes::default()];
        exchange(&mut parties, (&offered, Some(0)), wishes, &mut rng);
        let [offerer, answerer] = parties;
        assert_eq!(answerer.agreed.unwrap().receive.suite, short);
        assert_eq!(offerer.agreed.unwrap().receive, offered[1].crypto);
    }
}

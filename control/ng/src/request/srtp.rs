//! What a request says of keys of SRTP: `SDES` and `OSRTP`.
//!
//! Both are lists, and each word of them may stand among the flags with the name of the list in
//! front: `SDES: [no-NULL_HMAC_SHA1_80, pad]` is `SDES-no-NULL_HMAC_SHA1_80 SDES-pad`.

use super::given::Given;
use super::{Negotiation, encode, insert};
use crate::flags::{Dtls, Flag, Osrtp, SdesWord, Word, Words};
use crate::{Dictionary, Value, word};

/// Names of suites that one list holds; there are not half as many.
pub const SUITES_MAX: usize = 32;

/// What is to become of keys in descriptions (RFC 4568). Suites are named as there; names that
/// nobody knows are kept too, since a list of nothing else is not an empty one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sdes<'a> {
    /// What is a word and no list.
    pub words: Words<SdesWord>,
    /// Nothing else may be used. Empty: everything may.
    pub only: Vec<&'a [u8]>,
    /// Not to be used, unless [`Self::only`] says what is.
    pub no: Vec<&'a [u8]>,
    /// These come first where keys are offered.
    pub order: Vec<&'a [u8]>,
    /// Which of its own suites who made the offer is to be answered with, the best first.
    pub offerer_order: Vec<&'a [u8]>,
}

impl<'a> Sdes<'a> {
    /// Takes one word of the list. `false` if it says nothing.
    fn read(&mut self, text: &'a [u8]) -> bool {
        if let Some(word) = SdesWord::find_short(text) {
            self.words.insert(word);
            return true;
        }
        let lists: [(&[u8], &mut Vec<&'a [u8]>); 4] = [
            (b"only-", &mut self.only),
            (b"no-", &mut self.no),
            (b"order:", &mut self.order),
            (b"offerer-pref:", &mut self.offerer_order),
        ];
        for (prefix, list) in lists {
            if let Some(names) = without_prefix(text, prefix) {
                let names = names.split(|&b| b == b';').map(<[u8]>::trim_ascii);
                let names = names.filter(|name| !name.is_empty());
                let room = SUITES_MAX.saturating_sub(list.len());
                let before = list.len();
                list.extend(names.take(room));
                return list.len() > before;
            }
        }
        false
    }

    /// As the list of a request.
    fn words(&self) -> Vec<Value<'a>> {
        let mut words: Vec<_> = self.words.iter().map(|it| Value::from(it.name())).collect();
        for (prefix, names) in [(&b"only-"[..], &self.only), (b"no-", &self.no)] {
            words.extend(names.iter().map(|it| Value::from([prefix, it].concat())));
        }
        for (prefix, names) in [
            (&b"order:"[..], &self.order),
            (b"offerer_pref:", &self.offerer_order),
        ] {
            if !names.is_empty() {
                words.push([prefix, &names.join(&b';')].concat().into());
            }
        }
        words
    }
}

impl<'a> Negotiation<'a> {
    /// `SDES`. `false` if any of it says nothing.
    pub(super) fn read_sdes(&mut self, value: Given<'a>) -> bool {
        let mut count = 0;
        let mut says_all = true;
        for word in value.words() {
            count += 1;
            says_all &= self.read_sdes_word(word);
        }
        says_all && count > 0
    }

    /// `DTLS`. `false` if any of it says nothing.
    pub(super) fn read_dtls(&mut self, value: Given<'a>) -> bool {
        let mut count = 0;
        let mut says_all = true;
        for word in value.words() {
            count += 1;
            says_all &= self.read_dtls_word(word);
        }
        says_all && count > 0
    }

    fn read_dtls_word(&mut self, text: &[u8]) -> bool {
        let word = Dtls::find_short(text);
        if let Some(word) = word {
            self.dtls.insert(word);
        }
        word.is_some()
    }

    fn read_sdes_word(&mut self, text: &'a [u8]) -> bool {
        if word::same(text, b"pad") {
            self.flags.insert(Flag::PadCrypto);
            return true;
        }
        self.sdes.read(text)
    }

    /// A flag that is a word of either list. `None` if it is none.
    pub(super) fn read_srtp_flag(&mut self, flag: &'a [u8]) -> Option<bool> {
        if let Some(text) = without_prefix(flag, b"SDES-") {
            return Some(self.read_sdes_word(text));
        }
        if let Some(text) = without_prefix(flag, b"DTLS-fingerprint-") {
            self.dtls_fingerprint = Some(text);
            return Some(true);
        }
        for prefix in [&b"DTLS-reverse-"[..], b"DTLS-"] {
            if let Some(text) = without_prefix(flag, prefix) {
                return Some(self.read_dtls_word(text));
            }
        }
        let text = without_prefix(flag, b"OSRTP-")?;
        Some(insert::<Osrtp>(&mut self.osrtp, text))
    }

    pub(super) fn write_srtp(&self, to: &mut Dictionary<'a>) {
        let words = self.sdes.words();
        if !words.is_empty() {
            to.push(&b"SDES"[..], words);
        }
        encode::words(to, "OSRTP", self.osrtp);
        encode::words(to, "DTLS", self.dtls);
        encode::optional(to, "DTLS-fingerprint", self.dtls_fingerprint);
    }
}

/// What follows a beginning, in any spelling of that.
fn without_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    word::same(start, prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&'static str]) -> (Sdes<'static>, usize) {
        let mut sdes = Sdes::default();
        let said = words.iter().filter(|it| sdes.read(it.as_bytes()));
        let count = said.count();
        (sdes, count)
    }

    #[test]
    fn suites_are_named_one_by_one_or_in_their_order() {
        let (sdes, count) = read(&[
            "no-AES_CM_128_HMAC_SHA1_32",
            "only-AEAD_AES_256_GCM",
            "NO_F8_128_HMAC_SHA1_80",
            "order:A; B;;C",
            "offerer_pref:D;E",
            "nonew",
        ]);
        assert_eq!(count, 6);
        let no = [&b"AES_CM_128_HMAC_SHA1_32"[..], b"F8_128_HMAC_SHA1_80"];
        assert_eq!(sdes.no, no);
        assert_eq!(sdes.only, [b"AEAD_AES_256_GCM"]);
        assert_eq!(sdes.order, [b"A", b"B", b"C"]);
        assert_eq!(sdes.offerer_order, [b"D", b"E"]);
        assert_eq!(sdes.words, Words::default().with(SdesWord::NoNew));
    }

    #[test]
    fn no_list_grows_without_end() {
        let names = ["no-x"; 2 * SUITES_MAX];
        assert_eq!(read(&names).0.no.len(), SUITES_MAX);
        let many: &'static str = Box::leak("x;".repeat(2 * SUITES_MAX).into_boxed_str());
        let order: &'static str = Box::leak(format!("order:{many}").into_boxed_str());
        assert_eq!(read(&[order]).0.order.len(), SUITES_MAX);
    }

    #[test]
    fn what_names_nothing_says_nothing() {
        let (sdes, count) = read(&["", "no-", "only-", "order:", "order:;", "x", "nonews"]);
        assert_eq!((sdes, count), (Sdes::default(), 0));
    }
}

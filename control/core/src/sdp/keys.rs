//! Keys of SRTP in descriptions: `a=crypto` (RFC 4568).
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNf…|2^20|1:4 UNENCRYPTED_SRTCP
//!          tag  suite                       key and salt, lifetime, identifier:length, parameters
//! ```
//!
//! A line that cannot be carried out is none, as with the peer: of a suite or a parameter that nobody
//! here knows (RFC 4568 §6.3.7), or with a key of another length. Of several keys in a line only the
//! first is used. How long a key lasts is not kept: nobody here would count.

use relay_wire::{CRYPTO_IDENTIFIER_BYTES_MAX, Crypto, CryptoSuite, Secret};
use serde::{Deserialize, Serialize};

use crate::base64;
use crate::digits::push_number;

/// Lines of one section that are read.
pub(crate) const KEYS_MAX: usize = 24;

/// Digits of a tag (RFC 4568 §9.1).
const TAG_DIGITS_MAX: usize = 9;

/// The exponent of the longest lifetime there is (RFC 3711 §9.2).
const LIFETIME_BITS_MAX: u32 = 48;

/// One line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct KeyLine {
    /// By which an answer names it.
    pub(crate) tag: u32,
    pub(crate) crypto: Crypto,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeyStyle {
    /// With `=` at the end of keys.
    pub(crate) is_padded: bool,
    /// With the lifetime that all suites have (RFC 3711 §9.2).
    pub(crate) has_lifetime: bool,
}

impl KeyLine {
    /// What stands behind `a=crypto:`.
    pub(crate) fn parse(argument: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(argument).ok()?;
        let mut words = text.split_ascii_whitespace();
        let tag = tag(words.next()?)?;
        let suite = CryptoSuite::from_name(words.next()?)?;
        let key = words.next()?.split(';').next()?;
        let (method, key) = key.split_at_checked("inline:".len())?;
        if !method.eq_ignore_ascii_case("inline:") {
            return None;
        }
        let mut crypto = read_key(suite, key)?;
        for parameter in words {
            note(&mut crypto, parameter)?;
        }
        crypto.check().ok()?;
        Some(Self { tag, crypto })
    }

    /// What stands behind `a=`.
    pub(crate) fn write(&self, style: KeyStyle) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        out.extend_from_slice(b"crypto:");
        push_number(self.tag, &mut out);
        let crypto = &self.crypto;
        for part in [" ", crypto.suite.name(), " inline:"] {
            out.extend_from_slice(part.as_bytes());
        }
        let key = base64::write(crypto.key_and_salt.as_bytes(), style.is_padded);
        out.extend_from_slice(key.as_bytes());
        if style.has_lifetime {
            out.extend_from_slice(b"|2^31");
        }
        if !crypto.identifier.is_empty() {
            let number = identifier_number(&crypto.identifier);
            let text = format!("|{number}:{}", crypto.identifier.len());
            out.extend_from_slice(text.as_bytes());
        }
        for (is_said, name) in [
            (crypto.rtp_is_clear, " UNENCRYPTED_SRTP"),
            (crypto.rtcp_is_clear, " UNENCRYPTED_SRTCP"),
            (crypto.rtp_is_unauthenticated, " UNAUTHENTICATED_SRTP"),
        ] {
            if is_said {
                out.extend_from_slice(name.as_bytes());
            }
        }
        out
    }
}

fn tag(word: &str) -> Option<u32> {
    let is_one = (1..=TAG_DIGITS_MAX).contains(&word.len());
    word.parse()
        .ok()
        .filter(|_| is_one && word.bytes().all(|b| b.is_ascii_digit()))
}

/// `KEY==|2^20|1:4`
fn read_key(suite: CryptoSuite, text: &str) -> Option<Crypto> {
    let mut parts = text.split('|');
    let key = base64::read(parts.next()?.as_bytes())?;
    let mut crypto = Crypto::new(suite, Secret::new(key));
    let mut has_lifetime = false;
    for part in parts.filter(|it| !it.is_empty()) {
        match part.split_once(':') {
            Some((number, len)) if crypto.identifier.is_empty() => {
                crypto.identifier = identifier(number, len)?;
            }
            None if !has_lifetime && crypto.identifier.is_empty() && is_lifetime(part) => {
                has_lifetime = true;
            }
            _ => return None,
        }
    }
    Some(crypto)
}

/// `2^20`, or as many packets.
fn is_lifetime(text: &str) -> bool {
    match text.strip_prefix("2^") {
        Some(bits) => bits
            .parse()
            .is_ok_and(|bits: u32| (1..=LIFETIME_BITS_MAX).contains(&bits)),
        None => text
            .parse()
            .is_ok_and(|packets: u64| (1..=1 << LIFETIME_BITS_MAX).contains(&packets)),
    }
}

/// A number in so many bytes, the highest first. One that does not fit is none.
fn identifier(number: &str, len: &str) -> Option<Vec<u8>> {
    let len: usize = len.parse().ok()?;
    let number: u128 = number.parse().ok()?;
    let bytes = number.to_be_bytes();
    let mut identifier = vec![
        0;
        len.checked_sub(1)
            .filter(|it| *it < CRYPTO_IDENTIFIER_BYTES_MAX)?
            + 1
    ];
    let zeros = bytes.len().saturating_sub(len);
    if bytes.iter().take(zeros).any(|b| *b != 0) {
        return None;
    }
    let start = len.saturating_sub(bytes.len());
    identifier[start..].copy_from_slice(&bytes[zeros..]);
    Some(identifier)
}

fn identifier_number(identifier: &[u8]) -> u128 {
    identifier
        .iter()
        .fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

/// A session parameter (RFC 4568 §6.3). `None`: it says what is not done here.
fn note(crypto: &mut Crypto, parameter: &str) -> Option<()> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    match name {
        "UNENCRYPTED_SRTP" => crypto.rtp_is_clear = true,
        "UNENCRYPTED_SRTCP" => crypto.rtcp_is_clear = true,
        "UNAUTHENTICATED_SRTP" => crypto.rtp_is_unauthenticated = true,
        // Keys are derived once.
        "KDR" if value != "0" => return None,
        "KDR" | "WSH" => {}
        _ if name.starts_with('-') => {}
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHORT: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn again(line: &str) -> Option<String> {
        let style = KeyStyle {
            is_padded: true,
            has_lifetime: false,
        };
        let line = KeyLine::parse(line.as_bytes())?;
        String::from_utf8(line.write(style)).ok()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|2^20|1:4 FEC_ORDER=FEC_SRTP");
        assert_eq!(again(&line), None, "what is not done is not promised");
        let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|2^20|1:4");
        let read = KeyLine::parse(line.as_bytes()).unwrap();
        assert_eq!(
            (read.tag, &read.crypto.identifier[..]),
            (1, &[0, 0, 0, 1][..])
        );
        assert_eq!(&read.crypto.key_and_salt.as_bytes()[..4], b"YS__");
        let line = format!("2 F8_128_HMAC_SHA1_80 inline:{SHORT}|1:4;inline:{SHORT}|2:4 WSH=64");
        let expected = format!("crypto:2 F8_128_HMAC_SHA1_80 inline:{SHORT}|1:4");
        assert_eq!(again(&line), Some(expected));
    }

    #[test]
    fn parameters_go_on() {
        let all = "UNENCRYPTED_SRTP UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP";
        let line = format!("7 NULL_HMAC_SHA1_80 inline:{SHORT} {all}");
        let with_more = format!("{line} -x=1 KDR=0 WSH=128");
        let expected = Some(format!("crypto:{line}"));
        assert_eq!(again(&line), expected);
        assert_eq!(again(&with_more), expected);
    }

    #[test]
    fn an_identifier_may_be_longer_than_its_number() {
        let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|1:32");
        assert_eq!(again(&line), Some(format!("crypto:{line}")));
        let read = KeyLine::parse(line.as_bytes()).unwrap();
        assert_eq!(read.crypto.identifier.len(), 32);
        for identifier in [
            "256:1", "1:0", "1:129", "-1:4", "x:4", ":4", "1:", "1:4|1:4",
        ] {
            let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|{identifier}");
            assert_eq!(again(&line), None, "{identifier}");
        }
        let most = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|255:1");
        assert!(again(&most).is_some());
    }

    #[test]
    fn what_cannot_be_carried_out_is_no_line() {
        let lines = [
            String::new(),
            "1".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            format!("1 AES_CM_128_HMAC_SHA1_81 inline:{SHORT}"),
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{SHORT}"),
            format!("+1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}"),
            format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 outline:{SHORT}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}AAAA"),
            format!("1 AES_256_CM_HMAC_SHA1_80 inline:{SHORT}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &SHORT[4..]),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}!", &SHORT[1..]),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|2^49"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}|2^20|2^20"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT} KDR=4"),
            format!(
                "1 AEAD_AES_128_GCM inline:{} UNENCRYPTED_SRTP",
                &SHORT[..38]
            ),
        ];
        for line in lines {
            assert_eq!(again(&line), None, "{line}");
        }
    }

    #[test]
    fn no_log_shows_a_key() {
        let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{SHORT}");
        let line = KeyLine::parse(line.as_bytes()).unwrap();
        let shown = format!("{line:?}");
        assert!(
            shown.contains("AesCm128") && !shown.contains("89, 83"),
            "{shown}"
        );
    }

    pub(crate) fn any_line() -> impl Strategy<Value = KeyLine> {
        let parts = (
            prop::sample::select(&CryptoSuite::ALL[..]),
            prop::collection::vec(any::<u8>(), 46),
            prop::collection::vec(any::<u8>(), 0..16),
            any::<[bool; 3]>(),
            1..1_000_000_000_u32,
        );
        parts.prop_map(|(suite, mut key, identifier, flags, tag)| {
            key.truncate(suite.key_and_salt_len());
            let mut crypto = Crypto::new(suite, Secret::new(key));
            crypto.identifier = identifier;
            [
                crypto.rtp_is_clear,
                crypto.rtcp_is_clear,
                crypto.rtp_is_unauthenticated,
            ] = flags.map(|it| it && !suite.is_aead());
            KeyLine { tag, crypto }
        })
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(
            line in any_line(),
            is_padded: bool,
            has_lifetime: bool,
        ) {
            let text = line.write(KeyStyle { is_padded, has_lifetime });
            let argument = text.strip_prefix(b"crypto:").unwrap();
            prop_assert_eq!(KeyLine::parse(argument), Some(line));
        }

        #[test]
        fn any_bytes_are_a_line_or_none(bytes in any::<Vec<u8>>()) {
            crate::fuzz::keys(&bytes);
        }

        #[test]
        fn a_line_that_was_touched_is_a_line_or_none(
            line in any_line(),
            at in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            let mut text = line.write(KeyStyle::default());
            let at = at.index(text.len());
            text[at] = byte;
            crate::fuzz::keys(text.strip_prefix(b"crypto:").unwrap_or(&text));
        }
    }
}

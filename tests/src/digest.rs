//! Digest authentication (RFC 7616), as a phone answers a challenge.

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::sip::token;

/// Somebody's place at a registrar.
#[derive(Clone, Debug)]
pub struct Account {
    /// User part of the address.
    pub user: String,
    /// The secret.
    pub password: String,
    /// Host part of the address.
    pub domain: String,
}

impl Account {
    /// The address of record.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }
}

/// The digest algorithms of RFC 7616 that a phone may know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HashKind {
    /// As every phone has it.
    Md5,
    /// RFC 8760.
    Sha256,
}

impl HashKind {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hex(self, text: &str) -> String {
        let digest = match self {
            Self::Md5 => Md5::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
        };
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Answers the first challenge of the chosen algorithm (RFC 7616 §3.4.1, with `qop=auth`).
///
/// # Panics
///
/// When there is no such challenge, or it lacks something.
#[track_caller]
pub(crate) fn credentials(
    account: &Account,
    hash: HashKind,
    challenges: &[&str],
    method: &str,
    target: &str,
) -> String {
    let is_chosen = |challenge: &&&str| {
        let algorithm = digest_parameter(challenge, "algorithm");
        algorithm.unwrap_or("MD5") == hash.name()
    };
    let Some(challenge) = challenges.iter().find(is_chosen) else {
        panic!("no challenge with {}: {challenges:?}", hash.name());
    };
    let must = |name| {
        digest_parameter(challenge, name)
            .unwrap_or_else(|| panic!("no {name} in the challenge {challenge}"))
    };
    let (realm, nonce) = (must("realm"), must("nonce"));
    let (user, password) = (&account.user, &account.password);
    let (cnonce, count) = (token(), "00000001");
    let ha1 = hash.hex(&format!("{user}:{realm}:{password}"));
    let ha2 = hash.hex(&format!("{method}:{target}"));
    let response = hash.hex(&format!("{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}"));
    let opaque = digest_parameter(challenge, "opaque")
        .map_or_else(String::new, |opaque| format!(", opaque=\"{opaque}\""));
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{target}\", \
         response=\"{response}\", algorithm={}, cnonce=\"{cnonce}\", qop=auth, nc={count}{opaque}",
        hash.name()
    )
}

/// A parameter of a challenge, without its quotes.
fn digest_parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let parameters = challenge.strip_prefix("Digest ")?.split(',');
    let mut pairs = parameters.filter_map(|parameter| parameter.trim().split_once('='));
    pairs
        .find(|(other, _)| *other == name)
        .map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1.
    #[test]
    fn answers_a_challenge_as_the_rfc_does() {
        for (hash, expected) in [
            (HashKind::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                HashKind::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let ha1 = hash.hex("Mufasa:http-auth@example.org:Circle of Life");
            let ha2 = hash.hex("GET:/dir/index.html");
            let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let response = hash.hex(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
            assert_eq!(response, expected);
        }
    }

    #[test]
    fn finds_the_parameters_of_a_challenge() {
        let challenge = "Digest realm=\"a b\", algorithm=MD5, qop=\"auth\",nonce=\"x=y\"";
        assert_eq!(digest_parameter(challenge, "realm"), Some("a b"));
        assert_eq!(digest_parameter(challenge, "nonce"), Some("x=y"));
        assert_eq!(digest_parameter(challenge, "opaque"), None);
    }
}

//! Answers to digest challenges (RFC 7616 §3.4, with MD5 or SHA-256).

use md5::{Digest, Md5};
use sha2::Sha256;

/// A challenge, as far as an answer needs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    has_qop_auth: bool,
    is_sha256: bool,
}

/// Who answers, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) cnonce: &'a str,
}

impl Challenge {
    /// Reads the value of WWW-Authenticate or Proxy-Authenticate. `None` if it is not one that we
    /// can answer.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let (scheme, rest) = text.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let algorithm = param(rest, "algorithm").unwrap_or_else(|| "MD5".to_owned());
        let is_sha256 = algorithm.eq_ignore_ascii_case("SHA-256");
        if !is_sha256 && !algorithm.eq_ignore_ascii_case("MD5") {
            return None;
        }
        let qop = param(rest, "qop");
        let has_qop_auth = qop
            .as_deref()
            .is_some_and(|it| it.split(',').any(|it| it.trim() == "auth"));
        if qop.is_some() && !has_qop_auth {
            return None;
        }
        Some(Self {
            realm: param(rest, "realm")?,
            nonce: param(rest, "nonce")?,
            opaque: param(rest, "opaque"),
            has_qop_auth,
            is_sha256,
        })
    }

    /// The value of Authorization or Proxy-Authorization.
    pub(super) fn answer(&self, request: &Request<'_>) -> String {
        let Request {
            user,
            password,
            method,
            uri,
            cnonce,
        } = request;
        let (realm, nonce) = (&self.realm, &self.nonce);
        let ha1 = self.hash(&format!("{user}:{realm}:{password}"));
        let ha2 = self.hash(&format!("{method}:{uri}"));
        let (response, qop) = if self.has_qop_auth {
            let all = format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}");
            let qop = format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\"");
            (self.hash(&all), qop)
        } else {
            (self.hash(&format!("{ha1}:{nonce}:{ha2}")), String::new())
        };
        let algorithm = if self.is_sha256 { "SHA-256" } else { "MD5" };
        let opaque = self.opaque.as_ref();
        let opaque = opaque.map_or_else(String::new, |it| format!(", opaque=\"{it}\""));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={algorithm}{qop}{opaque}"
        )
    }

    fn hash(&self, text: &str) -> String {
        if self.is_sha256 {
            hex(&Sha256::digest(text))
        } else {
            hex(&Md5::digest(text))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One parameter of a challenge, without its quotes.
fn param(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|it: char| it == ',' || it.is_whitespace());
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: Request<'_> = Request {
        user: "Mufasa",
        password: "Circle of Life",
        method: "GET",
        uri: "/dir/index.html",
        cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    };

    fn response(algorithm: &str) -> String {
        let value = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let answer = Challenge::read(value.as_bytes()).unwrap().answer(&REQUEST);
        param(answer.strip_prefix("Digest ").unwrap(), "response").unwrap()
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn answers_as_the_example_of_the_rfc() {
        assert_eq!(response("MD5"), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            response("SHA-256"),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        for value in [
            "Basic realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest nonce=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=MD5-sess",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
            "Digest",
            "",
        ] {
            assert_eq!(Challenge::read(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_panics(value: Vec<u8>) {
            let _ = Challenge::read(&value);
        }
    }
}

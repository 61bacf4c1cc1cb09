//! Digest credentials (RFC 7616 §3.4, RFC 8760).

use std::borrow::Cow;
use std::fmt;

use crate::header::scan::{Cursor, is_lws, trim};
use crate::header::{HeaderError, HeaderId};
use crate::limits::PARAM_COUNT_MAX;

/// Digest credentials of Authorization or Proxy-Authorization. Quoted strings are unquoted;
/// parameters that we do not know are passed over.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials<'a> {
    /// Who it says it is.
    pub username: Cow<'a, [u8]>,
    /// For which realm.
    pub realm: Cow<'a, [u8]>,
    /// Ours, if it did not make it up.
    pub nonce: Cow<'a, [u8]>,
    /// The URI that went into the hash.
    pub uri: Cow<'a, [u8]>,
    /// Hex, as written.
    pub response: Cow<'a, [u8]>,
    /// [`Algorithm::Md5`] if it is not there.
    pub algorithm: Algorithm,
    /// `None` is RFC 2069.
    pub qop: Option<Qop>,
    /// With `qop`.
    pub cnonce: Option<Cow<'a, [u8]>>,
    /// With `qop`: how often the nonce was used, as the eight digits written.
    pub nc: Option<&'a [u8]>,
    /// Ours, if it did not make it up.
    pub opaque: Option<Cow<'a, [u8]>>,
}

/// The hash of digest authentication.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// RFC 7616; here for phones that know no other.
    Md5,
    /// Session variant of [`Self::Md5`].
    Md5Sess,
    /// Any other.
    Other,
    /// RFC 7616.
    Sha256,
    /// Session variant of [`Self::Sha256`].
    Sha256Sess,
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Qop {
    /// Method and URI are hashed.
    Auth,
    /// The body too.
    AuthInt,
    /// Any other.
    Other,
}

impl<'a> Credentials<'a> {
    /// Parses a header value; `None` if its scheme is not Digest.
    ///
    /// # Errors
    /// If a parameter that must be there is not, or one is there twice.
    pub fn parse(id: HeaderId, value: &'a [u8]) -> Result<Option<Self>, HeaderError> {
        let malformed = HeaderError::Malformed(id);
        let mut cursor = Cursor::new(trim(value));
        let scheme = cursor.token().ok_or(malformed)?;
        if !scheme.eq_ignore_ascii_case(b"Digest") {
            return Ok(None);
        }
        if !cursor.peek().is_some_and(is_lws) {
            return Err(malformed);
        }
        let parts = Parts::read(cursor).ok_or(malformed)?;
        Self::from_parts(parts).ok_or(malformed).map(Some)
    }

    /// The nonce count, as a number.
    #[must_use]
    pub fn nonce_count(&self) -> Option<u32> {
        let digits = self.nc.filter(|digits| digits.len() == 8)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    fn from_parts(parts: Parts<'a>) -> Option<Self> {
        let [
            username,
            realm,
            nonce,
            uri,
            response,
            algorithm,
            qop,
            cnonce,
            nc,
            opaque,
        ] = parts.0;
        Some(Self {
            username: unquote(username?)?,
            realm: unquote(realm?)?,
            nonce: unquote(nonce?)?,
            uri: unquote(uri?)?,
            response: unquote(response?)?,
            algorithm: match algorithm {
                None => Algorithm::Md5,
                Some(name) => Algorithm::from_name(&unquote(name)?),
            },
            qop: match qop {
                None => None,
                Some(name) => Some(Qop::from_name(&unquote(name)?)),
            },
            cnonce: cnonce.map_or(Some(None), |value| unquote(value).map(Some))?,
            nc,
            opaque: opaque.map_or(Some(None), |value| unquote(value).map(Some))?,
        })
    }
}

impl Algorithm {
    /// As it stands in a challenge; empty for [`Self::Other`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Other => "",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
        }
    }

    fn from_name(name: &[u8]) -> Self {
        [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess]
            .into_iter()
            .find(|algorithm| algorithm.name().as_bytes().eq_ignore_ascii_case(name))
            .unwrap_or(Self::Other)
    }
}

impl Qop {
    fn from_name(name: &[u8]) -> Self {
        if name.eq_ignore_ascii_case(b"auth") {
            Self::Auth
        } else if name.eq_ignore_ascii_case(b"auth-int") {
            Self::AuthInt
        } else {
            Self::Other
        }
    }
}

/// The parameters that we know, in the order of [`Parts::NAMES`], as written.
struct Parts<'a>([Option<&'a [u8]>; 10]);

impl<'a> Parts<'a> {
    const NAMES: [&'static str; 10] = [
        "username",
        "realm",
        "nonce",
        "uri",
        "response",
        "algorithm",
        "qop",
        "cnonce",
        "nc",
        "opaque",
    ];

    /// Reads `name=value, name=value …` to the end.
    fn read(mut cursor: Cursor<'a>) -> Option<Self> {
        let mut parts = Self([None; 10]);
        for _ in 0..PARAM_COUNT_MAX {
            cursor.skip_lws();
            let name = cursor.token()?;
            if !cursor.eat_separator(b'=') {
                return None;
            }
            let value = match cursor.peek()? {
                b'"' => cursor.quoted()?,
                _ => cursor.take_while(is_bare),
            };
            if value.is_empty() {
                return None;
            }
            parts.keep(name, value)?;
            cursor.skip_lws();
            if cursor.rest().is_empty() {
                return Some(parts);
            }
            if !cursor.eat(b',') {
                return None;
            }
        }
        None
    }

    /// Keeps a parameter that we know; `None` if it is the second of its name.
    fn keep(&mut self, name: &[u8], value: &'a [u8]) -> Option<()> {
        let known = Self::NAMES
            .iter()
            .position(|known| known.as_bytes().eq_ignore_ascii_case(name));
        match known {
            Some(number) => self.0[number].replace(value).is_none().then_some(()),
            None => Some(()),
        }
    }
}

/// What stands without quotes: tokens, and what some phones do not quote.
const fn is_bare(byte: u8) -> bool {
    !is_lws(byte) && !matches!(byte, b',' | b'"')
}

/// Without quotes and escapes; as it is if it has no quotes. `None` if a quoted string would
/// hold a line end or a NUL, which no account has in its name.
fn unquote(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let [b'"', inner @ .., b'"'] = value else {
        return Some(Cow::Borrowed(value));
    };
    if inner.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return None;
    }
    if !inner.contains(&b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' {
            *bytes.next()?
        } else {
            *byte
        });
    }
    Some(Cow::Owned(plain))
}

/// Without the response and the nonces: they are as good as a password for a while.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("username", &String::from_utf8_lossy(&self.username))
            .field("realm", &String::from_utf8_lossy(&self.realm))
            .field("algorithm", &self.algorithm)
            .field("qop", &self.qop)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &[u8] = b"Digest username=\"al\\\"ice\", realm=\"tandem\", nonce=\"abc,d\",\r\n uri=\"sip:h\", response=\"0123\", algorithm=SHA-256, cnonce=\"x\", qop=auth, nc=0000000a, opaque=\"o\", foo=\"b,ar\"";

    fn parse(value: &[u8]) -> Result<Option<Credentials<'_>>, HeaderError> {
        Credentials::parse(HeaderId::Authorization, value)
    }

    #[test]
    fn reads_every_parameter() {
        let credentials = parse(FULL).unwrap().unwrap();
        assert_eq!(*credentials.username, *b"al\"ice");
        assert_eq!(*credentials.nonce, *b"abc,d");
        assert_eq!(*credentials.uri, *b"sip:h");
        assert_eq!(credentials.algorithm, Algorithm::Sha256);
        assert_eq!(credentials.qop, Some(Qop::Auth));
        assert_eq!(credentials.nonce_count(), Some(10));
        assert_eq!(credentials.opaque.as_deref(), Some(&b"o"[..]));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let credentials = parse(FULL).unwrap().unwrap();
        let debug = format!("{credentials:?}");
        assert!(debug.contains("al\\\"ice") && !debug.contains("0123") && !debug.contains("abc,d"));
    }

    #[test]
    fn old_phones_send_no_qop_and_odd_quotes() {
        let value = b"digest username=u,realm=\"\",nonce=n==,uri=sip:h,response=\"r\",qop=\"auth\",algorithm=\"md5\"";
        let credentials = parse(value).unwrap().unwrap();
        assert_eq!(*credentials.realm, *b"");
        assert_eq!(*credentials.nonce, *b"n==");
        assert_eq!(
            (credentials.algorithm, credentials.qop),
            (Algorithm::Md5, Some(Qop::Auth))
        );
        assert_eq!(credentials.nonce_count(), None);
    }

    #[test]
    fn other_schemes_are_passed_over() {
        assert_eq!(parse(b"NoOneKnowsThisScheme opaque-data=here"), Ok(None));
        assert_eq!(parse(b"Basic dXNlcjpwYXNz"), Ok(None));
    }

    #[test]
    fn refuses_incomplete_doubled_and_broken() {
        let text = String::from_utf8(FULL.to_vec()).unwrap();
        for name in ["username", "realm", "nonce", "uri", "response"] {
            let without = text.replacen(&format!("{name}="), "other=", 1);
            assert!(parse(without.as_bytes()).is_err(), "without {name}");
        }
        for name in Parts::NAMES {
            let doubled = format!("{text}, {name}=\"x\", {name}=\"x\"");
            assert!(parse(doubled.as_bytes()).is_err(), "two of {name}");
        }
        for value in [
            &b""[..],
            b"Digest",
            b"Digest ",
            b"Digest username",
            b"Digest ,",
        ] {
            assert!(parse(value).is_err(), "{value:?}");
        }
        for end in ["\"", ",", ", x", ", x=", ", x=\"", " y=z"] {
            assert!(parse(format!("{text}{end}").as_bytes()).is_err(), "{end}");
        }
    }
}

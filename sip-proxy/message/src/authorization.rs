//! Digest credentials (RFC 7616 §3.4, RFC 8760).

use std::borrow::Cow;
use std::fmt;

use crate::header::{HeaderError, HeaderId};

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
    /// Parses a header value.
    ///
    /// # Errors
    /// If the scheme is not Digest, a parameter that must be there is not, or one is there twice.
    pub fn parse(_id: HeaderId, _value: &'a [u8]) -> Result<Self, HeaderError> {
        todo!()
    }

    /// The nonce count, as a number.
    #[must_use]
    pub fn nonce_count(&self) -> Option<u32> {
        todo!()
    }
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

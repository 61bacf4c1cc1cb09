//! Digest authentication without a table of challenges (RFC 7616, RFC 8760, RFC 3261 §22).
//!
//! A nonce carries its own proof ([`nonce`]), so challenging costs no memory; only nonces that
//! were answered rightly are remembered, to refuse replays ([`replay`]). Whoever does not know a
//! password learns nothing: an unknown user costs the same work and gets the same answer.
//!
//! The URI that a phone hashed is not compared with that of its request: many phones, SIPp among
//! them, hash another one. What it would defend against, taking credentials from one request to
//! another, the nonce count prevents but for a request that never arrived.

mod nonce;
mod replay;

use std::net::IpAddr;

use md5::Md5;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use sip_proxy_message::{Algorithm, Credentials, Method, Qop};
use subtle::ConstantTimeEq;

use crate::interface::Account;
use crate::secret::{Secret, hex, write_hex};
use nonce::{Nonces, Validity};
use replay::Replays;

/// Challenges, and checks the answers.
#[derive(Debug)]
pub(crate) struct Authenticator {
    realm: String,
    nonces: Nonces,
    replays: Replays,
    /// By user. The operator chose the names, so they cannot be made to collide.
    accounts: FxHashMap<String, Account>,
    /// Stands for the HA1 of users that are not there.
    nobody: String,
}

/// What credentials are worth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// They are those of this account.
    Accepted(String),
    /// They are not; or there are none.
    Challenge {
        /// The password is right, but the nonce too old: the phone need not ask its user again.
        is_stale: bool,
    },
}

/// The request that credentials came with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) unix_ms: u64,
    pub(crate) source: IpAddr,
    pub(crate) method: Method<'a>,
}

impl Authenticator {
    pub(crate) fn new(realm: String, secret: Secret) -> Self {
        Self {
            realm,
            nobody: hex(&secret.long_code("nobody", &[])),
            nonces: Nonces::new(secret),
            replays: Replays::default(),
            accounts: FxHashMap::default(),
        }
    }

    pub(crate) fn replace_accounts(&mut self, accounts: Vec<Account>) {
        self.accounts = accounts
            .into_iter()
            .map(|account| (account.user.clone(), account))
            .collect();
    }

    pub(crate) fn is_account(&self, user: &str) -> bool {
        self.accounts.contains_key(user)
    }

    /// Whether these credentials are for us at all, and not for the next proxy.
    pub(crate) fn is_for_us(&self, credentials: &Credentials<'_>) -> bool {
        credentials.realm.as_ref() == self.realm.as_bytes()
    }

    /// Checks the first credentials of our realm.
    pub(crate) fn verify<'a>(
        &mut self,
        asker: Asker<'_>,
        mut credentials: impl Iterator<Item = Credentials<'a>>,
    ) -> Verdict {
        let refused = Verdict::Challenge { is_stale: false };
        let Some(credentials) = credentials.find(|credentials| self.is_for_us(credentials)) else {
            return refused;
        };
        let Some(count) = credentials.nonce_count() else {
            return refused;
        };
        if credentials.qop != Some(Qop::Auth) {
            return refused;
        }
        let Some(user) = self.user_with_password(asker.method, &credentials) else {
            return refused;
        };
        let stale = Verdict::Challenge { is_stale: true };
        match self
            .nonces
            .check(asker.unix_ms, asker.source, &credentials.nonce)
        {
            Validity::Valid(nonce) if self.replays.accept(nonce, count) => Verdict::Accepted(user),
            Validity::Valid(_) | Validity::Invalid => stale,
        }
    }

    /// The values of the challenge's header fields, best algorithm first (RFC 8760 §2.4).
    ///
    /// Some phones in wide use give up when they meet an algorithm that they do not know, or
    /// look at the first challenge only; they are told by their User-Agent.
    pub(crate) fn challenges(
        &self,
        asker: Asker<'_>,
        salt: u64,
        is_stale: bool,
        user_agent: Option<&[u8]>,
    ) -> Vec<String> {
        let nonce = self.nonces.make(asker.unix_ms, asker.source, salt);
        let realm = &self.realm;
        let stale = if is_stale { ", stale=true" } else { "" };
        offered(user_agent)
            .iter()
            .map(|algorithm| {
                [
                    "Digest realm=\"",
                    realm,
                    "\", nonce=\"",
                    &nonce,
                    "\", algorithm=",
                    algorithm,
                    ", qop=\"auth\"",
                    stale,
                ]
                .concat()
            })
            .collect()
    }

    /// The user, if the response was made with its password. Takes the same time whoever it is.
    fn user_with_password(
        &self,
        method: Method<'_>,
        credentials: &Credentials<'_>,
    ) -> Option<String> {
        let user = str::from_utf8(&credentials.username);
        let account = user.ok().and_then(|user| self.accounts.get(user));
        let (ha1, hash): (_, Hash) = match credentials.algorithm {
            Algorithm::Md5 => (account.map(|account| &account.ha1_md5), md5_hex),
            Algorithm::Sha256 => (account.map(|account| &account.ha1_sha256), sha256_hex),
            Algorithm::Md5Sess | Algorithm::Sha256Sess | Algorithm::Other => return None,
        };
        let expected = response(ha1.unwrap_or(&self.nobody), hash, method, credentials)?;
        let mut given = [0; HASH_LEN_MAX * 2];
        let given = given.get_mut(..credentials.response.len())?;
        given.copy_from_slice(&credentials.response);
        given.make_ascii_lowercase();
        let is_right: bool = expected.digits().ct_eq(given).into();
        account
            .filter(|_| is_right)
            .map(|account| account.user.clone())
    }
}

/// Hashes parts with colons between them, to hex.
type Hash = fn(&[&[u8]]) -> HexHash;

/// Bytes of the longest hash.
const HASH_LEN_MAX: usize = 32;

/// A hash in hex.
struct HexHash {
    digits: [u8; HASH_LEN_MAX * 2],
    len: usize,
}

impl HexHash {
    fn new(hash: &[u8]) -> Self {
        let mut digits = [0; HASH_LEN_MAX * 2];
        write_hex(hash, &mut digits);
        Self {
            digits,
            len: hash.len() * 2,
        }
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

/// RFC 7616 §3.4.1 with `qop=auth`.
fn response(
    ha1: &str,
    hash: Hash,
    method: Method<'_>,
    credentials: &Credentials<'_>,
) -> Option<HexHash> {
    let ha2 = hash(&[method.name(), &credentials.uri]);
    Some(hash(&[
        ha1.as_bytes(),
        &credentials.nonce,
        credentials.nc?,
        credentials.cnonce.as_ref()?,
        b"auth",
        ha2.digits(),
    ]))
}

/// Libre before 3.0 (baresip 1 and 2) refuses a response that holds a challenge it does not know,
/// and SIPp before 3.7 aborts if the first one is not MD5.
const MD5_ONLY: [&[u8]; 4] = [b"baresip v0.", b"baresip v1.", b"baresip v2.", b"SIPp"];

fn offered(user_agent: Option<&[u8]>) -> &'static [&'static str] {
    match user_agent {
        Some(name) if MD5_ONLY.iter().any(|prefix| name.starts_with(prefix)) => &["MD5"],
        Some(_) => &["SHA-256", "MD5"],
        None => &["MD5", "SHA-256"],
    }
}

fn md5_hex(parts: &[&[u8]]) -> HexHash {
    HexHash::new(&joined(Md5::new(), parts))
}

fn sha256_hex(parts: &[&[u8]]) -> HexHash {
    HexHash::new(&joined(Sha256::new(), parts))
}

fn joined<D: Digest>(mut hash: D, parts: &[&[u8]]) -> sha2::digest::Output<D> {
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize()
}

#[cfg(test)]
pub(crate) mod tests;

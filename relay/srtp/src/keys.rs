//! Session keys of RTP or of RTCP, ready to be used.

use relay_wire::{Crypto, CryptoSuite};
use zeroize::Zeroizing;

use crate::cipher::{Aes, F8};
use crate::derive::{Derivation, Purpose};
use crate::transform::{Aead, Cipher, Salt, TAG_KEY_LEN, TAG_LEN_MAX, Tagger};

/// How packets of one kind are protected.
#[derive(Debug)]
pub(crate) enum Method {
    /// Encrypted, then authenticated.
    Split {
        cipher: Cipher,
        /// `None`: packets carry no tag.
        tagger: Option<Tagger>,
    },
    /// Both at once.
    Joined(Aead),
}

impl Method {
    /// Bytes of a tag.
    pub(crate) fn tag_len(&self) -> usize {
        match self {
            Self::Split { tagger, .. } => tagger.as_ref().map_or(0, |it| it.len),
            Self::Joined(_) => TAG_LEN_MAX,
        }
    }
}

/// What both directions have of one set of keys.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) rtp: Method,
    pub(crate) rtcp: Method,
    /// What each packet carries to say which key it is of; mostly nothing.
    pub(crate) identifier: Box<[u8]>,
}

impl Keys {
    /// `None` if they do not fit the suite.
    pub(crate) fn new(crypto: &Crypto) -> Option<Self> {
        crypto.check().ok()?;
        let (key, salt) = crypto
            .key_and_salt
            .as_bytes()
            .split_at_checked(crypto.suite.key_len())?;
        let derivation = Derivation::new(key, salt)?;
        Some(Self {
            rtp: rtp(crypto, &derivation)?,
            rtcp: rtcp(crypto, &derivation)?,
            identifier: crypto.identifier.clone().into(),
        })
    }
}

fn rtp(crypto: &Crypto, derivation: &Derivation) -> Option<Method> {
    let suite = crypto.suite;
    let key = derivation.derive(Purpose::RtpCipher, suite.key_len());
    let salt = derivation.derive(Purpose::RtpSalt, suite.salt_len());
    if suite.is_aead() {
        return joined(&key, &salt);
    }
    let tag_key = derivation.derive(Purpose::RtpTag, TAG_KEY_LEN);
    let tagger = match crypto.rtp_is_unauthenticated {
        true => None,
        false => Some(Tagger::new(&tag_key, rtp_tag_len(suite))?),
    };
    let cipher = cipher(suite, crypto.rtp_is_clear, &key, &salt)?;
    Some(Method::Split { cipher, tagger })
}

fn rtcp(crypto: &Crypto, derivation: &Derivation) -> Option<Method> {
    let suite = crypto.suite;
    let key = derivation.derive(Purpose::RtcpCipher, suite.key_len());
    let salt = derivation.derive(Purpose::RtcpSalt, suite.salt_len());
    if suite.is_aead() {
        return joined(&key, &salt);
    }
    let tag_key = derivation.derive(Purpose::RtcpTag, TAG_KEY_LEN);
    Some(Method::Split {
        // Each packet says whether it is encrypted.
        cipher: cipher(suite, false, &key, &salt)?,
        tagger: Some(Tagger::new(&tag_key, RTCP_TAG_LEN)?),
    })
}

fn joined(key: &[u8], salt: &[u8]) -> Option<Method> {
    Aead::new(key, padded(salt)?).map(Method::Joined)
}

fn cipher(suite: CryptoSuite, is_clear: bool, key: &[u8], salt: &[u8]) -> Option<Cipher> {
    Some(match suite {
        _ if is_clear => Cipher::Null,
        CryptoSuite::NullHmacSha1_80 | CryptoSuite::NullHmacSha1_32 => Cipher::Null,
        CryptoSuite::F8128HmacSha1_80 | CryptoSuite::F8128HmacSha1_32 => {
            Cipher::F8(Box::new(F8::new(key, salt)?))
        }
        _ => Cipher::Counter(Box::new(Aes::new(key)?), padded(salt)?),
    })
}

fn padded(salt: &[u8]) -> Option<Salt> {
    let mut padded = Zeroizing::new([0; 16]);
    padded.get_mut(..salt.len())?.copy_from_slice(salt);
    Some(padded)
}

/// Bytes of the tag of RTCP, which is never a short one (RFC 4568 §6.2.2).
const RTCP_TAG_LEN: usize = 10;

fn rtp_tag_len(suite: CryptoSuite) -> usize {
    match suite {
        CryptoSuite::AesCm128HmacSha1_32
        | CryptoSuite::AesCm192HmacSha1_32
        | CryptoSuite::AesCm256HmacSha1_32
        | CryptoSuite::F8128HmacSha1_32
        | CryptoSuite::NullHmacSha1_32 => 4,
        CryptoSuite::AesCm128HmacSha1_80
        | CryptoSuite::AesCm192HmacSha1_80
        | CryptoSuite::AesCm256HmacSha1_80
        | CryptoSuite::F8128HmacSha1_80
        | CryptoSuite::NullHmacSha1_80 => 10,
        CryptoSuite::AeadAes128Gcm | CryptoSuite::AeadAes256Gcm => TAG_LEN_MAX,
    }
}

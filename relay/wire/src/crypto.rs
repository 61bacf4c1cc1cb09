//! Keys of SRTP, as a session description or a handshake agreed on them.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{CRYPTO_IDENTIFIER_BYTES_MAX, Port, Refusal};

/// What protects packets between one endpoint and its peer, RTP and RTCP alike.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EndpointCrypto {
    /// Which endpoint.
    pub port: Port,
    /// The keys of the peer: what does not fit these goes no further. `None`: packets are taken as
    /// they come.
    pub receive: Option<Crypto>,
    /// The keys that the peer was told. `None`: packets leave as they are.
    pub send: Option<Crypto>,
}

/// What the packets of one direction are protected with: one `inline:` key of a crypto attribute
/// (RFC 4568 §6.1), or what a handshake gave instead.
///
/// It holds for all sources of that direction, RTP and RTCP alike.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Crypto {
    /// How.
    pub suite: CryptoSuite,
    /// The master key, and behind it the master salt; so long as
    /// [`CryptoSuite::key_and_salt_len`] says.
    pub key_and_salt: Secret,
    /// The master key identifier (RFC 3711 §3.1) that each packet carries: 1 to
    /// [`CRYPTO_IDENTIFIER_BYTES_MAX`] bytes, the highest first. Empty: packets carry none.
    #[serde(with = "crate::bytes")]
    pub identifier: Vec<u8>,
    /// RTP is authenticated and can be read (`UNENCRYPTED_SRTP`).
    pub rtp_is_clear: bool,
    /// RTCP is authenticated and can be read (`UNENCRYPTED_SRTCP`).
    pub rtcp_is_clear: bool,
    /// RTP carries no tag (`UNAUTHENTICATED_SRTP`). RTCP always does.
    pub rtp_is_unauthenticated: bool,
}

impl Crypto {
    /// Keys without session parameters.
    #[must_use]
    pub const fn new(suite: CryptoSuite, key_and_salt: Secret) -> Self {
        Self {
            suite,
            key_and_salt,
            identifier: Vec::new(),
            rtp_is_clear: false,
            rtcp_is_clear: false,
            rtp_is_unauthenticated: false,
        }
    }

    /// Whether the lengths fit, and the suite has what is asked for.
    ///
    /// # Errors
    ///
    /// [`Refusal::WrongKey`] if not: a key of another length, an identifier that is too long, or a
    /// suite that authenticates and encrypts at once and is to do one only (RFC 7714 §14.2).
    pub fn check(&self) -> Result<(), Refusal> {
        let is_split = self.rtp_is_clear || self.rtcp_is_clear || self.rtp_is_unauthenticated;
        let fits = self.key_and_salt.as_bytes().len() == self.suite.key_and_salt_len()
            && self.identifier.len() <= CRYPTO_IDENTIFIER_BYTES_MAX
            && !(is_split && self.suite.is_aead());
        if fits { Ok(()) } else { Err(Refusal::WrongKey) }
    }
}

/// Bytes that nobody may read. They are overwritten when they go, and no log shows them.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize, Zeroize, ZeroizeOnDrop)]
pub struct Secret(#[serde(with = "crate::bytes")] Vec<u8>);

impl Secret {
    /// Takes bytes in.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What is in it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// How packets are protected: a crypto-suite of the registry that RFC 4568 §6.2 began.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum CryptoSuite {
    /// AES in counter mode with 128 bits, tags of 80 bits (RFC 4568 §6.2.1).
    AesCm128HmacSha1_80,
    /// The same with tags of 32 bits on RTP (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// AES in counter mode with 192 bits (RFC 6188 §2).
    AesCm192HmacSha1_80,
    /// The same with tags of 32 bits on RTP.
    AesCm192HmacSha1_32,
    /// AES in counter mode with 256 bits (RFC 6188 §2).
    AesCm256HmacSha1_80,
    /// The same with tags of 32 bits on RTP.
    AesCm256HmacSha1_32,
    /// AES in f8 mode with 128 bits (RFC 4568 §6.2.3).
    F8128HmacSha1_80,
    /// The same with tags of 32 bits on RTP. No RFC has it; some phones do.
    F8128HmacSha1_32,
    /// Nothing is encrypted (RFC 3711 §4.1.3), tags have 80 bits.
    NullHmacSha1_80,
    /// The same with tags of 32 bits on RTP.
    NullHmacSha1_32,
    /// AES in Galois/counter mode with 128 bits (RFC 7714 §14.2).
    AeadAes128Gcm,
    /// The same with 256 bits.
    AeadAes256Gcm,
}

impl CryptoSuite {
    /// All there are, the strongest first within each family, and the families in the order in
    /// which they are worth offering.
    pub const ALL: [Self; 12] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AesCm192HmacSha1_80,
        Self::AesCm192HmacSha1_32,
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::F8128HmacSha1_80,
        Self::F8128HmacSha1_32,
        Self::NullHmacSha1_80,
        Self::NullHmacSha1_32,
    ];

    /// Its name in SDP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm192HmacSha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Self::AesCm192HmacSha1_32 => "AES_192_CM_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::F8128HmacSha1_80 => "F8_128_HMAC_SHA1_80",
            Self::F8128HmacSha1_32 => "F8_128_HMAC_SHA1_32",
            Self::NullHmacSha1_80 => "NULL_HMAC_SHA1_80",
            Self::NullHmacSha1_32 => "NULL_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name in SDP, in capitals or not.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of its master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80
            | Self::AesCm128HmacSha1_32
            | Self::F8128HmacSha1_80
            | Self::F8128HmacSha1_32
            | Self::NullHmacSha1_80
            | Self::NullHmacSha1_32
            | Self::AeadAes128Gcm => 16,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 24,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of its master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Bytes of both, as they stand behind `inline:` before they are written in base64.
    #[must_use]
    pub const fn key_and_salt_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Whether it encrypts and authenticates at once.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypto(suite: CryptoSuite) -> Crypto {
        Crypto::new(suite, Secret::new(vec![0xab; suite.key_and_salt_len()]))
    }

    #[test]
    fn a_suite_is_found_by_its_name() {
        for suite in CryptoSuite::ALL {
            assert_eq!(CryptoSuite::from_name(suite.name()), Some(suite));
            let small = suite.name().to_ascii_lowercase();
            assert_eq!(CryptoSuite::from_name(&small), Some(suite));
        }
        assert_eq!(CryptoSuite::from_name("AES_CM_128_HMAC_SHA1_8"), None);
    }

    #[test]
    fn no_log_shows_a_key() {
        let crypto = crypto(CryptoSuite::AesCm128HmacSha1_80);
        let shown = format!("{crypto:?} {crypto:#?}");
        assert!(shown.contains("Secret(30 bytes)"), "{shown}");
        assert!(!shown.contains("171") && !shown.contains("ab, "), "{shown}");
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        for suite in CryptoSuite::ALL {
            let whole = crypto(suite);
            assert_eq!(whole.check(), Ok(()));
            for len in [
                0,
                suite.key_and_salt_len() - 1,
                suite.key_and_salt_len() + 1,
            ] {
                let other = Crypto::new(suite, Secret::new(vec![0; len]));
                assert_eq!(other.check(), Err(Refusal::WrongKey));
            }
            let mut long = whole.clone();
            long.identifier = vec![0; CRYPTO_IDENTIFIER_BYTES_MAX];
            assert_eq!(long.check(), Ok(()));
            long.identifier.push(0);
            assert_eq!(long.check(), Err(Refusal::WrongKey));
        }
    }

    #[test]
    fn what_encrypts_and_authenticates_at_once_does_both() {
        for suite in CryptoSuite::ALL {
            let expected = if suite.is_aead() {
                Err(Refusal::WrongKey)
            } else {
                Ok(())
            };
            for parameter in 0..3 {
                let mut crypto = crypto(suite);
                crypto.rtp_is_clear = parameter == 0;
                crypto.rtcp_is_clear = parameter == 1;
                crypto.rtp_is_unauthenticated = parameter == 2;
                assert_eq!(crypto.check(), expected);
            }
        }
    }
}

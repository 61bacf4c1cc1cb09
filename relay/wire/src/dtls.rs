//! Handshakes that give keys of SRTP (RFC 5763, 5764).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an endpoint shakes hands with its peer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Dtls {
    /// Who begins.
    pub role: DtlsRole,
    /// What the certificate of the peer must be like.
    pub fingerprint: Fingerprint,
    /// Which association of the endpoint this is (RFC 8842 §4): another number begins another
    /// one, though all else be the same.
    pub association: u32,
}

/// Who begins a handshake, as the relay is to do it (RFC 5763 §5).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum DtlsRole {
    /// The relay begins.
    Active,
    /// The peer begins.
    Passive,
}

/// What is known of a certificate before it comes (RFC 8122 §5).
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Fingerprint {
    hash: FingerprintHash,
    #[serde(with = "crate::bytes")]
    digest: Vec<u8>,
}

impl Fingerprint {
    /// `None` if the digest is not as long as those of the hash function.
    #[must_use]
    pub fn new(hash: FingerprintHash, digest: Vec<u8>) -> Option<Self> {
        (digest.len() == hash.digest_len()).then_some(Self { hash, digest })
    }

    /// What it was made with.
    #[must_use]
    pub const fn hash(&self) -> FingerprintHash {
        self.hash
    }

    /// What came of it. Of a message that somebody else has made it may have any length.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// Whether the digest is as long as it must be.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.digest.len() == self.hash.digest_len()
    }
}

/// As descriptions have it: `sha-256 AB:CD:…`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        let mut separator = ' ';
        for byte in &self.digest {
            write!(f, "{separator}{byte:02X}")?;
            separator = ':';
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A hash function that certificates are known by (RFC 8122 §5).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum FingerprintHash {
    /// SHA-1. Old phones have nothing else.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256, which everybody must have.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl FingerprintHash {
    /// All there are, the weakest first.
    pub const ALL: [Self; 5] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// Its name in SDP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// The function of a name in SDP, in capitals or not.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of its digests.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_function_is_found_by_its_name() {
        for hash in FingerprintHash::ALL {
            assert_eq!(FingerprintHash::from_name(hash.name()), Some(hash));
            let large = hash.name().to_ascii_uppercase();
            assert_eq!(FingerprintHash::from_name(&large), Some(hash));
        }
        assert_eq!(FingerprintHash::from_name("md5"), None);
    }

    #[test]
    fn a_digest_of_another_length_is_none() {
        for hash in FingerprintHash::ALL {
            let len = hash.digest_len();
            let whole = Fingerprint::new(hash, vec![0xab; len]).unwrap();
            assert!(whole.is_whole());
            assert!(
                whole
                    .to_string()
                    .starts_with(&format!("{} AB:AB:", hash.name()))
            );
            assert_eq!(Fingerprint::new(hash, vec![0; len - 1]), None);
            assert_eq!(Fingerprint::new(hash, vec![0; len + 1]), None);
        }
    }
}

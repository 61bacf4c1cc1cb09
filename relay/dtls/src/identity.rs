//! Certificates: ours, and how a peer's is known.

use std::fmt;

use dimpl::DtlsCertificate;
use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use relay_wire::{Fingerprint, FingerprintHash};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no certificate could be made: {0}")]
pub struct IdentityError(#[from] rcgen::Error);

/// Who we are: a key (ECDSA, P-256) and the certificate of it that we have signed ourselves.
///
/// Nobody vouches for it but the session description, which has its fingerprint (RFC 5763 §3).
#[derive(Clone)]
pub struct Identity {
    pub(crate) certificate: DtlsCertificate,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new() -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::new())?;
        // What it says is for nobody: descriptions say whose it is.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "media");
        params.is_ca = IsCa::NoCa;
        let certificate = params.self_signed(&key)?.der().to_vec();
        Ok(Self {
            certificate: DtlsCertificate {
                certificate,
                private_key: key.serialize_der(),
            },
        })
    }

    /// How others may know it: by each hash function that there is.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let of = |hash| Fingerprint::new(hash, digest(hash, &self.certificate.certificate));
        FingerprintHash::ALL.into_iter().filter_map(of).collect()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Whether a certificate is the one that was announced. How long this takes says nothing.
pub(crate) fn is_of(fingerprint: &Fingerprint, certificate: &[u8]) -> bool {
    let digest = digest(fingerprint.hash(), certificate);
    fingerprint.is_whole() && bool::from(digest.ct_eq(fingerprint.digest()))
}

fn digest(hash: FingerprintHash, bytes: &[u8]) -> Vec<u8> {
    match hash {
        FingerprintHash::Sha1 => Sha1::digest(bytes).to_vec(),
        FingerprintHash::Sha224 => Sha224::digest(bytes).to_vec(),
        FingerprintHash::Sha256 => Sha256::digest(bytes).to_vec(),
        FingerprintHash::Sha384 => Sha384::digest(bytes).to_vec(),
        FingerprintHash::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_each_of_its_fingerprints_and_no_other_is() {
        let (ours, other) = (Identity::new().unwrap(), Identity::new().unwrap());
        let fingerprints = ours.fingerprints();
        assert_eq!(fingerprints.len(), FingerprintHash::ALL.len());
        for fingerprint in fingerprints {
            assert!(is_of(&fingerprint, &ours.certificate.certificate));
            assert!(!is_of(&fingerprint, &other.certificate.certificate));
            assert!(!is_of(&fingerprint, &[]));
        }
    }

    #[test]
    fn no_log_shows_the_key() {
        let identity = Identity::new().unwrap();
        assert_eq!(format!("{identity:?}"), "Identity");
    }
}

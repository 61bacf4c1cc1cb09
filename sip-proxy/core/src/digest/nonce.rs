//! Nonces that prove by themselves when and for whom they were made.

use std::net::IpAddr;

use subtle::ConstantTimeEq;

use crate::secret::{CODE_LEN, Secret, hex, unhex};

/// How long a nonce may be used. Calls of a registered phone come within it seldom, so that most
/// of its requests cost one round trip more; a longer life gives a thief more time.
pub(crate) const NONCE_LIFETIME_MS: u64 = 300_000;

const TIME_LEN: usize = 8;
const SALT_LEN: usize = 8;

/// Makes and checks nonces: the time, a number that makes each one unique, and a code over both
/// and the address that it was made for.
#[derive(Debug)]
pub(super) struct Nonces(Secret);

/// Which nonce it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NonceId {
    pub(super) unix_ms: u64,
    pub(super) salt: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Validity {
    /// Made up, made for another address, or too old.
    Invalid,
    Valid(NonceId),
}

impl Nonces {
    pub(super) const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    pub(super) fn make(&self, unix_ms: u64, source: IpAddr, salt: u64) -> String {
        let id = NonceId { unix_ms, salt };
        let mut bytes = Vec::with_capacity(TIME_LEN + SALT_LEN + CODE_LEN);
        bytes.extend_from_slice(&unix_ms.to_be_bytes());
        bytes.extend_from_slice(&salt.to_be_bytes());
        bytes.extend_from_slice(&self.code(id, source));
        hex(&bytes)
    }

    pub(super) fn check(&self, now_unix_ms: u64, source: IpAddr, nonce: &[u8]) -> Validity {
        self.read(now_unix_ms, source, nonce)
            .map_or(Validity::Invalid, Validity::Valid)
    }

    fn read(&self, now_unix_ms: u64, source: IpAddr, nonce: &[u8]) -> Option<NonceId> {
        let bytes = unhex(nonce)?;
        let (time, rest) = bytes.split_first_chunk::<TIME_LEN>()?;
        let (salt, code) = rest.split_first_chunk::<SALT_LEN>()?;
        let id = NonceId {
            unix_ms: u64::from_be_bytes(*time),
            salt: u64::from_be_bytes(*salt),
        };
        let is_ours: bool = code.ct_eq(&self.code(id, source)).into();
        let age_ms = now_unix_ms.saturating_sub(id.unix_ms);
        (is_ours && age_ms < NONCE_LIFETIME_MS).then_some(id)
    }

    fn code(&self, id: NonceId, source: IpAddr) -> [u8; CODE_LEN] {
        let (time, salt) = (id.unix_ms.to_be_bytes(), id.salt.to_be_bytes());
        let code = |address: &[u8]| self.0.code("nonce", &[&time, &salt, address]);
        match source.to_canonical() {
            IpAddr::V4(address) => code(&address.octets()),
            IpAddr::V6(address) => code(&address.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_bound_to_time_and_address() {
        let nonces = Nonces::new(Secret::new([7; 32]));
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let there: IpAddr = "192.0.2.2".parse().unwrap();
        let nonce = nonces.make(1_000, here, 5);
        let id = NonceId {
            unix_ms: 1_000,
            salt: 5,
        };
        let check = |now, source| nonces.check(now, source, nonce.as_bytes());
        assert_eq!(check(1_000, here), Validity::Valid(id));
        assert_eq!(
            check(1_000 + NONCE_LIFETIME_MS - 1, here),
            Validity::Valid(id)
        );
        assert_eq!(check(1_000 + NONCE_LIFETIME_MS, here), Validity::Invalid);
        assert_eq!(check(1_000, there), Validity::Invalid);
        let other = Nonces::new(Secret::new([8; 32]));
        assert_eq!(
            other.check(1_000, here, nonce.as_bytes()),
            Validity::Invalid
        );
    }

    #[test]
    fn every_digit_counts() {
        let nonces = Nonces::new(Secret::new([7; 32]));
        let here: IpAddr = "2001:db8::1".parse().unwrap();
        let nonce = nonces.make(1_000, here, 5).into_bytes();
        for at in 0..nonce.len() {
            let mut forged = nonce.clone();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(nonces.check(1_000, here, &forged), Validity::Invalid);
            assert_eq!(nonces.check(1_000, here, &nonce[..at]), Validity::Invalid);
        }
    }
}

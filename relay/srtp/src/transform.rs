//! What is done to the bytes of one packet, once it is known which number it has.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::cipher::{Aes, BLOCK_LEN, F8};

/// Bytes of the longest tag.
pub(crate) const TAG_LEN_MAX: usize = 16;

/// Bytes of the key that tags of HMAC-SHA1 are made with (RFC 3711 §5.2).
pub(crate) const TAG_KEY_LEN: usize = 20;

/// Bytes of a salt, and two zeros behind it.
pub(crate) type Salt = Zeroizing<[u8; BLOCK_LEN]>;

/// Which packet it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) ssrc: u32,
    /// 48 bits of RTP: roll-over counter and sequence number; 31 bits of RTCP.
    pub(crate) number: u64,
    pub(crate) is_rtcp: bool,
}

impl Place {
    /// Where counter mode begins (RFC 3711 §4.1.1).
    fn counter(self, salt: &Salt) -> [u8; BLOCK_LEN] {
        let shifted = u128::from(self.ssrc) << 64 | u128::from(self.number) << 16;
        (u128::from_be_bytes(**salt) ^ shifted).to_be_bytes()
    }

    /// What Galois/counter mode uses once only (RFC 7714 §8.1, §9.1).
    fn nonce(self, salt: &Salt) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&salt[..12]);
        let shifted = u128::from(self.ssrc) << 48 | u128::from(self.number);
        for (byte, other) in nonce.iter_mut().zip(&shifted.to_be_bytes()[4..]) {
            *byte ^= other;
        }
        nonce
    }

    /// Where f8 begins (RFC 3711 §4.1.2.2, §4.1.2.3): `header` is that of RTP, or the first eight
    /// bytes of RTCP.
    fn f8(self, header: &[u8], trailer: [u8; 4]) -> [u8; BLOCK_LEN] {
        let mut start = [0; BLOCK_LEN];
        if self.is_rtcp {
            start[4..8].copy_from_slice(&trailer);
            start[8..].copy_from_slice(&header[..8]);
        } else {
            start[1..12].copy_from_slice(&header[1..12]);
            start[12..].copy_from_slice(&self.roll_over());
        }
        start
    }

    /// How often the sequence number has begun anew.
    pub(crate) fn roll_over(self) -> [u8; 4] {
        let [_, _, a, b, c, d, ..] = self.number.to_be_bytes();
        [a, b, c, d]
    }
}

/// What encrypts where something else authenticates.
#[derive(Debug)]
pub(crate) enum Cipher {
    Counter(Box<Aes>, Salt),
    F8(Box<F8>),
    /// Nothing does.
    Null,
}

impl Cipher {
    /// Encrypts what is behind the header, or decrypts it. `trailer` is the word that stands behind
    /// RTCP.
    pub(crate) fn apply(
        &self,
        place: Place,
        (header, payload): (&[u8], &mut [u8]),
        trailer: [u8; 4],
    ) {
        match self {
            Self::Counter(aes, salt) => aes.apply_counter(place.counter(salt), payload),
            Self::F8(f8) => f8.apply(place.f8(header, trailer), payload),
            Self::Null => {}
        }
    }
}

/// Makes tags by HMAC-SHA1 (RFC 3711 §4.2.1).
pub(crate) struct Tagger {
    /// It has taken the key in.
    mac: Hmac<Sha1>,
    /// Bytes of a tag.
    pub(crate) len: usize,
}

impl Tagger {
    pub(crate) fn new(key: &[u8], len: usize) -> Option<Self> {
        let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key).ok()?;
        Some(Self { mac, len })
    }

    /// Of the bytes, and of what is not sent.
    pub(crate) fn tag(&self, bytes: &[u8], unsent: &[u8]) -> [u8; 20] {
        let mut mac = self.mac.clone();
        mac.update(bytes);
        mac.update(unsent);
        mac.finalize().into_bytes().into()
    }

    /// Takes as long whatever it finds.
    pub(crate) fn is_tag(&self, tag: &[u8], bytes: &[u8], unsent: &[u8]) -> bool {
        self.tag(bytes, unsent)[..self.len].ct_eq(tag).into()
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tagger")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// What encrypts and authenticates at once (RFC 7714).
pub(crate) struct Aead {
    gcm: Gcm,
    salt: Salt,
}

enum Gcm {
    Of128(Box<Aes128Gcm>),
    Of256(Box<Aes256Gcm>),
}

impl Aead {
    pub(crate) fn new(key: &[u8], salt: Salt) -> Option<Self> {
        let gcm = match key.len() {
            16 => Gcm::Of128(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            32 => Gcm::Of256(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            _ => return None,
        };
        Some(Self { gcm, salt })
    }

    /// Encrypts; says the tag of that and of what stays clear. `None`: it is too long.
    pub(crate) fn encrypt(
        &self,
        place: Place,
        clear: &[u8],
        bytes: &mut [u8],
    ) -> Option<[u8; TAG_LEN_MAX]> {
        let nonce = Nonce::from(place.nonce(&self.salt));
        let buffer = InOutBuf::from(bytes);
        let tag = match &self.gcm {
            Gcm::Of128(gcm) => gcm.encrypt_inout_detached(&nonce, clear, buffer),
            Gcm::Of256(gcm) => gcm.encrypt_inout_detached(&nonce, clear, buffer),
        };
        tag.ok().map(Into::into)
    }

    /// Decrypts if the tag is right, and says whether it is. If not, all is as it was.
    pub(crate) fn decrypt(
        &self,
        place: Place,
        clear: &[u8],
        bytes: &mut [u8],
        tag: [u8; TAG_LEN_MAX],
    ) -> bool {
        let nonce = Nonce::from(place.nonce(&self.salt));
        let (buffer, tag) = (InOutBuf::from(bytes), Tag::from(tag));
        match &self.gcm {
            Gcm::Of128(gcm) => gcm.decrypt_inout_detached(&nonce, clear, buffer, &tag),
            Gcm::Of256(gcm) => gcm.decrypt_inout_detached(&nonce, clear, buffer, &tag),
        }
        .is_ok()
    }
}

impl fmt::Debug for Aead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aead(..)")
    }
}

//! What makes payloads unreadable: AES in counter mode and in f8 mode (RFC 3711 §4.1).

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc, Block};
use std::fmt;

/// Bytes of a block.
pub(crate) const BLOCK_LEN: usize = 16;

/// Blocks that are made at once: as many as processors work on side by side.
const BLOCKS_AT_ONCE: usize = 8;

/// AES with one of its three lengths of keys.
pub(crate) enum Aes {
    Of128(Aes128Enc),
    Of192(Aes192Enc),
    Of256(Aes256Enc),
}

impl Aes {
    /// `None` if there is no key of this length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128Enc::new_from_slice(key).ok().map(Self::Of128),
            24 => Aes192Enc::new_from_slice(key).ok().map(Self::Of192),
            32 => Aes256Enc::new_from_slice(key).ok().map(Self::Of256),
            _ => None,
        }
    }

    pub(crate) fn encrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Of128(aes) => aes.encrypt_blocks(blocks),
            Self::Of192(aes) => aes.encrypt_blocks(blocks),
            Self::Of256(aes) => aes.encrypt_blocks(blocks),
        }
    }

    /// Counter mode (RFC 3711 §4.1.1): encrypts, or decrypts, which is the same.
    pub(crate) fn apply_counter(&self, start: [u8; BLOCK_LEN], bytes: &mut [u8]) {
        let mut counter = u128::from_be_bytes(start);
        let mut stream = [Block::default(); BLOCKS_AT_ONCE];
        for chunk in bytes.chunks_mut(BLOCK_LEN * BLOCKS_AT_ONCE) {
            let blocks = &mut stream[..chunk.len().div_ceil(BLOCK_LEN)];
            for block in blocks.iter_mut() {
                *block = counter.to_be_bytes().into();
                counter = counter.wrapping_add(1);
            }
            self.encrypt(blocks);
            for (bytes, block) in chunk.chunks_mut(BLOCK_LEN).zip(blocks.iter()) {
                add(bytes, block);
            }
        }
    }
}

impl fmt::Debug for Aes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aes(..)")
    }
}

/// AES in f8 mode (RFC 3711 §4.1.2).
#[derive(Debug)]
pub(crate) struct F8 {
    aes: Aes,
    /// The same with the key that the salt has changed.
    masked: Aes,
}

impl F8 {
    /// `None` if there is no key of this length, or the salt is longer than it.
    pub(crate) fn new(key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut mask = zeroize::Zeroizing::new(vec![0x55; key.len()]);
        mask.get_mut(..salt.len())?.copy_from_slice(salt);
        add(&mut mask, key);
        Some(Self {
            aes: Aes::new(key)?,
            masked: Aes::new(&mask)?,
        })
    }

    /// Encrypts, or decrypts, which is the same.
    pub(crate) fn apply(&self, start: [u8; BLOCK_LEN], bytes: &mut [u8]) {
        let mut start: [Block; 1] = [start.into()];
        self.masked.encrypt(&mut start);
        let mut stream = [Block::default()];
        for (number, chunk) in (0_u128..).zip(bytes.chunks_mut(BLOCK_LEN)) {
            add(&mut stream[0], &start[0]);
            add(&mut stream[0], &number.to_be_bytes());
            self.aes.encrypt(&mut stream);
            add(chunk, &stream[0]);
        }
    }
}

/// Adds bit by bit, as far as both go.
fn add(bytes: &mut [u8], others: &[u8]) {
    for (byte, other) in bytes.iter_mut().zip(others) {
        *byte ^= other;
    }
}

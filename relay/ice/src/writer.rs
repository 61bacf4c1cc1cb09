//! Writes STUN messages (RFC 8489 §5 and §14).

use std::net::{IpAddr, SocketAddr};

use hmac::Mac;

use crate::stun::{COOKIE, Class, Control, TransactionId, attribute, integrity, mask};

/// A message that is being written, attribute by attribute.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    id: TransactionId,
}

/// Bytes of most messages.
const LEN_USUAL: usize = 160;

impl Writer {
    /// A message without attributes.
    #[must_use]
    pub fn new(class: Class, id: TransactionId) -> Self {
        let kind: u16 = match class {
            Class::Request => 0x0001,
            Class::Indication => 0x0011,
            Class::Success => 0x0101,
            Class::Error => 0x0111,
        };
        let mut bytes = Vec::with_capacity(LEN_USUAL);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(&id.0);
        Self { bytes, id }
    }

    /// Adds SOFTWARE.
    #[must_use]
    pub fn software(self, name: &str) -> Self {
        self.attribute(attribute::SOFTWARE, name.as_bytes())
    }

    /// Adds USERNAME.
    #[must_use]
    pub fn user(self, name: &str) -> Self {
        self.attribute(attribute::USERNAME, name.as_bytes())
    }

    /// Adds XOR-MAPPED-ADDRESS.
    #[must_use]
    pub fn mapped(self, address: SocketAddr) -> Self {
        let mask = mask(self.id);
        let mut value = [0; 20];
        let port = address.port().to_be_bytes();
        value[2..4].copy_from_slice(&port);
        let len = match address.ip() {
            IpAddr::V4(ip) => {
                value[1] = 1;
                value[4..8].copy_from_slice(&ip.octets());
                8
            }
            IpAddr::V6(ip) => {
                value[1] = 2;
                value[4..].copy_from_slice(&ip.octets());
                20
            }
        };
        let masks = [COOKIE[0], COOKIE[1]].into_iter().chain(mask);
        std::iter::zip(&mut value[2..], masks).for_each(|(it, mask)| *it ^= mask);
        self.attribute(attribute::XOR_MAPPED_ADDRESS, &value[..len])
    }

    /// Adds ERROR-CODE, of 300 to 699.
    #[must_use]
    pub fn error(self, code: u16, reason: &str) -> Self {
        let [class, number] = [code / 100, code % 100].map(|it| it.to_be_bytes()[1]);
        let value = [&[0, 0, class, number], reason.as_bytes()].concat();
        self.attribute(attribute::ERROR_CODE, &value)
    }

    /// Adds UNKNOWN-ATTRIBUTES.
    #[must_use]
    pub fn unknown(self, kinds: &[u16]) -> Self {
        let value: Vec<_> = kinds.iter().flat_map(|it| it.to_be_bytes()).collect();
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, &value)
    }

    /// Adds PRIORITY.
    #[must_use]
    pub fn priority(self, priority: u32) -> Self {
        self.attribute(attribute::PRIORITY, &priority.to_be_bytes())
    }

    /// Adds USE-CANDIDATE.
    #[must_use]
    pub fn nomination(self) -> Self {
        self.attribute(attribute::USE_CANDIDATE, &[])
    }

    /// Adds ICE-CONTROLLING or ICE-CONTROLLED.
    #[must_use]
    pub fn control(self, control: Control) -> Self {
        match control {
            Control::Controlled(number) => {
                self.attribute(attribute::ICE_CONTROLLED, &number.to_be_bytes())
            }
            Control::Controlling(number) => {
                self.attribute(attribute::ICE_CONTROLLING, &number.to_be_bytes())
            }
        }
    }

    /// Adds MESSAGE-INTEGRITY and FINGERPRINT: the message is whole.
    #[must_use]
    pub fn sign(mut self, password: &str) -> Vec<u8> {
        self.set_len(24);
        let mut mac = integrity(password);
        mac.update(&self.bytes);
        let code = mac.finalize().into_bytes();
        self.attribute(attribute::MESSAGE_INTEGRITY, &code).finish()
    }

    /// Adds FINGERPRINT: the message is whole, and anybody may have written it.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.set_len(8);
        let fingerprint = fingerprint(&self.bytes);
        self.attribute(attribute::FINGERPRINT, &fingerprint.to_be_bytes())
            .bytes
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        // Nothing that is written here is long.
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        let value = &value[..usize::from(len)];
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_len(0);
        self
    }

    /// Says how long the message is when so many bytes more are there.
    fn set_len(&mut self, more: usize) {
        let len = self.bytes.len() - crate::stun::HEADER_LEN + more;
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        self.bytes[2..4].copy_from_slice(&len.to_be_bytes());
    }
}

/// FINGERPRINT of what stands before it, whose header counts it already (RFC 8489 §14.7).
pub(crate) fn fingerprint(before: &[u8]) -> u32 {
    let sum = before.iter().fold(u32::MAX, |sum, byte| {
        let [low, ..] = sum.to_le_bytes();
        TABLE[usize::from(low ^ byte)] ^ (sum >> 8)
    });
    !sum ^ 0x5354_554e
}

/// CRC-32 of ITU V.42, by byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        // No more than 255.
        #[expect(clippy::cast_possible_truncation, reason = "no more than 255")]
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

//! STUN messages as views over bytes (RFC 8489 §5, RFC 8445 §16).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::writer::fingerprint;

/// Bytes before the attributes.
pub(crate) const HEADER_LEN: usize = 20;

pub(crate) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Bytes of the longest message that is read: more than any check needs.
const MESSAGE_LEN_MAX: usize = 1_500;

/// Unknown attributes that are named in an answer.
const UNKNOWN_MAX: usize = 8;

pub(crate) mod attribute {
    pub(crate) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(crate) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const PRIORITY: u16 = 0x0024;
    pub(crate) const USE_CANDIDATE: u16 = 0x0025;
    pub(crate) const SOFTWARE: u16 = 0x8022;
    pub(crate) const FINGERPRINT: u16 = 0x8028;
    pub(crate) const ICE_CONTROLLED: u16 = 0x8029;
    pub(crate) const ICE_CONTROLLING: u16 = 0x802a;
}

/// Names a request and its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TransactionId(pub [u8; 12]);

/// What a message is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It wants an answer.
    Request,
    /// It wants none.
    Indication,
    /// The request was carried out.
    Success,
    /// It was not.
    Error,
}

/// Who decides, as who asks sees it, and the number that decides who decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// Who asks does not.
    Controlled(u64),
    /// Who asks does.
    Controlling(u64),
}

/// Why bytes are no message of STUN.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// An attribute goes beyond the end, or has a length that its kind has not.
    #[error("an attribute is malformed")]
    Attribute,
    /// The header is not that of a Binding.
    #[error("not a message of STUN")]
    Header,
    /// FINGERPRINT is wrong.
    #[error("the fingerprint is wrong")]
    Fingerprint,
}

/// Whether a datagram is STUN rather than RTP, DTLS, or something else (RFC 7983 §7).
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_LEN && datagram[0] < 4 && datagram[4..8] == COOKIE
}

/// A Binding message. What is malformed in a way that matters is refused by [`Message::parse`];
/// who sent it is not known before [`Message::is_by`].
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    id: TransactionId,
    user: Option<&'a [u8]>,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: Option<usize>,
    error_code: Option<u16>,
    mapped: Option<SocketAddr>,
    priority: Option<u32>,
    is_nomination: bool,
    control: Option<Control>,
    unknown: [u16; UNKNOWN_MAX],
    unknown_len: usize,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When it is none, when its attributes do not fit in it, or its fingerprint is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        if !is_stun(bytes) || bytes.len() > MESSAGE_LEN_MAX {
            return Err(ParseError::Header);
        }
        let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        if len + HEADER_LEN != bytes.len() || len % 4 != 0 {
            return Err(ParseError::Header);
        }
        let class = class_of(u16::from_be_bytes([bytes[0], bytes[1]]))?;
        let mut id = [0; 12];
        id.copy_from_slice(&bytes[8..HEADER_LEN]);
        let mut message = Self {
            bytes,
            class,
            id: TransactionId(id),
            user: None,
            integrity_at: None,
            error_code: None,
            mapped: None,
            priority: None,
            is_nomination: false,
            control: None,
            unknown: [0; UNKNOWN_MAX],
            unknown_len: 0,
        };
        message.read_attributes()?;
        Ok(message)
    }

    /// What it is for.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// USERNAME.
    #[must_use]
    pub fn user(&self) -> Option<&'a [u8]> {
        self.user
    }

    /// Whether it says that somebody with a password wrote it.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// The number of an error.
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        self.error_code
    }

    /// XOR-MAPPED-ADDRESS.
    #[must_use]
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// PRIORITY.
    #[must_use]
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// USE-CANDIDATE.
    #[must_use]
    pub fn is_nomination(&self) -> bool {
        self.is_nomination
    }

    /// ICE-CONTROLLING or ICE-CONTROLLED.
    #[must_use]
    pub fn control(&self) -> Option<Control> {
        self.control
    }

    /// Attributes that must be understood and are not: some of them, if they are many.
    #[must_use]
    pub fn unknown(&self) -> &[u16] {
        &self.unknown[..self.unknown_len]
    }

    /// Whether who wrote it has the password (RFC 8489 §14.5).
    #[must_use]
    pub fn is_by(&self, password: &str) -> bool {
        let Some(at) = self.integrity_at else {
            return false;
        };
        let mut mac = integrity(password);
        // The length ends with the attribute.
        let len = u16::try_from(at + 24 - HEADER_LEN).unwrap_or(u16::MAX);
        mac.update(&self.bytes[..2]);
        mac.update(&len.to_be_bytes());
        mac.update(&self.bytes[4..at]);
        mac.verify_slice(&self.bytes[at + 4..at + 24]).is_ok()
    }

    fn read_attributes(&mut self) -> Result<(), ParseError> {
        let mut at = HEADER_LEN;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let &[a, b, c, d, ref rest @ ..] = rest else {
                return Err(ParseError::Attribute);
            };
            let kind = u16::from_be_bytes([a, b]);
            let len = usize::from(u16::from_be_bytes([c, d]));
            let value = rest.get(..len).ok_or(ParseError::Attribute)?;
            if kind == attribute::FINGERPRINT {
                return self.check_fingerprint(at, value);
            }
            // What follows MESSAGE-INTEGRITY is ignored.
            if self.integrity_at.is_none() {
                self.read_attribute(at, kind, value)?;
            }
            at += 4 + len.next_multiple_of(4);
        }
        Ok(())
    }

    fn read_attribute(&mut self, at: usize, kind: u16, value: &'a [u8]) -> Result<(), ParseError> {
        match kind {
            attribute::USERNAME => {
                self.user.get_or_insert(value);
            }
            attribute::MESSAGE_INTEGRITY => {
                fixed::<20>(value)?;
                self.integrity_at = Some(at);
            }
            attribute::ERROR_CODE => {
                let &[_, _, class, number, ..] = value else {
                    return Err(ParseError::Attribute);
                };
                self.error_code = Some(u16::from(class & 7) * 100 + u16::from(number));
            }
            attribute::XOR_MAPPED_ADDRESS => self.mapped = Some(self.unmasked(value)?),
            attribute::PRIORITY => self.priority = Some(u32::from_be_bytes(fixed(value)?)),
            attribute::USE_CANDIDATE => self.is_nomination = true,
            attribute::ICE_CONTROLLED => {
                self.control = Some(Control::Controlled(u64::from_be_bytes(fixed(value)?)));
            }
            attribute::ICE_CONTROLLING => {
                self.control = Some(Control::Controlling(u64::from_be_bytes(fixed(value)?)));
            }
            attribute::MAPPED_ADDRESS
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::MESSAGE_INTEGRITY_SHA256
            | 0x8000.. => {}
            _ => {
                if let Some(place) = self.unknown.get_mut(self.unknown_len) {
                    *place = kind;
                    self.unknown_len += 1;
                }
            }
        }
        Ok(())
    }

    /// It must be the last attribute.
    fn check_fingerprint(&self, at: usize, value: &[u8]) -> Result<(), ParseError> {
        let found = u32::from_be_bytes(fixed(value)?);
        if at + 8 != self.bytes.len() || found != fingerprint(&self.bytes[..at]) {
            return Err(ParseError::Fingerprint);
        }
        Ok(())
    }

    fn unmasked(&self, value: &[u8]) -> Result<SocketAddr, ParseError> {
        let &[_, family, a, b, ref address @ ..] = value else {
            return Err(ParseError::Attribute);
        };
        let port = u16::from_be_bytes([a ^ COOKIE[0], b ^ COOKIE[1]]);
        let mask = mask(self.id);
        let address: IpAddr = match family {
            1 => {
                let mut address: [u8; 4] = fixed(address)?;
                std::iter::zip(&mut address, mask).for_each(|(it, mask)| *it ^= mask);
                Ipv4Addr::from(address).into()
            }
            2 => {
                let mut address: [u8; 16] = fixed(address)?;
                std::iter::zip(&mut address, mask).for_each(|(it, mask)| *it ^= mask);
                Ipv6Addr::from(address).into()
            }
            _ => return Err(ParseError::Attribute),
        };
        Ok(SocketAddr::new(address, port))
    }
}

/// What addresses are masked with, so that no NAT finds them in a message.
pub(crate) fn mask(id: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE);
    mask[4..].copy_from_slice(&id.0);
    mask
}

pub(crate) fn integrity(password: &str) -> Hmac<Sha1> {
    Hmac::new_from_slice(password.as_bytes()).expect("a key of HMAC may have any length")
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], ParseError> {
    value.try_into().map_err(|_| ParseError::Attribute)
}

fn class_of(kind: u16) -> Result<Class, ParseError> {
    match kind {
        0x0001 => Ok(Class::Request),
        0x0011 => Ok(Class::Indication),
        0x0101 => Ok(Class::Success),
        0x0111 => Ok(Class::Error),
        _ => Err(ParseError::Header),
    }
}

#[cfg(test)]
mod tests;

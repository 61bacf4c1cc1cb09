//! Contact (RFC 3261 §20.10).

use super::scan::saturating_number;
use super::{HeaderError, HeaderId, HeaderValues, NameAddr};
use crate::limits::VALUE_COUNT_MAX;
use crate::message::Message;

/// All Contact header fields of a message.
#[derive(Clone, Debug)]
pub enum Contacts<'m, 'a> {
    /// No or some contacts.
    List(ContactIter<'m, 'a>),
    /// `*`: all contacts that there are, to be removed by REGISTER.
    Star,
}

/// One contact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contact<'a> {
    /// Name, URI and all parameters.
    pub name_addr: NameAddr<'a>,
    /// Preference, 0 to 1000 (q × 1000).
    pub q: Option<u16>,
    /// Seconds; more than fits is as much as fits.
    pub expires: Option<u32>,
}

/// Contacts that were checked before.
#[derive(Clone, Debug)]
pub struct ContactIter<'m, 'a>(HeaderValues<'m, 'a>);

impl<'m, 'a> Contacts<'m, 'a> {
    /// Checks all contacts, each also by `accepts`.
    pub(crate) fn parse(
        message: &'m Message<'a>,
        accepts: impl Fn(&Contact<'a>) -> bool,
    ) -> Result<Self, HeaderError> {
        let values = message.headers(HeaderId::Contact);
        let mut count = 0;
        let mut has_star = false;
        for value in values.clone() {
            count += 1;
            if count > VALUE_COUNT_MAX {
                return Err(HeaderError::TooMany(HeaderId::Contact));
            }
            if value == b"*" {
                has_star = true;
            } else if !accepts(&Contact::parse(value)?) {
                return Err(HeaderError::Malformed(HeaderId::Contact));
            }
        }
        match (has_star, count) {
            (true, 1) => Ok(Self::Star),
            (true, _) => Err(HeaderError::Malformed(HeaderId::Contact)),
            (false, _) => Ok(Self::List(ContactIter(values))),
        }
    }
}

impl<'a> Contact<'a> {
    /// Parses one value; `*` is none.
    ///
    /// # Errors
    /// If it is malformed, or `q` or `expires` is no number or there twice.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        let name_addr = NameAddr::parse(HeaderId::Contact, value)?;
        if name_addr.uri == b"*" {
            return Err(HeaderError::Malformed(HeaderId::Contact));
        }
        Self::read(name_addr).ok_or(HeaderError::Malformed(HeaderId::Contact))
    }

    fn read(name_addr: NameAddr<'a>) -> Option<Self> {
        let mut q = None;
        let mut expires = None;
        for param in name_addr.params.iter() {
            if param.name.eq_ignore_ascii_case(b"q") {
                if q.replace(thousandths(param.value?)?).is_some() {
                    return None;
                }
            } else if param.name.eq_ignore_ascii_case(b"expires")
                && expires.replace(saturating_number(param.value?)?).is_some()
            {
                return None;
            }
        }
        Some(Self {
            name_addr,
            q,
            expires,
        })
    }
}

impl<'a> Iterator for ContactIter<'_, 'a> {
    type Item = Contact<'a>;

    fn next(&mut self) -> Option<Contact<'a>> {
        self.0.next().and_then(|value| Contact::parse(value).ok())
    }
}

/// `0.5` → 500 (RFC 3261 §25.1 `qvalue`). Digits after the third are passed over.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &[][..]),
    };
    if !matches!(whole, b"0" | b"1" | b"") || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut total = u16::from(whole == b"1") * 1_000;
    let mut weight = 100;
    for digit in fraction {
        if !digit.is_ascii_digit() {
            return None;
        }
        total += u16::from(digit - b'0') * weight;
        weight /= 10;
    }
    (total <= 1_000).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_is_counted_in_thousandths() {
        for (text, q) in [
            (&b"0"[..], Some(0)),
            (b"1", Some(1_000)),
            (b"1.000", Some(1_000)),
            (b"0.5", Some(500)),
            (b".25", Some(250)),
            (b"0.", Some(0)),
            (b"0.1239", Some(123)),
            (b"1.1", None),
            (b"2", None),
            (b"-1", None),
            (b".", None),
            (b"0.x", None),
        ] {
            assert_eq!(thousandths(text), q, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn reads_q_and_expires_once_each() {
        let contact = Contact::parse(b"<sip:a@b;expires=9>;Q=0.7;Expires=60").unwrap();
        assert_eq!((contact.q, contact.expires), (Some(700), Some(60)));
        let contact = Contact::parse(b"sip:a@b;expires=99999999999999").unwrap();
        assert_eq!(contact.expires, Some(u32::MAX));
        for value in [
            &b"<sip:a@b>;q"[..],
            b"<sip:a@b>;q=2",
            b"<sip:a@b>;expires=-1",
            b"<sip:a@b>;expires=1;expires=2",
            b"*",
            b"",
        ] {
            assert!(Contact::parse(value).is_err(), "{value:?}");
        }
    }
}

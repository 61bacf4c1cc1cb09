//! CSeq (RFC 3261 §20.16).

use super::HeaderError;
use super::id::HeaderId;
use super::scan::{Cursor, number};
use crate::method::Method;

/// Orders the requests of a dialog and names a transaction's method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CSeq<'a> {
    /// Less than 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// Equal to the request's.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Parses a header value.
    ///
    /// # Errors
    /// If it is not a number below 2^31 and a method.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        Self::read(value).ok_or(HeaderError::Malformed(HeaderId::CSeq))
    }

    fn read(value: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        cursor.skip_lws();
        let number = number(cursor.take_while(|byte| byte.is_ascii_digit()))
            .filter(|number| *number < 1 << 31)?;
        let before = cursor.rest().len();
        cursor.skip_lws();
        if cursor.rest().len() == before {
            return None;
        }
        let method = Method::from_name(cursor.token()?);
        cursor.skip_lws();
        cursor.rest().is_empty().then_some(Self { number, method })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_number_and_method_with_any_white_space() {
        let cseq = CSeq::parse(b"0009\r\n  INVITE").unwrap();
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
        assert_eq!(
            CSeq::parse(b"2147483647 X").unwrap().number,
            i32::MAX as u32
        );
    }

    #[test]
    fn refuses_what_does_not_fit_or_has_more() {
        for value in [
            &b""[..],
            b"1",
            b"INVITE",
            b"1INVITE",
            b"-1 ACK",
            b"2147483648 ACK",
        ] {
            assert!(CSeq::parse(value).is_err(), "{value:?}");
        }
        for value in [
            &b"36893488147419103232 BYE"[..],
            b"1 BYE BYE",
            b"1 B,E",
            b"1 ",
        ] {
            assert!(CSeq::parse(value).is_err(), "{value:?}");
        }
    }
}

//! Numbers and addresses as text, without `format!`, which takes memory and time for each: a
//! description has dozens.

use std::net::IpAddr;

/// The digits of a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits {
    digits: [u8; 10],
    start: usize,
}

impl Digits {
    pub(crate) fn of(number: impl Into<u32>) -> Self {
        let mut number = number.into();
        let mut digits = [0; 10];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// Appends a number in digits.
pub(crate) fn push_number(number: impl Into<u32>, out: &mut Vec<u8>) {
    out.extend_from_slice(Digits::of(number).as_bytes());
}

/// Appends an address.
pub(crate) fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                push_number(octet, out);
            }
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// Reads a payload type, 0 to 127. Leading zeros change nothing.
pub(crate) fn payload_type(word: &[u8]) -> Option<u8> {
    let mut number: u8 = 0;
    for byte in word {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    (!word.is_empty() && number < 128).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_format_writes_them() {
        for number in [0, 7, 10, 99, 100, 48_000, 65_535, u32::MAX] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn addresses_are_written_as_format_writes_them() {
        for text in ["0.0.0.0", "192.0.2.10", "255.255.255.255", "2001:db8::1"] {
            let mut out = Vec::new();
            push_address(text.parse().unwrap(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }
}

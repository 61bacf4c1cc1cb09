//! Documents that are written as they are made up, and never held as values: a reply about a call
//! has some hundred of them.

use std::net::IpAddr;

use crate::bencode::{encode_bytes, encode_digits};

/// Something that can be written as one value.
pub trait Emit {
    /// Appends its bencoded form.
    fn emit(self, out: &mut Vec<u8>);
}

impl Emit for &[u8] {
    fn emit(self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }
}

impl Emit for &str {
    fn emit(self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }
}

impl Emit for u32 {
    fn emit(self, out: &mut Vec<u8>) {
        u64::from(self).emit(out);
    }
}

/// Counts beyond 63 bits are written as the greatest number there is.
impl Emit for u64 {
    fn emit(self, out: &mut Vec<u8>) {
        if let Ok(digit @ 0..10) = u8::try_from(self) {
            return out.extend_from_slice(&[b'i', b'0' + digit, b'e']);
        }
        out.push(b'i');
        encode_digits(self.min(i64::MAX.cast_unsigned()), out);
        out.push(b'e');
    }
}

/// As text.
impl Emit for IpAddr {
    fn emit(self, out: &mut Vec<u8>) {
        match self {
            Self::V4(address) => {
                // The length of the text comes first.
                let octets = address.octets();
                let digits = octets.map(|it| 1 + usize::from(it > 9) + usize::from(it > 99));
                let len = digits.iter().sum::<usize>() + 3;
                encode_digits(u64::try_from(len).unwrap_or_default(), out);
                for (index, octet) in octets.into_iter().enumerate() {
                    out.push(if index > 0 { b'.' } else { b':' });
                    encode_digits(octet.into(), out);
                }
            }
            Self::V6(address) => address.to_string().as_str().emit(out),
        }
    }
}

/// A dictionary being written.
#[derive(Debug)]
pub struct DictionaryWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl DictionaryWriter<'_> {
    /// Appends a whole dictionary.
    pub(crate) fn write(out: &mut Vec<u8>, write: impl FnOnce(&mut DictionaryWriter<'_>)) {
        out.push(b'd');
        write(&mut DictionaryWriter { out });
        out.push(b'e');
    }

    /// Adds a value. Written into its caller, since there the length of nearly all keys is known.
    #[inline(always)]
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl Emit) {
        encode_bytes(key.as_ref(), self.out);
        value.emit(self.out);
    }

    /// Adds a dictionary.
    pub fn dictionary(
        &mut self,
        key: impl AsRef<[u8]>,
        write: impl FnOnce(&mut DictionaryWriter<'_>),
    ) {
        encode_bytes(key.as_ref(), self.out);
        Self::write(self.out, write);
    }

    /// Adds a list.
    pub fn list(&mut self, key: impl AsRef<[u8]>, write: impl FnOnce(&mut ListWriter<'_>)) {
        encode_bytes(key.as_ref(), self.out);
        self.out.push(b'l');
        write(&mut ListWriter { out: self.out });
        self.out.push(b'e');
    }
}

/// A list being written.
#[derive(Debug)]
pub struct ListWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl ListWriter<'_> {
    /// Adds a value.
    pub fn put(&mut self, value: impl Emit) {
        value.emit(self.out);
    }

    /// Adds a dictionary.
    pub fn dictionary(&mut self, write: impl FnOnce(&mut DictionaryWriter<'_>)) {
        DictionaryWriter::write(self.out, write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dictionary, Value};

    #[test]
    fn writes_what_values_write() {
        let ips = ["192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1"];
        let mut written = Vec::new();
        DictionaryWriter::write(&mut written, |document| {
            document.put("number", u64::MAX);
            document.put("zero", 0_u32);
            document.dictionary("inner", |inner| inner.put("text", "x"));
            document.list("list", |list| {
                for ip in ips {
                    list.put(ip.parse::<IpAddr>().unwrap());
                }
                list.dictionary(|_| {});
            });
        });
        let mut list: Vec<_> = ips.into_iter().map(Value::from).collect();
        list.push(Dictionary::new().into());
        let values = Dictionary::new()
            .with("number", u64::MAX)
            .with("zero", 0_u32)
            .with("inner", Dictionary::new().with("text", "x"))
            .with("list", list);
        let mut expected = Vec::new();
        values.encode(&mut expected);
        assert_eq!(written, expected);
    }
}

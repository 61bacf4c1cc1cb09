//! JSON, the other form of documents: what begins with `{`.
//!
//! The same values are read from it and written to it as bencode has; a reply is in the form of its
//! request. What JSON has beyond that becomes the nearest that ng has: `true` and `false` are 1 and
//! 0, a number that is not whole is its text, and a key with `null` is not there. Strings that are
//! not UTF-8 cannot be written: what is wrong in them becomes U+FFFD.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::bencode::{DEPTH_MAX, DOCUMENT_BYTES_MAX, ITEMS_MAX};
use crate::{Dictionary, Message, ParseError, Value};

/// Whether these bytes are JSON rather than bencode.
pub(crate) fn is_json(document: &[u8]) -> bool {
    document.first() == Some(&b'{')
}

/// Reads one document that is exactly `bytes`, but for white space after it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value<'_>, ParseError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(ParseError::TooLarge);
    }
    let mut reading = Reading::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let reader = Reader {
        depth: 0,
        reading: &mut reading,
    };
    let value = reader.deserialize(&mut json);
    let value = value.and_then(|value| json.end().map(|()| value));
    match value {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(ParseError::Unexpected),
        Err(error) => Err(reading.over_limit.unwrap_or_else(|| match error.is_eof() {
            true => ParseError::Truncated,
            false => ParseError::Json,
        })),
    }
}

impl Value<'_> {
    /// Appends the form in JSON.
    pub fn encode_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => encode_text(bytes, out),
            Self::Dictionary(dictionary) => {
                let entries = dictionary.iter();
                enclose(*b"{}", entries, out, |(key, value), out| {
                    encode_text(key, out);
                    out.push(b':');
                    value.encode_json(out);
                });
            }
            Self::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::List(values) => enclose(*b"[]", values, out, Self::encode_json),
        }
    }
}

impl Message<'_> {
    /// The same message with its document in JSON. As it is, if the document is not bencode.
    #[must_use]
    pub fn join_as_json(self) -> Vec<u8> {
        let Ok(document) = Value::parse_own(self.body) else {
            return self.join();
        };
        let mut out = [self.cookie, b" "].concat();
        out.reserve(self.body.len() + self.body.len() / 4);
        document.encode_json(&mut out);
        out
    }
}

fn enclose<T>(
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    encode: impl Fn(T, &mut Vec<u8>),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        encode(item, out);
    }
    out.push(close);
}

fn encode_text(bytes: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    serde_json::to_writer(out, &text).expect("memory takes any text");
}

/// What is common to all values of a document.
#[derive(Debug, Default)]
struct Reading {
    items: usize,
    over_limit: Option<ParseError>,
}

/// Reads a value; `None` is null.
struct Reader<'r> {
    depth: usize,
    reading: &'r mut Reading,
}

impl Reader<'_> {
    /// What is within this value.
    fn inner(&mut self) -> Reader<'_> {
        Reader {
            depth: self.depth + 1,
            reading: self.reading,
        }
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        if self.depth >= DEPTH_MAX {
            return self.stop(ParseError::Deep);
        }
        Ok(())
    }

    fn stop<T, E: Error>(&mut self, limit: ParseError) -> Result<T, E> {
        self.reading.over_limit = Some(limit);
        Err(E::custom(limit))
    }
}

impl<'a> DeserializeSeed<'a> for Reader<'_> {
    type Value = Option<Value<'a>>;

    fn deserialize<D: Deserializer<'a>>(mut self, json: D) -> Result<Self::Value, D::Error> {
        self.reading.items += 1;
        if self.reading.items > ITEMS_MAX {
            return self.stop(ParseError::TooLarge);
        }
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Reader<'_> {
    type Value = Option<Value<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(value.into())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(match i64::try_from(number) {
            Ok(number) => Value::Integer(number),
            Err(_) => number.to_string().into(),
        }))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        self.enter()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.inner())? {
            values.extend(value);
        }
        Ok(Some(Value::List(values)))
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        self.enter()?;
        let mut dictionary = Dictionary::new();
        while let Some(key) = map.next_key_seed(self.inner())? {
            let key = match key {
                Some(Value::Bytes(key)) => key,
                // JSON has no other keys.
                _ => Cow::default(),
            };
            if let Some(value) = map.next_value_seed(self.inner())? {
                dictionary.push(key, value);
            }
        }
        Ok(Some(Value::Dictionary(dictionary)))
    }
}

#[cfg(test)]
mod tests;

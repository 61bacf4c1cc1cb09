//! Documents: what a request or a reply says, whatever it is written in.

use std::borrow::Cow;

use crate::word;

/// One value of a document, borrowing from the bytes it was read from where it can.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value<'a> {
    /// A string of bytes, not necessarily UTF-8.
    Bytes(Cow<'a, [u8]>),
    /// Values by name, in the order written.
    Dictionary(Dictionary<'a>),
    /// A whole number.
    Integer(i64),
    /// Values in order.
    List(Vec<Self>),
}

/// Values by name. The order of insertion is kept and nothing is sorted; of equal keys the first
/// one counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dictionary<'a> {
    entries: Vec<(Cow<'a, [u8]>, Value<'a>)>,
}

impl Value<'_> {
    /// The bytes, if it is a string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if it is a string in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The number, if it is one or a string of decimal digits: clients send both.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Bytes(_) => self.as_str()?.trim().parse().ok(),
            _ => None,
        }
    }

    /// The values, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    #[must_use]
    pub fn as_dictionary(&self) -> Option<&Dictionary<'_>> {
        match self {
            Self::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    /// A list of strings: either as such, or as one string that is divided by commas.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        let (list, joined) = match self {
            Self::List(values) => (values.as_slice(), None),
            Self::Bytes(bytes) => (&[][..], Some(bytes)),
            _ => (&[][..], None),
        };
        let listed = list.iter().filter_map(Value::as_bytes);
        let divided = joined
            .into_iter()
            .flat_map(|bytes| bytes.split(|&b| b == b','));
        listed
            .chain(divided)
            .map(<[u8]>::trim_ascii)
            .filter(|word| !word.is_empty())
    }
}

impl<'a> Dictionary<'a> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for so many entries.
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
        }
    }

    /// Adds a value at the end.
    pub fn push(&mut self, key: impl Into<Cow<'a, [u8]>>, value: impl Into<Value<'a>>) {
        self.entries.push((key.into(), value.into()));
    }

    /// Adds a value at the end and returns the dictionary, to write one in a single expression.
    #[must_use]
    pub fn with(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        self.push(key.as_bytes(), value);
        self
    }

    /// The value of a key, which must be spelt exactly so.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Value<'a>> {
        let key = key.as_ref();
        self.iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The value of a key in any spelling: a space, a hyphen and an underscore are the same, and
    /// so are capital and small letters.
    #[must_use]
    pub fn find(&self, key: impl AsRef<[u8]>) -> Option<&Value<'a>> {
        let key = key.as_ref();
        self.iter()
            .find_map(|(name, value)| word::same(name, key).then_some(value))
    }

    /// Keys and values in the order written.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Value<'a>)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

/// Counts beyond 63 bits are written as the greatest number there is.
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a> From<Dictionary<'a>> for Value<'a> {
    fn from(dictionary: Dictionary<'a>) -> Self {
        Self::Dictionary(dictionary)
    }
}

impl<'a> From<Vec<Self>> for Value<'a> {
    fn from(values: Vec<Self>) -> Self {
        Self::List(values)
    }
}

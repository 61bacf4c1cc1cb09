//! What each of very many calls has, in few bytes: values that are nearly always the same take none
//! to speak of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is nearly always the usual one: then it takes a pointer and no more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rare<T>(Option<Box<T>>);

/// What has a usual value.
pub(crate) trait Usual: PartialEq + Sized + 'static {
    const USUAL: &'static Self;
}

impl<T: PartialEq + 'static> Usual for Vec<T> {
    const USUAL: &'static Self = &Self::new();
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::USUAL)
    }
}

impl<T: Usual> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != *T::USUAL).then(|| Box::new(value)))
    }
}

impl<T: Usual + Clone> Rare<T> {
    pub(crate) fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.0.take().unwrap_or_else(|| Box::new(T::USUAL.clone()));
        let result = change(&mut value);
        self.0 = Some(value).filter(|value| **value != *T::USUAL);
        result
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.map_or_else(|| T::USUAL.clone(), |value| *value)
    }
}

/// As the value itself.
impl<T: Usual + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Usual + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

/// Bytes that stay as they are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Name(Box<[u8]>);

impl From<&[u8]> for Name {
    fn from(text: &[u8]) -> Self {
        Self(text.into())
    }
}

impl From<Vec<u8>> for Name {
    fn from(text: Vec<u8>) -> Self {
        Self(text.into())
    }
}

impl Deref for Name {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        relay_wire::bytes::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        relay_wire::bytes::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// The names of one party. Most have one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Names {
    first: Option<Name>,
    /// Only if there is a first one.
    others: Rare<Vec<Name>>,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.first.as_deref()
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.others.iter().map(|name| &**name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.first().into_iter().chain(self.others())
    }

    /// One more name, which is the first from now on.
    pub(crate) fn put_first(&mut self, name: &[u8]) {
        let before = self.first.replace(name.into());
        if let Some(before) = before {
            self.others.change(|others| others.insert(0, before));
        }
    }

    /// One more name.
    pub(crate) fn push(&mut self, name: &[u8]) {
        match self.first {
            None => self.first = Some(name.into()),
            Some(_) => self.others.change(|others| others.push(name.into())),
        }
    }
}

/// A word of SDP. Nearly always it is one of a few, which take no memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Word(Spelling);

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Spelling {
    /// By its place in [`USUAL`].
    Usual(u8),
    Other(Name),
}

/// Kinds of media and protocols that are usual. Their places stand in the records of calls.
const USUAL: [&[u8]; 14] = [
    b"",
    b"audio",
    b"video",
    b"image",
    b"application",
    b"text",
    b"message",
    b"RTP/AVP",
    b"RTP/AVPF",
    b"RTP/SAVP",
    b"RTP/SAVPF",
    b"UDP/TLS/RTP/SAVP",
    b"UDP/TLS/RTP/SAVPF",
    b"udptl",
];

impl From<&[u8]> for Word {
    fn from(text: &[u8]) -> Self {
        let place = USUAL.iter().position(|usual| *usual == text);
        let place = place.and_then(|place| u8::try_from(place).ok());
        Self(place.map_or_else(|| Spelling::Other(text.into()), Spelling::Usual))
    }
}

impl Default for Word {
    fn default() -> Self {
        Self(Spelling::Usual(0))
    }
}

impl Deref for Word {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Spelling::Usual(place) => USUAL.get(usize::from(*place)).copied().unwrap_or_default(),
            Spelling::Other(text) => text,
        }
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Spelling::deserialize(deserializer)? {
            Spelling::Usual(place) if usize::from(place) >= USUAL.len() => {
                Err(Error::custom("no word has this number"))
            }
            Spelling::Usual(place) => Ok(Self(Spelling::Usual(place))),
            Spelling::Other(text) => Ok(Self::from(&*text)),
        }
    }
}

/// An address and a port, in fewer bytes than [`SocketAddr`], which has room for what SDP cannot say.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Address {
    V4(Ipv4Addr, u16),
    V6(Ipv6Addr, u16),
}

impl Address {
    pub(crate) fn ip(self) -> IpAddr {
        match self {
            Self::V4(ip, _) => ip.into(),
            Self::V6(ip, _) => ip.into(),
        }
    }

    pub(crate) fn port(self) -> u16 {
        let (Self::V4(_, port) | Self::V6(_, port)) = self;
        port
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) => Self::V4(ip, address.port()),
            IpAddr::V6(ip) => Self::V6(ip, address.port()),
        }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(address.ip(), address.port())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again<T: Serialize + for<'de> Deserialize<'de>>(value: &T) -> Option<T> {
        let mut bytes = Vec::new();
        relay_wire::append(value, &mut bytes);
        postcard::from_bytes(&bytes).ok()
    }

    #[test]
    fn what_each_call_has_some_of_is_small() {
        assert_eq!(size_of::<Rare<Vec<Name>>>(), 8);
        assert_eq!(size_of::<Option<Name>>(), 16);
        assert_eq!(size_of::<Names>(), 24);
        assert_eq!(size_of::<Word>(), 16);
        assert_eq!(size_of::<Option<Address>>(), 20);
    }

    #[test]
    fn a_usual_value_is_the_same_however_it_came_about() {
        let mut list: Rare<Vec<u8>> = Rare::default();
        assert!(list.is_empty());
        list.change(|it| it.push(1));
        assert_eq!(*list, [1]);
        assert_eq!(again(&list), Some(list.clone()));
        list.change(Vec::clear);
        assert_eq!(list, Rare::from(Vec::new()));
        assert_eq!(again(&list), Some(list));
    }

    #[test]
    fn names_stay_in_their_order() {
        let mut names = Names::default();
        assert!(names.is_empty() && names.first().is_none());
        names.push(b"b");
        names.push(b"c");
        names.put_first(b"a");
        let listed: Vec<_> = names.iter().collect();
        assert_eq!(listed, [b"a", b"b", b"c"]);
        assert_eq!((names.len(), names.first()), (3, Some(&b"a"[..])));
        assert_eq!(again(&names), Some(names));
    }

    #[test]
    fn a_word_that_nobody_numbered_is_refused() {
        let last = u8::try_from(USUAL.len()).unwrap();
        assert_eq!(postcard::from_bytes::<Word>(&[0, last]).ok(), None);
        let word = postcard::from_bytes::<Word>(&[0, last - 1]).unwrap();
        assert_eq!(&*word, b"udptl");
        let spelt = postcard::from_bytes::<Word>(&[1, 2, b'R', b'x']).unwrap();
        assert_eq!(&*spelt, b"Rx");
    }

    proptest! {
        #[test]
        fn a_word_is_what_it_was_made_of(text in prop_oneof![
            proptest::sample::select(&USUAL[..]).prop_map(<[u8]>::to_vec),
            any::<Vec<u8>>(),
        ]) {
            let word = Word::from(&text[..]);
            prop_assert_eq!(&*word, &text[..]);
            prop_assert_eq!(again(&word), Some(word));
        }

        #[test]
        fn an_address_is_what_it_was_made_of(ip: IpAddr, port: u16) {
            let address = SocketAddr::new(ip, port);
            prop_assert_eq!(SocketAddr::from(Address::from(address)), address);
            prop_assert_eq!(again(&Address::from(address)), Some(Address::from(address)));
        }
    }
}

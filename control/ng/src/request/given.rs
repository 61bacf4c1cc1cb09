//! What stands behind a key: a value of the document, or a piece of a script's flag string.
//!
//! Newer Kamailios pass the flags on as the script has them (`rtpp-flags`), such as
//! `replace=[origin] codec=[mask=[opus] strip=[all]] direction=a direction=b strict-source`. Read
//! as that, it is the same keys and values again.

use crate::{Dictionary, Value};

/// The value of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    Document(&'a Value<'a>),
    /// One word, or several and more keys in brackets.
    Script(&'a [u8]),
}

impl<'a> Given<'a> {
    /// One string. A list is none.
    pub(super) fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Document(value) => value.as_bytes(),
            Self::Script(text) => Some(text).filter(|it| !it.starts_with(b"[")),
        }
    }

    pub(super) fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// A number, be it written as one or as a string.
    pub(super) fn as_integer(self) -> Option<i64> {
        match self {
            Self::Document(value) => value.as_integer(),
            Self::Script(_) => self.as_str()?.trim().parse().ok(),
        }
    }

    /// A list of strings, in any of the ways that these are written.
    pub(super) fn words(self) -> impl Iterator<Item = &'a [u8]> {
        let (document, script) = match self {
            Self::Document(value) => (Some(value.words()), None),
            Self::Script(text) => (None, Some(script_words(text))),
        };
        let listed = document.into_iter().flatten();
        listed.chain(script.into_iter().flatten())
    }

    /// What is in it by name.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'a [u8], Given<'a>)> {
        let (document, script) = match self {
            Self::Document(value) => (value.as_dictionary().map(Dictionary::iter), None),
            Self::Script(text) => (None, Some(Script::new(inner(text)))),
        };
        let listed = document.into_iter().flatten();
        let listed = listed.map(|(key, value)| (key, Self::Document(value)));
        let named = script.into_iter().flatten().filter_map(|word| match word {
            Word::Named(key, value) => Some((key, Self::Script(value))),
            Word::Bare(_) => None,
        });
        listed.chain(named)
    }

    /// What a list is made of.
    pub(super) fn items(self) -> impl Iterator<Item = Given<'a>> {
        let (document, script) = match self {
            Self::Document(value) => (value.as_list().unwrap_or_default(), None),
            Self::Script(text) => (&[][..], Some(Script::new(inner(text)))),
        };
        let bare = script.into_iter().flatten().filter_map(|word| match word {
            Word::Bare(word) => Some(Self::Script(word)),
            Word::Named(..) => None,
        });
        document.iter().map(Self::Document).chain(bare)
    }

    /// The lists that a list is made of.
    pub(super) fn lists(self) -> impl Iterator<Item = Given<'a>> {
        let list = match self {
            Self::Document(value) => value.as_list().unwrap_or_default(),
            Self::Script(_) => &[],
        };
        let lists = list.iter().filter(|it| it.as_list().is_some());
        lists.map(Self::Document)
    }
}

/// A piece of a flag string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Word<'a> {
    /// A flag.
    Bare(&'a [u8]),
    /// `key=value`
    Named(&'a [u8], &'a [u8]),
}

/// A flag string, piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// A word, or everything up to the bracket that closes the one it begins with.
    fn value(&mut self) -> &'a [u8] {
        if !self.rest.starts_with(b"[") {
            let is_end = |b: &u8| b.is_ascii_whitespace();
            let len = self.rest.iter().position(is_end);
            return self.take(len.unwrap_or(self.rest.len()));
        }
        let mut depth = 0_usize;
        let closes = |b: &u8| {
            match b {
                b'[' => depth += 1,
                b']' => depth -= 1,
                _ => {}
            }
            depth == 0
        };
        let len = self.rest.iter().position(closes).map(|at| at + 1);
        self.take(len.unwrap_or(self.rest.len()))
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        self.skip_spaces();
        if self.rest.is_empty() {
            return None;
        }
        if self.rest.starts_with(b"[") {
            return Some(Word::Bare(self.value()));
        }
        let is_end = |b: &u8| b.is_ascii_whitespace() || *b == b'=';
        let len = self.rest.iter().position(is_end);
        let word = self.take(len.unwrap_or(self.rest.len()));
        if !self.rest.starts_with(b"=") {
            return Some(Word::Bare(word));
        }
        self.take(1);
        Some(Word::Named(word, self.value()))
    }
}

/// What the brackets hold; without brackets, the word itself.
fn inner(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"[").unwrap_or(text);
    text.strip_suffix(b"]").unwrap_or(text)
}

fn script_words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bare = Script::new(inner(text)).filter_map(|word| match word {
        Word::Bare(word) => Some(word),
        Word::Named(..) => None,
    });
    let words = bare.flat_map(|word| word.split(|&b| b == b','));
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_string_is_keys_and_values_again() {
        let text = b"replace=[ origin ]  sdp-attr=[audio=[ remove=[ test ] add=[a b]]] x y=1";
        let words: Vec<_> = Script::new(text).collect();
        let audio = &b"[audio=[ remove=[ test ] add=[a b]]]"[..];
        let expected = [
            Word::Named(b"replace", b"[ origin ]"),
            Word::Named(b"sdp-attr", audio),
            Word::Bare(b"x"),
            Word::Named(b"y", b"1"),
        ];
        assert_eq!(words, expected);
        let (name, inside) = Given::Script(audio).entries().next().unwrap();
        assert_eq!(name, b"audio");
        let inside: Vec<_> = inside
            .entries()
            .map(|(name, value)| (name, value.words().collect::<Vec<_>>()))
            .collect();
        assert_eq!(inside[0], (&b"remove"[..], vec![&b"test"[..]]));
        assert_eq!(inside[1], (&b"add"[..], vec![&b"a"[..], b"b"]));
    }

    #[test]
    fn whatever_is_not_closed_ends_with_the_string() {
        for text in [
            &b"a=["[..],
            b"a=[b=[c]",
            b"=",
            b"==",
            b"]]",
            b"a= ",
            b"[",
            b"a =b",
        ] {
            for word in Script::new(text) {
                if let Word::Named(_, value) = word {
                    assert!(Given::Script(value).entries().count() <= 1);
                    assert!(Given::Script(value).words().count() <= 1);
                }
            }
        }
    }
}

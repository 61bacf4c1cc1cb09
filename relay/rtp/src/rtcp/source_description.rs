//! Source descriptions (RFC 3550 §6.5).
//!
//! ```text
//! chunk = SSRC (32), items, a null byte, null bytes up to the next word
//! item  = type (8), length (8), text
//! ```

use super::word;
use crate::Ssrc;

/// Who the sources are.
#[derive(Clone, Copy, Debug)]
pub struct SourceDescription<'a> {
    content: &'a [u8],
    count: u8,
}

/// What is said about one source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunk<'a> {
    /// Which.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

/// One thing said about a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item<'a> {
    /// 1 is the canonical name, 2 the user's (RFC 3550 §12.2).
    pub kind: u8,
    /// UTF-8 if the sender keeps to the RFC.
    pub text: &'a [u8],
}

/// The list of items ends with this in place of a kind.
const ITEM_END: u8 = 0;

pub(super) fn is_whole(content: &[u8], count: u8) -> bool {
    let mut rest = content;
    for _ in 0..count {
        let Some((_, after)) = split_chunk(rest) else {
            return false;
        };
        rest = after;
    }
    true
}

impl<'a> SourceDescription<'a> {
    pub(super) fn new(content: &'a [u8], count: u8) -> Self {
        Self { content, count }
    }

    /// One chunk for each source.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let mut rest = self.content;
        (0..self.count).map_while(move |_| {
            let chunk;
            (chunk, rest) = split_chunk(rest)?;
            Some(chunk)
        })
    }
}

impl<'a> Chunk<'a> {
    /// What is said, in order.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let item;
            (item, rest) = split_item(rest)?;
            Some(item)
        })
    }
}

/// Takes the first chunk off. The last chunk may lack the null bytes after its last item, as
/// some phones leave them out.
fn split_chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (head, items) = bytes.split_at_checked(4)?;
    let mut len = 0;
    while let Some((item, _)) = split_item(&items[len..]) {
        len += 2 + item.text.len();
    }
    let end = match items.get(len) {
        // The null byte and those that fill the word.
        Some(&ITEM_END) => (len / 4 + 1) * 4,
        Some(_) => return None,
        None => len,
    };
    let chunk = Chunk {
        ssrc: Ssrc::new(word(head, 0)),
        items: &items[..len],
    };
    Some((chunk, items.get(end..)?))
}

/// Takes the first item off: `None` at the end, and where it would go on beyond it.
fn split_item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let &[kind, len, ref rest @ ..] = bytes else {
        return None;
    };
    if kind == ITEM_END {
        return None;
    }
    let (text, rest) = rest.split_at_checked(usize::from(len))?;
    Some((Item { kind, text }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [u8; 20] = [
        0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0, // a name, a null byte, three that fill
        0, 0, 0, 2, 2, 1, b'c', 0, // a user's name, a null byte
    ];

    #[test]
    fn reads_chunks_and_items() {
        assert!(is_whole(&TWO, 2));
        let chunks: Vec<_> = SourceDescription::new(&TWO, 2).chunks().collect();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[1].ssrc, Ssrc::new(2));
        let items: Vec<_> = chunks[0].items().collect();
        assert_eq!(
            items,
            [Item {
                kind: 1,
                text: b"ab"
            }]
        );
    }

    #[test]
    fn refuses_items_that_go_on_beyond_the_end() {
        assert!(!is_whole(&TWO, 3), "no third chunk");
        assert!(!is_whole(&TWO[..3], 1));
        let mut bytes = TWO;
        bytes[17] = 3;
        assert!(!is_whole(&bytes, 2), "the text is longer than the packet");
    }

    #[test]
    fn takes_a_last_chunk_without_null_bytes() {
        assert!(is_whole(&TWO[..8], 1));
    }
}

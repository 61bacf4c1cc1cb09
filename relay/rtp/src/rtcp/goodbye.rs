//! Goodbye (RFC 3550 §6.6).

use super::word;
use crate::Ssrc;

/// Somebody leaves.
#[derive(Clone, Copy, Debug)]
pub struct Goodbye<'a> {
    content: &'a [u8],
    count: u8,
}

pub(super) fn is_whole(content: &[u8], count: u8) -> bool {
    let Some(rest) = content.get(4 * usize::from(count)..) else {
        return false;
    };
    match rest {
        [] => true,
        [len, reason @ ..] => usize::from(*len) <= reason.len(),
    }
}

impl<'a> Goodbye<'a> {
    pub(super) fn new(content: &'a [u8], count: u8) -> Self {
        Self { content, count }
    }

    /// Who leaves.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        let content = self.content;
        (0..usize::from(self.count)).map(move |index| Ssrc::new(word(content, 4 * index)))
    }

    /// Why, in words that are UTF-8 if the sender keeps to the RFC.
    #[must_use]
    pub fn reason(&self) -> Option<&'a [u8]> {
        let (len, reason) = self.content[4 * usize::from(self.count)..].split_first()?;
        Some(&reason[..usize::from(*len)])
    }
}

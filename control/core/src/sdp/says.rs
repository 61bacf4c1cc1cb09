//! What a section says of RTCP, of header extensions and of keys.

use super::keys::{KEYS_MAX, KeyLine};
use super::parse::{Line, Media, Place, Sdp};

/// Says that headers of extensions may be of both kinds (RFC 8285 §6).
pub(super) const ALLOW_MIXED: &[u8] = b"a=extmap-allow-mixed";

impl Sdp<'_> {
    /// Whether a section names feedback that its sender knows (RFC 4585 §4.2).
    pub(crate) fn names_feedback(&self, media: &Media) -> bool {
        let mut lines = media.block.lines.iter();
        lines.any(|it| it.place == Place::Format && self.text(&it.text).starts_with(b"a=rtcp-fb:"))
    }

    /// Whether a section names extensions, but does not say that their headers may be of both
    /// kinds.
    pub(crate) fn mixes_no_extensions(&self, media: &Media) -> bool {
        let mut lines = media.block.lines.iter();
        let mixes = media.block.lines.iter().chain(&self.session.block.lines);
        lines.any(|it| self.is_extension(it)) && !mixes.into_iter().any(|it| self.is_mixed(it))
    }

    /// The keys of SRTP that a section names, as far as they can be used.
    pub(crate) fn keys(&self, media: &Media) -> Vec<KeyLine> {
        if !media.block.has(Place::Crypto) {
            return Vec::new();
        }
        let lines = media.block.lines.iter();
        let lines = lines.filter(|it| it.place == Place::Crypto);
        let arguments = lines.filter_map(|it| self.text(&it.text).strip_prefix(b"a=crypto:"));
        arguments
            .take(KEYS_MAX)
            .filter_map(KeyLine::parse)
            .collect()
    }

    pub(super) fn is_mixed(&self, line: &Line) -> bool {
        line.place == Place::Extmap && self.text(&line.text) == ALLOW_MIXED
    }

    /// Whether a line names an extension by a number that there is (RFC 8285 §4.2, §4.3).
    pub(super) fn is_extension(&self, line: &Line) -> bool {
        let number = self.text(&line.text).strip_prefix(b"a=extmap:");
        let number = number.and_then(|it| it.split(|b| !b.is_ascii_digit()).next());
        let number = number.and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
        line.place == Place::Extmap && matches!(number, Some(1..=14 | 16..=255))
    }
}

//! One medium in two sections, with keys and without, as SRTP that may be declined was offered
//! before there was RFC 8643.
//!
//! Within a call it is one section, which has the keys. Who has put it into two is told of two, and
//! that the other one is refused.

use std::borrow::Cow;

use super::parse::{Media, Sdp, Transport};
use crate::profile;

/// A medium that stands in two sections: its place in the call, and whether the section without
/// keys is the second of them.
pub(crate) type Pair = (u8, bool);

/// A description with one section for each two that are one medium, and which these are. `None`: there
/// are none.
pub(crate) fn joined(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Pair>)> {
    let sdp = Sdp::parse(bytes).ok()?;
    let mut kept: Vec<usize> = Vec::with_capacity(sdp.media().len());
    let mut pairs: Vec<Pair> = Vec::new();
    // The section before, if it is not half of a pair already.
    let mut single = None;
    for (at, media) in sdp.media().iter().enumerate() {
        let first = single.take().map(|it: usize| &sdp.media()[it]);
        let meeting = first.map_or(Meeting::None, |first| sdp.meeting(first, media));
        let place = kept.len().saturating_sub(1);
        let place = u8::try_from(place).unwrap_or(u8::MAX);
        match meeting {
            Meeting::First => {
                kept.pop();
                kept.push(at);
                pairs.push((place, false));
            }
            Meeting::Second => pairs.push((place, true)),
            Meeting::Declined => {}
            Meeting::None => {
                kept.push(at);
                single = Some(at);
            }
        }
    }
    if kept.len() == sdp.media().len() {
        return None;
    }
    let start = sdp.media().first().map_or(bytes.len(), |it| it.line.start);
    let mut out = bytes[..start].to_vec();
    for at in kept {
        out.extend_from_slice(sdp.section(at));
    }
    Some((out, pairs))
}

/// A description with the other section of each medium that its receiver has put into two.
pub(crate) fn parted<'a>(bytes: &'a [u8], pairs: &[Pair]) -> Cow<'a, [u8]> {
    if pairs.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let Ok(sdp) = Sdp::parse(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let start = sdp.media().first().map_or(bytes.len(), |it| it.line.start);
    let mut out = bytes[..start].to_vec();
    for (at, media) in sdp.media().iter().enumerate() {
        let pair = pairs.iter().find(|(place, _)| usize::from(*place) == at);
        let line = pair.and_then(|_| sdp.without_keys(media));
        let is_second = pair.is_some_and(|(_, is_second)| *is_second);
        let (first, second) = if is_second {
            (None, line)
        } else {
            (line, None)
        };
        out.extend(first.unwrap_or_default());
        out.extend_from_slice(sdp.section(at));
        out.extend(second.unwrap_or_default());
    }
    Cow::Owned(out)
}

/// What two sections, one after the other, are to each other.
enum Meeting {
    /// One medium, whose first section has no keys.
    First,
    /// One medium, whose second section has none.
    Second,
    /// One medium; its second section, which has keys, is refused.
    Declined,
    None,
}

impl<'a> Sdp<'a> {
    fn meeting(&self, first: &Media, second: &Media) -> Meeting {
        let is_rtp = |it: &Media| it.transport == Transport::Rtp;
        let has_keys = |it: &Media| profile::is_secure(self.text(&it.protocol));
        let is_one =
            is_rtp(first) && is_rtp(second) && self.text(&first.kind) == self.text(&second.kind);
        match (has_keys(first), has_keys(second)) {
            (false, true) if is_one && second.port != 0 => Meeting::First,
            (false, true) if is_one && first.port != 0 => Meeting::Declined,
            (true, false) if is_one && first.port != 0 => Meeting::Second,
            _ => Meeting::None,
        }
    }

    /// A section up to the next one.
    fn section(&self, at: usize) -> &'a [u8] {
        let start = self.media[at].line.start;
        let end = self.media.get(at + 1);
        let end = end.map_or(self.bytes.len(), |next| next.line.start);
        &self.bytes[start..end]
    }

    /// The line by which the section without keys is refused. `None`: the medium has none itself.
    fn without_keys(&self, media: &Media) -> Option<Vec<u8>> {
        let clear = profile::clear(self.text(&media.protocol))?;
        let (kind, formats) = (self.text(&media.kind), self.text(&media.formats));
        Some([b"m=", kind, b" 0 ", clear, b" ", formats, b"\r\n"].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\ns=-\r\n";
    const CLEAR: &str = "m=audio 4000 RTP/AVP 8\r\na=x\r\n";
    const SECRET: &str = "m=audio 4002 RTP/SAVP 8\r\na=y\r\n";
    const VIDEO: &str = "m=video 4004 RTP/SAVP 96\r\n";

    fn join(sections: &[&str]) -> Option<(String, Vec<Pair>)> {
        let text = HEAD.to_owned() + &sections.concat();
        let (out, pairs) = joined(text.as_bytes())?;
        Some((String::from_utf8(out).unwrap(), pairs))
    }

    fn whole(sections: &[&str]) -> String {
        HEAD.to_owned() + &sections.concat()
    }

    #[test]
    fn two_sections_of_one_medium_become_one() {
        let refused = CLEAR.replace("4000", "0");
        let declined = SECRET.replace("4002", "0");
        for (sections, kept, pairs) in [
            (
                &[CLEAR, SECRET, VIDEO][..],
                &[SECRET, VIDEO][..],
                &[(0, false)][..],
            ),
            (&[VIDEO, SECRET, CLEAR], &[VIDEO, SECRET], &[(1, true)]),
            (&[&refused, SECRET], &[SECRET], &[(0, false)]),
            (&[SECRET, &refused], &[SECRET], &[(0, true)]),
            (&[CLEAR, &declined], &[CLEAR], &[]),
            (
                &[CLEAR, SECRET, CLEAR, SECRET],
                &[SECRET, SECRET],
                &[(0, false), (1, false)],
            ),
        ] {
            let (out, found) = join(sections).unwrap();
            assert_eq!((out, &found[..]), (whole(kept), pairs));
        }
        for sections in [
            &[CLEAR][..],
            &[SECRET],
            &[CLEAR, VIDEO],
            &[SECRET, SECRET],
            &[CLEAR, CLEAR],
            &[],
        ] {
            assert_eq!(join(sections), None);
        }
    }

    #[test]
    fn one_section_becomes_two_of_which_one_is_refused() {
        let told = whole(&[SECRET, VIDEO]);
        let refused = "m=audio 0 RTP/AVP 8\r\n";
        let first = parted(told.as_bytes(), &[(0, false)]);
        assert_eq!(first, whole(&[refused, SECRET, VIDEO]).as_bytes());
        let second = parted(told.as_bytes(), &[(0, true)]);
        assert_eq!(second, whole(&[SECRET, refused, VIDEO]).as_bytes());
        assert_eq!(parted(told.as_bytes(), &[]), told.as_bytes());
        let clear = whole(&[CLEAR]);
        assert_eq!(parted(clear.as_bytes(), &[(0, false)]), clear.as_bytes());
    }
}

//! Sections in another order.

use std::borrow::Cow;

/// A description whose `n`th section is the one that was at the place `order[n]`. As it was, if these
/// are not the places of all its sections.
pub(crate) fn reordered<'a>(bytes: &'a [u8], order: &[u8]) -> Cow<'a, [u8]> {
    if is_usual(order) {
        return Cow::Borrowed(bytes);
    }
    let mut starts = Vec::with_capacity(order.len() + 1);
    let mut at = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b"m=") {
            starts.push(at);
        }
        at += line.len();
    }
    let sections = starts.len();
    starts.push(at);
    let section = |place: u8| {
        let place = usize::from(place);
        bytes.get(*starts.get(place)?..*starts.get(place + 1)?)
    };
    if sections != order.len() || inverse(order).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + 2);
    out.extend_from_slice(&bytes[..starts[0]]);
    for section in order.iter().filter_map(|place| section(*place)) {
        out.extend_from_slice(section);
        if !section.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    Cow::Owned(out)
}

/// Whether all stays where it is.
pub(crate) fn is_usual(order: &[u8]) -> bool {
    let places = order.iter().enumerate();
    places
        .into_iter()
        .all(|(n, place)| usize::from(*place) == n)
}

/// The order that leads back. `None` if two things would be at one place.
pub(crate) fn inverse(order: &[u8]) -> Option<Vec<u8>> {
    let back = (0..order.len()).map(|place| {
        let n = order.iter().position(|it| usize::from(*it) == place)?;
        u8::try_from(n).ok()
    });
    back.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_change_places_and_back() {
        let text = b"v=0\r\ns=-\r\nm=audio 1 x\r\na=y\r\nm=video 2 x\r\nm=text 3 x";
        let moved = reordered(text, &[2, 0, 1]);
        let expected = "v=0\r\ns=-\r\nm=text 3 x\r\nm=audio 1 x\r\na=y\r\nm=video 2 x\r\n";
        assert_eq!(String::from_utf8_lossy(&moved), expected);
        let back = reordered(&moved, &inverse(&[2, 0, 1]).unwrap()).into_owned();
        assert_eq!(back, [&text[..], b"\r\n"].concat());
    }

    #[test]
    fn what_is_no_order_of_the_sections_changes_nothing() {
        let text = b"v=0\r\nm=audio 1 x\r\nm=video 2 x\r\n";
        for order in [&[][..], &[0, 1], &[1], &[1, 1], &[1, 2], &[2, 1, 0]] {
            assert_eq!(&*reordered(text, order), text);
        }
        assert_eq!(&*reordered(b"v=0\r\n", &[1, 0]), b"v=0\r\n");
    }
}

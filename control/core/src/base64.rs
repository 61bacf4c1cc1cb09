//! Base64 (RFC 4648 §4), with `=` at the end or without.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads digits up to the end. What the last one has more than there is to say is not looked at:
/// phones write there what they like.
pub(crate) fn read(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    let digits = &text[..end];
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        bits = (bits << 6 | value(*digit)?) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.extend((bits >> count).to_le_bytes().first());
        }
    }
    Some(bytes)
}

/// Writes bytes, with what fills the last digits up or without.
pub(crate) fn write(bytes: &[u8], is_padded: bool, out: &mut Vec<u8>) {
    for three in bytes.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            if n <= three.len() {
                out.push(digit(bits >> (18 - 6 * n)));
            } else if is_padded {
                out.push(b'=');
            }
        }
    }
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

fn digit(bits: u32) -> u8 {
    let at = usize::try_from(bits & 63).unwrap_or(0);
    DIGITS.get(at).copied().unwrap_or(b'A')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, text) in vectors {
            let mut written = Vec::new();
            write(plain.as_bytes(), true, &mut written);
            assert_eq!(written, text.as_bytes());
            assert_eq!(read(text.as_bytes()), Some(plain.as_bytes().to_vec()));
        }
        assert_eq!(read(b"+/8=").as_deref(), Some(&b"\xfb\xff"[..]));
        for wrong in ["Zm9vY", "Zm=v", "Zm-v", "Zg==\n"] {
            assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(read(b"Zh"), read(b"Zg=="), "bits too many say nothing");
    }

    proptest! {
        #[test]
        fn bytes_are_read_as_they_were_written(bytes in any::<Vec<u8>>(), is_padded: bool) {
            let mut text = Vec::new();
            write(&bytes, is_padded, &mut text);
            prop_assert_eq!(read(&text), Some(bytes));
        }
    }
}

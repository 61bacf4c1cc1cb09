//! Base64 (RFC 4648 §4), with `=` at the end or without.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const FILLED: GeneralPurpose = engine(true);
const BARE: GeneralPurpose = engine(false);

/// What the last digit has more than there is to say is not looked at: phones write there what they
/// like.
const fn engine(is_padded: bool) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_encode_padding(is_padded)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&STANDARD, config)
}

/// Reads digits up to the end, however many `=` there are.
pub(crate) fn read(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    BARE.decode(&text[..end]).ok()
}

/// Writes bytes, with what fills the last digits up or without.
pub(crate) fn write(bytes: &[u8], is_padded: bool) -> String {
    let engine = if is_padded { FILLED } else { BARE };
    engine.encode(bytes)
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
            assert_eq!(write(plain.as_bytes(), true), text);
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
            let text = write(&bytes, is_padded);
            prop_assert_eq!(read(text.as_bytes()), Some(bytes));
        }
    }
}

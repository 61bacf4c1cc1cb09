//! What may be in a file of sound.

use std::ffi::OsStr;
use std::path::Path;

use clap::ValueEnum;
use codec::ilbc::Mode;
use codec::{Codec, Rate};

/// The content of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Format {
    /// RIFF WAVE: 16 bits are written; 8 to 32 bits or floating point, mono or stereo are read
    Wav,
    /// G.711 µ-law
    Pcmu,
    /// G.711 A-law
    Pcma,
    /// GSM full rate, frames of 33 octets
    Gsm,
    /// G.722 with 64 kbit/s
    G722,
    /// iLBC with its header, frames of 20 ms
    Ilbc20,
    /// iLBC with its header, frames of 30 ms
    Ilbc30,
    /// 16 bits, little-endian, 8 kHz
    Raw,
    /// 16 bits, little-endian, 16 kHz
    Raw16,
}

impl Format {
    /// Each end of a name, in lower case, with what it means.
    const ENDS: [(&str, Self); 16] = [
        ("wav", Self::Wav),
        ("wave", Self::Wav),
        ("ul", Self::Pcmu),
        ("ulaw", Self::Pcmu),
        ("pcmu", Self::Pcmu),
        ("al", Self::Pcma),
        ("alaw", Self::Pcma),
        ("pcma", Self::Pcma),
        ("gsm", Self::Gsm),
        ("g722", Self::G722),
        ("ilbc", Self::Ilbc30),
        ("lbc", Self::Ilbc30),
        ("raw", Self::Raw),
        ("sln", Self::Raw),
        ("raw16", Self::Raw16),
        ("sln16", Self::Raw16),
    ];

    /// What the end of a file's name says.
    pub(super) fn of_path(path: &Path) -> Option<Self> {
        let end = path.extension().and_then(OsStr::to_str)?;
        let mut ends = Self::ENDS.into_iter();
        ends.find(|(it, _)| it.eq_ignore_ascii_case(end))
            .map(|(_, format)| format)
    }

    /// The codec of its content; `None` for plain samples.
    pub(super) fn codec(self) -> Option<Codec> {
        match self {
            Self::Wav | Self::Raw | Self::Raw16 => None,
            Self::Pcmu => Some(Codec::Pcmu),
            Self::Pcma => Some(Codec::Pcma),
            Self::Gsm => Some(Codec::Gsm),
            Self::G722 => Some(Codec::G722),
            Self::Ilbc20 => Some(Codec::Ilbc(Mode::Ms20)),
            Self::Ilbc30 => Some(Codec::Ilbc(Mode::Ms30)),
        }
    }

    /// The sample rate of its content; `None` if it can have any.
    pub(super) fn rate(self) -> Option<Rate> {
        match self {
            Self::Wav => None,
            Self::Raw => Some(Rate::Narrow),
            Self::Raw16 => Some(Rate::Wide),
            other => other.codec().map(Codec::rate),
        }
    }

    /// What the file begins with (RFC 3952 §4).
    pub(super) fn header(self) -> &'static [u8] {
        match self {
            Self::Ilbc20 => b"#!iLBC20\n",
            Self::Ilbc30 => b"#!iLBC30\n",
            _ => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_says_what_is_in_a_file() {
        let of = |name: &str| Format::of_path(Path::new(name));
        assert_eq!(of("a/hello.GSM"), Some(Format::Gsm));
        assert_eq!(of("hello.sln16"), Some(Format::Raw16));
        assert_eq!(of("hello"), None);
        assert_eq!(of("hello.mp3"), None);
    }

    #[test]
    fn each_format_but_the_shorter_ilbc_has_an_end() {
        for format in Format::value_variants() {
            let has_end = Format::ENDS.iter().any(|(_, it)| it == format);
            assert_eq!(has_end, *format != Format::Ilbc20, "{format:?}");
        }
    }
}

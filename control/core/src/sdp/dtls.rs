//! What descriptions say of handshakes: `a=setup` (RFC 4145), `a=fingerprint` (RFC 8122), `a=tls-id`
//! (RFC 8842).
//!
//! Each of them may stand in the session part for all sections. Of several fingerprints the one of
//! the strongest hash function counts: they are of one certificate.

use relay_wire::{Fingerprint, FingerprintHash};
use serde::{Deserialize, Serialize};

use super::parse::{Block, Media, Place, Sdp};

/// Bytes of the longest `tls-id` (RFC 8842 §5.1).
const TLS_ID_BYTES_MAX: usize = 255;

/// Fingerprints of one section that are read.
const FINGERPRINTS_MAX: usize = 16;

/// Who begins a handshake, as who says so means it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Setup {
    /// Who says it.
    Active,
    /// The other chooses.
    #[default]
    ActPass,
    /// Nobody, for now.
    HoldConn,
    /// The other.
    Passive,
}

impl Setup {
    fn from_name(name: &[u8]) -> Option<Self> {
        let all = [Self::Active, Self::ActPass, Self::HoldConn, Self::Passive];
        let mut all = all.into_iter();
        all.find(|it| it.name().as_bytes().eq_ignore_ascii_case(name))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
            Self::Passive => "passive",
        }
    }
}

/// What a party says of handshakes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct HandshakeSaid {
    /// Of its certificate.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) setup: Setup,
    /// Which association it means; empty if it does not say.
    pub(crate) tls_id: Box<str>,
}

/// What a party is told of handshakes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HandshakeLines {
    pub(crate) setup: Setup,
    /// Of the relay's certificate.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) tls_id: Box<str>,
}

impl HandshakeLines {
    /// What stands behind `a=`, line by line.
    pub(super) fn write(&self) -> [String; 3] {
        [
            format!("setup:{}", self.setup.name()),
            format!("fingerprint:{}", self.fingerprint),
            format!("tls-id:{}", self.tls_id),
        ]
    }
}

impl Sdp<'_> {
    /// What a section says of handshakes, if there can be any with who says it.
    pub(crate) fn handshake(&self, media: &Media) -> Option<HandshakeSaid> {
        let blocks = [&media.block, &self.session.block];
        // What stands in the session part is not meant for who names another one.
        let names_one = |it: &&&Block| self.values(it, Place::Fingerprint).next().is_some();
        let fingerprint = self.fingerprint(blocks.iter().find(names_one)?)?;
        let value = |place, name: &[u8]| {
            let mut values = blocks.into_iter().flat_map(|it| self.values(it, place));
            values.find_map(|it| it.strip_prefix(name))
        };
        let setup = value(Place::Setup, b"a=setup:");
        let setup = setup.and_then(|it| Setup::from_name(it.trim_ascii()));
        let tls_id = value(Place::TlsId, b"a=tls-id:").map(<[u8]>::trim_ascii);
        let tls_id = tls_id.filter(|it| it.len() <= TLS_ID_BYTES_MAX);
        let tls_id = tls_id.and_then(|it| std::str::from_utf8(it).ok());
        Some(HandshakeSaid {
            fingerprint,
            setup: setup.unwrap_or_default(),
            tls_id: tls_id.unwrap_or_default().into(),
        })
    }

    fn fingerprint(&self, block: &Block) -> Option<Fingerprint> {
        let lines = self
            .values(block, Place::Fingerprint)
            .take(FINGERPRINTS_MAX);
        let arguments = lines.filter_map(|it| it.strip_prefix(b"a=fingerprint:"));
        let all = arguments.filter_map(parse_fingerprint);
        all.max_by_key(|it| it.hash())
    }

    fn values<'s>(&'s self, block: &'s Block, place: Place) -> impl Iterator<Item = &'s [u8]> {
        let lines = block.lines.iter().filter(move |it| it.place == place);
        lines.map(|it| self.text(&it.text))
    }
}

/// `sha-256 AB:CD:…`. `None` if it is none, or of a hash function that nobody here has.
pub(crate) fn parse_fingerprint(argument: &[u8]) -> Option<Fingerprint> {
    let text = std::str::from_utf8(argument).ok()?;
    let (hash, digest) = text.trim().split_once(' ')?;
    let hash = FingerprintHash::from_name(hash)?;
    let bytes = digest.trim().split(':').take(hash.digest_len() + 1);
    let byte = |it: &str| {
        let is_hex = it.len() == 2 && it.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(it, 16).ok()).flatten()
    };
    Fingerprint::new(hash, bytes.map(byte).collect::<Option<_>>()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHA_1: &str = "SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";

    fn said(session: &str, section: &str) -> Option<HandshakeSaid> {
        let text = format!("v=0\r\n{session}m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n{section}");
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        sdp.handshake(&sdp.media()[0])
    }

    #[test]
    fn a_section_says_it_or_the_session_for_all() {
        let section = format!("a=setup:Passive\r\na=fingerprint:{SHA_1}\r\na=tls-id:abc\r\n");
        let in_section = said("", &section).unwrap();
        assert_eq!(in_section.setup, Setup::Passive);
        assert_eq!(in_section.fingerprint.hash(), FingerprintHash::Sha1);
        assert_eq!(in_section.fingerprint.digest()[..2], [0x4a, 0xad]);
        assert_eq!(&*in_section.tls_id, "abc");
        assert_eq!(said(&section, ""), Some(in_section));
        let own = said(&section, "a=setup:active\r\n").unwrap();
        assert_eq!(own.setup, Setup::Active);
        assert_eq!(said("", "a=setup:active\r\n"), None);
        let unknown = "a=fingerprint:md5 00:11\r\n";
        assert_eq!(said(&section, unknown), None, "it has another one");
    }

    #[test]
    fn the_strongest_fingerprint_counts() {
        let digest = ["ab"; 32].join(":");
        let section = format!("a=fingerprint:{SHA_1}\r\na=fingerprint:sha-256 {digest}\r\n");
        let said = said("", &section).unwrap();
        assert_eq!(said.fingerprint.hash(), FingerprintHash::Sha256);
        assert_eq!(said.setup, Setup::ActPass);
    }

    #[test]
    fn what_is_no_fingerprint_is_none() {
        for text in [
            "",
            "sha-1",
            "sha-1 ",
            "sha-1 AB",
            "md5 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
            &format!("{SHA_1}:00"),
            &SHA_1.replace("4A", "+A"),
            &SHA_1.replace("4A", "4AA"),
        ] {
            assert_eq!(parse_fingerprint(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_fingerprint_is_read_as_it_was_written(bytes: [u8; 32]) {
            let one = Fingerprint::new(FingerprintHash::Sha256, bytes.to_vec());
            let text = one.as_ref().unwrap().to_string();
            prop_assert_eq!(parse_fingerprint(text.as_bytes()), one);
        }

        #[test]
        fn any_bytes_are_a_fingerprint_or_none(bytes in any::<Vec<u8>>()) {
            let _ = parse_fingerprint(&bytes);
        }
    }
}

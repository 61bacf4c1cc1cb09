//! What a description says of ICE (RFC 8839).

use std::net::{IpAddr, SocketAddr};

use relay_wire::{ICE_CANDIDATES_MAX, ICE_TEXT_BYTES_MAX};

use super::parse::{Block, Media, Place, Sdp};
use crate::ice::{Candidate, Peer, Words};

impl Sdp<'_> {
    /// Who the sender is, and where it may be. `None`: it does not speak ICE.
    pub(crate) fn ice(&self, media: &Media) -> Option<Peer> {
        let blocks = [&media.block, &self.session.block];
        if !blocks.into_iter().any(|it| it.has(Place::Ice)) {
            return None;
        }
        let either = |name| blocks.into_iter().find_map(|it| self.ice_value(it, name));
        let user = ice_text(either(b"a=ice-ufrag:")?)?;
        let password = ice_text(either(b"a=ice-pwd:")?)?;
        let options = either(b"a=ice-options:").unwrap_or_default();
        let has_option = |option: &[u8]| options.split(|&b| b == b' ').any(|it| it == option);
        let lines = media.block.lines.iter();
        let candidates = lines
            .filter(|it| it.place == Place::Ice)
            .filter_map(|it| self.text(&it.text).strip_prefix(b"a=candidate:"))
            .filter_map(candidate);
        Some(Peer {
            user,
            password,
            is_lite: self.ice_value(&self.session.block, b"a=ice-lite").is_some(),
            words: Words {
                trickles: has_option(b"trickle"),
                is_ice2: has_option(b"ice2"),
            },
            // Of both components.
            candidates: candidates.take(2 * ICE_CANDIDATES_MAX).collect(),
        })
    }

    fn ice_value(&self, block: &Block, name: &[u8]) -> Option<&[u8]> {
        let lines = block.lines.iter().filter(|it| it.place == Place::Ice);
        let mut values = lines.filter_map(|it| self.text(&it.text).strip_prefix(name));
        values.next()
    }
}

/// A word of ICE: it becomes a part of messages, and so must be short and plain.
fn ice_text(text: &[u8]) -> Option<String> {
    let text = text.trim_ascii();
    let is_plain = text.iter().all(u8::is_ascii_graphic);
    let is_long = !(1..=ICE_TEXT_BYTES_MAX).contains(&text.len());
    let text = std::str::from_utf8(text).ok()?;
    (is_plain && !is_long).then(|| text.to_owned())
}

/// `foundation 1 UDP 2130706431 192.0.2.1 4000 typ host`. `None`: not UDP, a name that would have
/// to be looked up, or none at all.
fn candidate(text: &[u8]) -> Option<Candidate> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let _foundation = words.next()?;
    let component = words.next()?.parse().ok()?;
    let is_udp = words.next()?.eq_ignore_ascii_case("udp");
    let priority = words.next()?.parse().ok()?;
    let address: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let has_type = words.next()? == "typ";
    let is_usable = !address.is_unspecified() && !address.is_multicast() && port != 0;
    let is_known = (1..=2).contains(&component) && is_udp && has_type;
    (is_known && is_usable).then(|| Candidate {
        component,
        address: SocketAddr::new(address, port).into(),
        priority,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ice(lines: &str) -> Option<Peer> {
        let text = format!("v=0\r\n{lines}");
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        sdp.ice(&sdp.media()[0])
    }

    #[test]
    fn reads_who_somebody_is_and_where() {
        let said = ice(
            "a=ice-lite\r\na=ice-pwd:of the session\r\nm=audio 9 RTP/AVP 0\r\n\
            a=ice-ufrag:u\r\na=ice-pwd:p\r\na=ice-options:rtp+ecn ice2\r\n\
            a=candidate:1 1 UDP 100 192.0.2.1 4000 typ host generation 0\r\n\
            a=candidate:1 2 udp 99 192.0.2.1 4001 typ srflx raddr 10.0.0.1 rport 5\r\n\
            a=candidate:2 1 UDP 98 2001:db8::1 4000 typ host\r\n\
            a=candidate:3 1 TCP 97 192.0.2.1 9 typ host tcptype active\r\n\
            a=candidate:4 1 UDP 96 1f4712db.local 4000 typ host\r\n\
            a=candidate:5 3 UDP 95 192.0.2.1 4000 typ host\r\n\
            a=candidate:6 1 UDP 94 0.0.0.0 4000 typ host\r\n\
            a=candidate:7 1 UDP 93 192.0.2.1 0 typ host\r\n\
            a=candidate:8 1 UDP 92\r\n",
        )
        .unwrap();
        assert_eq!((&*said.user, &*said.password), ("u", "p"));
        assert!(said.is_lite && said.words.is_ice2 && !said.words.trickles);
        let found = said.candidates.iter();
        let found = found.map(|it| (it.component, it.priority, SocketAddr::from(it.address)));
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(found.eq([
            (1, 100, address("192.0.2.1:4000")),
            (2, 99, address("192.0.2.1:4001")),
            (1, 98, address("[2001:db8::1]:4000")),
        ]));
    }

    #[test]
    fn who_has_no_name_speaks_no_ice() {
        for lines in [
            "m=audio 9 RTP/AVP 0\r\n",
            "m=audio 9 RTP/AVP 0\r\na=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\n",
            "m=audio 9 RTP/AVP 0\r\na=ice-ufrag:u\r\n",
            "m=audio 9 RTP/AVP 0\r\na=ice-ufrag:u\r\na=ice-pwd:\r\n",
            "m=audio 9 RTP/AVP 0\r\na=ice-ufrag:a b\r\na=ice-pwd:p\r\n",
        ] {
            assert_eq!(ice(lines), None, "{lines}");
        }
        let long = "x".repeat(ICE_TEXT_BYTES_MAX + 1);
        let long = format!("a=ice-ufrag:{long}\r\na=ice-pwd:p\r\nm=audio 9 RTP/AVP 0\r\n");
        assert_eq!(ice(&long), None);
    }

    #[test]
    fn candidates_have_an_end() {
        let line = "a=candidate:1 1 UDP 100 192.0.2.1 4000 typ host\r\n";
        let lines = line.repeat(1_000);
        let head = "a=ice-ufrag:u\r\na=ice-pwd:p\r\nm=audio 9 RTP/AVP 0\r\n";
        let said = ice(&format!("{head}{lines}")).unwrap();
        assert_eq!(said.candidates.len(), 2 * ICE_CANDIDATES_MAX);
    }
}

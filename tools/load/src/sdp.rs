//! As much of session descriptions (RFC 8866) as a generator needs: to write one, and to find
//! where to send.

use std::net::{IpAddr, SocketAddr};

/// A description of one audio stream at an address.
#[must_use]
pub fn describe(address: SocketAddr, payload_type: u8, encoding: &str, ptime_ms: u64) -> String {
    let (ip, port) = (address.ip(), address.port());
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let map = match encoding {
        "" => String::new(),
        encoding => format!("a=rtpmap:{payload_type} {encoding}\r\n"),
    };
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {payload_type}\r\n{map}a=ptime:{ptime_ms}\r\na=sendrecv\r\n"
    )
}

/// Where the first stream of a description wants its media. `None` if there is no such place: no
/// m-line, a rejected one, or an address that is a name.
#[must_use]
pub fn media_address(sdp: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(sdp).ok()?;
    let mut address = None;
    let mut port: Option<u16> = None;
    for line in text.lines() {
        if let Some(connection) = line.strip_prefix("c=IN ") {
            // One of the stream itself replaces that of the session.
            let (_, rest) = connection.split_once(' ')?;
            let ip = rest.split('/').next()?.trim();
            address = Some(ip.parse::<IpAddr>().ok()?);
        } else if let Some(media) = line.strip_prefix("m=") {
            if port.is_some() {
                break;
            }
            port = Some(media.split(' ').nth(1)?.parse().ok()?);
        }
    }
    let port = port.filter(|&port| port != 0)?;
    Some(SocketAddr::new(address?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        for text in ["192.0.2.1:4000", "[2001:db8::1]:65535"] {
            let address = text.parse().unwrap();
            let sdp = describe(address, 8, "PCMA/8000", 20);
            assert_eq!(media_address(sdp.as_bytes()), Some(address));
        }
    }

    #[test]
    fn the_address_of_the_stream_counts_and_only_of_the_first() {
        let sdp = b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n\
                    c=IN IP4 192.0.2.2\r\nm=video 5000 RTP/AVP 96\r\nc=IN IP4 192.0.2.3\r\n";
        let address = "192.0.2.2:4000".parse().unwrap();
        assert_eq!(media_address(sdp), Some(address));
    }

    #[test]
    fn nowhere_is_nowhere() {
        for sdp in [
            &b""[..],
            b"c=IN IP4 192.0.2.1\r\n",
            b"c=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\n",
            b"m=audio 4000 RTP/AVP 0\r\n",
            b"c=IN IP4 host.example\r\nm=audio 4000 RTP/AVP 0\r\n",
            b"c=IN\r\nm=audio\r\n",
            b"\xff",
        ] {
            assert_eq!(media_address(sdp), None, "{sdp:?}");
        }
    }
}

//! Makes a description say that media goes to the relay.

use std::net::IpAddr;
use std::ops::Range;

use super::edit::Edits;
use super::parse::{Block, Connection, Media, Sdp, Transport};

/// What a description is to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite<'a> {
    /// Where the relay receives.
    pub(crate) address: IpAddr,
    /// Put it into `o=` too.
    pub(crate) replace_origin: bool,
    /// Put it even in place of 0.0.0.0, which otherwise stays, being a way to say "hold".
    pub(crate) replace_zero: bool,
    /// What `a=rtcp` is to say.
    pub(crate) rtcp_attribute: RtcpAttribute,
    /// What becomes of each media section, in their order.
    pub(crate) sections: &'a [Section],
}

/// What `a=rtcp` is to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RtcpAttribute {
    /// The port and the address.
    Full,
    /// Nothing: it is taken out.
    None,
    /// The port.
    Port,
}

/// What becomes of one media section.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Section {
    /// It cannot be relayed: it stays as it is, and points where it did.
    Keep,
    /// Its port becomes 0.
    Refuse,
    /// It goes to this port of the relay.
    Relay {
        /// Of RTP, or of whatever it is.
        port: u16,
        /// Of RTCP.
        rtcp_port: u16,
        /// Say that RTCP may come to the port of RTP.
        rtcp_mux: bool,
    },
}

/// The bytes of `sdp`, changed as `rewrite` says and nowhere else.
pub(crate) fn rewrite(sdp: &Sdp<'_>, rewrite: &Rewrite<'_>) -> Vec<u8> {
    let mut edits = Edits::new(sdp.bytes);
    rewrite_session(sdp, rewrite, &mut edits);
    for (media, section) in sdp.media.iter().zip(rewrite.sections) {
        match *section {
            Section::Keep => keep(sdp, media, rewrite, &mut edits),
            Section::Refuse => {
                edits.replace(&media.port_field, "0");
                rewrite_block(&media.block, rewrite, &mut edits);
            }
            Section::Relay {
                port,
                rtcp_port,
                rtcp_mux,
            } => {
                relay(sdp, media, port, rewrite, &mut edits);
                if media.transport == Transport::Rtp {
                    set_rtcp(media, rtcp_port, rewrite, &mut edits);
                    set_mux(media, rtcp_mux, &mut edits);
                }
            }
        }
    }
    edits.apply()
}

fn rewrite_session(sdp: &Sdp<'_>, rewrite: &Rewrite<'_>, edits: &mut Edits<'_>) {
    if let Some(origin) = &sdp.session.origin_address
        && rewrite.replace_origin
    {
        edits.replace(origin, address_field(rewrite.address));
    }
    if rewrite.touches_session() {
        rewrite_block(&sdp.session.block, rewrite, edits);
    }
    // Each section gets a port of its own here, so they can no longer share one (RFC 9143).
    if sdp.media.len() > 1 {
        for bundle in &sdp.session.bundles {
            edits.remove(bundle);
        }
    }
}

fn rewrite_block(block: &Block, rewrite: &Rewrite<'_>, edits: &mut Edits<'_>) {
    for connection in &block.connections {
        if !connection.is_zero() || rewrite.replace_zero {
            edits.replace(&connection.field, address_field(rewrite.address));
        }
    }
    // Candidates name ways around the relay, and it does not speak ICE itself: without them the
    // parties use the address in c=, which is the relay's.
    for line in &block.ice {
        edits.remove(line);
    }
}

fn relay(sdp: &Sdp<'_>, media: &Media, port: u16, rewrite: &Rewrite<'_>, edits: &mut Edits<'_>) {
    edits.replace(&media.port_field, port.to_string());
    if media.block.connections.is_empty() && sdp.session.block.connections.is_empty() {
        insert_connection(media, &address_field(rewrite.address), edits);
    }
    rewrite_block(&media.block, rewrite, edits);
}

fn set_rtcp(media: &Media, port: u16, rewrite: &Rewrite<'_>, edits: &mut Edits<'_>) {
    let attribute = match rewrite.rtcp_attribute {
        RtcpAttribute::Full => {
            let address = address_field(rewrite.address);
            Some(format!("a=rtcp:{port} IN {address}"))
        }
        RtcpAttribute::None => None,
        RtcpAttribute::Port => Some(format!("a=rtcp:{port}")),
    };
    set_line(media, &media.rtcp_lines, attribute.as_deref(), edits);
}

fn set_mux(media: &Media, is_wanted: bool, edits: &mut Edits<'_>) {
    if !is_wanted {
        set_line(media, &media.mux_lines, None, edits);
    } else if media.mux_lines.is_empty() {
        edits.insert_line(media.end, "a=rtcp-mux");
    }
}

/// Makes the first of some lines say `text` and takes the others away; adds it if there is none.
fn set_line(media: &Media, lines: &[Range<usize>], text: Option<&str>, edits: &mut Edits<'_>) {
    let mut lines = lines.iter();
    if let Some(text) = text {
        match lines.next() {
            Some(first) => edits.replace_line(first, text),
            None => edits.insert_line(media.end, text),
        }
    }
    for line in lines {
        edits.remove(line);
    }
}

/// A section that is not relayed must not inherit the relay's address.
fn keep(sdp: &Sdp<'_>, media: &Media, rewrite: &Rewrite<'_>, edits: &mut Edits<'_>) {
    let inherited = sdp.session.block.connections.first();
    if let Some(inherited) = inherited
        && media.block.connections.is_empty()
        && rewrite.touches_session()
    {
        let field = sdp.text(&inherited.field);
        insert_connection(media, &String::from_utf8_lossy(field), edits);
    }
}

fn insert_connection(media: &Media, field: &str, edits: &mut Edits<'_>) {
    edits.insert_line(media.connection_place, &format!("c=IN {field}"));
}

fn address_field(address: IpAddr) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!("{family} {address}")
}

impl Rewrite<'_> {
    /// Whether the session part speaks for any section that is relayed.
    fn touches_session(&self) -> bool {
        let mut sections = self.sections.iter();
        !sections.clone().any(|s| *s == Section::Keep)
            || sections.any(|s| matches!(s, Section::Relay { .. }))
    }
}

impl Connection {
    fn is_zero(&self) -> bool {
        self.address.is_some_and(|address| address.is_unspecified())
    }
}

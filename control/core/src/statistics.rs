//! Replies to `query` and `delete`: what is known of a call, and what went through the relay.
//!
//! Keys are the peer's, since proxies read them by name.

use std::net::SocketAddr;

use codec_catalog::Descriptor;
use control_ng::reply::{Writer, ok};
use control_ng::{Counts, Dictionary, Totals, Value};
use relay_wire::{CallStats, EndpointStats, Interface, Port, SourceStats};

use crate::call::{CallState, Leg, Stream};
use crate::control::Now;
use crate::quality::mos_tenths;
use crate::sdp::Transport;

/// What a reply is made of.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) now: Now,
    pub(crate) state: &'a CallState,
    /// `None`: the relay could not be asked.
    pub(crate) stats: Option<&'a CallStats>,
    pub(crate) interfaces: &'a [Interface],
}

impl<'a> Report<'a> {
    /// The reply, about the parties that `is_wanted` names.
    pub(crate) fn reply(&self, is_wanted: impl Fn(&Leg) -> bool) -> Writer<'a> {
        let legs = || self.state.legs.iter().filter(|leg| is_wanted(leg));
        let mut tags = Dictionary::new();
        for (number, leg) in legs().enumerate() {
            tags.push(tag_key(leg, number + 1), self.leg(leg));
        }
        ok().with("created", self.state.created_unix_ms / 1_000)
            .with("created_us", self.state.created_unix_ms % 1_000 * 1_000)
            .with("last signal", self.state.last_signal_unix_ms / 1_000)
            .with("SSRC", self.sources())
            .with("tags", tags)
            .with("totals", self.totals())
    }

    fn leg(&self, leg: &'a Leg) -> Dictionary<'a> {
        let mut entry = Dictionary::new();
        entry.push(&b"tag"[..], first_tag(leg));
        if let Some(branch) = &leg.via_branch {
            entry.push(&b"via-branch"[..], &branch[..]);
        }
        if leg.tags.len() > 1 {
            let aliases = leg.tags[1..].iter().map(|tag| Value::from(&tag[..]));
            entry.push(&b"tag-aliases"[..], aliases.collect::<Vec<_>>());
        }
        if let Some(label) = &leg.label {
            entry.push(&b"label"[..], &label[..]);
        }
        entry.push(&b"created"[..], leg.created_unix_ms / 1_000);
        let peer = leg.peer.and_then(|peer| self.state.leg(peer));
        entry.push(&b"subscriptions"[..], associations(peer.into_iter()));
        let peers = self.state.legs_towards(leg.id);
        entry.push(&b"subscribers"[..], associations(peers));
        let streams = leg.streams.iter().enumerate();
        let medias = streams.map(|(index, stream)| self.media(leg, index, stream).into());
        entry.push(&b"medias"[..], medias.collect::<Vec<Value<'_>>>());
        entry
    }

    fn media(&self, leg: &'a Leg, index: usize, stream: &'a Stream) -> Dictionary<'a> {
        let mut streams: Vec<Value<'_>> = Vec::new();
        if let Some(port) = leg.port(index) {
            streams.push(self.stream(port, Kind::Rtp, stream.remote).into());
            let rtcp = stream.rtcp_port().filter(|number| *number != port.number);
            if let Some(number) = rtcp {
                let port = Port { number, ..port };
                streams.push(self.stream(port, Kind::Rtcp, stream.remote_rtcp).into());
            }
        }
        let mut entry = Dictionary::new()
            .with("index", u64::try_from(index + 1).unwrap_or_default())
            .with("type", &stream.kind[..])
            .with("protocol", &stream.protocol[..]);
        if let Some(codec) = self.codec(leg, index) {
            entry.push(&b"codec"[..], codec);
        }
        entry
            .with("streams", streams)
            .with("flags", media_flags(stream))
    }

    /// The codec that the party sends, if its payload type says so by itself.
    fn codec(&self, leg: &Leg, index: usize) -> Option<&'static str> {
        let payload_type = self.endpoint(leg.port(index)?)?.payload_type?;
        Some(Descriptor::of_payload_type(payload_type)?.name)
    }

    fn stream(&self, port: Port, kind: Kind, advertised: Option<SocketAddr>) -> Dictionary<'a> {
        let stats = self.endpoint(port);
        let interface = self.interfaces.get(usize::from(port.interface.0));
        let address = interface.map(|interface| interface.address);
        let mut flags: Vec<Value<'_>> = vec![kind.name().into()];
        if advertised.is_some() {
            flags.push("filled".into());
        }
        if stats.is_some_and(|stats| stats.learnt) {
            flags.push("confirmed".into());
        }
        let current = stats.and_then(|stats| stats.remote).or(advertised);
        let mut entry = Dictionary::new().with("local port", u32::from(port.number));
        if let Some(address) = address {
            entry.push(&b"local address"[..], address.to_string());
            entry.push(&b"family"[..], family(address.is_ipv6()));
        }
        entry.push(&b"endpoint"[..], endpoint(current));
        entry.push(&b"advertised endpoint"[..], endpoint(advertised));
        entry.push(&b"last packet"[..], self.last_packet(stats));
        if let Some(ssrc) = stats.and_then(|stats| stats.ssrc) {
            entry.push(&b"SSRC"[..], ssrc);
        }
        entry.push(&b"flags"[..], flags);
        entry.push(&b"stats"[..], stats.map(received).unwrap_or_default());
        entry.push(&b"stats_out"[..], stats.map(sent).unwrap_or_default());
        entry
    }

    /// Seconds since 1970 of the newest packet; of the call's beginning if there was none.
    fn last_packet(&self, stats: Option<&EndpointStats>) -> u64 {
        let created = self.state.created_unix_ms;
        let newest = stats.and_then(|stats| stats.idle_ms);
        newest.map_or(created, |idle_ms| self.now.unix_ms.saturating_sub(idle_ms)) / 1_000
    }

    fn endpoint(&self, port: Port) -> Option<&'a EndpointStats> {
        let mut endpoints = self.stats?.endpoints.iter();
        endpoints.find(|endpoint| endpoint.port == port)
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for endpoint in self.stats.iter().flat_map(|stats| &stats.endpoints) {
            totals.rtp.add(Counts {
                packets: endpoint.rtp_packets_in,
                bytes: endpoint.rtp_bytes_in,
                errors: endpoint.dropped,
            });
            totals.rtcp.add(Counts {
                packets: endpoint.rtcp_packets_in,
                bytes: endpoint.rtcp_bytes_in,
                errors: 0,
            });
        }
        totals
    }

    /// What is known of each source of RTP, by its number in decimal.
    fn sources(&self) -> Dictionary<'a> {
        let mut sources = Dictionary::new();
        for endpoint in self.stats.iter().flat_map(|stats| &stats.endpoints) {
            for source in &endpoint.sources {
                let entry = self.source(endpoint, source);
                sources.push(source.ssrc.to_string().into_bytes(), entry);
            }
        }
        sources
    }

    fn source(&self, endpoint: &EndpointStats, source: &SourceStats) -> Dictionary<'a> {
        let round_trip_us = self.round_trip_us(endpoint.port);
        let mut quality = Dictionary::new();
        if let Some(mos) = mos_tenths(source, round_trip_us) {
            quality.push(&b"MOS"[..], mos);
        }
        if let Some(us) = round_trip_us {
            quality.push(&b"round-trip time"[..], us);
        }
        if let Some(us) = endpoint.round_trip_us {
            quality.push(&b"round-trip time leg"[..], us);
        }
        if let Some(us) = source.jitter_us {
            quality.push(&b"jitter"[..], us / 1_000);
        }
        let expected = source.packets.saturating_add(source.lost).max(1);
        let lost_percent = source.lost.saturating_mul(100) / expected;
        quality.push(&b"packet loss"[..], lost_percent);
        quality.push(&b"samples"[..], 1_u64);
        Dictionary::new()
            .with("SSRC", source.ssrc)
            .with("bytes", source.bytes)
            .with("packets", source.packets)
            .with("cumulative loss", source.lost)
            .with("duplicates", source.duplicates)
            .with("reordered", source.reordered)
            .with("average MOS", quality)
    }

    /// From the party at a port through the relay to the other one and back, if both ways are
    /// known. RTCP may have a port of its own, the next.
    fn round_trip_us(&self, port: Port) -> Option<u32> {
        let leg_of = |port: Port| {
            let mut legs = self.state.legs.iter();
            legs.find_map(|leg| {
                let streams = 0..leg.streams.len();
                let index = streams.into_iter().find(|it| leg.port(*it) == Some(port))?;
                Some((leg, index))
            })
        };
        let (leg, index) = leg_of(port)?;
        let peer = leg.peer.and_then(|peer| self.state.leg(peer))?;
        let near = self.round_trip_of_port(port)?;
        let far = self.round_trip_of_port(peer.port(index)?)?;
        Some(near.saturating_add(far))
    }

    fn round_trip_of_port(&self, port: Port) -> Option<u32> {
        let above = Port {
            number: port.number.checked_add(1)?,
            ..port
        };
        let round_trip = |port| self.endpoint(port)?.round_trip_us;
        round_trip(port).or_else(|| round_trip(above))
    }
}

/// What a port of a stream is for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Rtcp,
    Rtp,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Rtcp => "RTCP",
            Self::Rtp => "RTP",
        }
    }
}

/// All that arrived at a port, RTCP on the port of RTP included.
fn received(stats: &EndpointStats) -> Counts {
    Counts {
        packets: stats.rtp_packets_in + stats.rtcp_packets_in,
        bytes: stats.rtp_bytes_in + stats.rtcp_bytes_in,
        errors: stats.dropped,
    }
}

fn sent(stats: &EndpointStats) -> Counts {
    Counts {
        packets: stats.packets_out,
        bytes: stats.bytes_out,
        errors: 0,
    }
}

fn tag_key(leg: &Leg, number: usize) -> Vec<u8> {
    match leg.tags.first() {
        Some(tag) => tag.clone(),
        None => format!("<untagged {number}>").into_bytes(),
    }
}

fn first_tag(leg: &Leg) -> &[u8] {
    leg.tags.first().map_or(&[], |tag| &tag[..])
}

fn associations<'a>(legs: impl Iterator<Item = &'a Leg>) -> Vec<Value<'a>> {
    legs.map(|leg| {
        Dictionary::new()
            .with("tag", first_tag(leg))
            .with("type", "offer/answer")
            .into()
    })
    .collect()
}

fn media_flags(stream: &Stream) -> Vec<Value<'static>> {
    let flags = [
        (stream.port.is_some(), "initialized"),
        (stream.transport != Transport::Rtp, "passthrough"),
        (stream.rtcp_mux.is_on, "rtcp-mux"),
    ];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
    flags.map(|(_, name)| name.into()).collect()
}

fn endpoint(address: Option<SocketAddr>) -> Dictionary<'static> {
    let Some(address) = address else {
        return Dictionary::new();
    };
    Dictionary::new()
        .with("family", family(address.is_ipv6()))
        .with("address", address.ip().to_string())
        .with("port", u32::from(address.port()))
}

fn family(is_ip6: bool) -> &'static str {
    if is_ip6 { "IPv6" } else { "IPv4" }
}

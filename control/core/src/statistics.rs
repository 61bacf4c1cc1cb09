//! Replies to `query` and `delete`: what is known of a call, and what went through the relay.
//!
//! Keys are the peer's, since proxies read them by name.

use std::borrow::Cow;
use std::net::SocketAddr;

use control_ng::reply::write_ok;
use control_ng::{Counts, DictionaryWriter, ListWriter, Totals};
use relay_wire::{CallStats, EndpointStats, Interface, Port, SourceStats};

use crate::associations::{self, Calls};
use crate::call::{CallState, Leg, Stream};
use crate::codecs::{Exchange, Format};
use crate::echo::Reflection;
use crate::quality::{self, History, Sample};
use crate::sdp::Transport;

/// What a reply is made of.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// As of when: milliseconds since 1970.
    pub(crate) unix_ms: u64,
    pub(crate) state: &'a CallState,
    /// The call, and those whose parties it may have to do with.
    pub(crate) calls: &'a Calls<'a>,
    /// `None`: the relay could not be asked.
    pub(crate) stats: Option<&'a CallStats>,
    /// How its streams sounded.
    pub(crate) quality: &'a History,
    pub(crate) interfaces: &'a [Interface],
}

/// How much is told of each source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Detail {
    /// All, the progression only in the list of all sources: proxies read it nowhere else.
    Full,
    /// Without the progression, and only in the list.
    Brief,
}

impl<'a> Report<'a> {
    /// The reply, about the parties that `is_wanted` names.
    pub(crate) fn reply(
        &self,
        cookie: &[u8],
        detail: Detail,
        is_wanted: impl Fn(&Leg) -> bool,
    ) -> Vec<u8> {
        write_ok(cookie, |out| {
            out.put("created", self.state.created_unix_ms / 1_000);
            out.put("created_us", self.state.created_unix_ms % 1_000 * 1_000);
            out.put(
                "created_ts",
                self.state.created_unix_ms.saturating_mul(1_000),
            );
            out.put("last signal", self.state.last_signal_unix_ms / 1_000);
            out.put("last redis update", 0_u64);
            out.dictionary("SSRC", |out| self.sources(detail, out));
            out.dictionary("tags", |out| {
                let legs = self.state.legs.iter().filter(|leg| is_wanted(leg));
                for (number, leg) in legs.enumerate() {
                    out.dictionary(tag_key(leg, number + 1), |out| self.leg(leg, detail, out));
                }
            });
            out.dictionary("totals", |out| self.totals().write(out));
        })
    }

    fn leg(&self, leg: &Leg, detail: Detail, out: &mut DictionaryWriter<'_>) {
        out.put("tag", first_tag(leg));
        if let Some(branch) = &leg.via_branch {
            out.put("via-branch", &branch[..]);
        }
        if leg.tags.len() > 1 {
            out.list("tag-aliases", |out| {
                for tag in leg.tags.others() {
                    out.put(tag);
                }
            });
        }
        if let Some(label) = &leg.label {
            out.put("label", &label[..]);
        }
        out.put("created", leg.created_unix_ms / 1_000);
        let heard = associations::subscriptions(self.calls, leg);
        out.list("subscriptions", |out| associations::write(&heard, out));
        let hearing = associations::subscribers(self.calls, leg);
        out.list("subscribers", |out| associations::write(&hearing, out));
        out.list("medias", |out| {
            for (index, stream) in leg.streams.iter().enumerate() {
                out.dictionary(|out| self.media(leg, (index, stream), detail, out));
            }
        });
        // Feature codes, of which there are none.
        out.list("VSC", |_| {});
    }

    fn media(
        &self,
        leg: &Leg,
        (index, stream): (usize, &Stream),
        detail: Detail,
        out: &mut DictionaryWriter<'_>,
    ) {
        out.put("index", u64::try_from(index + 1).unwrap_or_default());
        out.put("type", &stream.kind[..]);
        out.put("protocol", &stream.protocol[..]);
        if let Some(codec) = self.codec(leg, index) {
            out.put("codec", codec.as_str());
        }
        out.list("streams", |out| {
            let Some(port) = leg.port(index) else {
                return;
            };
            out.dictionary(|out| {
                self.stream(port, Kind::Rtp, stream.remote.map(SocketAddr::from), out)
            });
            let rtcp = stream.rtcp_port().filter(|number| *number != port.number);
            if let Some(number) = rtcp {
                let port = Port { number, ..port };
                out.dictionary(|out| {
                    self.stream(
                        port,
                        Kind::Rtcp,
                        stream.remote_rtcp.map(SocketAddr::from),
                        out,
                    )
                });
            }
        });
        out.list("flags", |out| {
            media_flags(stream, out);
            self.codec_flags(leg, index, out);
        });
        let peer = leg.peer.and_then(|peer| self.state.leg(peer));
        let ports = [leg.port(index), peer.and_then(|peer| peer.port(index))];
        let [ingress, egress] = ports.map(|port| self.endpoint(port?));
        out.list("ingress SSRCs", |out| {
            if let Some(endpoint) = ingress {
                for source in &endpoint.sources {
                    out.dictionary(|out| match detail {
                        Detail::Full => self.source((endpoint, source), out),
                        Detail::Brief => source_counts(source, out),
                    });
                }
            }
        });
        // What comes from the peer leaves here under its own number.
        out.list("egress SSRCs", |out| {
            for source in egress.iter().flat_map(|endpoint| &endpoint.sources) {
                out.dictionary(|out| source_counts(source, out));
            }
        });
    }

    /// The codec that the party sends, such as `PCMU/8000`: what it said, or what the payload type
    /// says by itself.
    fn codec(&self, leg: &Leg, index: usize) -> Option<String> {
        let payload_type = self.endpoint(leg.port(index)?)?.payload_type?;
        let name = |peer| Exchange::name(self.state, index, (leg.id, peer), payload_type);
        let said = leg.peer.and_then(name);
        let by_itself = || Some(Format::of_payload_type(payload_type));
        let by_itself = || by_itself().filter(|it| !it.name.is_empty());
        said.or_else(|| Some(by_itself()?.title()))
    }

    fn codec_flags(&self, leg: &Leg, index: usize, out: &mut ListWriter<'_>) {
        let Some(peer) = leg.peer else {
            return;
        };
        if Exchange::is_ptime_forced(self.state, index, (leg.id, peer)) {
            out.put("ptime-override");
        }
        if !Exchange::routes(self.state, index, leg.id, peer).is_empty() {
            out.put("transcoding");
        }
    }

    fn stream(
        &self,
        port: Port,
        kind: Kind,
        advertised: Option<SocketAddr>,
        out: &mut DictionaryWriter<'_>,
    ) {
        let stats = self.endpoint(port);
        let interface = self.interfaces.get(usize::from(port.interface.0));
        out.put("local port", u32::from(port.number));
        if let Some(interface) = interface {
            out.put("local address", interface.address);
            out.put("family", family(interface.address.is_ipv6()));
        }
        let current = stats.and_then(|stats| stats.remote).or(advertised);
        out.dictionary("endpoint", |out| endpoint(current, out));
        out.dictionary("advertised endpoint", |out| endpoint(advertised, out));
        let last_packet = self.last_packet(stats);
        out.put("last packet", last_packet);
        // Packets are forwarded by a process, never by the kernel.
        out.put("last kernel packet", 0_u64);
        out.put("last user packet", last_packet);
        if let Some(ssrc) = stats.and_then(|stats| stats.ssrc) {
            out.put("SSRC", ssrc);
        }
        out.list("flags", |out| {
            out.put(kind.name());
            if advertised.is_some() {
                out.put("filled");
            }
            if stats.is_some_and(|stats| stats.learnt) {
                out.put("confirmed");
            }
        });
        let received = stats.map(received).unwrap_or_default();
        out.dictionary("stats", |out| received.write(out));
        let sent = stats.map(sent).unwrap_or_default();
        out.dictionary("stats_out", |out| sent.write(out));
    }

    /// Seconds since 1970 of the newest packet; of the call's beginning if there was none.
    fn last_packet(&self, stats: Option<&EndpointStats>) -> u64 {
        let created = self.state.created_unix_ms;
        let newest = stats.and_then(|stats| stats.idle_ms);
        newest.map_or(created, |idle_ms| self.unix_ms.saturating_sub(idle_ms)) / 1_000
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
    fn sources(&self, detail: Detail, out: &mut DictionaryWriter<'_>) {
        for endpoint in self.stats.iter().flat_map(|stats| &stats.endpoints) {
            for source in &endpoint.sources {
                out.dictionary(source.ssrc.to_string(), |out| {
                    self.source((endpoint, source), out);
                    let stream = self.quality.stream(endpoint.port, source.ssrc);
                    if let (Detail::Full, Some(stream)) = (detail, stream) {
                        self.progression(stream, out);
                    }
                });
            }
        }
    }

    fn source(
        &self,
        (endpoint, source): (&EndpointStats, &SourceStats),
        out: &mut DictionaryWriter<'_>,
    ) {
        source_counts(source, out);
        out.put("cumulative loss", source.lost);
        out.put("duplicates", source.duplicates);
        out.put("reordered", source.reordered);
        let Some(stream) = self.quality.stream(endpoint.port, source.ssrc) else {
            return;
        };
        out.dictionary("average MOS", |out| {
            sample(stream.average(), out);
            out.put("samples", u64::from(stream.samples()));
        });
        // Clients look for the worst and the best by name.
        out.dictionary("lowest MOS", |out| self.dated(stream.lowest(), out));
        out.dictionary("highest MOS", |out| self.dated(stream.highest(), out));
    }

    fn progression(&self, stream: &quality::Stream, out: &mut DictionaryWriter<'_>) {
        out.dictionary("MOS progression", |out| {
            out.put("interval", stream.interval_s());
            out.list("entries", |out| {
                for entry in stream.entries() {
                    out.dictionary(|out| self.dated(entry, out));
                }
            });
        });
    }

    /// A sample, and when it ended. Clients take from that when the call was created.
    fn dated(&self, it: Sample, out: &mut DictionaryWriter<'_>) {
        sample(it, out);
        let created_s = self.state.created_unix_ms / 1_000;
        out.put("reported at", created_s + u64::from(it.at_s));
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

fn tag_key(leg: &Leg, number: usize) -> Cow<'_, [u8]> {
    match leg.tags.first() {
        Some(tag) => tag.into(),
        None => format!("<untagged {number}>").into_bytes().into(),
    }
}

fn first_tag(leg: &Leg) -> &[u8] {
    leg.tags.first().unwrap_or_default()
}

fn source_counts(source: &SourceStats, out: &mut DictionaryWriter<'_>) {
    out.put("SSRC", source.ssrc);
    out.put("bytes", source.bytes);
    out.put("packets", source.packets);
    out.put("last RTP timestamp", source.last_timestamp);
    out.put("last RTP seq", source.last_sequence);
}

fn sample(it: Sample, out: &mut DictionaryWriter<'_>) {
    out.put("MOS", it.mos_tenths());
    if let Some(us) = it.round_trip_us() {
        out.put("round-trip time", us);
    }
    if let Some(us) = it.round_trip_leg_us() {
        out.put("round-trip time leg", us);
    }
    if let Some(us) = it.jitter_us() {
        out.put("jitter", us / 1_000);
    }
    out.put("packet loss", it.loss_percent());
}

fn media_flags(stream: &Stream, out: &mut ListWriter<'_>) {
    let flags = [
        (stream.port.is_some(), "initialized"),
        (stream.source_rules.is_asymmetric, "asymmetric"),
        (stream.direction.sends(), "send"),
        (stream.direction.receives(), "recv"),
        (stream.rtcp_mux.is_on, "rtcp-mux"),
        (stream.transport != Transport::Rtp, "passthrough"),
        (stream.was_offered, "ICE controlling"),
        (stream.source_rules.checks_loops, "loop check"),
        (stream.reflection == Reflection::Echo, "echo"),
        (stream.reflection == Reflection::Blackhole, "blackhole"),
    ];
    for (_, name) in flags.into_iter().filter(|(is_set, _)| *is_set) {
        out.put(name);
    }
}

fn endpoint(address: Option<SocketAddr>, out: &mut DictionaryWriter<'_>) {
    if let Some(address) = address {
        out.put("family", family(address.is_ipv6()));
        out.put("address", address.ip());
        out.put("port", u32::from(address.port()));
    }
}

fn family(is_ip6: bool) -> &'static str {
    if is_ip6 { "IPv6" } else { "IPv4" }
}

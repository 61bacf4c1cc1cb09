//! Reports on what a peer is played.
//!
//! The stream is the relay's own, and so is what is said of it: with its first packet, and then as
//! often as of others (RFC 3550 §6.4.1).

use std::time::Instant;

use relay_rtp::rtcp::{OwnReport, SenderInfo};
use relay_rtp::{Packet, Ssrc};
use relay_wire::Port;

use crate::quality::{Count, Reception};
use crate::rtcp::{block, low};
use crate::{Relay, SocketId};

/// What a peer was played: one stream, of one sound after the other.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// Where the peer is told of it.
    rtcp: Option<Port>,
    ssrc: Option<Ssrc>,
    count: Count,
    /// When it is told next.
    due: Option<Instant>,
    /// What was last told of what arrives from it.
    before: Option<Reception>,
}

impl Played {
    /// A packet leaves.
    fn note(&mut self, packet: &Packet<&[u8]>, len: usize) {
        if self.ssrc.replace(packet.ssrc()) != Some(packet.ssrc()) {
            (self.count, self.due) = (Count::default(), None);
        }
        self.count.add(len);
    }
}

impl Relay {
    /// The peer of this socket is to be played something.
    pub(crate) fn expect_played(&mut self, socket: SocketId, rtcp: Option<Port>) {
        if let Some(endpoint) = self.flows.open(socket) {
            let played = endpoint.rare_mut().played.get_or_insert_default();
            played.rtcp = rtcp;
        }
    }

    /// A packet of a sound leaves from this socket, or the one that its agent elected. Its peer is told how many did, if that is due.
    pub(crate) fn report_played(&mut self, now: Instant, socket: SocketId, packet: &[u8]) {
        let endpoint = self.flows.open(socket);
        let rare = endpoint.and_then(|it| it.rare_if(false));
        let Some(played) = rare.and_then(|it| it.played.as_mut()) else {
            return;
        };
        let Ok(parsed) = Packet::parse(packet) else {
            return;
        };
        played.note(&parsed, packet.len());
        if played.due.is_some_and(|it| now < it) || self.reports.is_full() {
            return;
        }
        played.due = Some(self.reports.next_after(now));
        if let Some(rtcp) = played.rtcp {
            // It is not played to anybody who cannot be told.
            let _ = self.tell_played(now, (socket, rtcp), &parsed);
        }
    }

    /// `None` if there is nobody to tell.
    fn tell_played(
        &mut self,
        now: Instant,
        (socket, rtcp): (SocketId, Port),
        packet: &Packet<&[u8]>,
    ) -> Option<()> {
        let endpoint = self.flows.endpoint(socket)?;
        let (call, port) = (endpoint.call, endpoint.port);
        let told = self.agents.elected(self.socket_of(call, rtcp).ok()?);
        let endpoint = self.flows.endpoint(told)?;
        let reported = endpoint.reported;
        // What is remade is reported on by who makes it.
        let is_remade = endpoint.rare().rtcp_of.is_some();
        let received = self.reception(now, call, Some(port));
        let received = received.filter(|_| !is_remade);
        let (ntp_time, cname) = self.reports.sign(now);
        let endpoint = self.flows.open(socket)?;
        let played = endpoint.rare_if(false)?.played.as_mut()?;
        let report = OwnReport {
            ssrc: packet.ssrc(),
            sender: Some(SenderInfo {
                ntp_time,
                rtp_timestamp: packet.timestamp(),
                packets: low(played.count.packets),
                octets: low(played.count.bytes),
            }),
            block: received.map(|it| block(now, it, &mut played.before, reported)),
            cname: &cname,
        };
        let report = self.address(told, &report)?;
        self.bytes_out += report.bytes().len() as u64;
        self.reports.push(report);
        Some(())
    }
}

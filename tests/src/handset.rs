//! A phone that a scenario puts into calls over ng, as a proxy does; it sends what it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{NgClient, RtpEndpoint, Site, sdp_endpoint};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(120);

/// The end of a call, which speaks A-law and has keys.
#[derive(Debug)]
pub struct Handset {
    end: RtpEndpoint,
    /// Where the relay wants its media, once it is in a call.
    relay: SocketAddr,
    /// Its synchronisation source, and what it sounds like.
    voice: u8,
    /// Packets of speech that it has sent of itself.
    sent: u8,
}

impl Handset {
    /// A phone on a host of the site, by whose number it is known.
    #[must_use]
    pub fn new(site: &Site, host: u8) -> Self {
        let end = RtpEndpoint::new(site.ip(host));
        Self {
            relay: end.address(),
            end,
            voice: host,
            sent: 0,
        }
    }

    /// What it offers, and answers.
    #[must_use]
    pub fn sdp(&self) -> String {
        let (ip, port) = (self.end.address().ip(), self.end.address().port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        )
    }

    /// Is in a call, and sends there.
    pub fn call(&mut self, relay: SocketAddr) {
        self.relay = relay;
    }

    /// Sends a packet.
    #[track_caller]
    pub fn say(&self, packet: &[u8]) {
        self.end.send_raw(self.relay, packet);
    }

    /// Sends 20 ms of speech, by which everybody knows who it was and when.
    #[track_caller]
    pub fn speak(&mut self) -> Vec<u8> {
        self.sent += 1;
        let packet = speech(self.voice, self.sent, self.voice);
        self.say(&packet);
        packet
    }

    /// The next packet that comes is this one, from where its own are to go.
    ///
    /// # Panics
    ///
    /// When it is another one, or none.
    #[track_caller]
    pub fn hear(&self, packet: &[u8]) {
        let (heard, from) = self.end.receive_raw(LIMIT).expect("a packet comes");
        assert_eq!((from, &heard[..]), (self.relay, packet));
    }

    /// Sends RTCP.
    #[track_caller]
    pub fn report(&self, packet: &[u8]) {
        self.end.send_rtcp_raw(self.relay_rtcp(), packet);
    }

    /// The next RTCP that comes, from where its own is to go.
    ///
    /// # Panics
    ///
    /// When none comes, or from elsewhere.
    #[must_use]
    #[track_caller]
    pub fn hear_report(&self) -> Vec<u8> {
        let (heard, from) = self.end.receive_rtcp(LIMIT).expect("a report comes");
        assert_eq!(from, self.relay_rtcp());
        heard
    }

    fn relay_rtcp(&self) -> SocketAddr {
        SocketAddr::new(self.relay.ip(), self.relay.port() + 1)
    }
}

/// 20 ms of A-law, all samples alike.
#[must_use]
pub fn speech(ssrc: u8, sequence: u8, sample: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 8, 0, sequence, 0, 0, sequence, 0, 0, 0, 0, ssrc];
    packet.resize(172, sample);
    packet
}

/// Puts two phones into a call with an offer, which says `more`, and an answer.
///
/// # Panics
///
/// When either is refused.
#[track_caller]
pub fn dial(
    client: &NgClient,
    call_id: &str,
    [caller, callee]: [&mut Handset; 2],
    [from, to]: [&str; 2],
    more: &[(&str, &str)],
) {
    let names = [("call-id", call_id), ("from-tag", from), ("to-tag", to)];
    let sdp = caller.sdp();
    let offer = [&names[..2], &[("sdp", &sdp)], more].concat();
    let offer = client.request("offer", &offer);
    callee.relay = sdp_endpoint(offer.text("sdp"));
    let sdp = callee.sdp();
    let answer = [&names[..], &[("sdp", &sdp)]].concat();
    let answer = client.request("answer", &answer);
    caller.relay = sdp_endpoint(answer.text("sdp"));
}

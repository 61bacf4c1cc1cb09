//! RTCP of the relay's own for a call that it only forwards: phones hear of one another by it, and
//! what they report ends there.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use relay_rtp::rtcp::{Body, Compound};
use tandem_tests::{NgClient, Site, Tandem, sdp_endpoint};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(120);

/// A phone with a socket for RTP and one for RTCP.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// Where the relay wants its RTP; RTCP goes to the port above.
    relay: SocketAddr,
}

impl Phone {
    fn new(site: &Site, host: u8) -> Self {
        let [rtp, rtcp] = [0; 2].map(|_| {
            let socket = UdpSocket::bind((site.ip(host), 0)).expect("the site has free ports");
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket
        });
        let relay = rtp.local_addr().unwrap();
        Self { rtp, rtcp, relay }
    }

    fn sdp(&self) -> String {
        let (rtp, rtcp) = (self.rtp.local_addr().unwrap(), self.rtcp.local_addr());
        let (ip, port, rtcp) = (rtp.ip(), rtp.port(), rtcp.unwrap().port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8\r\na=rtcp:{rtcp}\r\n"
        )
    }

    fn say(&self, ssrc: u8, sequence: u8) {
        self.rtp
            .send_to(&speech(ssrc, sequence), self.relay)
            .unwrap();
    }

    #[track_caller]
    fn hear(&self, ssrc: u8, sequence: u8) {
        let mut heard = [0; 2_048];
        let len = self.rtp.recv(&mut heard).expect("a packet comes");
        assert_eq!(heard[..len], speech(ssrc, sequence));
    }

    /// The next report: who is heard, and how many of these packets were lost. All pause by then, so
    /// that it says nothing of what is sent.
    #[track_caller]
    fn report(&self) -> [u32; 2] {
        let mut heard = [0; 2_048];
        let (len, from) = self.rtcp.recv_from(&mut heard).expect("a report comes");
        let relay_rtcp = SocketAddr::new(self.relay.ip(), self.relay.port() + 1);
        assert_eq!(from, relay_rtcp);
        let compound = Compound::parse(&heard[..len]).unwrap();
        let Body::ReceiverReport(report) = compound.packets().next().unwrap().body() else {
            panic!("it is sent nothing any more");
        };
        let block = report.blocks().next().unwrap();
        let lost = u32::try_from(block.lost).unwrap();
        [block.ssrc.value(), lost]
    }
}

/// 20 ms of A-law.
fn speech(ssrc: u8, sequence: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 8, 0, sequence, 0, 0, sequence, 0, 0, 0, 0, ssrc];
    packet.resize(172, 0x2a);
    packet
}

#[test]
fn phones_hear_from_the_relay_how_it_hears_them() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let [mut alice, mut bob] = [2, 3].map(|host| Phone::new(&site, host));
    let names = [("call-id", "c1"), ("from-tag", "a"), ("to-tag", "b")];
    let sdp = alice.sdp();
    let flags = ("flags", "generate RTCP");
    let offer = client.request("offer", &[names[0], names[1], ("sdp", &sdp), flags]);
    bob.relay = sdp_endpoint(offer.text("sdp"));
    let sdp = bob.sdp();
    let answer = client.request("answer", &[names[0], names[1], names[2], ("sdp", &sdp)]);
    alice.relay = sdp_endpoint(answer.text("sdp"));
    for sequence in (1..=20).filter(|it| *it != 10) {
        alice.say(7, sequence);
        bob.hear(7, sequence);
    }
    bob.say(9, 1);
    alice.hear(9, 1);
    // Hers ends there: all that Bob gets is the relay's.
    let hers = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let relay_rtcp = SocketAddr::new(alice.relay.ip(), alice.relay.port() + 1);
    alice.rtcp.send_to(&hers, relay_rtcp).unwrap();
    assert_eq!(alice.report(), [7, 1]);
    assert_eq!(bob.report(), [9, 0]);
    // They go on.
    assert_eq!(alice.report(), [7, 1]);
    let reply = client.request("delete", &[names[0]]);
    assert_eq!(reply.text("result"), "ok", "{reply:?}");
}

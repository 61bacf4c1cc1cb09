//! The far ends of calls: sockets that send and expect packets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it waits for what must not come.
const SILENCE: Duration = Duration::from_millis(100);

pub(crate) struct Phone {
    socket: UdpSocket,
}

impl Phone {
    pub(crate) fn new() -> Self {
        Self::on("127.0.0.1:0")
    }

    pub(crate) fn on(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends to a port of the relay on this phone's own address.
    pub(crate) fn send(&self, packet: &[u8], port: u16) {
        let to = SocketAddr::new(self.address().ip(), port);
        self.socket.send_to(packet, to).unwrap();
    }

    /// Sends to a port of the relay on any of its addresses.
    pub(crate) fn send_to(&self, packet: &[u8], address: &str, port: u16) {
        self.socket.send_to(packet, (address, port)).unwrap();
    }

    /// What arrives soon, if anything does.
    pub(crate) fn receive_within(&self, patience: Duration) -> Option<(Vec<u8>, u16)> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut packet = [0; 65_536];
        let received = self.socket.recv_from(&mut packet).ok();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        received.map(|(len, source)| (packet[..len].to_vec(), source.port()))
    }

    /// What arrives next, and from which port of the relay.
    pub(crate) fn receive(&self) -> (Vec<u8>, u16) {
        let mut packet = [0; 65_536];
        let (len, source) = self.socket.recv_from(&mut packet).expect("a packet");
        (packet[..len].to_vec(), source.port())
    }

    #[track_caller]
    pub(crate) fn expect(&self, packet: &[u8], from: u16) {
        assert_eq!(self.receive(), (packet.to_vec(), from));
    }

    #[track_caller]
    pub(crate) fn expect_nothing(&self) {
        self.socket.set_read_timeout(Some(SILENCE)).unwrap();
        let error = self.socket.recv(&mut [0; 65_536]).expect_err("silence");
        assert!(matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
}

/// An RTP packet of 20 ms of silence.
pub(crate) fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.resize(172, 0xd5);
    packet
}

/// An empty receiver report.
pub(crate) fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet
}

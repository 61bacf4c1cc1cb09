//! What packets carry to be treated by in the network.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use relay_wire::{CallKey, Command, InterfaceId, Learning, Port};

use crate::control::{connect_to, create, port, remove, set_remote};
use crate::harness::{Options, on_each_driver};
use crate::phone::rtp;

/// A phone that is told how what it gets is marked.
struct Marked {
    socket: UdpSocket,
}

impl Marked {
    fn on(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let patience = Duration::from_secs(10);
        socket.set_read_timeout(Some(patience)).unwrap();
        let told = socket2::SockRef::from(&socket);
        if socket.local_addr().unwrap().is_ipv4() {
            told.set_recv_tos_v4(true).unwrap();
        } else {
            told.set_recv_tclass_v6(true).unwrap();
        }
        Self { socket }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn send(&self, packet: &[u8], port: u16) {
        let to = SocketAddr::new(self.address().ip(), port);
        self.socket.send_to(packet, to).unwrap();
    }

    /// The type of service or traffic class of the next packet.
    fn mark(&self) -> u8 {
        let (mut bytes, mut control) = ([0_u8; 2_000], [0_u8; 64]);
        let mut part = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        // JUSTIFICATION: the struct has private padding on some platforms.
        // SAFETY: all its fields are integers and pointers, for which zero is a valid value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.len();
        // JUSTIFICATION: no safe interface gives the type of service.
        // SAFETY: recvmsg(2) wants a header that describes memory it may write: it describes one
        // part and one control buffer that outlive the call, with their lengths.
        let received = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, 0) };
        assert!(received > 0, "a packet");
        let (level, kind) = match self.address() {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        let word = |at: usize| i32::from_ne_bytes(*control[at..].first_chunk().unwrap());
        assert_eq!((word(8), word(12)), (level, kind), "it is marked");
        // One byte for IPv4, an int for IPv6, in either case in the first byte here.
        control[16]
    }
}

fn open(port: Port, tos: Option<u8>) -> Command {
    let call = CallKey(1);
    Command::OpenEndpoint { call, port, tos }
}

/// What two phones get that talk to each other, if the port towards the first is opened so and
/// the other as the interface says.
fn expect_marks(addresses: [&str; 2], interfaces: &'static [&'static str], marks: [u8; 2]) {
    let options = Options {
        interfaces,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let second = Port {
            interface: InterfaceId(u8::try_from(interfaces.len() - 1).unwrap()),
            number: first + 2,
        };
        let phones = addresses.map(Marked::on);
        let ports = [port(first), second];
        let mut commands = vec![
            create(1),
            open(ports[0], Some(marks[0])),
            open(ports[1], None),
        ];
        for (port, phone) in ports.into_iter().zip(&phones) {
            commands.push(set_remote(1, port, Some(phone.address()), Learning::Off));
        }
        commands.push(connect_to(1, ports[0], ports[1]));
        commands.push(connect_to(1, ports[1], ports[0]));
        control.apply(0, commands);
        for sequence in 0..3 {
            phones[0].send(&rtp(1, sequence), ports[0].number);
            assert_eq!(phones[1].mark(), marks[1]);
            phones[1].send(&rtp(2, sequence), ports[1].number);
            assert_eq!(phones[0].mark(), marks[0]);
        }
    });
}

#[test]
fn packets_are_marked_as_the_interface_or_the_call_says() {
    let phones = ["127.0.0.1:0", "127.0.0.1:0"];
    expect_marks(phones, &["127.0.0.1"], [136, 184]);
    expect_marks(phones, &["127.0.0.1"], [0, 184]);
}

#[test]
fn packets_are_marked_in_either_family() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    let local = Ipv4Addr::LOCALHOST.to_string() + ":0";
    expect_marks([&local, "[::1]:0"], &["127.0.0.1", "::1"], [72, 184]);
    expect_marks(["[::1]:0", "[::1]:0"], &["::1"], [72, 184]);
}

#[test]
fn a_port_that_is_used_again_is_marked_as_its_new_call_says() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let phones = ["127.0.0.1:0", "127.0.0.1:0"].map(Marked::on);
        let ports = [first, first + 2].map(port);
        for (round, (tos, mark)) in (0..).zip([(Some(136), 136), (None, 184), (Some(0), 0)]) {
            let mut commands = vec![create(1), open(ports[0], tos), open(ports[1], tos)];
            for (port, phone) in ports.into_iter().zip(&phones) {
                commands.push(set_remote(1, port, Some(phone.address()), Learning::Off));
            }
            commands.push(connect_to(1, ports[0], ports[1]));
            control.apply(0, commands);
            phones[0].send(&rtp(1, round), first);
            assert_eq!(phones[1].mark(), mark);
            control.apply(0, vec![remove(1)]);
            assert_eq!(control.counter("ports_reused"), u64::from(2 * round));
        }
    });
}

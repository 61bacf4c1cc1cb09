//! Frames, and who sends them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::packet::Family::{self, V4, V6};

/// Who takes part, in either family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    pub(super) alice: SocketAddr,
    pub(super) bob: SocketAddr,
    /// Where Alice sends, and where it leaves for Bob.
    pub(super) to_us: SocketAddr,
    pub(super) from_us: SocketAddr,
}

pub(super) fn cast(family: Family) -> Cast {
    let [ours, ours_too, alice, bob] = match family {
        V4 => [
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv4Addr::new(192, 0, 2, 2).into(),
            Ipv4Addr::new(198, 51, 100, 7).into(),
            Ipv4Addr::new(203, 0, 113, 200).into(),
        ],
        V6 => [
            "2001:db8:1::1",
            "2001:db8:2::ffff:fffe",
            "2001:db8:a:b:c:d:e:f",
            "2001:db8:ffff::2:1",
        ]
        .map(|it| IpAddr::V6(it.parse::<Ipv6Addr>().unwrap())),
    };
    Cast {
        alice: (alice, 4_000).into(),
        bob: (bob, 60_001).into(),
        to_us: (ours, 30_000).into(),
        from_us: (ours_too, 39_999).into(),
    }
}

pub(super) const SSRC: u32 = 0x0a0b_0c0d;
pub(super) const PAYLOAD_TYPE: u8 = 8;
pub(super) const FIRST: u16 = 65_530;
/// Ethernet addresses of what the kernel sends: Bob's, or what is on the way to him, and ours.
pub(super) const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];
pub(super) const OUR_ETHERNET: [u8; 6] = [2, 0, 0, 0, 0, 0xaa];
pub(super) const TOS: u8 = 184;
pub(super) const TTL: u8 = 63;
pub(super) const FLOW_LABEL: [u8; 3] = [0x0c, 0xaf, 0xfe];

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) family: Family,
    pub(super) bytes: Vec<u8>,
}

pub(super) const PAYLOAD_LEN: usize = 160;

impl Frame {
    /// RTP: 160 bytes of payload.
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        Self::with_payload(from, to, PAYLOAD_LEN)
    }

    pub(super) fn with_payload(from: SocketAddr, to: SocketAddr, payload_len: usize) -> Self {
        let mut bytes = vec![6; 12];
        match [from.ip(), to.ip()] {
            [IpAddr::V4(from), IpAddr::V4(to)] => {
                bytes.extend([8, 0, 0x45, 0, 0, 0, 0xbe, 0xef, 0x40, 0, 64, 17, 0, 0]);
                bytes.extend([from.octets(), to.octets()].concat());
            }
            [IpAddr::V6(from), IpAddr::V6(to)] => {
                bytes.extend([0x86, 0xdd, 0x60, 1, 2, 3, 0, 0, 17, 64]);
                bytes.extend([from.octets(), to.octets()].concat());
            }
            _ => panic!("a frame is of one family"),
        }
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([0x80, PAYLOAD_TYPE]);
        bytes.extend((FIRST.wrapping_add(1)).to_be_bytes());
        bytes.extend(160_u32.to_be_bytes());
        bytes.extend(SSRC.to_be_bytes());
        bytes.extend((0..payload_len).map(|it| it.to_le_bytes()[0]));
        let family = if from.is_ipv4() { V4 } else { V6 };
        let mut frame = Self { family, bytes };
        frame.set_lens();
        frame
    }

    pub(super) fn to_us(family: Family) -> Self {
        let cast = cast(family);
        Self::new(cast.alice, cast.to_us).with_our_ethernet()
    }

    /// As the kernel sends it to Bob.
    pub(super) fn from_us(family: Family) -> Self {
        Self::long_from_us(family, PAYLOAD_LEN)
    }

    pub(super) fn long_from_us(family: Family, payload_len: usize) -> Self {
        let cast = cast(family);
        let mut frame = Self::with_payload(cast.from_us, cast.bob, payload_len);
        frame.bytes[..12].copy_from_slice(&ETHERNET);
        frame.mark();
        frame
    }

    /// Has it marked as what the kernel sends to Bob.
    pub(super) fn mark(&mut self) {
        match self.family {
            V4 => (self.bytes[15], self.bytes[22]) = (TOS, TTL),
            V6 => {
                let [a, b, c] = FLOW_LABEL;
                let [d, e] = [0x60 | TOS >> 4, TOS << 4 | a];
                self.bytes[14..18].copy_from_slice(&[d, e, b, c]);
                self.bytes[21] = TTL;
            }
        }
        self.sum();
    }

    /// To where frames of ours come from.
    pub(super) fn with_our_ethernet(mut self) -> Self {
        self.bytes[..6].copy_from_slice(&OUR_ETHERNET);
        self
    }

    pub(super) fn numbered(family: Family, step: u16) -> Self {
        Self::to_us(family).number(step)
    }

    pub(super) fn number(mut self, step: u16) -> Self {
        let number = FIRST.wrapping_add(step);
        let place = self.rtp() + 2;
        self.bytes[place..place + 2].copy_from_slice(&number.to_be_bytes());
        self.sum();
        self
    }

    /// The same with one byte changed, and sums that are right again.
    pub(super) fn with(mut self, place: usize, byte: u8) -> Self {
        self.bytes[place] = byte;
        self.sum();
        self
    }

    /// The same, and the byte is in RTP.
    pub(super) fn with_rtp(self, place: usize, byte: u8) -> Self {
        let place = self.rtp() + place;
        self.with(place, byte)
    }

    pub(super) fn udp(&self) -> usize {
        match self.family {
            V4 => 34,
            V6 => 54,
        }
    }

    pub(super) fn rtp(&self) -> usize {
        self.udp() + 8
    }

    /// The sum of UDP.
    pub(super) fn udp_sum(&mut self) -> &mut [u8] {
        let place = self.udp() + 6;
        &mut self.bytes[place..place + 2]
    }

    pub(super) fn set_lens(&mut self) {
        let udp = u16::try_from(self.bytes.len() - self.udp()).unwrap();
        let place = self.udp() + 4;
        self.bytes[place..place + 2].copy_from_slice(&udp.to_be_bytes());
        match self.family {
            V4 => self.bytes[16..18].copy_from_slice(&(udp + 20).to_be_bytes()),
            V6 => self.bytes[18..20].copy_from_slice(&udp.to_be_bytes()),
        }
        self.sum();
    }

    pub(super) fn sum(&mut self) {
        if self.family == V4 {
            self.bytes[24..26].fill(0);
            let ip = !sum(&self.bytes[14..34], 0);
            self.bytes[24..26].copy_from_slice(&ip.to_be_bytes());
        }
        self.udp_sum().fill(0);
        let udp = match !self.sum_of_udp() {
            0 => 0xffff,
            udp => udp,
        };
        self.udp_sum().copy_from_slice(&udp.to_be_bytes());
    }

    /// Over the pseudo-header, UDP and what is in it.
    pub(super) fn sum_of_udp(&self) -> u16 {
        sum(&self.bytes[self.addresses()..], self.pseudo_len())
    }

    /// That of the pseudo-header alone, which senders leave to hardware.
    pub(super) fn half_a_sum(&self) -> u16 {
        let addresses = self.addresses()..self.udp();
        sum(&self.bytes[addresses], self.pseudo_len())
    }

    pub(super) fn addresses(&self) -> usize {
        match self.family {
            V4 => 26,
            V6 => 22,
        }
    }

    pub(super) fn pseudo_len(&self) -> u32 {
        17 + u32::try_from(self.bytes.len() - self.udp()).unwrap()
    }

    pub(super) fn is_without_sum(&mut self) -> bool {
        *self.udp_sum() == [0, 0]
    }

    /// All sums are right, or there is none of UDP.
    pub(super) fn is_right(&mut self) -> bool {
        let is_ip_right = self.family == V6 || sum(&self.bytes[14..34], 0) == 0xffff;
        is_ip_right && (self.is_without_sum() || self.sum_of_udp() == 0xffff)
    }
}

pub(super) fn sum(bytes: &[u8], first: u32) -> u16 {
    let pairs = bytes.chunks(2).map(|it| match it {
        [a, b] => u32::from(u16::from_be_bytes([*a, *b])),
        [a] => u32::from(*a) << 8,
        _ => 0,
    });
    let mut sum: u32 = first + pairs.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

//! The relay: packets from anybody, messages from control.

use relay_wire::{FromRelay, PROTOCOL_VERSION, ToRelay, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tandem_fuzz::{Input, seeds, target};

target!(
    rtp_packet,
    seeds::rtp_packets(),
    200_000,
    relay_rtp::fuzz::packet
);
target!(
    rtcp_compound,
    seeds::rtcp_packets(),
    200_000,
    relay_rtp::fuzz::compound
);
target!(
    rtcp_feedback,
    seeds::rtcp_packets(),
    100_000,
    relay_rtp::fuzz::feedback
);
target!(
    rtp_redundancy,
    seeds::rtp_packets(),
    100_000,
    relay_rtp::fuzz::redundancy
);
target!(
    rtp_demux,
    seeds::rtp_packets(),
    100_000,
    relay_rtp::fuzz::demux
);
target!(
    stun_message,
    stun_messages(),
    100_000,
    relay_ice::fuzz::message
);
target!(ice_agent, ice_scripts(), 2_000, relay_ice::fuzz::agent);
target!(
    dtls_datagrams,
    handshakes(),
    300,
    relay_dtls::fuzz::datagrams
);
target!(srtp_packet, protected(), 30_000, relay_srtp::fuzz::packet);
target!(relay_core, seeds::scripts(), 3_000, relay_core::fuzz::relay);
target!(
    transcode,
    transcoded(),
    1_500,
    relay_transcode::fuzz::stream
);
target!(wire_to_relay, to_relay(), 60_000, wire_message::<ToRelay>);
target!(
    wire_from_relay,
    from_relay(),
    60_000,
    wire_message::<FromRelay>
);

/// Each packet for each suite, and with each parameter.
fn protected() -> Vec<Input> {
    let packets = [seeds::rtp_packets(), seeds::rtcp_packets()].concat();
    let choices = (0..12).chain([0x16, 0x26, 0x46, 0x86, 0x11]);
    let inputs = choices.flat_map(|choice| {
        let with = move |packet: &Input| [&[choice], &packet[..]].concat();
        packets.iter().map(with).collect::<Vec<_>>()
    });
    inputs.collect()
}

fn stun_messages() -> Vec<Input> {
    use relay_ice::{Class, Control, TransactionId, Writer};
    let message = |class| Writer::new(class, TransactionId([7; 12])).software("seed");
    vec![
        message(Class::Request)
            .user("us:them")
            .priority(1)
            .control(Control::Controlled(5))
            .nomination()
            .sign("our password"),
        message(Class::Success)
            .mapped("192.0.2.1:4000".parse().expect("an address"))
            .sign("our password"),
        message(Class::Success)
            .mapped("[2001:db8::1]:4000".parse().expect("an address"))
            .finish(),
        message(Class::Error).error(420, "x").unknown(&[7]).finish(),
        message(Class::Indication).finish(),
    ]
}

/// Who sends it, how many times eight bytes, and these.
fn handshakes() -> Vec<Input> {
    let hello = relay_dtls::fuzz::hello();
    let eighths = u8::try_from(hello.len().div_ceil(8)).expect("a short datagram");
    let from = |who: u8| [&[who, eighths][..], &hello].concat();
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    vec![
        from(1),
        [from(1), from(1), from(5)].concat(),
        [from(2), from(17)].concat(),
        [&[2, 2][..], &alert].concat(),
    ]
}

/// Waits, sources, kinds of datagrams, and their bytes, one behind the other.
fn ice_scripts() -> Vec<Input> {
    let whole = stun_messages().into_iter().map(|message| {
        let len = u8::try_from(message.len()).expect("a short message");
        [&[1, 1, 0, len][..], &message].concat()
    });
    let checks = [vec![0, 1, 1, 0, 5, 65, 2, 0, 5, 2, 3, 0], vec![4; 400]];
    whole.chain(checks).collect()
}

/// What can be decoded, is the same after being encoded and decoded again.
fn wire_message<M: DeserializeOwned + Eq + Serialize + std::fmt::Debug>(data: &[u8]) {
    let Ok(message) = decode::<M>(data) else {
        return;
    };
    let mut bytes = Vec::new();
    encode(&message, &mut bytes);
    assert_eq!(decode::<M>(&bytes).expect("our own bytes"), message);
}

fn to_relay() -> Vec<Input> {
    use relay_wire::{
        CallKey, Codec, Command, Events, Format, InterfaceId, Port, Request, Route, SampleRate,
        Transcoding, WorkerId,
    };
    let call = CallKey(7);
    let port = |number| Port {
        interface: InterfaceId(1),
        number,
    };
    let format = |codec, payload_type| Format {
        codec,
        payload_type,
        ptime_ms: 20,
        events: Some(Events {
            payload_type: 101,
            clock_hz: 8_000,
        }),
        comfort_noise: Some(13),
    };
    let commands = vec![
        Command::CreateCall {
            call,
            media_timeout_ms: 60_000,
            record: b"opaque".to_vec(),
        },
        Command::OpenEndpoint {
            call,
            port: port(30_000),
            tos: None,
        },
        Command::Connect {
            call,
            ingress: port(30_000),
            rtp: Some(port(30_002)),
            rtcp: None,
        },
        Command::SetTranscoding {
            call,
            ingress: port(30_000),
            transcoding: Some(Transcoding {
                routes: vec![Route {
                    from: format(Codec::Gsm, 3),
                    to: format(Codec::Opus(SampleRate::Narrow), 111),
                    opus: None,
                    suppresses_silence: false,
                    is_coded_anew: false,
                }],
                rtcp: Some(port(30_001)),
            }),
        },
        Command::QueryCall { call },
        Command::ListCalls { after: Some(call) },
        Command::RemoveCall { call },
    ];
    let request = Request {
        id: 9,
        worker: WorkerId(1),
        commands,
    };
    [
        ToRelay::Hello {
            version: PROTOCOL_VERSION,
        },
        ToRelay::Request(request),
    ]
    .map(|message| bytes_of(&message))
    .to_vec()
}

fn from_relay() -> Vec<Input> {
    use relay_wire::{CallKey, Event, Hello, Interface, PortPartition, Reply, WorkerId};
    let hello = Hello {
        version: PROTOCOL_VERSION,
        instance: u64::MAX,
        interfaces: vec![Interface {
            name: "lan".to_owned(),
            address: [192, 0, 2, 1].into(),
            advertised: Some([203, 0, 113, 1].into()),
            ports: None,
        }],
        partition: PortPartition::new(30_000, 39_998, 4).expect("even and enough"),
        idle_per_worker_max: 4_096,
        fingerprints: Vec::new(),
    };
    let event = Event::MediaTimeout { call: CallKey(7) };
    let reply = Reply {
        id: 9,
        answers: Vec::new(),
        failure: None,
    };
    [
        FromRelay::Hello(hello),
        FromRelay::VersionMismatch {
            version: PROTOCOL_VERSION + 1,
        },
        FromRelay::Reply(reply),
        FromRelay::Event {
            worker: WorkerId(0),
            event,
        },
    ]
    .map(|message| bytes_of(&message))
    .to_vec()
}

fn bytes_of<M: Serialize>(message: &M) -> Input {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    bytes
}

/// Every codec to another, as speech, events and noise that come evenly, late, twice or not at all.
fn transcoded() -> Vec<Input> {
    let packet = |plan: u8, at: u8| {
        // Time, number, timestamp, kind, a length that the codec has, and octets.
        let kind = [0x18, 0x98, 0x18, 0x14, 0x15, 0x7c][usize::from(at % 23 / 4)];
        let time = [0, 1, 5, 6, 7][usize::from(at % 29 / 6)];
        let len: u8 = [3, 3, 0, 1, 2, 3, 5, 5, 4, 4][usize::from(plan % 32 % 10)];
        let mut packet = vec![80, at.wrapping_mul(57), time, kind, len];
        packet.extend([5, at, 0, at].iter().cycle().take(len.into()));
        packet
    };
    let script = |plan: u8| {
        let packets = (0..60).flat_map(|at| packet(plan, at));
        let plan = [plan, plan.wrapping_mul(13)];
        plan.into_iter().chain(packets).collect()
    };
    (0..=u8::MAX).step_by(5).map(script).collect()
}

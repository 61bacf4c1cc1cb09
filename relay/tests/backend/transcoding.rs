//! Calls whose two sides share no codec.

use std::time::{Duration, Instant};

use relay_wire::{
    CallKey, Codec, Command, CommandError, EndpointStats, Format, IlbcMode, Refusal, Route,
    SampleRate, Transcoding,
};

use crate::control::{Control, close, port, remove};
use crate::harness::{Options, TestRelay, on_each_driver};
use crate::phone::{Phone, rtcp, rtp};

/// How long a test waits for what must come, at most.
const PATIENCE: Duration = Duration::from_secs(60);

const PCMU: Format = format(Codec::Pcmu, 0);
const PCMA: Format = format(Codec::Pcma, 8);
const GSM: Format = format(Codec::Gsm, 3);
const G722: Format = format(Codec::G722, 9);
const ILBC_20: Format = format(Codec::Ilbc(IlbcMode::Ms20), 97);
const OPUS: Format = format(Codec::Opus(SampleRate::Narrow), 111);
const ILBC_30: Format = Format::new(Codec::Ilbc(IlbcMode::Ms30), 98, 30);

const fn format(codec: Codec, payload_type: u8) -> Format {
    Format::new(codec, payload_type, 20)
}

fn route(from: Format, to: Format) -> Route {
    Route {
        from,
        to,
        opus: None,
        suppresses_silence: false,
        is_coded_anew: false,
    }
}

fn set(call: u64, ingress: u16, routes: Vec<Route>) -> Command {
    Command::SetTranscoding {
        call: CallKey(call),
        ingress: port(ingress),
        transcoding: (!routes.is_empty()).then(|| Transcoding {
            routes,
            rtcp: Some(port(ingress)),
        }),
    }
}

/// A call of two phones, one of each codec.
struct Call {
    control: Control,
    number: u64,
    ports: [u16; 2],
    phones: [Phone; 2],
}

impl Call {
    /// A call with no codecs yet.
    fn plain(relay: &TestRelay, number: u64) -> Self {
        let mut control = relay.connect();
        let first = control.first_port() + u16::try_from(number).unwrap() * 4;
        let ports = [first, first + 2];
        let phones = [Phone::new(), Phone::new()];
        let remotes = [&phones[0], &phones[1]].map(|it| Some(it.address()));
        control.set_up(number, ports.map(port), remotes);
        Self {
            control,
            number,
            ports,
            phones,
        }
    }

    fn new(relay: &TestRelay, number: u64, one: Format, other: Format) -> Self {
        let mut call = Self::plain(relay, number);
        let commands = vec![
            set(number, call.ports[0], vec![route(one, other)]),
            set(number, call.ports[1], vec![route(other, one)]),
        ];
        call.control.apply(0, commands);
        call
    }

    /// Sends packets from one phone until the other has `wanted` of RTP; these. Packets come as
    /// fast as they are made, and that is no faster than they leave.
    fn talk(&self, from: usize, wanted: usize, packet: impl Fn(u16) -> Vec<u8>) -> Vec<Vec<u8>> {
        let (sender, receiver) = (&self.phones[from], &self.phones[1 - from]);
        let (start, mut got) = (Instant::now(), vec![]);
        for at in 0.. {
            assert!(start.elapsed() < PATIENCE, "{} came", got.len());
            sender.send(&packet(at), self.ports[from]);
            if let Some((packet, source)) = receiver.receive_within(Duration::from_millis(20)) {
                assert_eq!(source, self.ports[1 - from]);
                if !(200..=204).contains(&packet[1]) {
                    got.push(packet);
                }
            }
            if got.len() == wanted {
                break;
            }
        }
        got
    }

    fn endpoint(&mut self, index: usize) -> EndpointStats {
        self.control.call(self.number).endpoints.remove(index)
    }
}

/// Waits for what must come to be.
#[track_caller]
fn await_that(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not come to be");
        std::thread::yield_now();
    }
}

/// A packet of a payload type, of some length and of silence or something like it.
fn packet(format: Format) -> impl Fn(u16) -> Vec<u8> {
    let (ticks, payload): (u32, Vec<u8>) = match format.codec {
        Codec::Gsm => (160, [&[0xd0][..], &[0; 32]].concat()),
        Codec::Ilbc(IlbcMode::Ms20) => (160, vec![0x34; 38]),
        Codec::Ilbc(IlbcMode::Ms30) => (240, vec![0x34; 50]),
        // A frame of SILK at 8 kHz and of 20 ms.
        Codec::Opus(_) => (960, vec![0x08, 0x0b, 0xe4, 0xc1, 0x36, 0xec, 0xc5, 0x80]),
        _ => (160, vec![0xd5; 160]),
    };
    move |at| {
        let mut packet = vec![0x80, format.payload_type];
        packet.extend(at.to_be_bytes());
        packet.extend((u32::from(at) * ticks).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend(&payload);
        packet
    }
}

/// Octets of a payload of this codec, if that is fixed.
fn payload_len(format: Format) -> Option<usize> {
    match format.codec {
        Codec::Gsm => Some(33),
        Codec::Ilbc(IlbcMode::Ms20) => Some(38),
        Codec::Ilbc(IlbcMode::Ms30) => Some(50),
        Codec::Opus(_) => None,
        _ => Some(160),
    }
}

/// What leaves is one stream of this format.
fn assert_is_stream(packets: &[Vec<u8>], format: Format) {
    let ticks = match format.codec {
        Codec::Opus(_) => 960,
        Codec::Ilbc(IlbcMode::Ms30) => 240,
        _ => 160,
    };
    let number = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
    let time = |packet: &[u8]| u32::from_be_bytes(packet[4..8].try_into().unwrap());
    for packet in packets {
        assert_eq!(packet[1] & 0x7f, format.payload_type);
        assert_eq!(packet[8..12], packets[0][8..12]);
        assert!(payload_len(format).is_none_or(|len| packet.len() == 12 + len));
    }
    for pair in packets.windows(2) {
        assert_eq!(number(&pair[1]), number(&pair[0]).wrapping_add(1));
        let passed = time(&pair[1]).wrapping_sub(time(&pair[0]));
        assert!(passed > 0 && passed.is_multiple_of(ticks), "{passed}");
    }
}

#[test]
fn every_codec_is_spoken_both_ways() {
    on_each_driver(Options::default(), |relay| {
        let others = [G722, GSM, ILBC_20, ILBC_30, OPUS];
        for (number, other) in (1..).zip(others) {
            let mut call = Call::new(relay, number, PCMU, other);
            assert_is_stream(&call.talk(0, 10, packet(PCMU)), other);
            assert_is_stream(&call.talk(1, 10, packet(other)), PCMU);
            for index in [0, 1] {
                // The codec thread tells a little after it has sent. Packets may be longer that come
                // than those that leave.
                await_that(|| {
                    let stats = call.endpoint(index).transcoding;
                    let stats = stats.expect("it is transcoded");
                    stats.packets_in >= 6 && stats.packets_out >= 10
                });
                let endpoint = call.endpoint(index);
                assert!(endpoint.packets_out >= 10);
            }
            call.control.apply(0, vec![remove(number)]);
        }
        let mut control = relay.connect();
        await_that(|| control.counter("transcode_packets_out") >= 100);
        assert_eq!(control.counter("transcode_failed"), 0);
    });
}

#[test]
fn the_laws_of_g711_stay_on_the_worker() {
    // Without a codec thread.
    let options = Options {
        codec_threads: 0,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut call = Call::new(relay, 1, PCMA, PCMU);
        for sequence in 0..10 {
            call.phones[0].send(&rtp(7, sequence), call.ports[0]);
            let (got, source) = call.phones[1].receive();
            assert_eq!(source, call.ports[1]);
            let mut wanted = rtp(7, sequence);
            wanted[1] = 0;
            wanted[12..].fill(codec::g711::alaw_to_ulaw(0xd5));
            assert_eq!(got, wanted);
        }
        // Reports are of the same stream, and pass.
        call.phones[0].send(&rtcp(7), call.ports[0]);
        call.phones[1].expect(&rtcp(7), call.ports[1]);
        assert_eq!(call.control.counter("transcode_in_place"), 10);
        assert_eq!(call.endpoint(0).transcoding, None);
    });
}

#[test]
fn reports_end_at_the_relay_which_makes_its_own() {
    on_each_driver(Options::default(), |relay| {
        let call = Call::new(relay, 1, PCMU, GSM);
        call.phones[0].send(&rtcp(9), call.ports[0]);
        let media = call.talk(0, 3, packet(PCMU));
        // Nothing but the relay's reports comes beside media, to either side.
        let source = &media[0][8..12];
        let report = loop {
            let (got, port) = call.phones[1].receive();
            assert_eq!(port, call.ports[1]);
            if (200..=204).contains(&got[1]) {
                break got;
            }
        };
        assert_eq!((report[1], &report[4..8]), (200, source), "a sender report");
        let (report, _) = call.phones[0].receive();
        assert_eq!(report[1], 201, "it was sent nothing");
        assert_eq!(report[8..12], [0, 0, 0, 9], "about what it sent");
    });
}

#[test]
fn a_call_goes_on_when_its_codecs_change() {
    on_each_driver(Options::default(), |relay| {
        let mut call = Call::plain(relay, 1);
        let ports = call.ports;
        let plain = call.talk(0, 1, packet(PCMA));
        assert_eq!(plain[0][1], 8, "as it comes");
        for to in [GSM, G722, PCMU, OPUS] {
            call.control
                .apply(0, vec![set(1, ports[0], vec![route(PCMA, to)])]);
            // Some of before may be under way.
            let is_new = |packet: &Vec<u8>| packet[1] & 0x7f == to.payload_type;
            let got = call.talk(0, 30, packet(PCMA));
            assert!(is_new(got.last().unwrap()), "{to:?}");
            assert_eq!(
                got.iter()
                    .skip_while(|it| !is_new(it))
                    .filter(|it| !is_new(it))
                    .count(),
                0
            );
        }
        // The phone may send what it likes of what was agreed.
        let routes = vec![route(PCMA, GSM), route(PCMU, GSM)];
        call.control.apply(0, vec![set(1, ports[0], routes)]);
        for from in [PCMA, PCMU] {
            let got = call.talk(0, 30, packet(from));
            assert_eq!(got.last().unwrap()[1] & 0x7f, 3);
        }
        call.control.apply(0, vec![set(1, ports[0], vec![])]);
        let got = call.talk(0, 30, packet(PCMA));
        assert_eq!(got.last().unwrap()[1], 8);
        assert_eq!(call.endpoint(0).transcoding, None);
    });
}

#[test]
fn a_call_that_is_over_leaves_nothing_behind() {
    on_each_driver(Options::default(), |relay| {
        for number in 1..=10 {
            let mut call = Call::new(relay, number, PCMU, OPUS);
            call.talk(0, 3, packet(PCMU));
            // In the middle of the stream.
            for at in 100..110 {
                call.phones[0].send(&packet(PCMU)(at), call.ports[0]);
            }
            if number % 2 == 0 {
                let ends = vec![close(number, port(call.ports[0]))];
                call.control.apply(0, ends);
            }
            call.control.apply(0, vec![remove(number)]);
        }
        let mut control = relay.connect();
        assert_eq!(control.counter("transcode_flows"), 0);
        await_that(|| control.counter("codec_flows") == 0);
        // The same ports are as good as new.
        let call = Call::new(relay, 3, PCMU, GSM);
        assert_is_stream(&call.talk(0, 3, packet(PCMU)), GSM);
    });
}

#[track_caller]
fn assert_overload(control: &mut Control, command: Command) {
    let reply = control.request(0, vec![command]);
    let error = reply.failure.expect("a failure").error;
    assert_eq!(error, CommandError::Refused(Refusal::Overload));
}

#[test]
fn what_is_too_much_is_refused_and_the_call_is_as_it_was() {
    let options = Options {
        codec_flows_max: 2,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let first = Call::new(relay, 1, PCMU, GSM);
        let mut second = Call::plain(relay, 2);
        let (ports, routes) = (second.ports, vec![route(PCMU, GSM)]);
        assert_overload(&mut second.control, set(2, ports[0], routes.clone()));
        let got = second.talk(0, 3, packet(PCMU));
        assert!(got.iter().all(|it| it[1] == 0 && it.len() == 172));
        // What needs no codec thread is never too much, nor is what is served already.
        second
            .control
            .apply(0, vec![set(2, ports[0], vec![route(PCMU, PCMA)])]);
        assert_is_stream(&first.talk(0, 3, packet(PCMU)), GSM);
        assert_eq!(second.control.counter("transcode_refused"), 1);
        let mut control = relay.connect();
        control.apply(0, vec![remove(1)]);
        await_that(|| {
            let reply = control.request(0, vec![set(2, ports[0], routes.clone())]);
            reply.failure.is_none()
        });
    });
}

#[test]
fn without_codec_threads_nothing_is_transcoded() {
    let options = Options {
        codec_threads: 0,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut call = Call::plain(relay, 1);
        let command = set(1, call.ports[0], vec![route(PCMU, GSM)]);
        assert_overload(&mut call.control, command);
        let command = set(1, call.ports[0], vec![route(PCMU, GSM), route(PCMU, G722)]);
        let reply = call.control.request(0, vec![command]);
        let refused = CommandError::Refused(Refusal::Unsupported);
        assert_eq!(reply.failure.expect("a failure").error, refused);
    });
}

#[test]
fn a_flood_of_one_call_starves_no_other() {
    on_each_driver(Options::default(), |relay| {
        let flooded = Call::new(relay, 1, PCMU, OPUS);
        let transcoded = Call::new(relay, 2, PCMU, GSM);
        let mut plain = Call::plain(relay, 3);
        let make = packet(PCMU);
        for at in 0..20_u16 {
            for of_round in 0..200 {
                let number = at.wrapping_mul(200).wrapping_add(of_round);
                flooded.phones[0].send(&make(number), flooded.ports[0]);
            }
            // Forwarded in the midst of it, each of them.
            plain.phones[0].send(&rtp(1, at), plain.ports[0]);
            plain.phones[1].expect(&rtp(1, at), plain.ports[1]);
            transcoded.phones[0].send(&make(at), transcoded.ports[0]);
            let (got, _) = transcoded.phones[1].receive();
            assert_eq!(got[1] & 0x7f, 3);
        }
        let stats = plain.control.call(3).endpoints.remove(0);
        assert_eq!((stats.rtp_packets_in, stats.dropped), (20, 0));
    });
}

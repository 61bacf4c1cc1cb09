//! Sounds from a worker's order to the last packet, without the thread.

use std::sync::Arc;
use std::time::Duration;

use relay_wire::{
    Codec as WireCodec, Command, Format, InterfaceId, SampleRate, SoundKey, SoundPiece,
};

use super::*;
use crate::transcoding::engine::Engine;
use crate::transcoding::thread::{CodecThread, round};
use crate::transcoding::{Ending, Pool, PoolLimits};
use crate::wake::Wake;

const CALL: CallKey = CallKey(1);
const SOCKET: SocketId = SocketId::new(3);
const PORT: Port = Port {
    interface: InterfaceId(0),
    number: 30_000,
};

/// One worker, and a codec thread that goes round when it is told to.
struct Bench {
    worker: Transcoder,
    thread: CodecThread,
    engine: Engine,
    now: Instant,
}

impl Bench {
    /// With a sound of 400 samples.
    fn new(flows_max: usize) -> Self {
        let limits = PoolLimits {
            threads: 1,
            flows_max,
            refuses_when_busy: false,
        };
        let wakes = [Arc::new(Wake::new().unwrap())];
        let (pool, mut threads) = Pool::new(limits, &wakes).unwrap();
        pool.sounds.add(&SoundPiece {
            sound: SoundKey(1),
            rate: SampleRate::Narrow,
            len: 400,
            start: 0,
            samples: vec![7; 800],
        });
        let thread = threads.pop().unwrap();
        Self {
            worker: Transcoder::new(0, pool),
            engine: Engine::new(thread.outlets.clone()),
            thread,
            now: Instant::now(),
        }
    }

    fn play(&mut self, play: &Play) -> Result<(), Refusal> {
        self.worker.play(self.now, (CALL, PORT, SOCKET), play)
    }

    /// Packets that leave in so many milliseconds: number, timestamp and source.
    fn pass(&mut self, milliseconds: u32) -> Vec<(u16, u32, u32)> {
        let mut left = Vec::new();
        for _ in 0..milliseconds {
            self.now += Duration::from_millis(1);
            round(&self.thread.inlet, &mut self.engine, self.now);
            while let Some(made) = self.worker.poll_made() {
                assert!(made.is_played() && made.flow() == SOCKET);
                let ended = self.worker.note_leaving(self.now, SOCKET, made.bytes());
                assert_eq!(ended.is_some(), made.bytes().is_empty());
                if let Ok(packet) = Packet::parse(made.bytes()) {
                    let ssrc = packet.ssrc().value();
                    left.push((packet.sequence().value(), packet.timestamp(), ssrc));
                }
                self.worker.give_back(made);
            }
        }
        left
    }

    fn flows(&self) -> usize {
        self.thread.inlet.flows()
    }

    fn counter(&self, name: &str) -> u64 {
        let mut counters = self.worker.counters();
        counters.find(|it| it.0 == name).unwrap().1
    }
}

fn play() -> Play {
    Play {
        sound: SoundKey(1),
        to: Format::new(WireCodec::Pcma, 8, 20),
        opus: None,
        start: 0,
        times: 1,
        duration_ms: 0,
        unit_hz: 16_000,
        is_alone: false,
        rtcp: None,
    }
}

#[test]
fn a_sound_is_played_to_its_end_and_takes_no_place_then() {
    let mut bench = Bench::new(1);
    assert_eq!(
        bench.worker.stop_playing(SOCKET),
        None,
        "nothing was played"
    );
    bench.play(&play()).unwrap();
    assert_eq!((bench.flows(), bench.counter("sounds_playing")), (1, 1));
    assert_eq!(bench.pass(100).len(), 3);
    assert_eq!((bench.flows(), bench.counter("sounds_playing")), (0, 0));
    assert_eq!(bench.worker.stop_playing(SOCKET), Some(800), "the end");
    assert_eq!(bench.counter("sounds_played"), 1);
}

#[test]
fn the_next_sound_goes_on_with_the_same_stream() {
    let mut bench = Bench::new(2);
    let often = Play {
        times: 100,
        ..play()
    };
    bench.play(&often).unwrap();
    let first = bench.pass(90);
    // In place of the other, and then after a second.
    bench.play(&often).unwrap();
    let second = bench.pass(70);
    assert_eq!(bench.flows(), 1);
    assert_eq!(
        bench.worker.stop_playing(SOCKET),
        Some(480),
        "four packets, and the sound is 400 long"
    );
    bench.pass(1_000);
    assert_eq!(bench.flows(), 0);
    bench.play(&play()).unwrap();
    let third = bench.pass(10);
    for (before, next, ticks) in [
        (first.last(), second.first(), 80..=160),
        (second.last(), third.first(), 8_000..=8_200),
    ] {
        let (before, next) = (before.unwrap(), next.unwrap());
        assert_eq!(next.0, before.0.wrapping_add(1));
        assert_eq!(next.2, before.2);
        let passed = next.1.wrapping_sub(before.1);
        assert!(ticks.contains(&passed) || passed == 160, "{passed}");
    }
}

#[test]
fn a_call_or_a_port_that_ends_takes_what_is_played_along() {
    for command in [
        Command::RemoveCall { call: CALL },
        Command::CloseEndpoint {
            call: CALL,
            port: PORT,
        },
    ] {
        let mut bench = Bench::new(1);
        bench
            .play(&Play {
                times: 100,
                ..play()
            })
            .unwrap();
        assert_eq!(bench.pass(1).len(), 1);
        // A packet is under way.
        bench.now += Duration::from_millis(30);
        round(&bench.thread.inlet, &mut bench.engine, bench.now);
        bench.worker.end(Ending::of(&command).unwrap());
        assert_eq!(bench.pass(100), []);
        assert_eq!((bench.flows(), bench.counter("transcode_late")), (0, 1));
        assert_eq!(bench.worker.stop_playing(SOCKET), None);
    }
}

#[test]
fn what_cannot_be_played_is_refused_and_counted() {
    let mut bench = Bench::new(1);
    let unknown = Play {
        sound: SoundKey(2),
        ..play()
    };
    assert_eq!(bench.play(&unknown), Err(Refusal::UnknownSound));
    let to = |codec, number, ptime_ms| Play {
        to: Format::new(codec, number, ptime_ms),
        ..play()
    };
    for wrong in [
        to(WireCodec::G722, 9, 20),
        to(WireCodec::Pcma, 128, 20),
        to(WireCodec::Pcma, 8, 0),
    ] {
        assert_eq!(bench.play(&wrong), Err(Refusal::Unsupported));
    }
    bench.play(&play()).unwrap();
    let elsewhere = (CALL, PORT, SocketId::new(4));
    let result = bench.worker.play(bench.now, elsewhere, &play());
    assert_eq!(result, Err(Refusal::Overload), "the thread is full");
    assert_eq!(bench.counter("sounds_unplayed"), 5);
    assert_eq!(bench.pass(100).len(), 3);
    assert_eq!(bench.flows(), 0);
}

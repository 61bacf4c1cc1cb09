//! Debian's libgsm as a program of its own, fed over pipes; and speech for it that nobody spoke.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use codec::gsm::SAMPLES_PER_FRAME;

/// Streams that the oracle hands frames to in turn.
pub(crate) const STREAMS: usize = 16;

const SOURCE: &str = include_str!("oracle.c");

/// Builds the oracle in `folder`, for `user` alone. Says so, and gives `None`, where there is no
/// libgsm or no compiler.
pub(crate) fn build(folder: &Path, user: &str) -> Option<PathBuf> {
    if !compile("#include <gsm.h>\n", &["-E"]) {
        skip("libgsm1-dev or a C compiler is not installed");
        return None;
    }
    // Tests build it at the same time.
    let program = folder.join(format!("libgsm-oracle-{user}"));
    let output = program.to_str().expect("target folders are text");
    let is_built = compile(SOURCE, &["-O2", "-Wall", "-o", output, "-lgsm"]);
    assert!(is_built, "the oracle does not compile");
    Some(program)
}

fn compile(source: &str, options: &[&str]) -> bool {
    let child = Command::new("cc")
        .args(["-x", "c", "-"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return false;
    };
    let mut input = child.stdin.take().expect("it was piped");
    let is_written = input.write_all(source.as_bytes()).is_ok();
    drop(input);
    child.wait().is_ok_and(|status| status.success()) && is_written
}

fn skip(reason: &str) {
    let is_required = env::var_os("TANDEM_TESTS_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!is_required, "must not be skipped here: {reason}");
    // Past the capture of the test harness, so that a passing run shows it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// Frames of all that makes codecs stumble, and of what resembles speech; the same for each seed.
pub(crate) struct Frames {
    random: Random,
    kind: u64,
    /// Frames for which the kind stays the same.
    rest: u64,
    loudness: i32,
    period: u64,
    time: u64,
    /// The last sample, and the state of the vocal tract.
    memory: [f64; 3],
}

impl Frames {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            kind: 0,
            rest: 0,
            loudness: 0,
            period: 1,
            time: 0,
            memory: [0.0; 3],
        }
    }

    fn sample(&mut self) -> i16 {
        self.time += 1;
        let noise = self.random.signed();
        let is_beat = self.time.is_multiple_of(self.period);
        let value = match self.kind {
            0 => noise,
            1 => noise.signum() * 32_768,
            2 => {
                (if (self.time / self.period).is_multiple_of(2) {
                    1
                } else {
                    -1
                }) * self.loudness
            }
            3 => self.tone(),
            4 => self.loudness,
            5 => noise >> 10,
            6 => i32::from(is_beat) * self.loudness,
            7 => self.walk(noise),
            _ => self.voice(is_beat, noise),
        };
        i16::try_from(value.clamp(-32_768, 32_767)).expect("it was clamped")
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "any number will do"
    )]
    fn tone(&self) -> i32 {
        let phase = self.time as f64 / self.period as f64;
        ((phase.sin() + (phase * 1.618).sin()) * f64::from(self.loudness)) as i32
    }

    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    fn walk(&mut self, noise: i32) -> i32 {
        self.memory[0] = 0.98 * self.memory[0] + f64::from(noise >> 4);
        self.memory[0] as i32
    }

    /// Pulses and breath through one resonance.
    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    fn voice(&mut self, is_beat: bool, noise: i32) -> i32 {
        let source = f64::from(noise >> 7)
            + if is_beat {
                f64::from(self.loudness)
            } else {
                0.0
            };
        let next = source + 1.6 * self.memory[1] - 0.85 * self.memory[2];
        self.memory = [self.memory[0], next, self.memory[1]];
        (next / 3.0) as i32
    }
}

impl Iterator for Frames {
    type Item = [i16; SAMPLES_PER_FRAME];

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest == 0 {
            self.kind = self.random.below(12);
            self.rest = 1 + self.random.below(24);
            // Shifted, so that soft is as frequent as loud.
            self.loudness = self.random.signed() >> self.random.below(15);
            self.period = 1 + self.random.below(140);
        }
        self.rest -= 1;
        let frame = std::array::from_fn(|_| self.sample());
        // Homing is the one thing that libgsm does not know of.
        if frame == [8; SAMPLES_PER_FRAME] {
            return self.next();
        }
        Some(frame)
    }
}

/// A xorshift generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    /// Any number of 16 bits.
    pub(crate) fn signed(&mut self) -> i32 {
        let [_, _, low, high, ..] = self.next().to_le_bytes();
        i32::from(i16::from_le_bytes([low, high]))
    }
}

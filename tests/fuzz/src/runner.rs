//! Calls a target with many inputs and says which one it failed on.

use std::env;
use std::fmt::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crate::mutate::{Random, mutate};

/// An input of a target.
pub type Input = Vec<u8>;

/// What all mutations are made from, unless `TANDEM_FUZZ_SEED` says otherwise.
const SEED: u64 = 0x7a4d_e001;

/// Inputs that were found worth keeping, at most; older ones make room.
const POOL_MAX: usize = 512;

/// The longest that one input may take: something that grows faster than its input is a weakness
/// too. Much more than any input needs, since test machines are busy.
const SLOW: Duration = Duration::from_secs(5);

/// How often a slow input is tried before it is to blame: the machine may have been paused.
const SLOW_TRIES: usize = 3;

/// Calls `body` with each seed and with `iterations` mutations of them.
///
/// # Panics
/// If `body` does, after saying with which input and how to see it again.
pub fn run(name: &str, seeds: &[Input], iterations: usize, body: fn(&[u8])) {
    assert!(
        !seeds.is_empty(),
        "{name}: no seeds, so nothing would be found"
    );
    if let Some(input) = env::var("TANDEM_FUZZ_INPUT")
        .ok()
        .filter(|_| is_chosen(name))
    {
        body(&from_hex(&input));
        return;
    }
    let seed = number("TANDEM_FUZZ_SEED").unwrap_or(SEED);
    let rounds = number("TANDEM_FUZZ_ROUNDS").and_then(|rounds| usize::try_from(rounds).ok());
    let iterations = iterations.saturating_mul(rounds.unwrap_or(1));
    println!(
        "{name}: {iterations} mutations of {} seeds, TANDEM_FUZZ_SEED={seed}",
        seeds.len()
    );
    let mut pool = seeds.to_vec();
    for input in seeds {
        call(name, input, body);
    }
    // Each target has numbers of its own, so that leaving one out changes no other.
    let mut random = Random::new(name.bytes().fold(seed, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    }));
    for _ in 0..iterations {
        let other = random.below(pool.len());
        let mut input = pool[random.below(pool.len())].clone();
        mutate(&mut random, &mut input, &pool[other]);
        call(name, &input, body);
        // A mutation is sometimes built upon, so that inputs drift away from the seeds.
        if random.below(8) == 0 {
            keep(&mut random, &mut pool, seeds.len(), input);
        }
    }
}

fn keep(random: &mut Random, pool: &mut Vec<Input>, seed_count: usize, input: Input) {
    if pool.len() < POOL_MAX.max(2 * seed_count) {
        pool.push(input);
    } else {
        let place = seed_count + random.below(pool.len() - seed_count);
        pool[place] = input;
    }
}

fn call(name: &str, input: &[u8], body: fn(&[u8])) {
    let mut took = Duration::MAX;
    for _ in 0..SLOW_TRIES {
        let start = Instant::now();
        if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| body(input))) {
            report(name, "failed", input);
            panic::resume_unwind(cause);
        }
        took = took.min(start.elapsed());
        if took <= SLOW {
            return;
        }
    }
    report(name, "is slow", input);
    panic!("{name} took {took:?}");
}

fn report(name: &str, what: &str, input: &[u8]) {
    eprintln!("{name} {what}");
    eprintln!("input: {}", input.escape_ascii());
    eprintln!(
        "again: TANDEM_FUZZ_TARGET={name} TANDEM_FUZZ_INPUT={} cargo test -p tandem-fuzz {name}",
        to_hex(input)
    );
}

/// One input is for one target.
fn is_chosen(name: &str) -> bool {
    env::var("TANDEM_FUZZ_TARGET").is_ok_and(|target| target == name)
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    bytes.filter_map(|byte| u8::try_from(byte).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), bytes);
    }

    #[test]
    fn finds_a_planted_fault() {
        fn body(data: &[u8]) {
            assert!(!data.windows(3).any(|part| part == b"%00"), "planted");
        }
        let found = panic::catch_unwind(|| {
            run(
                "planted",
                &[b"sip:alice@example.com".to_vec()],
                20_000,
                body,
            )
        });
        assert!(found.is_err());
    }
}

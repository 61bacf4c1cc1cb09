//! Makes new inputs out of old ones.

/// A small generator of numbers (SplitMix64): the same seed gives the same numbers everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `limit`, or 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

/// Bytes that grammars are made of, and at which integers turn.
const INTERESTING: &[u8] = b"\0\x01\x7f\x80\xff\r\n\t \"\\<>()[]{},;:=?@%&/*+-.0123459azAZdile";

/// Pieces that take a random byte long to find.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\n\n",
    b"\\\"",
    b"\\\0",
    b"%00",
    b"%41",
    b"%",
    b"SIP/2.0",
    b"Via: ",
    b"v:",
    b"SIP/2.0/UDP ",
    b";branch=z9hG4bK",
    b";rport",
    b";received=",
    b";tag=",
    b";lr",
    b"Content-Length: ",
    b"l:0\r\n",
    b"Contact: *\r\n",
    b"Route: <sip:",
    b"To : ",
    b"sip:",
    b"sips:",
    b"tel:+1",
    b"[::1]",
    b"255.255.255.255",
    b":65536",
    b":0",
    b"4294967296",
    b"-1",
    b"99999999999999999999",
    b"m=audio 9 RTP/AVP ",
    b"a=rtpmap:",
    b"a=candidate:",
    b"c=IN IP6 ",
    b"a=rtcp:",
    b"d2:",
    b"1:",
    b"i-0e",
    b"le",
    b"de",
    b"i9223372036854775808e",
    b"0:",
    b"Digest ",
    b"username=\"",
    b"SHA-256",
    b"\x80\xc8\x00\x06",
    b"\x81\xc9\x00\x07",
    b"\xbe\xde\x00\x01",
];

/// Bytes of the longest input: mutations of long inputs find little and take long.
const INPUT_LEN_MAX: usize = 8 * 1_024;

/// Changes `input` in one to eight places; `other` lends pieces.
pub(crate) fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(8) {
        mutate_once(random, input, other);
    }
    input.truncate(INPUT_LEN_MAX);
}

fn mutate_once(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(input.len() + 1);
    let short = random.below(16);
    let end = (at + short).min(input.len());
    match random.below(12) {
        0 => flip(random, input),
        1 => set(input, at, random.byte()),
        2 | 3 => set(input, at, INTERESTING[random.below(INTERESTING.len())]),
        4 => input.insert(at, INTERESTING[random.below(INTERESTING.len())]),
        5 | 6 => splice(input, at..at, WORDS[random.below(WORDS.len())]),
        7 => drop(input.drain(at..end)),
        8 => input.truncate(at),
        9 => {
            let piece = input[at..end].to_vec();
            splice(input, at..at, &piece.repeat(1 + random.below(40)));
        }
        10 => {
            let from = random.below(other.len() + 1);
            let to = (from + random.below(200)).min(other.len());
            splice(input, at..end, &other[from..to]);
        }
        _ => repeat_line(random, input),
    }
}

fn flip(random: &mut Random, input: &mut [u8]) {
    let bit = random.below(8);
    let at = random.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

fn set(input: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = input.get_mut(at) {
        *place = byte;
    }
}

fn splice(input: &mut Vec<u8>, place: std::ops::Range<usize>, piece: &[u8]) {
    input.splice(place, piece.iter().copied());
}

/// Puts a copy of one line before another one.
fn repeat_line(random: &mut Random, input: &mut Vec<u8>) {
    let starts: Vec<_> = std::iter::once(0)
        .chain(
            input
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'\n')
                .map(|(at, _)| at + 1),
        )
        .collect();
    let from = starts[random.below(starts.len())];
    let to = starts[random.below(starts.len())];
    let len = input[from..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let line = input[from..from + len].to_vec();
    splice(input, to..to, &line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_makes_the_same_inputs() {
        let make = |seed| {
            let mut random = Random::new(seed);
            let mut input = b"one\r\ntwo\r\n".to_vec();
            (0..50).for_each(|_| mutate(&mut random, &mut input, b"three\r\n"));
            input
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn mutates_nothing_and_much_without_panic() {
        let mut random = Random::new(3);
        for _ in 0..20_000 {
            let mut input = Vec::new();
            mutate(&mut random, &mut input, b"");
            mutate(&mut random, &mut input, b"x\n");
            assert!(input.len() <= INPUT_LEN_MAX);
        }
    }
}

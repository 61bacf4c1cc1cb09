//! Input that no daemon asked for, the same in each run.

/// Datagrams of random bytes, of lengths from none to a jumbo frame. Each seed is another lot.
#[must_use]
pub fn random_datagrams(seed: u32, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(seed | 1);
    let lengths = [
        0, 1, 2, 3, 4, 8, 11, 12, 13, 27, 100, 172, 400, 1_200, 1_472, 8_900,
    ];
    let datagrams = lengths.into_iter().cycle().take(count);
    datagrams
        .map(|len| (0..len).map(|_| random.byte()).collect())
        .collect()
}

/// A message cut short, at `count` places spread over all of it.
#[must_use]
pub fn truncations(whole: &[u8], count: usize) -> Vec<Vec<u8>> {
    let places = (0..count).map(|index| index * whole.len() / count);
    places.map(|len| whole[..len].to_vec()).collect()
}

/// A message with some bytes changed, in `count` ways.
#[must_use]
pub fn mutations(seed: u32, whole: &[u8], count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(seed | 1);
    let mutate = |_| {
        let mut copy = whole.to_vec();
        for _ in 0..3 {
            let at = random.below(copy.len());
            copy[at] = random.byte();
        }
        copy
    };
    (0..count).map(mutate).collect()
}

/// xorshift32 (Marsaglia).
struct Random(u32);

impl Random {
    fn byte(&mut self) -> u8 {
        let [_, byte, ..] = self.next().to_be_bytes();
        byte
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_is_the_same_each_time_and_differs_by_seed() {
        assert_eq!(random_datagrams(1, 32), random_datagrams(1, 32));
        assert_ne!(random_datagrams(1, 32), random_datagrams(7, 32));
        assert_eq!(random_datagrams(1, 32).len(), 32);
    }

    #[test]
    fn a_message_is_cut_from_nothing_to_almost_all() {
        let cut = truncations(b"0123456789", 10);
        assert!(cut.iter().map(Vec::len).eq(0..10));
    }
}

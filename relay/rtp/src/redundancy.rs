//! Redundant data (RFC 2198): several payloads in one, the newest last.
//!
//! ```text
//! ┌─┬─────────┬──────────────────────┬────────────┐
//! │1│  type   │ older by (14)        │ length(10) │  one for each older payload
//! ├─┼─────────┼──────────────────────┴────────────┘
//! │0│  type   │                                      the newest
//! ├─┴─────────┴───────────────────────
//! │ payloads in the same order …
//! ```

/// Bytes of the header of an older payload, and of the newest.
const OLDER_HEADER_LEN: usize = 4;
const NEWEST_HEADER_LEN: usize = 1;

/// Payloads in one that are looked at: more than anybody sends.
const BLOCKS_MAX: usize = 16;

/// The payloads within one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Redundancy {
    blocks: [RedundantBlock; BLOCKS_MAX],
    len: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RedundantBlock {
    /// 0 to 127.
    pub payload_type: u8,
    /// How much older than the packet it is, in units of the timestamp.
    pub older_by: u32,
    /// Where it lies in the payload.
    pub start: usize,
    /// Its length.
    pub len: usize,
}

impl RedundantBlock {
    /// A payload that has none within it.
    #[must_use]
    pub fn all_of(payload: &[u8]) -> Self {
        Self {
            len: payload.len(),
            ..Self::default()
        }
    }
}

impl Redundancy {
    /// `None` if a header or a payload goes on beyond the end, or if there are too many.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut blocks = [RedundantBlock::default(); BLOCKS_MAX];
        let (mut len, mut at) = (0, 0);
        loop {
            let block = blocks.get_mut(len)?;
            let first = *payload.get(at)?;
            block.payload_type = first & 0x7f;
            len += 1;
            if first & 0x80 == 0 {
                at += NEWEST_HEADER_LEN;
                break;
            }
            let &[_, high, middle, low] = payload.get(at..)?.first_chunk()?;
            let word = u32::from_be_bytes([0, high, middle, low]);
            block.older_by = word >> 10;
            block.len = usize::try_from(word & 0x3ff).ok()?;
            at += OLDER_HEADER_LEN;
        }
        let (newest, older) = blocks[..len].split_last_mut()?;
        for block in older {
            block.start = at;
            at += block.len;
        }
        newest.start = at;
        newest.len = payload.len().checked_sub(at)?;
        Some(Self { blocks, len })
    }

    /// The payloads in their order: one at least, the newest last.
    #[must_use]
    pub fn blocks(&self) -> &[RedundantBlock] {
        &self.blocks[..self.len]
    }

    /// The newest.
    #[must_use]
    pub fn newest(&self) -> RedundantBlock {
        self.blocks[self.len - 1]
    }

    /// Takes older payloads of some types out of the payload that this was parsed of. What is left
    /// comes first; its length.
    pub fn remove_older(&self, payload: &mut [u8], is_unwanted: impl Fn(u8) -> bool) -> usize {
        let (newest, older) = self.blocks().split_last().unwrap_or((&self.blocks[0], &[]));
        let is_wanted = |block: &RedundantBlock| !is_unwanted(block.payload_type);
        let mut to = 0;
        // What is moved only ever goes towards the beginning, in the order in which it lies.
        for (index, _) in older.iter().enumerate().filter(|(_, it)| is_wanted(it)) {
            let from = index * OLDER_HEADER_LEN;
            payload.copy_within(from..from + OLDER_HEADER_LEN, to);
            to += OLDER_HEADER_LEN;
        }
        payload[to] = newest.payload_type;
        to += NEWEST_HEADER_LEN;
        for block in older.iter().filter(|it| is_wanted(it)).chain([newest]) {
            payload.copy_within(block.start..block.start + block.len, to);
            to += block.len;
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two older payloads, of 2 and 4 bytes, and one of 3.
    const THREE: [u8; 18] = [
        0x80 | 8,
        2,
        0x80,
        2, // 160 older, 2 bytes
        0x80 | 101,
        1,
        0x40,
        4, // 80 older, 4 bytes
        8, // the newest
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
    ];

    #[test]
    fn finds_each_payload_and_how_old_it_is() {
        let found = Redundancy::parse(&THREE).unwrap();
        let block = |payload_type, older_by, start, len| RedundantBlock {
            payload_type,
            older_by,
            start,
            len,
        };
        let expected = [
            block(8, 160, 9, 2),
            block(101, 80, 11, 4),
            block(8, 0, 15, 3),
        ];
        assert_eq!(found.blocks(), expected);
        assert_eq!(found.newest(), expected[2]);
    }

    #[test]
    fn what_goes_on_beyond_the_end_is_none() {
        for len in 0..15 {
            assert_eq!(Redundancy::parse(&THREE[..len]), None, "{len} bytes");
        }
        assert!(
            Redundancy::parse(&THREE[..15]).is_some(),
            "the newest is empty"
        );
        assert_eq!(Redundancy::parse(&[0x88, 0, 0, 0].repeat(40)), None);
    }

    #[test]
    fn what_is_unwanted_goes_and_the_rest_is_what_it_was() {
        let mut payload = THREE;
        let found = Redundancy::parse(&payload).unwrap();
        let len = found.remove_older(&mut payload, |it| it == 101);
        assert_eq!(payload[..len], [0x88, 2, 0x80, 2, 8, 1, 2, 7, 8, 9]);
        let mut payload = THREE;
        assert_eq!(found.remove_older(&mut payload, |_| false), THREE.len());
        assert_eq!(payload, THREE);
        assert_eq!(found.remove_older(&mut payload, |_| true), 4);
        assert_eq!(payload[..4], [8, 7, 8, 9]);
    }

    proptest! {
        #[test]
        fn what_is_left_holds_together(bytes in prop::collection::vec(any::<u8>(), 0..80), small in prop::collection::vec(0..4_u8, 0..40)) {
            crate::fuzz::redundancy(&bytes);
            // Nearer to the truth: short payloads.
            let bytes: Vec<_> = small.chunks(4).flat_map(|it| [it, &[0x88, 0, 0, 2]].concat()).collect();
            crate::fuzz::redundancy(&bytes);
        }
    }
}

//! Which worker a port belongs to: the port alone says so.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::WorkerId;

/// Divides a range of ports into one slice of even length for each worker.
///
/// Slices begin at even ports, so that an RTP port and the RTCP port after it have one owner.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Parts")]
pub struct PortPartition {
    first: u16,
    slice_len: u16,
    workers: u8,
}

/// A partition as it comes from outside: not checked.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Parts {
    first: u16,
    slice_len: u16,
    workers: u8,
}

impl TryFrom<Parts> for PortPartition {
    type Error = PartitionError;

    fn try_from(parts: Parts) -> Result<Self, PartitionError> {
        let Parts {
            first,
            slice_len,
            workers,
        } = parts;
        let count = u32::from(slice_len) * u32::from(workers);
        let last = (u32::from(first) + count).saturating_sub(1);
        let too_few = PartitionError::TooFew {
            first,
            last: u16::MAX,
            workers,
        };
        let partition = Self::new(first, u16::try_from(last).map_err(|_| too_few)?, workers)?;
        // `new` would have rounded an odd length down.
        if partition.slice_len == slice_len {
            Ok(partition)
        } else {
            Err(too_few)
        }
    }
}

/// Why a range cannot be divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PartitionError {
    /// The first port must be even and at least 1024.
    #[error("the first port, {0}, must be even and at least 1024")]
    First(u16),
    /// Each worker needs a pair of ports at least.
    #[error("ports {first} to {last} are too few for {workers} workers")]
    TooFew {
        /// As given.
        first: u16,
        /// As given.
        last: u16,
        /// As given.
        workers: u8,
    },
}

impl PortPartition {
    /// Divides the ports from `first` to `last`, both included. Ports left over at the end are
    /// not used.
    ///
    /// # Errors
    ///
    /// When `first` is odd or privileged, or a worker would get no pair.
    pub fn new(first: u16, last: u16, workers: u8) -> Result<Self, PartitionError> {
        if !first.is_multiple_of(2) || first < 1024 {
            return Err(PartitionError::First(first));
        }
        let too_few = PartitionError::TooFew {
            first,
            last,
            workers,
        };
        let count = (u32::from(last) + 1).saturating_sub(u32::from(first));
        let Some(slice_len) = count.checked_div(u32::from(workers)) else {
            return Err(too_few);
        };
        let slice_len = u16::try_from(slice_len & !1).map_err(|_| too_few)?;
        if slice_len == 0 {
            return Err(too_few);
        }
        Ok(Self {
            first,
            slice_len,
            workers,
        })
    }

    /// How many workers share the range.
    #[must_use]
    pub fn workers(&self) -> u8 {
        self.workers
    }

    /// The ports of one worker, beginning with an even one. `None` if there is no such worker.
    #[must_use]
    pub fn slice(&self, worker: WorkerId) -> Option<RangeInclusive<u16>> {
        if worker.0 >= self.workers {
            return None;
        }
        let first = self.first + u16::from(worker.0) * self.slice_len;
        Some(first..=first + (self.slice_len - 1))
    }

    /// Who owns a port. `None` if it lies outside the range.
    #[must_use]
    pub fn owner(&self, port: u16) -> Option<WorkerId> {
        let slot = port.checked_sub(self.first)? / self.slice_len;
        let worker = u8::try_from(slot).ok()?;
        (worker < self.workers).then_some(WorkerId(worker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeError, decode, encode};

    #[test]
    fn every_port_of_a_slice_has_its_worker_as_owner() {
        let partition = PortPartition::new(30_000, 30_999, 3).unwrap();
        for worker in (0..3).map(WorkerId) {
            let slice = partition.slice(worker).unwrap();
            assert_eq!(slice.start() % 2, 0);
            for port in slice {
                assert_eq!(partition.owner(port), Some(worker));
            }
        }
        assert_eq!(partition.owner(29_999), None);
        assert_eq!(partition.owner(30_996), None, "left over");
        assert_eq!(partition.slice(WorkerId(3)), None);
    }

    #[test]
    fn a_pair_never_spans_two_workers() {
        for workers in 1..=7 {
            let partition = PortPartition::new(20_000, 20_100, workers).unwrap();
            for rtp in (20_000..20_100).step_by(2) {
                assert_eq!(partition.owner(rtp), partition.owner(rtp + 1));
            }
        }
    }

    #[test]
    fn reaches_the_last_port_there_is() {
        let partition = PortPartition::new(65_000, 65_535, 1).unwrap();
        assert_eq!(partition.slice(WorkerId(0)), Some(65_000..=65_535));
    }

    #[test]
    fn refuses_what_cannot_be_divided() {
        assert_eq!(
            PortPartition::new(1_025, 2_000, 1),
            Err(PartitionError::First(1_025))
        );
        assert_eq!(
            PortPartition::new(1_022, 2_000, 1),
            Err(PartitionError::First(1_022))
        );
        assert!(PortPartition::new(2_000, 2_003, 3).is_err());
        assert!(PortPartition::new(2_000, 1_000, 1).is_err());
        assert!(PortPartition::new(2_000, 3_000, 0).is_err());
    }

    #[test]
    fn what_comes_from_outside_is_checked() {
        let partition = PortPartition::new(30_000, 39_999, 3).unwrap();
        let mut bytes = Vec::new();
        encode(&partition, &mut bytes);
        assert_eq!(decode(&bytes), Ok(partition));
        for parts in [
            (30_000_u16, 0_u16, 1_u8),
            (30_000, 2, 0),
            (30_000, 3, 1),
            (30_001, 2, 1),
            (60_000, 30_000, 2),
        ] {
            encode(&parts, &mut bytes);
            let decoded = decode::<PortPartition>(&bytes);
            assert_eq!(decoded, Err(DecodeError::Malformed), "{parts:?}");
        }
    }
}

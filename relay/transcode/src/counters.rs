//! What became of packets.

/// Why something was not passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DropReason {
    /// It came before.
    Duplicate,
    /// It came after its place was passed over.
    Late,
    /// Its number is far from the last one, and no neighbour of it has come.
    Jump,
    /// No RTP, or no payload of the codec.
    Malformed,
    /// More media or octets than one packet may have.
    TooLong,
    /// A payload type that was not agreed.
    PayloadType,
    /// Audio beside an event, or what a listener for keys took away.
    Suppressed,
    /// Its time on the timeline is already used up.
    Overlap,
    /// More packets wait to leave than may.
    QueueFull,
    /// The codec would not do it.
    Codec,
}

impl DropReason {
    /// Every reason, in the order of the counters that [`Self::name`] labels.
    pub const ALL: [Self; 10] = [
        Self::Duplicate,
        Self::Late,
        Self::Jump,
        Self::Malformed,
        Self::TooLong,
        Self::PayloadType,
        Self::Suppressed,
        Self::Overlap,
        Self::QueueFull,
        Self::Codec,
    ];

    /// The metrics label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "transcode_dropped_duplicate",
            Self::Late => "transcode_dropped_late",
            Self::Jump => "transcode_dropped_jump",
            Self::Malformed => "transcode_dropped_malformed",
            Self::TooLong => "transcode_dropped_too_long",
            Self::PayloadType => "transcode_dropped_payload_type",
            Self::Suppressed => "transcode_dropped_suppressed",
            Self::Overlap => "transcode_dropped_overlap",
            Self::QueueFull => "transcode_dropped_queue_full",
            Self::Codec => "transcode_dropped_codec",
        }
    }
}

/// Counts of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Packets handed in.
    pub packets_in: u64,
    /// Packets that left.
    pub packets_out: u64,
    /// Octets of their payloads.
    pub octets_out: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Numbers that were passed over, for what was lost and not made up.
    pub numbers_skipped: u64,
    /// Milliseconds that were made up for what was lost.
    pub concealed_ms: u64,
    /// Other sources, and the same one beginning anew.
    pub source_changes: u64,
    /// Timestamps that contradicted what came before.
    pub timestamp_jumps: u64,
    /// Pauses in which the source sent nothing.
    pub pauses: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// How many were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    pub(crate) fn drop_one(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checklist_16_every_drop_has_a_counter_of_its_own() {
        let mut counters = Counters::default();
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            counters.drop_one(reason);
            assert_eq!(counters.dropped(reason), 1);
        }
    }
}

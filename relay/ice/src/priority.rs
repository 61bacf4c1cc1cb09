//! Which candidates and pairs come first (RFC 8445 §5.1.2 and §6.1.2.3).

/// Where a candidate comes from. The order of preference is that of RFC 8445 §5.1.2.2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A socket of its own.
    Host,
    /// What a peer saw in a check.
    PeerReflexive,
    /// What a server saw.
    ServerReflexive,
    /// A socket of a relay.
    Relayed,
}

impl Kind {
    const fn preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }
}

/// The priority of a candidate of ours.
#[must_use]
pub fn priority(kind: Kind, local_preference: u16, component: u8) -> u32 {
    let component = 256 - u32::from(component);
    (kind.preference() << 24) + (u32::from(local_preference) << 8) + component
}

/// The priority of a pair.
pub(crate) fn of_pair(controlling: u32, controlled: u32) -> u64 {
    let (low, high) = (controlling.min(controlled), controlling.max(controlled));
    let rest = 2 * u64::from(high) + u64::from(controlling > controlled);
    // Nothing keeps a peer from saying more than a candidate may have.
    (u64::from(low) << 32).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_the_formula() {
        assert_eq!(priority(Kind::Host, u16::MAX, 1), 2_130_706_431);
        assert_eq!(priority(Kind::Host, u16::MAX - 1, 2), 2_130_706_174);
        assert_eq!(priority(Kind::Relayed, u16::MAX, 1), 16_777_215);
        assert_eq!(priority(Kind::PeerReflexive, u16::MAX, 1), 0x6eff_ffff);
        assert_eq!(of_pair(2, 1), (1 << 32) + 4 + 1);
        assert_eq!(of_pair(1, 2), (1 << 32) + 4);
        assert_eq!(of_pair(u32::MAX, u32::MAX), u64::MAX);
    }
}

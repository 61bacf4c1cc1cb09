//! The three daemons, in the order in which they are started.

use std::fmt;

/// One daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Relay,
    Control,
    SipProxy,
}

impl Role {
    /// Each needs the one before it, so this is the order to start and, reversed, to stop.
    pub(crate) const ALL: [Self; 3] = [Self::Relay, Self::Control, Self::SipProxy];

    /// Its name in messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Control => "control",
            Self::SipProxy => "sip-proxy",
        }
    }

    /// The name of its program.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Relay => "tandem-relay",
            Self::Control => "tandem-control",
            Self::SipProxy => "tandem-sip-proxy",
        }
    }

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Relay => 0,
            Self::Control => 1,
            Self::SipProxy => 2,
        }
    }

    /// The one that is started after it.
    pub(crate) fn next(self) -> Option<Self> {
        Self::ALL.get(self.index() + 1).copied()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

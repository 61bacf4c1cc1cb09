//! Why a run could not be done. Loss is no error: it is a result.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// An option is out of its bounds.
    #[error("{0}")]
    Option(String),
    /// An address that is not this host's was not named.
    #[error("{0} is not an address of this host; if you may send there, say so: --yes-send-to {0}")]
    NotPermitted(IpAddr),
    /// The server does not answer.
    #[error("no answer from {server} within {waited_ms} ms")]
    NoAnswer {
        /// Who was asked.
        server: SocketAddr,
        /// For how long.
        waited_ms: u128,
    },
    /// The server refuses, or says what makes no sense.
    #[error("{server} refused {what}: {reason}")]
    Refused {
        /// Who was asked.
        server: SocketAddr,
        /// What for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// Stopped before the load began.
    #[error("stopped before anything was sent")]
    Stopped,
    /// The system refuses.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
}

impl LoadError {
    /// For `map_err`: what was tried when the system refused.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |error| Self::System { what, error }
    }

    /// Whether the options are to blame, rather than what happened.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NotPermitted(_) | Self::Option(_))
    }

    /// Whether a server did not answer, as opposed to answering something unwelcome.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }
}

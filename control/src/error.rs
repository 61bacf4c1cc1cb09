//! Why control cannot run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::tls::TlsError;

/// Why control cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address of `control.listen` cannot be used.
    #[error(
        "cannot receive ng on {address}: {source}. Is another control (or rtpengine) running, or \
         is the address not this host's? Change control.listen in tandem.toml"
    )]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error(
        "cannot listen on {}: {source}. Is another control running with this tandem.runtime_dir?",
        path.display()
    )]
    Admin {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address of a stream cannot be listened on.
    #[error(
        "cannot receive ng on {address}: {source}. Does something else listen there, or is the \
         address not this host's? Change control.{setting} in tandem.toml"
    )]
    ListenStream {
        /// Which setting.
        setting: &'static str,
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or the key cannot be used.
    #[error("control.tls_certificate: {0}")]
    Tls(#[from] TlsError),
    /// No randomness, no signals, no event loop.
    #[error("cannot {doing}: {source}")]
    System {
        /// What could not be done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    /// For `map_err`.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

//! Header fields: their names and the values that a proxy reads.

mod contact;
mod cseq;
mod id;
mod list;
mod name_addr;
mod params;
pub(crate) mod scan;
mod via;

pub use contact::{Contact, ContactIter, Contacts};
pub use cseq::CSeq;
pub use id::HeaderId;
pub use list::{HeaderValues, NameAddrs, Tokens, Vias};
pub(crate) use list::{first_value, split_first};
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use via::{Rport, Via};

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// It is there, but does not follow its grammar.
    #[error("malformed {0}")]
    Malformed(HeaderId),
    /// It is not there.
    #[error("missing {0}")]
    Missing(HeaderId),
    /// There is more of it than we take.
    #[error("too much {0}")]
    TooMany(HeaderId),
}

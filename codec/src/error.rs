//! Why a codec did not do it.

use crate::{gsm, ilbc, opus};

/// Why a payload was not decoded, or samples were not encoded. It is dropped, and counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The payload is empty, too long, or not of this codec.
    #[error("the payload is not one of this codec")]
    Payload,
    /// What comes out does not fit into the buffer.
    #[error("the buffer is too short")]
    Room,
    /// The samples are not a whole number of frames.
    #[error("{0} samples are not a whole number of frames")]
    Samples(usize),
    /// There is no such codec at this rate: of 48 kHz there is Opus alone.
    #[error("only Opus has samples of 48 kHz")]
    Rate,
    /// Not GSM.
    #[error(transparent)]
    Gsm(#[from] gsm::PayloadError),
    /// Not iLBC.
    #[error(transparent)]
    Ilbc(#[from] ilbc::PayloadError),
    /// Not Opus, or libopus failed.
    #[error(transparent)]
    Opus(#[from] opus::Error),
}

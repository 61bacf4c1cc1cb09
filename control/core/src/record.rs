//! Calls to bytes and back: the record that is left with the relay.
//!
//! The first byte is the version of the form. A control that finds a version that it does not
//! know ends the call rather than guess.

use relay_wire::RECORD_BYTES_MAX;

use crate::call::CallState;

/// Version of the form. Raise it when [`CallState`] changes.
const VERSION: u8 = 2;

/// Why a record is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Not the form of this version.
    #[error("malformed")]
    Malformed,
    /// Over [`RECORD_BYTES_MAX`].
    #[error("too long")]
    TooLong,
    /// Another version wrote it.
    #[error("of another version")]
    Version,
}

/// The record of a call.
pub(crate) fn encode(state: &CallState) -> Result<Vec<u8>, RecordError> {
    let bytes = postcard::to_extend(state, vec![VERSION]).map_err(|_| RecordError::Malformed)?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong);
    }
    Ok(bytes)
}

/// Reads a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<CallState, RecordError> {
    let Some((&VERSION, state)) = bytes.split_first() else {
        return Err(RecordError::Version);
    };
    match postcard::take_from_bytes(state) {
        Ok((state, [])) => Ok(state),
        _ => Err(RecordError::Malformed),
    }
}

//! What SDP must know of a codec.

#![forbid(unsafe_code)]

//! The ng protocol, both directions.

#![forbid(unsafe_code)]

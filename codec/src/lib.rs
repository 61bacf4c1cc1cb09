//! Payloads to samples and back.

#![forbid(unsafe_code)]

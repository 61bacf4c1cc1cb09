//! Payloads to samples and back.

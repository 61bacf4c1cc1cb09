//! Benches that need no network.

//! Decides what happens to each packet; performs no I/O.

#![forbid(unsafe_code)]

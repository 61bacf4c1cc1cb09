//! Calls, ports and SDP; performs no I/O.

#![forbid(unsafe_code)]

//! RTP and RTCP as views over bytes.

#![forbid(unsafe_code)]

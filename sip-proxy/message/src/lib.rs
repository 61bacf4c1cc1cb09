//! SIP messages: parse, read, edit (RFC 3261).

#![forbid(unsafe_code)]

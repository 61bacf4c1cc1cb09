//! How messages travel: one socket a UDP listener, one task a TCP connection.

pub(crate) mod tcp;
pub(crate) mod udp;

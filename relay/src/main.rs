//! Forwards RTP: threads, rings, sockets.

fn main() {}

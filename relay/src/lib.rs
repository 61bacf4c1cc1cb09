//! Forwards RTP: threads, rings, sockets.

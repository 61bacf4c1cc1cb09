//! Frames past the stack of this host: sent and received by packet(7) sockets on one interface.
//!
//! Sending a datagram costs half of what it does through a UDP socket, and receiving one less
//! than that. The price is that what the stack does is ours: headers ([`frame`]), and whom a
//! frame is for ([`Interface`]).

mod frame;
mod interface;
mod packet;

pub(crate) use frame::{Datagram, End, HEADER_LEN, Header};
pub(crate) use interface::Interface;
pub(crate) use packet::{Ring, Sender};

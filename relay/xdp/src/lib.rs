//! The kernel's table of flows: what the relay has learnt, forwarded where frames come in.
//!
//! Two programs of ours run in the kernel (eBPF, written here in its own instructions: there is
//! no other compiler). One stands where frames come in ([XDP](program::forward)) and forwards
//! packets of the flows in the table; the other stands where frames go out
//! ([tcx](program::observe)) and observes how the kernel sends packets of the same flows.
//!
//! ```text
//!                   ┌──────────────── 1 of 250 packets: renews ────────────────┐
//!   frame ─► forward┤                                                          ▼
//!                   │ lease holds                    socket ─► relay ─► socket ─► observe ─► frame
//!                   └───────────► rewritten ─► frame                             │
//!                        ▲                                                       │
//!                        └──────────── addresses, interface, lease ◄─────────────┘
//! ```
//!
//! Nothing is forwarded without a lease of a few seconds, and only a packet of the flow that went
//! all the way through the relay grants one. So the kernel's routes, neighbours and firewalls hold
//! for all packets, and a relay that hangs stops the flows as well.
//!
//! The tables are memory that we share with the programs: to install a flow, to take it out, and
//! to read what it counts is a few loads and stores, and no system call.

mod assembler;
mod flow;
mod interface;
mod layout;
mod netlink;
mod packet;
mod program;
mod system;
mod table;
#[doc(hidden)]
pub mod testing;

pub use assembler::AssembleError;
pub use flow::Flow;
pub use interface::driver_of;
pub use layout::TICK_SCALE_BITS;
pub use table::{Counts, Interface, InterfaceState, OpenError, Options, Place, Share, Slot, Table};

//! Media whose two sides share no codec: codec threads beside the workers.
//!
//! ```text
//!  worker ── take ─┬─ the other law, another payload type ──────────► sent from the same buffer
//!     ▲            └─ Courier ─► codec thread: Engine ─► Outlet ──┐
//!     └──────────────── wake, send_made ◄─────────────────────────┘
//! ```
//!
//! A stream belongs to one codec thread for as long as it lasts, as do all streams of its call, so
//! nothing is shared but two bounded queues. A worker never waits for a codec thread: it drops and
//! counts what a full queue does not take, and codec threads are less important to the system than
//! workers. While streams flow a codec thread looks at its queue each millisecond, so that it works
//! on many packets at a time and no worker has to wake it.

mod courier;
mod direction;
mod engine;
mod load;
mod plans;
mod players;
mod playing;
mod pool;
mod queue;
mod shared;
mod sounds;
mod thread;
mod transcoder;

#[cfg(test)]
mod tests;

pub(crate) use courier::{Courier, Parcel};
pub(crate) use pool::Pool;
pub use pool::PoolLimits;
pub(crate) use sounds::Sounds;
pub(crate) use thread::Taking;
pub(crate) use transcoder::{Ending, Transcoder};

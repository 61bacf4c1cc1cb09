//! The path of a stream in simulated time: what goes in at one side, and what comes out at the
//! other. Tests named `checklist_…` hold what RFCs ask of a transcoder, point by point.

mod batch;
mod full;
mod harness;
mod keys;
mod matrix;
mod packets;
mod pauses;

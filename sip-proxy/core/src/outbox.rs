//! What is to be done, in order.

use std::collections::VecDeque;

use crate::interface::{Destination, Output};

/// The driver empties it after each `handle_*`, so it never holds more than one input causes.
#[derive(Debug, Default)]
pub(crate) struct Outbox(VecDeque<Output>);

impl Outbox {
    pub(crate) fn push(&mut self, output: Output) {
        self.0.push_back(output);
    }

    pub(crate) fn send(&mut self, destination: Destination, bytes: Vec<u8>) {
        self.push(Output::Send { destination, bytes });
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}

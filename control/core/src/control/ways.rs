//! Which ways media went in a call that is over.

use relay_wire::{CallStats, Port};

use crate::call::{CallState, Leg};

/// Streams of calls that were heard by one side alone, or by nobody.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Ways {
    /// One party sent and the other did not.
    pub(super) one: u64,
    /// Neither did.
    pub(super) none: u64,
}

impl Ways {
    /// Adds a call that is over: of each two parties the first medium, as the peer counts.
    pub(super) fn add(&mut self, state: &CallState, stats: &CallStats) {
        let mut silent = 0;
        for leg in &state.legs {
            let Some([near, far]) = ports(state, leg) else {
                continue;
            };
            match [near, far].map(|port| packets(stats, port)) {
                [0, 0] => silent += 1,
                [_, 0] => self.one += 1,
                _ => {}
            }
        }
        self.none += silent / 2;
    }
}

/// Where the first medium arrives that a party has with another, and where that of the other does.
fn ports(state: &CallState, leg: &Leg) -> Option<[Port; 2]> {
    let peer = state.leg(leg.peer?)?;
    let streams = 0..leg.streams.len();
    streams
        .into_iter()
        .find_map(|index| Some([leg.port(index)?, peer.port(index)?]))
}

fn packets(stats: &CallStats, port: Port) -> u64 {
    let mut endpoints = stats.endpoints.iter();
    let endpoint = endpoints.find(|it| it.port == port);
    endpoint.map_or(0, |it| it.rtp_packets_in)
}

//! How much one worker takes.

use std::net::IpAddr;

use relay_wire::{InterfaceId, Port, PortPartition, WorkerId};

/// What one worker owns and how much it takes. Chosen at start.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Which worker this is.
    pub worker: WorkerId,
    /// Who owns which port.
    pub partition: PortPartition,
    /// The addresses that ports are on, by [`InterfaceId`].
    pub interfaces: Vec<IpAddr>,
    /// Calls at most.
    pub calls_max: usize,
    /// Endpoints at most, those that are idle or being closed included.
    pub endpoints_max: u32,
    /// Sockets of endpoints that are closed and that are kept nevertheless, for the same port's
    /// next call: at most.
    pub idle_max: u32,
}

/// Bytes that the record of a call may take on average over `calls_max` calls.
const RECORD_BYTES_MEAN_MAX: usize = 16 * 1024;

impl Limits {
    /// Bytes of all records together.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.calls_max.saturating_mul(RECORD_BYTES_MEAN_MAX)
    }

    /// The address that a port is on, if the port is this worker's.
    pub(crate) fn address_of(&self, port: Port) -> Option<IpAddr> {
        let InterfaceId(interface) = port.interface;
        let address = self.interfaces.get(usize::from(interface))?;
        let is_ours = self.partition.owner(port.number) == Some(self.worker);
        is_ours.then_some(*address)
    }
}

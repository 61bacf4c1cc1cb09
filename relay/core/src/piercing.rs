//! Opening the NAT of a peer: empty datagrams until it is heard.
//!
//! A peer behind a NAT that lets nothing in before something went out waits for us as we wait
//! for it, when both are behind one. Somebody has to begin.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use relay_wire::CallKey;

use crate::flow_table::FlowTable;
use crate::{Egress, SocketId};

/// Time between two datagrams of one endpoint. It is the same for all, so the queue is in order.
const INTERVAL: Duration = Duration::from_millis(200);

/// Datagrams of one endpoint: ten seconds, as long as it takes to speak after answering.
const DATAGRAMS_MAX: u8 = 50;

/// The endpoints of a worker that open the NAT of their peer: each is in the queue once. One that
/// was closed stays there until its time comes.
#[derive(Debug, Default)]
pub(crate) struct Piercings {
    queue: VecDeque<Piercing>,
    transmits: VecDeque<Egress>,
    sent: u64,
}

#[derive(Debug)]
struct Piercing {
    at: Instant,
    socket: SocketId,
    /// The slot may be another call's by then.
    call: CallKey,
    left: u8,
}

impl Piercings {
    /// Begins at once with an endpoint that is not in the queue.
    pub(crate) fn begin(&mut self, now: Instant, socket: SocketId, call: CallKey) {
        self.queue.push_front(Piercing {
            at: now,
            socket,
            call,
            left: DATAGRAMS_MAX,
        });
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.queue.front().map(|it| it.at)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, flows: &mut FlowTable) {
        while self.next_deadline().is_some_and(|at| at <= now)
            && let Some(piercing) = self.queue.pop_front()
        {
            self.step(now, piercing, flows);
        }
    }

    /// Takes the next datagram that is to be sent.
    pub(crate) fn poll_transmit(&mut self) -> Option<Egress> {
        self.transmits.pop_front()
    }

    /// Datagrams so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Forgets what leaves through a socket that is being closed.
    pub(crate) fn forget(&mut self, socket: SocketId) {
        self.transmits.retain(|it| it.socket != socket);
    }

    fn step(&mut self, now: Instant, mut piercing: Piercing, flows: &mut FlowTable) {
        let socket = piercing.socket;
        let endpoint = flows.open(socket).filter(|it| it.call == piercing.call);
        let Some(endpoint) = endpoint else {
            return;
        };
        let Some(destination) = endpoint.piercing_target().filter(|_| piercing.left > 0) else {
            return endpoint.end_piercing();
        };
        self.sent += 1;
        self.transmits.push_back(Egress {
            socket,
            destination,
        });
        piercing.at = now + INTERVAL;
        piercing.left -= 1;
        self.queue.push_back(piercing);
    }
}

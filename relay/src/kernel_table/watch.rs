//! Looks after the programs on the interfaces: others may take them away.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use relay_xdp::{InterfaceState, Table};
use tracing::{info, warn};

use super::{Nic, Opened};

/// What runs on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    table: Arc<Table>,
    nics: Vec<Nic>,
    last: Vec<InterfaceState>,
}

/// Something that an operator should know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    /// Nothing is forwarded any more of what comes in there.
    ForwardsNoMore,
    /// Leases of what leaves there are not renewed any more.
    ObservesNoMore,
    /// What comes in elsewhere may leave there.
    TakesFromOthers,
    /// It may not any more.
    TakesNoMore,
}

/// So often.
const PERIOD: Duration = Duration::from_secs(2);

impl Watch {
    pub(crate) fn new(opened: Opened) -> Self {
        Self {
            last: opened.table.survey(),
            table: opened.table,
            nics: opened.nics,
        }
    }

    /// Until there is nobody to say stop any more.
    pub(crate) fn run(mut self, stopped: &Receiver<()>) -> io::Result<()> {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PERIOD) {
            let states = self.table.survey();
            for (before, now) in self.last.iter().zip(&states) {
                for change in changes(before, now) {
                    self.say(now.interface, change);
                }
            }
            self.last = states;
        }
        Ok(())
    }

    fn say(&self, interface: u32, change: Change) {
        let nic = self.nics.iter().find(|it| it.index == interface);
        let interface = nic.map_or("?", |it| it.name.as_str());
        match change {
            Change::ForwardsNoMore => warn!(
                interface,
                "the program that forwards is not there any more: somebody has taken it away, or the \
                 interface is gone. What comes in there goes through sockets until the relay is \
                 started anew"
            ),
            Change::ObservesNoMore => warn!(
                interface,
                "the program that observes is not there any more: somebody has taken it away, or the \
                 interface is gone. What leaves there goes through sockets until the relay is \
                 started anew"
            ),
            Change::TakesFromOthers => {
                info!(
                    interface,
                    "calls between this interface and others go by the kernel"
                );
            }
            Change::TakesNoMore => info!(
                interface,
                "its driver does not take frames of other interfaces any more: these calls go through \
                 sockets"
            ),
        }
    }
}

fn changes(before: &InterfaceState, now: &InterfaceState) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.forwards && !now.forwards {
        changes.push(Change::ForwardsNoMore);
    }
    if before.observes && !now.observes {
        changes.push(Change::ObservesNoMore);
    }
    match [before.takes_from_others, now.takes_from_others] {
        [false, true] => changes.push(Change::TakesFromOthers),
        [true, false] => changes.push(Change::TakesNoMore),
        _ => {}
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_has_changed_and_nothing_twice() {
        let whole = InterfaceState {
            interface: 4,
            forwards: true,
            observes: true,
            takes_from_others: true,
        };
        let robbed = InterfaceState {
            forwards: false,
            takes_from_others: false,
            ..whole
        };
        let gone = InterfaceState {
            observes: false,
            ..robbed
        };
        assert_eq!(changes(&whole, &whole), []);
        let first = [Change::ForwardsNoMore, Change::TakesNoMore];
        assert_eq!(changes(&whole, &robbed), first);
        assert_eq!(changes(&robbed, &gone), [Change::ObservesNoMore]);
        assert_eq!(changes(&gone, &gone), []);
        assert_eq!(changes(&gone, &whole), [Change::TakesFromOthers]);
    }
}

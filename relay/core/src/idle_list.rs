//! Sockets that are open and belong to no call, in the order in which that began: a list through
//! an array, since any of them may be the next that leaves.

use crate::SocketId;

/// The idle sockets of one worker.
#[derive(Debug, Default)]
pub(crate) struct IdleList {
    /// By slot; only those of idle sockets mean anything.
    links: Vec<Link>,
    oldest: Option<SocketId>,
    newest: Option<SocketId>,
    len: usize,
}

/// The neighbours of one socket.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    older: Option<SocketId>,
    newer: Option<SocketId>,
}

impl IdleList {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The one that has been idle for the longest time.
    pub(crate) fn oldest(&self) -> Option<SocketId> {
        self.oldest
    }

    /// Adds one that is not in the list.
    pub(crate) fn push(&mut self, socket: SocketId) {
        if self.links.len() <= socket.index() {
            self.links.resize(socket.index() + 1, Link::default());
        }
        let older = self.newest.replace(socket);
        let newer = None;
        self.links[socket.index()] = Link { older, newer };
        match older {
            Some(older) => self.links[older.index()].newer = Some(socket),
            None => self.oldest = Some(socket),
        }
        self.len += 1;
    }

    /// Takes one out that is in the list.
    pub(crate) fn remove(&mut self, socket: SocketId) {
        let Link { older, newer } = self.links[socket.index()];
        match older {
            Some(older) => self.links[older.index()].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.links[newer.index()].older = older,
            None => self.newest = older,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_the_order_whoever_leaves(steps in prop::collection::vec(0..20_u32, 0..200)) {
            let (mut list, mut model) = (IdleList::default(), Vec::new());
            for step in steps {
                let socket = SocketId::new(step);
                match model.iter().position(|it| *it == socket) {
                    Some(at) => {
                        model.remove(at);
                        list.remove(socket);
                    }
                    None => {
                        model.push(socket);
                        list.push(socket);
                    }
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.oldest(), model.first().copied());
            }
            for socket in model {
                prop_assert_eq!(list.oldest(), Some(socket));
                list.remove(socket);
            }
            prop_assert_eq!((list.oldest(), list.len()), (None, 0));
        }
    }
}

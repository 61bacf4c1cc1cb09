//! What the cores do over and over, ready to be timed (`benches/cores.rs`) or counted in
//! instructions (`count-instructions`).

#![forbid(unsafe_code)]

mod control;
mod proxy;
mod relay;
mod sip_message;
mod srtp;

use std::fmt;

/// Something that a core does over and over.
#[derive(Clone, Copy)]
pub struct Operation {
    /// `crate/what`.
    pub name: &'static str,
    /// Makes what it works on; what comes back does it once.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All of them, the packet's path first.
pub fn operations() -> impl Iterator<Item = Operation> {
    let parts = [
        &relay::OPERATIONS[..],
        &srtp::OPERATIONS,
        &control::OPERATIONS,
        &sip_message::OPERATIONS,
        &proxy::OPERATIONS,
    ];
    parts.into_iter().flatten().copied()
}

/// For the lists of the parts.
const fn operation(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Operation {
    Operation { name, prepare }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The operations check themselves what they do.
    #[test]
    fn every_operation_can_be_done_again_and_again() {
        let mut names = BTreeSet::new();
        for operation in operations() {
            let mut work = (operation.prepare)();
            (0..50).for_each(|_| work());
            assert!(names.insert(operation.name), "{} twice", operation.name);
        }
        assert!(names.len() > 10);
    }
}

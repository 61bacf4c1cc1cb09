//! All codec threads.

use std::io;
use std::sync::Arc;

use super::load::Level;
use super::shared::Outlet;
use super::sounds::Sounds;
use super::thread::{CodecThread, Inlet, Taking};
use crate::wake::Wake;

/// How much codec threads take on.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Without any, nothing is transcoded.
    pub threads: usize,
    /// Flows that one of them takes at most.
    pub flows_max: usize,
    /// Calls are refused when there is too little time for more. Not in tests, whose machines are
    /// busy with others.
    pub refuses_when_busy: bool,
}

/// All codec threads, as workers know them.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(super) inlets: Vec<Arc<Inlet>>,
    /// By worker.
    pub(super) outlets: Vec<Arc<Outlet>>,
    /// What there is to be played.
    pub(crate) sounds: Arc<Sounds>,
}

impl Pool {
    /// Threads that are yet to run. Workers are woken by `wakes`, in their order.
    ///
    /// # Errors
    ///
    /// When the process has too many descriptors.
    pub(crate) fn new(
        limits: PoolLimits,
        wakes: &[Arc<Wake>],
    ) -> io::Result<(Arc<Self>, Vec<CodecThread>)> {
        let outlets = wakes.iter().map(|it| Arc::new(Outlet::new(Arc::clone(it))));
        let outlets: Vec<_> = outlets.collect();
        let new_thread = |_| {
            Ok(CodecThread {
                inlet: Arc::new(Inlet::new(limits.flows_max, Wake::new()?)),
                outlets: outlets.clone(),
                refuses_when_busy: limits.refuses_when_busy,
            })
        };
        let threads: io::Result<Vec<_>> = (0..limits.threads).map(new_thread).collect();
        let threads = threads?;
        let inlets = threads.iter().map(|it| Arc::clone(&it.inlet)).collect();
        let sounds = Arc::default();
        let pool = Self {
            inlets,
            outlets,
            sounds,
        };
        Ok((Arc::new(pool), threads))
    }

    /// Tells all threads to end.
    pub(crate) fn stop(&self) {
        for inlet in &self.inlets {
            inlet.stop();
        }
    }

    /// All threads have too much to do.
    #[cfg(test)]
    pub(crate) fn fill(&self) {
        for inlet in &self.inlets {
            inlet.set_level(Level::Full);
        }
    }

    /// The thread with the fewest flows, if one takes more.
    pub(super) fn choose(&self, kind: Taking) -> Option<usize> {
        let inlets = self.inlets.iter().enumerate();
        let taking = inlets.filter_map(|(index, inlet)| Some((inlet.takes_more(kind)?, index)));
        taking.min().map(|(_, index)| index)
    }

    /// Flows of all threads, and how many threads are pressed, and full.
    pub(super) fn gauges(&self) -> [u64; 3] {
        let levels = |level| self.inlets.iter().filter(|it| it.level() == level).count();
        let flows: usize = self.inlets.iter().map(|it| it.flows()).sum();
        [flows, levels(Level::Pressed), levels(Level::Full)].map(|it| it as u64)
    }
}

//! Which worker gets a new call: the one with the fewest.

use relay_wire::WorkerId;

/// How many calls each worker has.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    calls: Vec<u32>,
}

impl Placement {
    /// Workers without calls.
    pub(crate) fn new(workers: u8) -> Self {
        Self {
            calls: vec![0; usize::from(workers)],
        }
    }

    /// The workers, the one to try first first.
    pub(crate) fn order(&self) -> Vec<WorkerId> {
        let mut order: Vec<_> = (0..=u8::MAX).map(WorkerId).take(self.calls.len()).collect();
        order.sort_by_key(|worker| self.calls[usize::from(worker.0)]);
        order
    }

    /// A call was given to a worker.
    pub(crate) fn add(&mut self, worker: WorkerId) {
        if let Some(calls) = self.calls.get_mut(usize::from(worker.0)) {
            *calls += 1;
        }
    }

    /// A call of a worker is gone.
    pub(crate) fn remove(&mut self, worker: WorkerId) {
        if let Some(calls) = self.calls.get_mut(usize::from(worker.0)) {
            *calls = calls.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_with_the_fewest_calls_comes_first() {
        let mut placement = Placement::new(3);
        for worker in [0, 0, 1, 2, 2, 2] {
            placement.add(WorkerId(worker));
        }
        let first = |placement: &Placement| placement.order()[0];
        assert_eq!(first(&placement), WorkerId(1));
        placement.remove(WorkerId(0));
        placement.remove(WorkerId(0));
        assert_eq!(first(&placement), WorkerId(0));
        assert_eq!(placement.order().len(), 3);
    }
}

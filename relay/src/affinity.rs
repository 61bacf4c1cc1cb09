//! Which core a thread runs on.

use core_affinity::CoreId;

/// The cores that this process may use, as the system numbers them.
#[must_use]
pub(crate) fn cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

/// Keeps the calling thread on one core. Says whether the system agreed.
#[must_use]
pub(crate) fn pin(core: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: core })
}

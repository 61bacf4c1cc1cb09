//! The seam between the numbers, which the core has, and whoever asks for them over HTTP.

use control_core::{Control, Now};

/// All numbers, as text for Prometheus. What the workers count is a few seconds old.
pub(crate) fn text(control: &mut Control, now: Now) -> String {
    control.exposition(now)
}

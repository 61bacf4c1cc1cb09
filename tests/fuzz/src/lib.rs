//! Fuzz targets, run as tests.
//!
//! A target is a function over bytes that must not panic, kept beside the parser that it is for
//! (`<crate>::fuzz`). [`run`] calls it with mutations of seeds, a fixed number of times and always
//! the same ones: a test that fails, fails again. Coverage-guided engines find more in hours than
//! this does in seconds; they call the same functions, through [`target!`].
//!
//! ```text
//! cargo test -p tandem-fuzz                                    some seconds of each target
//! TANDEM_FUZZ_ROUNDS=100 cargo test -p tandem-fuzz sip_        a hundred times as long
//! TANDEM_FUZZ_SEED=7 cargo test -p tandem-fuzz                 other mutations
//! cargo bolero test -p tandem-fuzz --features bolero --profile release sip_uri
//! ```

#![forbid(unsafe_code)]

mod mutate;
mod runner;
pub mod seeds;
pub mod torture;

#[cfg(feature = "bolero")]
#[doc(hidden)]
pub use bolero;
pub use runner::{Input, run};

/// Makes a test of a target: `target!(name, seeds, iterations, body)`.
#[macro_export]
macro_rules! target {
    ($name:ident, $seeds:expr, $iterations:expr, $body:path) => {
        #[test]
        fn $name() {
            #[cfg(feature = "bolero")]
            {
                // An engine keeps a corpus of its own, in `__fuzz__`.
                let _ = || $seeds;
                $crate::bolero::check!().for_each(|data: &[u8]| $body(data));
            }
            #[cfg(not(feature = "bolero"))]
            $crate::run(stringify!($name), &$seeds, $iterations, $body);
        }
    };
}

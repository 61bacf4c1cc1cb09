//! What becomes of programs on an interface: a loopback interface that nobody else has.

use std::fs;
use std::thread;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::*;
use crate::testing::{LOOPBACK, forbidden, of_loopback};

/// Runs a test in a network of its own; says aloud if that is not possible.
fn in_own_network(test: impl FnOnce(Arc<Table>) + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: only the network of this thread changes, which lives no longer than the test.
            if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
                return eprintln!("SKIPPED, this is not tested: {error}");
            }
            match forbidden(Table::open(&of_loopback())) {
                Ok(table) => test(table),
                Err(error) => eprintln!("SKIPPED, this is not tested: {error}"),
            }
        });
    });
}

#[test]
fn a_program_that_others_take_away_is_missed() {
    in_own_network(|table| {
        let whole = InterfaceState {
            interface: LOOPBACK,
            forwards: true,
            observes: true,
            takes_from_others: false,
        };
        assert_eq!(table.survey(), [whole]);
        table.detach(0).unwrap();
        let robbed = InterfaceState {
            forwards: false,
            ..whole
        };
        assert_eq!(table.survey(), [robbed]);
        assert!(
            Table::open(&of_loopback()).is_ok(),
            "there is room for another"
        );
    });
}

#[test]
fn there_is_one_program_on_an_interface() {
    in_own_network(|table| {
        let error = Table::open(&of_loopback()).unwrap_err();
        let OpenError::Attach { source, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(source.raw_os_error(), Some(libc::EBUSY));
        drop(table);
        assert!(Table::open(&of_loopback()).is_ok());
    });
}

#[test]
fn what_is_no_interface_is_refused() {
    in_own_network(|_| {
        let mut options = of_loopback();
        options.interfaces[0].index = 77;
        let error = Table::open(&options).unwrap_err();
        assert!(matches!(error, OpenError::NotEthernet { .. }), "{error}");
        options.interfaces = vec![options.interfaces[0]; 17];
        let error = Table::open(&options).unwrap_err();
        assert!(matches!(error, OpenError::TooManyInterfaces(17)), "{error}");
    });
}

#[test]
fn what_programs_cost_can_be_read_of_their_descriptors() {
    in_own_network(|table| {
        let attached = &table.attached[0];
        let programs = [&attached.forward, &attached.observe].map(|it| it.program.as_raw_fd());
        let told = programs.map(|fd| fs::read_to_string(format!("/proc/self/fdinfo/{fd}")));
        for (text, kind) in told.iter().zip(["6", "3"]) {
            let text = text.as_ref().unwrap();
            let is_said = |name: &str| text.lines().any(|it| it.starts_with(name));
            assert!(text.contains(&format!("prog_type:\t{kind}\n")), "{text}");
            assert!(is_said("run_time_ns:") && is_said("run_cnt:"), "{text}");
        }
    });
}

//! Everything works for an ordinary user: high ports, no capabilities, no kernel table.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use tandem_tests::{Site, Tandem, TwoPhones, is_root, skip};

/// `nobody`, and its group.
const NOBODY: u32 = 65_534;

#[test]
fn a_call_goes_through_daemons_without_any_privilege() {
    let site = Site::new();
    let mut tandem = Tandem::prepare(&site, |_| {});
    if is_root() {
        if !Tandem::can_drop_privileges() {
            return skip("becoming an ordinary user needs setpriv");
        }
        give_away(&site, &tandem);
        tandem.run_as(NOBODY);
    }
    tandem.add_accounts();
    tandem.start_relay();
    tandem.start_control();
    tandem.start_sip_proxy();
    for daemon in [tandem.relay(), tandem.control(), tandem.sip_proxy()] {
        assert_ne!(daemon.process().uid(), Some(0));
        assert_eq!(daemon.process().capabilities(), Some(0));
    }
    TwoPhones::new(&site, &tandem).call_once();
    tandem.stop();
}

/// It was started by root, who may do everything.
#[test]
fn a_relay_gives_up_the_privileges_that_it_was_started_with() {
    if !is_root() {
        return skip("nobody but root has privileges to give up");
    }
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let relay = tandem.relay().process();
    let permitted = relay.permitted();
    assert!(permitted.len() > 2, "it has threads: {permitted:?}");
    assert!(permitted.iter().all(|it| *it == 0), "{permitted:x?}");
    assert!(relay.gains_none());
    tandem.stop();
}

/// The folder and what is in it become nobody's.
fn give_away(site: &Site, tandem: &Tandem) {
    let data_dir = site.subfolder("data");
    for path in [site.folder(), &data_dir, tandem.config()] {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(data_dir, mode).expect("root may change modes");
}

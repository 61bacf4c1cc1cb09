//! CVE-2025-53399: somebody sends to every port while a hundred calls are up, to be taken for one
//! of the phones. Nobody hears it, it hears nobody, and the calls do not notice.

mod attacker;
mod crowd;

use attacker::{Attacker, Spray};
use crowd::Crowd;
use tandem_tests::{Stage, raise_file_limit};

/// The relay's ports: more than the calls have, so that the attacker does not know which.
const PORTS: [u16; 2] = [30_000, 30_999];

/// Calls that are up.
const CALLS: usize = 100;

/// Packets of each phone.
const PACKETS: u16 = 50;

/// Nobody has spoken yet: the attacker is the first at each port.
#[test]
fn who_sprays_before_the_phones_speak_gains_nothing() {
    use Spray::{Burst, Random, Reports, Stream};
    attack(&[Random, Stream, Burst, Reports], 0);
}

/// Some calls are just being set up: a host that others' calls give away gains nothing there.
#[test]
fn who_sprays_from_many_sockets_gains_nothing() {
    use Spray::{ManySockets, Stream};
    attack(&[ManySockets, Stream], CALLS / 2);
}

/// Once the phones have spoken, not even their own addresses help.
#[test]
fn who_forges_the_phones_addresses_gains_nothing_in_mid_call() {
    use Spray::{Forged, Reports, Stream};
    attack(&[Forged, Stream, Reports], CALLS);
}

/// The first calls of the crowd have spoken when the attack begins; all speak while it goes on.
fn attack(sprays: &[Spray], spoken: usize) {
    raise_file_limit();
    Stage::play(
        |file| file.relay.ports = PORTS,
        |stage| {
            let mut crowd = Crowd::new(stage, CALLS);
            crowd.talk(spoken, 10);
            let attacker = Attacker::new(stage, PORTS, sprays);
            let sent = attacker.attack_while(|rounds| {
                // Whoever has been heard out by now would be the peer.
                rounds.await_more();
                crowd.talk(CALLS, PACKETS);
            });
            crowd.listen();
            // Two in five ports are open.
            let strangers = stage.strangers();
            assert!(strangers > sent / 4, "{strangers} of {sent}");
            assert_eq!(attacker.arrivals(), 0, "packets that the attacker got");
            crowd.assert_unharmed();
        },
    );
}

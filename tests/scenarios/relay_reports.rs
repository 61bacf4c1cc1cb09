//! RTCP of the relay's own for a call that it only forwards: phones hear of one another by it, and
//! what they report ends there.

use relay_rtp::rtcp::{Body, Compound};
use tandem_tests::{Handset, NgClient, Site, Tandem, dial, speech};

/// The next report that a phone gets: who is heard, and how many of these packets were lost. It says
/// what is sent, too, unless the other has been silent for long by then.
#[track_caller]
fn report(phone: &Handset) -> [u32; 2] {
    let heard = phone.hear_report();
    let compound = Compound::parse(&heard[..]).unwrap();
    let block = match compound.packets().next().unwrap().body() {
        Body::SenderReport(report) => report.blocks().next().unwrap(),
        Body::ReceiverReport(report) => report.blocks().next().unwrap(),
        other => panic!("no report: {other:?}"),
    };
    let lost = u32::try_from(block.lost).unwrap();
    [block.ssrc.value(), lost]
}

#[test]
fn phones_hear_from_the_relay_how_it_hears_them() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let [mut alice, mut bob] = [2, 3].map(|host| Handset::new(&site, host));
    let flags = [("flags", "generate RTCP")];
    dial(&client, "c1", [&mut alice, &mut bob], ["a", "b"], &flags);
    for sequence in (1..=20).filter(|it| *it != 10) {
        alice.say(&speech(7, sequence, 0x2a));
        bob.hear(&speech(7, sequence, 0x2a));
    }
    bob.say(&speech(9, 1, 0x2a));
    alice.hear(&speech(9, 1, 0x2a));
    // Hers ends there: all that Bob gets is the relay's.
    let hers = [0x80, 201, 0, 1, 0, 0, 0, 7];
    alice.report(&hers);
    assert_eq!(report(&alice), [7, 1]);
    assert_eq!(report(&bob), [9, 0]);
    // They go on.
    assert_eq!(report(&alice), [7, 1]);
    let reply = client.request("delete", &[("call-id", "c1")]);
    assert_eq!(reply.text("result"), "ok", "{reply:?}");
}

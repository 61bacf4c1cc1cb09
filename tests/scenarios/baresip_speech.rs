//! Two real phones talk, and each hears what the other said: every sample of it.

use std::time::Duration;

use tandem_tests::audio::{self, Comparison, SAMPLE_RATE_HZ, Wav, compare};
use tandem_tests::{Baresip, Exchange, PhoneCodec, Reference, Site, Speaker, Tandem};

/// Milliseconds that the caller talks. It hangs up at the end.
const SPEECH_MS: u32 = 6_000;

/// Samples that a phone may still hold in its jitter buffer (ten frames) and in flight when the
/// call ends.
const UNHEARD_MAX: usize = 12 * 160;

/// Samples of a callee who speaks before its answer has come by: until then nobody has said where
/// its media will come from, and what it sends first only proves that it is no stranger.
const UNPROVEN_MAX: usize = 3 * 160;

#[test]
fn each_phone_hears_every_sample_of_the_other() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    if talk(&site, &tandem, "udp") {
        let records = tandem.await_records(1);
        let packets = i64::from(SPEECH_MS / 20);
        for media in [records[0].caller_media, records[0].callee_media] {
            let (counted, _) = media.expect("the relay knew the call");
            // A phone sends until it sees the BYE: a packet or two more or less than the speech.
            assert!((counted - packets).abs() <= 5, "{counted} packets");
        }
        tandem.stop();
    }
}

#[test]
#[ignore = "shows that the scenario holds for Kamailio and rtpengine too"]
fn each_phone_hears_every_sample_through_the_reference() {
    let site = Site::new();
    if let Some(reference) = Reference::start(&site) {
        talk(&site, &reference.kamailio, "udp");
    }
}

/// One call. `false` if there is no phone on this machine.
pub(crate) fn talk(site: &Site, exchange: &impl Exchange, transport: &str) -> bool {
    talk_sealed(site, exchange, transport, [false; 2])
}

/// The same, of phones of which some speak SRTP alone.
pub(crate) fn talk_sealed(
    site: &Site,
    exchange: &impl Exchange,
    transport: &str,
    are_sealed: [bool; 2],
) -> bool {
    let speech = [(1, "alice"), (2, "bob")].map(|(seed, user)| {
        let samples = audio::speech(seed, SPEECH_MS);
        let path = site.path(&format!("{user}.wav"));
        audio::write_wav(&path, &samples);
        (samples, path)
    });
    let [alice, bob] = ["alice", "bob"].map(|user| exchange.account(user));
    let [caller, callee] = [0, 1].map(|at| Speaker {
        speech: &speech[at].1,
        codec: PhoneCodec::Pcmu,
        is_sealed: are_sealed[at],
    });
    let Some(mut callee) = Baresip::start(site, exchange, &bob, callee, transport, None) else {
        return false;
    };
    callee.await_output("200 OK", Duration::from_secs(20));
    let caller = Baresip::start(site, exchange, &alice, caller, transport, Some("bob"));
    let mut caller = caller.expect("baresip was found a moment ago");
    caller.await_output("Call established", Duration::from_secs(20));
    caller.await_output("terminated", Duration::from_secs(30));
    callee.await_output("lost:", Duration::from_secs(10));

    assert_whole(&speech[0].0, &callee.recording(), 0);
    assert_whole(&speech[1].0, &caller.recording(), UNPROVEN_MAX);
    true
}

fn assert_whole(sent: &[i16], heard: &Wav, unproven: usize) {
    assert_eq!(heard.sample_rate_hz, SAMPLE_RATE_HZ);
    let comparison = compare(sent, &heard.samples).expect("the recording is of this speech");
    let Comparison {
        mismatches,
        missing_at_start,
        missing_at_end,
        level_change_db,
        ..
    } = comparison;
    assert_eq!(mismatches, 0, "{comparison:?}");
    assert!(missing_at_start <= unproven, "{comparison:?}");
    assert!(missing_at_end <= UNHEARD_MAX, "{comparison:?}");
    assert!(level_change_db.abs() < 0.01, "{comparison:?}");
}

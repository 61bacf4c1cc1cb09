//! Two real phones that share no codec talk, through three daemons with default settings.

use std::time::Duration;

use tandem_settings::Transcode;
use tandem_tests::audio::{self, Wav, likeness};
use tandem_tests::{Baresip, Exchange, PhoneCodec, Site, Speaker, Tandem};

use PhoneCodec::{G722, Gsm, Opus, Pcma, Pcmu};

/// Milliseconds that caller and callee talk. Who is through first hangs up: the caller, however
/// late it learns that it was answered.
const SPEECH_MS: [u32; 2] = [4_000, 8_000];

/// Time for what takes a moment, or the length of the speech.
const LIMIT: Duration = Duration::from_secs(30);

/// The least that speech is like what was said. Measured: 0.90 to Opus, of which the relay makes
/// 16 kbit/s, and 0.94 to 0.99 elsewhere. What is not of this speech, or of another moment of it,
/// is below 0.2.
const CORRELATION_MIN: f64 = 0.8;

/// Measured up to 1.5: what phones send as Opus has no lowest frequencies.
const LEVEL_CHANGE_DB_MAX: f64 = 3.0;

/// Samples that each hears at least: all that the caller says, without what may still be under way
/// when it hangs up, in the phone's jitter buffer (ten frames), in the relay (two) and in flight,
/// and without the first few that were sent to a relay that did not know the answer yet.
const HEARD_MIN: usize = 4 * 8_000 - 18 * 160;

/// Samples that a callee may say before its answer has come by: until then nobody has said where
/// its media will come from. They are not heard.
const UNPROVEN_MAX: usize = 8_000;

#[test]
fn g722_and_pcma_hear_each_other() {
    converse([G722, Pcma]);
}

#[test]
fn pcmu_and_gsm_hear_each_other() {
    converse([Pcmu, Gsm]);
}

#[test]
fn opus_and_pcma_hear_each_other() {
    converse([Opus, Pcma]);
}

#[test]
fn pcma_and_opus_hear_each_other() {
    converse([Pcma, Opus]);
}

/// The counterproof: without the relay's help they have nothing to say to each other.
#[test]
fn a_call_is_refused_if_transcoding_is_forbidden() {
    let Some(codecs) = installed([G722, Pcma]) else {
        return;
    };
    let site = Site::new();
    let tandem = Tandem::start_with(&site, |file| file.control.transcode = Transcode::Never);
    if let Some(mut call) = Call::start(&site, &tandem, codecs) {
        call.phones[0].await_output("session closed", LIMIT);
        assert_eq!(tandem.await_records(1)[0].status, 488);
        tandem.stop();
    }
}

fn converse(codecs: [PhoneCodec; 2]) {
    let Some(codecs) = installed(codecs) else {
        return;
    };
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let Some(call) = Call::start(&site, &tandem, codecs) else {
        return;
    };
    let Call {
        said,
        phones: [mut caller, mut callee],
    } = call;
    caller.await_output("Call established", LIMIT);
    caller.await_output("terminated", LIMIT);
    callee.await_output("terminated", LIMIT);
    for (said, hearer) in said.iter().zip([callee, caller]) {
        check(said, &hearer.recording(), codecs);
    }
    assert_eq!(tandem.await_records(1)[0].status, 200);
    tandem.stop();
}

/// What was said is heard, for as long as they talked.
fn check(said: &[i16], heard: &Wav, codecs: [PhoneCodec; 2]) {
    let found = likeness(said, heard).expect("the recording is of this speech");
    let case = format!(
        "{codecs:?}, heard at {} Hz: {found:?}",
        heard.sample_rate_hz
    );
    let level_change_db = found.level_change_db.abs();
    let heard = said.len() - found.missing_at_start - found.missing_at_end;
    assert!(found.correlation > CORRELATION_MIN, "{case}");
    assert!(level_change_db < LEVEL_CHANGE_DB_MAX, "{case}");
    assert!(found.missing_at_start <= UNPROVEN_MAX, "{case}");
    assert!(heard >= HEARD_MIN, "{case}");
}

/// Both, if this machine's phones have them.
fn installed(codecs: [PhoneCodec; 2]) -> Option<[PhoneCodec; 2]> {
    let are_there = codecs.iter().all(|codec| codec.is_installed());
    are_there.then_some(codecs)
}

/// Alice calls Bob.
struct Call {
    /// What each says.
    said: [Vec<i16>; 2],
    phones: [Baresip; 2],
}

impl Call {
    /// `None` if there is no phone on this machine.
    fn start(site: &Site, tandem: &Tandem, codecs: [PhoneCodec; 2]) -> Option<Self> {
        let said = [(1, SPEECH_MS[0]), (2, SPEECH_MS[1])];
        let said = said.map(|(seed, duration_ms)| audio::speech(seed, duration_ms));
        let phone = |at: usize, user: &str, dial: Option<&str>| {
            let speech = site.path(&format!("{user}.wav"));
            audio::write_wav(&speech, &said[at]);
            let speaker = Speaker {
                speech: &speech,
                codec: codecs[at],
                is_sealed: false,
            };
            Baresip::start(site, tandem, &tandem.account(user), speaker, "udp", dial)
        };
        let mut callee = phone(1, "bob", None)?;
        callee.await_output("200 OK", LIMIT);
        let caller = phone(0, "alice", Some("bob"))?;
        Some(Self {
            said,
            phones: [caller, callee],
        })
    }
}

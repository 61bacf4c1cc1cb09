//! What is kept of descriptions so that a party can be told once more what it was told (`create`).
//!
//! There are many calls and few that are told anything twice, so it is little: `o=` and `s=` as the
//! party has them, and of its own words those about payload types that the relay has no name for.
//! They stand as a description would have them:
//!
//! ```text
//! o=- 1545997027 1 IN IP4 192.0.2.1
//! s=-
//! m=- 9 RTP/AVP               one line for each section, up to the last of which there is something
//! m=- 9 RTP/AVP 97
//! a=rtpmap:97 H264/90000
//! ```

use crate::call::Leg;
use crate::codecs::{Format, Payload, formats_of_sections};
use crate::lean::Name;
use crate::sdp::Sdp;

/// Bytes of `o=` and `s=`; of longer ones nothing is kept.
const SESSION_BYTES_MAX: usize = 256;

/// Bytes of what a party says of payload types; of more, nothing is kept.
const WORDS_BYTES_MAX: usize = 1_024;

/// Notes what a party is told, as far as it concerns the session.
pub(super) fn note_told(leg: &mut Leg, sdp: &[u8]) {
    let lines = sdp.split_inclusive(|&b| b == b'\n');
    let is_kept = |line: &&[u8]| line.starts_with(b"o=") || line.starts_with(b"s=");
    let lines = lines.skip(1).take_while(is_kept);
    let len = lines.map(<[u8]>::len).sum::<usize>();
    let start = sdp.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
    let told = &sdp[start..start + len];
    let told = if len > SESSION_BYTES_MAX { &[] } else { told };
    if told != session(leg) {
        leg.kept = Name::from([told, words(leg)].concat());
    }
}

/// Notes what a party says of its payload types.
pub(super) fn note_said(leg: &mut Leg, sdp: &Sdp<'_>) {
    let mut said = Vec::new();
    let mut text = Vec::new();
    for (media, stream) in sdp.media().iter().zip(&leg.streams) {
        text.extend_from_slice(b"m=- 9 RTP/AVP");
        let kept = Payload::keep(&stream.payloads, sdp, media);
        for format in &kept {
            text.extend_from_slice(format!(" {}", format.payload_type).as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        for format in &kept {
            format.write(b"\r\n", &mut text);
        }
        if !kept.is_empty() {
            said.clone_from(&text);
        }
    }
    if said.len() > WORDS_BYTES_MAX {
        said.clear();
    }
    if said != words(leg) {
        leg.kept = Name::from([session(leg), &said].concat());
    }
}

/// `o=` and `s=` as the party was told of them. Empty: it was not, or they were too long.
pub(super) fn session(leg: &Leg) -> &[u8] {
    &leg.kept[..divide(&leg.kept)]
}

/// What payload types of a stream stand for, as far as its party said more than others do.
pub(super) fn formats(leg: &Leg, index: usize) -> Vec<Format> {
    let mut sections = formats_of_sections(words(leg));
    if index < sections.len() {
        sections.swap_remove(index)
    } else {
        Vec::new()
    }
}

fn words(leg: &Leg) -> &[u8] {
    &leg.kept[divide(&leg.kept)..]
}

/// Where words about payload types begin.
fn divide(kept: &[u8]) -> usize {
    let mut at = 0;
    for line in kept.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b"m=") {
            break;
        }
        at += line.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use relay_wire::InterfaceId;

    use super::*;
    use crate::call::CallState;

    fn leg() -> Leg {
        let mut state = CallState::new(&b"c1"[..], 0);
        state.add_leg(InterfaceId(0), 0);
        state.legs.remove(0)
    }

    fn say(leg: &mut Leg, text: &str) {
        let text = text.replace('\n', "\r\n");
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        for (index, media) in sdp.media().iter().enumerate() {
            leg.stream_mut(index).payloads = Payload::read(&sdp, media);
        }
        note_said(leg, &sdp);
    }

    const SAID: &str = "v=0\nm=audio 1 RTP/AVP 0 18 101 96\na=rtpmap:101 telephone-event/8000\n\
        a=rtpmap:96 opus/48000/2\nm=video 2 RTP/AVP 31 97\na=rtpmap:97 H264/90000\n\
        a=fmtp:97 packetization-mode=1\nm=text 3 RTP/AVP 98\n";

    #[test]
    fn what_a_party_was_told_and_what_it_said_stand_beside_each_other() {
        let mut leg = leg();
        assert_eq!(session(&leg), b"");
        let told = b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=x\r\nt=0 0\r\ns=y\r\n";
        note_told(&mut leg, told);
        assert_eq!(session(&leg), b"o=- 1 2 IN IP4 192.0.2.1\r\ns=x\r\n");
        say(&mut leg, SAID);
        assert_eq!(session(&leg), b"o=- 1 2 IN IP4 192.0.2.1\r\ns=x\r\n");
        let titles = |leg: &Leg, index| {
            let kept = formats(leg, index);
            let all = Payload::formats(&leg.streams[index].payloads, &kept);
            all.iter().map(Format::title).collect::<Vec<_>>()
        };
        let audio = [
            "PCMU/8000",
            "G729/8000",
            "telephone-event/8000",
            "opus/48000/2",
        ];
        assert_eq!(titles(&leg, 0), audio);
        assert_eq!(titles(&leg, 1), ["H261/90000", "H264/90000"]);
        assert_eq!(&formats(&leg, 1)[0].parameters, "packetization-mode=1");
        note_told(&mut leg, b"v=0\r\no=- 1 3 IN IP4 192.0.2.1\r\ns=x\r\n");
        assert_eq!(session(&leg), b"o=- 1 3 IN IP4 192.0.2.1\r\ns=x\r\n");
        assert_eq!(titles(&leg, 1), ["H261/90000", "H264/90000"]);
    }

    #[test]
    fn little_is_kept_of_what_everybody_says() {
        let mut leg = leg();
        say(
            &mut leg,
            "v=0\nm=audio 1 RTP/AVP 0 8 18 101\na=rtpmap:101 telephone-event/8000\n",
        );
        assert_eq!(&*leg.kept, b"");
    }

    #[test]
    fn what_is_long_is_not_kept() {
        let mut leg = leg();
        let name = "x".repeat(SESSION_BYTES_MAX);
        note_told(&mut leg, format!("v=0\r\ns={name}\r\n").as_bytes());
        assert_eq!(session(&leg), b"");
        let parameters = "y".repeat(200);
        let line = |number| format!("a=rtpmap:{number} z/90000\na=fmtp:{number} {parameters}\n");
        let lines: String = (96..102).map(line).collect();
        say(
            &mut leg,
            &format!("v=0\nm=video 2 RTP/AVP 96 97 98 99 100 101\n{lines}"),
        );
        assert_eq!(&*leg.kept, b"");
    }
}

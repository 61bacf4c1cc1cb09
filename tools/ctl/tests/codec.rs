//! `tandem codec`: recordings there and back, and what it says of those that it cannot convert.

mod harness;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use harness::Place;
use serde_json::Value;

/// A second of a tone.
fn tone(hz: f64, rate: u32) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    #[expect(clippy::cast_possible_truncation, reason = "none is above 8,000")]
    (0..rate)
        .map(|at| ((f64::from(at) * step).sin() * 8_000.0) as i16)
        .collect()
}

fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|it| it.to_le_bytes()).collect()
}

fn samples_of(bytes: &[u8]) -> Vec<i16> {
    let pairs = bytes.as_chunks().0;
    pairs.iter().map(|it| i16::from_le_bytes(*it)).collect()
}

/// A WAV file by hand, so that not one library alone says what that is.
fn wav(samples: &[i16], rate: u32, channels: u16) -> Vec<u8> {
    let data = bytes_of(samples);
    let len = u32::try_from(data.len()).unwrap();
    let block = 2 * channels;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + len).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(block)).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend(len.to_le_bytes());
    bytes.extend(data);
    bytes
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>() / samples.len() as f64
}

#[test]
fn each_format_is_written_and_read_again() {
    let place = Place::new("");
    let tone = tone(440.0, 8_000);
    fs::write(place.path("in.wav"), wav(&tone, 8_000, 1)).unwrap();
    let lens = [
        ("out.ul", 8_000),
        ("out.al", 8_000),
        ("out.gsm", 33 * 50),
        ("out.g722", 8_000),
        ("out.ilbc", 9 + 50 * 34),
        ("out.sln", 16_000),
        ("out.sln16", 32_000),
    ];
    for (name, len) in lens {
        let said = place.run(&["codec", "convert", "in.wav", name]).ok();
        assert!(said.starts_with(&format!("{name}: 1.")), "{said}");
        let bytes = fs::read(place.path(name)).unwrap();
        assert_eq!(bytes.len(), len, "{name}");
        place
            .run(&["codec", "convert", name, "back.sln", "--force"])
            .ok();
        let back = samples_of(&fs::read(place.path("back.sln")).unwrap());
        let change = energy(&back[800..7_200]) / energy(&tone[800..7_200]);
        assert!((0.8..1.25).contains(&change), "{name}: {change}");
    }
}

#[test]
fn plain_samples_come_back_as_they_were() {
    let place = Place::new("");
    let tone = tone(1_000.0, 16_000);
    fs::write(place.path("in.sln16"), bytes_of(&tone)).unwrap();
    place.run(&["codec", "convert", "in.sln16", "a.wav"]).ok();
    assert_eq!(fs::read(place.path("a.wav")).unwrap().len(), 44 + 32_000);
    place.run(&["codec", "convert", "a.wav", "b.raw16"]).ok();
    assert_eq!(samples_of(&fs::read(place.path("b.raw16")).unwrap()), tone);
}

#[test]
fn stereo_is_mixed_down() {
    let place = Place::new("");
    let stereo: Vec<_> = tone(440.0, 8_000)
        .into_iter()
        .flat_map(|it| [it, -it])
        .collect();
    fs::write(place.path("in.wav"), wav(&stereo, 8_000, 2)).unwrap();
    place.run(&["codec", "convert", "in.wav", "out.sln"]).ok();
    assert_eq!(fs::read(place.path("out.sln")).unwrap(), vec![0; 16_000]);
}

#[test]
fn the_header_of_ilbc_says_how_long_frames_are() {
    let place = Place::new("");
    fs::write(place.path("in.sln"), bytes_of(&tone(440.0, 8_000))).unwrap();
    let arguments = ["codec", "convert", "in.sln", "short.lbc", "--to", "ilbc20"];
    place.run(&arguments).ok();
    let bytes = fs::read(place.path("short.lbc")).unwrap();
    assert!(bytes.starts_with(b"#!iLBC20\n") && bytes.len() == 9 + 38 * 50);
    // Its name says 30 ms, its header knows better.
    let said = place
        .run(&["codec", "convert", "short.lbc", "back.sln"])
        .ok();
    assert!(said.starts_with("back.sln: 1.00 s"), "{said}");
}

#[test]
fn pipes_are_read_and_written() {
    let place = Place::new("");
    let mut child = place
        .command(&[
            "codec", "convert", "--from", "pcma", "-", "--to", "pcmu", "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&[0xd5; 160]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, codec_silence());
    assert!(!output.stderr.is_empty(), "what it did is said elsewhere");
}

/// What A-law silence, which is 8, becomes in µ-law.
fn codec_silence() -> Vec<u8> {
    vec![codec::g711::alaw_to_ulaw(0xd5); 160]
}

#[test]
fn nothing_is_written_over_unless_asked_for() {
    let place = Place::new("");
    fs::write(place.path("in.al"), [0xd5; 160]).unwrap();
    fs::write(place.path("out.ul"), "precious").unwrap();
    let arguments = ["codec", "convert", "in.al", "out.ul"];
    place
        .run(&arguments)
        .failed(1, "out.ul is there already; --force writes over it");
    assert_eq!(fs::read(place.path("out.ul")).unwrap(), b"precious");
    place.run(&[&arguments[..], &["--force"]].concat()).ok();
    assert_eq!(fs::read(place.path("out.ul")).unwrap().len(), 160);
}

#[test]
fn what_cannot_be_converted_is_told_with_the_cure() {
    let place = Place::new("");
    let convert = |input: &str, bytes: &[u8], output: &str| {
        fs::write(place.path(input), bytes).unwrap();
        place.run(&["codec", "convert", input, output])
    };
    convert("a.mp3", b"ID3", "b.wav").failed(
        2,
        "a.mp3 does not say what is in the file; say it with --from",
    );
    convert("a.al", b"\xd5", "b").failed(2, "b does not say what is in the file; say it with --to");
    convert("a.wav", b"RIFFrubbish", "b.al").failed(1, "a.wav: it is no WAV file that can be read");
    convert("a.wav", &wav(&[0; 100], 44_100, 1), "b.al")
        .failed(1, "44100 Hz, but phones have 8000 or 16000");
    convert("a.gsm", &[0xd0; 50], "b.wav").failed(1, "a.gsm: it is damaged at byte 33");
    convert("a.ilbc", &[0; 50], "b.wav").failed(1, "it does not begin with #!iLBC20 or #!iLBC30");
    convert("a.raw", &[0; 3], "b.wav").failed(1, "an odd number of bytes");
    convert("a.ul", &[], "b.wav").failed(1, "a.ul is empty");
    place
        .run(&["codec", "convert", "absent.ul", "b.wav"])
        .failed(1, "cannot read absent.ul: No such file");
    convert("a.al", &[0xd5; 160], "no/such/folder.ul").failed(1, "cannot write no/such/folder.ul");
    assert!(
        !place.path("b.wav").exists(),
        "nothing is left of what failed"
    );
}

#[test]
fn conversions_are_told_to_programs() {
    let place = Place::new("");
    fs::write(place.path("in.g722"), [0; 8_000]).unwrap();
    let json = place
        .run(&["codec", "convert", "in.g722", "out.wav", "--json"])
        .ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["seconds"], 1.0);
    assert_eq!(json["sample_rate_hz"], 16_000);
    assert_eq!(json["bytes"], 32_044);
}

#[test]
fn every_codec_is_measured() {
    let place = Place::new("");
    let json = place
        .run(&["codec", "bench", "--seconds", "0", "--json"])
        .ok();
    let costs: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(costs.len(), codec::Codec::ALL.len());
    for cost in &costs {
        for figure in ["encode_ns", "decode_ns", "encode_realtime", "payload_bytes"] {
            assert!(cost[figure].as_f64().unwrap() > 0.0, "{cost}");
        }
    }
    let table = place
        .run(&["codec", "bench", "--seconds", "0", "--codec", "gsm"])
        .ok();
    assert!(
        table.starts_with("CODEC") && table.contains("\ngsm"),
        "{table}"
    );
    place
        .run(&["codec", "bench", "--codec", "g729"])
        .failed(2, "possible values: pcmu");
    place
        .run(&["codec", "bench", "--seconds=-1"])
        .failed(2, "--seconds");
}

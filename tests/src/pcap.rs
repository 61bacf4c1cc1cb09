//! Captures for SIPp to replay, made here: nothing recorded is in the repository.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::audio::ulaw_encode;

/// Samples, and so bytes, of one packet of G.711.
const FRAME_LEN: usize = 160;

/// Time between two packets.
const FRAME_INTERVAL: Duration = Duration::from_millis(20);

/// Cuts speech into the payloads of G.711 packets; what is left over at the end is not sent.
#[must_use]
pub fn g711_frames(samples: &[i16]) -> Vec<Vec<u8>> {
    let frames = samples.chunks_exact(FRAME_LEN);
    frames
        .map(|frame| frame.iter().copied().map(ulaw_encode).collect())
        .collect()
}

/// Writes an RTP stream of payload type 0 as a capture: Ethernet, IPv4, UDP, a packet each 20 ms,
/// sequence numbers from 0.
///
/// # Panics
///
/// When the file cannot be written.
pub fn capture(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    let mut time = Duration::from_secs(1);
    for (sequence, frame) in (0_u16..).zip(frames) {
        let packet = ethernet(&udp(&rtp(sequence, frame)));
        let len = u32::try_from(packet.len()).expect("a frame is short");
        let seconds = u32::try_from(time.as_secs()).expect("a capture is short");
        for field in [seconds, time.subsec_micros(), len, len] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&packet);
        time += FRAME_INTERVAL;
    }
    fs::write(path, bytes).expect("the scenario's folder takes files");
}

fn rtp(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&0x7a4d_0001_u32.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// A UDP datagram in an IPv4 packet. Addresses, ports and checksums are SIPp's to fill in.
fn udp(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a frame is short");
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(len + 28).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    packet.extend_from_slice(&4_000_u16.to_be_bytes());
    packet.extend_from_slice(&4_002_u16.to_be_bytes());
    packet.extend_from_slice(&(len + 8).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    packet
}

fn ethernet(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 12];
    packet.extend_from_slice(&[0x08, 0x00]);
    packet.extend_from_slice(payload);
    packet
}

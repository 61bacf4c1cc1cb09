//! OpenSSL as a program of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use relay_wire::{CryptoSuite, Fingerprint, FingerprintHash};

/// Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program, which ends with this.
pub(crate) struct OpenSsl {
    child: Child,
    lines: Receiver<String>,
}

impl OpenSsl {
    pub(crate) fn run(folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that begins so, and says what is behind that.
    pub(crate) fn line(&self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("openssl does not say {start:?}"));
            if let Some(rest) = line.trim().strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its certificate in files, and how it is known.
pub(crate) fn certificate(folder: &Path) -> Fingerprint {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=far"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success());
    let shown = Command::new("openssl")
        .args([
            "x509",
            "-in",
            "certificate.pem",
            "-noout",
            "-fingerprint",
            "-sha256",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let digest = shown.trim().split('=').nth(1).unwrap().split(':');
    let digest = digest.map(|byte| u8::from_str_radix(byte, 16).unwrap());
    Fingerprint::new(FingerprintHash::Sha256, digest.collect()).unwrap()
}

/// What openssl has exported, as keys of (client, server).
pub(crate) fn exported(hex: &str, suite: CryptoSuite) -> [Vec<u8>; 2] {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let all: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let (keys, salts) = all.split_at(2 * suite.key_len());
    let (key, salt) = (suite.key_len(), suite.salt_len());
    let of = |n: usize| [&keys[n * key..][..key], &salts[n * salt..][..salt]].concat();
    [of(0), of(1)]
}

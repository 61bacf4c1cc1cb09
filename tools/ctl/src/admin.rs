//! Asks the SIP proxy or control over its admin socket: a line of JSON each way.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::Failure;

/// A daemon answers from memory; if it takes longer than this, it hangs.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of a reply at most: 100,000 registrations of some 300 bytes fit.
const REPLY_BYTES_MAX: u64 = 64 << 20;

/// Asks the SIP proxy one question, such as `status`, and returns the reply.
pub(crate) fn ask(socket: &Path, command: &str) -> Result<Value, Failure> {
    put(socket, "the SIP proxy", &json!({ "command": command }))
}

/// Asks control, and returns the reply.
pub(crate) fn ask_control(socket: &Path, request: &Value) -> Result<Value, Failure> {
    put(socket, "control", request)
}

fn put(socket: &Path, whom: &str, request: &Value) -> Result<Value, Failure> {
    let line = exchange(socket, request).map_err(|error| explain(socket, whom, &error))?;
    let reply: Value = serde_json::from_str(&line)
        .map_err(|error| Failure::failed(format!("{whom}'s reply makes no sense: {error}")))?;
    match reply["error"].as_str() {
        Some(reason) => Err(Failure::failed(format!("{whom} refused: {reason}"))),
        None => Ok(reply),
    }
}

fn exchange(socket: &Path, request: &Value) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(REPLY_BYTES_MAX)).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

fn explain(socket: &Path, whom: &str, error: &io::Error) -> Failure {
    let path = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::unreachable(format!(
            "{whom} is not running (no one listens on {path}); start it with `tandem run`, \
             or name its settings with `--config FILE`"
        )),
        ErrorKind::PermissionDenied => Failure::unreachable(format!(
            "this user may not speak to {whom} ({path}); use the user that runs it"
        )),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            Failure::unreachable(format!("{whom} does not answer on {path}; see its log"))
        }
        _ => Failure::unreachable(format!("cannot speak to {whom} ({path}): {error}")),
    }
}

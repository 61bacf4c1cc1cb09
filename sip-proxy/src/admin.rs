//! The admin socket: one JSON request a line, one JSON reply a line.
//!
//! | request | reply |
//! | --- | --- |
//! | `{"command":"status"}` | `uptime_s`, `listeners`, `now`, `queues`, counters by part |
//! | `{"command":"registrations","limit":N}` | `registrations`: a list of contacts, `is_complete` |
//! | `{"command":"calls","limit":N}` | `calls`: a list, `is_complete` |
//! | anything else | `error`: why not |
//!
//! Only the user that the daemon runs as may connect: the folder has mode 0700, the socket 0600.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Clients at once.
const CLIENTS_MAX: usize = 8;

/// Bytes of a request at most.
const LINE_LEN_MAX: u64 = 4_096;

/// How long a client may say nothing, or take nothing of a reply.
const CLIENT_DEADLINE: Duration = Duration::from_secs(30);

/// Pause after an accept failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Entries of a list, unless the request says otherwise.
const LIMIT_DEFAULT: usize = 100_000;

/// What may be asked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Command {
    Calls,
    Registrations,
    Status,
}

/// A request, understood.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct Request {
    #[serde(alias = "request")]
    pub command: Command,
    /// Entries of a list at most.
    #[serde(default = "limit_default")]
    pub limit: usize,
}

const fn limit_default() -> usize {
    LIMIT_DEFAULT
}

/// A request on its way to the driver.
#[derive(Debug)]
pub(crate) struct Question {
    pub request: Request,
    pub reply: oneshot::Sender<Value>,
}

/// The socket. It is removed from the file system when this is dropped.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Makes the socket, in the place of one that a dead process left behind.
    ///
    /// # Errors
    /// `AddrInUse` if a live process has it, or as the system says.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Self {
            listener: UnixListener::bind(path)?,
            path: path.to_owned(),
        };
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(socket)
    }

    /// Serves clients for ever.
    pub(crate) async fn run(self, questions: mpsc::Sender<Question>) {
        let permits = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            // Beyond the limit clients wait in the kernel's queue.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let questions = questions.clone();
                    tokio::spawn(async move {
                        serve(stream, questions).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "admin socket: cannot accept now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers one client's requests, until it goes or takes too long.
async fn serve(stream: UnixStream, questions: mpsc::Sender<Question>) {
    let (read_half, mut write_half) = stream.into_split();
    let mut reader = BufReader::new(read_half);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(LINE_LEN_MAX);
        let read = timeout(CLIENT_DEADLINE, bounded.read_until(b'\n', &mut line)).await;
        let Ok(Ok(1..)) = read else { return };
        let is_whole = line.ends_with(b"\n");
        let reply = if is_whole {
            ask(&line, &questions).await
        } else {
            error("the line is too long or not finished")
        };
        let text = format!("{reply}\n");
        let written = timeout(CLIENT_DEADLINE, write_half.write_all(text.as_bytes())).await;
        if !is_whole || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

async fn ask(line: &[u8], questions: &mpsc::Sender<Question>) -> Value {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(reason) => return error(&format!("not understood: {reason}")),
    };
    let (reply, answer) = oneshot::channel();
    let sent = questions.send(Question { request, reply }).await;
    match (sent, answer.await) {
        (Ok(()), Ok(answer)) => answer,
        _ => error("the proxy is stopping"),
    }
}

fn error(reason: &str) -> Value {
    json!({ "error": reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_request_are_understood() {
        for (text, command, limit) in [
            (r#"{"command":"status"}"#, Command::Status, LIMIT_DEFAULT),
            (r#"{"request":"calls"}"#, Command::Calls, LIMIT_DEFAULT),
            (
                r#"{"command":"registrations","limit":3}"#,
                Command::Registrations,
                3,
            ),
        ] {
            let request: Request = serde_json::from_str(text).unwrap();
            assert_eq!(request, Request { command, limit });
        }
        for text in [
            "",
            "{}",
            "[]",
            r#"{"command":"shutdown"}"#,
            r#"{"command":"calls","limit":-1}"#,
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn takes_the_place_of_a_dead_process_but_not_of_a_live_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead process leaves its socket behind");
        let live = AdminSocket::bind(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let error = AdminSocket::bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(live);
        assert!(!path.exists());
    }
}

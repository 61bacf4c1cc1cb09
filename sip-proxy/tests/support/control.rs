//! A control daemon of some lines: moves media to port 40000 and counts packets that never were.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use control_ng::{Command, Counts, Dictionary, Event, Message, Request, Value, reply};

pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    socket: UdpSocket,
    is_silent: AtomicBool,
    is_stopping: AtomicBool,
    seen: Mutex<Vec<String>>,
    client: Mutex<Option<SocketAddr>>,
}

impl Control {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared {
            socket,
            is_silent: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            seen: Mutex::default(),
            client: Mutex::default(),
        });
        let in_thread = Arc::clone(&shared);
        let thread = Some(std::thread::spawn(move || in_thread.serve()));
        Self {
            address,
            shared,
            thread,
        }
    }

    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Names of the commands that came, retransmissions included.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Tells the client that a call's media timed out.
    pub(crate) fn time_out(&self, call_id: &str) {
        let client = self.shared.client.lock().unwrap().expect("a client");
        let event = Event::MediaTimeout {
            call_id: call_id.as_bytes(),
        };
        self.shared
            .socket
            .send_to(&event.encode(b"event-1"), client)
            .unwrap();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn serve(&self) {
        let mut buffer = [0; 65_535];
        while !self.is_stopping.load(Ordering::Relaxed) {
            if let Ok((len, client)) = self.socket.recv_from(&mut buffer) {
                *self.client.lock().unwrap() = Some(client);
                self.answer(&buffer[..len], client);
            }
        }
    }

    fn answer(&self, datagram: &[u8], client: SocketAddr) {
        let message = Message::split(datagram).unwrap();
        let document = Value::parse(message.body).unwrap();
        let request = Request::parse(&document).unwrap();
        let (name, reply) = match request.command {
            Command::Offer(offer) => ("offer", reply::ok().with("sdp", moved(offer.sdp))),
            Command::Answer(answer) => ("answer", reply::ok().with("sdp", moved(answer.sdp))),
            Command::Delete(_) => ("delete", reply::ok().with("tags", tags())),
            Command::Acknowledge => ("acknowledge", reply::ok()),
            other => panic!("not expected: {other:?}"),
        };
        self.seen.lock().unwrap().push(name.to_owned());
        let is_silent = self.is_silent.load(Ordering::Relaxed);
        if !is_silent && name != "acknowledge" {
            self.socket
                .send_to(&reply.encode(message.cookie), client)
                .unwrap();
        }
    }
}

fn moved(sdp: &[u8]) -> String {
    let text = std::str::from_utf8(sdp).unwrap();
    let lines = text
        .split("\r\n")
        .map(|line| match line.strip_prefix("m=audio ") {
            Some(rest) => format!("m=audio 40000 {}", rest.split_once(' ').unwrap().1),
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// As tests make alice the caller and bob the callee.
fn tags() -> Dictionary<'static> {
    Dictionary::new()
        .with("talice", party(11))
        .with("tbob", party(22))
}

fn party(packets: u64) -> Dictionary<'static> {
    let counts = Counts {
        packets,
        bytes: packets * 172,
        errors: 0,
    };
    let stream: Value<'_> = Dictionary::new()
        .with("flags", vec![Value::from("RTP")])
        .with("stats", counts)
        .into();
    let media: Value<'_> = Dictionary::new().with("streams", vec![stream]).into();
    Dictionary::new().with("medias", vec![media])
}

//! Things to send to: a mirror that misbehaves, and a relay with an ng server.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use control_ng::{Command, Message, Request, Value, reply};

use crate::rtp::stamp::{Shape, Stamp};
use crate::{describe, media_address};

/// What is done to each tenth packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mischief {
    None,
    Corrupt,
    Duplicate,
    Lose,
    /// Sent from another address than it was sent to.
    Misdeliver,
    /// Held back until the next one to the same address.
    Reorder,
    /// Comes with a packet of another run.
    Replay,
}

/// Sockets that send back what they get.
pub(super) struct Echo {
    pub(super) addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(super) fn start(count: usize, mischief: Mischief) -> Self {
        Self::start_at("127.0.0.1", count, mischief)
    }

    pub(super) fn start_at(ip: &str, count: usize, mischief: Mischief) -> Self {
        let sockets: Vec<UdpSocket> = (0..count).map(|_| bind_at(ip)).collect();
        let addresses = sockets.iter().map(|it| it.local_addr().unwrap()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || echo(&sockets, mischief, &is_stopped));
        Self {
            addresses,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn echo(sockets: &[UdpSocket], mischief: Mischief, stop: &AtomicBool) {
    let mut held: HashMap<usize, Vec<u8>> = HashMap::new();
    let mut count = 0_u64;
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        let mut is_idle = true;
        for (index, socket) in sockets.iter().enumerate() {
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                is_idle = false;
                let packet = &mut buffer[..len];
                let is_chosen = count.is_multiple_of(10);
                count += 1;
                match mischief {
                    Mischief::Lose if is_chosen => continue,
                    Mischief::Corrupt if is_chosen => packet[len - 1] ^= 1,
                    Mischief::Duplicate if is_chosen => send(socket, packet, from),
                    Mischief::Misdeliver if is_chosen => {
                        send(&sockets[(index + 1) % sockets.len()], packet, from);
                        continue;
                    }
                    Mischief::Reorder if is_chosen && !held.contains_key(&index) => {
                        held.insert(index, packet.to_vec());
                        continue;
                    }
                    Mischief::Replay if is_chosen => send(socket, &of_another_run(), from),
                    _ => {}
                }
                send(socket, packet, from);
                if let Some(late) = held.remove(&index) {
                    send(socket, &late, from);
                }
            }
        }
        if is_idle {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

fn of_another_run() -> Vec<u8> {
    let shape = Shape {
        run: 1,
        payload_type: 0,
        payload_len: 40,
        timestamp_step: 40,
    };
    let stamp = Stamp {
        run: 1,
        stream: 0,
        number: 1,
        sent_ns: 0,
    };
    let mut out = vec![0; shape.packet_len()];
    shape.write(&stamp, &mut [0; 40], &mut out);
    out
}

/// Calls that the relay takes.
pub(super) const CALLS_MAX: u32 = 10;

/// An ng server and its media ports, in one thread.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    calls: Arc<Mutex<HashMap<Vec<u8>, Call>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Call {
    /// Towards the caller and towards the callee.
    sockets: [UdpSocket; 2],
    parties: [Option<SocketAddr>; 2],
}

impl Relay {
    pub(super) fn start() -> Self {
        Self::start_with("127.0.0.1", Mischief::None)
    }

    /// One that says that its media ports are at `ip`; of the mischiefs it knows only
    /// [`Mischief::Misdeliver`], which to it is that packets go back to who sent them.
    pub(super) fn start_with(ip: &str, mischief: Mischief) -> Self {
        let socket = bind();
        let address = socket.local_addr().unwrap();
        let calls = Arc::new(Mutex::new(HashMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, is_stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        let ip = ip.to_owned();
        let thread = thread::spawn(move || {
            let mut count = 0;
            while !is_stopped.load(Ordering::Relaxed) {
                let mut calls = theirs.lock().unwrap();
                let is_idle =
                    !serve(&socket, &ip, &mut calls) & !forward(&calls, mischief, &mut count);
                drop(calls);
                if is_idle {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        });
        Self {
            address,
            calls,
            stop,
            thread: Some(thread),
        }
    }

    pub(super) fn calls_left(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(socket: &UdpSocket, ip: &str, calls: &mut HashMap<Vec<u8>, Call>) -> bool {
    let mut buffer = [0; 8_192];
    let Ok((len, from)) = socket.recv_from(&mut buffer) else {
        return false;
    };
    let message = Message::split(&buffer[..len]).unwrap();
    let document = Value::parse(message.body).unwrap();
    let request = Request::parse(&document).unwrap();
    let (half, negotiation) = match request.command {
        Command::Offer(it) => (0, it),
        Command::Answer(it) => (1, it),
        Command::Delete(delete) => {
            calls.remove(delete.call_id);
            send(socket, &reply::ok().encode(message.cookie), from);
            return true;
        }
        other => panic!("{other:?}"),
    };
    if half == 0 && calls.len() == usize::try_from(CALLS_MAX).unwrap() {
        let refusal = reply::error("that is enough").encode(message.cookie);
        send(socket, &refusal, from);
        return true;
    }
    let call = calls
        .entry(negotiation.call_id.to_vec())
        .or_insert_with(|| Call {
            sockets: [bind(), bind()],
            parties: [None; 2],
        });
    call.parties[half] = media_address(negotiation.sdp);
    let port = call.sockets[1 - half].local_addr().unwrap().port();
    let address = SocketAddr::new(ip.parse().unwrap(), port);
    let sdp = describe(address, 0, "", 20);
    let reply = reply::ok().with("sdp", sdp.as_str()).encode(message.cookie);
    send(socket, &reply, from);
    true
}

fn forward(calls: &HashMap<Vec<u8>, Call>, mischief: Mischief, count: &mut u64) -> bool {
    let mut buffer = [0; 2_048];
    let before = *count;
    for call in calls.values() {
        for side in 0..2 {
            while let Ok(len) = call.sockets[side].recv(&mut buffer) {
                let is_chosen = mischief == Mischief::Misdeliver && count.is_multiple_of(10);
                *count += 1;
                let out = if is_chosen { side } else { 1 - side };
                if let Some(to) = call.parties[out] {
                    send(&call.sockets[out], &buffer[..len], to);
                }
            }
        }
    }
    *count > before
}

fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    socket.send_to(bytes, to).unwrap();
}

fn bind() -> UdpSocket {
    bind_at("127.0.0.1")
}

fn bind_at(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

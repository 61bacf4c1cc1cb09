//! Control's end of the link.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use relay_wire::{
    Answer, CallKey, CallStats, Command, Event, FromRelay, Hello, InterfaceId, Learning,
    MESSAGE_BYTES_MAX, PROTOCOL_VERSION, Port, Reply, Request, ToRelay, WorkerId, WorkerStats,
    decode_first, encode,
};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Control {
    socket: OwnedFd,
    pub(crate) hello: Option<Hello>,
    next_id: u32,
    /// Came in one packet with another.
    unread: RefCell<VecDeque<FromRelay>>,
    /// Came while a reply was waited for.
    events: Vec<(WorkerId, Event)>,
}

impl Control {
    /// Connects and says hello.
    pub(crate) fn connect(path: &Path) -> Self {
        let mut control = Self::connect_silently(path);
        control.send(&ToRelay::Hello {
            version: PROTOCOL_VERSION,
        });
        match control.receive() {
            Some(FromRelay::Hello(hello)) => control.hello = Some(hello),
            other => panic!("{other:?} for a greeting"),
        }
        control
    }

    /// A relay listens there.
    pub(crate) fn is_answered(path: &Path) -> bool {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).is_ok()
    }

    /// Connects and says nothing.
    pub(crate) fn connect_silently(path: &Path) -> Self {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        Self {
            socket,
            hello: None,
            next_id: 1,
            unread: RefCell::default(),
            events: Vec::new(),
        }
    }

    pub(crate) fn send(&self, message: &ToRelay) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes);
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        send(&self.socket, bytes, SendFlags::NOSIGNAL).unwrap();
    }

    /// `None`: the relay has closed.
    pub(crate) fn receive(&self) -> Option<FromRelay> {
        if let Some(message) = self.unread.borrow_mut().pop_front() {
            return Some(message);
        }
        let mut bytes = vec![0; MESSAGE_BYTES_MAX + 1];
        match recv(&self.socket, &mut bytes[..], RecvFlags::empty()) {
            Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => None,
            Ok((len, _)) => {
                let (first, mut rest) = decode_first(&bytes[..len]).unwrap();
                while !rest.is_empty() {
                    let (message, more) = decode_first(rest).unwrap();
                    self.unread.borrow_mut().push_back(message);
                    rest = more;
                }
                Some(first)
            }
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.receive().is_none()
    }

    /// Sends commands and waits for what became of them.
    pub(crate) fn request(&mut self, worker: u8, commands: Vec<Command>) -> Reply {
        let id = self.ask(worker, commands);
        let reply = self.reply();
        assert_eq!(reply.id, id, "replies come in order");
        reply
    }

    /// Sends commands and does not wait.
    pub(crate) fn ask(&mut self, worker: u8, commands: Vec<Command>) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&ToRelay::Request(Request {
            id,
            worker: WorkerId(worker),
            commands,
        }));
        id
    }

    pub(crate) fn reply(&mut self) -> Reply {
        loop {
            match self.receive() {
                Some(FromRelay::Reply(reply)) => return reply,
                Some(FromRelay::Event { worker, event }) => self.events.push((worker, event)),
                other => panic!("{other:?} for a reply"),
            }
        }
    }

    pub(crate) fn event(&mut self) -> (WorkerId, Event) {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        match self.receive() {
            Some(FromRelay::Event { worker, event }) => (worker, event),
            other => panic!("{other:?} for an event"),
        }
    }

    /// Commands that must all succeed.
    pub(crate) fn apply(&mut self, worker: u8, commands: Vec<Command>) -> Vec<Answer> {
        let count = commands.len();
        let reply = self.request(worker, commands);
        assert_eq!(reply.failure, None);
        assert_eq!(reply.answers.len(), count);
        reply.answers
    }

    pub(crate) fn call(&mut self, call: u64) -> CallStats {
        let commands = vec![Command::QueryCall {
            call: CallKey(call),
        }];
        match self.apply(0, commands).remove(0) {
            Answer::Call(stats) => stats,
            other => panic!("{other:?} for a call"),
        }
    }

    pub(crate) fn worker(&mut self, worker: u8) -> WorkerStats {
        match self.apply(worker, vec![Command::QueryWorker]).remove(0) {
            Answer::Worker(stats) => stats,
            other => panic!("{other:?} for a worker"),
        }
    }

    pub(crate) fn counter(&mut self, name: &str) -> u64 {
        let stats = self.worker(0);
        let counter = stats.counters.iter().find(|(it, _)| it == name);
        counter.unwrap_or_else(|| panic!("no counter {name}")).1
    }

    /// Waits until a counter says so.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, name: &str, count: u64) {
        let start = std::time::Instant::now();
        while self.counter(name) != count {
            assert!(start.elapsed() < 12 * PATIENCE, "{name}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first port of the first worker.
    pub(crate) fn first_port(&self) -> u16 {
        let partition = self.hello.as_ref().unwrap().partition;
        *partition.slice(WorkerId(0)).unwrap().start()
    }

    /// A call of two endpoints that are connected to one another, with learning as given.
    pub(crate) fn set_up(
        &mut self,
        call: u64,
        ports: [Port; 2],
        remotes: [Option<std::net::SocketAddr>; 2],
    ) {
        let mut commands = vec![create(call)];
        commands.extend(ports.map(|port| open(call, port)));
        for (port, remote) in ports.into_iter().zip(remotes) {
            commands.push(set_remote(call, port, remote, Learning::Heuristic));
        }
        commands.push(connect_to(call, ports[0], ports[1]));
        commands.push(connect_to(call, ports[1], ports[0]));
        self.apply(0, commands);
    }
}

pub(crate) fn port(number: u16) -> Port {
    Port {
        interface: InterfaceId(0),
        number,
    }
}

pub(crate) fn create(call: u64) -> Command {
    Command::CreateCall {
        call: CallKey(call),
        media_timeout_ms: 0,
        record: Vec::new(),
    }
}

pub(crate) fn remove(call: u64) -> Command {
    Command::RemoveCall {
        call: CallKey(call),
    }
}

pub(crate) fn open(call: u64, port: Port) -> Command {
    Command::OpenEndpoint {
        call: CallKey(call),
        port,
        tos: None,
    }
}

pub(crate) fn close(call: u64, port: Port) -> Command {
    Command::CloseEndpoint {
        call: CallKey(call),
        port,
    }
}

pub(crate) fn set_remote(
    call: u64,
    port: Port,
    remote: Option<std::net::SocketAddr>,
    learning: Learning,
) -> Command {
    Command::SetRemote {
        call: CallKey(call),
        port,
        remote,
        learning,
    }
}

pub(crate) fn connect_to(call: u64, ingress: Port, egress: Port) -> Command {
    Command::Connect {
        call: CallKey(call),
        ingress,
        rtp: Some(egress),
        rtcp: Some(egress),
    }
}

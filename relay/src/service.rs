//! The relay as a whole: workers, link, and how they begin and end.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use relay_core::{Limits, Relay};
use relay_dtls::Identity;
use relay_wire::{Fingerprint, Hello, PROTOCOL_VERSION, WorkerId};
use tracing::{debug, error, info, warn};

use crate::affinity;
use crate::config::Config;
use crate::copier::{Copier, Inlet};
use crate::dtls::{Hall, Shaker};
use crate::error::{SetupError, StartError};
use crate::file_limit;
use crate::io::Io;
use crate::kernel_table::{self, KernelFlows, Watch};
use crate::link::{Link, Listener};
use crate::mailbox::Mailbox;
use crate::ntp::ntp_now;
use crate::priority;
use crate::privileges;
use crate::socket::{self, Place};
use crate::transcoding::{Pool, Transcoder};
use crate::wake::Wake;
use crate::worker::Worker;

/// Endpoints that shake hands, or have: what is remembered of one takes some ten kilobytes.
const DTLS_ENDPOINTS_MAX: usize = 16_384;

/// Something that ends the process.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A part that must run has ended: the relay cannot go on.
    Broken,
    /// The system says stop.
    Signal(i32),
}

/// A running relay.
#[derive(Debug)]
pub struct Service {
    workers: Vec<Thread>,
    mailboxes: Vec<Arc<Mailbox>>,
    link: Option<Thread>,
    link_wake: Arc<Wake>,
    is_link_stopping: Arc<AtomicBool>,
    pool: Arc<Pool>,
    hall: Arc<Hall>,
    dtls: Option<Thread>,
    codecs: Vec<Thread>,
    /// What looks after the kernel's table, and how it is stopped: by this being gone.
    watch: Option<(Thread, Sender<()>)>,
    drivers: Vec<&'static str>,
}

type Thread = JoinHandle<io::Result<()>>;

/// What a worker says once: how it goes.
type Ready = Result<(&'static str, Option<SetupError>), SetupError>;

impl Service {
    /// Starts all threads. Returns when they are ready to serve; what ends them later is said by
    /// way of `notices`.
    ///
    /// # Errors
    ///
    /// When one of them cannot start. Then none runs.
    pub fn start(config: &Config, notices: &Sender<Notice>) -> Result<Self, StartError> {
        let listener = Listener::bind(&config.socket_path)?;
        check_interfaces(config)?;
        let kernel_table = kernel_table::open(config).map_err(StartError::KernelTable)?;
        let endpoints_max = endpoints_max(config);
        let link_wake = new_wake()?;
        let wakes = (0..config.partition.workers()).map(|_| new_wake());
        let wakes: Vec<_> = wakes.collect::<Result<_, _>>()?;
        let (pool, codec_threads) = Pool::new(config.codecs, &wakes).map_err(no_eventfd)?;
        let inlets = Copier::inlets(&wakes);
        let identity = Identity::new().map_err(StartError::Identity)?;
        let hello = hello(config, identity.fingerprints());
        let (hall, dtls_thread) =
            Hall::new(identity, DTLS_ENDPOINTS_MAX, &wakes).map_err(no_eventfd)?;
        let mut service = Self {
            workers: Vec::new(),
            mailboxes: Vec::new(),
            link: None,
            link_wake: Arc::clone(&link_wake),
            is_link_stopping: Arc::default(),
            pool,
            hall,
            dtls: None,
            codecs: Vec::new(),
            watch: None,
            drivers: Vec::new(),
        };
        for (worker, wake) in (0..).zip(wakes) {
            let seed = Seed {
                worker,
                config: config.clone(),
                endpoints_max,
                kernel_flows: kernel_table
                    .as_ref()
                    .map(|it| KernelFlows::new(&it.table, config, worker)),
                mailbox: Arc::new(Mailbox::new(Arc::clone(&wake), Arc::clone(&link_wake))),
                pool: Arc::clone(&service.pool),
                inlets: Arc::clone(&inlets),
                hall: Arc::clone(&service.hall),
                wake,
            };
            if let Err(error) = service.start_worker(seed, notices) {
                service.stop();
                return Err(error);
            }
        }
        for (index, thread) in codec_threads.into_iter().enumerate() {
            let notices = notices.clone();
            let run = move || unprivileged(&notices, || thread.run());
            match spawn(&format!("codec-{index}"), run) {
                Ok(thread) => service.codecs.push(thread),
                Err(error) => {
                    service.stop();
                    return Err(error);
                }
            }
        }
        let run = {
            let notices = notices.clone();
            move || unprivileged(&notices, || dtls_thread.run())
        };
        match spawn("dtls", run) {
            Ok(thread) => service.dtls = Some(thread),
            Err(error) => {
                service.stop();
                return Err(error);
            }
        }
        if let Some(opened) = kernel_table {
            let watch = Watch::new(opened);
            let (stop, stopped) = channel();
            match spawn("kernel-table", {
                let notices = notices.clone();
                move || unprivileged(&notices, || watch.run(&stopped))
            }) {
                Ok(thread) => service.watch = Some((thread, stop)),
                Err(error) => {
                    service.stop();
                    return Err(error);
                }
            }
        }
        let link = Link::new(
            listener,
            hello,
            service.mailboxes.clone(),
            Arc::clone(&service.pool.sounds),
            link_wake,
            Arc::clone(&service.is_link_stopping),
        );
        let notices = notices.clone();
        match spawn("link", move || unprivileged(&notices, || link.run())) {
            Ok(thread) => service.link = Some(thread),
            Err(error) => {
                service.stop();
                return Err(error);
            }
        }
        Ok(service)
    }

    /// Ends all threads and closes all sockets.
    pub fn stop(self) {
        for mailbox in &self.mailboxes {
            mailbox.stop();
        }
        self.is_link_stopping.store(true, Ordering::Release);
        self.link_wake.wake();
        self.pool.stop();
        self.hall.stop();
        // Its sender is gone with this.
        let watch = self.watch.map(|(thread, _)| thread);
        let others = self.codecs.into_iter().chain(self.dtls);
        let others = others.chain(self.link).chain(watch);
        for thread in self.workers.into_iter().chain(others) {
            // Its error, if any, was said when it came.
            let _ = thread.join();
        }
    }

    /// The driver of each worker.
    #[must_use]
    pub fn drivers(&self) -> &[&'static str] {
        &self.drivers
    }

    fn start_worker(&mut self, seed: Seed, notices: &Sender<Notice>) -> Result<(), StartError> {
        let (worker, mailbox) = (seed.worker, Arc::clone(&seed.mailbox));
        let notices = notices.clone();
        let (sender, receiver) = channel();
        let name = format!("worker-{worker}");
        let thread = spawn(&name, move || watched(&notices, || seed.run(&sender)))?;
        self.workers.push(thread);
        self.mailboxes.push(mailbox);
        let (driver, fallback) = ready(worker, &receiver)?;
        match fallback {
            // The reason is the same for all.
            Some(reason) if self.drivers.is_empty() => {
                warn!(driver, %reason, "the workers run without io_uring");
            }
            _ => info!(worker, driver, "worker runs"),
        }
        self.drivers.push(driver);
        Ok(())
    }
}

/// What a worker grows from, on its own thread.
struct Seed {
    worker: u8,
    config: Config,
    endpoints_max: u32,
    kernel_flows: Option<KernelFlows>,
    mailbox: Arc<Mailbox>,
    pool: Arc<Pool>,
    inlets: Arc<[Inlet]>,
    hall: Arc<Hall>,
    wake: Arc<Wake>,
}

impl Seed {
    fn run(self, ready: &Sender<Ready>) -> io::Result<()> {
        let config = self.config;
        let cores = &config.cores;
        if let Some(core) = cores.get(usize::from(self.worker) % cores.len().max(1))
            && !affinity::pin(*core)
        {
            warn!(worker = self.worker, core, "cannot be kept on its core");
        }
        if let Err(error) = priority::ask_for_short_turns() {
            debug!(worker = self.worker, %error, "has turns as long as others");
        }
        let opened = Io::open(
            config.driver,
            config.uring_size,
            self.endpoints_max,
            config.packets_per_port_max,
            self.wake,
        );
        let io = match opened {
            Ok((io, fallback)) => {
                let _ = ready.send(Ok((io.name(), fallback)));
                io
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return Ok(());
            }
        };
        give_up_privileges();
        let places = places(&config);
        let mut relay = Relay::new(Limits {
            worker: WorkerId(self.worker),
            partition: config.partition,
            interfaces: places.iter().map(|it| it.address).collect(),
            calls_max: config.calls_per_worker_max,
            endpoints_max: self.endpoints_max,
            idle_max: config.idle_per_worker_max,
        });
        if let Some(flows) = self.kernel_flows {
            relay.set_kernel_table(Box::new(flows));
        }
        let seed = RandomState::new().hash_one(self.worker);
        relay.set_identity(Instant::now(), ntp_now(), seed);
        let transcoder = Transcoder::new(self.worker, self.pool);
        let copier = Copier::new(self.worker, self.inlets);
        let shaker = Shaker::new(self.worker, self.hall);
        let beside = (transcoder, copier, shaker);
        Worker::new(relay, io, beside, self.mailbox, places).run()
    }
}

/// Waits until a worker says how it goes.
fn ready(
    worker: u8,
    receiver: &Receiver<Ready>,
) -> Result<(&'static str, Option<SetupError>), StartError> {
    match receiver.recv() {
        Ok(ready) => ready.map_err(|source| StartError::Worker { worker, source }),
        Err(_) => Err(StartError::System {
            doing: "start a worker",
            source: io::ErrorKind::BrokenPipe.into(),
        }),
    }
}

fn hello(config: &Config, fingerprints: Vec<Fingerprint>) -> Hello {
    Hello {
        version: PROTOCOL_VERSION,
        // Random keys are what this is made of.
        instance: RandomState::new().hash_one(std::process::id()),
        interfaces: config.interfaces.clone(),
        partition: config.partition,
        idle_per_worker_max: config.idle_per_worker_max,
        fingerprints,
    }
}

fn places(config: &Config) -> Vec<Place> {
    let places = config.interfaces.iter().zip(&config.tos);
    let places = places.map(|(interface, tos)| Place {
        address: interface.address,
        tos: *tos,
    });
    places.collect()
}

/// Finds out now that an address is not ours, rather than with the first call.
fn check_interfaces(config: &Config) -> Result<(), StartError> {
    for place in places(config) {
        let address = place.address;
        socket::bind(place, 0).map_err(|source| StartError::Interface { address, source })?;
    }
    Ok(())
}

/// Endpoints of one worker: one for each port of each address, if the system lets us.
fn endpoints_max(config: &Config) -> u32 {
    let slice = config.partition.slice(WorkerId(0));
    let ports = slice.map_or(0, |it| it.len() as u64);
    let workers = u64::from(config.partition.workers());
    let addresses: BTreeSet<_> = config.interfaces.iter().map(|it| it.address).collect();
    let wanted = ports * addresses.len() as u64;
    let room = file_limit::make_room(wanted * workers) / workers;
    if room < wanted {
        warn!(
            wanted = wanted * workers,
            possible = room * workers,
            "the limit of open files is too low for all ports: raise it (ulimit -n; LimitNOFILE= \
             in systemd), or configure fewer relay.ports"
        );
    }
    u32::try_from(room).unwrap_or(u32::MAX)
}

fn new_wake() -> Result<Arc<Wake>, StartError> {
    let wake = Wake::new().map_err(no_eventfd)?;
    Ok(Arc::new(wake))
}

fn no_eventfd(source: io::Error) -> StartError {
    StartError::System {
        doing: "make an eventfd",
        source,
    }
}

fn spawn(
    name: &str,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<Thread, StartError> {
    let thread = Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|source| StartError::System {
        doing: "start a thread",
        source,
    })
}

/// Runs a part that needs no privileges.
fn unprivileged(notices: &Sender<Notice>, run: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    give_up_privileges();
    watched(notices, run)
}

fn give_up_privileges() {
    if let Err(error) = privileges::give_up() {
        let thread = std::thread::current();
        warn!(part = thread.name(), %error, "keeps the privileges that it was started with");
    }
}

/// Runs a part of the relay, and says so when it breaks.
fn watched(notices: &Sender<Notice>, run: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let result = run();
    if let Err(error) = &result {
        let thread = std::thread::current();
        error!(part = thread.name(), %error, "this part has broken; the relay stops");
        // Whoever would hear it may be gone already.
        let _ = notices.send(Notice::Broken);
    }
    result
}

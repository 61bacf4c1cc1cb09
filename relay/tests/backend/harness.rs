//! Relays inside this process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};

use relay::{Config, Notice, PoolLimits, Service, StartError, UringSize};
use relay_wire::{Interface, PortPartition};
use tandem_settings::Driver;
use tempfile::TempDir;

use crate::control::Control;

/// Ports of one relay. Below those that the system gives out by itself.
const PORTS_EACH: u16 = 256;
const PORTS_FIRST: u16 = 14_336;
const RANGES: u16 = 64;
static PORTS_NEXT: AtomicU16 = AtomicU16::new(0);

/// What a test may want different.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) workers: u8,
    pub(crate) buffers: u16,
    pub(crate) interfaces: &'static [&'static str],
    pub(crate) calls_max: usize,
    pub(crate) packets_per_port_max: u32,
    pub(crate) idle_max: u32,
    pub(crate) codec_threads: usize,
    pub(crate) codec_flows_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 1,
            buffers: 64,
            interfaces: &["127.0.0.1"],
            calls_max: 1_000,
            packets_per_port_max: 50_000,
            idle_max: 1_000,
            codec_threads: 1,
            codec_flows_max: 1_000,
        }
    }
}

/// A running relay. Stops when it is dropped.
pub(crate) struct TestRelay {
    service: Option<Service>,
    pub(crate) config: Config,
    pub(crate) notices: Receiver<Notice>,
    _folder: TempDir,
    _ports: Ports,
}

/// Runs a test on each driver that works here.
pub(crate) fn on_each_driver(options: Options, test: impl Fn(&TestRelay)) {
    for driver in [Driver::Poll, Driver::Uring] {
        if let Some(relay) = TestRelay::start(driver, options) {
            assert_eq!(relay.driver(), driver_name(driver));
            test(&relay);
        }
    }
}

/// Runs a test where io_uring works.
pub(crate) fn on_uring(options: Options, test: impl Fn(&TestRelay)) {
    if let Some(relay) = TestRelay::start(Driver::Uring, options) {
        test(&relay);
    }
}

fn driver_name(driver: Driver) -> &'static str {
    match driver {
        Driver::Poll => "poll",
        _ => "uring",
    }
}

impl TestRelay {
    /// `None`, and said so, where io_uring does not work.
    pub(crate) fn start(driver: Driver, options: Options) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::claim();
        let config = config(driver, options, &ports, folder.path().join("relay.sock"));
        let (sender, notices) = channel();
        let service = match Service::start(&config, &sender) {
            Ok(service) => service,
            Err(StartError::Worker { source, .. }) if driver == Driver::Uring => {
                eprintln!("SKIPPED on uring: {source}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        Some(Self {
            service: Some(service),
            config,
            notices,
            _folder: folder,
            _ports: ports,
        })
    }

    pub(crate) fn driver(&self) -> &'static str {
        self.service.as_ref().unwrap().drivers()[0]
    }

    pub(crate) fn connect(&self) -> Control {
        Control::connect(&self.config.socket_path)
    }

    /// Ends all threads, and waits for that.
    pub(crate) fn stop(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop();
        }
    }
}

impl Drop for TestRelay {
    fn drop(&mut self) {
        self.stop();
        assert!(self.notices.try_recv().is_err(), "nothing broke");
    }
}

/// A range of UDP ports that no other test has, in this process or another.
pub(crate) struct Ports {
    pub(crate) first: u16,
    /// Says to the others that the range is taken. Nobody needs this TCP port.
    _claim: TcpListener,
}

impl Ports {
    pub(crate) fn claim() -> Self {
        loop {
            let index = PORTS_NEXT.fetch_add(1, Ordering::Relaxed);
            let first = PORTS_FIRST + index % RANGES * PORTS_EACH;
            assert!(index < 10 * RANGES, "no range is free");
            if let Ok(claim) = TcpListener::bind(("127.0.0.1", first)) {
                return Self {
                    first,
                    _claim: claim,
                };
            }
        }
    }

    pub(crate) fn last(&self) -> u16 {
        self.first + PORTS_EACH - 1
    }
}

fn config(driver: Driver, options: Options, ports: &Ports, socket_path: PathBuf) -> Config {
    let interfaces = options.interfaces.iter().enumerate();
    let interfaces = interfaces.map(|(index, address)| Interface {
        name: format!("if{index}"),
        address: address.parse().unwrap(),
        advertised: None,
        ports: None,
    });
    Config {
        socket_path,
        interfaces: interfaces.collect(),
        tos: vec![184; options.interfaces.len()],
        partition: PortPartition::new(ports.first, ports.last(), options.workers).unwrap(),
        cores: Vec::new(),
        driver,
        uring_size: UringSize::with_buffers(options.buffers)
            .with_batch_wait(std::time::Duration::from_micros(300)),
        calls_per_worker_max: options.calls_max,
        packets_per_port_max: options.packets_per_port_max,
        kernel_table: tandem_settings::KernelTable::Off,
        kernel_table_interfaces: Vec::new(),
        kernel_table_xdp: tandem_settings::Xdp::Auto,
        idle_per_worker_max: options.idle_max,
        codecs: PoolLimits {
            threads: options.codec_threads,
            flows_max: options.codec_flows_max,
            refuses_when_busy: false,
        },
    }
}

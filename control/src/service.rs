//! The loop: whatever comes first goes to the core, and what the core says is done.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use control_core::{Client, Control, Now, Output};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Sleep, sleep};
use tracing::info;

use crate::config::Config;
use crate::error::StartError;
use crate::journal;
use crate::ng_server::NgServer;
use crate::relay_link::{LinkEvent, RelayLink};

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
///
/// When it cannot begin. Once it has, nothing but a signal ends it.
pub fn run(config: &Config) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::system("start the event loop"))?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut service = Service::new(config)?;
        tokio::select! {
            () = service.serve() => {}
            name = signals.next() => info!(signal = name, "stopping"),
        }
        service.say_goodbye();
        Ok(())
    })
}

#[derive(Debug)]
struct Service {
    control: Control,
    ng: NgServer,
    relay: RelayLink,
}

/// What woke the loop.
enum Wake {
    Datagram(Client, usize),
    Relay(LinkEvent),
    Timer,
}

impl Service {
    fn new(config: &Config) -> Result<Self, StartError> {
        let ng = NgServer::bind(&config.listen)?;
        info!(?config, "control runs");
        Ok(Self {
            control: Control::new(core_config(config)?),
            ng,
            relay: RelayLink::new(&config.relay_socket),
        })
    }

    async fn serve(&mut self) {
        // One for all turns: to set it is dear, and what is due first rarely changes.
        let mut timer = pin!(sleep(Duration::ZERO));
        loop {
            let timeout = self.control.poll_timeout();
            if let Some(at) = timeout.map(Into::into)
                && timer.deadline() != at
            {
                timer.as_mut().reset(at);
            }
            let wake = self.next(timer.as_mut(), timeout.is_some()).await;
            let now = now();
            match wake {
                Wake::Datagram(client, len) => {
                    let datagram = self.ng.datagram(len);
                    self.control.handle_request(now, client, datagram);
                }
                Wake::Relay(LinkEvent::Event(event)) => {
                    self.control.handle_relay_event(now, event);
                }
                Wake::Relay(LinkEvent::Hello(hello)) => {
                    self.control.handle_relay_hello(now, hello);
                }
                Wake::Relay(LinkEvent::Lost) => self.control.handle_relay_lost(now),
                Wake::Relay(LinkEvent::Reply(reply)) => {
                    self.control.handle_relay_reply(now, reply);
                }
                Wake::Timer => self.control.handle_timeout(now),
            }
            self.do_outputs();
        }
    }

    async fn next(&mut self, timer: Pin<&mut Sleep>, is_timer_set: bool) -> Wake {
        // What the relay says comes first: it finishes what was begun.
        tokio::select! {
            biased;
            event = poll_fn(|context| self.relay.poll_event(context)) => Wake::Relay(event),
            () = timer, if is_timer_set => Wake::Timer,
            (client, len) = poll_fn(|context| self.ng.poll_receive(context)) => {
                Wake::Datagram(client, len)
            }
        }
    }

    fn do_outputs(&mut self) {
        while let Some(output) = self.control.poll_output() {
            match output {
                Output::Notice(notice) => journal::write(&notice),
                Output::Relay(request) => self.relay.send(request),
                Output::Send { client, datagram } => self.ng.send(client, &datagram),
            }
        }
    }

    fn say_goodbye(&self) {
        let calls = self.control.call_count();
        let counters = self.control.counters();
        info!(
            calls,
            ?counters,
            "stopped; calls that are up keep their media"
        );
    }
}

/// SIGINT and SIGTERM.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let watch = |kind| signal(kind).map_err(StartError::system("watch for signals"));
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

fn core_config(config: &Config) -> Result<control_core::Config, StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| StartError::system("get random bytes")(io::Error::other(error)))?;
    Ok(control_core::Config {
        media_timeout_s: config.media_timeout_s,
        delete_delay_s: config.delete_delay_s,
        offer_timeout_s: config.offer_timeout_s,
        calls_max: config.calls_max,
        seed,
    })
}

fn now() -> Now {
    // A clock before 1970 is as good as any: only differences count.
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix_ms = unix.map_or(0, |unix| u64::try_from(unix.as_millis()).unwrap_or(0));
    Now {
        instant: Instant::now(),
        unix_ms,
    }
}

//! The loop: whatever comes goes to the core, and what the core says is done.
//!
//! One thread that waits in poll(2). A request is two messages in and two out, with a wait before
//! each that comes in; whatever the loop does besides is done six times for a call
//! (docs/call-set-up.md).

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use control_core::sound::SoundError;
use control_core::{Control, Now, Output};
use relay_wire::Learning;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tandem_settings::{EndpointLearning, OtherSources};
use tracing::info;

use crate::admin::AdminSocket;
use crate::config::Config;
use crate::error::StartError;
use crate::hep::HepSender;
use crate::host_load::HostWatch;
use crate::inherited::Inherited;
use crate::journal;
use crate::kept_limits::KeptLimits;
use crate::key_log::KeyLog;
use crate::metrics;
use crate::ng_server::NgServer;
use crate::relay_link::{LinkEvent, RelayLink};
use crate::sounds::Sounds;

/// How late what is due may be: what thousands of calls have due one by one is done together.
const SLACK: Duration = Duration::from_millis(10);

/// Messages read of one socket in one turn at most, so that the others are not kept waiting.
const READS_MAX: u32 = 32;

/// From one look at the host and the workers to the next.
const LOOK: Duration = Duration::from_secs(2);

/// Why control stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It was drained, and told to stop: it is not to be started again.
    Drained,
    /// This signal came.
    Signal(&'static str),
}

/// Serves until SIGINT or SIGTERM, or until it has been drained, on the sockets that were bound for
/// it and those that it binds itself.
///
/// # Errors
///
/// When it cannot begin, or the system gives no way on.
pub fn run(config: &Config, inherited: Inherited) -> Result<Ending, StartError> {
    let signals = Signals::new()?;
    let mut service = Service::new(config, inherited)?;
    let ending = service.serve(&signals)?;
    info!(?ending, "stopping");
    service.say_goodbye();
    Ok(ending)
}

#[derive(Debug)]
struct Service {
    control: Control,
    ng: NgServer,
    relay: RelayLink,
    relay_reads: Reads,
    sounds: Sounds,
    ng_reads: Vec<Reads>,
    admin: AdminSocket,
    limits: KeptLimits,
    hep: Option<HepSender>,
    key_log: KeyLog,
    /// Clients of ng over TCP are told of keys.
    tells_clients: bool,
    host: HostWatch,
    next_look: Instant,
    /// The time of this turn.
    now: Now,
}

/// What has come.
#[derive(Debug, Default)]
struct Ready {
    signal: Option<&'static str>,
    reload: bool,
    relay: bool,
    sounds: bool,
    /// Sockets of ng, by bits.
    ng: u32,
    /// An operator, or that limits were written.
    admin: bool,
}

/// How many messages to read of a socket that is ready: one, and twice as many each time that
/// there were so many while it stays ready. So one that comes alone costs no read that finds
/// nothing, and a burst does not cost a wait for each.
#[derive(Clone, Copy, Debug)]
struct Reads(u32);

impl Reads {
    fn note(&mut self, read: u32) {
        self.0 = if read >= self.0 {
            (2 * self.0).min(READS_MAX)
        } else {
            1
        };
    }
}

impl Service {
    fn new(config: &Config, inherited: Inherited) -> Result<Self, StartError> {
        let ng = NgServer::bind(config, inherited)?;
        let admin = AdminSocket::bind(&config.admin_socket);
        let admin = admin.map_err(|source| StartError::Admin {
            path: config.admin_socket.clone(),
            source,
        })?;
        let hep = config.hep.map(|(homer, id)| HepSender::new(homer, id));
        let hep = hep.transpose();
        let hep = hep.map_err(StartError::system("send to Homer"))?;
        let key_log = KeyLog::new(config.dtmf_log);
        let key_log = key_log.map_err(StartError::system("tell of keys"))?;
        info!(?config, "control runs");
        let mut control = new_control(config)?;
        let limits = KeptLimits::open(&config.limits_path, config.limits);
        let limits = limits.map_err(StartError::system("keep limits"))?;
        control.set_limits(limits.limits());
        control.want_call_records(config.call_records);
        let now = now();
        Ok(Self {
            control,
            admin,
            limits,
            hep,
            key_log,
            tells_clients: config.dtmf_log_ng_tcp,
            host: HostWatch::default(),
            next_look: now.instant,
            now,
            ng_reads: vec![Reads(1); ng.sockets().count()],
            ng,
            sounds: Sounds::new(config.media_folder.clone())
                .map_err(StartError::system("read sounds"))?,
            relay: RelayLink::new(&config.relay_socket),
            relay_reads: Reads(1),
        })
    }

    /// Serves until a signal, whose name it returns.
    fn serve(&mut self, signals: &Signals) -> Result<Ending, StartError> {
        let mut now = now();
        loop {
            self.relay.flush();
            let ready = self.wait(now.instant, signals);
            let ready = ready.map_err(StartError::system("wait for events"))?;
            if let Some(name) = ready.signal {
                return Ok(Ending::Signal(name));
            }
            if ready.reload {
                signals.forget_hangups();
                self.ng.reload();
            }
            now = self::now();
            self.now = now;
            // What the relay says comes first: it finishes what was begun.
            self.serve_relay(now, ready.relay);
            if ready.sounds {
                self.serve_sounds(now);
            }
            self.relay.handle_timeout(now.instant);
            let timeout = self.control.poll_timeout();
            if timeout.is_some_and(|due| due <= now.instant) {
                self.control.handle_timeout(now);
                self.do_outputs();
            }
            self.serve_ng(now, ready.ng);
            if ready.admin && self.serve_admin(now) {
                return Ok(Ending::Drained);
            }
            self.look(now);
        }
    }

    /// Answers operators; `true` if control is to stop.
    fn serve_admin(&mut self, now: Now) -> bool {
        // Operators may wait for it.
        self.limits.handle_written(now.instant);
        self.admin.serve(&mut self.control, &mut self.limits, now)
    }

    /// Sees how busy the host and the workers are, now and then.
    fn look(&mut self, now: Now) {
        if now.instant < self.next_look {
            return;
        }
        self.next_look = now.instant + LOOK;
        self.limits.keep(now.instant, self.control.limits());
        self.control.handle_host_load(self.host.look());
        self.control.refresh();
        self.do_outputs();
    }

    fn wait(&self, now: Instant, signals: &Signals) -> io::Result<Ready> {
        let mut fds = Vec::with_capacity(8);
        let watch = PollFd::from_borrowed_fd;
        fds.extend(
            [&signals.interrupt, &signals.terminate, &signals.hangup]
                .map(|it| watch(it.as_fd(), PollFlags::IN)),
        );
        fds.extend(self.ng.sockets().map(|it| watch(it, PollFlags::IN)));
        fds.push(watch(self.sounds.socket(), PollFlags::IN));
        let relay = self.relay.interest();
        fds.extend(relay.map(|(socket, flags)| watch(socket, flags)));
        let admin = fds.len();
        let interests = self.admin.interests();
        fds.extend(interests.map(|(socket, flags)| PollFd::from_borrowed_fd(socket, flags)));
        let written = self.limits.interest();
        fds.extend(written.map(|it| watch(it, PollFlags::IN)));
        let dues = [
            self.control.poll_timeout(),
            self.relay.poll_timeout(now),
            Some(self.next_look),
        ];
        let timeout = dues.into_iter().flatten().min();
        let timeout = timeout.map(|due| due.saturating_duration_since(now).max(SLACK));
        let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let is_admin_ready = fds[admin..].iter().any(|it| !it.revents().is_empty());
        let mut are_ready = fds.iter().map(|it| !it.revents().is_empty());
        let mut is_ready = || are_ready.next().unwrap_or(false);
        let (interrupt, terminate, reload) = (is_ready(), is_ready(), is_ready());
        let ng = (0..self.ng_reads.len()).map(|index| u32::from(is_ready()) << index);
        Ok(Ready {
            signal: match (interrupt, terminate) {
                (true, _) => Some("SIGINT"),
                (false, true) => Some("SIGTERM"),
                (false, false) => None,
            },
            reload,
            ng: ng.sum(),
            admin: is_admin_ready,
            sounds: is_ready(),
            relay: relay.is_some() && is_ready(),
        })
    }

    fn serve_relay(&mut self, now: Now, is_ready: bool) {
        if !is_ready {
            self.relay_reads = Reads(1);
            return;
        }
        let mut read = 0;
        while (read < self.relay_reads.0 || self.relay.has_unread())
            && let Some(event) = self.relay.receive(now.instant)
        {
            read += 1;
            self.handle_event(now, event);
            self.do_outputs();
        }
        self.relay_reads.note(read);
    }

    fn handle_event(&mut self, now: Now, event: LinkEvent) {
        match event {
            LinkEvent::Event(event) => self.control.handle_relay_event(now, event),
            LinkEvent::Hello(hello) => {
                self.sounds.handle_hello();
                self.control.handle_relay_hello(now, hello);
            }
            LinkEvent::Lost => self.control.handle_relay_lost(now),
            LinkEvent::Reply(reply) => self.control.handle_relay_reply(now, reply),
        }
    }

    /// One of them in a turn: a long one is many messages.
    fn serve_sounds(&mut self, now: Now) {
        let relay = &mut self.relay;
        if let Some((id, loaded)) = self.sounds.poll(|message| relay.send_sound(message)) {
            self.control.handle_loaded(now, id, loaded);
            self.do_outputs();
        }
    }

    fn serve_ng(&mut self, now: Now, ready: u32) {
        for index in 0..self.ng_reads.len() {
            if ready & (1 << index) == 0 {
                self.ng_reads[index] = Reads(1);
                continue;
            }
            let mut read = 0;
            while read < self.ng_reads[index].0
                && let Some((client, len)) = self.ng.receive(index)
            {
                read += 1;
                let datagram = self.ng.datagram(len);
                if let Some(hep) = &mut self.hep {
                    hep.request(now, client.remote, client.local, datagram);
                }
                self.control.handle_request(now, client, datagram);
                // Begun before it is said that it was done.
                self.limits.keep(now.instant, self.control.limits());
                self.do_outputs();
            }
            self.ng_reads[index].note(read);
        }
        let control = &mut self.control;
        self.ng.answer_metrics(|| metrics::text(control, now));
    }

    fn do_outputs(&mut self) {
        while let Some(output) = self.control.poll_output() {
            match output {
                Output::Key(report) => {
                    self.key_log.tell(&report);
                    if self.tells_clients {
                        self.ng.announce(&report);
                    }
                }
                Output::Load(load) => {
                    if let Err(id) = self.sounds.load(*load) {
                        let full = Err(SoundError::TooLong);
                        self.control.handle_loaded(self.now, id, full);
                    }
                }
                Output::Notice(notice) => journal::write(&notice),
                Output::Report(report) => {
                    if let Some(hep) = &mut self.hep {
                        hep.report(&report);
                    }
                }
                Output::Relay(request) => self.relay.send(request),
                Output::Send { client, datagram } => {
                    if let Some(hep) = &mut self.hep {
                        hep.reply(self.now, client.local, client.remote, &datagram);
                    }
                    self.ng.send(client, &datagram);
                }
            }
        }
    }

    fn say_goodbye(&mut self) {
        self.limits.finish(self.now.instant, self.control.limits());
        let calls = self.control.call_count();
        let counters = self.control.counters();
        let hep_lost = self.hep.as_ref().map_or(0, |hep| hep.lost());
        let keys_lost = self.key_log.lost();
        info!(
            calls,
            ?counters,
            hep_lost,
            keys_lost,
            "stopped; calls that are up keep their media"
        );
    }
}

/// SIGINT and SIGTERM, and SIGHUP to read the certificate again: each makes its socket readable.
#[derive(Debug)]
struct Signals {
    interrupt: UnixStream,
    terminate: UnixStream,
    hangup: UnixStream,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let watch = |signal| {
            let (read, write) = UnixStream::pair()?;
            pipe::register(signal, write)?;
            read.set_nonblocking(true)?;
            Ok(read)
        };
        let watch = |signal| watch(signal).map_err(StartError::system("watch for signals"));
        Ok(Self {
            interrupt: watch(SIGINT)?,
            terminate: watch(SIGTERM)?,
            hangup: watch(SIGHUP)?,
        })
    }

    /// Several that came meanwhile are one.
    fn forget_hangups(&self) {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.hangup, &mut bytes).is_ok_and(|len| len > 0) {}
    }
}

fn new_control(config: &Config) -> Result<Control, StartError> {
    let mut control = Control::new(core_config(config)?);
    if config.other_sources == OtherSources::Forward {
        control.forward_other_sources();
    }
    for (alias, name) in &config.interface_aliases {
        control.name_interface(alias, name);
    }
    control.prefer_codecs(config.codec_preferences.clone());
    control.set_opus(config.opus);
    Ok(control)
}

fn core_config(config: &Config) -> Result<control_core::Config, StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| StartError::system("get random bytes")(io::Error::other(error)))?;
    Ok(control_core::Config {
        media_timeout_s: config.media_timeout_s,
        silent_timeout_s: config.silent_timeout_s,
        first_packet_timeout_s: config.first_packet_timeout_s,
        final_timeout_s: config.final_timeout_s,
        delete_delay_s: config.delete_delay_s,
        offer_timeout_s: config.offer_timeout_s,
        calls_max: config.limits.calls_max,
        endpoint_learning: match config.endpoint_learning {
            EndpointLearning::Delayed => Learning::Delayed,
            EndpointLearning::Heuristic => Learning::Heuristic,
            EndpointLearning::Immediate => Learning::Immediate,
            EndpointLearning::Off => Learning::Off,
        },
        transcode: config.transcode,
        tells_keys: config.dtmf_log.is_some() || config.dtmf_log_ng_tcp,
        tells_reports: config.hep.is_some(),
        quality_interval_s: config.quality_interval_s,
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

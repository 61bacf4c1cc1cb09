//! Start and stop.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sip_proxy_core::{Listener, Proxy};
use sip_proxy_store::Store;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::admin::{AdminSocket, Question};
use crate::clock;
use crate::config::Settings;
use crate::driver::{Driver, Inputs};
use crate::listen::{self, Bound, ListenError};
use crate::media::MediaClient;
use crate::resolve::{self, Resolver};
use crate::store::{StoreWriter, load_accounts};
use crate::transport::tcp::{Connections, Limits};

/// Questions of operators that wait at most.
const QUESTIONS_MAX: usize = 16;

/// Beyond the longest registration, for a phone that refreshes late.
const IDLE_GRACE_S: u32 = 60;

/// How long a peer may take over one message: slow links need seconds, slow attackers hours.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(10);

/// How long tasks may take to end, once everything is written.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(1);

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The admin socket cannot be made.
    #[error("cannot make the admin socket {}: {source}. Is another tandem-sip-proxy running with these settings?", path.display())]
    Admin {
        /// Its path.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// The system refuses something that it never refuses.
    #[error("cannot set the daemon up: {0}")]
    Io(#[from] io::Error),
    /// Nothing can be received.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] sip_proxy_store::Error),
}

impl StartError {
    /// Whether a change of the settings is what helps.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Listen(_) | Self::Store(sip_proxy_store::Error::RealmDiffers { .. })
        )
    }
}

/// Runs the daemon until SIGINT or SIGTERM.
///
/// # Errors
/// If it cannot start; once it runs, it runs.
pub fn run(settings: &Settings) -> Result<(), StartError> {
    let runtime = runtime()?;
    let served = {
        let _within = runtime.enter();
        serve(settings)
    };
    runtime.shutdown_timeout(SHUTDOWN_DEADLINE);
    served
}

/// What connections, lookups and the admin socket run on: a thread that sleeps until one of them
/// has something to do. Datagrams do not go through it.
///
/// # Errors
/// If the system has no thread for it.
pub fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tasks")
        .enable_all()
        // Name lookups are all that blocks.
        .max_blocking_threads(resolve::CONCURRENT_MAX)
        .build()
}

fn serve(settings: &Settings) -> Result<(), StartError> {
    // Before anything else, so that a signal during the start is not lost.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Server::start(settings)?.run(async {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
        }
    });
    Ok(())
}

/// The daemon, ready to serve.
#[derive(Debug)]
pub struct Server {
    driver: Driver,
    listeners: Vec<Listener>,
    admin: AdminSocket,
    questions: mpsc::Sender<Question>,
}

impl Server {
    /// Opens the database and all sockets, and puts back what was registered before. Must be
    /// called within [`runtime()`], like [`Self::run`], but by no task of it.
    ///
    /// # Errors
    /// Each says its cure: see [`StartError`].
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let mut store = Store::open(&settings.database)?;
        store.check_realm(settings.realm())?;
        let bound = listen::bind(&settings.listen, settings.advertise)?;
        let listeners: Vec<Listener> = bound.iter().map(|it| it.listener.clone()).collect();
        let config = settings.proxy_config(listeners.clone(), store.secret()?);
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let driver = assemble(settings, store, bound, Proxy::new(config), asked)?;
        // Last, since its presence says that the daemon serves.
        let admin = bind_admin(&settings.admin_socket)?;
        for listener in &listeners {
            let transport = listen::name(listener.transport);
            tracing::info!(transport, address = %listener.address, advertised = ?listener.advertised, "listening");
        }
        Ok(Self {
            driver,
            listeners,
            admin,
            questions,
        })
    }

    /// Where SIP is received, after port 0 has become a real one.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Serves until `stop` is ready, then writes what is left to be written.
    pub fn run(self, stop: impl Future<Output = ()>) {
        let admin = tokio::spawn(self.admin.run(self.questions));
        let store = self.driver.run(stop);
        admin.abort();
        // Waits for the socket to be removed.
        let _ = runtime::Handle::current().block_on(admin);
        store.finish();
        tracing::info!("stopped");
    }
}

fn assemble(
    settings: &Settings,
    store: Store,
    bound: Vec<Bound>,
    proxy: Proxy,
    questions: mpsc::Receiver<Question>,
) -> Result<Driver, StartError> {
    let listeners: Vec<Listener> = bound.iter().map(|it| it.listener.clone()).collect();
    let accounts_version = store.accounts_version()?;
    let stored_accounts = load_accounts(&store, settings.realm())?;
    let bindings = store.bindings(clock::now().unix_ms, &listeners)?;
    let realm = settings.realm().to_owned();
    let (writer, accounts) = StoreWriter::start(store, listeners, realm, accounts_version)?;

    let (connections, tcp) = Connections::new(Limits {
        connections_max: settings.connections_max,
        message_deadline: MESSAGE_DEADLINE,
        idle_timeout: idle_timeout(settings),
    });
    let (resolver, resolved) = Resolver::new();
    let inputs = Inputs {
        tcp,
        resolved,
        accounts,
        questions,
    };
    let mut driver = Driver::new(proxy, bound, connections, resolver, writer, inputs)?;
    tracing::info!(
        accounts = stored_accounts.len(),
        registered = bindings.len(),
        "database read"
    );
    driver.set_accounts(stored_accounts);
    let now = clock::now();
    for (user, bindings) in bindings {
        driver
            .proxy_mut()
            .handle_stored_bindings(now, &user, bindings);
    }
    if let Some(control) = settings.control {
        let client = MediaClient::new(settings.control_timeout, random());
        driver.link_media(control, client)?;
    }
    Ok(driver)
}

fn bind_admin(path: &std::path::Path) -> Result<AdminSocket, StartError> {
    AdminSocket::bind(path).map_err(|source| StartError::Admin {
        path: path.to_owned(),
        source,
    })
}

fn idle_timeout(settings: &Settings) -> Duration {
    Duration::from_secs(u64::from(
        settings.limits.expires_max_s.saturating_add(IDLE_GRACE_S),
    ))
}

fn random() -> u64 {
    getrandom::u64().expect("the system has random numbers")
}

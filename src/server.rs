//! Server: the root of the tree, and `dockway serve` around it.
//!
//! It opens the database, starts the TunnelSupervisor and HTTP, and stops them in order: no new users, GOAWAY to the
//! agents, channels finish, sessions close, HTTP ends. The [`Root`] actor builds another TunnelSupervisor when one
//! panics, and publishes its address anew; after [`SUPERVISOR_RESTARTS`] of them within a minute the program ends with
//! an error, for its service manager to start it again.

use std::fs::{File, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, DataConfig, TunnelConfig};
use crate::http::{self, AppState};
use crate::identity::attempts::AttemptLimiter;
use crate::identity::first_start::{FIRST_ADMIN, ensure_admin};
use crate::identity::secret_key;
use crate::store::Store;
use crate::supervision::{Cause, ChildDown, Intensity, Restart};
use crate::tunnel::TunnelSupervisor;
use crate::tunnel::commands::{Drain, Ping};

/// A TunnelSupervisor is built again this often within [`SUPERVISOR_WINDOW`].
const SUPERVISOR_RESTARTS: usize = 3;
const SUPERVISOR_WINDOW: Duration = Duration::from_secs(60);
/// Connections that the kernel keeps for HTTP until they are accepted.
const BACKLOG: i32 = 1024;
/// Locked by the server that uses the data directory.
const LOCK_FILE: &str = "serve.lock";
/// Exit code for settings or a database that the server cannot work with.
const USAGE: u8 = 2;

/// Run the server until SIGTERM or SIGINT.
pub fn run(config: Config) -> ExitCode {
    let (store, _lock) = match prepare(&config.data) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&*error),
    };
    crate::limits::raise_descriptors();
    actix::System::new().block_on(async move {
        match serve(config, store).await {
            Ok(code) => code,
            Err(error) => refuse(&error),
        }
    })
}

/// What has to be there before the tree starts: the database, this server's claim on it, the key, an account.
fn prepare(data: &DataConfig) -> Result<(Store, File), Box<dyn std::error::Error>> {
    let store = Store::open(&data.database_url)?;
    let lock = claim(&data.data_dir)?;
    secret_key::ensure(&data.secret_key_file)?;
    if let Some(password) = ensure_admin(&store, data.admin_password.as_ref())? {
        eprintln!("first start: sign in as `{FIRST_ADMIN}` with the password {password}");
    }
    Ok((store, lock))
}

/// Two servers on one database would bind the same ports and store the same counters. The lock ends with the process.
fn claim(data_dir: &Path) -> io::Result<File> {
    let failed = |error| io::Error::other(format!("the data directory {} cannot be used: {error}", data_dir.display()));
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let lock = File::options().create(true).append(true).open(data_dir.join(LOCK_FILE)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other(format!("another server runs with the data directory {}", data_dir.display())))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(USAGE)
}

async fn serve(config: Config, store: Store) -> io::Result<ExitCode> {
    let address = config.http.listen;
    let listener = listen(address).map_err(|error| io::Error::other(format!("cannot listen on {address}: {error}")))?;
    let address = listener.local_addr()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let drain = config.tunnel.drain;
    let (tunnels, mut failed) = Root::start_tree(config.tunnel, store.clone());
    // Answered when the tunnels have been read from the database and listen.
    let _ = tunnels.borrow().clone().send(Ping).await;
    let state = AppState {
        store,
        tunnels: tunnels.clone(),
        attempts: AttemptLimiter::default().start(),
        agent_path: config.http.agent_path,
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let server = http::serve(listener, state, workers)?;
    let handle = server.handle();
    let http = actix_rt::spawn(server);
    tell_ready(address, config.http.public_url.as_deref());
    let code = tokio::select! {
        _ = terminate.recv() => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::SUCCESS,
        _ = failed.changed() => ExitCode::FAILURE,
    };
    if code == ExitCode::SUCCESS {
        tracing::info!(limit_s = drain.as_secs(), "stopping: open connections may finish");
        let supervisor = tunnels.borrow().clone();
        tokio::select! {
            _ = supervisor.send(Drain(drain)) => {}
            _ = terminate.recv() => tracing::warn!("told again to stop: connections are cut"),
            _ = interrupt.recv() => tracing::warn!("told again to stop: connections are cut"),
        }
    }
    handle.stop(code == ExitCode::SUCCESS).await;
    let _ = http.await;
    tracing::info!("stopped");
    Ok(code)
}

/// The ready line, on standard error whatever is logged.
fn tell_ready(address: SocketAddr, public_url: Option<&str>) {
    if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!(public_url, "listening on http://{address}");
    } else {
        eprintln!("listening on http://{address}");
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The tree's root. Started by [`run`]; ends with the program.
struct Root {
    config: TunnelConfig,
    store: Store,
    tunnels: watch::Sender<Addr<TunnelSupervisor>>,
    failed: watch::Sender<()>,
    intensity: Intensity,
}

impl Root {
    /// Start the tree. Returns the supervisor of the moment, and what changes when the tree cannot be mended.
    fn start_tree(
        config: TunnelConfig,
        store: Store,
    ) -> (watch::Receiver<Addr<TunnelSupervisor>>, watch::Receiver<()>) {
        let (failed, failure) = watch::channel(());
        let mut published = None;
        Self::create(|ctx| {
            let first = TunnelSupervisor::new(config.clone(), store.clone(), ctx.address().recipient()).start();
            let (tunnels, receiver) = watch::channel(first);
            published = Some(receiver);
            Self { config, store, tunnels, failed, intensity: Intensity::new(SUPERVISOR_RESTARTS, SUPERVISOR_WINDOW) }
        });
        // `create` calls its closure before it returns.
        (published.expect("the root was created"), failure)
    }
}

impl Actor for Root {
    type Context = Context<Self>;
}

impl Handler<ChildDown<()>> for Root {
    type Result = ();

    fn handle(&mut self, down: ChildDown<()>, ctx: &mut Self::Context) {
        // It never returns by itself: whatever ended it, the tunnels are needed.
        let cause = if down.cause == Cause::Returned { Cause::Failed("it ended".into()) } else { down.cause };
        match self.intensity.decide(&cause, Instant::now()) {
            Restart::Now | Restart::No => {
                tracing::error!(?cause, "the tunnels' supervisor ended: another is built from the database");
                let parent = ctx.address().recipient();
                let next = TunnelSupervisor::new(self.config.clone(), self.store.clone(), parent).start();
                self.tunnels.send_replace(next);
            }
            Restart::GiveUp => {
                tracing::error!(?cause, "the tunnels' supervisor ends again and again: giving up");
                self.failed.send_replace(());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

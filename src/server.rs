//! Server: the root of the tree, and `dockway serve` around it.
//!
//! It opens the database, starts the tree and HTTP, and stops them in order: no new users, GOAWAY to the agents,
//! channels finish, sessions close, HTTP ends. The [`Root`] actor builds another actor in the place of one that panics,
//! and publishes its address anew; when that happens again and again the program ends with an error, for its service
//! manager to start it again.

mod tree;

use std::fs::{File, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use self::tree::{Plan, Root};
use crate::config::{Config, DataConfig};
use crate::current::ask;
use crate::desktop::{self, engine::docker::DockerEngine};
use crate::http::{self, Settings};
use crate::identity::directory;
use crate::identity::first_start::{FIRST_ADMIN, ensure_admin};
use crate::store::{Store, containers};
use crate::tunnel::commands::{Drain, Ping};
use crate::vault::Vault;

/// Connections that the kernel keeps for HTTP until they are accepted.
const BACKLOG: i32 = 1024;
/// Locked by the server that uses the data directory.
const LOCK_FILE: &str = "serve.lock";
/// How long storing when desktops were last used may take at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Exit code for settings or a database that the server cannot work with.
const USAGE: u8 = 2;

/// Run the server until SIGTERM or SIGINT.
pub fn run(config: Config) -> ExitCode {
    let (store, vault, _lock) = match prepare(&config.data) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&*error),
    };
    crate::limits::raise_descriptors();
    actix::System::new().block_on(async move {
        match serve(config, store, vault).await {
            Ok(code) => code,
            Err(error) => refuse(&error),
        }
    })
}

/// What has to be there before the tree starts: the database, this server's claim on it, the key, an account.
fn prepare(data: &DataConfig) -> Result<(Store, Vault, File), Box<dyn std::error::Error>> {
    let store = Store::open(&data.database_url)?;
    let lock = claim(&data.data_dir)?;
    let vault = Vault::open(&data.secret_key_file, &store.run_now(containers::sealed)?)?;
    if let Some(password) = ensure_admin(&store, data.admin_password.as_ref())? {
        eprintln!("first start: sign in as `{FIRST_ADMIN}` with the password {password}");
    }
    Ok((store, vault, lock))
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

async fn serve(config: Config, store: Store, vault: Vault) -> io::Result<ExitCode> {
    let address = config.http.listen;
    let listener = listen(address).map_err(|error| io::Error::other(format!("cannot listen on {address}: {error}")))?;
    let address = listener.local_addr()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (drain, public_url) = (config.tunnel.drain, config.http.public_url.clone());
    let settings = Settings {
        agent_path: config.http.agent_path,
        public_url: config.http.public_url,
        trusted_proxies: config.http.trusted_proxies,
        limits: config.identity.limits,
        desktop_subnets: config.desktop.subnets,
    };
    let engine = DockerEngine::new(config.desktop.engine.as_deref())
        .map_err(|error| io::Error::other(format!("DOCKER_HOST: {error}")))?;
    if !config.identity.oidc.is_empty() && public_url.is_none() {
        tracing::warn!("sign-in providers need --public-url: without it they are told whatever Host a request names");
    }
    let plan = Plan {
        store,
        tunnel: config.tunnel,
        desktop: config.desktop,
        vault,
        engine: Arc::new(engine),
        identity: config.identity,
        http: settings,
    };
    let (state, mut failed) = Root::start_tree(plan);
    // Answered when the accounts and tunnels have been read from the database and the tunnels listen.
    let _ = state.tell(directory::Ping).await;
    let _ = state.ask(Ping).await;
    let _ = state.ask_desktops(desktop::commands::Ping).await;
    let (tunnels, desktops) = (state.tunnels.clone(), state.desktops.clone());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let server = http::serve(listener, state, workers)?;
    let handle = server.handle();
    let http = actix_rt::spawn(server);
    tell_ready(address, public_url.as_deref());
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
    // Desktops keep running: the next server adopts them.
    let _ = timeout(FLUSH_LIMIT, ask(&desktops, desktop::commands::Flush)).await;
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

#[cfg(test)]
pub(crate) mod tests;

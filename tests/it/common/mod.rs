//! What every test stands on: the real server and agent as processes, real programs, and plain sockets.

pub mod agent;
pub mod api;
pub mod browser;
pub mod chromium;
pub mod contained;
pub mod desk;
pub mod desktop;
pub mod docker;
pub mod event_stream;
pub mod mount;
pub mod nginx;
pub mod oidc;
pub mod own_engine;
pub mod postgres;
pub mod process;
pub mod raw_upstream;
pub mod raw_ws;
pub mod remote;
pub mod rfb;
pub mod rig;
pub mod rows;
pub mod server;
pub mod slow_way;
pub mod sockets;
pub mod sshd;
pub mod stream;
pub mod strict_upstream;
pub mod visitor;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use agent::Agent;
pub use api::Api;
pub use browser::Browser;
pub use nginx::Nginx;
pub use process::Process;
pub use remote::Remote;
pub use rig::{Rig, Tunnel};
pub use server::Server;
pub use sockets::{connect, is_refused, ping, read_end};

/// How long a state may take to appear on a busy machine before a test gives up.
pub const SOON: Duration = Duration::from_secs(15);

/// How often `wait_until` looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The interpreter that has Debian's `python3-websockets`; another one may come first in PATH.
pub const PYTHON: &str = "/usr/bin/python3";

/// Wait for a state that can only be asked for, and fail with `what` when it does not come within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    wait_for(what, limit, || is_so().then_some(()));
}

/// Wait until `look` finds something.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "{what}: not within {limit:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Tests that load both cores or measure take turns, so that they do not measure each other.
pub fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    HEAVY.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Where pictures and the like are kept for a person to look at.
pub fn artefacts() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../test-artefacts");
    std::fs::create_dir_all(&directory).expect("the artefact directory");
    directory
}

/// The middle value; of an even number, the upper one.
pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Make one test of a check for each version of the agent protocol.
macro_rules! both_protocols {
    ($($check:ident),+ $(,)?) => {$(
        mod $check {
            #[test]
            fn binary() {
                super::$check("binary");
            }

            #[test]
            fn json() {
                super::$check("json");
            }
        }
    )+};
}
pub(crate) use both_protocols;

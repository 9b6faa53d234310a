//! A PostgreSQL server in a temporary directory.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::output_of;
use super::sshd::free_port;
use super::{Process, SOON, wait_until};

pub struct Postgres {
    pub port: u16,
    process: Process,
    _directory: TempDir,
}

impl Postgres {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        if is_root() {
            output_of(Command::new("chown").arg("postgres").arg(directory.path()));
        }
        let data = directory.path().join("data");
        output_of(as_postgres("initdb").args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]).arg(&data));
        let port = free_port();
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-F"]);
        command.arg("-k").arg(directory.path());
        let process = Process::spawn("postgres", &mut command);
        wait_until("PostgreSQL answers", SOON, || try_psql(port, "select 1").is_ok());
        Self { port, process, _directory: directory }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown: the postmaster takes its children along.
        self.process.signal(Signal::QUIT);
        self.process.wait_exit(SOON);
    }
}

/// What `psql` prints for one statement on `port`.
pub fn psql(port: u16, statement: &str) -> String {
    try_psql(port, statement).unwrap_or_else(|said| panic!("psql: {said}"))
}

fn try_psql(port: u16, statement: &str) -> Result<String, String> {
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "-c", statement]);
    let output = command.env("PGCONNECT_TIMEOUT", "20").output().expect("psql starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// PostgreSQL refuses to run as root. `setpriv` replaces itself, so the child is the server.
fn as_postgres(program: &str) -> Command {
    let program = bin().join(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program).current_dir("/");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Debian keeps the server's programs out of PATH, in a directory for each version.
fn bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let directories = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    directories.filter(|bin| bin.join("initdb").exists()).max().expect("a PostgreSQL server is installed")
}

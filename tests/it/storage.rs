//! A database that cannot be used: a clear error at start, 503 later, and no half-made tunnel.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::mount::TinyDisk;
use crate::common::server::{admin, clean_environment, said};
use crate::common::sockets::is_free;
use crate::common::{PYTHON, Process, Rig, Server, ping};

fn create(server: &Server, port: u16) -> (u16, Value) {
    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22, "local_port": port,
                       "name": "n".repeat(100) });
    server.api().post("/api/proxy/create", &body)
}

#[test]
fn no_database_and_a_directory_that_is_not_writable() {
    let disk = TinyDisk::mount("64k");
    disk.make_read_only();
    assert_clear_failure(&serve(&disk.path().join("data")));
}

#[test]
fn database_that_is_not_writable() {
    let disk = TinyDisk::mount("8m");
    said(&admin(disk.path(), ["user", "add", "admin", "--role", "admin"]));
    disk.make_read_only();
    assert_clear_failure(&serve(disk.path()));
}

#[test]
fn database_that_is_none() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("dockway.db"), "this is a letter, not a database\n".repeat(500))
        .expect("a file");
    assert_clear_failure(&serve(directory.path()));
}

#[test]
fn no_room_for_a_database() {
    let disk = TinyDisk::mount("64k");
    disk.fill();
    assert_clear_failure(&serve(&disk.path().join("data")));
}

#[test]
fn second_server_on_one_data_directory() {
    let mut first = Server::setup().will_restart().start();
    let output = serve(first.data_dir());
    assert_clear_failure(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("another server"));
    first.kill9();
    first.restart();
}

#[test]
fn secret_key_that_is_none() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("secret.key"), "letmein").expect("a file");
    let output = serve(directory.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("secret.key"));
}

/// A server that should not come up; killed if it does.
fn serve(data_dir: &Path) -> Output {
    let mut command = Command::new("timeout");
    clean_environment(&mut command).args(["--signal=KILL", "30", env!("CARGO_BIN_EXE_dockway")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).output().expect("timeout starts")
}

fn assert_clear_failure(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}: {said}", output.status);
    assert!(!said.contains("panicked"), "{said}");
    assert!(!said.contains("listening on"), "{said}");
    assert!(said.to_lowercase().contains("data"), "the data directory or the database is not named: {said}");
}

#[test]
fn disk_is_full() {
    let disk = TinyDisk::mount("4m");
    let server = Server::setup().data_dir(disk.path().join("data")).start();
    server.enrol("pc1");
    disk.fill();
    // What the database's files already hold takes a few more rows.
    let (mut made, mut refused) = (0, None);
    for nth in 0..60 {
        let (status, answer) = create(&server, server.own_port(nth));
        match status {
            201 => made += 1,
            _ => {
                refused = Some((nth, status, answer));
                break;
            }
        }
    }
    let (nth, status, answer) = refused.expect("the disk is full");
    assert_eq!((status, &answer["code"]), (503, &json!("unavailable")), "{answer}");
    assert_eq!(server.api().items("/api/proxy").len(), made);
    assert!(is_free(server.own_port(nth)), "the port is left bound");
    disk.make_room();
    let (status, answer) = create(&server, server.own_port(nth));
    assert_eq!(status, 201, "{answer}");
    assert_eq!(server.api().items("/api/proxy").len(), made + 1);
}

#[test]
fn database_is_locked() {
    let echo = crate::common::Remote::echo();
    let rig = Rig::start("binary");
    let tunnel = rig.tunnel_to(echo.port);
    let port = rig.server.spare_port();
    let lock = Lock::take(&rig.server.data_dir().join("dockway.db"));
    let (status, answer) = create(&rig.server, port);
    assert_eq!((status, &answer["code"]), (503, &json!("unavailable")), "{answer}");
    assert!(is_free(port), "the port is left bound");
    ping(&mut tunnel.connect());
    lock.release();
    assert_eq!(rig.server.api().items("/api/proxy").len(), 1);
    let (status, answer) = create(&rig.server, port);
    assert_eq!(status, 201, "{answer}");
}

/// Another process that holds the database, and lets go when its standard input ends.
pub struct Lock {
    child: Child,
    stdin: ChildStdin,
}

impl Lock {
    pub fn take(database: &Path) -> Self {
        let script = "import sqlite3, sys\n\
                      held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)\n\
                      held.execute('BEGIN EXCLUSIVE')\n\
                      print('locked', flush=True)\n\
                      sys.stdin.read()\n";
        let mut command = Command::new(PYTHON);
        command.args(["-c", script]).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python starts");
        let stdin = child.stdin.take().expect("it was piped");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it was piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "locked\n");
        Self { child, stdin }
    }

    pub fn release(mut self) {
        drop(self.stdin);
        assert!(self.child.wait().expect("python ends").success());
    }
}

/// The first start makes the admin and the key by itself; the second changes nothing.
#[test]
fn first_start_prints_a_password_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    let first = log_of_a_start(&data_dir);
    let second = log_of_a_start(&data_dir);
    assert!(first.to_lowercase().contains("password"), "{first}");
    assert!(!second.to_lowercase().contains("password"), "{second}");
}

fn log_of_a_start(data_dir: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockway"));
    clean_environment(&mut command).args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
    let mut process = Process::spawn("server", &mut command);
    crate::common::wait_until("it listens", Duration::from_secs(30), || process.line_with("listening on").is_some());
    process.signal(rustix::process::Signal::TERM);
    assert!(process.wait_exit(Duration::from_secs(15)).success());
    process.log_text()
}

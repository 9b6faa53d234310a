//! An OpenSSH server with keys and a configuration of its own, and the client that knows them.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::process::output_of;
use super::sockets::{local, with_limits};
use super::{Process, SOON, wait_until};

pub struct Sshd {
    pub port: u16,
    directory: TempDir,
    _process: Process,
}

impl Sshd {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = directory.path();
        for key in ["host_key", "user_key"] {
            output_of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at.join(key)));
        }
        // sshd insists on it, and a container has no init that makes it.
        fs::create_dir_all("/run/sshd").expect("the directory of sshd's privilege separation");
        let port = free_port();
        fs::write(at.join("config"), configuration(at, port)).expect("the configuration");
        let mut command = Command::new("/usr/sbin/sshd");
        let process = Process::spawn("sshd", command.args(["-D", "-e", "-f"]).arg(at.join("config")));
        wait_until("sshd greets", SOON, || greets(port));
        Self { port, directory, _process: process }
    }

    /// `ssh` to `port`, running `remote` with `input` on its standard input; its standard output.
    pub fn ssh(&self, port: u16, remote: &str, input: &[u8]) -> Vec<u8> {
        let at = self.directory.path();
        let mut command = Command::new("ssh");
        command.args([
            "-F",
            "/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "LogLevel=ERROR",
        ]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", at.join("known_hosts").display()));
        command.arg("-i").arg(at.join("user_key")).args(["-p", &port.to_string()]);
        command.arg(format!("{}@127.0.0.1", own_name())).arg(remote);
        talk(&mut command, input)
    }
}

fn configuration(at: &Path, port: u16) -> String {
    let at = at.display();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/user_key.pub\n\
         StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n"
    )
}

fn greets(port: u16) -> bool {
    let Ok(stream) = std::net::TcpStream::connect(local(port)) else { return false };
    let mut greeting = [0; 4];
    with_limits(stream).read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
}

/// A port for a program that cannot be told to choose; nobody else holds it at this moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(local(0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn own_name() -> String {
    String::from_utf8(output_of(Command::new("id").arg("-un"))).expect("a name").trim().to_owned()
}

/// Run a program that reads `input` while it writes.
fn talk(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ssh");
    let mut to_child = child.stdin.take().expect("it was piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || to_child.write_all(input));
        child.wait_with_output().expect("ssh ends")
    });
    assert!(output.status.success(), "ssh failed: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

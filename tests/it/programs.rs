//! Programs that people run through a tunnel, unchanged.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::desktop::{Screen, Xrdp};
use crate::common::postgres::{Postgres, psql};
use crate::common::sshd::{Sshd, free_port};
use crate::common::stream::bytes_of;
use crate::common::{PYTHON, Process, Rig, SOON, artefacts, both_protocols, is_refused, wait_until};

both_protocols!(ssh, postgres, twenty_downloads, remote_desktop);

fn ssh(protocol: &str) {
    let sshd = Sshd::start();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(sshd.port);
    assert_eq!(sshd.ssh(tunnel.port, "echo hello", b""), b"hello\n");
    let megabyte = bytes_of(1, 1 << 20);
    assert!(sshd.ssh(tunnel.port, "cat", &megabyte) == megabyte, "what came back differs");
}

fn postgres(protocol: &str) {
    let postgres = Postgres::start();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(postgres.port);
    assert_eq!(psql(tunnel.port, "select 6 * 7"), "42");
    let long = psql(tunnel.port, "select repeat('dockway ', 500000)");
    assert_eq!(long, "dockway ".repeat(500_000).trim_end());
}

fn twenty_downloads(protocol: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = bytes_of(2, 3_000_000);
    std::fs::write(directory.path().join("file"), &file).expect("the file");
    let port = free_port();
    let mut command = Command::new(PYTHON);
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(directory.path());
    let _web = Process::spawn("http.server", &mut command);
    wait_until("the web server listens", SOON, || !is_refused(port));

    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(port);
    let downloads: Vec<_> = (0..20).map(|_| download(tunnel.port)).collect();
    for child in downloads {
        let output = child.wait_with_output().expect("curl ends");
        assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == file, "a download differs");
    }
    assert_eq!(tunnel.number("connections_total"), 20);
}

fn download(port: u16) -> Child {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "--max-time", "60", &format!("http://127.0.0.1:{port}/file")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl starts")
}

fn remote_desktop(protocol: &str) {
    let xrdp = Xrdp::start();
    let screen = Screen::start();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(xrdp.port);
    let _freerdp = screen.freerdp(tunnel.port);
    let file = artefacts().join(if protocol == "binary" { "rdp-login.png" } else { "rdp-login-json.png" });
    screen.wait_picture(&file, Duration::from_secs(30));
    assert!(tunnel.number("bytes_out") > 10_000, "the picture came through the tunnel");
}

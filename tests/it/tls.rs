//! An agent that reaches its server through a TLS proxy: https, with a certificate authority of the operator's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::common::server::clean_environment;
use crate::common::{Process, Remote, SOON, Server, ping, wait_until};

const SIGN: &str = "
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=Test CA'
    openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost
    printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > extensions
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem
    cat key.pem cert.pem > both.pem
";

pub fn certificates() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let made = Command::new("sh").args(["-ec", SIGN]).current_dir(directory.path()).output().expect("sh starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    directory
}

fn tls_proxy(server: &Server, certificate: &Path) -> (Process, u16) {
    let port = server.spare_port();
    let listen = format!("OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,verify=0,cert={}", certificate.display());
    let to = format!("TCP:127.0.0.1:{}", server.port);
    let proxy = Process::spawn("TLS proxy", Command::new("socat").args([listen, to]));
    wait_until("the TLS proxy listens", SOON, || !crate::common::sockets::is_free(port));
    (proxy, port)
}

fn agent(port: u16, token_file: &PathBuf, extra: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockway"));
    clean_environment(&mut command).args(["agent", "--client-id", "pc1", "--server"]);
    command.arg(format!("https://localhost:{port}")).arg("--token-file").arg(token_file).args(extra);
    Process::spawn("agent", &mut command)
}

#[test]
fn agent_behind_a_tls_proxy() {
    let (server, echo, files) = (Server::start(), Remote::echo(), certificates());
    let (_proxy, port) = tls_proxy(&server, &files.path().join("both.pem"));
    let token_file = files.path().join("token");
    std::fs::write(&token_file, server.enrol("pc1")).expect("the token file");

    let strange = agent(port, &token_file, &[]);
    wait_until("the log says why", SOON, || strange.line_with("UnknownIssuer").is_some());
    drop(strange);

    let authority = files.path().join("ca.pem");
    let _agent = agent(port, &token_file, &["--ca-file", authority.to_str().expect("a plain path")]);
    wait_until("the agent is online", SOON, || server.api().get("/api/agents/pc1").1["online"] == true);
    let mut user = server.create_tunnel("pc1", echo.port).connect();
    for _ in 0..100 {
        ping(&mut user);
    }
}

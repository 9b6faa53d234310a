//! nginx as a process, with `deploy/nginx.conf` as it is but for ports, certificate and upstream.

use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::sockets::is_free;
use super::{Process, SOON, Server, wait_until};

const PROGRAM: &str = "/usr/sbin/nginx";
const SHIPPED: &str = include_str!("../../../deploy/nginx.conf");

/// Around the file that is shipped: what a distribution's nginx.conf gives, with every file in one directory.
const AROUND: &str = "
daemon off;
pid nginx.pid;
error_log stderr info;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include dockway.conf;
}
";

/// Fields drop in this order: whoever connects to nginx goes first.
pub struct Nginx {
    /// A port that speaks plainly and adds TLS on the way to nginx, for clients that know no TLS.
    pub plain: u16,
    /// Where nginx speaks HTTPS, with a certificate for `localhost`.
    pub https: u16,
    /// Where it leads from HTTP to HTTPS.
    pub http: u16,
    _tls_client: Process,
    process: Process,
    files: TempDir,
}

impl Nginx {
    /// In front of a server, on ports from the end of the server's range.
    pub fn before(server: &Server) -> Self {
        Self::start(server.port, server)
    }

    /// In front of whatever listens on `upstream`; `lends` has nothing to do with it but its ports.
    pub fn start(upstream: u16, lends: &Server) -> Self {
        let (plain, https, http) = (lends.own_port(60), lends.own_port(61), lends.own_port(62));
        let files = crate::tls::certificates();
        let user = if geteuid().is_root() { "user root;" } else { "" };
        write(files.path(), "nginx.conf", &format!("{user}{AROUND}"));
        write(files.path(), "dockway.conf", &adapted(upstream, https, http));
        let mut command = Command::new(PROGRAM);
        command.arg("-p").arg(files.path()).arg("-c").arg(files.path().join("nginx.conf")).args(["-e", "stderr"]);
        let process = Process::spawn("nginx", &mut command);
        let tls_client = tls_client(plain, https, &files);
        let nginx = Self { plain, https, http, _tls_client: tls_client, process, files };
        wait_until("nginx and the TLS client listen", SOON, || [plain, https, http].into_iter().all(|p| !is_free(p)));
        nginx
    }

    /// The certificate of the authority that signed its own.
    pub fn authority(&self) -> String {
        self.files.path().join("ca.pem").to_str().expect("a plain path").to_owned()
    }

    /// What it says about its files that it need not say.
    pub fn complaint(&self) -> Option<String> {
        self.process.line_with("[warn]").or_else(|| self.process.line_with("[emerg]"))
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https)
    }

    /// curl, which trusts the authority; it comes from 127.0.0.2 and has no settings of whoever runs the tests.
    pub fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command.args(["-q", "-sS", "-i", "--ipv4", "--noproxy", "*", "--max-time", "60", "--interface", "127.0.0.2"]);
        command.args(["--cacert", &self.authority()]);
        command
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers would outlive a master that is killed.
        if self.process.is_running() {
            self.process.signal(Signal::TERM);
            self.process.wait_exit(SOON);
        }
    }
}

fn tls_client(port: u16, https: u16, files: &TempDir) -> Process {
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,nodelay");
    let authority = files.path().join("ca.pem");
    let to = format!("OPENSSL:127.0.0.1:{https},nodelay,commonname=localhost,cafile={}", authority.display());
    Process::spawn("TLS client", Command::new("socat").args([listen, to]))
}

/// The shipped file with this test's ports and certificate. IPv6 is left out: not every machine has it.
fn adapted(upstream: u16, https: u16, http: u16) -> String {
    let lines = SHIPPED.lines().filter(|line| !line.contains("listen [::]"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let replaced = [
        ("    server 127.0.0.1:8080;", format!("    server 127.0.0.1:{upstream};")),
        ("    listen 80;", format!("    listen 127.0.0.1:{http};")),
        ("    listen 443 ssl", format!("    listen 127.0.0.1:{https} ssl")),
        ("/etc/ssl/dockway.pem;", "cert.pem;".to_owned()),
        ("/etc/ssl/dockway.key;", "key.pem;".to_owned()),
    ];
    replaced.into_iter().fold(text, |text, (shipped, here)| {
        assert_eq!(text.matches(shipped).count(), 1, "deploy/nginx.conf has not one `{shipped}`");
        text.replace(shipped, &here)
    })
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("a file for nginx");
}

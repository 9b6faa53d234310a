//! `dockway serve` in a container of its own, as deploy/compose.yaml runs it: the engine's socket, no rights, a volume.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid};
use serde_json::Value;
use tempfile::TempDir;

use super::docker::{Estate, docker, inspect, next_block};
use super::server::{admin, clean_environment, said};
use super::{Api, SOON, wait_until};

const SOCKET: &str = "/var/run/docker.sock";
/// It has all that the program is linked with.
const IMAGE: &str = "dockway/debian-desktop:1";
/// Where it listens inside.
pub const PORT: u16 = 8080;

pub struct Contained {
    /// On 127.0.0.1, where the server's port is published.
    pub port: u16,
    /// Of the server's container, and of its network.
    pub name: String,
    subnets: String,
    token: String,
    estate: Estate,
    files: TempDir,
}

impl Contained {
    pub fn start() -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let data_dir = files.path().join("data");
        std::fs::create_dir(&data_dir).expect("a directory");
        said(&admin(&data_dir, ["user", "add", "admin", "--role", "admin"]));
        let token = said(&admin(&data_dir, ["token", "create", "--user", "admin", "--name", "test"]));
        let (port, subnets) = next_block();
        // By name behind `dockway`: the desktops' networks must not become the way out.
        let name = format!("server-in-a-container-{}-{port}", std::process::id());
        docker(["network", "create", &name]);
        let server = Self { port, name, subnets, token, estate: Estate::of(&data_dir), files };
        server.run();
        wait_until("the server answers", SOON, || server.answers());
        server
    }

    fn data_dir(&self) -> PathBuf {
        self.files.path().join("data")
    }

    /// Start it in a new container.
    pub fn run(&self) {
        let group = std::fs::metadata(SOCKET).expect("the engine's socket").gid().to_string();
        let user = format!("{}:{}", geteuid().as_raw(), getegid().as_raw());
        let published = format!("127.0.0.1:{}:{PORT}", self.port);
        let program = format!("{}:/usr/local/bin/dockway:ro", env!("CARGO_BIN_EXE_dockway"));
        let (socket, data) = (format!("{SOCKET}:{SOCKET}"), format!("{}:/data", self.data_dir().display()));
        let listen = format!("0.0.0.0:{PORT}");
        let container = ["run", "-d", "--name", &self.name, "--network", &self.name, "-p", &published];
        let rights = ["--user", &user, "--group-add", &group, "--cap-drop", "ALL", "--sysctl", "net.ipv4.ip_forward=0"];
        let files = ["--security-opt", "no-new-privileges", "-v", &program, "-v", &socket, "-v", &data];
        let server = ["--entrypoint", "dockway", IMAGE, "serve", "--listen", &listen, "--data-dir", "/data"];
        let settings = ["--tunnel-ports", "10000-10009", "--desktop-reach", "network", "--desktop-subnets"];
        let all = container.iter().chain(&rights).chain(&files).chain(&server).chain(&settings);
        docker(all.copied().chain([self.subnets.as_str()]));
    }

    pub fn answers(&self) -> bool {
        self.api().try_send("GET", "/healthz", None).is_ok_and(|answer| answer.status == 200)
    }

    pub fn api(&self) -> Api {
        Api::new(self.port, Some(&self.token))
    }

    /// An account, and a token of it.
    pub fn user(&self, username: &str) -> Api {
        said(&admin(&self.data_dir(), ["user", "add", username]));
        let token = said(&admin(&self.data_dir(), ["token", "create", "--user", username, "--name", "test"]));
        let api = self.api().with_token(Some(&token));
        wait_until("the server notices the token", SOON, || api.get("/api/me").0 == 200);
        api
    }

    /// What the engine has of this server's desktops.
    pub fn estate(&self) -> &Estate {
        &self.estate
    }

    pub fn log(&self) -> String {
        let output = self.client().args(["logs", &self.name]).output().expect("docker starts");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn client(&self) -> Command {
        let mut command = Command::new("docker");
        clean_environment(&mut command).stdin(Stdio::null());
        command
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}--- end ---", self.name, self.log());
        }
        for rest in [&["rm", "-f", "-v"][..], &["network", "rm"]] {
            let _ = self.client().args(rest).arg(&self.name).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// The addresses of a container, by network.
pub fn addresses(container: &str) -> BTreeMap<String, String> {
    let inspected = inspect(container).expect("a container");
    let networks = inspected["NetworkSettings"]["Networks"].as_object().expect("networks").clone();
    let address = |(name, network): (String, Value)| {
        let address = network["IPAddress"].as_str().expect("an address").to_owned();
        (name, address)
    };
    networks.into_iter().map(address).collect()
}

//! A server with desktops on the real engine, and what the engine itself says of them.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use dockway::store::models::ContainerRow;
use dockway::store::{Connection, Store, StoreError, containers};
use serde_json::{Value, json};

use super::server::Setup;
use super::{Api, Server, wait_for};
use crate::engine::bench::{Bench, IMAGE};

/// The type that the tests launch.
pub const TYPE: &str = "debian-desktop";
/// The command of a web application that is ready at once.
pub const LIGHT: &str = "mkdir -p /tmp/www; echo light > /tmp/www/index.html; echo serving; trap 'exit 0' TERM; \
    httpd -f -p 8000 -h /tmp/www & wait";
/// How long a desktop may take on a busy machine until it is ready.
pub const READY_WITHIN: Duration = Duration::from_secs(90);

/// Each server of a run has so many desktop ports, and a /24 of subnets.
const PORTS_EACH: u16 = 20;
const FIRST_PORT: u16 = 7000;
const BLOCKS: u16 = 120;

/// A server whose containers, networks and volumes go with it.
pub struct Desktops {
    server: Server,
    /// After the server, which would find its desktops gone.
    _estate: Estate,
}

impl Deref for Desktops {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Desktops {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// The nth block of ports and its subnets.
pub fn next_block() -> (u16, String) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed) % BLOCKS;
    (FIRST_PORT + nth * PORTS_EACH, format!("10.213.{nth}.0/24"))
}

impl Desktops {
    pub fn start() -> Self {
        Self::from_setup(Server::setup())
    }

    pub fn from_setup(setup: Setup) -> Self {
        let (first, subnets) = next_block();
        Self::on_ports(setup, &format!("{first}-{}", first + PORTS_EACH - 1), &subnets)
    }

    pub fn on_ports(setup: Setup, ports: &str, subnets: &str) -> Self {
        let server = setup.will_restart().args(["--desktop-ports", ports, "--desktop-subnets", subnets]).start();
        let estate = Estate::of(server.data_dir());
        Self { server, _estate: estate }
    }

    /// The id that labels what is this server's.
    pub fn installation(&self) -> &str {
        &self._estate.installation
    }

    /// Everything of a kind that carries this server's label.
    pub fn all(&self, kind: Kind) -> Vec<String> {
        self._estate.all(kind)
    }

    /// Look into the database.
    pub fn read<T>(&self, look: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> T {
        let url = format!("sqlite://{}", self.server.data_dir().join("dockway.db").display());
        Store::open(&url).and_then(|store| store.run_now(look)).expect("the server's database")
    }

    /// A desktop as it is stored.
    pub fn row(&self, id: &str) -> ContainerRow {
        self.read(|c| containers::find(c, id)).expect("its row")
    }

    /// Add a type, a web application of the small image that is ready at once, but for these fields.
    pub fn add_light_type(&self, name: &str, changes: Value) {
        // It makes the image, if nobody has yet.
        drop(Bench::docker());
        let mut body = json!({ "name": name, "label": name, "image": IMAGE, "kind": "web", "port": 8000, "scheme": "http",
            "command": ["sh", "-c", LIGHT], "home_path": "/home/me", "memory_bytes": 64 << 20, "pids": 64 });
        body.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        let (status, answer) = self.api().post("/api/desktop-types", &body);
        assert_eq!(status, 201, "{answer}");
    }

    /// Neither the engine nor the row has anything of a desktop.
    pub fn assert_nothing_left(&self, id: &str) {
        assert_eq!((self.all(Kind::Container).len(), self.all(Kind::Network).len()), (0, 0));
        let row = self.row(id);
        assert_eq!((row.container_id, row.host_port, row.subnet, row.password), (None, None, None, None));
    }

    /// Launch a desktop of this type for whoever this is, and wait until it is ready.
    pub fn launch(&self, api: &Api, desktop_type: &str) -> Value {
        let (status, desktop) = api.post("/api/desktops", &json!({ "desktop_type": desktop_type }));
        assert_eq!(status, 202, "{desktop}");
        until(api, id_of(&desktop), "ready")
    }
}

/// What the engine has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Container,
    Network,
    Volume,
}

/// What carries an installation's label, by name.
fn labelled(kind: Kind, installation: &str) -> Vec<String> {
    let filter = format!("label=dockway.installation={installation}");
    let listed = match kind {
        Kind::Container => docker(["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]),
        Kind::Network => docker(["network", "ls", "--filter", &filter, "--format", "{{.Name}}"]),
        Kind::Volume => docker(["volume", "ls", "--filter", &filter, "--format", "{{.Name}}"]),
    };
    listed.lines().map(str::to_owned).collect()
}

/// Removes what carries an installation's label.
pub struct Estate {
    installation: String,
}

impl Estate {
    /// Of the server with this data directory.
    pub fn of(data_dir: &Path) -> Self {
        let url = format!("sqlite://{}", data_dir.join("dockway.db").display());
        let installation = Store::open(&url).expect("the server's database").installation_id().to_owned();
        Self { installation }
    }

    /// Everything of a kind, by name.
    pub fn all(&self, kind: Kind) -> Vec<String> {
        labelled(kind, &self.installation)
    }
}

impl Drop for Estate {
    fn drop(&mut self) {
        for (kind, remove) in [
            (Kind::Container, &["rm", "-f", "-v"][..]),
            (Kind::Network, &["network", "rm"]),
            (Kind::Volume, &["volume", "rm", "-f"]),
        ] {
            let names = labelled(kind, &self.installation);
            if !names.is_empty() {
                let _ = command(remove).args(&names).status();
            }
        }
    }
}

fn command<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("docker");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Run a command of the engine's that must work; what it printed.
pub fn docker<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    let output = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("docker starts");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// Run something in a container: whether it went well, and what it printed on both streams.
pub fn exec(container: &str, line: &str) -> (bool, String) {
    let output = command(["exec", container, "sh", "-c", line])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .expect("docker starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

/// What the engine knows of a container, or of nothing that there is.
pub fn inspect(container: &str) -> Option<Value> {
    let output = command(["inspect", container]).stdout(Stdio::piped()).output().expect("docker starts");
    let all: Value = serde_json::from_slice(&output.stdout).ok()?;
    all.get(0).cloned()
}

pub fn id_of(desktop: &Value) -> &str {
    desktop["id"].as_str().unwrap_or_else(|| panic!("no id in {desktop}"))
}

/// How many connections to a desktop are counted now.
pub fn connections(api: &Api, desktop: &Value) -> u64 {
    let (_, shown) = api.get(&format!("/api/desktops/{}", id_of(desktop)));
    shown["connections"].as_u64().unwrap_or_else(|| panic!("no number in {shown}"))
}

/// The name of a desktop's container: the one that carries its label.
pub fn container_of(desktop: &Value) -> String {
    let filter = format!("label=dockway.desktop={}", id_of(desktop));
    docker(["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"])
}

/// Wait until a desktop has this status. One that fails instead shows why.
pub fn until(api: &Api, id: &str, status: &str) -> Value {
    until_within(api, id, status, READY_WITHIN)
}

pub fn until_within(api: &Api, id: &str, status: &str, limit: Duration) -> Value {
    wait_for(&format!("the desktop is {status}"), limit, || {
        let (code, desktop) = api.get(&format!("/api/desktops/{id}"));
        assert_eq!(code, 200, "{desktop}");
        let failed = desktop["status"] == "failed" && status != "failed";
        assert!(!failed, "it failed: {}", desktop["reason"]);
        (desktop["status"] == status).then_some(desktop)
    })
}

//! An installation of its own on an engine: its labels, its part of the addresses, and nothing left of it at the end.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use dockway::desktop::engine::docker::DockerEngine;
use dockway::desktop::engine::{
    ContainerSpec, Engine, EngineError, EngineEvent, Happening, Home, LABEL_DESKTOP, LABEL_INSTALLATION, NetworkSpec,
    Publish,
};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::timeout;

use crate::common::{SOON, wait_for};

/// Busybox and links to it, made here.
pub const IMAGE: &str = "dockway-test/engine:1";

/// The image's web server says this at `/`, and that it runs in its log.
pub const GREETING: &str = "dockway was here";
pub const SERVE: &str = "mkdir -p /tmp/www; echo dockway was here > /tmp/www/index.html; echo serving; \
    trap 'exit 3' TERM; httpd -f -p 80 -h /tmp/www & wait";

/// The id of the desktop that everything here belongs to.
pub const DESKTOP: &str = "5d0";

pub struct Bench {
    pub engine: DockerEngine,
    pub installation: String,
    pub network: NetworkSpec,
    /// `DOCKER_HOST` for the command line.
    host: Option<String>,
}

impl Bench {
    /// On this machine's Docker.
    pub fn docker() -> Self {
        static IMPORTED: OnceLock<()> = OnceLock::new();
        let bench = Self::on(None);
        IMPORTED.get_or_init(|| bench.import_image());
        bench
    }

    pub fn on(host: Option<String>) -> Self {
        let mut random = [0; 6];
        getrandom::fill(&mut random).expect("the system has random numbers");
        let installation = random.map(|byte| format!("{byte:02x}")).concat();
        let engine = DockerEngine::at(host.as_deref(), None).expect("the address is right");
        let subnet = format!("10.214.{}.{}/28", random[0], random[1] & 0xf0).parse().expect("a network");
        let network = NetworkSpec { name: format!("dockway-it-{installation}"), subnet, labels: labels(&installation) };
        Self { engine, installation, network, host }
    }

    /// Run the `docker` command against this engine.
    pub fn try_cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(arguments).env_remove("DOCKER_HOST");
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command.output().expect("docker is installed")
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = self.try_cli(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {told}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn import_image(&self) {
        if self.try_cli(&["image", "inspect", IMAGE]).status.success() {
            return;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (root, archive) = (directory.path().join("root"), directory.path().join("root.tar"));
        fs::create_dir_all(root.join("bin")).expect("a directory");
        for name in ["tmp", "proc", "dev", "usr"] {
            fs::create_dir(root.join(name)).expect("a directory");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        for name in ["sh", "httpd", "sleep", "cat", "mkdir", "tail", "dd", "id", "touch"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("a link");
        }
        // For programs of this machine, run with its /usr.
        for name in ["lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).expect("a link");
        }
        let packed = Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&root).arg(".").status();
        assert!(packed.expect("tar is there").success());
        self.cli(&["import", archive.to_str().expect("a plain path"), IMAGE]);
    }

    pub fn labels(&self) -> Vec<(String, String)> {
        labels(&self.installation)
    }

    /// A container of this installation that runs `script`, named after it and `suffix`.
    pub fn spec(&self, suffix: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            name: format!("dockway-it-{}-{suffix}", self.installation),
            image: IMAGE.to_owned(),
            command: Some(["sh", "-c", script].map(str::to_owned).into()),
            env: vec![],
            labels: self.labels(),
            hostname: "bench".to_owned(),
            network: self.network.name.clone(),
            publish: None,
            home: None,
            shm_bytes: None,
            cpus: None,
            memory_bytes: None,
            pids: None,
            cap_add: vec![],
            no_new_privileges: true,
            seccomp: None,
            extra_hosts: vec![],
        }
    }

    pub fn home(&self) -> Home {
        Home { volume: format!("dockway-it-{}", self.installation), path: "/home/me".into(), labels: self.labels() }
    }

    /// Make and start a container.
    pub async fn run(&self, spec: &ContainerSpec) -> String {
        let id = self.engine.create(spec).await.expect("it is made").container_id;
        self.engine.start(&id).await.expect("it starts");
        id
    }

    /// The events from here on.
    pub fn happenings(&self) -> Happenings<'_> {
        Happenings(self.engine.events(&self.installation))
    }

    /// What carries the installation's label goes.
    pub fn clear(&self) {
        self.remove_all(&["ps", "-a"], &["rm", "-f", "-v"]);
        self.remove_all(&["network", "ls"], &["network", "rm"]);
        self.remove_all(&["volume", "ls"], &["volume", "rm", "-f"]);
    }

    fn remove_all(&self, kind: &[&str], remove: &[&str]) {
        let filter = format!("label={LABEL_INSTALLATION}={}", self.installation);
        let list = [kind, &["-q", "--filter", &filter]].concat();
        let found = self.try_cli(&list).stdout;
        for id in String::from_utf8_lossy(&found).split_whitespace() {
            self.try_cli(&[remove, &[id]].concat());
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.clear();
    }
}

pub struct Happenings<'a>(pub BoxStream<'a, Result<EngineEvent, EngineError>>);

impl Happenings<'_> {
    pub async fn next(&mut self) -> EngineEvent {
        let next = timeout(SOON, self.0.next()).await.expect("an event in time");
        next.expect("the stream goes on").expect("an event")
    }

    /// What happens up to and including `last`, all to this container.
    pub async fn until(&mut self, container: &str, last: impl Fn(&Happening) -> bool) -> Vec<Happening> {
        let mut all = vec![];
        loop {
            let event = self.next().await;
            assert_eq!((event.container_id.as_str(), event.desktop_id.as_str()), (container, DESKTOP));
            all.push(event.what);
            if all.last().is_some_and(&last) {
                return all;
            }
        }
    }
}

fn labels(installation: &str) -> Vec<(String, String)> {
    let labels = [(LABEL_INSTALLATION, installation), (LABEL_DESKTOP, DESKTOP)];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// On 127.0.0.1, at a port that is free now.
pub fn publish() -> Publish {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let host_port = listener.local_addr().expect("an address").port();
    Publish { address: IpAddr::V4(Ipv4Addr::LOCALHOST), host_port, container_port: 80 }
}

/// What the web server in a container says.
pub fn fetch(address: IpAddr, port: u16) -> String {
    wait_for("the web server answers", SOON, || {
        let mut stream = TcpStream::connect_timeout(&(address, port).into(), Duration::from_secs(1)).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("200 OK").then_some(answer)
    })
}

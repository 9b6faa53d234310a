//! An engine of a test's own, which it may stop and start: nothing of it touches the machine's.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::docker::next_block;
use super::process::Process;
use super::wait_until;

/// How long an engine may take to answer, or to end with its containers.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct OwnEngine {
    directory: TempDir,
    /// Without one of its own the engine would remove that of the machine's.
    bridge: String,
    process: Option<Process>,
}

impl OwnEngine {
    /// One that does not run yet.
    pub fn new() -> Self {
        // Where overlay2 works: below /tmp there may be a file system that it does not take.
        let directory = tempfile::Builder::new().prefix("dockway-engine.").tempdir_in("/var/tmp").expect("a directory");
        let bridge = format!("dwt{}", std::process::id());
        let (_, subnets) = next_block();
        let address = subnets.replace("10.213.", "10.212.").replace(".0/24", ".1/24");
        ip(&["link", "add", &bridge, "type", "bridge"]);
        ip(&["addr", "add", &address, "dev", &bridge]);
        ip(&["link", "set", &bridge, "up"]);
        Self { directory, bridge, process: None }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("engine.sock")
    }

    /// For `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn start(&mut self) {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        std::fs::write(path("daemon.json"), "{}").expect("settings of its own");
        let mut command = Command::new("dockerd");
        command
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--host", &self.host(), "--bridge", &self.bridge, "--iptables=false", "--ip-masq=false"])
            .args(["--config-file", &path("daemon.json"), "--log-level", "warn"])
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null());
        self.process = Some(Process::spawn("dockerd", &mut command));
        wait_until("the engine answers", PATIENCE, || self.answers());
    }

    fn answers(&self) -> bool {
        self.docker(["version"]).status().is_ok_and(|status| status.success())
    }

    /// Stop it as its service manager would: its containers end.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::TERM);
        process.wait_exit(PATIENCE);
    }

    /// A command of the client to this engine.
    pub fn docker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Give it an image that the machine's engine has.
    pub fn take_image(&self, image: &str) {
        let mut save =
            Command::new("docker").args(["save", image]).stdout(Stdio::piped()).spawn().expect("docker save");
        let from = save.stdout.take().expect("its output");
        assert!(self.docker(["load"]).stdin(from).status().expect("docker load").success());
        assert!(save.wait().expect("docker save").success());
    }

    /// The names of all containers that run.
    pub fn running(&self) -> Vec<String> {
        let output = self.docker(["ps", "--format", "{{.Names}}"]).stdout(Stdio::piped()).output().expect("docker ps");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if self.process.is_some() {
            let names = self.running();
            if !names.is_empty() {
                let _ = self.docker(["rm", "-f", "-v"]).args(&names).status();
            }
            self.stop();
        }
        ip(&["link", "delete", &self.bridge]);
        // What the engine mounted below its directory would keep it from being removed.
        let _ = Command::new("sh")
            .arg("-c")
            .arg("awk -v d=\"$0/\" 'index($2, d) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l")
            .arg(self.directory.path())
            .status();
    }
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).stdin(Stdio::null()).status().expect("ip starts");
    assert!(status.success() || std::thread::panicking(), "ip {args:?}");
}

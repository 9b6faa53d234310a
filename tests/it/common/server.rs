//! `dockway serve` as a process with a data directory of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, raise_descriptor_limit};
use super::{Api, Tunnel, wait_for};

/// Each server of a run gets so many ports of its own below the system's ephemeral range.
const PORTS_EACH: u16 = 64;
const FIRST_PORT: u16 = 10_000;
const BLOCKS: u16 = (32_000 - FIRST_PORT) / PORTS_EACH;

/// A running server takes up what the command line changed within so long.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// How a server is started.
#[derive(Default)]
pub struct Setup {
    extra: Vec<String>,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
    /// In place of 127.0.0.1.
    address: Option<String>,
    data_dir: Option<PathBuf>,
    tunnel_ports: Option<String>,
    stays_on_port: bool,
}

impl Setup {
    /// Further arguments of `serve`.
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.extra.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// A variable of the server's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A program that `exec`s the server, such as `prlimit`.
    pub fn under<S: AsRef<str>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Self {
        self.wrapper.extend(wrapper.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(directory.into());
        self
    }

    /// In place of the block of ports that no other server of this run uses.
    pub fn tunnel_ports(mut self, range: &str) -> Self {
        self.tunnel_ports = Some(range.to_owned());
        self
    }

    /// Listen on a port outside the ephemeral range, so that nobody takes it between a stop and the next start.
    pub fn will_restart(mut self) -> Self {
        self.stays_on_port = true;
        self
    }

    pub fn start(self) -> Server {
        Server::from_setup(self)
    }
}

pub struct Server {
    process: Process,
    setup: Setup,
    block: u16,
    pub port: u16,
    /// An admin's API token.
    pub token: String,
    /// The password of that admin, `admin`.
    pub password: String,
    data_dir: PathBuf,
    _temporary: TempDir,
}

impl Server {
    pub fn start() -> Self {
        Setup::default().start()
    }

    pub fn setup() -> Setup {
        Setup::default()
    }

    fn from_setup(mut setup: Setup) -> Self {
        raise_descriptor_limit();
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let data_dir = setup.data_dir.clone().unwrap_or_else(|| temporary.path().join("data"));
        let block = next_block();
        let last = block + PORTS_EACH - 1;
        setup.tunnel_ports.get_or_insert_with(|| format!("{}-{last}", block + 1));
        let password = said(&admin(&data_dir, ["user", "add", "admin", "--role", "admin"]));
        let token = said(&admin(&data_dir, ["token", "create", "--user", "admin", "--name", "test"]));
        let listen = if setup.stays_on_port { block } else { 0 };
        let (process, port) = launch(&setup, &data_dir, listen);
        Self { process, setup, block, port, token, password, data_dir, _temporary: temporary }
    }

    pub fn api(&self) -> Api {
        Api::new(self.port, Some(&self.token))
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.process.log_text()
    }

    /// The nth port of the range that this server alone gives to tunnels, from 0.
    pub fn own_port(&self, nth: u16) -> u16 {
        assert!(nth < PORTS_EACH - 1);
        self.block + 1 + nth
    }

    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Stop, and start again on the same port of another address of this machine.
    pub fn restart_on(&mut self, address: &str) {
        assert!(self.terminate(Duration::from_secs(30)).success());
        self.setup.address = Some(address.to_owned());
        self.restart();
    }

    /// Start again on the same data and the same address; the old process must be gone.
    pub fn restart(&mut self) {
        let (process, port) = launch(&self.setup, &self.data_dir, self.port);
        self.process = process;
        assert_eq!(port, self.port);
    }

    /// Stop, and start again under another program that `exec`s the server.
    pub fn restart_under<S: AsRef<str>>(&mut self, wrapper: impl IntoIterator<Item = S>) {
        assert!(self.terminate(Duration::from_secs(30)).success());
        self.setup.wrapper = wrapper.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        self.restart();
    }

    /// A port of that range that no tunnel has now.
    pub fn spare_port(&self) -> u16 {
        let taken: Vec<_> = self.api().items("/api/proxy").iter().map(|tunnel| tunnel["local_port"].clone()).collect();
        (0..PORTS_EACH - 1)
            .map(|nth| self.own_port(nth))
            .find(|port| !taken.contains(&json!(port)))
            .expect("a spare port")
    }

    /// SIGTERM, and wait for the end.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.wait_exit(limit)
    }

    /// `dockway admin …` on this server's database, while it runs; what it printed.
    pub fn admin<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        said(&admin(&self.data_dir, args))
    }

    /// Make an account, and a token for it with these scopes, or with all that it may have.
    pub fn user(&self, username: &str, role: &str, scopes: &[&str]) -> Api {
        let (status, answer) = self.api().post("/api/users", &json!({ "username": username, "role": role }));
        assert_eq!(status, 201, "{answer}");
        self.api().with_token(Some(&self.user_token(username, scopes)))
    }

    /// The account of this name.
    pub fn account(&self, username: &str) -> Value {
        let users = self.api().items("/api/users");
        users.into_iter().find(|user| user["username"] == username).unwrap_or_else(|| panic!("no account {username}"))
    }

    /// Where the account of this name is.
    pub fn user_path(&self, username: &str) -> String {
        format!("/api/users/{}", self.user_id(username))
    }

    /// The id of the account of this name.
    pub fn user_id(&self, username: &str) -> String {
        self.account(username)["id"].as_str().expect("an id").to_owned()
    }

    /// A token for an account, made on the command line and noticed by the server.
    pub fn user_token(&self, username: &str, scopes: &[&str]) -> String {
        let mut args = vec!["token", "create", "--user", username, "--name", "test"];
        args.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let token = self.admin(args);
        let api = self.api().with_token(Some(&token));
        wait_for("the server notices the token", NOTICED_WITHIN, || {
            (api.get("/api/me").0 == 200).then_some(token.clone())
        })
    }

    /// Enrol an agent; its token.
    pub fn enrol(&self, client_id: &str) -> String {
        let (status, answer) = self.api().post("/api/agents", &json!({ "client_id": client_id }));
        assert_eq!(status, 201, "{answer}");
        answer["token"].as_str().expect("the token is shown once").to_owned()
    }

    /// A tunnel to a port on 127.0.0.1, on a local port that the server chooses.
    pub fn create_tunnel(&self, client_id: &str, remote_port: u16) -> Tunnel {
        self.create_tunnel_with(client_id, remote_port, json!({}))
    }

    /// As `create_tunnel`, with further or other fields.
    pub fn create_tunnel_with(&self, client_id: &str, remote_port: u16, fields: Value) -> Tunnel {
        let mut body = json!({ "client_id": client_id, "remote_host": "127.0.0.1", "remote_port": remote_port });
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let (status, answer) = self.api().post("/api/proxy/create", &body);
        assert_eq!(status, 201, "{answer}");
        Tunnel::new(&answer, self.api())
    }
}

fn next_block() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % BLOCKS * PORTS_EACH
}

fn launch(setup: &Setup, data_dir: &Path, listen: u16) -> (Process, u16) {
    let mut process = Process::spawn("server", &mut serve_command(setup, data_dir, listen));
    let ready = wait_for("the server's ready line", Duration::from_secs(30), || {
        let line = process.line_with("listening on http://");
        assert!(line.is_some() || process.is_running(), "the server ended:\n{}", process.log_text());
        line
    });
    let port = port_in(&ready).unwrap_or_else(|| panic!("no port in: {ready}"));
    (process, port)
}

fn serve_command(setup: &Setup, data_dir: &Path, listen: u16) -> Command {
    let mut words = setup.wrapper.clone();
    words.push(env!("CARGO_BIN_EXE_dockway").to_owned());
    let mut command = Command::new(&words[0]);
    clean_environment(&mut command).args(&words[1..]);
    let address = setup.address.as_deref().unwrap_or("127.0.0.1");
    command.args(["serve", "--listen", &format!("{address}:{listen}"), "--tunnel-bind", "127.0.0.1"]);
    command.arg("--data-dir").arg(data_dir);
    if let Some(range) = &setup.tunnel_ports {
        command.args(["--tunnel-ports", range]);
    }
    command.args(&setup.extra).envs(setup.environment.iter().map(|(name, value)| (name, value)));
    command
}

fn port_in(line: &str) -> Option<u16> {
    let address = line.split("listening on http://").nth(1)?;
    let port = address.split(':').nth(1)?;
    port.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The settings of whoever runs the tests are not those of the test.
pub fn clean_environment(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOCKWAY_") {
            command.env_remove(name);
        }
    }
    command.env_remove("DATABASE_URL").env_remove("DOCKER_HOST").env_remove("DOCKER_HOST_URL").env("NO_COLOR", "1")
}

/// `dockway admin …` with nothing on standard input.
pub fn admin<S: AsRef<OsStr>>(data_dir: &Path, args: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockway"));
    clean_environment(&mut command).env("DOCKWAY_DATA_DIR", data_dir).arg("admin").args(args);
    command.stdin(Stdio::null()).output().expect("dockway starts")
}

/// Standard output of a command that worked, without the line end.
pub fn said(output: &Output) -> String {
    assert!(output.status.success(), "admin failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text").trim_end().to_owned()
}

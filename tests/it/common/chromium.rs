//! Debian's Chromium, driven as a person would: over WebDriver, without a window.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::{Client, ClientBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::process::Process;
use super::{Server, artefacts, wait_until};

/// How long a page may take to come to a state.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// In a network of its own: Chromium drops whatever it is loading when an interface of its machine comes or goes, as
/// those of containers do (net::ERR_NETWORK_CHANGED).
const INSIDE: &str = "
    ip link set lo up
    socat TCP-LISTEN:$2,bind=127.0.0.1,fork,reuseaddr UNIX-CONNECT:$1out &
    socat UNIX-LISTEN:$1in,fork TCP:127.0.0.1:9515 &
    exec chromedriver --port=9515
";
/// Which of the server's own ports leads to its driver.
const DRIVER_PORT: u16 = 59;

pub struct Chromium {
    client: Option<Client>,
    runtime: Runtime,
    _relays: [Process; 2],
    _driver: Process,
    _directory: TempDir,
}

impl Chromium {
    /// With a window of this size, and a way to this server alone.
    pub fn start(server: &Server, width: u32, height: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let relay = |name: &'static str, from: String, to: String| {
            Process::spawn(name, Command::new("socat").args([from, to]).stdin(Stdio::null()))
        };
        let (port, driver_port) = (server.port, server.own_port(DRIVER_PORT));
        let to_server = relay("way out", format!("UNIX-LISTEN:{},fork", path("out")), format!("TCP:127.0.0.1:{port}"));
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INSIDE]);
        command.args(["sh", &path(""), &port.to_string()]).stdin(Stdio::null());
        let driver = Process::spawn("chromedriver", &mut command);
        wait_until("chromedriver's start", PATIENCE, || {
            driver.line_with("started successfully").is_some() && directory.path().join("in").exists()
        });
        let listen = format!("TCP-LISTEN:{driver_port},bind=127.0.0.1,fork,reuseaddr");
        let to_driver = relay("way in", listen, format!("UNIX-CONNECT:{}", path("in")));
        wait_until("the way to chromedriver", PATIENCE, || TcpStream::connect(("127.0.0.1", driver_port)).is_ok());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let args = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-proxy-server".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        let options = json!({ "args": args });
        let capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let url = format!("http://127.0.0.1:{driver_port}");
        let client = runtime.block_on(async {
            ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
                .capabilities(capabilities)
                .connect(&url)
                .await
        });
        let client = Some(client.expect("a browser"));
        Self { client, runtime, _relays: [to_server, to_driver], _driver: driver, _directory: directory }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is there until it is dropped")
    }

    pub fn goto(&self, url: &str) {
        self.runtime.block_on(self.client().goto(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    pub fn url(&self) -> String {
        self.runtime.block_on(self.client().current_url()).expect("an address").to_string()
    }

    /// What a script's `return` gives.
    pub fn run(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute(script, Vec::new())).unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// What a promise becomes; `body` is that of an async function.
    pub fn run_async(&self, body: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; (async () => {{ {body} }})().then(done, e => done('' + e))"
        );
        self.runtime
            .block_on(self.client().execute_async(&script, Vec::new()))
            .unwrap_or_else(|e| panic!("{body}: {e}"))
    }

    /// Wait until a script returns something true; what that is.
    pub fn until(&self, what: &str, script: &str) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            // A page that is just being left has no answer.
            let found = self.runtime.block_on(self.client().execute(script, Vec::new()));
            match found {
                Ok(Value::Null | Value::Bool(false)) | Err(_) => {}
                Ok(found) => return found,
            }
            if Instant::now() > give_up {
                self.screenshot("gave-up");
                let page = self.run("return document.documentElement.className + ': ' + document.body.innerText + \
                                     JSON.stringify(performance.getEntriesByType('resource').map(one => \
                                     [one.name, one.responseStatus, Math.round(one.startTime), Math.round(one.duration)]))");
                panic!("{what}: not within {PATIENCE:?} at {}: {page}", self.url());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Sign in on the page that asks for it, by keyboard alone.
    pub fn sign_in_by_hand(&self, username: &str, password: &str) {
        self.until("the field for the name", "return document.activeElement?.id === 'username'");
        self.type_text(&format!("{username}\t{password}\n"));
    }

    /// Sign in as a page of this server does.
    pub fn sign_in(&self, base: &str, username: &str, password: &str) {
        self.goto(&format!("{base}/api/docs"));
        let body = json!({ "username": username, "password": password }).to_string();
        let script = format!(
            "return (await fetch('/api/session', {{ method: 'POST', headers: {{ 'content-type': 'application/json' }}, \
             body: {} }})).status",
            Value::from(body)
        );
        assert_eq!(self.run_async(&script), json!(201));
    }

    pub fn click(&self, x: i64, y: i64) {
        let mouse = MouseActions::new("mouse".into())
            .then(PointerAction::MoveTo { duration: None, x: x as f64, y: y as f64 })
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
            .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.runtime.block_on(self.client().perform_actions(mouse)).expect("a click");
    }

    /// Type on the keyboard, wherever the focus is; `\n` is Enter and `\t` Tab.
    pub fn type_text(&self, text: &str) {
        for letter in text.chars() {
            let value = match letter {
                '\n' => '\u{e007}',
                '\t' => '\u{e004}',
                other => other,
            };
            let keys = KeyActions::new("keyboard".into()).then(KeyAction::Down { value }).then(KeyAction::Up { value });
            self.runtime.block_on(self.client().perform_actions(keys)).expect("a key");
        }
    }

    /// Keep a picture for a person to look at.
    pub fn screenshot(&self, name: &str) -> PathBuf {
        let png = self.runtime.block_on(self.client().screenshot()).expect("a picture");
        let path = artefacts().join(format!("{name}.png"));
        std::fs::write(&path, png).expect("the picture is kept");
        path
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
    }
}

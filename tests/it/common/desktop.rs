//! Remote desktop: an xrdp of the test's own, and FreeRDP on a screen that nobody sees.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process::output_of;
use super::sockets::local;
use super::sshd::free_port;
use super::{Process, SOON, wait_for, wait_until};

/// xrdp shows its login window; there is nothing behind it.
pub struct Xrdp {
    pub port: u16,
    _process: Process,
    _directory: TempDir,
}

impl Xrdp {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        output_of(Command::new("cp").args(["-r", "/etc/xrdp/."]).arg(directory.path()));
        let port = free_port();
        let file = directory.path().join("xrdp.ini");
        let text = fs::read_to_string(&file).expect("xrdp's configuration");
        fs::write(&file, own_settings(&text, port, directory.path())).expect("the configuration");
        let mut command = Command::new("/usr/sbin/xrdp");
        let process = Process::spawn("xrdp", command.arg("--nodaemon").arg("--config").arg(&file));
        wait_until("xrdp listens", SOON, || std::net::TcpStream::connect(local(port)).is_ok());
        Self { port, _process: process, _directory: directory }
    }
}

fn own_settings(text: &str, port: u16, directory: &Path) -> String {
    let log = format!("LogFile={}/xrdp.log", directory.display());
    let lines = text.lines().map(|line| match line {
        "port=3389" => format!("port=tcp://127.0.0.1:{port}"),
        "EnableSyslog=true" => "EnableSyslog=false".to_owned(),
        line if line.starts_with("LogFile=") => log.clone(),
        line => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// An X server without a monitor.
pub struct Screen {
    display: String,
    _process: Process,
}

/// What ImageMagick says of a picture.
#[derive(Debug)]
pub struct Picture {
    pub colours: u32,
    /// Mean brightness, 0 to 1.
    pub mean: f64,
}

impl Screen {
    pub fn start() -> Self {
        let mut command = Command::new("Xvfb");
        // It chooses a free display by itself and prints the number, which the log keeps.
        let process = Process::spawn("Xvfb", command.args(["-displayfd", "1", "-screen", "0", "1024x768x24"]));
        let number = wait_for("Xvfb names its display", SOON, || {
            process.log_text().lines().find_map(|line| line.trim().parse::<u32>().ok())
        });
        Self { display: format!(":{number}"), _process: process }
    }

    /// FreeRDP over the whole screen, connected to `port`.
    pub fn freerdp(&self, port: u16) -> Process {
        let program = ["xfreerdp3", "xfreerdp"].into_iter().find(|name| exists(name)).expect("FreeRDP is installed");
        let mut command = Command::new(program);
        command.args([&format!("/v:127.0.0.1:{port}"), "/u:demo", "/sec:tls", "/size:1024x768", "/cert:ignore"]);
        Process::spawn("freerdp", command.env("DISPLAY", &self.display))
    }

    /// Keep what is on the screen in `file`.
    pub fn picture(&self, file: &Path) -> Picture {
        output_of(Command::new("import").args(["-display", &self.display, "-window", "root"]).arg(file));
        let said = output_of(Command::new("identify").args(["-format", "%k %[fx:mean]"]).arg(file));
        let said = String::from_utf8(said).expect("text");
        let (colours, mean) = said.split_once(' ').expect("two numbers");
        Picture { colours: colours.parse().expect("a count"), mean: mean.trim().parse().expect("a number") }
    }

    /// Take pictures until one shows something.
    pub fn wait_picture(&self, file: &Path, limit: Duration) -> Picture {
        wait_for("something on the screen", limit, || {
            let picture = self.picture(file);
            (picture.colours > 256 && picture.mean > 0.05).then_some(picture)
        })
    }
}

fn exists(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

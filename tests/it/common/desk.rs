//! A server with one desktop of Alice's, `alice-desk`, that is a fixture on 127.0.0.1: the engine is away, so the server
//! goes on believing its rows.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use dockway::desktop::{DesktopType, Kind, Status};
use dockway::store::models::ContainerRow;
use dockway::store::{Store, containers, desktop_types, users};
use dockway::upstream::Scheme;
use dockway::vault::Vault;
use tempfile::TempDir;

use super::raw_upstream::RawUpstream;
use super::raw_ws::RawWs;
use super::server::{admin, said};
use super::strict_upstream::{PASSWORD, StrictUpstream};
use super::{Browser, SOON, Server, connect, wait_until};

/// Where the desktop is.
pub const DESK: &str = "/desktop/alice-desk";
/// What a browser says of a page that it opens.
pub const NAVIGATION: [(&str, &str); 3] =
    [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("accept", "text/html,*/*;q=0.8")];

pub struct Desk {
    pub server: Server,
    /// Alice's.
    pub browser: Browser,
    pub password: String,
    _files: TempDir,
}

impl Desk {
    /// As an image of Kasm's.
    pub fn kasm(upstream: &StrictUpstream) -> Self {
        Self::start(Kind::Kasm, Scheme::Https, upstream.address)
    }

    /// As a web application.
    pub fn web(upstream: &RawUpstream) -> Self {
        Self::start(Kind::Web, Scheme::Http, upstream.address)
    }

    pub fn start(kind: Kind, scheme: Scheme, address: SocketAddr) -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let data_dir = files.path().join("data");
        let password = said(&admin(&data_dir, ["user", "add", "alice"]));
        put_desktop(&data_dir, kind, scheme, address.port());
        let away = ["env", "DOCKER_HOST=unix:///nonexistent/engine.sock"];
        let server = Server::setup().data_dir(&data_dir).under(away).start();
        let browser = Browser::sign_in(&server, "alice", &password);
        Self { server, browser, password, _files: files }
    }

    /// Header lines of Alice's browser, on a page of the server's own.
    pub fn own(&self) -> String {
        let cookie = self.browser.cookie.as_deref().expect("signed in");
        format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{}\r\n", self.server.port)
    }

    /// Open a WebSocket from a page of the server's own, with further header lines.
    pub fn try_open(&self, path: &str, headers: &str) -> Result<(RawWs, Vec<String>), u16> {
        RawWs::open(self.server.port, &format!("{DESK}{path}"), &format!("{}{headers}", self.own()))
    }

    /// As `try_open`, which must work.
    pub fn open(&self, path: &str) -> RawWs {
        self.try_open(path, "").unwrap_or_else(|status| panic!("refused with {status}")).0
    }

    /// Send a request as it is, with Alice's cookie and `Connection: close`; everything that comes back.
    pub fn raw(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let (port, own) = (self.server.port, self.own());
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{own}{headers}\r\n");
        let mut socket = connect(port);
        socket.write_all(&[head.as_bytes(), body].concat()).expect("the request goes out");
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = socket.read_to_end(&mut answer);
        answer
    }

    /// The status of such a request.
    pub fn status(&self, method: &str, target: &str, headers: &str) -> u16 {
        let answer = String::from_utf8_lossy(&self.raw(method, target, headers, b"")).into_owned();
        answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
    }
}

fn put_desktop(data_dir: &Path, kind: Kind, scheme: Scheme, port: u16) {
    let store = Store::open(&format!("sqlite://{}/dockway.db", data_dir.display())).expect("the database");
    let vault = Vault::open(&data_dir.join("secret.key"), &[]).expect("a key");
    let insert = store.run_now(|c| {
        let alice = users::find_by_name(c, "alice")?.expect("she was added");
        let seeded = desktop_types::list(c)?.into_iter().next().expect("the first of the seeded types");
        let desk = DesktopType::from_row(seeded).expect("a good row");
        let is_kasm = kind == Kind::Kasm;
        let entry_path = if is_kasm { desk.entry_path.clone() } else { "/".to_owned() };
        let basic_user = is_kasm.then(|| "kasm_user".to_owned());
        let desk = DesktopType { id: "desk".into(), name: "desk".into(), kind, scheme, entry_path, basic_user, ..desk };
        desktop_types::insert(c, &desk.into_row())?;
        containers::insert(
            c,
            &ContainerRow {
                id: "desktop-1".into(),
                owner_id: alice.id,
                type_id: "desk".into(),
                proxy_path: "alice-desk".into(),
                status: Status::Ready.as_str().into(),
                reason: None,
                container_id: Some("0123456789abcdef".into()),
                host_port: Some(port.into()),
                subnet: Some("10.213.0.0/28".into()),
                address: None,
                password: Some(vault.seal("desktop-1", PASSWORD)),
                created_at: 1,
                started_at: Some(1),
                stopped_at: None,
                last_accessed: None,
            },
        )
    });
    insert.expect("the rows");
}

/// Wait until nothing of the desktop's is open any more.
pub fn wait_closed(upstream: &StrictUpstream) {
    wait_until("the desktop's sockets are closed", SOON, || upstream.websockets() == 0 && upstream.connections() == 0);
}

//! The way to the engine: addresses, TLS, what does not answer, connections that break.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use dockway::desktop::engine::docker::DockerEngine;
use dockway::desktop::engine::{Engine, EngineError, Happening};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::bench::{Bench, publish};
use crate::common::{Process, Remote, SOON, wait_until};

/// A TCP port that leads to Docker's socket, until it is cut.
pub struct Bridge {
    remote: Remote,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Bridge {
    pub fn start() -> Self {
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let held = open.clone();
        let remote = Remote::start(move |stream| {
            let engine = UnixStream::connect("/var/run/docker.sock").expect("Docker runs");
            held.lock().unwrap().push(stream.try_clone().unwrap());
            let (mut up, mut up_to) = (stream.try_clone().unwrap(), engine.try_clone().unwrap());
            std::thread::spawn(move || copy(&mut up, &mut up_to));
            let _ = copy(&mut &engine, &mut &stream);
            let _ = stream.shutdown(Shutdown::Both);
            let _ = engine.shutdown(Shutdown::Both);
        });
        Self { remote, open }
    }

    pub fn host(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.remote.port)
    }

    /// Break the connections that there are.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[tokio::test]
async fn the_engine_says_who_it_is() {
    let bench = Bench::docker();
    let info = bench.engine.hello().await.unwrap();
    assert_eq!(info.name, "Docker");
    let server = ["version", "-f", "{{.Server.Version}} {{.Server.APIVersion}}"];
    assert_eq!(format!("{} {}", info.version, info.api_version), bench.cli(&server));
    let bridge = Bridge::start();
    let over_tcp = DockerEngine::at(Some(&bridge.host()), None).unwrap();
    assert_eq!(over_tcp.hello().await, Ok(info));
}

#[tokio::test]
async fn over_tls_both_ends_show_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let ours = certificates(&directory.path().join("ours"));
    let theirs = certificates(&directory.path().join("theirs"));
    let port = publish().host_port;
    let file = |name: &str| ours.join(name).display().to_string();
    let listen = format!(
        "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert={},key={},cafile={},verify=1",
        file("server.pem"),
        file("server-key.pem"),
        file("ca.pem")
    );
    let tunnel =
        Process::spawn("socat", Command::new("socat").args(["-d", "-d", &listen, "UNIX-CONNECT:/var/run/docker.sock"]));
    wait_until("socat listens", SOON, || tunnel.line_with("listening on").is_some());
    let host = format!("tcp://localhost:{port}");
    let engine = DockerEngine::at(Some(&host), Some(&ours)).unwrap();
    assert_eq!(engine.hello().await.map(|info| info.name), Ok("Docker".to_owned()));
    let stranger = DockerEngine::at(Some(&host), Some(&theirs)).unwrap();
    let Err(EngineError::Unavailable(reason)) = stranger.hello().await else { panic!("another authority") };
    assert!(reason.contains("certificate"), "{reason}");
    let plain = DockerEngine::at(Some(&host), None).unwrap();
    assert!(matches!(plain.hello().await, Err(EngineError::Unavailable(_))));
}

/// An authority, a certificate for `localhost`, and one for a client.
fn certificates(directory: &Path) -> std::path::PathBuf {
    std::fs::create_dir(directory).unwrap();
    let script = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
            -addext basicConstraints=critical,CA:TRUE -keyout ca-key.pem -out ca.pem
        for who in server cert; do
            case $who in server) key=server-key.pem ;; cert) key=key.pem ;; esac
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$who -keyout $key -out $who.csr
            printf 'subjectAltName=DNS:localhost\n' > $who.ext
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile $who.ext -out $who.pem
        done"#;
    let made = Command::new("sh").args(["-ec", script]).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    directory.to_owned()
}

#[tokio::test]
async fn what_is_no_engine_is_unavailable() {
    let port = publish().host_port;
    let nobody = DockerEngine::at(Some(&format!("tcp://127.0.0.1:{port}")), None).unwrap();
    let Err(EngineError::Unavailable(reason)) = nobody.hello().await else { panic!("nobody listens") };
    assert_eq!(reason, format!("tcp://127.0.0.1:{port}: nothing listens there; start the engine"));
    for answer in ["HTTP/1.0 404 Not Found\r\n\r\n<html>", "HTTP/1.0 200 OK\r\n\r\n<html>", "SSH-2.0-x\r\n", ""] {
        let remote = Remote::start(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let engine = DockerEngine::at(Some(&format!("tcp://127.0.0.1:{}", remote.port)), None).unwrap();
        assert!(matches!(engine.hello().await, Err(EngineError::Unavailable(_))), "{answer}");
        let mut events = engine.events("x");
        assert!(matches!(events.next().await, Some(Err(EngineError::Unavailable(_)))), "{answer}");
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn a_pull_that_ends_without_a_word_has_failed_unless_the_image_is_there() {
    let remote = Remote::start(|mut stream| {
        let (mut request, mut buffer) = (String::new(), [0; 4096]);
        while !request.contains("\r\n\r\n") {
            let length = stream.read(&mut buffer).unwrap();
            request.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        let answer = match request.starts_with("POST /images/create?fromImage=r%2Fx&tag=1&") {
            true => "HTTP/1.0 200 OK\r\n\r\n{\"status\":\"Pulling from r/x\",\"id\":\"1\"}\n",
            false => "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such image: r/x:1\"}\n",
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    let engine = DockerEngine::at(Some(&format!("tcp://127.0.0.1:{}", remote.port)), None).unwrap();
    let news: Vec<_> = engine.pull("r/x:1").collect().await;
    assert_eq!(news, [Err(EngineError::Other("the pull has ended, but r/x:1 is not there".into()))]);
}

#[tokio::test]
async fn a_broken_connection_ends_the_events_with_an_error() {
    let bench = Bench::docker();
    let bridge = Bridge::start();
    let engine = DockerEngine::at(Some(&bridge.host()), None).unwrap();
    bench.engine.create_network(&bench.network).await.unwrap();
    let mut events = engine.events(&bench.installation);
    bench.run(&bench.spec("seen", "sleep 100")).await;
    let first = timeout(SOON, events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.what, Happening::Started);
    bridge.cut();
    let last = timeout(SOON, events.next()).await.expect("the end in time");
    assert!(matches!(last, Some(Err(EngineError::Unavailable(_)))), "{last:?}");
    assert_eq!(events.next().await, None);
    assert!(engine.hello().await.is_ok(), "the next call has a connection of its own");
}

/// Set for this very test when it runs in a container of Docker.
const INSIDE: &str = "DOCKWAY_TEST_NETWORK";

#[tokio::test]
async fn a_server_in_a_container_joins_the_network() {
    if let Ok(network) = std::env::var(INSIDE) {
        let engine = DockerEngine::at(None, None).unwrap();
        engine.join_network(&network).await.unwrap();
        return engine.join_network(&network).await.expect("once more is fine");
    }
    let (bench, own) = (Bench::docker(), Bench::docker());
    bench.engine.create_network(&bench.network).await.unwrap();
    own.engine.create_network(&own.network).await.unwrap();
    let program = std::env::current_exe().unwrap();
    let (name, label) =
        (format!("dockway-it-{}-server", bench.installation), format!("dockway.installation={}", bench.installation));
    let (binding, setting) = (format!("{}:/it:ro", program.display()), format!("{INSIDE}={}", bench.network.name));
    let told = bench.cli(&[
        "run",
        "--name",
        &name,
        "--label",
        &label,
        "--network",
        &own.network.name,
        "-v",
        "/usr:/usr:ro",
        "-v",
        "/var/run/docker.sock:/var/run/docker.sock",
        "-v",
        &binding,
        "-e",
        &setting,
        "--hostname",
        "front",
        super::bench::IMAGE,
        "/it",
        "--exact",
        "engine::link::a_server_in_a_container_joins_the_network",
    ]);
    assert!(told.contains("1 passed"), "{told}");
    let networks = bench.cli(&["inspect", "-f", "{{json .NetworkSettings.Networks}}", &name]);
    assert!(networks.contains(&bench.network.name), "{networks}");
    bench.engine.remove_network(&bench.network.name).await.expect("the server's container is cut off");
}

//! What is open ends when it must, whether or not the browser reads.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::http::serve;
use crate::http::test_support::{TestServer, read_head};
use crate::identity::directory::CloseSessions;
use crate::upstream::Scheme;
use crate::upstream::testing::{Peer, TestUpstream};

const PATIENCE: Duration = Duration::from_secs(5);

/// How the upstream behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Upstreams {
    /// It never answers.
    Silent,
    /// It answers a head and nothing more.
    Headed,
    /// It sends without end.
    Endless,
    /// It takes a body and does not answer.
    Taking,
}

/// A browser in the middle of a request, and an upstream that tells when it is rid of it.
struct Open {
    house: House,
    server: TestServer,
    socket: TcpStream,
    ends: mpsc::Receiver<()>,
    _upstream: TestUpstream,
}

async fn talk(mut peer: Peer, how: Upstreams) {
    peer.head().await;
    match how {
        Upstreams::Silent => drop(peer.read(1).await),
        Upstreams::Taking => drop(peer.read(usize::MAX).await),
        Upstreams::Headed => {
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            peer.read(1).await;
        }
        Upstreams::Endless => {
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            while peer.send([0; 65536]).await {}
        }
    }
}

impl Open {
    async fn start(how: Upstreams) -> Self {
        let (ended, ends) = mpsc::channel(1);
        let (began, mut begins) = mpsc::channel(1);
        let upstream = TestUpstream::start(Scheme::Http, move |peer| {
            let (ended, began) = (ended.clone(), began.clone());
            async move {
                began.send(()).await.unwrap();
                talk(peer, how).await;
                let _ = ended.send(()).await;
            }
        })
        .await;
        let house = House::with(route(Kind::Web, Some(&upstream.upstream))).await;
        let served = house.state.clone();
        let server = TestServer::start(|listener| serve(listener, served, 1));
        let (host, cookie) = (server.address, &house.bob);
        let method = if how == Upstreams::Taking { "POST" } else { "GET" };
        let length = if how == Upstreams::Taking { "Content-Length: 1000000000\r\n" } else { "" };
        let head = format!(
            "{method} /desktop/bob-x/a HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n{length}\r\n"
        );
        let mut socket = server.connect(head.as_bytes()).await;
        begins.recv().await.unwrap();
        match how {
            Upstreams::Silent => {}
            Upstreams::Taking => socket.write_all(&[0; 100_000]).await.unwrap(),
            Upstreams::Headed | Upstreams::Endless => {
                assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 200 "));
            }
        }
        Self { house, server, socket, ends, _upstream: upstream }
    }

    /// Until nothing more fits between the two ends: the browser does not read.
    async fn until_stuck(&self) {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut waiting = 0;
            while waiting < 1 << 22 {
                let mut peeked = vec![0; 1 << 22];
                let count = self.socket.peek(&mut peeked).await.unwrap();
                if count == waiting {
                    break;
                }
                waiting = count;
            }
            if waiting == before {
                return;
            }
            before = waiting;
        }
    }

    /// The upstream is left, and the browser is told that it is over.
    async fn assert_over(&mut self) {
        timeout(PATIENCE, self.ends.recv()).await.expect("the upstream is left");
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.socket.read_to_end(&mut rest)).await.expect("the browser is told");
        assert!(read.is_err() || !rest.ends_with(b"0\r\n\r\n"), "it does not look complete");
        let open = || self.house.route.activity.open();
        let gone = async {
            while open() > 0 {
                tokio::task::yield_now().await
            }
        };
        timeout(PATIENCE, gone).await.expect("it is not counted any more");
    }
}

const ALL: [Upstreams; 4] = [Upstreams::Silent, Upstreams::Headed, Upstreams::Endless, Upstreams::Taking];

#[actix_web::test]
async fn a_desktop_that_ends_cuts_what_is_open() {
    for how in ALL {
        let mut open = Open::start(how).await;
        assert_eq!(open.house.route.activity.open(), 1, "{how:?}");
        if how == Upstreams::Endless {
            open.until_stuck().await;
        }
        open.house.route.cut.cancel();
        open.assert_over().await;
    }
}

#[actix_web::test]
async fn a_sign_out_cuts_what_is_open() {
    for how in ALL {
        let mut open = Open::start(how).await;
        open.house.state.tell(CloseSessions { user_id: BOB.into(), except: None }).await.unwrap().unwrap();
        open.assert_over().await;
    }
}

#[actix_web::test]
async fn a_graceful_stop_does_not_wait_for_what_is_open() {
    for how in ALL {
        let mut open = Open::start(how).await;
        timeout(Duration::from_secs(3), open.server.handle.stop(true)).await.expect("stops at once");
        open.assert_over().await;
    }
}

#[actix_web::test]
async fn a_browser_that_leaves_leaves_the_upstream() {
    for how in ALL {
        let Open { house, server, socket, mut ends, _upstream } = Open::start(how).await;
        drop(socket);
        timeout(PATIENCE, ends.recv()).await.unwrap_or_else(|_| panic!("{how:?}: the upstream is left"));
        let gone = async {
            while house.route.activity.open() > 0 {
                tokio::task::yield_now().await
            }
        };
        timeout(PATIENCE, gone).await.expect("it is not counted any more");
        drop((house, server));
    }
}

#[actix_web::test]
async fn what_is_cut_without_a_socket_ends_too() {
    let upstream = TestUpstream::start(Scheme::Http, |peer| talk(peer, Upstreams::Silent)).await;
    let visitor = House::with(route(Kind::Web, Some(&upstream.upstream))).await.api().await;
    let route = visitor.route.clone();
    let cutting = async {
        while route.activity.open() == 0 {
            tokio::task::yield_now().await;
        }
        route.cut.cancel();
    };
    let (answer, ()) = tokio::join!(visitor.get("/desktop/bob-x/a", &[]), cutting);
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "unavailable"));
}

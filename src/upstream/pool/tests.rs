//! Exchanges with upstreams that say what they are told to.

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use super::*;
use crate::upstream::testing::TestUpstream;

const SMALL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn pool() -> Pool {
    Pool::new(Connector::new().unwrap())
}

fn request(method: Method) -> Request<()> {
    Request::builder().method(method).uri("//a%20b?c").header("host", "desk").body(()).unwrap()
}

async fn body(answer: &mut Answer) -> Result<Vec<u8>, UpstreamError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = poll_fn(|cx| answer.body.poll_chunk(cx)).await {
        let chunk = chunk?;
        assert!(chunk.len() <= crate::upstream::CHUNK_LIMIT);
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn get(pool: &Pool, upstream: &TestUpstream) -> Result<Vec<u8>, UpstreamError> {
    body(&mut pool.send(&upstream.upstream, request(Method::GET), Upload::none()).await?).await
}

#[actix::test]
async fn connections_are_kept_for_what_may_be_repeated() {
    let (pool, upstream) = (pool(), TestUpstream::saying(SMALL, false).await);
    for _ in 0..3 {
        assert_eq!(get(&pool, &upstream).await.unwrap(), b"hello");
    }
    assert_eq!((upstream.accepted(), pool.kept()), (1, 1));
    pool.send(&upstream.upstream, request(Method::POST), Upload::none()).await.unwrap();
    assert_eq!(upstream.accepted(), 2);
}

#[actix::test]
async fn announcements_without_end_are_given_up() {
    let upstream = TestUpstream::start(Scheme::Http, |mut peer| async move {
        peer.head().await;
        // A connection that is closed takes nothing more.
        for _ in 0..1000 {
            peer.send(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000)).await;
        }
        peer.send(SMALL).await;
    })
    .await;
    let refused = tokio::time::timeout(std::time::Duration::from_secs(20), get(&pool(), &upstream)).await;
    assert!(matches!(refused, Ok(Err(UpstreamError::HeadTooLarge))), "{refused:?}");
    let few = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100);
    let upstream = TestUpstream::saying(format!("{few}{SMALL}"), false).await;
    assert_eq!(get(&pool(), &upstream).await.unwrap(), b"hello");
}

#[actix::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    let upstream = TestUpstream::start(Scheme::Http, |mut peer| async move {
        peer.head().await;
        peer.send(SMALL).await;
        // The second request comes over the same connection, which is closed on it without a byte.
        peer.head().await;
    })
    .await;
    let pool = pool();
    for _ in 0..4 {
        assert_eq!(get(&pool, &upstream).await.unwrap(), b"hello");
    }
    assert!(upstream.accepted() >= 3, "{}", upstream.accepted());
}

#[actix::test]
async fn a_fresh_connection_is_not_replaced() {
    let upstream = TestUpstream::start(Scheme::Http, |mut peer| async move { drop(peer.head().await) }).await;
    assert!(matches!(get(&pool(), &upstream).await, Err(UpstreamError::Closed)));
    assert_eq!(upstream.accepted(), 1);
}

#[actix::test]
async fn an_answer_that_began_is_not_asked_for_again() {
    let upstream = TestUpstream::start(Scheme::Http, |mut peer| async move {
        peer.head().await;
        peer.send(SMALL).await;
        peer.head().await;
        peer.send("HTTP/1.1 200").await;
    })
    .await;
    let pool = pool();
    get(&pool, &upstream).await.unwrap();
    assert!(matches!(get(&pool, &upstream).await, Err(UpstreamError::Closed)));
    assert_eq!(upstream.accepted(), 1);
}

#[actix::test]
async fn bodies_end_as_the_upstream_ends_them() {
    // The answer, and the body or None if it is cut short.
    let table: &[(&str, Option<&str>)] = &[
        ("HTTP/1.1 200 OK\r\n\r\nto the end", Some("to the end")),
        ("HTTP/1.0 200 OK\r\n\r\nto the end", Some("to the end")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Some("abc")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", None),
        ("HTTP/1.1 204 No Content\r\n\r\n", Some("")),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", Some("x")),
    ];
    for scheme in [Scheme::Http, Scheme::Https] {
        for (answer, expected) in table {
            let upstream = TestUpstream::start(scheme, move |mut peer| async move {
                peer.head().await;
                peer.send(answer).await;
            })
            .await;
            let got = get(&pool(), &upstream).await;
            assert_eq!(got.ok().map(|body| String::from_utf8(body).unwrap()).as_deref(), *expected, "{answer}");
        }
    }
}

#[actix::test]
async fn what_is_no_answer_is_told_apart() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let encoded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    let table = [
        ("garbage\r\n\r\n".to_owned(), "is no HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), "is no HTTP"),
        (switching.to_owned(), "switches protocols"),
        (encoded.to_owned(), "not chunked"),
        (large, "too large"),
        (many, "too large"),
        (String::new(), "closed the connection"),
        ("HTTP/1.1 200 OK\r\nX".to_owned(), "closed the connection"),
    ];
    for (answer, expected) in table {
        let shown: String = answer.chars().take(60).collect();
        let upstream = TestUpstream::saying(answer, true).await;
        let error = get(&pool(), &upstream).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{shown}: {error}");
    }
    let gone = TestUpstream::saying("", true).await.upstream.clone();
    let refused = pool().send(&gone, request(Method::GET), Upload::none()).await;
    assert!(matches!(refused, Err(UpstreamError::Unreachable(_))));
}

fn chunks(parts: Vec<Result<&'static str, &'static str>>) -> crate::upstream::Chunks {
    Box::pin(stream::iter(parts).map_results())
}

trait MapResults {
    fn map_results(self) -> impl futures_util::Stream<Item = Result<Bytes, Box<dyn std::error::Error>>>;
}

impl<S: futures_util::Stream<Item = Result<&'static str, &'static str>>> MapResults for S {
    fn map_results(self) -> impl futures_util::Stream<Item = Result<Bytes, Box<dyn std::error::Error>>> {
        futures_util::StreamExt::map(self, |part| part.map(Bytes::from).map_err(Into::into))
    }
}

#[actix::test]
async fn requests_are_framed_by_their_bodies() {
    let (heard, mut hearing) = mpsc::channel(1);
    let upstream = TestUpstream::start(Scheme::Http, move |mut peer| {
        let heard = heard.clone();
        async move {
            let head = peer.head().await;
            let length = if head.contains("chunked") { "5\r\nhello\r\n0\r\n\r\n".len() } else { 5 };
            let body = if head.contains("content-length: 0") || head.starts_with("GET") {
                Vec::new()
            } else {
                peer.read(length).await
            };
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            heard.send(format!("{head}{}", String::from_utf8(body).unwrap())).await.unwrap();
        }
    })
    .await;
    let line = "//a%20b?c HTTP/1.1\r\nhost: desk\r\n";
    let table = [
        (Method::GET, Upload::none(), format!("GET {line}\r\n")),
        (Method::POST, Upload::none(), format!("POST {line}content-length: 0\r\n\r\n")),
        (
            Method::PUT,
            Upload::of(chunks(vec![Ok("hel"), Ok("lo")]), Some(5)),
            format!("PUT {line}content-length: 5\r\n\r\nhello"),
        ),
        (
            Method::from_bytes(b"ODD").unwrap(),
            Upload::of(chunks(vec![Ok("hello")]), None),
            format!("ODD {line}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ),
    ];
    for (method, upload, expected) in table {
        pool().send(&upstream.upstream, request(method), upload).await.unwrap();
        assert_eq!(hearing.recv().await.unwrap(), expected);
    }
}

#[actix::test]
async fn an_upload_that_breaks_off_is_no_complete_request() {
    let (heard, mut hearing) = mpsc::channel(1);
    let upstream = TestUpstream::start(Scheme::Http, move |mut peer| {
        let heard = heard.clone();
        async move {
            peer.head().await;
            heard.send(peer.read(100).await).await.unwrap();
        }
    })
    .await;
    let upload = Upload::of(chunks(vec![Ok("hello"), Err("the browser left")]), None);
    let sent = pool().send(&upstream.upstream, request(Method::POST), upload).await;
    assert!(matches!(sent, Err(UpstreamError::UploadBroken)));
    let heard = String::from_utf8(hearing.recv().await.unwrap()).unwrap();
    assert!(!heard.ends_with("0\r\n\r\n"), "{heard}");
}

#[actix::test]
async fn a_body_that_is_not_taken_holds_the_upstream_back() {
    let (wrote, mut writes) = mpsc::channel(1);
    let upstream = TestUpstream::start(Scheme::Http, move |mut peer| {
        let wrote = wrote.clone();
        async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            let block = vec![0; 1 << 20];
            while peer.send(&block).await {
                let _ = wrote.try_send(true);
            }
            let _ = wrote.send(false).await;
        }
    })
    .await;
    let mut answer = pool().send(&upstream.upstream, request(Method::GET), Upload::none()).await.unwrap();
    for _ in 0..1000 {
        poll_fn(|cx| answer.body.poll_chunk(cx)).await.unwrap().unwrap();
    }
    // Not taken: after what the sockets hold nothing more is written.
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_millis(300), writes.recv()).await.is_ok() {
        taken += 1;
    }
    assert!(taken < 40, "{taken} MiB");
    drop(answer);
    let ended = async { while writes.recv().await == Some(true) {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the connection is closed");
}

#[actix::test]
async fn an_upstream_that_never_answers_is_given_up() {
    let upstream = TestUpstream::start(Scheme::Http, |mut peer| async move {
        peer.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let pool = pool();
    // Connect in real time, then let the clock run.
    let mut sending = pin!(pool.send(&upstream.upstream, request(Method::GET), Upload::none()));
    let until_sent = tokio::time::timeout(Duration::from_millis(200), sending.as_mut()).await;
    assert!(until_sent.is_err());
    tokio::time::pause();
    let begun = Instant::now();
    assert!(matches!(sending.await, Err(UpstreamError::Silent)));
    assert!(begun.elapsed() >= crate::upstream::IDLE_LIMIT - Duration::from_secs(1));
}

#[actix::test]
async fn a_kept_connection_is_dropped_when_its_time_is_over() {
    let (pool, upstream) = (pool(), TestUpstream::saying(SMALL, false).await);
    get(&pool, &upstream).await.unwrap();
    assert_eq!(pool.kept(), 1);
    tokio::time::pause();
    sleep(KEPT_FOR + SWEEP).await;
    assert_eq!(pool.kept(), 0);
}

#[actix::test]
async fn no_more_are_kept_than_needed() {
    let (pool, upstream) = (pool(), TestUpstream::saying(SMALL, false).await);
    let asking = (0..KEPT + 8).map(|_| get(&pool, &upstream));
    let answers = futures_util::future::join_all(asking).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == b"hello"));
    assert_eq!((upstream.accepted(), pool.kept()), (KEPT + 8, KEPT));
}

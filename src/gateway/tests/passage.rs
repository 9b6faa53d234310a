//! What an upstream is asked, and what the browser is answered.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http::serve;
use crate::http::test_support::{TestServer, read_all, read_head};
use crate::upstream::Scheme;
use crate::upstream::testing::TestUpstream;

/// An upstream that answers this, and the requests' heads that it got.
async fn listening(answer: &'static str) -> (TestUpstream, Rc<RefCell<Vec<String>>>) {
    let heads = Rc::new(RefCell::new(Vec::new()));
    let heard = heads.clone();
    let upstream = TestUpstream::start(Scheme::Http, move |mut peer| {
        let heard = heard.clone();
        async move {
            let head = peer.head().await;
            heard.borrow_mut().push(head);
            peer.send(answer).await;
        }
    })
    .await;
    (upstream, heads)
}

#[actix_web::test]
async fn a_request_goes_on_with_what_it_needs() {
    let (upstream, heads) = listening("HTTP/1.1 204 No Content\r\n\r\n").await;
    let target = Upstream { authorization: Some("Basic eDp5".into()), ..upstream.upstream.clone() };
    let visitor = House::with(route(Kind::Kasm, Some(&target))).await.behind_proxy().api().await;
    let headers = [("accept", "*/*"), ("x-forwarded-for", "1.1.1.1"), ("x-own", "1"), ("expect", "100-continue")];
    assert_eq!(visitor.get("/desktop/bob-x//a%20b/%2Fc;d?e=%20", &headers).await.status, 204);
    assert_eq!(
        heads.borrow()[0],
        "GET //a%20b/%2Fc;d?e=%20 HTTP/1.1\r\nhost: desk.example.org\r\nx-forwarded-host: desk.example.org\r\n\
         x-forwarded-proto: http\r\nx-forwarded-prefix: /desktop/bob-x\r\nauthorization: Basic eDp5\r\naccept: */*\r\n\r\n"
    );
}

#[actix_web::test]
async fn the_prefix_and_the_pages_own_credentials_stay_for_a_web_application() {
    let (upstream, heads) = listening("HTTP/1.1 204 No Content\r\n\r\n").await;
    let route = Route { strip_prefix: false, ..route(Kind::Web, Some(&upstream.upstream)) };
    let visitor = House::with(route).await.api().await;
    let cookie = format!("a=b; {}", visitor.bob);
    let headers = [("authorization", "Basic cGFnZQ=="), ("x-own", "1")];
    visitor.call(Method::GET, "/desktop/bob-x/a?b", &cookie, &headers, "").await;
    let head = heads.borrow()[0].clone();
    assert!(head.starts_with("GET /desktop/bob-x/a?b HTTP/1.1\r\n"), "{head}");
    for line in ["authorization: Basic cGFnZQ==", "x-own: 1", "cookie: a=b"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    assert!(!head.contains("dockway") && !head.contains("x-forwarded-prefix"), "{head}");
}

#[actix_web::test]
async fn an_answer_comes_back_with_what_is_its_own() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: /lab\r\nSet-Cookie: a=b\r\nSet-Cookie: dockway_session=x\r\n\
                  Service-Worker-Allowed: /\r\nCross-Origin-Opener-Policy: same-origin\r\nContent-Length: 2\r\n\r\nok";
    let (upstream, _heads) = listening(answer).await;
    let visitor = House::with(route(Kind::Kasm, Some(&upstream.upstream))).await.api().await;
    let answer = visitor.get("/desktop/bob-x/a", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (302, "ok"));
    assert_eq!(
        (answer.header("location"), answer.header("set-cookie")),
        ("/desktop/bob-x/lab", "a=b; Path=/desktop/bob-x/")
    );
    assert_eq!(answer.header("content-security-policy"), "connect-src 'self'");
    assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
    // What the shield adds to a desktop's pages, and what it does not.
    assert_eq!((answer.header("x-content-type-options"), answer.header("x-frame-options")), ("nosniff", "SAMEORIGIN"));
    assert_eq!((answer.header("cache-control"), answer.header("service-worker-allowed")), ("", ""));
    assert_eq!(answer.headers.get_all("set-cookie").count(), 1);
}

#[actix_web::test]
async fn what_is_no_answer_is_told_with_its_reason() {
    let table = [
        ("garbage\r\n\r\n", None, 502, "is no HTTP"),
        ("", None, 502, "closed the connection"),
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", Some("Basic eDp5"), 502, "refuses the credentials"),
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", None, 401, ""),
    ];
    for (said, authorization, status, reason) in table {
        let (upstream, _heads) = listening(said).await;
        let target = Upstream { authorization: authorization.map(str::to_owned), ..upstream.upstream.clone() };
        let visitor = House::with(route(Kind::Web, Some(&target))).await.api().await;
        let (page, other) =
            (visitor.get("/desktop/bob-x/a", &[NAVIGATE]).await, visitor.get("/desktop/bob-x/a", &[]).await);
        assert_eq!((page.status.as_u16(), other.status.as_u16()), (status, status), "{said}");
        assert!(page.body.contains(reason) && other.body.contains(reason), "{said}: {}", page.body);
        assert!(status != 502 || page.body.contains("href=\"/desktop/bob-x/\"") && other.code() == "bad_gateway");
    }
}

#[actix_web::test]
async fn an_address_that_a_kasm_image_would_not_take_is_refused() {
    let (upstream, _heads) = listening("HTTP/1.1 204 No Content\r\n\r\n").await;
    let visitor = House::with(route(Kind::Kasm, Some(&upstream.upstream))).await.api().await;
    let answer = visitor.get(&format!("/desktop/bob-x/{}", "a".repeat(5000)), &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (414, "address_too_long"));
    assert_eq!(upstream.accepted(), 0);
}

/// A real server with the gateway, and what comes before each request's other headers.
async fn server(kind: Kind, upstream: &TestUpstream) -> (TestServer, String, House) {
    let house = House::with(route(kind, Some(&upstream.upstream))).await;
    let served = house.state.clone();
    let server = TestServer::start(|listener| serve(listener, served, 1));
    let head = format!("Host: {}\r\nCookie: {}\r\nSec-Fetch-Site: same-origin\r\n", server.address, house.bob);
    (server, head, house)
}

#[actix_web::test]
async fn bodies_are_framed_for_the_browser() {
    // The upstream's words, the request's beginning, and what the browser reads.
    let table: &[(&str, &str, &str, &str)] = &[
        (
            "HTTP/1.1 200 OK\r\n\r\nabc",
            "GET {} HTTP/1.1",
            "transfer-encoding: chunked",
            "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", "GET {} HTTP/1.0", "HTTP/1.0 200 OK", "\r\n\r\nabc"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET {} HTTP/1.1", "content-length: 3", "\r\n\r\nabc"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD {} HTTP/1.1", "content-length: 3", "\r\n\r\n"),
        ("HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", "GET {} HTTP/1.1", "etag: x", "\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "DELETE {} HTTP/1.1", "HTTP/1.1 204", "\r\n\r\n"),
    ];
    for (said, line, header, end) in table {
        let upstream = TestUpstream::saying(*said, true).await;
        let (server, head, _house) = server(Kind::Web, &upstream).await;
        let line = line.replace("{}", "/desktop/bob-x/a");
        let mut socket = server.connect(format!("{line}\r\n{head}Connection: close\r\n\r\n").as_bytes()).await;
        let answer = read_all(&mut socket).await;
        assert!(answer.contains(header) && answer.ends_with(end), "{said} {line}: {answer}");
        assert_eq!(answer.matches("chunked").count(), usize::from(header.contains("chunked")));
    }
}

#[actix_web::test]
async fn an_answer_that_is_cut_short_does_not_look_complete() {
    for (said, version) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "1.1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "1.1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "1.0"),
    ] {
        let upstream = TestUpstream::saying(said, true).await;
        let (server, head, _house) = server(Kind::Web, &upstream).await;
        let mut socket = server.connect(format!("GET /desktop/bob-x/a HTTP/{version}\r\n{head}\r\n").as_bytes()).await;
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let lacks_length = answer.contains("content-length: 9") && answer.ends_with("\r\n\r\nabc");
        let lacks_end = answer.contains("chunked") && !answer.ends_with("0\r\n\r\n");
        assert!(lacks_length || lacks_end || read.is_err(), "{said} {version}: {answer}");
    }
}

/// The upstream echoes a body of `length` bytes while it comes.
async fn echo(length: usize) -> TestUpstream {
    TestUpstream::start(Scheme::Http, move |mut peer| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let mut left = length;
        while left > 0 {
            let read = peer.read(left.min(1000)).await;
            left -= read.len();
            if read.is_empty() || !peer.send(read).await {
                return;
            }
        }
    })
    .await
}

#[actix_web::test]
async fn a_large_body_goes_both_ways_at_once() {
    const LENGTH: usize = 3_000_000;
    let upstream = echo(LENGTH).await;
    let (server, head, _house) = server(Kind::Web, &upstream).await;
    let line = "POST /desktop/bob-x/a HTTP/1.0\r\n";
    let mut socket = server.connect(format!("{line}{head}Content-Length: {LENGTH}\r\n\r\n").as_bytes()).await;
    let (mut reads, mut writes) = socket.split();
    let sent: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
    let mut got = Vec::new();
    let (written, read) = tokio::join!(writes.write_all(&sent), reads.read_to_end(&mut got));
    written.unwrap();
    read.unwrap();
    assert!(got.ends_with(&sent), "{} bytes", got.len());
}

#[actix_web::test]
async fn a_client_may_wait_for_the_word_to_send_its_body() {
    let upstream = echo(5).await;
    let (server, head, _house) = server(Kind::Web, &upstream).await;
    let request = format!(
        "PUT /desktop/bob-x/a HTTP/1.1\r\n{head}Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    );
    let mut socket = server.connect(request.as_bytes()).await;
    assert_eq!(read_head(&mut socket).await, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"hello").await.unwrap();
    let answer = read_all(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("hello"), "{answer}");
}

#[actix_web::test]
async fn no_ambiguous_request_reaches_the_upstream() {
    let upstream = TestUpstream::saying("HTTP/1.1 204 No Content\r\n\r\n", true).await;
    let (server, head, _house) = server(Kind::Web, &upstream).await;
    let (post, body) = ("POST /desktop/bob-x/a HTTP/1.1\r\n", "5\r\nhello\r\n0\r\n\r\n");
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: \tchunked\u{b}\r\n",
        "Host: other\r\n",
    ] {
        let mut socket = server.connect(format!("{post}{head}{headers}\r\n{body}").as_bytes()).await;
        let answer = read_head(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
    }
    assert_eq!(upstream.accepted(), 0);
}

#[actix_web::test]
async fn an_absolute_target_names_the_desktop_and_the_host() {
    let (upstream, heads) = listening("HTTP/1.1 204 No Content\r\n\r\n").await;
    let (server, head, _house) = server(Kind::Web, &upstream).await;
    let request = format!("GET http://Other.example:81/desktop/bob-x/a HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
    let mut socket = server.connect(request.as_bytes()).await;
    assert!(read_all(&mut socket).await.starts_with("HTTP/1.1 204 "));
    assert!(heads.borrow()[0].starts_with("GET /a HTTP/1.1\r\nhost: other.example:81\r\n"), "{:?}", heads.borrow());
}

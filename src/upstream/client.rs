//! Single questions to upstreams: whether a desktop is ready, what it looks like.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use tokio::time::timeout;

use super::link::Link;
use super::{Connector, Upstream, UpstreamError};

/// Asks upstreams; each question has a connection of its own. Clones share TLS sessions.
#[derive(Clone)]
pub struct Client {
    connector: Connector,
}

/// An answer with all of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl Client {
    pub const fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// GET `path_and_query` with the upstream's credentials, as a browser that asked `host`: an answer of at most
    /// `limit` bytes, all of it within `time`.
    ///
    /// # Errors
    /// There was none; see [`UpstreamError`].
    pub async fn get(
        &self,
        upstream: &Upstream,
        path_and_query: &str,
        host: &str,
        limit: usize,
        time: Duration,
    ) -> Result<Fetched, UpstreamError> {
        let fetching = self.fetch(upstream, path_and_query, host, limit);
        timeout(time, fetching).await.unwrap_or(Err(UpstreamError::TooSlow(time.as_secs())))
    }

    async fn fetch(
        &self,
        upstream: &Upstream,
        path_and_query: &str,
        host: &str,
        limit: usize,
    ) -> Result<Fetched, UpstreamError> {
        let mut request = Request::get(path_and_query).header(HOST, host).header(CONNECTION, "close");
        if let Some(authorization) = upstream.authorization.as_deref() {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| UpstreamError::Garbage(format!("it cannot be asked this: {error}")))?;
        let mut link = Link::open(&self.connector, upstream).await?;
        let response = link.exchange(request).await.map_err(|error| UpstreamError::of_head(&error))?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| HeaderValue::to_str(value).ok());
        let (status, content_type) = (response.status().as_u16(), content_type.map(str::to_owned));
        Ok(Fetched { status, content_type, body: read(response, &mut link, limit).await? })
    }
}

async fn read(
    response: Response<Incoming>,
    link: &mut Link<Empty<Bytes>>,
    limit: usize,
) -> Result<Bytes, UpstreamError> {
    let (mut incoming, mut body) = (response.into_body(), BytesMut::new());
    loop {
        let frame = poll_fn(|cx| {
            link.drive(cx);
            Pin::new(&mut incoming).poll_frame(cx)
        });
        match frame.await {
            Some(Ok(frame)) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => return Err(UpstreamError::CutShort(error.to_string())),
            None => return Ok(body.freeze()),
        }
        if body.len() > limit {
            return Err(UpstreamError::TooLarge { limit });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::upstream::Scheme;
    use crate::upstream::testing::TestUpstream;

    const SECOND: Duration = Duration::from_secs(1);

    fn client() -> Client {
        Client::new(Connector::new().unwrap())
    }

    #[actix::test]
    async fn a_page_is_fetched_with_the_credentials() {
        let (heard, mut hearing) = mpsc::channel(1);
        let upstream = TestUpstream::start(Scheme::Https, move |mut peer| {
            let heard = heard.clone();
            async move {
                heard.send(peer.head().await).await.unwrap();
                peer.send("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\npicture").await;
            }
        })
        .await;
        let mut target = upstream.upstream.clone();
        target.authorization = Some(Upstream::basic("kasm_user", "pw"));
        let fetched = client().get(&target, "/api/x?y", "desk", 7, SECOND * 10).await.unwrap();
        let expected =
            Fetched { status: 200, content_type: Some("image/jpeg".into()), body: Bytes::from_static(b"picture") };
        assert_eq!(fetched, expected);
        assert_eq!(
            hearing.recv().await.unwrap(),
            "GET /api/x?y HTTP/1.1\r\nhost: desk\r\nconnection: close\r\nauthorization: Basic a2FzbV91c2VyOnB3\r\n\r\n"
        );
    }

    #[actix::test]
    async fn what_is_too_large_or_too_slow_is_given_up() {
        let upstream = TestUpstream::saying("HTTP/1.1 200 OK\r\n\r\n12345678", true).await;
        let large = client().get(&upstream.upstream, "/", "desk", 7, SECOND * 10).await;
        assert!(matches!(large, Err(UpstreamError::TooLarge { limit: 7 })));
        let silent = TestUpstream::start(Scheme::Http, |mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n1").await;
            std::future::pending::<()>().await;
        })
        .await;
        let slow = client().get(&silent.upstream, "/", "desk", 7, SECOND / 10).await;
        assert!(matches!(slow, Err(UpstreamError::TooSlow(0))));
        assert!(matches!(
            client().get(&silent.upstream, "no path", "desk", 7, SECOND).await,
            Err(UpstreamError::Garbage(_))
        ));
    }

    /// An actor may be on any thread.
    #[test]
    fn a_question_may_move_between_threads() {
        fn assert_send(_: impl Send) {}
        let upstream = Upstream { scheme: Scheme::Http, address: "127.0.0.1:1".parse().unwrap(), authorization: None };
        assert_send(client().get(&upstream, "/", "desk", 1, SECOND));
    }
}

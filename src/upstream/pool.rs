//! Exchanges with upstreams, over connections that are kept for a while. One pool per worker thread.
//!
//! Only a request that may be repeated uses a kept connection, for its peer may be closing it at this moment; if it was,
//! the request is sent once more over a fresh one. A task of the pool's own drops what is kept too long or was closed;
//! it ends when nothing is kept, and with the pool.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::answer::{Answer, AnswerBody};
use super::link::Link;
use super::transfer::{IdleLimit, Upload};
use super::{Connector, Scheme, Upstream, UpstreamError};

/// The most connections that are kept for one upstream.
const KEPT: usize = 32;
/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// How often it is looked which are to be dropped.
const SWEEP: Duration = Duration::from_secs(2);

/// See the module's documentation. Clones share the connections.
#[derive(Clone)]
pub struct Pool(Rc<Shared>);

struct Shared {
    connector: Connector,
    kept: RefCell<HashMap<Key, Vec<Kept>>>,
    sweeper: RefCell<Option<JoinHandle<()>>>,
}

type Key = (Scheme, SocketAddr);

struct Kept {
    link: Link<Upload>,
    since: Instant,
}

/// Where a connection goes when its answer has been read.
pub(super) struct Home {
    pool: Weak<Shared>,
    key: Key,
}

impl Pool {
    pub fn new(connector: Connector) -> Self {
        Self(Rc::new(Shared { connector, kept: RefCell::default(), sweeper: RefCell::default() }))
    }

    /// Send a request whose target is in origin form, with a Host header. Redirects are not followed.
    ///
    /// # Errors
    /// No answer began; see [`UpstreamError`].
    pub async fn send(
        &self,
        upstream: &Upstream,
        mut request: Request<()>,
        upload: Upload,
    ) -> Result<Answer, UpstreamError> {
        if upload.is_none() && [Method::POST, Method::PUT, Method::PATCH].contains(request.method()) {
            // hyper says nothing of a body that is not there; some servers insist (RFC 9110 section 8.6).
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let key = (upstream.scheme, upstream.address);
        let mut idle = IdleLimit::new(upload.movement());
        if upload.is_none()
            && request.method().is_idempotent()
            && let Some(mut link) = self.0.take(key)
        {
            let repeated = request.clone().map(|()| Upload::none());
            match exchange(&mut link, repeated, &mut idle).await {
                Err(UpstreamError::Closed) if !link.has_answered() => {}
                other => return self.answer(other?, link, key, idle),
            }
        }
        let mut link = Link::open(&self.0.connector, upstream).await?;
        idle.movement().note();
        let response = exchange(&mut link, request.map(|()| upload), &mut idle).await?;
        self.answer(response, link, key, idle)
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        link: Link<Upload>,
        key: Key,
        idle: IdleLimit,
    ) -> Result<Answer, UpstreamError> {
        let (head, incoming) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::Garbage("it switches protocols unasked".into()));
        }
        if head
            .headers
            .get_all(TRANSFER_ENCODING)
            .iter()
            .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Err(UpstreamError::Garbage("its transfer encoding is not chunked".into()));
        }
        let home = Home { pool: Rc::downgrade(&self.0), key };
        let body = AnswerBody::new(incoming, link, home, idle);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// How many connections are kept.
    #[cfg(test)]
    fn kept(&self) -> usize {
        self.0.kept.borrow().values().map(Vec::len).sum()
    }
}

async fn exchange(
    link: &mut Link<Upload>,
    request: Request<Upload>,
    idle: &mut IdleLimit,
) -> Result<Response<Incoming>, UpstreamError> {
    let mut answered = pin!(link.exchange(request));
    let outcome = poll_fn(|cx| match answered.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Ok(answer)),
        Poll::Pending => idle.poll(cx).map(Err),
    });
    match outcome.await? {
        Ok(response) => Ok(response),
        Err(_) if idle.movement().is_broken() => Err(UpstreamError::UploadBroken),
        Err(error) => Err(UpstreamError::of_head(&error)),
    }
}

impl Home {
    /// Take the connection back, if it can be used again.
    pub fn keep(&self, mut link: Link<Upload>) {
        if let Some(pool) = self.pool.upgrade()
            && link.is_idle()
        {
            Shared::give(&pool, self.key, link);
        }
    }
}

impl Shared {
    fn take(&self, key: Key) -> Option<Link<Upload>> {
        let mut kept = self.kept.borrow_mut();
        let links = kept.get_mut(&key)?;
        while let Some(Kept { mut link, since }) = links.pop() {
            if since.elapsed() < KEPT_FOR && link.is_idle() {
                return Some(link);
            }
        }
        None
    }

    fn give(this: &Rc<Self>, key: Key, link: Link<Upload>) {
        let mut kept = this.kept.borrow_mut();
        let links = kept.entry(key).or_default();
        if links.len() < KEPT {
            links.push(Kept { link, since: Instant::now() });
        }
        let mut sweeper = this.sweeper.borrow_mut();
        if sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
            *sweeper = Some(actix_rt::spawn(sweep(Rc::downgrade(this))));
        }
    }

    /// Whether anything is left.
    fn drop_old(&self) -> bool {
        let mut kept = self.kept.borrow_mut();
        kept.retain(|_, links| {
            links.retain_mut(|kept| kept.since.elapsed() < KEPT_FOR && kept.link.is_idle());
            !links.is_empty()
        });
        !kept.is_empty()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get_mut() {
            sweeper.abort();
        }
    }
}

async fn sweep(pool: Weak<Shared>) {
    loop {
        sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.drop_old()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;

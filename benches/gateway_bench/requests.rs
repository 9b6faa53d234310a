//! Small requests per second: 64 connections, each of which asks again as soon as it is answered.

use super::http::{Body, Client, HEAD_LIMIT, Head, SMALL, invalid};
use super::upstream::{SMALL_BODY_BYTES, thread_count};
use crate::common::Outcome;
use crate::common::connection::{PATIENCE, no_answer};
use crate::common::window::{Counted, Window};
use std::io::Result;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

/// Connections at the same time.
const CONNECTIONS: usize = 64;

/// The last piece of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What all connections look at.
#[derive(Default)]
struct Tally {
    answered: AtomicU64,
    is_over: AtomicBool,
}

/// Asks until the window is over; fails if any request fails.
pub fn measure(client: &Client, prefix: &str, window: &Window) -> Outcome<Counted> {
    let request = client.head("GET", &format!("{prefix}{SMALL}"), "").into_bytes();
    let tally = &*Box::leak(Box::new(Tally::default()));
    let request = &*Box::leak(request.into_boxed_slice());
    let threads = thread_count();
    thread::scope(|scope| {
        let shares = (0..threads).map(|index| CONNECTIONS / threads + usize::from(index < CONNECTIONS % threads));
        let deadline = Instant::now() + window.warm_up + window.window + PATIENCE;
        let start = |share| scope.spawn(move || run_share(client.address, request, share, tally, deadline));
        let workers: Vec<_> = shares.map(start).collect();
        let counted = window.watch(&|| tally.answered.load(Relaxed));
        tally.is_over.store(true, Relaxed);
        for worker in workers {
            worker.join().map_err(|_| "a thread of clients panicked")??;
        }
        counted
    })
}

/// Runs some of the connections on this thread.
fn run_share(
    address: SocketAddr,
    request: &'static [u8],
    share: usize,
    tally: &'static Tally,
    deadline: Instant,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all = async {
        let mut tasks = JoinSet::new();
        for _ in 0..share {
            tasks.spawn(ask_on(address, request, tally));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|_| invalid("a client panicked"))??;
        }
        Ok(())
    };
    runtime.block_on(async { timeout_at(deadline.into(), all).await.unwrap_or_else(|_| Err(no_answer())) })
}

/// Asks again and again until the measure is over.
async fn ask_on(address: SocketAddr, request: &[u8], tally: &Tally) -> Result<()> {
    let mut kept = None;
    while !tally.is_over.load(Relaxed) {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(address).await?,
        };
        if connection.ask(request).await? {
            kept = Some(connection);
        }
        tally.answered.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// One connection and what was read of the answer at hand.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(HEAD_LIMIT) })
    }

    /// Asks once; tells whether the connection may be used again.
    async fn ask(&mut self, request: &[u8]) -> Result<bool> {
        self.answer.clear();
        self.stream.write_all(request).await?;
        loop {
            let has_ended = self.stream.read_buf(&mut self.answer).await? == 0;
            let Some(head) = Head::parse(&self.answer)? else {
                if has_ended {
                    return Err(invalid("the answer has no whole head"));
                }
                continue;
            };
            head.expect(200)?;
            if is_whole(&head, &self.answer[head.length..], has_ended)? {
                return Ok(!head.is_last && !has_ended);
            }
        }
    }
}

/// Whether the whole body is there; fails when it is another one.
fn is_whole(head: &Head, body: &[u8], has_ended: bool) -> Result<bool> {
    let is_whole = match head.body {
        Body::Length(_) => body.len() >= SMALL_BODY_BYTES,
        Body::Chunked => body.ends_with(LAST_CHUNK),
        Body::UntilClose => has_ended,
    };
    let expected = match head.body {
        Body::Length(length) => length == SMALL_BODY_BYTES as u64 && body.len() <= SMALL_BODY_BYTES,
        Body::Chunked | Body::UntilClose => !is_whole || body.len() >= SMALL_BODY_BYTES,
    };
    if !expected || (has_ended && !is_whole) {
        return Err(invalid("the answer has another body"));
    }
    Ok(is_whole)
}

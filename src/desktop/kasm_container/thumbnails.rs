//! Pictures of a desktop, taken when somebody looks and not more often than they change.

use std::fmt::Display;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::KasmContainer;
use super::saving::answered;
use crate::clock::now_ms;
use crate::desktop::commands::Thumbnail;
use crate::desktop::messages::TakeThumbnail;
use crate::desktop::picture;
use crate::desktop::{Kind, Status};
use crate::error::Error;
use crate::upstream::{Client, Fetched, Upstream};

/// A picture, or a failure to take one, is answered again for this long.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long taking one may last.
const LIMIT: Duration = Duration::from_secs(10);
/// Where Kasm images give one to the session's owner.
const ADDRESS: &str = "/api/get_screenshot?width=400&height=300&quality=60";

/// What was taken, and who waits.
#[derive(Default)]
pub(super) struct Pictures {
    last: Option<(Instant, Result<Thumbnail, Error>)>,
    waiting: Vec<oneshot::Sender<Result<Thumbnail, Error>>>,
    taking: Option<SpawnHandle>,
}

impl KasmContainer {
    /// What is shown from here on is another run.
    pub(super) fn forget_pictures(&mut self, ctx: &mut Context<Self>) {
        let Pictures { waiting, taking, .. } = std::mem::take(&mut self.pictures);
        if let Some(taking) = taking {
            ctx.cancel_future(taking);
        }
        for waiting in waiting {
            // Whoever asked may have gone.
            let _ = waiting.send(Err(Error::DesktopNotReady { status: self.status().as_str() }));
        }
    }

    /// Where a picture is to be had.
    fn camera(&self) -> Result<Upstream, Error> {
        if self.desktop_type.as_ref().is_none_or(|known| known.kind == Kind::Web) {
            return Err(Error::NoThumbnail);
        }
        let not_ready = Error::DesktopNotReady { status: self.status().as_str() };
        if self.status() != Status::Ready { Err(not_ready) } else { self.upstream(&self.row).ok_or(not_ready) }
    }

    fn take_picture(&mut self, upstream: Upstream, ctx: &mut Context<Self>) {
        let before = self.pictures.last.take().and_then(|(_, last)| last.ok());
        let client = self.means.client.clone();
        let taking = async move { take(&client, &upstream, before).await };
        let handle = ctx.spawn(taking.into_actor(self).map(|taken, container, _| container.pictures.taken(&taken)));
        self.pictures.taking = Some(handle);
    }
}

impl Pictures {
    fn taken(&mut self, taken: &Result<Thumbnail, Error>) {
        self.taking = None;
        self.last = Some((Instant::now(), taken.clone()));
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(taken.clone());
        }
    }
}

impl Handler<TakeThumbnail> for KasmContainer {
    type Result = ResponseFuture<Result<Thumbnail, Error>>;

    fn handle(&mut self, _: TakeThumbnail, ctx: &mut Self::Context) -> Self::Result {
        let upstream = match self.camera() {
            Ok(upstream) => upstream,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        if let Some((_, last)) = self.pictures.last.as_ref().filter(|(at, _)| at.elapsed() < LIFETIME) {
            return Box::pin(std::future::ready(last.clone()));
        }
        let (answer, taken) = oneshot::channel();
        self.pictures.waiting.push(answer);
        if self.pictures.taking.is_none() {
            self.take_picture(upstream, ctx);
        }
        answered(taken)
    }
}

async fn take(client: &Client, upstream: &Upstream, before: Option<Thumbnail>) -> Result<Thumbnail, Error> {
    let mut fetched = fetch(client, upstream, &format!("{ADDRESS}&deduplicate=true")).await?;
    if fetched.status == 200 && fetched.body.is_empty() {
        // Nothing has changed since somebody was last given a picture: this one is it, or it is asked for in full.
        match before {
            Some(before) => return Ok(Thumbnail { taken_at: now_ms(), ..before }),
            None => fetched = fetch(client, upstream, ADDRESS).await?,
        }
    }
    if fetched.status != 200 {
        return Err(bad(format!("it answers a request for its picture with the status {}", fetched.status)));
    }
    let content_type = picture::check(&fetched.body).map_err(bad)?;
    Ok(Thumbnail { content_type, bytes: fetched.body, taken_at: now_ms() })
}

async fn fetch(client: &Client, upstream: &Upstream, address: &str) -> Result<Fetched, Error> {
    let host = upstream.address.to_string();
    client.get(upstream, address, &host, picture::MOST_BYTES, LIMIT).await.map_err(bad)
}

fn bad(error: impl Display) -> Error {
    Error::BadGateway(error.to_string())
}

//! The steps to a running container: reserve, look for the image, pull it, create, start.

use std::time::Duration;

use actix::fut::ActorStreamExt;
use actix::prelude::*;
use futures_util::{StreamExt, stream};
use ipnet::Ipv4Net;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::KasmContainer;
use super::work::{Failure, Outcome, Refusal, Reserved, Task, at_once};
use crate::config::DesktopReach;
use crate::desktop::engine::{ContainerSpec, Created, Engine, EngineError, NetworkSpec};
use crate::desktop::progress::Progress;
use crate::desktop::reserve::{self, new_password};
use crate::desktop::spec::{Identity, specs};
use crate::desktop::state::Event;
use crate::desktop::{DesktopType, Status};

/// The progress of a pull is published this often at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// Ports and networks that the engine may refuse before a start is given up.
const MOST_REFUSALS: usize = 32;

impl KasmContainer {
    pub(super) fn identity(&self) -> Identity {
        Identity::new(&self.means.installation, &self.row)
    }

    pub(super) fn reserve(&self) -> Task {
        let (store, config, tried) = (self.means.store.clone(), self.means.config.clone(), self.tried.clone());
        let mut row = self.row.clone();
        let password = match self.password.clone().filter(|_| row.password.is_some()) {
            Some(password) => password,
            None => {
                let password = new_password();
                row.password = Some(self.means.vault.seal(&row.id, &password));
                password
            }
        };
        Box::pin(async move {
            let reserved = store.run(move |c| Ok(reserve::reserve(c, row, &config, &tried))).await;
            let reserved = reserved.map_err(|error| error.to_string());
            let reserved = reserved.and_then(|row| row.map_err(|error| error.to_string()));
            Outcome::Reserved(reserved.map(|row| Box::new(Reserved { row, password })))
        })
    }

    pub(super) fn look_for_image(&self, known: &DesktopType) -> Task {
        let (engine, image) = (self.means.engine.clone(), known.image.clone());
        Box::pin(async move { Outcome::Image(engine.has_image(&image).await.map_err(|error| error.to_string())) })
    }

    pub(super) fn pull(&self, known: &DesktopType, ctx: &mut Context<Self>) -> Task {
        let (engine, image, limit) = (self.means.engine.clone(), known.image.clone(), self.means.config.pull_limit);
        let (progress, news) = watch::channel(Progress::default());
        self.follow_pull(news, ctx);
        Box::pin(async move {
            let pulled = timeout(limit, pull(&*engine, &image, &progress)).await;
            let late = |_| Err(format!("the image {image} was not pulled within {} s", limit.as_secs_f64()));
            Outcome::Pulled(pulled.unwrap_or_else(late))
        })
    }

    /// Publish how far the pull is, until it ends.
    fn follow_pull(&self, news: watch::Receiver<Progress>, ctx: &mut Context<Self>) {
        let steps = stream::unfold((news, Duration::ZERO), |(mut news, pause)| async move {
            sleep(pause).await;
            news.changed().await.ok()?;
            let progress = news.borrow_and_update().clone();
            Some((progress, (news, PROGRESS_INTERVAL)))
        });
        let publish = steps.into_actor(self).map(|progress, container, _| {
            if container.status() == Status::Pulling {
                container.progress = Some(progress);
                container.publish_again();
            }
        });
        ctx.spawn(publish.finish());
    }

    pub(super) fn create_container(&mut self, known: &DesktopType) -> Task {
        let config = &self.means.config;
        let Some((network, container)) = specs(&self.identity(), known, &self.row, config, &self.names()) else {
            return at_once(Outcome::Created(Err(Refusal::Said("no port or network is reserved for it".into()))));
        };
        let (engine, join) = (self.means.engine.clone(), config.reach == DesktopReach::Network);
        self.holds = true;
        Box::pin(async move { Outcome::Created(create(&*engine, &network, &container, join).await) })
    }

    pub(super) fn start_container(&self, pause: Option<Duration>) -> Task {
        let (engine, container_id) = (self.means.engine.clone(), self.row.container_id.clone().unwrap_or_default());
        Box::pin(async move {
            sleep(pause.unwrap_or_default()).await;
            let started = engine.start(&container_id).await;
            Outcome::Started(started.map_err(|error| refusal("the container cannot be started", error)))
        })
    }

    pub(super) fn restart_container(&mut self) -> Task {
        let pause = self.deaths.next_pause();
        self.start_container(Some(pause))
    }

    /// The engine has not made, or not started, the container.
    pub(super) fn refused(&mut self, refusal: Refusal, ctx: &mut Context<Self>) {
        match refusal {
            // What has been ready waits for the engine: the look after its return finds the container ended.
            Refusal::Away(_) if self.row.started_at.is_some() => {
                self.looked = false;
                return;
            }
            Refusal::Said(said) | Refusal::Away(said) => return self.give_up(Failure::Said(said), ctx),
            Refusal::Taken(EngineError::SubnetTaken(_)) => {
                self.tried.subnets.extend(self.row.subnet.as_deref().and_then(|subnet| subnet.parse::<Ipv4Net>().ok()));
            }
            Refusal::Taken(_) => {
                self.tried.ports.extend(self.row.host_port.and_then(|port| u16::try_from(port).ok()));
            }
        }
        let refusals = self.tried.ports.len() + self.tried.subnets.len();
        if refusals > MOST_REFUSALS {
            let said = format!("{refusals} ports and networks are taken by others on the engine's host");
            return self.give_up(Failure::Said(said), ctx);
        }
        self.happen(Event::RangeTaken, ctx);
    }
}

async fn pull(engine: &dyn Engine, image: &str, progress: &watch::Sender<Progress>) -> Result<(), String> {
    let mut news = engine.pull(image);
    while let Some(layer) = news.next().await {
        let layer = layer.map_err(|error| format!("the image {image} cannot be pulled: {error}"))?;
        progress.send_if_modified(|progress| progress.take(layer));
    }
    Ok(())
}

/// A network and a container in it. Whatever has their name is of an earlier start of this desktop.
async fn create(
    engine: &dyn Engine,
    network: &NetworkSpec,
    container: &ContainerSpec,
    join: bool,
) -> Result<Created, Refusal> {
    let refused = |error| refusal("the container cannot be created", error);
    engine.remove(&container.name).await.map_err(refused)?;
    engine.remove_network(&network.name).await.map_err(refused)?;
    if let Err(error) = engine.create_network(network).await {
        if !matches!(error, EngineError::NameTaken(_)) {
            return Err(refused(error));
        }
        engine.remove_network(&network.name).await.map_err(refused)?;
        engine.create_network(network).await.map_err(refused)?;
    }
    if join {
        engine.join_network(&network.name).await.map_err(refused)?;
    }
    match engine.create(container).await {
        Err(EngineError::NameTaken(_)) => {
            engine.remove(&container.name).await.map_err(refused)?;
            engine.create(container).await.map_err(refused)
        }
        other => other.map_err(refused),
    }
}

fn refusal(what: &str, error: EngineError) -> Refusal {
    match error {
        EngineError::PortTaken(_) | EngineError::SubnetTaken(_) => Refusal::Taken(error),
        EngineError::Unavailable(_) => Refusal::Away(format!("{what}: {error}")),
        other => Refusal::Said(format!("{what}: {other}")),
    }
}

//! An engine without containers: it keeps lists, and tells what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{pending, ready};
use futures_util::stream::{BoxStream, empty, unfold};
use tokio::sync::{broadcast, watch};

use crate::desktop::engine::{
    Answer, ContainerSpec, Created, Engine, EngineError, EngineEvent, EngineInfo, Found, FoundNetwork, Happening,
    Inspected, Inventory, LABEL_DESKTOP, LABEL_INSTALLATION, NetworkSpec,
};
use crate::desktop::progress::LayerNews;

/// How the engine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Up,
    Away,
    /// It takes questions and never answers.
    Hung,
    /// It panics once, and is up then.
    Panics,
}

/// Whose something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    pub installation: String,
    pub desktop: String,
}

/// What the engine has.
#[derive(Debug)]
pub struct World {
    pub mood: Mood,
    /// By id.
    pub containers: BTreeMap<String, Owned>,
    /// By name.
    pub networks: BTreeMap<String, Owned>,
    /// How many containers there ever were.
    pub made: usize,
    pub inventories: usize,
    /// Ids of containers that were started.
    pub started: BTreeSet<String>,
    /// The network of this name is not removed for now.
    pub held: Option<&'static str>,
    /// How often somebody wanted it to be removed.
    pub removals: usize,
}

/// See the module's documentation.
pub struct FakeEngine {
    pub world: watch::Sender<World>,
    said: broadcast::Sender<EngineEvent>,
}

impl FakeEngine {
    pub fn new(mood: Mood) -> Self {
        let world = World {
            mood,
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            made: 0,
            inventories: 0,
            started: BTreeSet::new(),
            held: None,
            removals: 0,
        };
        Self { world: watch::Sender::new(world), said: broadcast::Sender::new(256) }
    }

    pub fn set(&self, mood: Mood) {
        self.world.send_modify(|world| world.mood = mood);
    }

    pub fn say(&self, event: EngineEvent) {
        // Nobody may be listening.
        let _ = self.said.send(event);
    }

    /// How many follow its events.
    pub fn listeners(&self) -> usize {
        self.said.receiver_count()
    }

    /// A container goes, by whosever hand.
    pub fn lose(&self, container: &str) {
        let mut lost = None;
        self.world.send_modify(|world| lost = world.containers.remove(container));
        if let Some(Owned { desktop, .. }) = lost {
            let what = Happening::Destroyed;
            self.say(EngineEvent { container_id: container.to_owned(), desktop_id: desktop, what });
        }
    }

    fn answer<'a, T: Send + 'a>(&'a self, work: impl FnOnce(&mut World) -> T + Send + 'a) -> Answer<'a, T> {
        let mood = self.world.borrow().mood;
        match mood {
            Mood::Away => Box::pin(ready(Err(EngineError::Unavailable("it is away".into())))),
            Mood::Hung => Box::pin(pending()),
            Mood::Panics => {
                self.set(Mood::Up);
                panic!("a test asked the engine to");
            }
            Mood::Up => Box::pin(async move {
                let mut answer = None;
                self.world.send_modify(|world| answer = Some(work(world)));
                Ok(answer.unwrap())
            }),
        }
    }
}

fn owned(labels: &[(String, String)]) -> Owned {
    let label = |key| labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap_or_default();
    Owned { installation: label(LABEL_INSTALLATION), desktop: label(LABEL_DESKTOP) }
}

impl Engine for FakeEngine {
    fn hello(&self) -> Answer<'_, EngineInfo> {
        self.answer(|_| EngineInfo { name: "Fake".into(), version: "1".into(), api_version: "1.41".into() })
    }

    fn has_image<'a>(&'a self, _: &'a str) -> Answer<'a, bool> {
        self.answer(|_| true)
    }

    fn pull<'a>(&'a self, _: &'a str) -> BoxStream<'a, Result<LayerNews, EngineError>> {
        empty().boxed()
    }

    fn create_network<'a>(&'a self, network: &'a NetworkSpec) -> Answer<'a, ()> {
        self.answer(|world| drop(world.networks.insert(network.name.clone(), owned(&network.labels))))
    }

    fn remove_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.answer(|world| world.removals += usize::from(world.held == Some(name))).await?;
            drop(self.world.subscribe().wait_for(|world| world.held != Some(name)).await);
            self.answer(|world| drop(world.networks.remove(name))).await
        })
    }

    fn join_network<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        self.answer(|_| ())
    }

    fn create<'a>(&'a self, container: &'a ContainerSpec) -> Answer<'a, Created> {
        self.answer(|world| {
            world.made += 1;
            let container_id = format!("container-{}", world.made);
            world.containers.insert(container_id.clone(), owned(&container.labels));
            Created { container_id, limits_skipped: Vec::new() }
        })
    }

    fn start<'a>(&'a self, container_id: &'a str) -> Answer<'a, ()> {
        self.answer(|world| {
            world.started.insert(container_id.to_owned());
        })
    }

    fn inspect<'a>(&'a self, container_id: &'a str, _: &'a str) -> Answer<'a, Option<Inspected>> {
        self.answer(|world| {
            let running = world.containers.contains_key(container_id);
            running.then(|| Inspected {
                container_id: container_id.to_owned(),
                running,
                removing: false,
                exit_code: 0,
                out_of_memory: false,
                error: String::new(),
                address: None,
            })
        })
    }

    fn stop<'a>(&'a self, _: &'a str, _: Duration) -> Answer<'a, ()> {
        self.answer(|_| ())
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.answer(|_| ()).await?;
            self.lose(container);
            Ok(())
        })
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        panic!("nobody asked to remove the home {name}");
    }

    fn logs<'a>(&'a self, container_id: &'a str, _: u32) -> Answer<'a, String> {
        self.answer(move |_| format!("the log of {container_id}"))
    }

    fn inventory<'a>(&'a self, installation: &'a str) -> Answer<'a, Inventory> {
        self.answer(move |world| {
            world.inventories += 1;
            let containers = world.containers.iter().filter(|(_, whose)| whose.installation == installation);
            let networks = world.networks.iter().filter(|(_, whose)| whose.installation == installation);
            Inventory {
                containers: containers
                    .map(|(id, whose)| Found {
                        container_id: id.clone(),
                        desktop_id: whose.desktop.clone(),
                        running: true,
                    })
                    .collect(),
                networks: networks
                    .map(|(name, whose)| FoundNetwork {
                        name: name.clone(),
                        desktop_id: whose.desktop.clone(),
                        subnet: None,
                    })
                    .collect(),
            }
        })
    }

    fn events<'a>(&'a self, _: &'a str) -> BoxStream<'a, Result<EngineEvent, EngineError>> {
        let following = Some((self.said.subscribe(), self.world.subscribe()));
        unfold(following, |following| async {
            let (mut said, mut world) = following?;
            let event = tokio::select! {
                event = said.recv() => Some(event.unwrap()),
                _ = world.wait_for(|world| world.mood == Mood::Away) => None,
            };
            Some(match event {
                Some(event) => (Ok(event), Some((said, world))),
                None => (Err(EngineError::Unavailable("it went away".into())), None),
            })
        })
        .boxed()
    }
}

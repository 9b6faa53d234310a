//! An engine in memory, for what a real one cannot be made to do on demand: to refuse or to hang at a certain step.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{mpsc, oneshot};

use crate::desktop::engine::{
    Answer, ContainerSpec, Created, Engine, EngineError, EngineEvent, EngineInfo, Inspected, Inventory, NetworkSpec,
};
use crate::desktop::progress::{LayerNews, LayerState};

const CALLS: usize = 64;

/// What an engine may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    HasImage,
    Pull,
    CreateNetwork,
    RemoveNetwork,
    Create,
    Start,
    Inspect,
    Stop,
    Remove,
    RemoveVolume,
    Logs,
}

/// What it has.
#[derive(Debug, Default)]
pub struct Stock {
    pub images: Vec<String>,
    /// By id.
    pub containers: BTreeMap<String, Container>,
    /// Names, with their subnets.
    pub networks: BTreeMap<String, String>,
    /// All that was asked, in order.
    pub log: Vec<(Op, String)>,
    made: u32,
    /// What is answered in the place of the truth, the next first; None: the truth.
    refusals: HashMap<Op, VecDeque<Option<EngineError>>>,
    /// Calls that are answered when somebody lets them.
    held: HashMap<Op, Vec<oneshot::Sender<oneshot::Sender<()>>>>,
    /// What every container writes.
    pub words: String,
    /// How a container ends as soon as it is started.
    pub dies_at_start: Option<i64>,
    /// Ports that somebody else on the host has.
    pub taken_ports: Vec<u16>,
}

#[derive(Debug, Clone)]
pub struct Container {
    pub spec: ContainerSpec,
    pub running: bool,
    pub exit_code: i64,
    pub out_of_memory: bool,
}

type Change = Box<dyn FnOnce(&mut Stock) + Send>;

/// See the module's documentation. Clones are the same engine.
#[derive(Clone)]
pub struct FakeEngine(mpsc::Sender<Change>);

impl FakeEngine {
    pub fn start() -> Self {
        let (changes, mut asked) = mpsc::channel::<Change>(CALLS);
        actix_rt::spawn(async move {
            let mut stock = Stock { images: vec!["example/web:1".into()], ..Stock::default() };
            while let Some(change) = asked.recv().await {
                change(&mut stock);
            }
        });
        Self(changes)
    }

    /// Do something with what it has.
    pub async fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Stock) -> T + Send + 'static) -> T {
        let (answer, done) = oneshot::channel();
        let change: Change = Box::new(move |stock| drop(answer.send(work(stock))));
        assert!(self.0.send(change).await.is_ok(), "the engine's task has ended");
        done.await.unwrap()
    }

    pub async fn stock(&self) -> Stock {
        self.with(|stock| clone(stock)).await
    }

    /// Answer the next call of this kind with an error.
    pub async fn refuse(&self, op: Op, error: EngineError) {
        self.with(move |stock| stock.refusals.entry(op).or_default().push_back(Some(error))).await;
    }

    /// The next call of this kind hangs. The answer comes when it does, and dropping that lets it go on.
    pub async fn hold(&self, op: Op) -> oneshot::Receiver<oneshot::Sender<()>> {
        let (reached, waiting) = oneshot::channel();
        self.with(move |stock| stock.held.entry(op).or_default().push(reached)).await;
        waiting
    }

    fn call<T: Send + 'static>(
        &self,
        op: Op,
        of: &str,
        work: impl FnOnce(&mut Stock) -> Result<T, EngineError> + Send + 'static,
    ) -> Answer<'_, T> {
        let of = of.to_owned();
        Box::pin(async move {
            let hold = self.with(move |stock| {
                stock.log.push((op, of));
                stock.held.get_mut(&op).and_then(Vec::pop)
            });
            if let Some(reached) = hold.await {
                let (release, released) = oneshot::channel();
                let _ = reached.send(release);
                let _ = released.await;
            }
            self.with(move |stock| match stock.refusals.get_mut(&op).and_then(VecDeque::pop_front).flatten() {
                Some(error) => Err(error),
                None => work(stock),
            })
            .await
        })
    }
}

fn clone(stock: &Stock) -> Stock {
    Stock {
        images: stock.images.clone(),
        containers: stock.containers.clone(),
        networks: stock.networks.clone(),
        log: stock.log.clone(),
        words: stock.words.clone(),
        ..Stock::default()
    }
}

impl Stock {
    fn id_of(&self, container: &str) -> Option<String> {
        let is_it = |(id, known): &(&String, &Container)| *id == container || known.spec.name == container;
        self.containers.iter().find(is_it).map(|(id, _)| id.clone())
    }

    pub fn asked(&self, op: Op) -> usize {
        self.log.iter().filter(|(asked, _)| *asked == op).count()
    }
}

impl Engine for FakeEngine {
    fn hello(&self) -> Answer<'_, EngineInfo> {
        let info = EngineInfo { name: "Fake".into(), version: "1".into(), api_version: "1.41".into() };
        Box::pin(async move { Ok(info) })
    }

    fn has_image<'a>(&'a self, image: &'a str) -> Answer<'a, bool> {
        let wanted = image.to_owned();
        self.call(Op::HasImage, image, move |stock| Ok(stock.images.contains(&wanted)))
    }

    fn pull<'a>(&'a self, image: &'a str) -> BoxStream<'a, Result<LayerNews, EngineError>> {
        let news =
            |done| LayerNews { id: "layer".into(), state: LayerState::Downloading, done: Some(done), total: Some(9) };
        let name = image.to_owned();
        let end = self.call(Op::Pull, image, move |stock| {
            stock.images.push(name);
            Ok(())
        });
        let end = stream::once(end).filter_map(|end| async move { end.err().map(Err) });
        stream::iter([Ok(news(3))]).chain(end).boxed()
    }

    fn create_network<'a>(&'a self, network: &'a NetworkSpec) -> Answer<'a, ()> {
        let spec = network.clone();
        self.call(Op::CreateNetwork, &network.name, move |stock| {
            match stock.networks.insert(spec.name.clone(), spec.subnet.to_string()) {
                None => Ok(()),
                Some(_) => Err(EngineError::NameTaken(spec.name)),
            }
        })
    }

    fn remove_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        let network = name.to_owned();
        self.call(Op::RemoveNetwork, name, move |stock| {
            if stock.containers.values().any(|container| container.spec.network == network) {
                return Err(EngineError::Other(format!("network {network} has active endpoints")));
            }
            stock.networks.remove(&network);
            Ok(())
        })
    }

    fn join_network<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn create<'a>(&'a self, container: &'a ContainerSpec) -> Answer<'a, Created> {
        let spec = container.clone();
        self.call(Op::Create, &container.name, move |stock| {
            if stock.id_of(&spec.name).is_some() {
                return Err(EngineError::NameTaken(spec.name));
            }
            stock.made += 1;
            let container_id = format!("container-{}", stock.made);
            let made = Container { spec, running: false, exit_code: 0, out_of_memory: false };
            stock.containers.insert(container_id.clone(), made);
            Ok(Created { container_id, limits_skipped: vec!["pids".into()] })
        })
    }

    fn start<'a>(&'a self, container_id: &'a str) -> Answer<'a, ()> {
        let id = container_id.to_owned();
        self.call(Op::Start, container_id, move |stock| {
            let dies = stock.dies_at_start;
            let container = stock.containers.get_mut(&id).ok_or(EngineError::NotFound(id))?;
            let port = container.spec.publish.map(|publish| publish.host_port);
            if let Some(port) = port.filter(|port| stock.taken_ports.contains(port)) {
                return Err(EngineError::PortTaken(port));
            }
            container.running = dies.is_none();
            container.exit_code = dies.unwrap_or_default();
            Ok(())
        })
    }

    fn inspect<'a>(&'a self, container_id: &'a str, _: &'a str) -> Answer<'a, Option<Inspected>> {
        let id = container_id.to_owned();
        self.call(Op::Inspect, container_id, move |stock| {
            Ok(stock.containers.get(&id).map(|known| Inspected {
                container_id: id.clone(),
                running: known.running,
                removing: false,
                exit_code: known.exit_code,
                out_of_memory: known.out_of_memory,
                error: String::new(),
                address: None,
            }))
        })
    }

    fn stop<'a>(&'a self, container_id: &'a str, _: Duration) -> Answer<'a, ()> {
        let id = container_id.to_owned();
        self.call(Op::Stop, container_id, move |stock| {
            if let Some(container) = stock.id_of(&id).and_then(|id| stock.containers.get_mut(&id)) {
                container.running = false;
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        let id = container.to_owned();
        self.call(Op::Remove, container, move |stock| {
            if let Some(id) = stock.id_of(&id) {
                stock.containers.remove(&id);
            }
            Ok(())
        })
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        self.call(Op::RemoveVolume, name, |_| Ok(()))
    }

    fn logs<'a>(&'a self, container_id: &'a str, _: u32) -> Answer<'a, String> {
        self.call(Op::Logs, container_id, |stock| Ok(stock.words.clone()))
    }

    fn inventory<'a>(&'a self, _: &'a str) -> Answer<'a, Inventory> {
        Box::pin(async { Ok(Inventory::default()) })
    }

    fn events<'a>(&'a self, _: &'a str) -> BoxStream<'a, Result<EngineEvent, EngineError>> {
        stream::pending().boxed()
    }
}

/// As the actor has it.
pub fn shared(engine: &FakeEngine) -> Arc<dyn Engine> {
    Arc::new(engine.clone())
}

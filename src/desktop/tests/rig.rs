//! The actor with all that it needs, and what it tells its supervisor.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fake_engine::{FakeEngine, shared};
use super::upstream::Upstream;
use super::{database_with, desktop_type, row};
use crate::config::DesktopConfig;
use crate::desktop::engine::{EngineEvent, Found, Happening, Inventory};
use crate::desktop::kasm_container::{ContainerMeans, KasmContainer, NewContainer, Parent};
use crate::desktop::messages::{Accessed, Changed, Delete, IdleWarning, Reconcile, Start, Stop, Told};
use crate::desktop::{DesktopType, Status};
use crate::error::Error;
use crate::store::containers;
use crate::store::models::ContainerRow;
use crate::store::testing::TestDatabase;
use crate::supervision::{Cause, ChildDown, ChildGuard};
use crate::upstream::{Client, Connector};
use crate::vault::Vault;

/// What has not come after this does not come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the supervisor hears.
pub enum Heard {
    Changed(Box<Changed>),
    Idle(IdleWarning),
    Accessed(Accessed),
    Down(Cause),
}

/// Hands on what it is told.
struct Supervisor(mpsc::Sender<Heard>);

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<Changed> for Supervisor {
    type Result = ();
    fn handle(&mut self, changed: Changed, _: &mut Self::Context) {
        self.0.try_send(Heard::Changed(Box::new(changed))).unwrap();
    }
}

impl Handler<IdleWarning> for Supervisor {
    type Result = ();
    fn handle(&mut self, warning: IdleWarning, _: &mut Self::Context) {
        self.0.try_send(Heard::Idle(warning)).unwrap();
    }
}

impl Handler<Accessed> for Supervisor {
    type Result = ();
    fn handle(&mut self, accessed: Accessed, _: &mut Self::Context) {
        self.0.try_send(Heard::Accessed(accessed)).unwrap();
    }
}

impl Handler<ChildDown<String>> for Supervisor {
    type Result = ();
    fn handle(&mut self, down: ChildDown<String>, _: &mut Self::Context) {
        self.0.try_send(Heard::Down(down.cause)).unwrap();
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct End;

impl Handler<End> for Supervisor {
    type Result = ();
    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// How a rig differs from the usual one.
pub struct Plan {
    pub row: ContainerRow,
    pub desktop_type: Option<DesktopType>,
    pub engine_up: bool,
    /// A port range of this size, from the upstream's port on.
    pub ports: u16,
    pub ready_limit: Duration,
    pub pull_limit: Duration,
    pub password: Option<&'static str>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            row: row("stopped"),
            desktop_type: Some(desktop_type()),
            engine_up: true,
            ports: 1,
            ready_limit: PATIENCE,
            pull_limit: PATIENCE,
            password: None,
        }
    }
}

/// See the module's documentation.
pub struct Rig {
    pub container: Addr<KasmContainer>,
    pub engine: FakeEngine,
    pub upstream: Upstream,
    pub database: TestDatabase,
    pub desktop_type: Arc<DesktopType>,
    pub heard: mpsc::Receiver<Heard>,
    /// The last that was said of the desktop.
    pub last: Option<Changed>,
    supervisor: Addr<Supervisor>,
}

impl Rig {
    pub async fn start(plan: Plan) -> Self {
        let upstream = Upstream::start().await;
        let (heard, engine) = (mpsc::channel(1000), FakeEngine::start());
        Self::start_with(plan, upstream, engine, heard).await
    }

    async fn start_with(
        plan: Plan,
        upstream: Upstream,
        engine: FakeEngine,
        (hears, heard): (mpsc::Sender<Heard>, mpsc::Receiver<Heard>),
    ) -> Self {
        let (vault, port) = (Vault::for_tests(), upstream.address.port());
        let mut row = plan.row;
        row.password = plan.password.map(|password| vault.seal(&row.id, password));
        if row.container_id.is_some() {
            row.host_port = Some(port.into());
            row.subnet = Some("10.213.0.0/28".into());
        }
        let database = database_with(vec![row.clone()]);
        let config = DesktopConfig {
            ports: port..=port + (plan.ports - 1),
            publish: IpAddr::from([127, 0, 0, 1]),
            ready_limit: plan.ready_limit,
            pull_limit: plan.pull_limit,
            ..DesktopConfig::for_tests()
        };
        let means = ContainerMeans {
            config,
            store: database.store.clone(),
            vault,
            engine: shared(&engine),
            installation: "0123456789abcdef".into(),
            client: Client::new(Connector::new().unwrap()),
        };
        let supervisor = Supervisor(hears).start();
        let parent = Parent {
            changed: supervisor.clone().recipient(),
            idle: supervisor.clone().recipient(),
            accessed: supervisor.clone().recipient(),
        };
        let guard = ChildGuard::new(row.id.clone(), supervisor.clone().recipient(), ());
        let desktop_type = plan.desktop_type.map(Arc::new);
        let new = NewContainer {
            row,
            desktop_type: desktop_type.clone(),
            username: "alice".into(),
            means,
            engine_up: plan.engine_up,
            parent,
            guard,
        };
        let desktop_type = desktop_type.unwrap_or_else(|| Arc::new(super::desktop_type()));
        let container = KasmContainer::new(new).start();
        Self { container, engine, upstream, database, desktop_type, heard, last: None, supervisor }
    }

    pub async fn hear(&mut self) -> Heard {
        let heard = timeout(PATIENCE, self.heard.recv()).await.expect("nothing more is said");
        heard.expect("the supervisor has gone")
    }

    pub async fn changed(&mut self) -> Changed {
        loop {
            if let Heard::Changed(changed) = self.hear().await {
                self.last = Some(*changed.clone());
                return *changed;
            }
        }
    }

    /// Wait for the transition to a status; those on the way to it.
    pub async fn until(&mut self, status: Status) -> Vec<Status> {
        let mut passed = Vec::new();
        loop {
            let changed = self.changed().await;
            if changed.from.is_none() {
                continue;
            }
            passed.push(changed.view.status);
            if changed.view.status == status {
                return passed;
            }
        }
    }

    pub async fn ask_start(&self) -> Result<(), Error> {
        self.container.send(Start(self.desktop_type.clone())).await.unwrap()
    }

    pub async fn ask_stop(&self) -> Result<(), Error> {
        self.container.send(Stop { reason: None }).await.unwrap()
    }

    pub async fn ask_delete(&self, home: bool) -> Result<(), Error> {
        self.container.send(Delete { home }).await.unwrap()
    }

    /// Bring it up from nothing.
    pub async fn ready(plan: Plan) -> Self {
        let mut rig = Self::start(plan).await;
        rig.ask_start().await.unwrap();
        rig.until(Status::Ready).await;
        rig
    }

    pub fn last(&self) -> &Changed {
        self.last.as_ref().unwrap()
    }

    pub fn reason(&self) -> String {
        self.last().view.reason.clone().unwrap_or_default()
    }

    pub async fn tell(&self, what: Happening) {
        let container_id = self.last().row.container_id.clone().unwrap();
        self.tell_of(&container_id, what).await;
    }

    pub async fn tell_of(&self, container_id: &str, what: Happening) {
        let event = EngineEvent { container_id: container_id.into(), desktop_id: "the-desktop".into(), what };
        self.container.send(Told(event)).await.unwrap();
    }

    /// The engine is there, and has this.
    pub async fn reconcile(&self) {
        let stock = self.engine.stock().await;
        let found = |(id, container): (String, super::fake_engine::Container)| Found {
            container_id: id,
            desktop_id: "the-desktop".into(),
            running: container.running,
        };
        let containers = stock.containers.into_iter().map(found).collect();
        let inventory = Inventory { containers, networks: Vec::new() };
        self.container.send(Reconcile(Arc::new(inventory))).await.unwrap();
    }

    pub fn stored(&self) -> Option<ContainerRow> {
        self.database.store.run_now(containers::list).unwrap().pop()
    }

    /// Nothing stands in the engine, and the row holds nothing.
    pub async fn assert_nothing_is_left(&self) {
        let stock = self.engine.stock().await;
        assert!(
            stock.containers.is_empty() && stock.networks.is_empty(),
            "{:?} {:?}",
            stock.containers,
            stock.networks
        );
        let Some(row) = self.stored() else { return };
        let held = (row.container_id, row.host_port, row.subnet, row.address, row.password);
        assert_eq!(held, (None, None, None, None, None));
    }

    /// It ends, whoever still has its address.
    pub async fn lose_supervisor(&self) {
        self.supervisor.send(End).await.unwrap();
    }
}

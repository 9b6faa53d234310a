//! The tree of the server with two people and the fake engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::timeout;

use super::UntilEngine;
use super::fake_engine::{FakeEngine, Mood, Owned, World};
use crate::config::TunnelConfig;
use crate::desktop::commands::{CreateDesktop, GetDesktop, Ping};
use crate::desktop::view::DesktopView;
use crate::desktop::{Routes, Status};
use crate::error::Error;
use crate::http::AppState;
use crate::identity::directory;
use crate::identity::news::Event;
use crate::server::tests::{plan, start_tree};
use crate::store::models::ContainerRow;
use crate::store::testing::{TestDatabase, database, user};
use crate::store::{containers, users};

/// What has not come after this does not come.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Rig {
    pub state: AppState,
    pub engine: Arc<FakeEngine>,
    pub database: TestDatabase,
}

impl Rig {
    pub async fn start(mood: Mood) -> Self {
        Self::over(mood, &[], |_, _| {}).await
    }

    /// With these desktops in the database, and an engine prepared for an installation.
    pub async fn over(mood: Mood, rows: &[ContainerRow], prepare: impl FnOnce(&mut World, &str)) -> Self {
        let (database, engine) = (database(), Arc::new(FakeEngine::new(mood)));
        let people = ["alice", "alice-ubuntu", "bob"];
        people.iter().for_each(|name| database.store.run_now(|c| users::insert(c, &user(name))).unwrap());
        rows.iter().for_each(|row| database.store.run_now(|c| containers::insert(c, row)).unwrap());
        engine.world.send_modify(|world| prepare(world, database.store.installation_id()));
        let mut plan = plan(database.store.clone(), TunnelConfig::for_tests(20_000..=20_010));
        plan.engine = engine.clone();
        let (state, _) = start_tree(plan);
        state.tell(directory::Ping).await.unwrap();
        timeout(PATIENCE, state.ask_desktops(Ping)).await.expect("the desktops are read").unwrap();
        Self { state, engine, database }
    }

    pub async fn create(&self, username: &str, desktop_type: &str) -> Result<DesktopView, Error> {
        let create = CreateDesktop {
            owner_id: format!("id-of-{username}"),
            username: username.into(),
            desktop_type: desktop_type.into(),
            limit: Some(2),
        };
        self.state.ask_desktops(create).await.unwrap()
    }

    pub async fn get(&self, id: &str) -> Result<DesktopView, Error> {
        self.state.ask_desktops(GetDesktop(id.to_owned())).await.unwrap()
    }

    /// Wait until the gateway is told this.
    pub async fn until_routes(&self, what: &str, is_it: impl Fn(&Routes) -> bool) {
        let mut routes = self.state.routes.clone();
        let told = timeout(PATIENCE, routes.wait_for(|routes| is_it(routes))).await;
        drop(told.unwrap_or_else(|_| panic!("{what} in time")).unwrap());
    }

    pub async fn until_status(&self, proxy_path: &str, status: Status) {
        let is_it = |routes: &Routes| routes.get(proxy_path).is_some_and(|route| route.status == status);
        self.until_routes(&format!("{proxy_path} is {}", status.as_str()), is_it).await;
    }

    /// Wait until the engine has this.
    pub async fn until_world(&self, what: &str, is_it: impl Fn(&World) -> bool) {
        let mut world = self.engine.world.subscribe();
        let is_so = timeout(PATIENCE, world.wait_for(|world| is_it(world))).await;
        drop(is_so.unwrap_or_else(|_| panic!("{what} in time")).unwrap());
    }

    /// Change how the engine answers, and wait until the supervisor knows.
    pub async fn set(&self, mood: Mood) {
        self.engine.set(mood);
        let known = self.state.ask_desktops(UntilEngine(mood == Mood::Up));
        timeout(PATIENCE, known).await.expect("it is noticed").unwrap();
    }

    /// A desktop whose container runs, and the container's id.
    pub async fn running(&self, username: &str, desktop_type: &str) -> (DesktopView, String) {
        let view = self.create(username, desktop_type).await.unwrap();
        self.until_status(&view.proxy_path, Status::Starting).await;
        let container = self.containers_of(&view.id).pop().expect("it has a container");
        self.until_world("it runs", |world| world.started.contains(&container)).await;
        (view, container)
    }

    pub fn containers_of(&self, id: &str) -> Vec<String> {
        let world = self.engine.world.borrow();
        world.containers.iter().filter(|(_, whose)| whose.desktop == id).map(|(id, _)| id.clone()).collect()
    }

    pub fn row(&self, id: &str) -> Option<ContainerRow> {
        self.database.store.run_now(|c| containers::find(c, id)).unwrap()
    }

    pub fn rows(&self) -> Vec<ContainerRow> {
        self.database.store.run_now(containers::list).unwrap()
    }

    pub async fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        let events = self.state.events.subscribe("id-of-alice").await.unwrap();
        events.events.resubscribe()
    }
}

/// The next event of this name.
pub async fn next_event(events: &mut broadcast::Receiver<Arc<Event>>, name: &str) -> Arc<Event> {
    timeout(PATIENCE, async {
        loop {
            let event = events.recv().await.expect("the bus lives");
            if event.name == name {
                return event;
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{name} in time"))
}

pub fn owned(installation: &str, desktop: &str) -> Owned {
    Owned { installation: installation.into(), desktop: desktop.into() }
}

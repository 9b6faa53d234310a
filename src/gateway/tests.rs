//! The gateway between a browser and an upstream that says what it is told to.

mod access;
mod cuts;
mod passage;

use std::sync::Arc;

use actix_web::http::Method;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::desktop::{Kind, Route, Routes, Status};
use crate::http::test_support::{Answer, TestApi, Tokens, state, token_of};
use crate::http::{AppState, Settings};
use crate::identity::Scope;
use crate::identity::directory::{LookAgain, OpenSession};
use crate::store::models::UserRow;
use crate::store::testing::user;
use crate::store::{tokens, users};
use crate::upstream::Upstream;

const ADMIN: &str = "id-of-admin";
const BOB: &str = "id-of-bob";
/// The host that browsers ask for.
const HOST: (&str, &str) = ("host", "desk.example.org");
const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// Bob's desktop, entered at its root.
fn route(kind: Kind, upstream: Option<&Upstream>) -> Route {
    Route {
        desktop_id: "d1".into(),
        owner_id: BOB.into(),
        proxy_path: "bob-x".into(),
        label: "A desktop".into(),
        kind,
        status: if upstream.is_some() { Status::Ready } else { Status::Starting },
        upstream: upstream.cloned(),
        strip_prefix: true,
        entry_path: "/".into(),
        activity: Arc::default(),
        cut: CancellationToken::new(),
    }
}

/// People, and a desktop.
struct House {
    state: AppState,
    tokens: Tokens,
    /// Cookie headers' values.
    admin: String,
    bob: String,
    /// Bob's tokens for desktops: to use them, and to list them.
    writer: String,
    reader: String,
    route: Arc<Route>,
}

impl House {
    async fn with(route: Route) -> Self {
        let (mut state, tokens) = state().await;
        let row = UserRow { role: "user".into(), ..user("bob") };
        let writer = token_of(&row, "writer", &[Scope::DesktopsWrite]);
        let reader = token_of(&row, "reader", &[Scope::DesktopsRead]);
        let rows = [writer.1, reader.1];
        let stored = state.store.run_now(|c| {
            users::insert(c, &row)?;
            rows.iter().try_for_each(|row| tokens::insert(c, row))
        });
        stored.unwrap();
        state.tell(LookAgain).await.unwrap();
        let route = Arc::new(route);
        state.routes = watch::channel(Arc::new([route.clone()].into_iter().collect::<Routes>())).1;
        let (admin, bob) = (cookie(&state, ADMIN).await, cookie(&state, BOB).await);
        Self { state, tokens, admin, bob, writer: writer.0, reader: reader.0, route }
    }

    /// Behind a proxy that may speak of its clients.
    fn behind_proxy(mut self) -> Self {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        self.state.settings = Arc::new(Settings { trusted_proxies, ..(*self.state.settings).clone() });
        self
    }

    async fn api(self) -> Visitor {
        let Self { state, tokens, admin, bob, writer, reader, route } = self;
        Visitor { api: TestApi::of((state, tokens)).await, admin, bob, writer, reader, route }
    }
}

async fn cookie(state: &AppState, user_id: &str) -> String {
    let opened = state.tell(OpenSession::for_tests(user_id)).await.unwrap().unwrap();
    format!("dockway_session={}", opened.id)
}

/// Calls the handlers without a socket.
struct Visitor {
    api: TestApi,
    admin: String,
    bob: String,
    writer: String,
    reader: String,
    route: Arc<Route>,
}

impl Visitor {
    async fn call(&self, method: Method, path: &str, cookie: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![HOST];
        if !cookie.is_empty() {
            all.push(("cookie", cookie));
        }
        all.extend_from_slice(headers);
        self.api.call_with(method, path, &all, body).await
    }

    /// As Bob's browser.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.call(Method::GET, path, &self.bob, headers, "").await
    }
}

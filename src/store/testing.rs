//! Databases and rows for tests: real files in a directory that goes with them.

use super::models::{AgentRow, ContainerRow, OwnLimits, ProxyRow, UserRow};
use super::{Store, agents, users};

/// A database of its own.
pub(crate) struct TestDatabase {
    pub store: Store,
    pub directory: tempfile::TempDir,
}

impl TestDatabase {
    pub fn url(&self) -> String {
        format!("sqlite://{}/dockway.db", self.directory.path().display())
    }
}

pub(crate) fn database() -> TestDatabase {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite://{}/dockway.db", directory.path().display())).unwrap();
    TestDatabase { store, directory }
}

/// With the agent and its owner, `owner`.
pub(crate) fn database_with_agent(client_id: &str) -> TestDatabase {
    let database = database();
    database.store.run_now(|c| users::insert(c, &user("owner")).and(agents::insert(c, &agent(client_id)))).unwrap();
    database
}

pub(crate) fn user(username: &str) -> UserRow {
    UserRow {
        id: format!("id-of-{username}"),
        username: username.into(),
        display_name: None,
        email: None,
        password_hash: None,
        role: "admin".into(),
        active: true,
        created_at: 1,
        last_sign_in: None,
        limits: OwnLimits::default(),
    }
}

pub(crate) fn agent(client_id: &str) -> AgentRow {
    AgentRow {
        client_id: client_id.into(),
        owner_id: "id-of-owner".into(),
        shared: false,
        token_hash: "hash".into(),
        created_at: 1,
        last_seen: None,
        address: None,
        version: None,
    }
}

pub(crate) fn proxy(proxy_id: &str, client_id: &str, local_port: i32) -> ProxyRow {
    ProxyRow {
        proxy_id: proxy_id.into(),
        client_id: client_id.into(),
        owner_id: "id-of-owner".into(),
        name: None,
        protocol: "tcp".into(),
        remote_host: "127.0.0.1".into(),
        remote_port: 22,
        local_port,
        bind: None,
        enabled: true,
        allow: String::new(),
        max_connections: None,
        bytes_in: 0,
        bytes_out: 0,
        connections_total: 0,
        dial_errors: 0,
        last_dial_error: None,
        created_at: 1,
    }
}

/// A desktop that is stopped, of one of the types that come with the program.
pub(crate) fn container(id: &str, owner: &str, desktop_type: &str) -> ContainerRow {
    ContainerRow {
        id: id.into(),
        owner_id: format!("id-of-{owner}"),
        type_id: desktop_type.into(),
        proxy_path: format!("{owner}-{desktop_type}"),
        status: "stopped".into(),
        reason: None,
        container_id: None,
        host_port: None,
        subnet: None,
        address: None,
        password: None,
        created_at: 1,
        started_at: None,
        stopped_at: None,
        last_accessed: None,
    }
}

/// Do something to the database that no query of this crate does.
pub(crate) fn execute(store: &Store, sql: &str) {
    store.run_now(|c| Ok(diesel::RunQueryDsl::execute(diesel::sql_query(sql), c)?)).unwrap();
}

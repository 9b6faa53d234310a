//! A KasmContainer with a real database, a real upstream and an engine in memory that fails on demand.

mod failures;
mod fake_engine;
mod idleness;
mod life;
mod pictures;
mod reconciling;
mod rig;
mod upstream;

use std::collections::BTreeMap;

use super::DesktopType;
use super::desktop_type::Kind;
use crate::store::models::ContainerRow;
use crate::store::testing::{TestDatabase, database, user};
use crate::store::{containers, desktop_types, users};
use crate::upstream::Scheme;

pub(crate) fn row(status: &str) -> ContainerRow {
    ContainerRow {
        id: "the-desktop".into(),
        owner_id: "id-of-alice".into(),
        type_id: "the-type".into(),
        proxy_path: "alice-web".into(),
        status: status.into(),
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

/// One of several, each of a type of its own.
pub(crate) fn row_of(id: &str, status: &str) -> ContainerRow {
    let (type_id, proxy_path) = (format!("type-of-{id}"), format!("alice-{id}"));
    ContainerRow { id: id.into(), type_id, proxy_path, ..row(status) }
}

pub(crate) fn desktop_type() -> DesktopType {
    DesktopType {
        id: "the-type".into(),
        name: "web".into(),
        label: "A web application".into(),
        kind: Kind::Web,
        image: "example/web:1".into(),
        port: 8080,
        scheme: Scheme::Http,
        strip_prefix: true,
        entry_path: "/entry?of={proxy_path}".into(),
        basic_user: Some("kasm_user".into()),
        env: BTreeMap::from([("VNC_PW".to_owned(), "{password}".to_owned())]),
        command: None,
        shm_bytes: None,
        cpus: None,
        memory_bytes: None,
        pids: None,
        cap_add: Vec::new(),
        no_new_privileges: true,
        seccomp: None,
        extra_hosts: Vec::new(),
        persistent_home: true,
        home_path: "/home/kasm-user".into(),
        idle_limit_s: None,
        enabled: true,
        created_at: 1,
    }
}

/// A database with alice, these desktops, and their types.
pub(crate) fn database_with(rows: Vec<ContainerRow>) -> TestDatabase {
    let database = database();
    let insert = |c: &mut _| {
        users::insert(c, &user("alice"))?;
        for row in &rows {
            let known = DesktopType { id: row.type_id.clone(), name: row.type_id.clone(), ..desktop_type() };
            desktop_types::insert(c, &known.into_row())?;
            containers::insert(c, row)?;
        }
        Ok(())
    };
    database.store.run_now(insert).unwrap();
    database
}

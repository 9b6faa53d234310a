//! Dockway itself, started from the release binary on a database of its own.
//!
//! No engine runs containers here. The database says that two desktops are ready, and a server whose engine does not
//! answer believes it: the gateway then has routes to the two servers of the upstream.

use super::http::{Client, PLAIN_PREFIX, TLS_PREFIX};
use super::upstream::Upstream;
use crate::common::Outcome;
use crate::common::dockway::{START_LIMIT, make_admin, serve};
use crate::common::subject::Subject;
use ::dockway::store::models::{ContainerRow, DesktopTypeRow};
use ::dockway::store::{Store, containers, desktop_types, users};
use std::path::Path;
use tempfile::TempDir;

/// Owns both desktops.
const OWNER: &str = "bench";

/// Starts the server; gives the subject, its directory, and the token of the desktops' owner.
pub fn start(binary: &Path, upstream: &Upstream) -> Outcome<(Subject, TempDir, String)> {
    let directory = tempfile::Builder::new().prefix("dockway-bench-").tempdir()?;
    let token = make_admin(binary, directory.path(), OWNER)?;
    let database = format!("sqlite://{}", directory.path().join("dockway.db").display());
    let store = Store::open(&database)?;
    add_desktop(&store, PLAIN_PREFIX, "http", upstream.plain.port())?;
    add_desktop(&store, TLS_PREFIX, "https", upstream.tls.port())?;
    drop(store);

    let (running, address) = serve(binary, directory.path())?;
    let mut subject = Subject::of_processes("dockway", address, vec![running]);
    let attempt = |address| {
        let client = Client { address, token: token.clone() };
        client.try_small(PLAIN_PREFIX)?;
        client.try_small(TLS_PREFIX)
    };
    subject.wait_until_ready(START_LIMIT, attempt)?;
    Ok((subject, directory, token))
}

/// Writes down a desktop that is ready behind `port`, and its type.
fn add_desktop(store: &Store, prefix: &str, scheme: &str, port: u16) -> Outcome<()> {
    let proxy_path = prefix.trim_matches('/').trim_start_matches("desktop/");
    let desktop_type = desktop_type(proxy_path, scheme, port);
    store.run_now(|c| {
        let owner = users::find_by_name(c, OWNER)?.ok_or(::dockway::store::StoreError::Missing)?;
        desktop_types::insert(c, &desktop_type)?;
        containers::insert(c, &container(&owner.id, proxy_path, port))
    })?;
    Ok(())
}

fn desktop_type(name: &str, scheme: &str, port: u16) -> DesktopTypeRow {
    DesktopTypeRow {
        id: name.to_owned(),
        name: name.to_owned(),
        label: name.to_owned(),
        kind: "web".to_owned(),
        image: "bench/upstream:1".to_owned(),
        port: i32::from(port),
        scheme: scheme.to_owned(),
        strip_prefix: true,
        entry_path: "/".to_owned(),
        basic_user: None,
        env: "{}".to_owned(),
        command: None,
        shm_bytes: None,
        cpus: None,
        memory_bytes: None,
        pids: None,
        cap_add: "[]".to_owned(),
        no_new_privileges: true,
        seccomp: None,
        extra_hosts: "[]".to_owned(),
        persistent_home: false,
        home_path: "/home/bench".to_owned(),
        idle_limit_s: None,
        enabled: true,
        created_at: 1,
    }
}

fn container(owner_id: &str, name: &str, port: u16) -> ContainerRow {
    ContainerRow {
        id: name.to_owned(),
        owner_id: owner_id.to_owned(),
        type_id: name.to_owned(),
        proxy_path: name.to_owned(),
        status: "ready".to_owned(),
        reason: None,
        container_id: Some(name.to_owned()),
        host_port: Some(i32::from(port)),
        subnet: None,
        address: None,
        password: None,
        created_at: 1,
        started_at: Some(1),
        stopped_at: None,
        last_accessed: None,
    }
}

//! The API with two people's desktops, stopped, and an engine that is not there.

use super::{TestApi, state_with, token_of};
use crate::identity::Scope;
use crate::store::models::ContainerRow;
use crate::store::testing::user;
use crate::store::{containers, tokens, users};

/// Tokens of those who have desktops.
pub struct DesktopTokens {
    /// May do everything.
    pub admin: String,
    /// Belongs to the same administrator, for desktops only.
    pub admin_without_scope: String,
    /// Belongs to `alice`, who is no administrator.
    pub alice: String,
    /// Belongs to `alice` and may only read.
    pub reader: String,
}

/// `d-admin` belongs to `admin` and `d-alice` to `alice`; both are of the type `debian-desktop`.
pub async fn desktops() -> (TestApi, DesktopTokens) {
    let mut alice = user("alice");
    alice.role = "user".into();
    let admin = user("admin");
    let both = [Scope::DesktopsRead, Scope::DesktopsWrite];
    let (own, reading) = (token_of(&alice, "own", &both), token_of(&alice, "looking", &[Scope::DesktopsRead]));
    let narrow = token_of(&admin, "narrow", &both);
    let rows = [own.1, reading.1, narrow.1];
    let both_desktops = [stopped("d-admin", "admin"), stopped("d-alice", "alice")];
    let prepared = state_with(move |c| {
        users::insert(c, &alice)?;
        rows.iter().try_for_each(|row| tokens::insert(c, row))?;
        both_desktops.iter().try_for_each(|row| containers::insert(c, row))
    });
    let api = TestApi::of(prepared.await).await;
    let admin = api.tokens.admin.clone();
    (api, DesktopTokens { admin, admin_without_scope: narrow.0, alice: own.0, reader: reading.0 })
}

fn stopped(id: &str, owner: &str) -> ContainerRow {
    ContainerRow {
        id: id.into(),
        owner_id: format!("id-of-{owner}"),
        type_id: "debian-desktop".into(),
        proxy_path: format!("{owner}-debian-desktop"),
        status: "stopped".into(),
        reason: None,
        container_id: None,
        host_port: None,
        subnet: None,
        address: None,
        password: None,
        created_at: 0,
        started_at: None,
        stopped_at: Some(1),
        last_accessed: None,
    }
}

//! Rows as they stand in the database. Times are milliseconds since 1970 UTC, so that every backend stores them alike.

use diesel::prelude::*;

use super::schema::{agents, api_tokens, audit_log, containers, desktop_types, identities, proxies, sessions, users};

/// A tunnel that should be.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = proxies, treat_none_as_default_value = false)]
pub struct ProxyRow {
    pub proxy_id: String,
    pub client_id: String,
    pub owner_id: String,
    pub name: Option<String>,
    pub protocol: String,
    pub remote_host: String,
    pub remote_port: i32,
    pub local_port: i32,
    /// None: the server's `--tunnel-bind`.
    pub bind: Option<String>,
    pub enabled: bool,
    /// CIDRs, separated by commas; empty means everybody.
    pub allow: String,
    pub max_connections: Option<i32>,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub connections_total: i64,
    pub dial_errors: i64,
    pub last_dial_error: Option<String>,
    pub created_at: i64,
}

/// An agent that may log in.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = agents, treat_none_as_default_value = false)]
pub struct AgentRow {
    pub client_id: String,
    pub owner_id: String,
    pub shared: bool,
    /// SHA-256 of the token, hex.
    pub token_hash: String,
    pub created_at: i64,
    pub last_seen: Option<i64>,
    pub address: Option<String>,
    pub version: Option<String>,
}

/// A person or script with an account.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = users, treat_none_as_default_value = false)]
pub struct UserRow {
    pub id: String,
    pub username: String,
    pub display_name: Option<String>,
    pub email: Option<String>,
    /// argon2id in PHC form; None: no sign-in by password.
    pub password_hash: Option<String>,
    /// `admin` or `user`.
    pub role: String,
    pub active: bool,
    pub created_at: i64,
    pub last_sign_in: Option<i64>,
    #[diesel(embed)]
    pub limits: OwnLimits,
}

/// The most that one person may have of each kind; None: the limit of the role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = users, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct OwnLimits {
    pub max_tunnels: Option<i32>,
    pub max_desktops: Option<i32>,
    pub max_agents: Option<i32>,
    pub max_tokens: Option<i32>,
}

/// What an OpenID provider calls a person, and whose account that is.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = identities)]
pub struct IdentityRow {
    /// Name of the provider in the settings.
    pub provider: String,
    /// The provider's `sub`, which it never gives to anybody else.
    pub subject: String,
    pub user_id: String,
    pub created_at: i64,
}

/// A person who is signed in with a browser.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    /// SHA-256 of the session's id, hex; the id itself is only in the browser's cookie.
    pub id_hash: String,
    pub user_id: String,
    pub created_at: i64,
    pub last_used: i64,
    /// When it ends even if it is used.
    pub expires_at: i64,
    /// `password`, or the name of an OpenID provider.
    pub method: String,
}

/// What somebody did. Written once and never changed.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log, treat_none_as_default_value = false)]
pub struct AuditRow {
    /// Rises with every entry.
    pub id: i64,
    pub at: i64,
    pub actor: String,
    pub action: String,
    pub object: Option<String>,
    pub address: Option<String>,
    pub outcome: String,
    pub detail: Option<String>,
}

/// An API token of a user.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = api_tokens, treat_none_as_default_value = false)]
pub struct TokenRow {
    pub id: String,
    pub user_id: String,
    pub name: String,
    /// SHA-256 of the token, hex.
    pub token_hash: String,
    /// Scopes, separated by spaces.
    pub scopes: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub last_used: Option<i64>,
}

/// A kind of desktop, as an administrator described it. `desktop::DesktopType` is its parsed form.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = desktop_types, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct DesktopTypeRow {
    /// Names the homes that belong to it: it outlives a change of the name.
    pub id: String,
    pub name: String,
    pub label: String,
    /// `kasm` or `web`.
    pub kind: String,
    /// With a tag or a digest.
    pub image: String,
    pub port: i32,
    /// `http` or `https`.
    pub scheme: String,
    pub strip_prefix: bool,
    pub entry_path: String,
    pub basic_user: Option<String>,
    /// A JSON object of strings.
    pub env: String,
    /// A JSON array of strings; None: the image's own.
    pub command: Option<String>,
    pub shm_bytes: Option<i64>,
    pub cpus: Option<f64>,
    pub memory_bytes: Option<i64>,
    pub pids: Option<i64>,
    /// A JSON array of strings.
    pub cap_add: String,
    pub no_new_privileges: bool,
    /// The profile's JSON, or `unconfined`; None: the engine's default.
    pub seccomp: Option<String>,
    /// A JSON array of `name:address`.
    pub extra_hosts: String,
    pub persistent_home: bool,
    pub home_path: String,
    /// None: never stopped for being idle.
    pub idle_limit_s: Option<i64>,
    pub enabled: bool,
    pub created_at: i64,
}

/// A desktop that belongs to somebody, living or not.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = containers, treat_none_as_default_value = false)]
pub struct ContainerRow {
    pub id: String,
    pub owner_id: String,
    pub type_id: String,
    /// Unique: the part of the address after `/desktop/`.
    pub proxy_path: String,
    /// One of `desktop::Status`.
    pub status: String,
    pub reason: Option<String>,
    /// What the engine calls the container.
    pub container_id: Option<String>,
    /// Unique among those that have one.
    pub host_port: Option<i32>,
    /// Unique among those that have one, as CIDR.
    pub subnet: Option<String>,
    /// The container's own address, where it is reached by that.
    pub address: Option<String>,
    /// `VNC_PW`, encrypted by the vault.
    pub password: Option<String>,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub stopped_at: Option<i64>,
    pub last_accessed: Option<i64>,
}

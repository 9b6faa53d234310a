//! A kind of desktop: what runs, and how it is reached. The parsed form of its row. Pure.

use std::collections::BTreeMap;

use crate::store::models::DesktopTypeRow;
use crate::upstream::Scheme;

/// What the gateway may take for granted of the program in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Kasm image: no cookie goes to it, and its `/api/*` is closed to browsers.
    Kasm,
    /// Any web application: only Dockway's own cookies and credentials are kept from it.
    Web,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kasm => "kasm",
            Self::Web => "web",
        }
    }
}

/// See [`DesktopTypeRow`] for what is not explained here.
#[derive(Debug, Clone, PartialEq)]
pub struct DesktopType {
    pub id: String,
    pub name: String,
    pub label: String,
    pub kind: Kind,
    pub image: String,
    pub port: u16,
    pub scheme: Scheme,
    pub strip_prefix: bool,
    /// From its slash; may contain `{proxy_path}`, `{username}` and `{password}`, as may `env` and `command`.
    pub entry_path: String,
    pub basic_user: Option<String>,
    pub env: BTreeMap<String, String>,
    pub command: Option<Vec<String>>,
    pub shm_bytes: Option<u64>,
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
    pub cap_add: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: Option<String>,
    pub extra_hosts: Vec<String>,
    pub persistent_home: bool,
    pub home_path: String,
    pub idle_limit_s: Option<u64>,
    pub enabled: bool,
    pub created_at: i64,
}

/// What stands for `{proxy_path}`, `{username}` and `{password}`.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    pub proxy_path: &'a str,
    pub username: &'a str,
    pub password: &'a str,
}

impl Names<'_> {
    /// Put the values in, each place once: a value that looks like a placeholder stays as it is.
    pub fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let places =
                [("{proxy_path}", self.proxy_path), ("{username}", self.username), ("{password}", self.password)];
            match places.into_iter().find(|(place, _)| from.starts_with(place)) {
                Some((place, value)) => {
                    filled.push_str(value);
                    rest = &from[place.len()..];
                }
                None => {
                    filled.push('{');
                    rest = &from[1..];
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// The row cannot be understood: another version wrote it, or somebody by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the desktop type `{name}` has a bad {field} in the database")]
pub struct BadRow {
    pub name: String,
    pub field: &'static str,
}

impl DesktopType {
    /// # Errors
    /// The first field that makes no sense.
    pub fn from_row(row: DesktopTypeRow) -> Result<Self, BadRow> {
        let bad = |field| BadRow { name: row.name.clone(), field };
        let unsigned =
            |value: Option<i64>, field| value.map(|value| u64::try_from(value).map_err(|_| bad(field))).transpose();
        Ok(Self {
            kind: word(&row.kind).ok_or_else(|| bad("kind"))?,
            port: u16::try_from(row.port).map_err(|_| bad("port"))?,
            scheme: word(&row.scheme).ok_or_else(|| bad("scheme"))?,
            env: serde_json::from_str(&row.env).map_err(|_| bad("env"))?,
            command: row.command.as_deref().map(serde_json::from_str).transpose().map_err(|_| bad("command"))?,
            shm_bytes: unsigned(row.shm_bytes, "shm_bytes")?,
            memory_bytes: unsigned(row.memory_bytes, "memory_bytes")?,
            pids: unsigned(row.pids, "pids")?,
            cap_add: serde_json::from_str(&row.cap_add).map_err(|_| bad("cap_add"))?,
            extra_hosts: serde_json::from_str(&row.extra_hosts).map_err(|_| bad("extra_hosts"))?,
            idle_limit_s: unsigned(row.idle_limit_s, "idle_limit_s")?,
            id: row.id,
            name: row.name,
            label: row.label,
            image: row.image,
            strip_prefix: row.strip_prefix,
            entry_path: row.entry_path,
            basic_user: row.basic_user,
            cpus: row.cpus,
            no_new_privileges: row.no_new_privileges,
            seccomp: row.seccomp,
            persistent_home: row.persistent_home,
            home_path: row.home_path,
            enabled: row.enabled,
            created_at: row.created_at,
        })
    }

    pub fn into_row(self) -> DesktopTypeRow {
        // Maps and lists of strings always serialize.
        let json = |value: serde_json::Value| value.to_string();
        let signed = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        DesktopTypeRow {
            kind: self.kind.as_str().into(),
            port: self.port.into(),
            scheme: self.scheme.as_str().into(),
            env: json(serde_json::json!(self.env)),
            command: self.command.map(|command| json(serde_json::json!(command))),
            shm_bytes: signed(self.shm_bytes),
            memory_bytes: signed(self.memory_bytes),
            pids: signed(self.pids),
            cap_add: json(serde_json::json!(self.cap_add)),
            extra_hosts: json(serde_json::json!(self.extra_hosts)),
            idle_limit_s: signed(self.idle_limit_s),
            id: self.id,
            name: self.name,
            label: self.label,
            image: self.image,
            strip_prefix: self.strip_prefix,
            entry_path: self.entry_path,
            basic_user: self.basic_user,
            cpus: self.cpus,
            no_new_privileges: self.no_new_privileges,
            seccomp: self.seccomp,
            persistent_home: self.persistent_home,
            home_path: self.home_path,
            enabled: self.enabled,
            created_at: self.created_at,
        }
    }
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::from(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{desktop_types, testing};

    fn seeded() -> Vec<DesktopTypeRow> {
        testing::database().store.run_now(desktop_types::list).unwrap()
    }

    #[test]
    fn the_types_that_come_with_the_program() {
        let types: Vec<_> = seeded().into_iter().map(|row| DesktopType::from_row(row).unwrap()).collect();
        let shown: Vec<_> = types.iter().map(|one| (one.name.as_str(), one.image.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("debian-desktop", "dockway/debian-desktop:1"),
                ("ubuntu-chromium", "kasmweb/chromium:1.17.0"),
                ("ubuntu-desktop", "kasmweb/ubuntu-jammy-desktop:1.17.0"),
                ("ubuntu-vscode", "kasmweb/vs-code:1.17.0"),
            ]
        );
        assert!(types.iter().all(|one| one.kind == Kind::Kasm && one.port == 6901 && one.scheme == Scheme::Https));
        assert!(types.iter().all(|one| one.env["VNC_PW"] == "{password}" && one.enabled && one.no_new_privileges));
    }

    #[test]
    fn a_row_and_back() {
        for row in seeded() {
            assert_eq!(DesktopType::from_row(row.clone()).unwrap().into_row(), row);
        }
    }

    #[test]
    fn a_bad_row_names_its_field() {
        let row = seeded().remove(0);
        for (bad, field) in [
            (DesktopTypeRow { kind: "vm".into(), ..row.clone() }, "kind"),
            (DesktopTypeRow { port: 70_000, ..row.clone() }, "port"),
            (DesktopTypeRow { scheme: "ftp".into(), ..row.clone() }, "scheme"),
            (DesktopTypeRow { env: "[]".into(), ..row.clone() }, "env"),
            (DesktopTypeRow { command: Some("x".into()), ..row.clone() }, "command"),
            (DesktopTypeRow { shm_bytes: Some(-1), ..row.clone() }, "shm_bytes"),
        ] {
            assert_eq!(DesktopType::from_row(bad).unwrap_err().field, field);
        }
    }

    #[test]
    fn placeholders_are_filled_once() {
        let names = Names { proxy_path: "alice-x", username: "{password}", password: "pw" };
        for (template, filled) in [
            ("", ""),
            ("/vnc.html?path=desktop/{proxy_path}/websockify", "/vnc.html?path=desktop/alice-x/websockify"),
            ("{username}:{password}", "{password}:pw"),
            ("{ {proxy_path {home} {{password}}", "{ {proxy_path {home} {pw}"),
            ("é{password}é", "épwé"),
        ] {
            assert_eq!(names.fill(template), filled, "{template}");
        }
    }
}

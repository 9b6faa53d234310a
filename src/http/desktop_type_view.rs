//! A desktop type as the API shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::desktop::{DesktopType, Kind};
use crate::upstream::Scheme;

/// A desktop type. Who may not change types sees those that are enabled, without the fields after `enabled`: an
/// environment may hold secrets.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DesktopTypeView {
    pub name: String,
    /// For people.
    pub label: String,
    pub kind: Kind,
    pub image: String,
    /// Whether a home outlives the container.
    pub persistent_home: bool,
    /// Seconds without use after which a desktop is stopped.
    #[schema(required)]
    pub idle_limit_s: Option<u64>,
    /// Whether people may start desktops of it.
    pub enabled: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// How a desktop is run and reached, for those who may change types.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Details {
    #[schema(required = false)]
    pub port: u16,
    #[schema(required = false)]
    pub scheme: Scheme,
    #[schema(required = false)]
    pub strip_prefix: bool,
    #[schema(required = false)]
    pub entry_path: String,
    pub basic_user: Option<String>,
    #[schema(required = false)]
    pub env: BTreeMap<String, String>,
    pub command: Option<Vec<String>>,
    pub shm_bytes: Option<u64>,
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
    #[schema(required = false)]
    pub cap_add: Vec<String>,
    #[schema(required = false)]
    pub no_new_privileges: bool,
    pub seccomp: Option<String>,
    #[schema(required = false)]
    pub extra_hosts: Vec<String>,
    #[schema(required = false)]
    pub home_path: String,
}

impl DesktopTypeView {
    /// All of it.
    pub fn whole(one: DesktopType) -> Self {
        let details = Details {
            port: one.port,
            scheme: one.scheme,
            strip_prefix: one.strip_prefix,
            entry_path: one.entry_path,
            basic_user: one.basic_user,
            env: one.env,
            command: one.command,
            shm_bytes: one.shm_bytes,
            cpus: one.cpus,
            memory_bytes: one.memory_bytes,
            pids: one.pids,
            cap_add: one.cap_add,
            no_new_privileges: one.no_new_privileges,
            seccomp: one.seccomp,
            extra_hosts: one.extra_hosts,
            home_path: one.home_path,
        };
        Self {
            name: one.name,
            label: one.label,
            kind: one.kind,
            image: one.image,
            persistent_home: one.persistent_home,
            idle_limit_s: one.idle_limit_s,
            enabled: one.enabled,
            details: Some(details),
        }
    }

    /// What everybody may know.
    pub fn brief(one: DesktopType) -> Self {
        Self { details: None, ..Self::whole(one) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{desktop_types, testing};

    #[test]
    fn who_may_not_change_types_learns_no_secret() {
        let row = testing::database().store.run_now(desktop_types::list).unwrap().remove(0);
        let one = DesktopType::from_row(row).unwrap();
        let shown = serde_json::to_value(DesktopTypeView::brief(one)).unwrap();
        let mut names: Vec<_> = shown.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        assert_eq!(names, ["enabled", "idle_limit_s", "image", "kind", "label", "name", "persistent_home"]);
    }
}

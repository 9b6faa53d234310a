//! The body that makes or replaces a desktop type: how it is described, and how it is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::Fields;
use super::values;
use crate::desktop::{DesktopType, Kind};
use crate::error::Error;
use crate::upstream::Scheme;

const KASM_ENTRY: &str = "/vnc.html?path=desktop/{proxy_path}/websockify&autoconnect=1&resize=remote&reconnect=true";
const KASM_USER: &str = "kasm_user";
const PORT: u16 = 6901;
const HOME: &str = "/home/kasm-user";
const SHM_BYTES: u64 = 512 << 20;
const CPUS: f64 = 2.0;
const MEMORY_BYTES: u64 = 4 << 30;
const PIDS: u64 = 4096;
const IDLE_LIMIT_S: u64 = 8 * 3600;

// The body only describes; the function below reads, to name every bad field at once.

/// A whole desktop type: what is left out has its default, also where a type is replaced. `{proxy_path}`, `{username}`
/// and `{password}` are filled in in `entry_path`, `env` and `command`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesktopTypeBody {
    /// Part of the desktops' addresses.
    #[schema(min_length = 1, max_length = 40, pattern = "^[a-z0-9][a-z0-9-]{0,39}$", example = "vscode")]
    pub name: String,
    /// For people.
    #[schema(min_length = 1, max_length = 80, example = "Visual Studio Code")]
    pub label: String,
    /// `kasm`: no cookie goes to it, and its own `/api/*` is closed. `web`: any web application. Without it: `kasm`.
    #[schema(nullable = false)]
    pub kind: Option<Kind>,
    /// With a tag or a digest.
    #[schema(min_length = 1, example = "kasmweb/vs-code:1.17.0")]
    pub image: String,
    /// Of the program in the container. Without it: 6901.
    #[schema(nullable = false, minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// How the program speaks. Without it: `https`, with whatever certificate.
    #[schema(nullable = false)]
    pub scheme: Option<Scheme>,
    /// Whether `/desktop/{proxy_path}` is taken off the path for the program. Without it: true.
    #[schema(nullable = false)]
    pub strip_prefix: Option<bool>,
    /// Where a desktop's address leads, below it. Without it: KasmVNC's client with its parameters for `kasm`, `/` for
    /// `web`.
    #[schema(nullable = false, min_length = 1, max_length = 1024, pattern = "^/")]
    pub entry_path: Option<String>,
    /// Name for basic authentication, with the desktop's password; null: none. Without it: `kasm_user` for `kasm`,
    /// null for `web`.
    #[schema(min_length = 1, max_length = 64)]
    pub basic_user: Option<String>,
    /// Environment. Without it: `VNC_PW` with the password for `kasm`, nothing for `web`.
    #[schema(nullable = false)]
    pub env: Option<BTreeMap<String, String>>,
    /// What to run; null: the image's own.
    #[schema(min_items = 1, max_items = 100)]
    pub command: Option<Vec<String>>,
    /// Size of `/dev/shm`; null: the engine's own. Without it: 512 MiB.
    #[schema(minimum = 1, maximum = 1099511627776_u64)]
    pub shm_bytes: Option<u64>,
    /// Processors; null: all. Without it: 2.
    #[schema(minimum = 0.01, maximum = 1024)]
    pub cpus: Option<f64>,
    /// Null: all. Without it: 4 GiB.
    #[schema(minimum = 6291456, maximum = 70368744177664_u64)]
    pub memory_bytes: Option<u64>,
    /// Processes and threads; null: any number. Without it: 4096.
    #[schema(minimum = 1, maximum = 4194304)]
    pub pids: Option<u64>,
    /// Capabilities beside the least that images need, like `SYS_NICE`.
    #[schema(nullable = false, max_items = 100)]
    pub cap_add: Option<Vec<String>>,
    /// Whether no program inside gains rights, not even with `sudo`. Without it: true.
    #[schema(nullable = false)]
    pub no_new_privileges: Option<bool>,
    /// `unconfined`, or a profile: the text of a JSON object; null: the engine's own.
    pub seccomp: Option<String>,
    /// `name:address` each, for the container's `/etc/hosts`; the address `host-gateway` is the engine's host.
    #[schema(nullable = false, max_items = 100)]
    pub extra_hosts: Option<Vec<String>>,
    /// Whether a home outlives the container. Without it: true.
    #[schema(nullable = false)]
    pub persistent_home: Option<bool>,
    /// Where the home is. Without it: `/home/kasm-user`.
    #[schema(nullable = false, min_length = 2, max_length = 255, pattern = "^/")]
    pub home_path: Option<String>,
    /// Seconds without use after which a desktop is stopped; null: never. Without it: 8 hours.
    #[schema(minimum = 60, maximum = 31536000)]
    pub idle_limit_s: Option<u64>,
    /// Whether people may start desktops of it. Without it: true.
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
}

/// Read the body. The id and the time of making are the supervisor's to give.
///
/// # Errors
/// `Invalid`, naming every field that cannot be taken.
pub fn desktop_type(object: Map<String, Value>) -> Result<DesktopType, Error> {
    let mut fields = Fields::new(object);
    let name = fields.required("name", values::type_name);
    let label = fields.required("label", values::type_label);
    let kind = fields.optional("kind", values::kind).unwrap_or(Kind::Kasm);
    let image = fields.required("image", values::image);
    let usual = Usual::of(kind);
    let read = DesktopType {
        id: String::new(),
        name: name.unwrap_or_default(),
        label: label.unwrap_or_default(),
        kind,
        image: image.unwrap_or_default(),
        port: fields.optional("port", values::port).unwrap_or(PORT),
        scheme: fields.optional("scheme", values::scheme).unwrap_or(Scheme::Https),
        strip_prefix: fields.optional("strip_prefix", values::boolean).unwrap_or(true),
        entry_path: fields.optional("entry_path", values::entry_path).unwrap_or_else(|| usual.entry_path.into()),
        basic_user: fields.nullable("basic_user", values::basic_user).unwrap_or(usual.basic_user),
        env: fields.optional("env", values::environment).unwrap_or(usual.env),
        command: fields.nullable("command", values::command).flatten(),
        shm_bytes: fields.nullable("shm_bytes", values::shm_bytes).unwrap_or(Some(SHM_BYTES)),
        cpus: fields.nullable("cpus", values::cpus).unwrap_or(Some(CPUS)),
        memory_bytes: fields.nullable("memory_bytes", values::memory_bytes).unwrap_or(Some(MEMORY_BYTES)),
        pids: fields.nullable("pids", values::pids).unwrap_or(Some(PIDS)),
        cap_add: fields.optional("cap_add", values::capabilities).unwrap_or_default(),
        no_new_privileges: fields.optional("no_new_privileges", values::boolean).unwrap_or(true),
        seccomp: fields.nullable("seccomp", values::seccomp).flatten(),
        extra_hosts: fields.optional("extra_hosts", values::extra_hosts).unwrap_or_default(),
        persistent_home: fields.optional("persistent_home", values::boolean).unwrap_or(true),
        home_path: fields.optional("home_path", values::home_path).unwrap_or_else(|| HOME.into()),
        idle_limit_s: fields.nullable("idle_limit_s", values::idle_limit_s).unwrap_or(Some(IDLE_LIMIT_S)),
        enabled: fields.optional("enabled", values::boolean).unwrap_or(true),
        created_at: 0,
    };
    // Whatever stands in for a bad field goes no further than this.
    fields.finish()?;
    Ok(read)
}

/// What a kind of program usually needs.
struct Usual {
    entry_path: &'static str,
    basic_user: Option<String>,
    env: BTreeMap<String, String>,
}

impl Usual {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Kasm => Self {
                entry_path: KASM_ENTRY,
                basic_user: Some(KASM_USER.into()),
                env: BTreeMap::from([("VNC_PW".into(), "{password}".into())]),
            },
            Kind::Web => Self { entry_path: "/", basic_user: None, env: BTreeMap::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;
    use crate::http::desktop_type_view::DesktopTypeView;
    use crate::store::{desktop_types, testing};

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    fn errors(read: Result<DesktopType, Error>) -> Vec<(String, &'static str)> {
        let Err(Error::Invalid(errors)) = read else { panic!("not invalid: {read:?}") };
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    fn seeded() -> Vec<DesktopType> {
        let rows = testing::database().store.run_now(desktop_types::list).unwrap();
        rows.into_iter().map(|row| DesktopType::from_row(row).unwrap()).collect()
    }

    #[test]
    fn the_least_body_is_one_of_the_types_that_come_with_the_program() {
        let seeded = seeded().into_iter().find(|one| one.name == "ubuntu-vscode").unwrap();
        let least = json!({"name": seeded.name, "label": seeded.label, "image": seeded.image});
        let read = desktop_type(object(least)).unwrap();
        assert_eq!(DesktopType { id: seeded.id.clone(), ..read }, seeded);
    }

    #[test]
    fn a_web_application_has_defaults_of_its_own() {
        let least = json!({"name": "code", "label": "Code", "image": "codercom/code-server:4.96.4", "kind": "web"});
        let read = desktop_type(object(least)).unwrap();
        assert_eq!((read.kind, read.entry_path.as_str(), read.basic_user, read.env.len()), (Kind::Web, "/", None, 0));
    }

    #[test]
    fn what_is_shown_can_be_sent_back() {
        for one in seeded() {
            let shown = serde_json::to_value(DesktopTypeView::whole(one.clone())).unwrap();
            let read = desktop_type(object(shown)).unwrap();
            assert_eq!(DesktopType { id: one.id.clone(), created_at: one.created_at, ..read }, one);
        }
    }

    #[test]
    fn null_is_none_where_there_can_be_none() {
        let fields = ["basic_user", "command", "shm_bytes", "cpus", "memory_bytes", "pids", "seccomp", "idle_limit_s"];
        let mut body = object(json!({"name": "a", "label": "A", "image": "a:1"}));
        body.extend(fields.map(|field| (field.to_owned(), Value::Null)));
        let read = desktop_type(body).unwrap();
        assert_eq!((&read.basic_user, &read.command, &read.seccomp), (&None, &None, &None));
        assert_eq!((read.shm_bytes, read.cpus, read.memory_bytes, read.pids, read.idle_limit_s), Default::default());
        let others = [
            "kind",
            "port",
            "scheme",
            "strip_prefix",
            "entry_path",
            "env",
            "cap_add",
            "no_new_privileges",
            "extra_hosts",
            "persistent_home",
            "home_path",
            "enabled",
        ];
        let mut body = object(json!({"name": "a", "label": "A", "image": "a:1"}));
        body.extend(others.map(|field| (field.to_owned(), Value::Null)));
        assert_eq!(errors(desktop_type(body)), others.map(|field| (field.to_owned(), "type")));
    }

    #[test]
    fn every_bad_field_is_named() {
        let bad = json!({
            "name": "A", "label": "", "kind": "vm", "image": "ubuntu", "port": 0, "scheme": "ftp", "strip_prefix": 1,
            "entry_path": "x", "basic_user": "a:b", "env": {"1": "x"}, "command": [], "shm_bytes": 0, "cpus": 0,
            "memory_bytes": 1, "pids": 0, "cap_add": ["ALL"], "no_new_privileges": "yes", "seccomp": "x",
            "extra_hosts": ["x"], "persistent_home": 0, "home_path": "/", "idle_limit_s": 1, "enabled": "no", "id": "x",
        });
        let expected = [
            ("name", "format"),
            ("label", "empty"),
            ("kind", "format"),
            ("image", "format"),
            ("port", "range"),
            ("scheme", "format"),
            ("strip_prefix", "type"),
            ("entry_path", "format"),
            ("basic_user", "format"),
            ("env", "format"),
            ("command", "empty"),
            ("shm_bytes", "range"),
            ("cpus", "range"),
            ("memory_bytes", "range"),
            ("pids", "range"),
            ("cap_add", "format"),
            ("no_new_privileges", "type"),
            ("seccomp", "format"),
            ("extra_hosts", "format"),
            ("persistent_home", "type"),
            ("home_path", "format"),
            ("idle_limit_s", "range"),
            ("enabled", "type"),
            ("id", "unknown"),
        ];
        assert_eq!(errors(desktop_type(object(bad))), expected.map(|(field, code)| (field.to_owned(), code)));
        let missing = ["name", "label", "image"].map(|field| (field.to_owned(), "missing"));
        assert_eq!(errors(desktop_type(Map::new())), missing);
    }

    /// The described fields are those that are read and those that are shown.
    #[test]
    fn descriptions_match_what_is_read() {
        let schema = serde_json::to_value(DesktopTypeBody::schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        let described = schema["properties"].as_object().unwrap();
        // A number is of the wrong type for a text, and a text for everything else.
        let texts = ["name", "label", "kind", "image", "scheme", "entry_path", "basic_user", "seccomp", "home_path"];
        let wrong = |name: &str| if texts.contains(&name) { json!(1) } else { json!("x") };
        let body: Map<_, _> = described.keys().map(|name| (name.clone(), wrong(name))).collect();
        let read = errors(desktop_type(body));
        assert_eq!(read.len(), described.len());
        assert!(read.iter().all(|(_, code)| *code == "type"), "{read:?}");
        let shown = serde_json::to_value(DesktopTypeView::whole(seeded().remove(0))).unwrap();
        assert_eq!(shown.as_object().unwrap().len(), described.len());
        assert!(shown.as_object().unwrap().keys().all(|name| described.contains_key(name)));
    }
}

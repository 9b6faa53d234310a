//! The bodies of `POST /api/proxy/create` and `PATCH /api/proxy/{id}`: how they are described, and how they are read.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::Fields;
use super::values;
use crate::error::{Error, FieldError};
use crate::tunnel::commands::{NewTunnel, TunnelChanges};

// The body structs only describe; the functions below read, to name every bad field at once.

/// The tunnel that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTunnelBody {
    /// The agent that connects to the remote.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "pc1")]
    pub client_id: String,
    /// A host name or address, as the agent's network knows it.
    #[schema(min_length = 1, max_length = 253, example = "192.168.1.100")]
    pub remote_host: String,
    #[schema(minimum = 1, maximum = 65535, example = 3389)]
    pub remote_port: u16,
    /// The port of the server that users connect to. Without it the server chooses one from its range.
    #[schema(minimum = 1, maximum = 65535, example = 13389)]
    pub local_port: Option<u16>,
    /// `tcp`, the only one so far.
    #[schema(pattern = "^tcp$")]
    pub protocol: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// The server's address to listen on. Without it: the one that the server was started with.
    pub bind: Option<String>,
    /// Users' addresses that may connect, as CIDRs or addresses; empty means everybody.
    #[schema(max_items = 1000)]
    pub allow: Option<Vec<String>>,
    /// The most connections at one time; null means no limit.
    #[schema(minimum = 1, maximum = 100000)]
    pub max_connections: Option<u32>,
}

/// What is to change: at least one field. Null clears `name`, `bind` and `max_connections`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchTunnelBody {
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
    #[schema(nullable = false, min_length = 1, max_length = 253)]
    pub remote_host: Option<String>,
    #[schema(nullable = false, minimum = 1, maximum = 65535)]
    pub remote_port: Option<u16>,
    /// The new port is bound before the old one is left.
    #[schema(nullable = false, minimum = 1, maximum = 65535, example = 13390)]
    pub local_port: Option<u16>,
    pub bind: Option<String>,
    #[schema(nullable = false, max_items = 1000)]
    pub allow: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 100000)]
    pub max_connections: Option<u32>,
    /// False closes the port and ends the tunnel's connections.
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
}

/// Read the body of a create. Null stands for an optional field that was left out.
pub fn new_tunnel(object: Map<String, Value>) -> Result<NewTunnel, Error> {
    let mut fields = Fields::new(object);
    let client_id = fields.required("client_id", values::client_id);
    let remote_host = fields.required("remote_host", values::host);
    let remote_port = fields.required("remote_port", values::port);
    let local_port = fields.nullable("local_port", values::port).flatten();
    let _only_tcp = fields.nullable("protocol", values::protocol);
    let name = fields.nullable("name", values::name).flatten();
    let bind = fields.nullable("bind", values::bind).flatten();
    let allow = fields.nullable("allow", values::allow).flatten().unwrap_or_default();
    let max_connections = fields.nullable("max_connections", values::max_connections).flatten();
    fields.finish()?;
    let (Some(client_id), Some(remote_host), Some(remote_port)) = (client_id, remote_host, remote_port) else {
        // A required field that is None was reported by finish.
        return Err(Error::Internal);
    };
    Ok(NewTunnel { client_id, remote_host, remote_port, local_port, name, bind, allow, max_connections })
}

/// Read the body of a PATCH.
pub fn tunnel_changes(object: Map<String, Value>) -> Result<TunnelChanges, Error> {
    if object.is_empty() {
        return Err(nothing_to_change());
    }
    let mut fields = Fields::new(object);
    let changes = TunnelChanges {
        name: fields.nullable("name", values::name),
        remote_host: fields.optional("remote_host", values::host),
        remote_port: fields.optional("remote_port", values::port),
        local_port: fields.optional("local_port", values::port),
        bind: fields.nullable("bind", values::bind),
        allow: fields.optional("allow", values::allow),
        max_connections: fields.nullable("max_connections", values::max_connections),
        enabled: fields.optional("enabled", values::boolean),
    };
    fields.finish()?;
    Ok(changes)
}

/// A PATCH without a single field.
pub fn nothing_to_change() -> Error {
    Error::Invalid(vec![FieldError::new("", "empty", "give at least one field to change")])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    fn errors<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<(String, &'static str)> {
        let Err(Error::Invalid(errors)) = result else { panic!("not invalid: {result:?}") };
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn a_whole_create() {
        let tunnel = new_tunnel(object(json!({
            "client_id": "pc1", "remote_host": "[::1]", "remote_port": 3389, "local_port": 13389, "protocol": "tcp",
            "name": "RDP", "bind": "127.0.0.1", "allow": ["::ffff:10.0.0.0/104"], "max_connections": 5,
        })))
        .unwrap();
        assert_eq!((tunnel.client_id.as_str(), tunnel.remote_host.as_str(), tunnel.remote_port), ("pc1", "::1", 3389));
        assert_eq!(
            (tunnel.local_port, tunnel.name.as_deref(), tunnel.max_connections),
            (Some(13389), Some("RDP"), Some(5))
        );
        assert_eq!(tunnel.bind.unwrap().to_string(), "127.0.0.1");
        assert_eq!(tunnel.allow[0].to_string(), "10.0.0.0/8");
    }

    #[test]
    fn the_least_create() {
        let least =
            json!({"client_id": "pc1", "remote_host": "db", "remote_port": 5432, "local_port": null, "allow": null});
        let tunnel = new_tunnel(object(least)).unwrap();
        assert_eq!((tunnel.local_port, tunnel.bind, tunnel.allow.len(), tunnel.max_connections), (None, None, 0, None));
    }

    #[test]
    fn every_bad_field_of_a_create_is_named() {
        let bad = json!({
            "client_id": "p c", "remote_host": "", "remote_port": 70000, "local_port": 0, "protocol": "udp", "name": 7,
            "bind": "here", "allow": ["all"], "max_connections": 0, "colour": "red",
        });
        let expected = [
            ("client_id", "format"),
            ("remote_host", "empty"),
            ("remote_port", "range"),
            ("local_port", "range"),
            ("protocol", "format"),
            ("name", "type"),
            ("bind", "format"),
            ("allow", "format"),
            ("max_connections", "range"),
            ("colour", "unknown"),
        ];
        assert_eq!(errors(new_tunnel(object(bad))), expected.map(|(field, code)| (field.to_owned(), code)));
        let missing = ["client_id", "remote_host", "remote_port"].map(|field| (field.to_owned(), "missing"));
        assert_eq!(errors(new_tunnel(Map::new())), missing);
    }

    #[test]
    fn a_patch_tells_null_from_absence() {
        let changes = tunnel_changes(object(json!({"name": null, "bind": null, "max_connections": null}))).unwrap();
        assert_eq!((changes.name, changes.bind, changes.max_connections), (Some(None), Some(None), Some(None)));
        assert!(changes.remote_host.is_none() && changes.allow.is_none() && changes.enabled.is_none());
        let changes = tunnel_changes(object(json!({"enabled": false, "local_port": 1}))).unwrap();
        assert_eq!((changes.enabled, changes.local_port, changes.name), (Some(false), Some(1), None));
    }

    #[test]
    fn a_patch_refuses_null_elsewhere_and_what_cannot_change() {
        let nulls =
            json!({"remote_host": null, "remote_port": null, "local_port": null, "allow": null, "enabled": null});
        let fields = ["remote_host", "remote_port", "local_port", "allow", "enabled"];
        assert_eq!(errors(tunnel_changes(object(nulls))), fields.map(|field| (field.to_owned(), "type")));
        assert_eq!(errors(tunnel_changes(object(json!({"client_id": "pc2"})))), [("client_id".to_owned(), "unknown")]);
        assert_eq!(errors(tunnel_changes(Map::new()))[0].1, "empty");
    }

    /// The described fields are those that are read: each is known, and an object as its value is refused by type.
    #[test]
    fn descriptions_match_what_is_read() {
        let described = |schema: utoipa::openapi::RefOr<utoipa::openapi::Schema>| {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(schema["additionalProperties"], false);
            schema["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(|name| (name.clone(), json!({})))
                .collect::<Map<_, _>>()
        };
        let create = described(CreateTunnelBody::schema());
        let patch = described(PatchTunnelBody::schema());
        assert_eq!((create.len(), patch.len()), (9, 8));
        for (field, code) in errors(new_tunnel(create)).into_iter().chain(errors(tunnel_changes(patch))) {
            assert_eq!(code, "type", "{field}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[0-9a-f:./%\\[\\]]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn any_body() -> impl Strategy<Value = Map<String, Value>> {
        let known =
            "client_id|remote_host|remote_port|local_port|protocol|name|bind|allow|max_connections|enabled|.{0,5}";
        prop::collection::btree_map(known, any_json(), 0..11).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn no_json_makes_a_reader_panic(body in any_body()) {
            let _ = tunnel_changes(body.clone());
            if let Ok(tunnel) = new_tunnel(body) {
                prop_assert!(tunnel.remote_port > 0 && !tunnel.remote_host.is_empty());
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,0-9a\\\\u]{0,60}") {
            let _ = crate::http::body::parse_object(&bytes);
            let _ = crate::http::body::parse_object(text.as_bytes());
        }
    }
}

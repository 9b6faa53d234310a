//! Version 1: JSON messages in text frames, `data` in base64 (RFC 4648 section 4, padded).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::codes::{OpenFailure, SessionClose};
use super::frame::Open;

/// The largest payload that the server puts into one `proxy_data`.
pub const MAX_DATA: usize = 16 * 1024;
/// The largest message, its fragments taken together.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// What an agent may offer beyond the three messages, and the server then speaks too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// The agent answers `proxy_connected`.
    pub connected: bool,
    /// The agent answers `proxy_error`.
    pub error: bool,
    /// `proxy_shutdown` ends one direction; `proxy_disconnect` is then a reset.
    pub shutdown: bool,
    /// `proxy_credit`: windows.
    pub credit: bool,
}

impl Features {
    pub const ALL: Self = Self { connected: true, error: true, shutdown: true, credit: true };

    fn from_names(names: &[Cow<'_, str>]) -> Self {
        let has = |name: &str| names.iter().any(|offered| offered == name);
        Self { connected: has("connected"), error: has("error"), shutdown: has("shutdown"), credit: has("credit") }
    }

    fn names(self) -> Vec<&'static str> {
        let all = [
            ("connected", self.connected),
            ("error", self.error),
            ("shutdown", self.shutdown),
            ("credit", self.credit),
        ];
        all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
    }
}

/// A message of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Connect(Open),
    Data {
        user_id: String,
        data: Bytes,
    },
    Disconnect {
        user_id: String,
    },
    Hello(Features),
    Connected {
        user_id: String,
    },
    Error {
        user_id: String,
        failure: OpenFailure,
    },
    Shutdown {
        user_id: String,
    },
    Credit {
        user_id: String,
        bytes: u32,
    },
    /// Of another kind: ignored.
    Unknown(String),
}

/// Every field of every message; which ones must be there depends on `type`.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    proxy_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    remote_host: Option<Cow<'a, str>>,
    remote_port: Option<u16>,
    #[serde(borrow, default)]
    protocol: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    features: Vec<Cow<'a, str>>,
    bytes: Option<u32>,
    code: Option<super::codes::OpenError>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
}

/// Only the kind, for messages whose other fields may be of any shape.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

const KNOWN: [&str; 8] = [
    "proxy_connect",
    "proxy_data",
    "proxy_disconnect",
    "hello",
    "proxy_connected",
    "proxy_error",
    "proxy_shutdown",
    "proxy_credit",
];

impl Message {
    /// Read a message. An error closes the session.
    pub fn decode(text: &[u8]) -> Result<Self, SessionClose> {
        // A sequence of the fields' values would do for serde.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(SessionClose::protocol("a message is a JSON object"));
        }
        let raw: Raw<'_> = match serde_json::from_slice(text) {
            Ok(raw) => raw,
            Err(error) => return Self::unknown_or(text, &error),
        };
        Ok(match raw.kind.as_ref() {
            "proxy_data" => {
                let data = required(raw.data, "data")?;
                let data = STANDARD.decode(data.as_bytes());
                let data = data.map_err(|error| SessionClose::protocol(format!("proxy_data.data: {error}")))?;
                Self::Data { user_id: owned(raw.user_id, "user_id")?, data: data.into() }
            }
            "proxy_connect" => Self::Connect(Open {
                proxy_id: owned(raw.proxy_id, "proxy_id")?,
                user_id: owned(raw.user_id, "user_id")?,
                remote_host: owned(raw.remote_host, "remote_host")?,
                remote_port: required(raw.remote_port, "remote_port")?,
                protocol: raw.protocol.unwrap_or(Cow::Borrowed("tcp")).into_owned(),
                window: None,
            }),
            "proxy_disconnect" => Self::Disconnect { user_id: owned(raw.user_id, "user_id")? },
            "proxy_connected" => Self::Connected { user_id: owned(raw.user_id, "user_id")? },
            "proxy_shutdown" => Self::Shutdown { user_id: owned(raw.user_id, "user_id")? },
            "proxy_credit" => {
                Self::Credit { user_id: owned(raw.user_id, "user_id")?, bytes: required(raw.bytes, "bytes")? }
            }
            "proxy_error" => Self::Error {
                user_id: owned(raw.user_id, "user_id")?,
                failure: OpenFailure::new(required(raw.code, "code")?, raw.message.unwrap_or_default()),
            },
            "hello" => Self::Hello(Features::from_names(&raw.features)),
            _ => Self::Unknown(raw.kind.into_owned()),
        })
    }

    /// A message of an unknown kind may use our fields' names for other things.
    fn unknown_or(text: &[u8], error: &serde_json::Error) -> Result<Self, SessionClose> {
        match serde_json::from_slice::<Kind<'_>>(text) {
            Ok(Kind { kind }) if !KNOWN.contains(&kind.as_ref()) => Ok(Self::Unknown(kind.into_owned())),
            _ => Err(SessionClose::protocol(format!("not a message: {error}"))),
        }
    }

    /// The message as it stands on the wire; `proxy_id` goes into those that name a channel.
    pub fn encode(&self, proxy_id: &str) -> String {
        #[derive(Serialize)]
        struct Out<'a, T: Serialize> {
            #[serde(rename = "type")]
            kind: &'a str,
            #[serde(flatten)]
            fields: T,
        }
        #[derive(Serialize)]
        struct Channel<'a, T: Serialize> {
            proxy_id: &'a str,
            user_id: &'a str,
            #[serde(flatten)]
            more: T,
        }
        fn text<T: Serialize>(kind: &str, fields: T) -> String {
            // Plain data with string keys always serializes.
            serde_json::to_string(&Out { kind, fields }).unwrap_or_default()
        }
        let channel = |kind: &str, user_id: &str| text(kind, Channel { proxy_id, user_id, more: () });
        match self {
            Self::Connect(open) => text("proxy_connect", Open { window: None, ..open.clone() }),
            Self::Data { user_id, data } => encode_data(proxy_id, user_id, data),
            Self::Disconnect { user_id } => channel("proxy_disconnect", user_id),
            Self::Connected { user_id } => channel("proxy_connected", user_id),
            Self::Shutdown { user_id } => channel("proxy_shutdown", user_id),
            Self::Credit { user_id, bytes } => {
                let more = serde_json::json!({ "bytes": bytes });
                text("proxy_credit", Channel { proxy_id, user_id, more })
            }
            Self::Error { user_id, failure } => text("proxy_error", Channel { proxy_id, user_id, more: failure }),
            Self::Hello(features) => text("hello", serde_json::json!({ "version": 1, "features": features.names() })),
            Self::Unknown(kind) => text(kind, ()),
        }
    }
}

/// `proxy_data` without an intermediate value: the ids are escaped, the data is plain base64.
pub fn encode_data(proxy_id: &str, user_id: &str, data: &[u8]) -> String {
    let quoted = |id: &str| serde_json::Value::from(id).to_string();
    let mut text = String::with_capacity(data.len() * 4 / 3 + proxy_id.len() + user_id.len() + 80);
    text.push_str("{\"type\":\"proxy_data\",\"proxy_id\":");
    text.push_str(&quoted(proxy_id));
    text.push_str(",\"user_id\":");
    text.push_str(&quoted(user_id));
    text.push_str(",\"data\":\"");
    STANDARD.encode_string(data, &mut text);
    text.push_str("\"}");
    text
}

fn required<T>(value: Option<T>, field: &str) -> Result<T, SessionClose> {
    value.ok_or_else(|| SessionClose::protocol(format!("`{field}` is missing")))
}

fn owned(value: Option<Cow<'_, str>>, field: &str) -> Result<String, SessionClose> {
    required(value, field).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::codes::OpenError;
    use super::*;

    fn open() -> Open {
        Open {
            proxy_id: "pc1-13389-1733".into(),
            user_id: "user-13389-1234567890".into(),
            remote_host: "192.168.1.100".into(),
            remote_port: 3389,
            protocol: "tcp".into(),
            window: None,
        }
    }

    #[test]
    fn the_three_first_messages_stand_as_they_were() {
        let id = "user-13389-1234567890".to_owned();
        let cases = [
            (
                Message::Connect(open()),
                r#"{"type":"proxy_connect","proxy_id":"pc1-13389-1733","user_id":"user-13389-1234567890","remote_host":"192.168.1.100","remote_port":3389,"protocol":"tcp"}"#,
            ),
            (
                Message::Data { user_id: id.clone(), data: Bytes::from_static(b"hi\xff\x00") },
                r#"{"type":"proxy_data","proxy_id":"pc1-13389-1733","user_id":"user-13389-1234567890","data":"aGn/AA=="}"#,
            ),
            (
                Message::Disconnect { user_id: id },
                r#"{"type":"proxy_disconnect","proxy_id":"pc1-13389-1733","user_id":"user-13389-1234567890"}"#,
            ),
        ];
        for (message, text) in cases {
            assert_eq!(message.encode("pc1-13389-1733"), text);
            assert_eq!(Message::decode(text.as_bytes()), Ok(message));
        }
    }

    #[test]
    fn hello_offers_and_ignores_what_is_unknown() {
        let hello = br#"{"type":"hello","version":1,"features":["connected","credit","teleport"],"x":{}}"#;
        let features = Features { connected: true, credit: true, ..Features::default() };
        assert_eq!(Message::decode(hello), Ok(Message::Hello(features)));
        assert_eq!(
            Message::Hello(features).encode(""),
            r#"{"type":"hello","features":["connected","credit"],"version":1}"#
        );
    }

    #[test]
    fn other_types_fall_through() {
        for text in [r#"{"type":"heartbeat"}"#, r#"{"type":"x","data":5,"user_id":[1]}"#] {
            assert!(matches!(Message::decode(text.as_bytes()), Ok(Message::Unknown(_))), "{text}");
        }
    }

    #[test]
    fn malformed_messages_are_protocol_errors() {
        let cases = [
            "",
            "[]",
            r#"["proxy_disconnect",null,"u",null,null,null,null,[],null,null,null]"#,
            "{",
            "{}",
            r#"{"type":5}"#,
            r#"{"type":"proxy_data","user_id":"u"}"#,
            r#"{"type":"proxy_data","user_id":"u","data":"a"}"#,
            r#"{"type":"proxy_data","user_id":"u","data":"YQ"}"#,
            r#"{"type":"proxy_data","data":"YQ=="}"#,
            r#"{"type":"proxy_data","user_id":7,"data":"YQ=="}"#,
            r#"{"type":"proxy_disconnect"}"#,
            r#"{"type":"proxy_credit","user_id":"u","bytes":-1}"#,
            r#"{"type":"proxy_connect","proxy_id":"p","user_id":"u","remote_host":"h","remote_port":70000}"#,
        ];
        for text in cases {
            assert_eq!(Message::decode(text.as_bytes()).map_err(|e| e.code), Err(SessionClose::PROTOCOL), "{text}");
        }
        assert!(Message::decode(&[b'['; 100_000]).is_err(), "deep nesting is refused, not followed");
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let id = "\\PC{0,40}";
        prop_oneof![
            (id, proptest::collection::vec(any::<u8>(), 0..1000))
                .prop_map(|(user_id, data)| Message::Data { user_id, data: data.into() }),
            id.prop_map(|user_id| Message::Disconnect { user_id }),
            id.prop_map(|user_id| Message::Connected { user_id }),
            id.prop_map(|user_id| Message::Shutdown { user_id }),
            (id, any::<u32>()).prop_map(|(user_id, bytes)| Message::Credit { user_id, bytes }),
            (id, id)
                .prop_map(|(user_id, m)| Message::Error { user_id, failure: OpenFailure::new(OpenError::Denied, m) }),
            (id, any::<u16>()).prop_map(|(remote_host, remote_port)| {
                Message::Connect(Open { remote_host, remote_port, ..open() })
            }),
            any::<(bool, bool, bool, bool)>().prop_map(|(connected, error, shutdown, credit)| {
                Message::Hello(Features { connected, error, shutdown, credit })
            }),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn encode_then_decode_is_the_identity(message in any_message(), proxy_id in "\\PC{0,20}") {
            prop_assert_eq!(Message::decode(message.encode(&proxy_id).as_bytes()), Ok(message));
        }
    }
}

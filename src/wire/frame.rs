//! Version 2: binary frames, one in each WebSocket message: kind (u8), channel (u32, big endian), payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::codes::{OpenFailure, ResetCode, SessionClose};

/// The WebSocket subprotocol of this version. Without it a session speaks version 1.
pub const SUBPROTOCOL: &str = "dockway.v2";
/// Kind and channel.
pub const HEADER: usize = 5;
/// The largest payload of a DATA frame.
pub const MAX_DATA: usize = 64 * 1024;
/// The largest frame: what the WebSocket decoder lets through.
pub const MAX_FRAME: usize = HEADER + MAX_DATA;

mod kind {
    pub const OPEN: u8 = 0x01;
    pub const OPENED: u8 = 0x02;
    pub const OPEN_FAILED: u8 = 0x03;
    pub const DATA: u8 = 0x04;
    pub const CREDIT: u8 = 0x05;
    pub const FIN: u8 = 0x06;
    pub const RESET: u8 = 0x07;
    pub const HELLO: u8 = 0x10;
    pub const GOAWAY: u8 = 0x11;
}

/// What the server asks an agent to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub proxy_id: String,
    pub user_id: String,
    pub remote_host: String,
    pub remote_port: u16,
    pub protocol: String,
    /// What the agent may send. Version 2 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
}

/// Each side's first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub versions: Vec<u32>,
    #[serde(default)]
    pub features: Vec<String>,
    #[serde(default)]
    pub limits: Limits,
}

/// What a side can take; the server opens no more channels than that. Missing means the protocol's own limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
}

/// A frame of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Hello(Hello),
    /// No new channels; finish what runs.
    Goaway(u16),
    Open(u32, Open),
    /// What the server may send in all since OPEN.
    Opened(u32, u32),
    OpenFailed(u32, OpenFailure),
    Data(u32, Bytes),
    /// Further bytes that the peer may send.
    Credit(u32, u32),
    Fin(u32),
    Reset(u32, ResetCode),
}

impl Frame {
    /// Read the one frame that a message holds. An error closes the session.
    pub fn decode(mut message: Bytes) -> Result<Self, SessionClose> {
        if message.len() < HEADER {
            return Err(SessionClose::protocol("a frame has a kind and a channel"));
        }
        let kind = message.get_u8();
        let channel = message.get_u32();
        let on_session = matches!(kind, kind::HELLO | kind::GOAWAY);
        if on_session != (channel == 0) {
            return Err(SessionClose::protocol(format!("kind {kind:#04x} does not go on channel {channel}")));
        }
        Ok(match kind {
            kind::HELLO => Self::Hello(from_json(&message, "HELLO")?),
            kind::GOAWAY => Self::Goaway(exactly(&message, 2, "GOAWAY")?.get_u16()),
            kind::OPEN => Self::Open(channel, from_json(&message, "OPEN")?),
            kind::OPENED => Self::Opened(channel, exactly(&message, 4, "OPENED")?.get_u32()),
            kind::OPEN_FAILED => Self::OpenFailed(channel, from_json(&message, "OPEN_FAILED")?),
            kind::DATA => Self::Data(channel, message),
            kind::CREDIT => Self::Credit(channel, exactly(&message, 4, "CREDIT")?.get_u32()),
            kind::FIN => {
                exactly(&message, 0, "FIN")?;
                Self::Fin(channel)
            }
            kind::RESET => Self::Reset(channel, ResetCode(exactly(&message, 2, "RESET")?.get_u16())),
            _ => return Err(SessionClose::protocol(format!("unknown frame kind {kind:#04x}"))),
        })
    }

    /// Write the frame. DATA has a shorter way that does not copy: [`put_data_header`].
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Hello(hello) => put_json(kind::HELLO, 0, hello, out),
            Self::Goaway(code) => put(kind::GOAWAY, 0, &code.to_be_bytes(), out),
            Self::Open(channel, open) => put_json(kind::OPEN, *channel, open, out),
            Self::Opened(channel, window) => put(kind::OPENED, *channel, &window.to_be_bytes(), out),
            Self::OpenFailed(channel, failure) => put_json(kind::OPEN_FAILED, *channel, failure, out),
            Self::Data(channel, data) => put(kind::DATA, *channel, data, out),
            Self::Credit(channel, bytes) => put(kind::CREDIT, *channel, &bytes.to_be_bytes(), out),
            Self::Fin(channel) => put(kind::FIN, *channel, &[], out),
            Self::Reset(channel, code) => put(kind::RESET, *channel, &code.0.to_be_bytes(), out),
        }
    }
}

/// Write the beginning of a DATA frame; its bytes follow.
pub fn put_data_header(channel: u32, out: &mut BytesMut) {
    out.put_u8(kind::DATA);
    out.put_u32(channel);
}

fn put(kind: u8, channel: u32, payload: &[u8], out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_u32(channel);
    out.put_slice(payload);
}

fn put_json<T: Serialize>(kind: u8, channel: u32, value: &T, out: &mut BytesMut) {
    // Plain data with string keys always serializes.
    put(kind, channel, &serde_json::to_vec(value).unwrap_or_default(), out);
}

fn from_json<'a, T: Deserialize<'a>>(payload: &'a [u8], what: &str) -> Result<T, SessionClose> {
    serde_json::from_slice(payload).map_err(|error| SessionClose::protocol(format!("{what}: {error}")))
}

fn exactly<'a>(payload: &'a [u8], length: usize, what: &str) -> Result<&'a [u8], SessionClose> {
    if payload.len() == length {
        return Ok(payload);
    }
    Err(SessionClose::protocol(format!("{what} has {length} bytes of payload, not {}", payload.len())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::codes::OpenError;
    use super::*;

    fn encoded(frame: &Frame) -> Bytes {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        out.freeze()
    }

    fn open() -> Open {
        Open {
            proxy_id: "pc1-13389-1733".into(),
            user_id: "user-13389-1".into(),
            remote_host: "192.168.1.100".into(),
            remote_port: 3389,
            protocol: "tcp".into(),
            window: Some(262_144),
        }
    }

    #[test]
    fn frames_stand_on_the_wire_as_specified() {
        let cases: Vec<(Frame, &[u8])> = vec![
            (Frame::Opened(1, 65_536), &[0x02, 0, 0, 0, 1, 0, 1, 0, 0]),
            (Frame::Data(0x01020304, Bytes::from_static(b"hi")), &[0x04, 1, 2, 3, 4, b'h', b'i']),
            (Frame::Credit(7, 1), &[0x05, 0, 0, 0, 7, 0, 0, 0, 1]),
            (Frame::Fin(2), &[0x06, 0, 0, 0, 2]),
            (Frame::Reset(2, ResetCode::CUT), &[0x07, 0, 0, 0, 2, 0, 3]),
            (Frame::Goaway(5), &[0x11, 0, 0, 0, 0, 0, 5]),
        ];
        for (frame, bytes) in cases {
            assert_eq!(encoded(&frame), bytes, "{frame:?}");
            assert_eq!(Frame::decode(Bytes::copy_from_slice(bytes)), Ok(frame));
        }
    }

    #[test]
    fn json_payloads_survive() {
        let hello = Hello { versions: vec![2], features: vec![], limits: Limits { channels: Some(9) } };
        let failure = OpenFailure::new(OpenError::Refused, "nobody listens");
        for frame in [Frame::Hello(hello), Frame::Open(1, open()), Frame::OpenFailed(3, failure)] {
            assert_eq!(Frame::decode(encoded(&frame)), Ok(frame));
        }
        let later = br#"{"code":"on_fire","message":"x","more":1}"#;
        let mut bytes = vec![0x03, 0, 0, 0, 1];
        bytes.extend_from_slice(later);
        let expected = Frame::OpenFailed(1, OpenFailure::new(OpenError::Internal, "x"));
        assert_eq!(Frame::decode(bytes.into()), Ok(expected), "a later version's code is read as internal");
    }

    #[test]
    fn wrong_frames_are_protocol_errors() {
        let cases: &[(&str, &[u8])] = &[
            ("empty", b""),
            ("no channel", &[0x04, 0, 0, 0]),
            ("unknown kind", &[0x42, 0, 0, 0, 1]),
            ("data on the session", &[0x04, 0, 0, 0, 0, 1]),
            ("hello on a channel", b"\x10\0\0\0\x01{}"),
            ("hello without versions", b"\x10\0\0\0\0{}"),
            ("short credit", &[0x05, 0, 0, 0, 1, 0, 0, 0]),
            ("fin with payload", &[0x06, 0, 0, 0, 1, 0]),
            ("long reset", &[0x07, 0, 0, 0, 1, 0, 0, 0]),
            ("open with port 70000", b"\x01\0\0\0\x01{\"proxy_id\":\"p\",\"user_id\":\"u\",\"remote_host\":\"h\",\"remote_port\":70000,\"protocol\":\"tcp\"}"),
            ("open that is not JSON", b"\x01\0\0\0\x01{"),
        ];
        for (name, bytes) in cases {
            let error = Frame::decode(Bytes::copy_from_slice(bytes)).expect_err(name);
            assert_eq!(error.code, SessionClose::PROTOCOL, "{name}");
        }
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let channel = 1..=u32::MAX;
        let text = "\\PC{0,40}";
        prop_oneof![
            (channel.clone(), proptest::collection::vec(any::<u8>(), 0..2000))
                .prop_map(|(c, data)| Frame::Data(c, data.into())),
            (channel.clone(), any::<u32>()).prop_map(|(c, n)| Frame::Credit(c, n)),
            (channel.clone(), any::<u32>()).prop_map(|(c, n)| Frame::Opened(c, n)),
            channel.clone().prop_map(Frame::Fin),
            (channel.clone(), any::<u16>()).prop_map(|(c, code)| Frame::Reset(c, ResetCode(code))),
            any::<u16>().prop_map(Frame::Goaway),
            (channel.clone(), text).prop_map(|(c, m)| Frame::OpenFailed(c, OpenFailure::new(OpenError::Timeout, m))),
            (channel, text, any::<u16>(), any::<Option<u32>>()).prop_map(|(c, host, port, window)| {
                Frame::Open(c, Open { remote_host: host, remote_port: port, window, ..open() })
            }),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::decode(bytes.into());
        }

        #[test]
        fn encode_then_decode_is_the_identity(frame in any_frame()) {
            prop_assert_eq!(Frame::decode(encoded(&frame)), Ok(frame));
        }
    }
}

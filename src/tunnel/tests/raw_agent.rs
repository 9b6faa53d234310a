//! An agent by hand, frame by frame: what it does not do, it does not do.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{AGENT_PATH, PATIENCE, Rig};
use crate::wire::frame::{Frame, Hello, Limits, MAX_FRAME, Open};
use crate::wire::websocket::{Decoder, Message, Opcode, Side, put_frame};

/// See the module's documentation.
pub(crate) struct RawAgent {
    socket: TcpStream,
    input: BytesMut,
    decoder: Decoder,
}

impl RawAgent {
    /// Log in and read the server's HELLO, without a word of its own: the session is there, but not up.
    pub async fn log_in(rig: &Rig, client_id: &str) -> Self {
        let mut socket = TcpStream::connect(rig.address).await.unwrap();
        let request = format!(
            "GET {AGENT_PATH} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: dockway.v2\r\nX-Client-Id: {client_id}\r\nAuthorization: Bearer {}\r\n\r\n",
            rig.token(client_id)
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let mut agent = Self { socket, input: BytesMut::new(), decoder: Decoder::new(Side::Client, MAX_FRAME) };
        assert!(matches!(agent.frame().await, Frame::Hello(_)));
        agent
    }

    /// Say HELLO: channels may come.
    pub async fn greet(&mut self) {
        let hello = Hello { versions: vec![2], features: Vec::new(), limits: Limits::default() };
        self.send(&Frame::Hello(hello)).await;
    }

    pub async fn send(&mut self, frame: &Frame) {
        let (mut payload, mut message) = (BytesMut::new(), BytesMut::new());
        frame.encode(&mut payload);
        put_frame(Side::Client, Opcode::Binary, &payload, &mut message);
        self.socket.write_all(&message).await.unwrap();
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Frame {
        match self.next().await {
            Some(Message::Binary(frame)) => Frame::decode(frame).unwrap(),
            other => panic!("no frame but {other:?}"),
        }
    }

    /// The next channel.
    pub async fn open(&mut self) -> (u32, Open) {
        match self.frame().await {
            Frame::Open(channel, open) => (channel, open),
            other => panic!("no OPEN but {other:?}"),
        }
    }

    /// Everything up to the server's Close or its hanging up: the frames, and the code if there was one.
    pub async fn rest(&mut self) -> (Vec<Frame>, Option<u16>) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Some(Message::Binary(frame)) => frames.push(Frame::decode(frame).unwrap()),
                Some(Message::Close { code, .. }) => return (frames, code),
                Some(other) => panic!("neither a frame nor the end: {other:?}"),
                None => return (frames, None),
            }
        }
    }

    /// The code of the Close that comes next.
    pub async fn close_code(&mut self) -> Option<u16> {
        let (frames, code) = self.rest().await;
        assert_eq!(frames, []);
        code
    }

    /// The next message that is no ping; None at the connection's end.
    async fn next(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.read_next()).await.expect("the server says something")
    }

    async fn read_next(&mut self) -> Option<Message> {
        loop {
            match self.decoder.decode(&mut self.input).unwrap() {
                Some(Message::Ping(_)) => {}
                Some(message) => return Some(message),
                // A session that panics may leave by a reset as well.
                None if self.socket.read_buf(&mut self.input).await.unwrap_or(0) == 0 => return None,
                None => {}
            }
        }
    }
}

/// DATA of a channel.
pub(crate) fn data(channel: u32, bytes: &'static [u8]) -> Frame {
    Frame::Data(channel, Bytes::from_static(bytes))
}

//! A VNC client by hand, in a WebSocket through the gateway. Shares no code with the program.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::raw_ws::{BINARY, Got, RawWs, header};
use super::{Api, SOON, Server, wait_until};

const FRAMEBUFFER_UPDATE_REQUEST: u8 = 3;
const KEY_EVENT: u8 = 4;
/// Nothing more has come for this long: the way is full.
const PILE_UP_TIME: Duration = Duration::from_millis(300);

pub struct Rfb {
    socket: RawWs,
    unread: Vec<u8>,
    width: u16,
    height: u16,
}

impl Rfb {
    /// Open `/desktop/{proxy_path}/websockify` with these header lines, and go through the handshake (RFC 6143, 7.1
    /// to 7.3).
    pub fn open(port: u16, proxy_path: &str, headers: &str) -> Self {
        let address = format!("/desktop/{proxy_path}/websockify");
        let opened = RawWs::open(port, &address, &format!("Sec-WebSocket-Protocol: binary\r\n{headers}"));
        let (socket, _) = opened.unwrap_or_else(|status| panic!("refused with {status}"));
        let mut client = Self { socket, unread: vec![], width: 0, height: 0 };
        assert_eq!(client.take(12), b"RFB 003.008\n");
        client.send(b"RFB 003.008\n");
        assert_eq!(client.take(2), [1, 1], "no password is asked for");
        client.send(&[1]);
        assert_eq!(client.take(4), [0; 4]);
        client.send(&[1]);
        let start = client.take(24);
        client.width = u16::from_be_bytes([start[0], start[1]]);
        client.height = u16::from_be_bytes([start[2], start[3]]);
        let name = u32::from_be_bytes([start[20], start[21], start[22], start[23]]);
        client.take(name as usize);
        client
    }

    /// With the token that this person shows.
    pub fn of(server: &Server, person: &Api, desktop: &Value) -> Self {
        let path = desktop["proxy_path"].as_str().expect("a path");
        Self::open(server.port, path, &format!("Authorization: Bearer {}\r\n", person.token()))
    }

    /// Ask for the whole screen, or for what has changed. Whether that could be sent.
    pub fn ask(&mut self, whole: bool) -> bool {
        let mut message = vec![FRAMEBUFFER_UPDATE_REQUEST, u8::from(!whole), 0, 0, 0, 0];
        message.extend(self.width.to_be_bytes());
        message.extend(self.height.to_be_bytes());
        self.send(&message)
    }

    /// Press a key and let go of it.
    pub fn press(&mut self, keysym: u32) -> bool {
        [1, 0].into_iter().all(|down| self.send(&[&[KEY_EVENT, down, 0, 0][..], &keysym.to_be_bytes()].concat()))
    }

    /// Read on to the end; the code of the Close before it, if there is one.
    pub fn wait_end(&mut self) -> Option<u16> {
        loop {
            match self.socket.read() {
                Got::Close(code) => return Some(code),
                Got::End => return None,
                _ => {}
            }
        }
    }

    /// The browser's own address.
    pub fn local(&self) -> SocketAddr {
        self.socket.local()
    }

    /// How long a read may take.
    pub fn set_read_limit(&self, limit: Duration) {
        self.socket.set_read_limit(limit);
    }

    /// Ask for pictures and read none of them, until nothing more fits between the desktop and here.
    pub fn stop_reading(&mut self) {
        let (mut room, mut before) = (vec![0; 16 << 20], 0);
        wait_until("what is not read piles up", SOON, || {
            (0..20).all(|_| self.ask(true));
            std::thread::sleep(PILE_UP_TIME);
            let unread = self.socket.unread(&mut room);
            unread > 0 && std::mem::replace(&mut before, unread) == unread
        });
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            match self.socket.read() {
                Got::Binary(bytes) => self.unread.extend(bytes),
                other => panic!("{other:?} in the handshake"),
            }
        }
        self.unread.drain(..count).collect()
    }

    fn send(&mut self, message: &[u8]) -> bool {
        self.socket.write(&[&header(true, BINARY, message.len() as u64), message].concat())
    }
}

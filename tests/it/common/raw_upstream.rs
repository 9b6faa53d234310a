//! A plain HTTP program behind the gateway that answers what a test tells it to, right or wrong. Shares no code with the
//! program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::strict_upstream::accept_of;

/// A body of an echo that is longer is only counted.
const SHOWN_BODY: usize = 64 * 1024;

/// What it does once it has read a request's head.
#[derive(Debug, Clone)]
pub enum Script {
    /// Says this, and closes.
    Says(Vec<u8>),
    /// Says this in pieces of so many bytes with a pause after each, and closes.
    SaysSlowly(Vec<u8>, usize, Duration),
    /// Says this, and stays.
    Holds(Vec<u8>),
    /// Says this, and resets the connection.
    Resets(Vec<u8>),
    /// Answers every request on the connection with its own head, an empty line and its body.
    EchoesRequests,
    /// Opens the WebSocket with everything that was offered, and sends every byte back.
    EchoesWebSocket,
    /// Opens the WebSocket, and sends without end.
    FloodsWebSocket,
}

impl Script {
    pub fn says(text: &str) -> Self {
        Self::Says(text.as_bytes().to_vec())
    }
}

pub struct RawUpstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    heads: Mutex<Vec<String>>,
    open: AtomicUsize,
    stopping: AtomicBool,
}

impl RawUpstream {
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let state = shared.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if state.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                let (state, script) = (state.clone(), script.clone());
                state.open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // It ends with an error when the gateway is gone, which some tests want.
                    let _ = serve(socket, &script, &state);
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().expect("nobody panics").clone()
    }

    /// The head of the last request.
    pub fn last_head(&self) -> String {
        self.heads().pop().expect("a request")
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The accept loop sees the flag at its next connection, which is this one.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(socket: TcpStream, script: &Script, shared: &Shared) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut writer = socket.try_clone()?;
    let mut reader = BufReader::new(socket);
    while let Some(head) = read_head(&mut reader)? {
        shared.heads.lock().expect("nobody panics").push(head.clone());
        match script {
            Script::Says(text) => return writer.write_all(text),
            Script::SaysSlowly(text, size, pause) => {
                for piece in text.chunks(*size) {
                    writer.write_all(piece)?;
                    std::thread::sleep(*pause);
                }
                return Ok(());
            }
            Script::Holds(text) => {
                writer.write_all(text)?;
                return reader.read_to_end(&mut Vec::new()).map(drop);
            }
            Script::Resets(text) => {
                writer.write_all(text)?;
                return socket2::SockRef::from(&writer).set_linger(Some(Duration::ZERO));
            }
            Script::EchoesRequests => echo_request(&head, &mut reader, &mut writer)?,
            Script::EchoesWebSocket => {
                writer.write_all(switching(&head).as_bytes())?;
                return std::io::copy(&mut reader, &mut writer).map(drop);
            }
            Script::FloodsWebSocket => {
                writer.write_all(switching(&head).as_bytes())?;
                let frames = super::strict_upstream::server_frame(2, &[7; 65_000]).repeat(16);
                loop {
                    writer.write_all(&frames)?;
                }
            }
        }
    }
    Ok(())
}

/// None at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn switching(head: &str) -> String {
    let accept = accept_of(header(head, "sec-websocket-key").unwrap_or_default());
    let agreed: String = ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"]
        .into_iter()
        .filter_map(|name| Some(format!("{name}: {}\r\n", header(head, name)?.split(',').next()?)))
        .collect();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{agreed}\r\n"
    )
}

fn echo_request(head: &str, reader: &mut impl BufRead, writer: &mut TcpStream) -> std::io::Result<()> {
    let (shown, length) = read_body(head, reader)?;
    let mut answer = head.as_bytes().to_vec();
    if length == shown.len() {
        answer.extend(shown);
    } else {
        answer.extend(format!("{length} bytes").as_bytes());
    }
    let begin = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", answer.len());
    writer.write_all(begin.as_bytes())?;
    if head.starts_with("HEAD ") { Ok(()) } else { writer.write_all(&answer) }
}

/// The body's beginning, and how long it is.
fn read_body(head: &str, reader: &mut impl BufRead) -> std::io::Result<(Vec<u8>, usize)> {
    let (mut shown, mut length) = (Vec::new(), 0);
    let mut take = |reader: &mut dyn BufRead, mut left: usize| -> std::io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let read = reader.read(&mut buffer[..left.min(64 * 1024)])?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            (left, length) = (left - read, length + read);
            shown.extend(&buffer[..read.min(SHOWN_BODY - shown.len())]);
        }
        Ok(())
    };
    if let Some(size) = header(head, "content-length").and_then(|size| size.parse().ok()) {
        take(reader, size)?;
    } else if header(head, "transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
            take(reader, size)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    }
    Ok((shown, length))
}

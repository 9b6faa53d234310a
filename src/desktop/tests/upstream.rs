//! A small HTTP server on a real socket, in the place of the program in the container.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::desktop::picture;

/// See the module's documentation.
pub struct Upstream {
    pub address: SocketAddr,
    pub behaviour: Arc<Behaviour>,
    /// The head of each request.
    pub asked: mpsc::Receiver<String>,
}

#[derive(Default)]
pub struct Behaviour {
    /// What the entry is answered with; 0: the connection is closed.
    pub status: AtomicU16,
    pub pictures: AtomicUsize,
    /// A picture that has not changed is an empty answer.
    pub unchanged: AtomicBool,
    pub garbage: AtomicBool,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = Arc::new(Behaviour { status: AtomicU16::new(200), ..Behaviour::default() });
        let (heads, asked) = mpsc::channel(1000);
        let own = behaviour.clone();
        actix_rt::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                actix_rt::spawn(answer(socket, own.clone(), heads.clone()));
            }
        });
        Self { address, behaviour, asked }
    }

    pub fn answers(&self, status: u16) {
        self.behaviour.status.store(status, Ordering::Relaxed);
    }
}

async fn answer(mut socket: TcpStream, behaviour: Arc<Behaviour>, heads: mpsc::Sender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = socket.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let status = behaviour.status.load(Ordering::Relaxed);
    let body = if head.starts_with("GET /api/get_screenshot") { picture(&head, &behaviour) } else { b"hello".to_vec() };
    let _ = heads.send(head).await;
    if status == 0 {
        return;
    }
    // The body ends with the connection, as with KasmVNC.
    let _ = socket.write_all(format!("HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let _ = socket.write_all(&body).await;
}

fn picture(head: &str, behaviour: &Behaviour) -> Vec<u8> {
    behaviour.pictures.fetch_add(1, Ordering::Relaxed);
    if behaviour.garbage.load(Ordering::Relaxed) {
        return b"<html>".to_vec();
    }
    match behaviour.unchanged.load(Ordering::Relaxed) && head.contains("deduplicate") {
        true => Vec::new(),
        false => picture::jpeg(400, 300),
    }
}

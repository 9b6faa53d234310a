//! A slow way to a registry of this machine, which can be made fast, and cut.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::remote::Remote;
use super::sockets::local;

/// What comes back while it is slow: so many bytes, then a pause.
const PIECE: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Shared {
    fast: AtomicBool,
    cut: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

pub struct SlowWay {
    pub port: u16,
    shared: Arc<Shared>,
    _remote: Remote,
}

impl SlowWay {
    pub fn to(port: u16) -> Self {
        let shared = Arc::<Shared>::default();
        let held = shared.clone();
        let remote = Remote::start(move |near| {
            let Ok(far) = TcpStream::connect(local(port)) else { return };
            let clones = [near.try_clone(), far.try_clone()].map(|clone| clone.expect("a second handle"));
            held.open.lock().expect("nobody panics").extend(clones);
            // After it is known, or a cut at this moment would miss it.
            if held.cut.load(Ordering::SeqCst) {
                refuse(&near);
            } else {
                let (mut up, mut up_to) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
                std::thread::spawn(move || copy(&mut up, &mut up_to));
                pass(&far, &near, &held.fast);
            }
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        });
        Self { port: remote.port, shared, _remote: remote }
    }

    pub fn go_fast(&self) {
        self.shared.fast.store(true, Ordering::SeqCst);
    }

    /// Break every connection. Those that come later are told to go away: an engine that is told nothing tries again
    /// for more than a minute.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().expect("nobody panics").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.cut();
    }
}

/// As a registry does it, which engines take for final.
fn refuse(mut to: &TcpStream) {
    let reason = r#"{"errors":[{"code":"DENIED","message":"closed for today"}]}"#;
    let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {}", reason.len());
    // A client that has gone needs no answer.
    let _ = to.read(&mut [0; 4096]);
    let _ = to.write_all(format!("{head}\r\nConnection: close\r\n\r\n{reason}").as_bytes());
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, fast: &AtomicBool) {
    let mut buffer = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
        if !fast.load(Ordering::SeqCst) {
            std::thread::sleep(PAUSE);
        }
    }
}

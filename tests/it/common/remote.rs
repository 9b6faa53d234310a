//! Little servers that stand for what is behind the agent, one thread a connection, on port 0 of 127.0.0.1.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::sockets::{local, reset, with_limits};

/// Thousands of connections are held at once, and no handler needs much.
const STACK: usize = 128 * 1024;

pub struct Remote {
    pub port: u16,
    accepted: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

impl Remote {
    /// Run `serve` for each connection, on a thread of its own.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(local(0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (accepted, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (accepted.clone(), stopping.clone());
        std::thread::spawn(move || accept(&listener, &count, &stop, Arc::new(serve)));
        Self { port, accepted, stopping }
    }

    /// How many connections have come so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Sends back what it gets, to the end.
    pub fn echo() -> Self {
        Self::start(|mut stream| {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length) = stream.read(&mut buffer) {
                if length == 0 || stream.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            let _ = stream.shutdown(Shutdown::Write);
        })
    }

    /// Says `greeting`, then echoes nothing and waits for the user's end.
    pub fn speaks_first(greeting: &'static [u8]) -> Self {
        Self::start(move |mut stream| {
            let _ = stream.write_all(greeting);
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// Reads to the end, then answers with everything it got, in `pieces` with `pause` between them.
    pub fn answers_after_the_end(pieces: usize, pause: Duration) -> Self {
        Self::start(move |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("the user's bytes and a FIN");
            for piece in all.chunks(all.len().div_ceil(pieces).max(1)) {
                stream.write_all(piece).expect("the user still reads");
                std::thread::sleep(pause);
            }
        })
    }

    /// Reads everything; what it got, and how it ended, comes out of the receiver.
    pub fn sink() -> (Self, Receiver<Result<Vec<u8>, ErrorKind>>) {
        Self::reporting(|mut stream, report| {
            let mut all = Vec::new();
            let end = stream.read_to_end(&mut all).map_err(|error| error.kind());
            let _ = report.send(end.map(|_| all));
        })
    }

    /// A handler that reports to the test.
    pub fn reporting<T: Send + 'static>(
        serve: impl Fn(TcpStream, &Sender<T>) + Send + Sync + 'static,
    ) -> (Self, Receiver<T>) {
        let (report, reports) = channel();
        (Self::start(move |stream| serve(stream, &report)), reports)
    }

    /// Sends as fast as it is taken, without an end.
    pub fn endless() -> Self {
        Self::start(|mut stream| {
            let block = vec![7; 256 * 1024];
            while stream.write_all(&block).is_ok() {}
        })
    }

    /// Sends `pieces` of `size` bytes with `pause` between them, then a FIN.
    pub fn trickles(pieces: usize, size: usize, pause: Duration) -> Self {
        Self::start(move |mut stream| {
            let block = vec![7; size];
            for _ in 0..pieces {
                if stream.write_all(&block).is_err() {
                    return;
                }
                std::thread::sleep(pause);
            }
        })
    }

    /// Resets the connection once one byte has come.
    pub fn resets() -> Self {
        Self::start(|mut stream| {
            let _ = stream.read_exact(&mut [0]);
            reset(stream);
        })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The accept loop sees the flag at its next connection, which is this one.
        let _ = TcpStream::connect(local(self.port));
    }
}

fn accept(
    listener: &TcpListener,
    count: &AtomicUsize,
    stop: &AtomicBool,
    serve: Arc<impl Fn(TcpStream) + Send + Sync + 'static>,
) {
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        count.fetch_add(1, Ordering::SeqCst);
        let serve = serve.clone();
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn(move || serve(with_limits(stream))).expect("a thread");
    }
}

/// A port that is taken but refuses: bound, and never listening.
pub struct Refuses {
    pub port: u16,
    _socket: Socket,
}

impl Refuses {
    pub fn start() -> Self {
        let (socket, port) = bound();
        Self { port, _socket: socket }
    }
}

/// A listener whose queue is full: a SYN to it gets no answer, until `open` makes room.
pub struct BlackHole {
    pub port: u16,
    listener: TcpListener,
    waiting: Vec<Socket>,
}

impl BlackHole {
    pub fn start() -> Self {
        let (socket, port) = bound();
        socket.listen(0).expect("listening");
        let waiting = (0..3).map(|_| fill(port)).collect();
        Self { port, listener: socket.into(), waiting }
    }

    /// Take what filled the queue, then the first connection of somebody else.
    pub fn open(mut self) -> TcpStream {
        let own: Vec<_> = self.waiting.iter().filter_map(|s| s.local_addr().ok()?.as_socket()).collect();
        self.waiting.truncate(1);
        loop {
            let (stream, peer) = self.listener.accept().expect("a connection");
            if !own.contains(&peer) {
                return with_limits(stream);
            }
        }
    }
}

fn bound() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&local(0).into()).expect("a free port");
    let port = socket.local_addr().expect("an address").as_socket().expect("an IP address").port();
    (socket, port)
}

fn fill(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("nonblocking");
    // It completes for as many as the queue takes, and stays under way for the others.
    let _ = socket.connect(&local(port).into());
    socket
}

//! A hold on the socket of a client whose connection belongs to the HTTP server: to cut it while the client takes
//! nothing, and to learn that it left while there is nothing to send.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use actix_web::HttpRequest;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A silent client is probed after this, and then this often.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// See the module's documentation. Clones share the hold.
#[derive(Clone)]
pub struct ClientSocket(Rc<Held>);

struct Held {
    descriptor: OwnedFd,
    /// What the socket was last told, so that it is told once.
    patience: Cell<Option<Duration>>,
}

impl ClientSocket {
    /// A second descriptor of the connection, which stays open as long as any.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn of_stream(socket: &TcpStream) -> io::Result<Self> {
        let descriptor = socket.as_fd().try_clone_to_owned()?;
        Ok(Self(Rc::new(Held { descriptor, patience: Cell::new(None) })))
    }

    /// Of the connection that this request came over. None in tests without a socket.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Self>().cloned()
    }

    /// End the connection at once, with a reset: what the client has not taken yet it does not get, and takes nothing
    /// that came for all there is.
    pub fn abort(&self) {
        // One that is gone already needs no reset.
        let _ = rustix::net::connect_unspec(&self.0.descriptor);
    }

    /// The client may take nothing for this long, and is probed while nothing is sent.
    pub fn wait_for(&self, patience: Duration) {
        if self.0.patience.replace(Some(patience)) == Some(patience) {
            return;
        }
        let socket = SockRef::from(&self.0.descriptor);
        // A socket that refuses either is one that is gone.
        let _ = socket.set_tcp_user_timeout(Some(patience));
        let probing = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
        let _ = socket.set_tcp_keepalive(&probing);
    }

    /// Resolves when the client closes its connection, or the direction in which it sends.
    pub async fn closed(&self) {
        let Ok(watched) = self.watched() else { return pending().await };
        while let Ok(ready) = watched.ready(Interest::READABLE).await {
            if ready.is_read_closed() {
                return;
            }
            // What it sends is for the server to read: wait for the next that comes.
            let _ = watched.try_io(Interest::READABLE, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
        }
    }

    /// The runtime wants a descriptor of its own for each that watches.
    fn watched(&self) -> io::Result<TcpStream> {
        TcpStream::from_std(std::net::TcpStream::from(self.0.descriptor.try_clone()?))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// The two ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[actix::test]
    async fn a_cut_reaches_both_ends_though_the_client_reads_nothing() {
        let (mut client, mut server) = pair().await;
        let held = ClientSocket::of_stream(&server).unwrap();
        let mut filled = 0;
        let block = vec![0; 1 << 20];
        while let Ok(Ok(count)) = timeout(Duration::from_millis(200), server.write(&block)).await {
            filled += count;
        }
        let (ended, ()) = tokio::join!(server.write_all(&block), async { held.abort() });
        assert!(ended.is_err());
        let mut taken = 0;
        let error = loop {
            match client.read(&mut vec![0; 1 << 20]).await {
                Ok(0) => panic!("that looks like all"),
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(taken < filled);
    }

    #[actix::test]
    async fn a_client_that_leaves_is_noticed_and_one_that_sends_is_not() {
        let (mut client, server) = pair().await;
        let held = ClientSocket::of_stream(&server).unwrap();
        client.write_all(b"more").await.unwrap();
        assert!(timeout(Duration::from_millis(200), held.closed()).await.is_err());
        client.shutdown().await.unwrap();
        timeout(Duration::from_secs(5), held.closed()).await.expect("it left");
        drop((server, client));
    }

    #[actix::test]
    async fn patience_and_probes_are_set_once() {
        let (_client, server) = pair().await;
        let held = ClientSocket::of_stream(&server).unwrap();
        held.wait_for(Duration::from_secs(300));
        let socket = SockRef::from(&server);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(300)));
        assert!(socket.keepalive().unwrap());
        socket.set_keepalive(false).unwrap();
        held.wait_for(Duration::from_secs(300));
        assert!(!socket.keepalive().unwrap(), "it is not told again");
    }
}

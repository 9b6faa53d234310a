//! An upstream for tests, which says byte by byte what it is told to.

use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Scheme, Upstream};

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection that the upstream accepted. Dropped, it is closed; over TLS without a word.
pub struct Peer {
    stream: Box<dyn Stream>,
    /// The how manieth connection it is, from 0.
    pub number: usize,
}

impl Peer {
    /// The next request's head, empty when the other side closed.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return String::new(),
            }
        }
        String::from_utf8(head).unwrap()
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Up to `length` bytes, fewer when the other side closed.
    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = (&mut self.stream).take(length as u64).read_to_end(&mut bytes).await;
        bytes
    }
}

/// See the module's documentation.
pub struct TestUpstream {
    pub upstream: Upstream,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for TestUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestUpstream {
    /// `serve` talks on each connection.
    pub async fn start<F: Future<Output = ()> + 'static>(scheme: Scheme, serve: impl Fn(Peer) -> F + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let tls = (scheme == Scheme::Https).then(acceptor);
        let accepted = Arc::new(AtomicUsize::new(0));
        let (counter, serve) = (accepted.clone(), Rc::new(serve));
        let task = actix_rt::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (number, tls, serve) = (counter.fetch_add(1, Ordering::Relaxed), tls.clone(), serve.clone());
                actix_rt::spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        None => Box::new(socket),
                        Some(tls) => match tls.accept(socket).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    serve(Peer { stream, number }).await;
                });
            }
        });
        Self { upstream: Upstream { scheme, address, authorization: None }, accepted, task }
    }

    /// Answers every request on every connection with these bytes, and closes if `closes`.
    pub async fn saying(answer: impl AsRef<[u8]> + 'static, closes: bool) -> Self {
        let answer = Rc::new(answer);
        Self::start(Scheme::Http, move |mut peer| {
            let answer = answer.clone();
            async move {
                while !peer.head().await.is_empty() {
                    peer.send((*answer).as_ref()).await;
                    if closes {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

fn acceptor() -> TlsAcceptor {
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=desktop", "-outform", "DER", "-out", "cert", "-keyout", "key.pem"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let certificate = CertificateDer::from(std::fs::read(directory.path().join("cert")).unwrap());
    let key: PrivateKeyDer<'_> =
        rustls_pki_types::pem::PemObject::from_pem_file(directory.path().join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

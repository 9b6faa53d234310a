//! The upstream with TLS, as KasmVNC has it: a certificate that nobody signed, one request a connection, sessions that
//! may be resumed.

use super::http::HEAD_LIMIT;
use super::upstream::{fill_head, small_answer};
use crate::common::Outcome;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Makes a certificate and what accepts connections with it.
pub fn acceptor() -> Outcome<TlsAcceptor> {
    let directory = tempfile::Builder::new().prefix("dockway-bench-tls-").tempdir()?;
    let (certificate, key) = (directory.path().join("certificate.pem"), directory.path().join("key.pem"));
    make_certificate(&certificate, &key)?;
    let chain = vec![CertificateDer::from_pem_file(&certificate)?];
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(&key)?)?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A key of RSA, as the images make it.
fn make_certificate(certificate: &Path, key: &Path) -> Outcome<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=bench"]);
    command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-out"]).arg(certificate).arg("-keyout").arg(key);
    let output = command.output().map_err(|error| format!("cannot start openssl: {error}"))?;
    if !output.status.success() {
        return Err(format!("openssl made no certificate: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// Answers one small request.
pub async fn serve(stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut read = Vec::with_capacity(HEAD_LIMIT);
    if fill_head(&mut stream, &mut read).await?.is_some() {
        stream.write_all(&small_answer("close")).await?;
    }
    stream.shutdown().await
}

//! Connecting to a channel's target.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::allow::AllowList;
use crate::link::socket::prepare;
use crate::wire::codes::{OpenError, OpenFailure};

/// Looking up and connecting take at most this long together.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// One of several addresses gets this long before the next is tried.
const ADDRESS_LIMIT: Duration = Duration::from_secs(4);

/// Connect to `host:port` if the list allows it.
pub async fn dial(host: &str, port: u16, allow: &AllowList) -> Result<TcpStream, OpenFailure> {
    match timeout(DIAL_LIMIT, dial_unlimited(host, port, allow)).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(host, port)),
    }
}

async fn dial_unlimited(host: &str, port: u16, allow: &AllowList) -> Result<TcpStream, OpenFailure> {
    let by_name = allow.allows_name(host, port);
    if !by_name && !allow.allows_port(port) {
        return Err(denied(host, port));
    }
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| OpenFailure::new(OpenError::Unresolved, format!("{host}: {error}")))?;
    let mut addresses = found.filter(|address| by_name || allow.allows_address(address.ip(), port)).peekable();
    if addresses.peek().is_none() {
        return Err(denied(host, port));
    }
    let mut failure = timed_out(host, port);
    while let Some(address) = addresses.next() {
        let limit = if addresses.peek().is_some() { ADDRESS_LIMIT } else { DIAL_LIMIT };
        match timeout(limit, connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failure = classify(address, &error),
            Err(_) => failure = timed_out(host, port),
        }
    }
    Err(failure)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    prepare(SockRef::from(&socket))?;
    Ok(socket)
}

fn denied(host: &str, port: u16) -> OpenFailure {
    OpenFailure::new(OpenError::Denied, format!("{host}:{port} is not on the agent's allow list"))
}

fn timed_out(host: &str, port: u16) -> OpenFailure {
    OpenFailure::new(OpenError::Timeout, format!("{host}:{port} did not answer in {} s", DIAL_LIMIT.as_secs()))
}

fn classify(address: SocketAddr, error: &io::Error) -> OpenFailure {
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused => OpenError::Refused,
        io::ErrorKind::TimedOut => OpenError::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => OpenError::Unreachable,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied => OpenError::Unreachable,
        _ if matches!(error.raw_os_error(), Some(rustix_errno::MFILE | rustix_errno::NFILE)) => OpenError::Limit,
        _ => OpenError::Internal,
    };
    OpenFailure::new(code, format!("{address}: {error}"))
}

/// The errors that std has no kind for.
mod rustix_errno {
    pub const MFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
    pub const NFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> AllowList {
        AllowList::default()
    }

    #[actix::test]
    async fn a_closed_port_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let failure = dial("127.0.0.1", port, &everything()).await.unwrap_err();
        assert_eq!(failure.code, OpenError::Refused);
    }

    #[actix::test]
    async fn an_unknown_name_is_unresolved() {
        let failure = dial("no-such-host.invalid", 1, &everything()).await.unwrap_err();
        assert_eq!(failure.code, OpenError::Unresolved);
    }

    #[actix::test]
    async fn what_is_not_allowed_is_denied_by_name_and_by_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let elsewhere = AllowList::parse(&["10.0.0.0/8", "db.internal"]).unwrap();
        for host in ["127.0.0.1", "localhost"] {
            assert_eq!(dial(host, port, &elsewhere).await.unwrap_err().code, OpenError::Denied, "{host}");
        }
        for rule in ["127.0.0.0/8", "localhost"] {
            let list = AllowList::parse(&[rule]).unwrap();
            let host = if rule == "localhost" { "localhost" } else { "127.0.0.1" };
            assert!(dial(host, port, &list).await.is_ok(), "{rule}");
        }
    }
}

//! Binding and choosing a tunnel's port.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;

use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::link::socket::prepare;

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;
/// Where Linux says which ports it gives to outgoing connections (ip(7)).
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Bind and listen, without blocking; what is accepted inherits the options.
pub fn bind(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted server need not wait for its old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    prepare(SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Take the next connection off the listener, in one system call and ready for use.
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.as_ref().and_then(ip_address);
    // Only a socket of another family lacks it, and those are not listened on.
    let peer = peer.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((socket.into(), peer))
}

fn ip_address(address: &SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address.clone()).ok()
}

/// Bind some port of the range, outside the system's ephemeral ports where possible, and none of `taken`.
/// `random` chooses where the search begins. None: no port is free.
pub fn bind_any(
    address: IpAddr,
    range: &RangeInclusive<u16>,
    taken: &HashSet<u16>,
    random: u32,
) -> Option<(TcpListener, u16)> {
    let ephemeral = std::fs::read_to_string(EPHEMERAL).ok().and_then(|text| parse_range(&text));
    let candidates = candidates(range, ephemeral.as_ref());
    let start = random as usize % candidates.len().max(1);
    let in_turn = candidates[start..].iter().chain(&candidates[..start]);
    in_turn.filter(|port| !taken.contains(port)).find_map(|port| Some((bind(address, *port).ok()?, *port)))
}

/// The range without the ephemeral ports; all of it if nothing else is left.
fn candidates(range: &RangeInclusive<u16>, ephemeral: Option<&RangeInclusive<u16>>) -> Vec<u16> {
    let outside = |port: &u16| !ephemeral.is_some_and(|ephemeral| ephemeral.contains(port));
    let ports: Vec<u16> = range.clone().filter(outside).collect();
    if ports.is_empty() { range.clone().collect() } else { ports }
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn ephemeral_ports_are_left_out_unless_nothing_else_is_there() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(candidates(&(10..=15), Some(&(12..=20))), [10, 11]);
        assert_eq!(candidates(&(12..=13), Some(&(12..=20))), [12, 13]);
        assert_eq!(candidates(&(12..=13), None), [12, 13]);
    }

    #[test]
    fn a_busy_port_is_passed_over() {
        let first = bind(LOOPBACK, 0).unwrap();
        let port = first.local_addr().unwrap().port();
        assert!(bind_any(LOOPBACK, &(port..=port), &HashSet::new(), 7).is_none());
        drop(first);
        assert!(bind_any(LOOPBACK, &(port..=port), &HashSet::from([port]), 7).is_none());
        let (_, chosen) = bind_any(LOOPBACK, &(port..=port), &HashSet::new(), 7).unwrap();
        assert_eq!(chosen, port);
    }

    #[test]
    fn what_is_accepted_has_the_listeners_options() {
        let listener = bind(LOOPBACK, 0).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = accept(&listener).unwrap();
        assert!(peer.ip().is_loopback());
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

//! Finds the processes of a tunnel that somebody else started: the one that listens on its port, and the one that
//! holds the connection to the remote. A process that only stands between these two is not found.

use crate::common::process_tree::{ProcessTree, all_ids, parent_of};
use std::collections::BTreeSet;
use std::fs;

const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";

/// The processes of the tunnel from `port` to `remote_port`. A connection must be open through it, and no other
/// connection to the remote except from this process. `None` unless both ends are found.
pub fn find_processes(port: u16, remote_port: u16) -> Option<ProcessTree> {
    let entrance = |socket: &Socket| socket.state == LISTENING && socket.local_port == port;
    let exit = |socket: &Socket| socket.state == ESTABLISHED && socket.peer_port == remote_port;
    let sockets = all_sockets();
    let mut roots = owners(&sockets, entrance);
    let exits = owners(&sockets, exit);
    if roots.is_empty() || exits.is_empty() {
        return None;
    }
    roots.extend(exits);
    Some(ProcessTree::new(roots.into_iter().map(first_of_its_kind).collect()))
}

/// The process that forked this one, if it runs the same program: a fork may serve only the connection at hand.
fn first_of_its_kind(pid: u32) -> u32 {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    match parent_of(pid) {
        Some(parent) if program(parent).is_some() && program(parent) == program(pid) => first_of_its_kind(parent),
        _ => pid,
    }
}

struct Socket {
    local_port: u16,
    peer_port: u16,
    state: String,
    inode: String,
}

fn all_sockets() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(parse_socket).collect()
}

/// A line such as `0: 0100007F:1F90 00000000:0000 0A …`; the inode is the tenth word.
fn parse_socket(line: &str) -> Option<Socket> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let port_of = |word: &str| u16::from_str_radix(word.rsplit_once(':')?.1, 16).ok();
    Some(Socket {
        local_port: port_of(words.get(1)?)?,
        peer_port: port_of(words.get(2)?)?,
        state: (*words.get(3)?).to_owned(),
        inode: (*words.get(9)?).to_owned(),
    })
}

/// The processes, except this one, that hold one of the sockets asked for.
fn owners(sockets: &[Socket], is_wanted: impl Fn(&Socket) -> bool) -> BTreeSet<u32> {
    let wanted = sockets.iter().filter(|socket| is_wanted(socket));
    let links: BTreeSet<String> = wanted.map(|socket| format!("socket:[{}]", socket.inode)).collect();
    let others = all_ids().filter(|pid| *pid != std::process::id());
    others.filter(|pid| holds_one_of(*pid, &links)).collect()
}

fn holds_one_of(pid: u32, links: &BTreeSet<String>) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    targets.any(|target| target.to_str().is_some_and(|target| links.contains(target)))
}

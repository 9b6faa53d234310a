//! What processes cost, read from /proc: CPU time and memory of some processes and all their descendants (socat forks
//! one for each connection, nginx a few at the start).

use std::collections::BTreeSet;
use std::fs;

/// Unit of the times in /proc/PID/stat; Linux shows them in hundredths of a second to every program.
const TICKS_PER_SECOND: f64 = 100.0;

/// Some processes and all their descendants.
#[derive(Clone)]
pub struct ProcessTree {
    roots: Vec<u32>,
}

struct Stat {
    pid: u32,
    parent: u32,
    /// Of the process and of its children that ended and were waited for.
    cpu_ticks: u64,
}

impl ProcessTree {
    /// The tree below these processes.
    pub fn new(roots: Vec<u32>) -> Self {
        Self { roots }
    }

    /// The ids of all processes of the tree that run now.
    pub fn members(&self) -> Vec<u32> {
        self.stats().iter().map(|stat| stat.pid).collect()
    }

    /// User and system time of the tree since its start, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        self.stats().iter().map(|stat| stat.cpu_ticks).sum::<u64>() as f64 / TICKS_PER_SECOND
    }

    /// Resident memory in bytes; a page that forks share counts for each of them.
    pub fn resident_bytes(&self) -> u64 {
        self.members().into_iter().filter_map(resident_bytes).sum()
    }

    /// Memory in bytes; a page that several processes share counts in parts that make one.
    pub fn proportional_bytes(&self) -> u64 {
        self.members().into_iter().filter_map(proportional_bytes).sum()
    }

    fn stats(&self) -> Vec<Stat> {
        let all = all_processes();
        let mut members: BTreeSet<u32> = self.roots.iter().copied().collect();
        loop {
            let before = members.len();
            let children = all.iter().filter(|stat| members.contains(&stat.parent)).map(|stat| stat.pid);
            members.extend(children.collect::<Vec<_>>());
            if members.len() == before {
                return all.into_iter().filter(|stat| members.contains(&stat.pid)).collect();
            }
        }
    }
}

/// The ids of all processes.
pub fn all_ids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The id of the process that started this one.
pub fn parent_of(pid: u32) -> Option<u32> {
    read_stat(pid).map(|stat| stat.parent)
}

fn all_processes() -> Vec<Stat> {
    all_ids().filter_map(read_stat).collect()
}

fn read_stat(pid: u32) -> Option<Stat> {
    // A process may end between the listing and this.
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and brackets; what follows its last bracket does not.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let times = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok());
    Some(Stat { pid, parent, cpu_ticks: times.sum() })
}

fn resident_bytes(pid: u32) -> Option<u64> {
    bytes_in_line(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn proportional_bytes(pid: u32) -> Option<u64> {
    bytes_in_line(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn bytes_in_line(file: &str, label: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

//! A process that the benchmark started: killed with its forks when the guard is dropped, or when the benchmark dies.

use super::Outcome;
use super::process_tree::ProcessTree;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How many of the last lines of standard error are kept to explain a failure.
const TAIL_LINES: usize = 20;

/// A running process.
pub struct Running {
    name: String,
    child: Child,
    tail: Arc<Mutex<VecDeque<String>>>,
    announced: Receiver<String>,
}

impl Running {
    /// Starts the process and reads its standard error; the first line with `announcement` in it is kept for
    /// [`Self::wait_for_announcement`].
    pub fn start(name: &str, command: &mut Command, announcement: &'static str) -> Outcome<Self> {
        // SAFETY: between fork and exec only one system call is made, which allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("cannot start {name}: {error}"))?;
        let tail = Arc::default();
        let (announce, announced) = sync_channel(1);
        if let Some(stderr) = child.stderr.take() {
            let tail = Arc::clone(&tail);
            thread::spawn(move || drain(stderr, &tail, announcement, &announce));
        }
        Ok(Self { name: name.to_owned(), child, tail, announced })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the announced line.
    pub fn wait_for_announcement(&mut self, limit: Duration) -> Outcome<String> {
        self.announced.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("{} did not announce itself{}", self.name, self.last_words()).into(),
            RecvTimeoutError::Disconnected => format!("{} ended at once{}", self.name, self.last_words()).into(),
        })
    }

    /// What is known of the process's end, when it has ended.
    pub fn obituary(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended with {status}{}", self.name, self.last_words()))
    }

    /// The last lines of standard error, told once.
    fn last_words(&self) -> String {
        let tail = std::mem::take(&mut *self.tail.lock().unwrap_or_else(PoisonError::into_inner));
        tail.iter().fold(String::new(), |text, line| text + "\n    | " + line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let forks = ProcessTree::new(vec![self.id()]).members();
        // The first process goes first, so that no further fork appears; both may have ended by themselves.
        let _ = self.child.kill();
        for fork in forks.into_iter().filter(|fork| *fork != self.id()) {
            if let Some(pid) = i32::try_from(fork).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

fn drain(stderr: impl Read, tail: &Mutex<VecDeque<String>>, announcement: &str, announce: &SyncSender<String>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(announcement) {
            // Only the first one is wanted; the place is taken when another comes.
            let _ = announce.try_send(line.clone());
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.push_back(line);
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    }
}

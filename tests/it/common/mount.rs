//! A tiny file system in memory: it can be full, and it can be made read-only even for root.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::output_of;

pub struct TinyDisk {
    directory: TempDir,
}

impl TinyDisk {
    /// `size` as `mount -o size=` takes it.
    pub fn mount(size: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = format!("size={size},mode=0755");
        output_of(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory.path()));
        Self { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn make_read_only(&self) {
        output_of(Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()));
    }

    /// Write until nothing more fits.
    pub fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).expect("a file");
        for size in [64 * 1024, 4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // Lazily: the server that used it may drop later.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

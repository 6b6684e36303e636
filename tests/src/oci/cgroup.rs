// SPDX-License-Identifier: Apache-2.0
//! Cgroups, looked at from the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

const MOUNT: &str = "/sys/fs/cgroup";

/// Whether this machine has cgroup v2 alone.
pub fn is_unified() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").exists()
}

/// A cgroup, in whatever hierarchies there are.
#[derive(Clone, Debug)]
pub struct Cgroup {
    path: String,
}

impl Cgroup {
    /// The cgroup of this path, which counts from the top of every hierarchy.
    pub fn new(path: &str) -> Self {
        Self { path: path.trim_start_matches('/').to_owned() }
    }

    /// Its path from the top, with a slash in front: what `linux.cgroupsPath` takes.
    pub fn path(&self) -> String {
        format!("/{}", self.path)
    }

    /// Its directory in the hierarchy of the v1 controller `controller`, or the only one there is.
    pub fn directory(&self, controller: &str) -> PathBuf {
        match is_unified() {
            true => Path::new(MOUNT).join(&self.path),
            false => Path::new(MOUNT).join(controller).join(&self.path),
        }
    }

    /// What a file of it holds, without the newline; nothing if it is not there.
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.directory(controller).join(file)).ok().map(|text| text.trim_end().to_owned())
    }

    /// Whether it is in any hierarchy.
    pub fn exists(&self) -> bool {
        !self.directories().is_empty()
    }

    /// Every directory of it that is there.
    pub fn directories(&self) -> Vec<PathBuf> {
        let hierarchies: Vec<_> = match is_unified() {
            true => vec![PathBuf::from(MOUNT)],
            false => fs::read_dir(MOUNT).into_iter().flatten().flatten().map(|entry| entry.path()).collect(),
        };
        hierarchies.iter().map(|hierarchy| hierarchy.join(&self.path)).filter(|path| path.is_dir()).collect()
    }

    /// The processes in it and below, in any hierarchy.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids: Vec<u32> =
            self.directories().iter().flat_map(|directory| processes(directory)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Ends every process in it and removes it, as far as that can be done.
    pub(crate) fn clear(&self) {
        let until = Instant::now() + PATIENCE;
        while self.exists() && Instant::now() < until {
            for pid in self.processes() {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            for directory in self.directories() {
                thaw(&directory);
                remove(&directory);
            }
            if self.exists() {
                sleep(Duration::from_millis(10));
            }
        }
    }
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).collect()
}

fn processes(directory: &Path) -> Vec<u32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let own = text.lines().filter_map(|line| line.parse().ok());
    own.chain(below(directory).iter().flat_map(|child| processes(child))).collect()
}

/// A frozen process does not die of SIGKILL on v1.
fn thaw(directory: &Path) {
    for child in below(directory) {
        thaw(&child);
    }
    for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if directory.join(file).exists() {
            let _ = fs::write(directory.join(file), word);
        }
    }
}

fn remove(directory: &Path) {
    for child in below(directory) {
        remove(&child);
    }
    let _ = fs::remove_dir(directory);
}

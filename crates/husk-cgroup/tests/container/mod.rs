// SPDX-License-Identifier: Apache-2.0
//! A container as far as cgroups go: a place of its own, and processes in it. All of it ends with the value.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use husk_cgroup::limits::Hierarchy;
use husk_cgroup::{CgroupError, Entry, Hierarchies, Place};
use husk_sys::{Clone, StringArray, ThinCStr, clone3, execve, exit};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::UnshareFlags;

use crate::skip::skip;

pub(crate) struct Container {
    pub(crate) place: Place,
}

impl Container {
    /// A place at the top for root, beside the caller's own cgroup for others.
    pub(crate) fn place() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("husk-test-{}-{number}", std::process::id());
        let top = if rustix::process::geteuid().is_root() { "/" } else { "" };
        let found = Hierarchies::read().expect("hierarchies");
        Place::new(&found, Some(&format!("{top}{name}")), "").expect("a place")
    }

    /// A container with `controllers`. `None`, with the reason told, where this machine or user cannot have one.
    pub(crate) fn new(test: &str, controllers: &[&str]) -> Option<Self> {
        let mut place = Self::place();
        // Version 2 has these without a controller.
        let is_needed = |name: &&&str| {
            place.version() == Hierarchy::V1 || !["cpuacct", "devices", "freezer"].contains(name)
        };
        let needed: Vec<_> = controllers.iter().filter(is_needed).copied().collect();
        match place.create(&needed) {
            Err(error) if error.is_permission() => {
                skip(test, &error.to_string());
                return None;
            }
            result => result.expect("cgroups can be made"),
        }
        let container = Self { place };
        match controllers.iter().find(|name| container.place.directory(name).is_none()) {
            Some(missing) => {
                skip(test, &format!("the controller {missing} is not mounted here"));
                None
            }
            None => Some(container),
        }
    }

    /// Runs a shell in it.
    pub(crate) fn shell(&self, script: &str) -> Running {
        run(&self.place.open().expect("the cgroups can be opened"), script)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let ended = self.place.kill().and_then(|()| self.place.remove());
        if let Err(error) = ended
            && !std::thread::panicking()
        {
            panic!("something is left behind: {error}");
        }
    }
}

/// A child that is in the container's cgroups from its first instruction on, or before it does anything else.
pub(crate) fn run(entry: &Entry, script: &str) -> Running {
    let words = ["/bin/sh", "-c", script].map(|word| CString::new(word).expect("no zero"));
    let argv: Vec<_> = words.iter().map(|word| Some(ThinCStr::new(word))).chain([None]).collect();
    let null =
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("/dev/null");
    let path = CString::new("PATH=/usr/bin:/bin:/usr/sbin:/sbin").expect("no zero");
    let envp = [Some(ThinCStr::new(&path)), None];
    let (argv, envp) = (StringArray::new(&argv).expect("argv"), StringArray::new(&envp).expect("envp"));
    let args = Clone {
        namespaces: UnshareFlags::empty(),
        cgroup: entry.directory.as_ref().map(AsFd::as_fd),
        exit_signal: 17, // SIGCHLD
    };
    let child = clone3(&args, || {
        for tasks in &entry.tasks {
            if rustix::io::write(tasks, b"0").is_err() {
                exit(126);
            }
        }
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
        execve(&words[0], argv, envp);
        exit(127)
    });
    let child = child.expect("a child");
    Running { pid: child.pid, _pidfd: child.pidfd }
}

pub(crate) struct Running {
    pub(crate) pid: Pid,
    _pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
}

impl Running {
    /// Waits for its end, at most a minute: a machine may be slow.
    pub(crate) fn wait(self) -> End {
        let start = Instant::now();
        loop {
            let found = waitpid(Some(self.pid), WaitOptions::NOHANG).expect("it is our child");
            if let Some((_, status)) = found {
                let signal = status.terminating_signal().map(End::Signal);
                return signal.or(status.exit_status().map(End::Exit)).expect("it has ended");
            }
            assert!(start.elapsed() < Duration::from_secs(60), "process {:?} does not end", self.pid);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a failure is one of the machine's, for which there is a reason to tell.
pub(crate) fn is_machines(error: &CgroupError) -> Option<String> {
    error.is_permission().then(|| error.to_string())
}

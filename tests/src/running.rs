// SPDX-License-Identifier: Apache-2.0
//! A command that runs.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Output;
use crate::patience::PAUSE;

/// A command that runs. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    deadline: Instant,
    ended: Option<ExitStatus>,
}

/// A stream that is being read.
#[derive(Debug)]
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                to.lock().expect("a reader does not panic").extend_from_slice(&buffer[..count]);
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("a reader does not panic")).into_owned()
    }
}

impl Running {
    pub(crate) fn new(mut child: Child, command: String, input: Vec<u8>, timeout: Duration) -> Self {
        let stdout = Stream::read(child.stdout.take().expect("stdout is piped"));
        let stderr = Stream::read(child.stderr.take().expect("stderr is piped"));
        let mut stdin = child.stdin.take();
        if !input.is_empty() {
            let mut stdin = stdin.take().expect("stdin is piped");
            // A command that ends without reading is no failure of the writer's.
            thread::spawn(move || stdin.write_all(&input));
        }
        let deadline = Instant::now() + timeout;
        Self { child, command, stdin, stdout, stderr, deadline, ended: None }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input, which stays open until then only if nothing was given before.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(bytes.as_ref()).and_then(|()| stdin.flush()).expect("standard input can be written");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|errno| panic!("kill of {}: {errno}", self.command));
    }

    /// Waits until its standard output has `text` in it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        loop {
            // Asked first: what has ended may have printed it right before.
            let ended = self.stdout.reader.is_finished();
            if self.stdout.so_far().contains(text) {
                return;
            }
            assert!(!ended, "ended before it printed {text:?}:\n{}", self.so_far());
            assert!(Instant::now() < self.deadline, "did not print {text:?} in time:\n{}", self.so_far());
            sleep(PAUSE);
        }
    }

    /// The container's first process: the one child of husk in another pid namespace, once there is one.
    #[track_caller]
    pub fn container(&mut self) -> u32 {
        self.find_container().unwrap_or_else(|| panic!("no container came up:\n{}", self.so_far()))
    }

    fn find_container(&mut self) -> Option<u32> {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        while self.child.try_wait().ok()?.is_none() && Instant::now() < self.deadline {
            let husk = self.child.id();
            let children =
                fs::read_to_string(format!("/proc/{husk}/task/{husk}/children")).unwrap_or_default();
            let mut children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            let own = namespace(husk);
            if let Some(pid) = children.find(|pid| namespace(*pid).is_some_and(|its| Some(its) != own)) {
                return Some(pid);
            }
            sleep(PAUSE);
        }
        None
    }

    /// Closes its standard input and waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        drop(self.stdin.take());
        let status = loop {
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None if Instant::now() < self.deadline => sleep(PAUSE),
                None => panic!("did not end in time:\n{}", self.so_far()),
            }
        };
        self.ended = Some(status);
        while !(self.stdout.reader.is_finished() && self.stderr.reader.is_finished()) {
            assert!(
                Instant::now() < self.deadline,
                "left something behind that holds its output open:\n{}",
                self.so_far()
            );
            sleep(PAUSE);
        }
        self.output(status)
    }

    fn output(&self, status: ExitStatus) -> Output {
        let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
        Output { command: self.command.clone(), status, stdout, stderr }
    }

    fn so_far(&self) -> String {
        let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
        format!("$ {}\n-- stdout\n{stdout}\n-- stderr\n{stderr}\n--", self.command)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

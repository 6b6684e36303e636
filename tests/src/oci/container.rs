// SPDX-License-Identifier: Apache-2.0
//! A container, driven as an engine drives it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Instant;

use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::Value;

use super::{Bundle, Cgroup, Site};
use crate::patience::PAUSE;
use crate::{Command, Output, PATIENCE};

/// A container that has been created. Its standard output and error are files in the bundle.
#[derive(Debug)]
pub struct Container<'s> {
    site: &'s Site,
    id: String,
    bundle: PathBuf,
    init: Pid,
}

impl<'s> Container<'s> {
    pub(super) fn create(
        bundle: &Bundle<'s>,
        before: &[&str],
        behind: &[&str],
        streams: [Stdio; 3],
    ) -> Result<Self, Output> {
        let (site, path) = (bundle.site, bundle.path());
        let pid_file = path.join("pid");
        let create = site.oci(before).args(["create", "--bundle"]).arg(path).arg("--pid-file").arg(&pid_file);
        let create = create.args(behind).arg(bundle.id());
        let output = run(&create, path, streams);
        if output.code() != 0 {
            return Err(output);
        }
        let text =
            fs::read_to_string(&pid_file).unwrap_or_else(|error| panic!("no pid file: {error}\n{output}"));
        let init = text.parse().ok().and_then(Pid::from_raw);
        let init = init.unwrap_or_else(|| panic!("the pid file holds {text:?}\n{output}"));
        site.adopt(init);
        Ok(Self { site, id: bundle.id().to_owned(), bundle: path.to_owned(), init })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its bundle.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Its first process, as the host numbers it.
    pub fn pid(&self) -> u32 {
        self.init.as_raw_nonzero().get().unsigned_abs()
    }

    /// A file of its first process in /proc.
    pub fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.pid().to_string()).join(file)
    }

    /// Its cgroup, if the configuration has not been given another.
    pub fn cgroup(&self) -> Cgroup {
        self.site.cgroup_of(&self.id)
    }

    /// A verb of the runtime on this container.
    pub fn verb(&self, verb: &str) -> Command {
        self.verb_with(verb, [""; 0])
    }

    /// A verb of the runtime on this container, with flags between.
    pub fn verb_with<W: AsRef<OsStr>>(&self, verb: &str, flags: impl IntoIterator<Item = W>) -> Command {
        self.site.oci([verb]).args(flags).arg(&self.id)
    }

    /// Starts it.
    #[track_caller]
    pub fn start(&self) {
        self.verb("start").run().succeeds();
    }

    /// What `state` says.
    #[track_caller]
    pub fn state(&self) -> Value {
        let output = self.verb("state").run();
        let state = serde_json::from_str(&output.succeeds().stdout);
        state.unwrap_or_else(|error| panic!("{error} in:\n{output}"))
    }

    /// Its status, as `state` has it.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn kill(&self, signal: &str) {
        self.verb("kill").arg(signal).run().succeeds();
    }

    /// Runs a command in it, in the foreground.
    pub fn exec(&self, words: &[&str]) -> Output {
        self.verb("exec").args(words).run()
    }

    /// Waits until it has printed `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.stdout().contains(text) {
            assert!(
                Instant::now() < until,
                "did not print {text:?} in time, but {:?} and {:?}",
                self.stdout(),
                self.stderr()
            );
            sleep(PAUSE);
        }
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        read(&self.bundle.join("stdout"))
    }

    /// What it has printed as errors so far.
    pub fn stderr(&self) -> String {
        read(&self.bundle.join("stderr"))
    }

    /// Waits for the end of its first process, which the runtime has left to this process.
    #[track_caller]
    pub fn wait(&self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            match waitpid(Some(self.init), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => {
                    self.site.bury(self.init);
                    return ExitStatus::from_raw(status.as_raw());
                }
                Ok(None) if Instant::now() < until => sleep(PAUSE),
                Ok(None) => {
                    panic!("{} did not end in time, printed {:?} {:?}", self.id, self.stdout(), self.stderr())
                }
                Err(errno) => panic!("init {} is no child of its caller's: {errno}", self.pid()),
            }
        }
    }

    /// Waits for its end and deletes it.
    #[track_caller]
    pub fn finish(self) -> Output {
        let status = self.wait();
        let (stdout, stderr) = (self.stdout(), self.stderr());
        self.verb("delete").run().succeeds();
        Output { command: format!("container {}", self.id), status, stdout, stderr }
    }

    /// Ends and deletes it.
    #[track_caller]
    pub fn delete(self) {
        self.verb_with("delete", ["--force"]).run().succeeds();
        self.wait();
    }
}

/// Nothing on standard input, and two files in `directory`.
pub(super) fn files(directory: &Path) -> [Stdio; 3] {
    let file = |name: &str| File::create(directory.join(name)).expect("a file in the bundle").into();
    [Stdio::null(), file("stdout"), file("stderr")]
}

/// Runs a command to its end, but not to that of the container, which keeps these streams open. What it prints is read
/// from the files of [`files`], if those are its streams.
fn run(command: &Command, directory: &Path, [stdin, stdout, stderr]: [Stdio; 3]) -> Output {
    let mut process = command.process();
    process.stdin(stdin).stdout(stdout).stderr(stderr);
    let mut child = process.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.shown()));
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status,
            None if Instant::now() < until => sleep(PAUSE),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{} did not end in time: {}", command.shown(), read(&directory.join("stderr")))
            }
        }
    };
    let (stdout, stderr) = (read(&directory.join("stdout")), read(&directory.join("stderr")));
    Output { command: command.shown(), status, stdout, stderr }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

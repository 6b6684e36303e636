// SPDX-License-Identifier: Apache-2.0
//! A command to run, with an end.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use crate::{Output, PATIENCE, Running};

/// A command to run: nothing in its environment but what is said here, nothing on its standard input, and an end.
#[derive(Clone, Debug)]
pub struct Command {
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    ids: Option<(u32, u32)>,
    input: Vec<u8>,
    timeout: Duration,
}

impl Command {
    /// A program; its path, or its name in the usual directories.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Self {
            words: vec![program.as_ref().to_owned()],
            environment: vec![("PATH".into(), path.into()), ("LC_ALL".into(), "C".into())],
            directory: PathBuf::from("/"),
            ids: None,
            input: Vec::new(),
            timeout: PATIENCE,
        }
    }

    /// One more argument.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Puts words before the command, such as `unshare --mount`; they have to end in executing what follows them.
    pub fn through<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.words.splice(0..0, words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// A variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(known, _)| known != name.as_ref());
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The working directory.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = directory.as_ref().to_owned();
        self
    }

    /// What it reads on standard input.
    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.input = bytes.as_ref().to_owned();
        self
    }

    /// How long it may take to end and to let go of its output, if not [`PATIENCE`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn ids(mut self, uid: u32, gid: u32) -> Self {
        self.ids = Some((uid, gid));
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.start().finish()
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let mut process = self.process();
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = process.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.shown()));
        Running::new(child, self.shown(), self.input, self.timeout)
    }

    /// The process to be, for what this type has no word for, such as other standard streams.
    pub fn process(&self) -> Process {
        let mut process = Process::new(&self.words[0]);
        process.args(&self.words[1..]).env_clear().envs(self.environment.iter().cloned());
        process.current_dir(&self.directory);
        if let Some((uid, gid)) = self.ids {
            process.uid(uid).gid(gid);
        }
        process
    }

    /// As one would type it.
    pub fn shown(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        let quoted = |word: &OsString| match word.to_string_lossy() {
            word if !word.is_empty() && word.chars().all(plain) => word.into_owned(),
            word => format!("'{}'", word.replace('\'', "'\\''")),
        };
        self.words.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }
}

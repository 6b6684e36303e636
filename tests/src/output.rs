// SPDX-License-Identifier: Apache-2.0
//! What a command leaves behind.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, as one would type it.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, status, stdout, stderr } = self;
        write!(f, "$ {command}\n{status}\n-- stdout\n{stdout}\n-- stderr\n{stderr}\n--")
    }
}

impl Output {
    /// Its exit status, as a shell would have it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Fails the test unless the exit status is 0.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        self.exits(0)
    }

    /// Fails the test unless the exit status is `code`.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert!(self.code() == code, "expected exit status {code}:\n{self}");
        self
    }

    /// Fails the test unless standard output is exactly `text`.
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert!(self.stdout == text, "expected on standard output:\n{text}\nbut:\n{self}");
        self
    }

    /// Fails the test unless standard error has `text` in it.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "expected on standard error: {text:?}\n{self}");
        self
    }
}

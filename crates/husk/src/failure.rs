// SPDX-License-Identifier: Apache-2.0
//! What a person is told when husk cannot do something.

use std::fmt;

/// The exit status of `husk run` for husk's own failures, as in Docker and Podman: the command's own statuses keep apart.
pub(crate) const RUN_FAILED: u8 = 125;

/// The exit status of every other command that fails.
pub(crate) const COMMAND_FAILED: u8 = 1;

/// The exit status of `husk diff` if it fails, as in diff(1): 1 says that there is a difference.
pub(crate) const DIFF_FAILED: u8 = 2;

/// A failure in words, printed once, by [`crate::output`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was being done: `reading the options`.
    pub(crate) doing: String,
    /// What failed, and why: `--umask 9: not an octal number`.
    pub(crate) problem: String,
    /// What to do next.
    pub(crate) hints: Vec<String>,
    /// The exit status that it leads to.
    pub(crate) status: u8,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "husk: {}: {}", self.doing, self.problem)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

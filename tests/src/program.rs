// SPDX-License-Identifier: Apache-2.0
//! Programs that a test puts where they are to be executed.
//!
//! Other processes write them. What this one has open for writing, a child has open too that another test forks meanwhile, until it
//! executes something; and what anybody has open for writing, nobody can execute (ETXTBSY of execve(2)).

use std::path::Path;
use std::process::Stdio;

use crate::Command;

/// Copies a program, with its mode.
///
/// # Panics
/// If that fails.
#[track_caller]
pub fn copy_program(from: &Path, to: &Path) {
    let status =
        Command::new("cp").arg("--preserve=mode").arg(from).arg(to).process().stdin(Stdio::null()).status();
    assert!(status.expect("cp starts").success(), "cp {} {}", from.display(), to.display());
}

/// Writes a program that everybody may execute.
///
/// # Panics
/// If that fails.
#[track_caller]
pub fn write_program(to: &Path, content: impl AsRef<[u8]>) {
    let script = "cat > \"$0\" && chmod 755 \"$0\"";
    Command::new("sh").args(["-c", script]).arg(to).input(content).run().succeeds();
}

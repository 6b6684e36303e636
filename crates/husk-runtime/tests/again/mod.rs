// SPDX-License-Identifier: Apache-2.0
//! Runs one test of this very binary again as a process of its own: with another environment, or in
//! namespaces of its own.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Set in the process that is run again, to what it is to do.
const STEP: &str = "HUSK_TEST_STEP";
const RESULT: &str = "RESULT ";

static FORKS: Mutex<()> = Mutex::new(());

/// Held by whoever writes a file that will be executed, and by whoever makes a process. A process that another test makes
/// meanwhile has the file open for writing, too, until it executes something, and nobody can execute the file as long
/// (ETXTBSY).
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    FORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a command to its end; alone only until it has been executed.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _alone = alone();
        command.spawn()?
    };
    child.wait_with_output()
}

/// What this process was run again for; None in the test run proper.
pub(crate) fn step() -> Option<String> {
    std::env::var(STEP).ok()
}

/// Hands a line to the test that ran this process.
pub(crate) fn result(line: impl std::fmt::Display) {
    let _ = io::stdout().write_all(format!("\n{RESULT}{line}\n").as_bytes());
}

/// Says why the test `name` does not test: on standard error, and in the file that collects skips, if there is one.
pub(crate) fn skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}\n");
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("HUSK_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs the test `name` of this binary for `step`, after the shell commands in `before`, as
/// (the namespace's) root and in a mount namespace of its own.
pub(crate) fn command(name: &str, step: &str, before: &str) -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("-r");
    }
    command.args(["-m", "sh", "-ec", &format!("{before}\nexec \"$0\" --exact --nocapture {name}")]);
    command.arg(std::env::current_exe().expect("a test knows its binary")).env(STEP, step);
    command
}

/// What it said with [`result`].
pub(crate) fn results(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix(RESULT)).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "no result: {output:?}");
    lines
}

/// Whether `unshare` gives what [`command`] needs; machines that forbid user namespaces do not.
pub(crate) fn can_unshare() -> bool {
    let flags: &[&str] = if is_root() { &["-m"] } else { &["-r", "-m"] };
    output(Command::new("unshare").args(flags).arg("true")).is_ok_and(|output| output.status.success())
}

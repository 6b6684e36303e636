//! Runs one test of this very binary again as a process of its own: with another environment, or in
//! namespaces of its own.

use std::process::{Command, Output};

/// Set in the process that is run again, to what it is to do.
const STEP: &str = "HUSK_TEST_STEP";
const RESULT: &str = "RESULT ";

/// What this process was run again for; None in the test run proper.
pub(crate) fn step() -> Option<String> {
    std::env::var(STEP).ok()
}

/// Hands a line to the test that ran this process.
#[allow(clippy::print_stdout)]
pub(crate) fn result(line: impl std::fmt::Display) {
    println!("\n{RESULT}{line}");
}

/// Says why a test does not test.
#[allow(clippy::print_stderr)]
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
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
    Command::new("unshare").args(flags).arg("true").output().is_ok_and(|output| output.status.success())
}

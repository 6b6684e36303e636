// SPDX-License-Identifier: Apache-2.0

//! A program of the suite, run where it can neither see nor leave anything: in a pid, mount, ipc and cgroup namespace of
//! its own, for a bounded time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::runtime::Runtime;
use super::tap::{self, Assertion};
use crate::Result;

const SCRIPT: &str = include_str!("sandbox.sh");
const CGROUPS: &str = "/sys/fs/cgroup";

/// How long a program may take. The longest wait of one is 10 s, and some do so more than once.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long the kernel may take to let go of the cgroups of processes that have been killed: a moment, but where all is slow.
const SETTLE: Duration = Duration::from_secs(60);

/// Runs one program of the suite against a runtime.
pub(super) fn run(
    runtime: &Runtime,
    program: &Path,
    directory: &Path,
    scratch: &Path,
) -> Result<Vec<Assertion>> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sandbox = format!("husk-conformance-{}-{}-{name}", std::process::id(), runtime.name);
    let (out, err) = (scratch.join(format!("{sandbox}.out")), scratch.join(format!("{sandbox}.err")));
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", &sandbox]).arg(program).current_dir(directory);
    command.env("RUNTIME", &runtime.path).env("HIDE", runtime.hidden_hierarchies());
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?);
    let end = wait(command.spawn()?);
    remove_cgroups(&sandbox);
    let text = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let assertions = tap::parse(&text(&out)?, &text(&err)?, end?);
    fs::remove_file(&out)?;
    fs::remove_file(&err)?;
    Ok(assertions)
}

/// Waits for the end; when that takes too long, kills what `sh` has become, and with it the whole pid namespace.
fn wait(mut child: Child) -> Result<std::result::Result<(), String>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(ended(status)),
            None if Instant::now() < until => sleep(Duration::from_millis(10)),
            None => {
                child.kill()?;
                child.wait()?;
                return Ok(Err(format!("did not end within {} s", PATIENCE.as_secs())));
            }
        }
    }
}

fn ended(status: ExitStatus) -> std::result::Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// Removes the cgroups of a sandbox, whose processes have died with their pid namespace. One that stays takes no assertion's place, but
/// is not hidden.
fn remove_cgroups(sandbox: &str) {
    let until = Instant::now() + SETTLE;
    loop {
        cgroups(sandbox).iter().for_each(|directory| remove(directory));
        let left = cgroups(sandbox);
        if left.is_empty() {
            return;
        }
        if Instant::now() > until {
            return println!("these cgroups could not be removed: {left:?}");
        }
        sleep(Duration::from_millis(10));
    }
}

fn cgroups(sandbox: &str) -> Vec<PathBuf> {
    let top = Path::new(CGROUPS);
    let hierarchies = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies.chain([top.to_owned()]).map(|path| path.join(sandbox)).filter(|path| path.is_dir()).collect()
}

fn remove(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).for_each(|path| remove(&path));
    // It fails as long as something is in it; the caller tries again.
    let _ = fs::remove_dir(directory);
}

/// Whether this machine has cgroup v2 alone.
pub(super) fn is_unified() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

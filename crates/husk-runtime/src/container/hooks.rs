// SPDX-License-Identifier: Apache-2.0
//! Hooks that run on the host.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use husk_plan::in_words;
use husk_spec::oci::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::Error;

/// How much of the end of what a hook writes is kept.
const WORDS: usize = 2048;

/// How many chunks of output a hook that has ended can have left in the pipe.
const LEFT: usize = 64;

/// A file with nothing in it, for a state.
pub(crate) fn state_file() -> Result<OwnedFd, Errno> {
    memfd_create("state.json", MemfdFlags::CLOEXEC)
}

/// Writes `state` into the file, in the place of what was there.
pub(crate) fn write_state(file: &OwnedFd, state: &State) -> Result<(), Errno> {
    let text = serde_json::to_vec(state).map_err(|_| Errno::INVAL)?;
    let write = || {
        let mut file = File::from(file.try_clone()?);
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&text)
    };
    write().map_err(|error: std::io::Error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}

/// Runs the hooks of one kind in order, up to the first that fails. They begin in the bundle, as other runtimes have it.
pub(crate) fn run(hooks: &[Hook], kind: &str, state: &State) -> Result<(), Error> {
    for (index, hook) in hooks.iter().enumerate() {
        let mut words = Vec::new();
        let directory = Some(Path::new(&state.bundle)).filter(|bundle| bundle.is_dir());
        run_one(hook, state, directory, &mut words)
            .map_err(|problem| failed(index, hook, kind, problem, &words))?;
    }
    Ok(())
}

/// Runs all hooks of one kind, whatever becomes of them, and returns what is to be said of those that failed.
pub(crate) fn run_all(hooks: &[Hook], kind: &str, state: &State) -> Vec<String> {
    let failure = |(index, hook): (usize, &Hook)| {
        let mut words = Vec::new();
        let problem = run_one(hook, state, None, &mut words).err()?;
        Some(failed(index, hook, kind, problem, &words).to_string())
    };
    hooks.iter().enumerate().filter_map(failure).collect()
}

fn failed(index: usize, hook: &Hook, kind: &str, problem: String, words: &[u8]) -> Error {
    Error::Hook {
        origin: format!("hooks.{kind}[{index}]"),
        path: PathBuf::from(&hook.path),
        problem,
        words: String::from_utf8_lossy(words).trim().to_owned(),
    }
}

fn run_one(hook: &Hook, state: &State, directory: Option<&Path>, words: &mut Vec<u8>) -> Result<(), String> {
    let say = |error: std::io::Error| in_words(error);
    // A file and not a pipe: a hook that does not read keeps nobody waiting.
    let input = state_file().map_err(in_words)?;
    write_state(&input, state).map_err(in_words)?;
    File::from(input.try_clone().map_err(say)?).seek(SeekFrom::Start(0)).map_err(say)?;
    let (output, its_output) = pipe_with(PipeFlags::CLOEXEC).map_err(in_words)?;
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name);
        command.args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    command.stdin(input).stdout(its_output.try_clone().map_err(say)?).stderr(its_output);
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    // A group of its own, so that what it has started can be ended with it.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| format!("it cannot be executed: {}", in_words(error)))?;
    drop(command);
    let timeout = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let ended = attend(&mut child, output, timeout, words).map_err(say)?;
    let Some(status) = ended else {
        // It has not been waited for, so that the number is still its own.
        let _ = process_id(&child).and_then(|pid| kill_process_group(pid, Signal::KILL));
        let _ = child.wait();
        return Err(format!("it did not end within {} s", timeout.unwrap_or_default().as_secs()));
    };
    judge(status)
}

fn process_id(child: &Child) -> Result<Pid, Errno> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)
}

fn judge(status: ExitStatus) -> Result<(), String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}")),
        (None, signal) => Err(format!("killed by signal {}", signal.unwrap_or_default())),
    }
}

/// Waits until the hook has ended and keeps the last that it writes. `None` if it takes too long.
fn attend(
    child: &mut Child,
    output: OwnedFd,
    timeout: Option<Duration>,
    words: &mut Vec<u8>,
) -> std::io::Result<Option<ExitStatus>> {
    let pidfd = pidfd_open(process_id(child)?, PidfdFlags::empty())?;
    let begin = Instant::now();
    let mut output = File::from(output);
    let (mut hears, mut left) = (true, LEFT);
    loop {
        let rest = timeout.map(|timeout| timeout.saturating_sub(begin.elapsed()));
        let rest = rest
            .map(|rest| Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: i64::from(rest.subsec_nanos()) });
        let mut fds = [
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN),
        ];
        // A pipe that has no writer left is always ready.
        let heard = if hears { 2 } else { 1 };
        match poll(&mut fds[..heard], rest.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let (ended, readable) = (!fds[0].revents().is_empty(), hears && !fds[1].revents().is_empty());
        if readable {
            let mut chunk = [0; WORDS];
            match output.read(&mut chunk)? {
                0 => hears = false,
                length => words.extend_from_slice(&chunk[..length]),
            }
            words.drain(..words.len().saturating_sub(WORDS));
            // Whoever the hook left behind may go on writing for ever.
            left -= usize::from(ended);
        }
        if ended && (!readable || left == 0) {
            return child.wait().map(Some);
        }
    }
}

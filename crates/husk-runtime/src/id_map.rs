// SPDX-License-Identifier: Apache-2.0
//! Writing the id maps of a new user namespace (`user_namespaces(7)`).

use std::ffi::{CStr, OsStr};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use husk_init::Call;
use husk_plan::JoinedUser;
use husk_spec::IdMapping;
use husk_sys::{Clone, clone3, close_in_child, exit};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{self, Errno};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

fn text(map: &[IdMapping]) -> String {
    map.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{} {} {}", line.inside, line.outside, line.count);
        text
    })
}

/// Writes the maps of process `pid` itself. Each file takes one `write(2)`.
///
/// # Errors
/// `EPERM` for ids that the caller may not map.
pub(crate) fn write(
    pid: Pid,
    uids: &[IdMapping],
    gids: &[IdMapping],
    deny_setgroups: bool,
) -> io::Result<()> {
    if deny_setgroups {
        write_file(pid, "setgroups", "deny")?;
    }
    write_file(pid, "uid_map", &text(uids))?;
    write_file(pid, "gid_map", &text(gids))
}

fn write_file(pid: Pid, name: &str, text: &str) -> io::Result<()> {
    let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    io::write(&file, text.as_bytes()).map(drop)
}

/// A helper that failed: which, and what it said.
#[derive(Debug)]
pub(crate) struct HelperFailed {
    pub(crate) helper: String,
    pub(crate) said: String,
}

/// Has the set-user-id helpers write the maps of process `pid`, both at once. Both have ended when this returns: none is left that
/// knows the process by its id.
pub(crate) fn have_written(
    pid: Pid,
    uids: &[IdMapping],
    gids: &[IdMapping],
    helpers: [&CStr; 2],
) -> Result<(), HelperFailed> {
    let started = [start(helpers[0], pid, uids), start(helpers[1], pid, gids)];
    let ended = started.map(|child| child.and_then(Child::wait_with_output));
    helpers.into_iter().zip(ended).try_for_each(|(helper, ended)| {
        let failed = |said: String| HelperFailed { helper: helper.to_string_lossy().into_owned(), said };
        let output = ended.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(failed(if said.is_empty() { output.status.to_string() } else { said }))
    })
}

fn start(helper: &CStr, pid: Pid, map: &[IdMapping]) -> std::io::Result<Child> {
    let numbers = map.iter().flat_map(|line| [line.inside, line.outside, line.count]);
    Command::new(OsStr::from_bytes(helper.to_bytes()))
        .arg(pid.as_raw_nonzero().to_string())
        .args(numbers.map(|number| number.to_string()))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// Makes a user namespace that nothing is in, with these maps: what an idmapped mount shows its files through. Its process, which
/// it needs to be made and mapped, is gone when this returns.
///
/// # Errors
/// The call that failed: `EPERM` for ids that the caller may not map.
pub(crate) fn make_user_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, (Call, Errno)> {
    let (alive, held) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| (Call::Pipe2, errno))?;
    let exit_signal = Signal::CHILD.as_raw() as u32;
    let args = Clone { namespaces: UnshareFlags::NEWUSER, cgroup: None, exit_signal };
    let child = clone3(&args, || {
        let _ = close_in_child(held.as_fd());
        let _ = io::read(&alive, &mut [0]);
        exit(0)
    })
    .map_err(|errno| (Call::Clone3, errno))?;
    let namespace = write(child.pid, uids, gids, false)
        .map_err(|errno| (Call::Write, errno))
        .and_then(|()| open_user_namespace(child.pid).map_err(|errno| (Call::Open, errno)));
    drop(held);
    let _ = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    namespace
}

/// The maps of the user namespace that a file stands for, wherever that file is. Only beside a process can they be read, so one
/// enters it for a moment. `None` if it cannot be entered.
pub(crate) fn maps_of(namespace: &Path) -> Option<JoinedUser> {
    let file = open(namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (said, says) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    let (alive, held) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    let exit_signal = Signal::CHILD.as_raw() as u32;
    let args = Clone { namespaces: UnshareFlags::empty(), cgroup: None, exit_signal };
    let child = clone3(&args, || {
        let _ = close_in_child(held.as_fd());
        if move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::User)).is_ok() {
            let _ = io::write(&says, b"E");
            let _ = io::read(&alive, &mut [0]);
        }
        exit(0)
    })
    .ok()?;
    drop(says);
    let entered = io::read(&said, &mut [0]) == Ok(1);
    let path = format!("/proc/{}/ns/user", child.pid.as_raw_nonzero());
    let maps = entered.then(|| JoinedUser::at(Path::new(&path))).flatten();
    drop(held);
    let _ = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    maps
}

/// Opens the user namespace of process `pid`.
pub(crate) fn open_user_namespace(pid: Pid) -> io::Result<OwnedFd> {
    open(format!("/proc/{}/ns/user", pid.as_raw_nonzero()), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_fails_is_named_when_the_other_has_ended_too() {
        // To the one, 1 is a script that is not there, to the other a second.
        let (fails, lasts) = (c"/bin/sh", c"/bin/sleep");
        let failed = have_written(Pid::INIT, &[], &[], [fails, lasts]).expect_err("it fails");
        assert_eq!(failed.helper.as_bytes(), fails.to_bytes());
        assert!(failed.said.contains('1'), "{}", failed.said);
        let children = std::fs::read_to_string("/proc/thread-self/children").expect("/proc");
        assert_eq!(children, "", "the other still runs");
    }
}

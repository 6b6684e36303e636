// SPDX-License-Identifier: Apache-2.0
//! Starting a container that waits for it.

use std::path::PathBuf;

use husk_init::Failure;
use husk_spec::oci::{ContainerId, Spec, Status};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::create::{send_go, start_address};
use super::directory::START_SOCKET;
use super::{Condition, Entry, Error, Record, StateRoot, hooks};
use crate::error::hook_problem;
use crate::link::{Heard, Link};
use crate::why_exec;

/// Lets the command of a container run that was created.
///
/// # Errors
/// A container that does not wait for it, a command that cannot be executed, a hook that failed.
pub fn start(root: &StateRoot, id: &ContainerId) -> Result<(), Error> {
    let entry = root.open(id)?;
    entry.lock()?;
    let record = entry.record()?;
    let condition = entry.condition(record.as_ref());
    let (Some(record), Status::Created) = (record, condition.status) else {
        return Err(Error::Condition { doing: "start", status: condition.status });
    };
    let spec = spec(&entry)?;
    release(&entry, &record, &spec)?;
    let running = Condition { status: Status::Running, pid: condition.pid };
    let poststart = spec.hooks.as_ref().map_or(&[][..], |hooks| &hooks.poststart);
    hooks::run(poststart, "poststart", &record.for_hooks(running))
}

/// The configuration that a container was made from.
pub(crate) fn spec(entry: &Entry) -> Result<Spec, Error> {
    serde_json::from_slice(&entry.config()?)
        .map_err(|error| Error::Damaged { id: entry.id().to_string(), problem: error.to_string() })
}

/// Once the socket is gone the container counts as running: it can be started once.
fn release(entry: &Entry, record: &Record, spec: &Spec) -> Result<(), Error> {
    let failed = |errno| entry.failed("start by", START_SOCKET, errno);
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(failed)?;
    connect(&socket, &start_address(entry).map_err(failed)?).map_err(failed)?;
    unlinkat(entry.fd(), START_SOCKET, AtFlags::empty()).map_err(failed)?;
    send_go(&socket).map_err(failed)?;
    match Link::of(socket).hear().map_err(failed)? {
        Heard::End => Ok(()),
        Heard::Failure(failure, root) => Err(why(&failure, root, record, spec)),
        Heard::Terminal(_) | Heard::Paused => Err(failed(Errno::BADMSG)),
    }
}

/// The error that a failure after the start is. The plan is gone; what comes after the wait is hooks and the command.
fn why(failure: &Failure, root: Option<OwnedFd>, record: &Record, spec: &Spec) -> Error {
    let process = spec.process.as_ref();
    if let (Some(root), Some(process)) = (root, process) {
        let command = process.args.first().map_or("", String::as_str);
        let problem =
            why_exec::diagnose(root.as_fd(), process.cwd.as_bytes(), command.as_bytes(), failure.errno);
        return Error::Run(crate::Error::Exec { problem, errno: failure.errno });
    }
    let Some(problem) = hook_problem(failure.call.name(), failure.errno) else {
        let doing = format!("start the command: {}", failure.call.name());
        return Error::Process { doing, errno: failure.errno };
    };
    let index = usize::from(failure.step.saturating_sub(record.start_step.unwrap_or(0) + 1));
    let hook = spec.hooks.as_ref().and_then(|hooks| hooks.start_container.get(index));
    Error::Hook {
        origin: format!("hooks.startContainer[{index}]"),
        path: hook.map_or_else(PathBuf::new, |hook| PathBuf::from(&hook.path)),
        problem,
        words: String::from_utf8_lossy(failure.kernel_log()).trim().to_owned(),
    }
}

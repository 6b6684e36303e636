// SPDX-License-Identifier: Apache-2.0
//! Starting a container that waits for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use husk_init::Failure;
use husk_plan::command_paths;
use husk_spec::oci::{ContainerId, Spec, Status};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, unlinkat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::process::Signal;

use super::agent::Agent;
use super::command::Becoming;
use super::create::{poststart, profile, send_go, start_address};
use super::directory::START_SOCKET;
use super::notify::Notify;
use super::{Condition, Entry, Error, Record, StateRoot, delete, hooks};
use crate::link::Link;
use crate::why_exec::Attempt;

/// Lets the command of a container run that was created; and waits until that says that it is ready, if `notify` is where somebody
/// on the host waits for it (`NOTIFY_SOCKET`) and the container was made with the same.
///
/// # Errors
/// A container that does not wait for it, a command that cannot be executed, a hook that failed. After a hook nothing is left of
/// the container (specification 1.3, `runtime.md`, lifecycle, 7 and 9): `warn` is told of poststop hooks that failed as well.
pub fn start(
    root: &StateRoot,
    id: &ContainerId,
    notify: Option<&OsStr>,
    warn: &dyn Fn(&str),
) -> Result<(), Error> {
    let entry = root.open(id)?;
    entry.lock()?;
    let record = entry.record()?;
    let condition = entry.condition(record.as_ref());
    let (Some(record), Status::Created) = (record, condition.status) else {
        return Err(Error::Condition { doing: "start", status: condition.status });
    };
    let spec = spec(&entry)?;
    let notify = notify.map(|host| Notify::listen(&entry, host)).transpose()?.flatten();
    let running = Condition { status: Status::Running, pid: condition.pid };
    let started = release(&entry, &record, &spec, condition.pid.unwrap_or_default())
        .and_then(|()| Ok(hooks::run(poststart(&spec), "poststart", &record.for_hooks(running))?));
    match started {
        Err(error @ Error::Run(crate::Error::Hook { .. })) => {
            // What is to be said is which hook it was; delete --force finds what cannot be taken away now.
            let warnings = delete::take_away(entry, Some(record), Some(&spec)).unwrap_or_default();
            warnings.iter().for_each(|warning| warn(warning));
            Err(error)
        }
        started => {
            // Other calls must not wait for as long as this one does.
            drop(entry);
            if let (Ok(()), Some(notify), Some(pid)) = (&started, notify, condition.pid) {
                // Whoever waits for that word has lost nothing but it: the container runs.
                let _ = notify.pass_on(pid);
            }
            started
        }
    }
}

/// The configuration that a container was made from.
pub(crate) fn spec(entry: &Entry) -> Result<Spec, Error> {
    Spec::from_json(&entry.config()?)
        .map_err(|error| Error::Damaged { id: entry.id().to_string(), problem: error.to_string() })
}

/// Once the socket is gone the container counts as running: it can be started once.
fn release(entry: &Entry, record: &Record, spec: &Spec, pid: i32) -> Result<(), Error> {
    let failed = |errno| entry.failed("start by", START_SOCKET, errno);
    // An agent that is not there leaves the container as it is.
    let agent = Agent::of(profile(spec))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(failed)?;
    connect(&socket, &start_address(entry).map_err(failed)?).map_err(failed)?;
    unlinkat(entry.fd(), START_SOCKET, AtFlags::empty()).map_err(failed)?;
    send_go(&socket).map_err(failed)?;
    let state = Condition { status: Status::Created, pid: Some(pid) };
    let becoming = Becoming { pid, profile: profile(spec), agent, state: record.for_hooks(state) };
    let ran = becoming.wait(&Link::of(socket), |failure, root| why(&failure, root, record, spec));
    if let (Err(_), Some(init)) = (&ran, &record.init) {
        // It may be on its way to the command without the agent that is to decide about it.
        let _ = init.signal(Signal::KILL);
    }
    ran
}

/// The error that a failure after the start is. The plan is gone; what comes after the wait is hooks and the command.
fn why(failure: &Failure, root: Option<OwnedFd>, record: &Record, spec: &Spec) -> Error {
    if let (Some(root), Some(process)) = (root, &spec.process) {
        let name = process.args.first().map_or("", String::as_str);
        let path = process.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
        let paths = command_paths(OsStr::new(name), path.map(OsStr::new));
        let candidates: Vec<_> = paths.iter().map(|path| path.as_os_str().as_bytes()).collect();
        let attempt =
            Attempt { directory: process.cwd.as_bytes(), name: name.as_bytes(), candidates: &candidates };
        return Error::Run(attempt.failed(failure, root.as_fd()));
    }
    let index = failure.step.saturating_sub(record.start_step.unwrap_or(0) + 1) as usize;
    let hook = spec.hooks.as_ref().and_then(|hooks| hooks.start_container.get(index));
    let path = hook.map_or_else(PathBuf::new, |hook| PathBuf::from(&hook.path));
    let hook = crate::Error::hook(format!("hooks.startContainer[{index}]"), path, failure);
    hook.map(Error::Run).unwrap_or_else(|| {
        let doing = format!("start the command: {}", failure.call.name());
        Error::Process { doing, errno: failure.errno }
    })
}

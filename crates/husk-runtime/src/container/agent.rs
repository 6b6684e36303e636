// SPDX-License-Identifier: Apache-2.0
//! Whoever answers the notifications of a container's filter of system calls: the socket at `linux.seccomp.listenerPath`.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use husk_spec::oci::{Action, ContainerProcessState, Seccomp, State};
use rustix::cmsg_space;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};

use super::Error;

/// The name by which the message calls the listener (specification, `config-linux.md`, containerprocessstate).
const SECCOMP_FD: &str = "seccompFd";

/// The connection to an agent.
#[derive(Debug)]
pub(crate) struct Agent {
    path: PathBuf,
    socket: OwnedFd,
    metadata: Option<String>,
}

impl Agent {
    /// Connects to the agent of a profile, if that has one.
    pub(crate) fn of(profile: Option<&Seccomp>) -> Result<Option<Self>, Error> {
        let Some(profile) = profile else { return Ok(None) };
        let notifies = profile.syscalls.iter().any(|rule| rule.action == Action::Notify);
        let Some(path) = profile.listener_path.as_deref().filter(|_| notifies) else { return Ok(None) };
        let connect = || {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            connect(&socket, &SocketAddrUnix::new(path)?)?;
            Ok(socket)
        };
        let path = PathBuf::from(path);
        let socket =
            connect().map_err(|errno| failed("connect to linux.seccomp.listenerPath", &path, errno))?;
        Ok(Some(Self { path, socket, metadata: profile.listener_metadata.clone() }))
    }

    /// Hands over the listener of process `pid` in a container that is in this state, and closes the connection.
    pub(crate) fn send(self, listener: &OwnedFd, pid: i32, state: State) -> Result<(), Error> {
        let message = ContainerProcessState {
            oci_version: state.oci_version.clone(),
            fds: vec![SECCOMP_FD.to_owned()],
            pid,
            metadata: self.metadata.clone(),
            state,
        };
        let sent = serde_json::to_vec(&message)
            .map_err(|_| Errno::INVAL)
            .and_then(|text| try_send(&self.socket, &text, listener));
        sent.map_err(|errno| failed("send the listener to linux.seccomp.listenerPath", &self.path, errno))
    }
}

fn failed(doing: &'static str, path: &Path, errno: Errno) -> Error {
    Error::File { doing, path: path.to_owned(), errno }
}

/// The descriptor goes with the first bytes of the stream.
fn try_send(socket: &OwnedFd, text: &[u8], listener: &OwnedFd) -> Result<(), Errno> {
    let mut rest = text;
    let fds = [listener.as_fd()];
    while !rest.is_empty() {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if rest.len() == text.len() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        match sendmsg(socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

// SPDX-License-Identifier: Apache-2.0
//! The socket to which the master of a container's terminal is sent.

use std::mem::MaybeUninit;
use std::path::Path;

use rustix::cmsg_space;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};

use super::Error;

/// Connects to the socket at `path`, sends `master` once, and closes it again.
pub(crate) fn send(path: &Path, master: &OwnedFd) -> Result<(), Error> {
    try_send(path, master).map_err(|errno| Error::File {
        doing: "send the terminal to the console socket",
        path: path.to_owned(),
        errno,
    })
}

fn try_send(path: &Path, master: &OwnedFd) -> Result<(), Errno> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    // The bytes that come with it name the terminal; callers show them at most.
    sendmsg(&socket, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

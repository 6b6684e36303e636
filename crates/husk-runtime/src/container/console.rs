// SPDX-License-Identifier: Apache-2.0
//! The socket to which the master of a container's terminal is sent.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use rustix::cmsg_space;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};

use super::Error;

/// The connection to a console socket.
#[derive(Debug)]
pub(crate) struct Console {
    path: PathBuf,
    socket: OwnedFd,
}

impl Console {
    /// Connects to the socket at `path`.
    pub(crate) fn connect(path: &Path) -> Result<Self, Error> {
        let connect = || {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            connect(&socket, &SocketAddrUnix::new(path)?)?;
            Ok(socket)
        };
        let socket = connect().map_err(|errno| Error::File {
            doing: "connect to the console socket",
            path: path.to_owned(),
            errno,
        })?;
        Ok(Self { path: path.to_owned(), socket })
    }

    /// Sends `master`, once, and closes the connection.
    pub(crate) fn send(self, master: &OwnedFd) -> Result<(), Error> {
        try_send(&self.socket, master).map_err(|errno| Error::File {
            doing: "send the terminal to the console socket",
            path: self.path,
            errno,
        })
    }
}

fn try_send(socket: &OwnedFd, master: &OwnedFd) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    // The bytes that come with it name the terminal; callers show them at most.
    sendmsg(socket, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

// SPDX-License-Identifier: Apache-2.0
//! Sockets of the caller's to which a descriptor is sent: the master of a container's terminal, or a pidfd of a process.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use rustix::cmsg_space;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, shutdown, socket_with,
};

use super::Error;

/// What such a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `--console-socket`.
    Terminal,
    /// `--pidfd-socket` of a container.
    Init,
    /// `--pidfd-socket` of a further process.
    Exec,
}

impl Purpose {
    fn connecting(self) -> &'static str {
        match self {
            Self::Terminal => "connect to the console socket",
            Self::Init | Self::Exec => "connect to the pidfd socket",
        }
    }

    fn sending(self) -> &'static str {
        match self {
            Self::Terminal => "send the terminal to the console socket",
            Self::Init | Self::Exec => "send the pidfd to the pidfd socket",
        }
    }

    /// The bytes that come with the descriptor, as runc has them. Callers show them at most.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Terminal => b"/dev/ptmx",
            Self::Init => b"standard",
            Self::Exec => b"setns",
        }
    }
}

/// The connection to such a socket.
#[derive(Debug)]
pub(crate) struct DescriptorSocket {
    purpose: Purpose,
    path: PathBuf,
    socket: OwnedFd,
}

impl DescriptorSocket {
    /// Connects to the socket at `path`.
    pub(crate) fn connect(path: &Path, purpose: Purpose) -> Result<Self, Error> {
        let connect = || {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            connect(&socket, &SocketAddrUnix::new(path)?)?;
            Ok(socket)
        };
        let socket = connect().map_err(|errno| Error::File {
            doing: purpose.connecting(),
            path: path.to_owned(),
            errno,
        })?;
        Ok(Self { purpose, path: path.to_owned(), socket })
    }

    /// Sends a descriptor, once, and ends the connection, of which the container's process has a copy until its command runs.
    pub(crate) fn send(self, fd: &OwnedFd) -> Result<(), Error> {
        let sent = try_send(&self.socket, fd, self.purpose.name())
            .and_then(|()| shutdown(&self.socket, Shutdown::Both));
        sent.map_err(|errno| Error::File { doing: self.purpose.sending(), path: self.path, errno })
    }
}

pub(crate) fn try_send(socket: &OwnedFd, fd: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(socket, &[IoSlice::new(name)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A pidfd that is owed to somebody who listens.
#[derive(Debug)]
pub(crate) struct OwedPidfd {
    socket: DescriptorSocket,
    pidfd: Option<OwnedFd>,
}

impl OwedPidfd {
    /// Connects to the socket at `path`.
    pub(crate) fn to(path: &Path, purpose: Purpose) -> Result<Self, Error> {
        Ok(Self { socket: DescriptorSocket::connect(path, purpose)?, pidfd: None })
    }

    /// Keeps it until the process is ready.
    pub(crate) fn keep(&mut self, pidfd: &OwnedFd) -> Result<(), Error> {
        let copied = pidfd.try_clone().map_err(|error| Error::Process {
            doing: "copy the pidfd".to_owned(),
            errno: error.raw_os_error().map_or(Errno::MFILE, Errno::from_raw_os_error),
        })?;
        self.pidfd = Some(copied);
        Ok(())
    }

    /// Sends it.
    pub(crate) fn send(self) -> Result<(), Error> {
        match self.pidfd {
            Some(pidfd) => self.socket.send(&pidfd),
            None => Ok(()),
        }
    }
}

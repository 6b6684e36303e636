// SPDX-License-Identifier: Apache-2.0
//! A container's word that it is ready (`sd_notify(3)`), passed on to whoever waits for it on the host. The host's own socket is
//! not for the container: it could say anything there.

use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use husk_spec::oci::ContainerId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, chmodat, mkdirat, unlinkat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::descriptor_socket::try_send;
use super::{Entry, Error, StateRoot};

/// The directory in that of the container's state which the container sees as [`INSIDE`].
pub(crate) const DIRECTORY: &str = "notify";

/// Where the container has the directory with its socket. As runc and crun have it.
pub const INSIDE: &str = "/run/notify";

/// The socket in it.
pub const SOCKET: &str = "notify.sock";

/// How long the host may take to say that it has read what it was told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the directory will be.
pub fn directory(root: &StateRoot, id: &ContainerId) -> PathBuf {
    root.path().join(id.as_str()).join(DIRECTORY)
}

/// Makes the directory. There is a socket in it when the container starts.
pub(crate) fn prepare(entry: &Entry) -> Result<(), Error> {
    let failed = |errno| entry.failed("make", DIRECTORY, errno);
    mkdirat(entry.fd(), DIRECTORY, Mode::RWXU).map_err(failed)?;
    // The container's user, whoever that is, looks for the socket in it; a umask is none of its business.
    chmodat(entry.fd(), DIRECTORY, Mode::from_raw_mode(0o755), AtFlags::empty()).map_err(failed)
}

/// Removes it with what is in it.
pub(crate) fn remove(entry: &Entry) -> Result<(), Error> {
    let socket = format!("{DIRECTORY}/{SOCKET}");
    for (name, flags) in [(socket.as_str(), AtFlags::empty()), (DIRECTORY, AtFlags::REMOVEDIR)] {
        match unlinkat(entry.fd(), name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(entry.failed("remove", name, errno)),
        }
    }
    Ok(())
}

/// The container's socket, and the host's.
#[derive(Debug)]
pub(crate) struct Notify {
    inside: OwnedFd,
    host: OwnedFd,
}

impl Notify {
    /// Listens in the directory of a container, and connects to the `NOTIFY_SOCKET` of the caller. `None` if the container was made
    /// without such a directory.
    pub(crate) fn listen(entry: &Entry, host: &OsStr) -> Result<Option<Self>, Error> {
        let name = format!("{DIRECTORY}/{SOCKET}");
        let failed = |errno| entry.failed("listen on", &name, errno);
        let new = || socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        let inside = new().map_err(failed)?;
        let address = format!("/proc/self/fd/{}/{name}", entry.fd().as_raw_fd());
        match bind(&inside, &SocketAddrUnix::new(address.as_str()).map_err(failed)?) {
            Err(Errno::NOENT) => return Ok(None),
            bound => bound.map_err(failed)?,
        }
        chmodat(entry.fd(), &name, Mode::from_raw_mode(0o777), AtFlags::empty()).map_err(failed)?;
        let connected = new().and_then(|socket| {
            connect(&socket, &address_of(host)?)?;
            Ok(socket)
        });
        match connected {
            Ok(host) => Ok(Some(Self { inside, host })),
            Err(errno) => Err(Error::File { doing: "connect to NOTIFY_SOCKET", path: host.into(), errno }),
        }
    }

    /// Waits until the container says that it is ready, or process `pid` has ended, and passes the word on. The caller may end at
    /// once: that what it has said was read by then is what is waited for.
    pub(crate) fn pass_on(self, pid: i32) -> Result<(), Errno> {
        let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.inside.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                ready => ready?,
            };
            let [heard, ended] = fds.map(|fd| !fd.revents().is_empty());
            if heard {
                match self.hear(pid) {
                    Ok(Some(told)) => return told.wait(),
                    Ok(None) | Err(Errno::AGAIN) => {}
                    Err(errno) => return Err(errno),
                }
            } else if ended {
                return Ok(());
            }
        }
    }

    /// Where it is heard.
    pub(crate) fn inside(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }

    /// Hears one message (`EAGAIN` if there is none), and tells the host if it is the word of a container whose first process is
    /// `pid`.
    pub(crate) fn hear(&self, pid: Pid) -> Result<Option<Told>, Errno> {
        let mut message = [0; 4096];
        let (length, _) = recv(&self.inside, &mut message, RecvFlags::DONTWAIT)?;
        is_ready(&message[..length]).then(|| self.tell(pid)).transpose()
    }

    /// What counts as ready is this container, so that its first process is named.
    fn tell(&self, pid: Pid) -> Result<Told, Errno> {
        let text = format!("READY=1\nMAINPID={}\n", pid.as_raw_nonzero());
        send(&self.host, text.as_bytes(), SendFlags::NOSIGNAL)?;
        let (read, held) = pipe_with(PipeFlags::CLOEXEC)?;
        try_send(&self.host, &held, b"BARRIER=1")?;
        Ok(Told(read))
    }
}

/// What the host was told, and perhaps has not read yet.
#[derive(Debug)]
pub(crate) struct Told(OwnedFd);

impl Told {
    /// Waits until the host has read it. Who has said it must be there by then, for the host to know who that is.
    pub(crate) fn wait(&self) -> Result<(), Errno> {
        let timeout = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)], Some(&timeout)).map(drop)
    }
}

/// A path, or with `@` in front a name that is in no file system.
fn address_of(host: &OsStr) -> Result<SocketAddrUnix, Errno> {
    match host.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
        _ => SocketAddrUnix::new(Path::new(host)),
    }
}

fn is_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

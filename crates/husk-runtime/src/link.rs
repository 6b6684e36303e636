// SPDX-License-Identifier: Apache-2.0
//! The parent's end of the link to the child.

use std::mem::MaybeUninit;

use husk_init::{Failure, MOST_CGROUPS, Message};
use rustix::cmsg_space;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{self, Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};

/// The parent's end.
#[derive(Debug)]
pub(crate) struct Link(OwnedFd);

/// What came over the link.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one of these exists at a time, for a moment")]
pub(crate) enum Heard {
    /// The child has become the command.
    End,
    /// The master side of the container's terminal.
    Terminal(OwnedFd),
    /// The listener of the child's filter of system calls.
    Listener(OwnedFd),
    /// The child waits to be let go on.
    Paused,
    /// A step failed; with the container's root if that was the exec.
    Failure(Failure, Option<OwnedFd>),
}

impl Link {
    /// Makes a link: the parent's end and the child's.
    ///
    /// # Errors
    /// Those of `socketpair(2)`.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, childs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), childs))
    }

    /// The link that a connected socket is.
    pub(crate) fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Lets the child go on.
    ///
    /// # Errors
    /// `EPIPE` if the child is gone.
    pub(crate) fn release(&self) -> io::Result<()> {
        send(&self.0, b"G", SendFlags::NOSIGNAL).map(drop)
    }

    /// Sends the child the `tasks` files of its cgroups, at most [`MOST_CGROUPS`]; with that it goes on.
    ///
    /// # Errors
    /// `EPIPE` if the child is gone.
    pub(crate) fn hand_over(&self, tasks: &[OwnedFd]) -> io::Result<()> {
        let files: Vec<_> = tasks.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_CGROUPS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(Errno::MSGSIZE);
        }
        sendmsg(&self.0, &[IoSlice::new(b"C")], &mut control, SendFlags::NOSIGNAL).map(drop)
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// Those of `recvmsg(2)`; `EBADMSG` for what is no message.
    pub(crate) fn hear(&self) -> io::Result<Heard> {
        let mut bytes = [0; Message::MAX];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut receive =
            || recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
        // A child that ends with a message of ours unread resets the link. The kernel says so once, and only then gives out what
        // the child said before (unix(7), ECONNRESET).
        let length = match receive() {
            Err(Errno::CONNRESET) => receive()?.bytes,
            received => received?.bytes,
        };
        if length == 0 {
            return Ok(Heard::End);
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        match (Message::decode(&bytes[..length]), fd) {
            (Some(Message::Terminal), Some(fd)) => Ok(Heard::Terminal(fd)),
            (Some(Message::Listener), Some(fd)) => Ok(Heard::Listener(fd)),
            (Some(Message::Paused), _) => Ok(Heard::Paused),
            (Some(Message::Failure(failure)), fd) => Ok(Heard::Failure(failure, fd)),
            _ => Err(Errno::BADMSG),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use husk_init::Call;

    use super::*;

    #[test]
    fn a_failure_is_heard_also_if_the_child_ended_without_listening() {
        let (ours, childs) = Link::pair().expect("a link");
        let failure = Failure::new(7, Call::MountSetattr, Errno::ACCESS);
        let mut bytes = [0; Message::MAX];
        let length = Message::Failure(failure).encode(&mut bytes);
        send(&childs, &bytes[..length], SendFlags::empty()).expect("a message");
        ours.release().expect("a message");
        drop(childs);
        assert!(matches!(ours.hear(), Ok(Heard::Failure(heard, None)) if heard == failure));
        assert!(matches!(ours.hear(), Ok(Heard::End)));
    }
}

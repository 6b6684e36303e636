// SPDX-License-Identifier: Apache-2.0
//! The socket on which a caller receives a container's terminal, or its seccomp agent the listener.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::PATIENCE;

/// A listening socket, as engines give it to `--console-socket` or name it in `linux.seccomp.listenerPath`.
#[derive(Debug)]
pub struct ConsoleSocket {
    path: PathBuf,
    listener: UnixListener,
}

/// What has come through a console socket.
#[derive(Debug)]
pub struct Received {
    /// The descriptors, of all messages.
    pub descriptors: Vec<OwnedFd>,
    /// The bytes beside them.
    pub bytes: Vec<u8>,
    /// How many messages there were until the other side closed.
    pub messages: usize,
}

impl ConsoleSocket {
    /// Listens at `path`, which may have 107 bytes.
    pub fn listen(path: &Path) -> Self {
        let listener =
            UnixListener::bind(path).unwrap_or_else(|error| panic!("bind {}: {error}", path.display()));
        listener.set_nonblocking(true).expect("a socket can be made not to block");
        Self { path: path.to_owned(), listener }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for one connection, and receives on it until the other side closes.
    #[track_caller]
    pub fn receive(&self) -> Received {
        let stream = self.accept();
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit on a socket");
        let mut received = Received { descriptors: Vec::new(), bytes: Vec::new(), messages: 0 };
        loop {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            let message = recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)
                .expect("a message on the console socket, or its end");
            let before = received.descriptors.len();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    received.descriptors.extend(descriptors);
                }
            }
            if message.bytes == 0 && received.descriptors.len() == before {
                return received;
            }
            received.bytes.extend_from_slice(&bytes[..message.bytes]);
            received.messages += 1;
        }
    }

    /// The terminal: exactly one descriptor in one message.
    #[track_caller]
    pub fn terminal(&self) -> File {
        let mut received = self.receive();
        assert_eq!(
            (received.messages, received.descriptors.len()),
            (1, 1),
            "one message with one descriptor"
        );
        File::from(received.descriptors.remove(0))
    }

    #[track_caller]
    fn accept(&self) -> UnixStream {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("a socket can be made to block");
                    return stream;
                }
                Err(_) if Instant::now() < until => sleep(Duration::from_millis(2)),
                Err(error) => panic!("nobody connected to {}: {error}", self.path.display()),
            }
        }
    }
}

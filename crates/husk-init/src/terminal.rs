// SPDX-License-Identifier: Apache-2.0
//! The container's own terminal.

use core::mem::MaybeUninit;
use rustix::cmsg_space;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, Uid, fchown};
use rustix::io::{Errno, IoSlice};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin, stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

use crate::beneath;
use crate::call::{At, Call, Fault};
use crate::failure::Message;
use crate::run::World;

/// Carries out [`crate::Step::OpenTerminal`].
pub(crate) fn open(
    world: &mut World<'_>,
    size: Option<Winsize>,
    inherit_settings: bool,
) -> Result<(), Fault> {
    let master = beneath::open(world.root()?, c"dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY)?;
    unlockpt(&master).at(Call::TerminalUnlock)?;
    // By the master's descriptor, not by a path in /dev/pts that the container's tree could redirect.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).at(Call::TerminalPeer)?;
    if inherit_settings {
        take_settings(slave.as_fd())?;
    }
    if let Some(size) = size {
        tcsetwinsize(&slave, size).at(Call::TerminalSize)?;
    }
    send(world.link(), Message::Terminal, Some(&master)).at(Call::Sendmsg)?;
    world.set_terminal(slave);
    Ok(())
}

/// Gives the container's terminal the settings of the caller's. The child does it and not husk, which could come after the
/// command has made its own.
fn take_settings(slave: BorrowedFd<'_>) -> Result<(), Fault> {
    let Ok(mut settings) = tcgetattr(stdin()) else { return Ok(()) };
    if tcgetattr(stdout()).is_err() {
        // The caller's terminal goes on editing and echoing; twice would be once too often. The signals of its keys come to
        // husk, which types them here.
        settings.local_modes -= LocalModes::ECHO;
        settings.input_modes -= InputModes::ICRNL;
        settings.output_modes -= OutputModes::OPOST;
    }
    tcsetattr(slave, OptionalActions::Now, &settings).at(Call::TerminalSettings)
}

/// Carries out [`crate::Step::OwnTerminal`]. The device is of the container's own devpts: nobody else's changes hands.
pub(crate) fn own(world: &World<'_>, uid: u32) -> Result<(), Fault> {
    fchown(world.terminal()?, Some(Uid::from_raw(uid)), None).at(Call::Fchown)
}

/// Carries out [`crate::Step::ControllingTerminal`].
pub(crate) fn control(world: &World<'_>) -> Result<(), Fault> {
    ioctl_tiocsctty(world.terminal()?).at(Call::TerminalControl)
}

/// Carries out [`crate::Step::TerminalStdio`].
pub(crate) fn take_stdio(world: &World<'_>, which: [bool; 3]) -> Result<(), Fault> {
    let terminal = world.terminal()?;
    let [input, output, error] = which;
    if input {
        dup2_stdin(terminal).at(Call::Dup2)?;
    }
    if output {
        dup2_stdout(terminal).at(Call::Dup2)?;
    }
    if error {
        dup2_stderr(terminal).at(Call::Dup2)?;
    }
    Ok(())
}

/// Sends a message to the parent, with a descriptor or without.
pub(crate) fn send(link: BorrowedFd<'_>, message: Message, fd: Option<&OwnedFd>) -> Result<(), Errno> {
    let mut bytes = [0; Message::MAX];
    let length = message.encode(&mut bytes);
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds;
    if let Some(fd) = fd {
        fds = [fd.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(link, &[IoSlice::new(&bytes[..length])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

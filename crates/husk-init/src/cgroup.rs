// SPDX-License-Identifier: Apache-2.0
//! Entering cgroups; taking one away that goes with its container: by husk, or by its guard when husk is gone.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use husk_sys::exit;
use rustix::cmsg_space;
use rustix::event::{Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, openat, unlinkat};
use rustix::io::{Errno, IoSliceMut, read, write};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::OWN_FAILURE;
use crate::call::{At, Call, Fault};

/// The most cgroups of version 1 that are entered by files that come later. The kernel has 14 controllers for it, each with one
/// hierarchy at most; those that have a name and no controller come on top.
pub const MOST_CGROUPS: usize = 32;

/// Enters the cgroup whose `tasks` file this is.
pub(crate) fn enter(tasks: &OwnedFd) -> Result<(), Fault> {
    // `0` is whoever writes it: nobody has to look the process up, and there is no lock to wait for.
    write(tasks, b"0").map(drop).at(Call::Write)
}

/// Enters the cgroups whose `tasks` files the parent sends when they are there.
pub(crate) fn await_and_enter(link: BorrowedFd<'_>) -> Result<(), Fault> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_CGROUPS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(link, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            result => break result.at(Call::Recvmsg)?,
        }
    };
    match received.bytes {
        0 => exit(OWN_FAILURE),
        _ if received.flags.contains(ReturnFlags::CTRUNC) => Err(Errno::MSGSIZE).at(Call::Recvmsg),
        _ => control.drain().try_for_each(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.try_for_each(|tasks| enter(&tasks)),
            _ => Ok(()),
        }),
    }
}

/// A cgroup, by descriptor: whoever has entered another mount namespace by now still finds it.
#[derive(Clone, Copy, Debug)]
pub struct PassingCgroup<'a> {
    /// Its directory.
    pub directory: BorrowedFd<'a>,
    /// Its name, then those of the directories above it that were made for it, from below.
    pub names: &'a [&'a CStr],
}

/// How often a cgroup without processes is tried again; the pauses in between add up to about two seconds.
const ATTEMPTS: u32 = 60;

/// How often one with processes is: the last of them may have ended a moment ago.
const ATTEMPTS_IN_USE: u32 = 8;

/// A name in a directory (`NAME_MAX`), and the zero at its end.
type Name = [u8; 256];

impl PassingCgroup<'_> {
    /// Removes it with those below it, and those above that were made for it. What is gone already is no error. Processes are not
    /// ended: whoever outlives the container keeps it.
    ///
    /// # Errors
    /// It stays in use, or belongs to others.
    pub fn remove(&self) -> Result<(), Errno> {
        let mut attempt = 0;
        while let Err(errno) = self.remove_once() {
            let in_use = attempt >= ATTEMPTS_IN_USE && self.has_processes();
            if errno != Errno::BUSY || in_use || attempt >= ATTEMPTS {
                return Err(errno);
            }
            attempt += 1;
            let nanoseconds = (1_i64 << attempt.min(9)) * 100_000;
            let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: nanoseconds }));
        }
        Ok(())
    }

    fn remove_once(&self) -> Result<(), Errno> {
        let Some((name, above)) = self.names.split_first() else { return Ok(()) };
        let mut parent = self::above(self.directory)?;
        if gone(&parent, name) == Err(Errno::BUSY) {
            remove_below(self.directory)?;
            gone(&parent, name)?;
        }
        for name in above {
            let next = self::above(&parent)?;
            // Another container may have moved in.
            if gone(&next, name).is_err() {
                break;
            }
            parent = next;
        }
        Ok(())
    }

    fn has_processes(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(processes) = openat(self.directory, c"cgroup.procs", flags, Mode::empty()) else {
            return false;
        };
        matches!(read(&processes, &mut [0; 16]), Ok(length) if length > 0)
    }
}

fn above(directory: impl rustix::fd::AsFd) -> Result<OwnedFd, Errno> {
    openat(directory, c"..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn gone(parent: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Removes what is below, the lowest first. Whoever has made it may have made it deep: nothing here recurses.
fn remove_below(top: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut name = [0; 256];
    while first_in(top, &mut name)? {
        let mut parent = open(top, c".")?;
        let mut lowest = name;
        loop {
            let directory = open(&parent, text(&lowest)?)?;
            if !first_in(&directory, &mut name)? {
                break;
            }
            (parent, lowest) = (directory, name);
        }
        unlinkat(&parent, text(&lowest)?, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn open(parent: impl rustix::fd::AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn text(name: &Name) -> Result<&CStr, Errno> {
    CStr::from_bytes_until_nul(name).map_err(|_| Errno::NAMETOOLONG)
}

/// Finds some directory in `directory`. False if there is none.
fn first_in(directory: impl rustix::fd::AsFd, name: &mut Name) -> Result<bool, Errno> {
    let again = open(directory, c".")?;
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(again, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes_with_nul();
        if entry.file_type() == FileType::Directory && bytes != b".\0" && bytes != b"..\0" {
            name.get_mut(..bytes.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(bytes);
            return Ok(true);
        }
    }
    Ok(false)
}

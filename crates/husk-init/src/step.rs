// SPDX-License-Identifier: Apache-2.0
//! The instruction set.

use core::ffi::CStr;
use husk_sys::{Propagation, StringArray};
use rustix::mount::MountAttrFlags;
use rustix::process::Resource;
use rustix::termios::Winsize;
use rustix::thread::CapabilitySet;

/// One thing that the child does. Each is complete in itself; paths in the container are resolved beneath its root at the
/// moment of use and can be as hostile as they like.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Ask to be killed when the parent dies, and end if it is dead already.
    DieWithParent,
    /// Wait until the parent has written the id maps and prepared the mounts.
    AwaitParent,
    /// Enter a new time namespace whose clocks are set off by the text given, in the format of `/proc/PID/timens_offsets`.
    TimeNamespace {
        /// Lines such as `monotonic 86400 0`.
        offsets: &'a CStr,
    },
    /// Let nobody inside trace this process or follow its links in /proc (`PR_SET_DUMPABLE`): as long as it is not the
    /// command yet, or stays as PID 1, `/proc/1/exe` is husk's own file on the host, which the container's ids may own.
    BeOpaque,
    /// Bring the loopback interface up.
    LoopbackUp,
    /// Set the host name.
    Hostname(&'a CStr),
    /// Change the propagation of every mount in the namespace.
    Propagation(Propagation),
    /// Make a tmpfs with the directories `lower`, `upper` and `work` for the overlay of the root.
    Scratch {
        /// The tmpfs.
        filesystem: Filesystem<'a>,
        /// The mode of `upper`, which becomes that of the root.
        mode: u32,
    },
    /// Attach the scratch space over the namespace's root, where nothing sees it, and the root's files to its `lower`.
    Lower(Source<'a>),
    /// Make an overlay of `lower`, with its writes in the scratch space.
    Overlay(Filesystem<'a>),
    /// Take the scratch space off the namespace's root; the overlay holds on to its layers.
    DetachScratch,
    /// Make the overlay the container's root.
    OverlayRoot,
    /// Make a file tree the container's root.
    Root {
        /// The tree.
        source: Source<'a>,
        /// Whether the mounts in it come along.
        recursive: bool,
    },
    /// Take the root that the process has already, in a joined mount namespace.
    CurrentRoot,
    /// Change the attributes of the root mount itself.
    RootAttributes(MountAttrFlags),
    /// Make a directory, and those above it, where there is none.
    MakeDirectory {
        /// Where.
        path: &'a CStr,
        /// The permission bits of those that are made.
        mode: u32,
    },
    /// Make an empty file where there is nothing.
    MakeFile {
        /// Where.
        path: &'a CStr,
    },
    /// Make a symbolic link.
    Symlink {
        /// Where.
        path: &'a CStr,
        /// What it points at.
        to: &'a CStr,
    },
    /// Make a device node.
    MakeNode {
        /// Where.
        path: &'a CStr,
        /// Its type and permission bits.
        mode: u32,
        /// The device number.
        device: u64,
    },
    /// Mount a new instance of a file system.
    Mount {
        /// What.
        filesystem: Filesystem<'a>,
        /// Where.
        target: &'a CStr,
    },
    /// Mount a part of an existing file tree.
    Bind {
        /// What.
        source: Source<'a>,
        /// Where.
        target: &'a CStr,
        /// Whether the mounts below come along.
        recursive: bool,
        /// Attributes to set.
        set: MountAttrFlags,
        /// Attributes to clear before.
        clear: MountAttrFlags,
    },
    /// Write a kernel parameter through the host's /proc, which nothing in the container can stand in front of.
    Sysctl {
        /// The path below `/proc/sys`: `net/ipv4/ping_group_range`.
        path: &'a CStr,
        /// The value.
        value: &'a CStr,
    },
    /// Open the host's /proc, for what is written through it later.
    OpenProc,
    /// Hide what is at a path: a file behind `/dev/null`, a directory behind an empty one. Nothing there: nothing done.
    Mask {
        /// Where.
        path: &'a CStr,
    },
    /// Make what is at a path, and below it, read-only. Nothing there: nothing done.
    ReadOnly {
        /// Where.
        path: &'a CStr,
    },
    /// Make a pseudo-terminal in the container's own devpts and give the master side to the parent.
    OpenTerminal {
        /// Its first size.
        size: Option<Winsize>,
    },
    /// Make the container's root the root of the mount namespace (`pivot_root(2)`).
    PivotRoot,
    /// Unmount the old root, which `PivotRoot` left under the new one.
    DetachOldRoot,
    /// Make the container's root the process's root and no more (`chroot(2)`).
    Chroot,
    /// Put a small PID 1 before the command: this process stays, forwards signals and reaps; its child goes on.
    BecomeInit,
    /// Start a session, so that the caller's terminal is not the command's.
    NewSession,
    /// Make the terminal the session's controlling terminal.
    ControllingTerminal,
    /// Let standard descriptors be the terminal.
    TerminalStdio {
        /// Input, output, error.
        which: [bool; 3],
    },
    /// Give pipes among standard input, output and error to a user, so that it can open `/dev/stdout`.
    OwnPipes {
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
    },
    /// Set a resource limit.
    Rlimit {
        /// Of what.
        resource: Resource,
        /// The limit that counts, `None` for none.
        soft: Option<u64>,
        /// How far the soft one may be raised.
        hard: Option<u64>,
    },
    /// Set the file mode creation mask.
    Umask(u32),
    /// Change the working directory, and make sure that it is inside the root.
    WorkingDirectory(&'a CStr),
    /// Drop every capability that is not given from the bounding set.
    BoundingSet(CapabilitySet),
    /// Keep the permitted capabilities over the change of user id that follows.
    KeepCapabilities,
    /// Set the supplementary groups.
    Groups(&'a [u32]),
    /// Set the real, effective and saved group id.
    Gid(u32),
    /// Set the real, effective and saved user id.
    Uid(u32),
    /// Set the permitted and effective capabilities; inheritable and ambient ones become none.
    Capabilities(CapabilitySet),
    /// Let no exec gain privileges any more (`PR_SET_NO_NEW_PRIVS`).
    NoNewPrivileges,
    /// Read the privileges back from the kernel; go no further if they are not these.
    Verify(Privileges),
    /// Give signals that husk or Rust changed their default disposition, and block none.
    ResetSignals,
    /// Let no descriptor but the three standard ones pass the exec.
    CloseDescriptors,
    /// Tell the parent, and wait until it lets this process go on: for somebody who wants to look round.
    Pause,
    /// Become the command.
    Exec(Exec<'a>),
}

/// A file system to make.
#[derive(Clone, Copy, Debug)]
pub struct Filesystem<'a> {
    /// The type, `tmpfs`.
    pub kind: &'a CStr,
    /// What mountinfo shows as its source.
    pub source: &'a CStr,
    /// Its options.
    pub options: &'a [FsOption<'a>],
    /// Attributes of the mount.
    pub attributes: MountAttrFlags,
}

/// An option of a file system.
#[derive(Clone, Copy, Debug)]
pub struct FsOption<'a> {
    /// Its name.
    pub key: &'a CStr,
    /// Its value, `None` for a flag.
    pub value: Option<&'a CStr>,
}

/// Where the files of a bind mount come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A path on the host, as this process still sees it before the pivot.
    Host(&'a CStr),
    /// A detached mount that the parent has prepared, by its number.
    Prepared(usize),
    /// The container's terminal.
    Terminal,
}

/// What a process may do, as read back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// Real and effective user id.
    pub uid: u32,
    /// Real and effective group id.
    pub gid: u32,
    /// Permitted and effective capabilities. None are inheritable.
    pub capabilities: CapabilitySet,
    /// The bounding set.
    pub bounding: CapabilitySet,
    /// No exec gains privileges.
    pub no_new_privileges: bool,
}

/// What the child becomes.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// The paths to try, in order: the command itself, or it in each directory of PATH.
    pub candidates: &'a [&'a CStr],
    /// The arguments, with the name of the command first.
    pub arguments: StringArray<'a>,
    /// The environment.
    pub environment: StringArray<'a>,
}

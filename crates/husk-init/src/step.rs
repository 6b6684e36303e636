// SPDX-License-Identifier: Apache-2.0
//! The instruction set.

use core::ffi::CStr;
use husk_sys::{Propagation, SchedAttr, SockFilter, StringArray};
use rustix::mount::MountAttrFlags;
use rustix::process::Resource;
use rustix::termios::Winsize;
use rustix::thread::{CapabilitySet, UnshareFlags};

/// One thing that the child does. Each is complete in itself; paths in the container are resolved beneath its root at the
/// moment of use and can be as hostile as they like.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Ask to be killed when the parent dies, and end if it is dead already.
    DieWithParent,
    /// Wait until the parent has written the id maps and prepared the mounts.
    AwaitParent,
    /// Enter the container's cgroups of version 1, whose files the parent has opened.
    EnterCgroup,
    /// Wait until the parent has made the container's cgroups of version 1, and enter them by the files that it sends
    /// (`SCM_RIGHTS`), at most [`crate::MOST_CGROUPS`].
    AwaitCgroup,
    /// Enter new namespaces of kinds that a process may change for itself (`unshare(2)`): not pid, user or time.
    Namespaces(UnshareFlags),
    /// Enter a new cgroup namespace, whose root is the cgroups that this process is in.
    CgroupNamespace,
    /// Enter the cgroup namespace that the parent has opened.
    JoinCgroupNamespace,
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
    /// Set the NIS domain name.
    Domainname(&'a CStr),
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
        /// Where it is attached until it is entered.
        attach: Attach<'a>,
    },
    /// Take the root that the process has already, in a joined mount namespace.
    CurrentRoot,
    /// Change the attributes of the root mount itself.
    RootAttributes(MountAttrFlags),
    /// Change the propagation of the root mount, as the process sees it.
    RootPropagation {
        /// To what.
        propagation: Propagation,
        /// Whether that of the mounts below changes too.
        recursive: bool,
    },
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
        /// User and group, if not those of the process.
        owner: Option<(u32, u32)>,
    },
    /// Mount a new instance of a file system.
    Mount {
        /// What.
        filesystem: Filesystem<'a>,
        /// Where.
        target: &'a CStr,
        /// What it has to do with the directory that it covers.
        cover: Cover,
        /// Its propagation, and whether that of the mounts below is meant too: one after the other.
        propagation: &'a [(Propagation, bool)],
    },
    /// Mount a new instance of a file system by `mount(2)`, whose options are one text: `fsconfig(2)` takes at most 255 bytes
    /// for one.
    MountByText {
        /// The type, `overlay`.
        kind: &'a CStr,
        /// What mountinfo shows as its source.
        source: &'a CStr,
        /// Its options, with commas between.
        options: &'a CStr,
        /// Attributes of the mount.
        attributes: MountAttrFlags,
        /// Where.
        target: &'a CStr,
        /// Its propagation, and whether that of the mounts below is meant too: one after the other.
        propagation: &'a [(Propagation, bool)],
    },
    /// Change the options of the file system that is mounted at a path.
    Reconfigure {
        /// Where.
        target: &'a CStr,
        /// Its options.
        options: &'a [FsOption<'a>],
    },
    /// Mount a part of an existing file tree.
    Bind {
        /// What.
        source: Source<'a>,
        /// Where.
        target: &'a CStr,
        /// Whether the mounts below come along.
        recursive: bool,
        /// The attributes of the mount itself.
        attributes: Attributes,
        /// The attributes of the mount and of those below it.
        recursive_attributes: Attributes,
        /// Its propagation, and whether that of the mounts below is meant too: one after the other.
        propagation: &'a [(Propagation, bool)],
    },
    /// Change the attributes of a mount that is there.
    MountAttributes {
        /// Where.
        target: &'a CStr,
        /// What changes.
        attributes: Attributes,
    },
    /// Write a kernel parameter through the host's /proc, which nothing in the container can stand in front of.
    Sysctl {
        /// The path below `/proc/sys`: `net/ipv4/ping_group_range`.
        path: &'a CStr,
        /// The value.
        value: &'a CStr,
    },
    /// Run on the processors alone whose bits are set.
    Processors(&'a [u64]),
    /// Be scheduled like that.
    Scheduler(SchedAttr),
    /// Have one's I/O done with this priority: a class and a level within it (`ioprio_set(2)`).
    IoPriority {
        /// `IOPRIO_CLASS_*`.
        class: u8,
        /// 0, first, to 7.
        level: u8,
    },
    /// Get one's memory from the nodes whose bits are set.
    MemoryPolicy {
        /// `MPOL_*` with `MPOL_F_*`.
        mode: u32,
        /// The nodes.
        nodes: &'a [u64],
    },
    /// Take an execution domain (`personality(2)`).
    Personality(u32),
    /// Have the command confined by an AppArmor profile.
    ApparmorProfile {
        /// The file below `/proc` that takes the word.
        file: &'a CStr,
        /// `exec PROFILE`.
        word: &'a CStr,
    },
    /// Have the command run with this SELinux label.
    SelinuxLabel(&'a CStr),
    /// Have the keyrings that are made from now on this SELinux label.
    KeyLabel(&'a CStr),
    /// Start a session keyring of this name, so that keys of the caller's are out of reach.
    Keyring(&'a CStr),
    /// Open the host's /proc, for what is written through it later.
    OpenProc,
    /// Hide what is at a path: a file behind `/dev/null`, a directory behind an empty one. Nothing there: nothing done.
    Mask {
        /// Where.
        path: &'a CStr,
    },
    /// Make what is at a path read-only. Nothing there: nothing done.
    ReadOnly {
        /// Where.
        path: &'a CStr,
        /// Whether what is mounted below becomes so too.
        recursive: bool,
    },
    /// Make a pseudo-terminal in the container's own devpts and give the master side to the parent.
    OpenTerminal {
        /// Its first size.
        size: Option<Winsize>,
        /// Whether it begins with the settings of the caller's terminal.
        inherit_settings: bool,
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
    /// Give the container's terminal to a user.
    OwnTerminal {
        /// The user id.
        uid: u32,
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
    /// Set the capabilities but those of the bounding set.
    Capabilities(ProcessCapabilities),
    /// Let no exec gain privileges any more (`PR_SET_NO_NEW_PRIVS`).
    NoNewPrivileges,
    /// Read the privileges back from the kernel; go no further if they are not these.
    Verify(Privileges),
    /// Give signals that husk or Rust changed their default disposition, and block none.
    ResetSignals,
    /// Let no descriptor from this number on pass the exec.
    CloseDescriptors {
        /// The first that does not: 3, after the standard ones.
        first: u32,
    },
    /// Let a filter decide about each system call from here on; a listener of the filter goes to the parent.
    Seccomp(SyscallFilter<'a>),
    /// Tell the parent, and wait until it lets this process go on: for somebody who wants to look round.
    Pause,
    /// Tell the parent that everything is mounted, and wait until it has run its hooks.
    AwaitHooks,
    /// Run a program of somebody else's, and go no further if it fails.
    Hook(Hook<'a>),
    /// See whether the command can be executed, without doing so.
    FindCommand(Exec<'a>),
    /// Live on when the parent dies, from now on.
    ForgetParent,
    /// Tell the parent that everything is mounted, and go on while it writes that down.
    TellMounted,
    /// Tell the parent that all is ready, and wait until it has written that down; end if it cannot.
    AwaitCommit,
    /// Wait until somebody connects to the socket of the start and lets this process go on. From then on that is the link. What
    /// else the parent had open is closed first: it is not for a wait that may be long.
    AwaitStart {
        /// The first descriptor that the command does not get.
        first: u32,
    },
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

/// What a new file system has to do with the directory that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// Nothing.
    Any,
    /// The path must not be a symbolic link: what is written to this file system must not be somewhere else
    /// (CVE-2019-19921).
    NoLink,
    /// The root of the file system takes its permission bits.
    KeepMode,
    /// The file system begins with a copy of it.
    CopyUp {
        /// Whether its root takes the permission bits as well.
        keep_mode: bool,
    },
}

/// An option of a file system.
#[derive(Clone, Copy, Debug)]
pub struct FsOption<'a> {
    /// Its name.
    pub key: &'a CStr,
    /// Its value, `None` for a flag.
    pub value: Option<&'a CStr>,
}

/// Where a root is attached until it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach<'a> {
    /// On top of the namespace's root, where no path leads.
    OverRoot,
    /// At a path of the host's, for hooks that look for it there.
    At(&'a CStr),
    /// Nowhere: the mount namespace is somebody else's, who is to see nothing of it.
    Nowhere,
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
    /// The capabilities but those of the bounding set.
    pub capabilities: ProcessCapabilities,
    /// The bounding set.
    pub bounding: CapabilitySet,
    /// No exec gains privileges.
    pub no_new_privileges: bool,
}

/// The capabilities that a process has itself (`capabilities(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub struct ProcessCapabilities {
    pub effective: CapabilitySet,
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub ambient: CapabilitySet,
}

/// Attributes of a mount, as `mount_setattr(2)` changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// To set.
    pub set: MountAttrFlags,
    /// To clear before.
    pub clear: MountAttrFlags,
}

impl Attributes {
    /// No change.
    pub const NONE: Self = Self { set: MountAttrFlags::empty(), clear: MountAttrFlags::empty() };

    /// Whether nothing changes.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// A filter of system calls (`seccomp(2)`).
#[derive(Clone, Copy, Debug)]
pub struct SyscallFilter<'a> {
    /// Its program.
    pub instructions: &'a [SockFilter],
    /// `SECCOMP_FILTER_FLAG_*`; with [`husk_sys::SECCOMP_NEW_LISTENER`] there is a listener.
    pub flags: u32,
    /// What it was made of, for whoever explains it: the number of rules,
    pub rules: usize,
    /// how many calls they are about,
    pub calls: usize,
    /// and the `SECCOMP_RET_*` for a call that none is about.
    pub default: u32,
}

/// A program of somebody else's.
#[derive(Clone, Copy, Debug)]
pub struct Hook<'a> {
    /// The program, with one candidate.
    pub exec: Exec<'a>,
    /// The number of the file with the container's state, which becomes its standard input.
    pub state: usize,
    /// Seconds after which it is killed.
    pub timeout: Option<u32>,
    /// Its umask: that of the process that runs it is 0, for the sake of what is mounted.
    pub umask: u32,
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

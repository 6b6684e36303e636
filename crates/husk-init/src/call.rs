// SPDX-License-Identifier: Apache-2.0
//! The system calls that a step can fail in.

use rustix::io::Errno;

macro_rules! calls {
    ($($variant:ident = $name:expr),* $(,)?) => {
        /// A system call, by which a [`crate::Failure`] says what exactly failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names are the kernel's")]
        pub enum Call { $($variant),* }

        impl Call {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, as `strace` prints it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

/// Newer architectures have only the call with flags.
const DUP2: &str = if cfg!(target_arch = "x86_64") { "dup2" } else { "dup3" };

calls! {
    Accept = "accept4",
    Capget = "capget",
    Capset = "capset",
    Chdir = "chdir",
    Chroot = "chroot",
    Clone3 = "clone3",
    CloseRange = "close_range",
    Dup2 = DUP2,
    Execve = "execve",
    Faccessat = "faccessat2",
    Fchdir = "fchdir",
    Fchmod = "fchmod",
    Fchown = "fchown",
    Fgetxattr = "fgetxattr",
    Flistxattr = "flistxattr",
    Fsconfig = "fsconfig",
    Fsetxattr = "fsetxattr",
    Fsmount = "fsmount",
    Fsopen = "fsopen",
    Fspick = "fspick",
    Fstat = "fstat",
    Fstatfs = "fstatfs",
    Getcwd = "getcwd",
    Getdents = "getdents64",
    HookExecve = "execve of the hook",
    HookExit = "exit status of the hook",
    HookSignal = "end of the hook by a signal",
    HookTimeout = "timeout of the hook",
    IoprioSet = "ioprio_set",
    InterfaceUp = "ioctl(SIOCSIFFLAGS)",
    Keyctl = "keyctl(KEYCTL_JOIN_SESSION_KEYRING)",
    Lseek = "lseek",
    Mkdirat = "mkdirat",
    Mknodat = "mknodat",
    Mount = "mount",
    MountSetattr = "mount_setattr",
    MoveMount = "move_mount",
    Open = "open",
    OpenTree = "open_tree",
    Openat = "openat",
    Openat2 = "openat2",
    Personality = "personality",
    Pipe2 = "pipe2",
    PivotRoot = "pivot_root",
    Poll = "ppoll",
    Prctl = "prctl",
    Prlimit = "prlimit64",
    Readlinkat = "readlinkat",
    ReadBack = "reading back what was set",
    Recv = "recvfrom",
    Recvmsg = "recvmsg",
    RtSigaction = "rt_sigaction",
    RtSigprocmask = "rt_sigprocmask",
    Seccomp = "seccomp",
    SchedSetaffinity = "sched_setaffinity",
    SchedSetattr = "sched_setattr",
    Sendfile = "sendfile",
    Sendmsg = "sendmsg",
    Setdomainname = "setdomainname",
    SetMempolicy = "set_mempolicy",
    Setgroups = "setgroups",
    Sethostname = "sethostname",
    Setns = "setns",
    Setresgid = "setresgid",
    Setresuid = "setresuid",
    Setsid = "setsid",
    Socket = "socket",
    Symlinkat = "symlinkat",
    TerminalControl = "ioctl(TIOCSCTTY)",
    TerminalPeer = "ioctl(TIOCGPTPEER)",
    TerminalSettings = "ioctl(TCSETS2)",
    TerminalSize = "ioctl(TIOCSWINSZ)",
    TerminalUnlock = "ioctl(TIOCSPTLCK)",
    Umount2 = "umount2",
    Unshare = "unshare",
    Waitid = "waitid",
    Write = "write",
}

impl Call {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// A system call that failed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    pub(crate) errno: Errno,
}

/// Names the call that a result came from.
pub(crate) trait At<T> {
    fn at(self, call: Call) -> Result<T, Fault>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, call: Call) -> Result<T, Fault> {
        self.map_err(|errno| Fault { call, errno })
    }
}

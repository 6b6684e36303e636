// SPDX-License-Identifier: Apache-2.0
//! The words of `husk run`. Where Docker and Podman have an option for something, it has the same name and form here.

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, Args};

pub(super) const USAGE: &str = "husk run [OPTIONS] [ROOTFS] [COMMAND [ARG...]]
       husk run [OPTIONS] -- [COMMAND [ARG...]]
       husk run [OPTIONS] --bundle DIR";

pub(super) const EXPLAIN_USAGE: &str = "husk explain run [OPTIONS] [ROOTFS] [COMMAND [ARG...]]
       husk explain run [OPTIONS] -- [COMMAND [ARG...]]
       husk explain run [OPTIONS] --bundle DIR";

pub(super) const WHY_USAGE: &str = "husk why run [OPTIONS] [ROOTFS] [COMMAND [ARG...]]
       husk why run [OPTIONS] -- [COMMAND [ARG...]]
       husk why run [OPTIONS] --bundle DIR";

pub(super) const STEP_USAGE: &str = "husk step run [--until STAGE] [OPTIONS] [ROOTFS] [COMMAND [ARG...]]
       husk step run [--until STAGE] [OPTIONS] -- [COMMAND [ARG...]]
       husk step run [--until STAGE] [OPTIONS] --bundle DIR";

/// How the words after the options are read.
macro_rules! words {
    () => {
        "\
The first word after the options is always ROOTFS, a directory; all that follow
are the command's, also those that look like options. With no ROOTFS, or `--` in
its place, a default root is used and its writes are thrown away. The default
COMMAND is /bin/sh."
    };
}

pub(super) const AFTER: &str = concat!(
    words!(),
    "

Exit status: the command's; 128+N if signal N ended it; 125 if husk failed; 126
if the command could not be executed; 127 if it was not found."
);

pub(super) const EXPLAIN_AFTER: &str = concat!(
    words!(),
    "

Exit status: 0; 1 if husk failed."
);

pub(super) const STEP_AFTER: &str = concat!(
    words!(),
    "

Exit status: as of `husk run`; 0 if it was stopped on the way."
);

/// `husk run` as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its options.
    pub(crate) options: RunOptions,
    /// ROOTFS, `None` for the default root.
    pub(crate) rootfs: Option<OsString>,
    /// The command and its arguments; empty for the default command.
    pub(crate) command: Vec<OsString>,
}

// `husk run` as clap sees it. No doc comment: clap would print it as the description of every command that takes these.
#[derive(Debug, Args)]
#[command(
    after_help = AFTER,
    args_override_self = true,
    disable_help_flag = true
)]
pub(super) struct RunLine {
    #[command(flatten)]
    options: RunOptions,
    /// ROOTFS and the command.
    #[arg(value_name = "ROOTFS", trailing_var_arg = true, hide = true)]
    words: Vec<OsString>,
}

impl RunLine {
    /// Tells ROOTFS from the command. clap drops the `--` that stands in the place of ROOTFS; but its words are the end of
    /// the line, so the word before them says whether there was one.
    pub(super) fn split(self, line: &[OsString]) -> Run {
        let Self { options, words } = self;
        let before = line.len().checked_sub(words.len() + 1).map(|last| &line[last]);
        if before.is_some_and(|word| word == "--") {
            return Run { options, rootfs: None, command: words };
        }
        let mut words = words.into_iter().peekable();
        let rootfs = words.next();
        // `husk run ROOTFS -- COMMAND`: what a person means who always writes it.
        words.next_if(|word| word == "--");
        Run { options, rootfs, command: words.collect() }
    }
}

// The options of `husk run`; again without a doc comment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct RunOptions {
    /// Name of the container; one is made up otherwise
    #[arg(long, value_name = "NAME", help_heading = "Container")]
    pub(crate) name: Option<String>,
    /// Take all of it from the config.json of an OCI bundle
    #[arg(long, short = 'b', value_name = "DIR", help_heading = "Container")]
    pub(crate) bundle: Option<OsString>,
    /// Ask systemd for the bundle's cgroup; without a word, where its cgroupsPath looks like that
    #[arg(long, help_heading = "Container", overrides_with = "no_systemd_cgroup")]
    pub(crate) systemd_cgroup: bool,
    /// Do not: its cgroupsPath is a path
    #[arg(long, help_heading = "Container", overrides_with = "systemd_cgroup")]
    pub(crate) no_systemd_cgroup: bool,
    /// Host name inside; the container's name otherwise
    #[arg(long, short = 'h', value_name = "NAME", help_heading = "Container")]
    pub(crate) hostname: Option<String>,
    /// Put a small PID 1 before the command, which reaps
    #[arg(long, help_heading = "Container")]
    pub(crate) init: bool,
    /// Print the plan, then run
    #[arg(long, help_heading = "Container")]
    pub(crate) explain: bool,
    /// Print a bash script that makes the same container by hand, and run nothing
    #[arg(long, help_heading = "Container")]
    pub(crate) as_shell: bool,
    /// Print no notes
    #[arg(long, short, help_heading = "Container")]
    pub(crate) quiet: bool,
    /// Accepted: a container always goes with its command
    #[arg(long, help_heading = "Container")]
    pub(crate) rm: bool,
    /// Print this help (-h is --hostname, as in Docker)
    #[arg(long, action = ArgAction::Help, help_heading = "Container")]
    pub(crate) help: Option<bool>,

    /// Environment variable; NAME alone: with your value
    #[arg(long, short, value_name = "NAME[=VALUE]", help_heading = "Command")]
    pub(crate) env: Vec<OsString>,
    /// Such variables from a file, one a line
    #[arg(long, value_name = "FILE", help_heading = "Command")]
    pub(crate) env_file: Vec<OsString>,
    /// Working directory inside
    #[arg(long, short, value_name = "DIR", help_heading = "Command")]
    pub(crate) workdir: Option<OsString>,
    /// Who it runs as: the container's names, or ids
    #[arg(long, short, value_name = "USER[:GROUP]", allow_hyphen_values = true, help_heading = "Command")]
    pub(crate) user: Option<String>,
    /// File mode creation mask, octal
    #[arg(long, value_name = "MASK", allow_hyphen_values = true, help_heading = "Command")]
    pub(crate) umask: Option<String>,
    /// Resource limit: nofile=1024, core=unlimited
    #[arg(long, value_name = "NAME=N[:MAX]", allow_hyphen_values = true, help_heading = "Command")]
    pub(crate) ulimit: Vec<String>,
    /// Accepted: standard input always stays open
    #[arg(long, short, help_heading = "Command")]
    pub(crate) interactive: bool,
    /// Make a terminal also where you have none
    #[arg(long, short, help_heading = "Command")]
    pub(crate) tty: bool,

    /// Show the host's SRC at DST; with nosuid and nodev unless it says suid, dev. Also noexec, noidmap, bind, ...
    #[arg(long, short, value_name = "SRC:DST[:ro]", help_heading = "Files")]
    pub(crate) volume: Vec<OsString>,
    /// The same in words: type=bind,src=SRC,dst=DST,ro or type=tmpfs,dst=DST,tmpfs-size=64m
    #[arg(long, value_name = "KEY=VAL,...", help_heading = "Files")]
    pub(crate) mount: Vec<OsString>,
    /// Empty file system in memory; also mode=700, exec
    #[arg(long, value_name = "DST[:size=N]", help_heading = "Files")]
    pub(crate) tmpfs: Vec<OsString>,
    /// Show a device of the host, such as /dev/fuse
    #[arg(long, value_name = "SRC[:DST]", help_heading = "Files")]
    pub(crate) device: Vec<OsString>,
    /// Refuse writes to ROOTFS
    #[arg(long, help_heading = "Files")]
    pub(crate) read_only: bool,
    /// Throw writes to ROOTFS away in the end
    #[arg(long, help_heading = "Files")]
    pub(crate) ephemeral: bool,
    /// Enter ROOTFS by chroot(2), where pivot_root(2) cannot work. What it gives up: the host's root stays mounted below, and CAP_SYS_CHROOT is enough to get there
    #[arg(long, help_heading = "Files")]
    pub(crate) chroot: bool,

    /// Memory, such as 512m; who needs more is killed
    #[arg(long, short, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) memory: Option<String>,
    /// Memory and swap together; -1 for any amount of swap. Otherwise as much swap as memory
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) memory_swap: Option<String>,
    /// Memory that it keeps when the machine runs short
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) memory_reservation: Option<String>,
    /// Processors' time: 1.5 is one and a half
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) cpus: Option<String>,
    /// Share of the time when it is short; 1024 is the normal one
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) cpu_shares: Option<String>,
    /// Processors that it may use: 0-2,5
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes that it may use: 0,1
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) cpuset_mems: Option<String>,
    /// Processes and threads, 1024 where you may set that; -1 for any number
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) pids_limit: Option<String>,
    /// Share of block devices when they are busy, 10 to 1000
    #[arg(
        long,
        alias = "blkio-weight",
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "Limits"
    )]
    pub(crate) io_weight: Option<String>,
    /// Bytes a second that it may read from a block device
    #[arg(long, value_name = "DEV:SIZE", help_heading = "Limits")]
    pub(crate) device_read_bps: Vec<String>,
    /// Bytes a second that it may write to a block device
    #[arg(long, value_name = "DEV:SIZE", help_heading = "Limits")]
    pub(crate) device_write_bps: Vec<String>,
    /// Reads a second from a block device
    #[arg(long, value_name = "DEV:N", help_heading = "Limits")]
    pub(crate) device_read_iops: Vec<String>,
    /// Writes a second to a block device
    #[arg(long, value_name = "DEV:N", help_heading = "Limits")]
    pub(crate) device_write_iops: Vec<String>,
    /// Make the cgroup in this one: /a/b from the top, a/b from yours
    #[arg(long, value_name = "PATH", help_heading = "Limits")]
    pub(crate) cgroup_parent: Option<String>,

    /// auto: all ids that you may map; single: yours alone; host: no user namespace, root is root
    #[arg(long, value_name = "MODE", help_heading = "Namespaces")]
    pub(crate) userns: Option<String>,
    /// Keep the host's: user pid net ipc uts cgroup time
    #[arg(long, value_name = "KIND,...", help_heading = "Namespaces")]
    pub(crate) share: Vec<String>,
    /// Enter that of a process, or KIND=PATH
    #[arg(long, value_name = "KIND=PID", help_heading = "Namespaces")]
    pub(crate) join: Vec<OsString>,
    /// none: loopback alone; host: as --share net
    #[arg(long, alias = "net", value_name = "MODE", help_heading = "Namespaces")]
    pub(crate) network: Option<OsString>,
    /// host: as --share pid
    #[arg(long, value_name = "MODE", hide = true)]
    pub(crate) pid: Option<OsString>,
    /// host: as --share ipc
    #[arg(long, value_name = "MODE", hide = true)]
    pub(crate) ipc: Option<OsString>,
    /// host: as --share uts
    #[arg(long, value_name = "MODE", hide = true)]
    pub(crate) uts: Option<OsString>,
    /// host: as --share cgroup
    #[arg(long, value_name = "MODE", hide = true)]
    pub(crate) cgroupns: Option<OsString>,
    /// Move CLOCK_MONOTONIC: 3600, -0.5, 1d12h
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, help_heading = "Namespaces")]
    pub(crate) monotonic: Option<String>,
    /// Move CLOCK_BOOTTIME, and so uptime
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, help_heading = "Namespaces")]
    pub(crate) boottime: Option<String>,
    /// Kernel parameter of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Namespaces")]
    pub(crate) sysctl: Vec<String>,

    /// Add capabilities to the default ones; ALL for all
    #[arg(long, value_name = "CAP,...", help_heading = "Security")]
    pub(crate) cap_add: Vec<String>,
    /// Take capabilities away
    #[arg(long, value_name = "CAP,...", help_heading = "Security")]
    pub(crate) cap_drop: Vec<String>,
    /// Let set-user-id programs work (no no_new_privs)
    #[arg(long, help_heading = "Security")]
    pub(crate) allow_setuid: bool,
    /// No /sys, and only processes in /proc
    #[arg(long, help_heading = "Security")]
    pub(crate) hardened: bool,
}

impl RunOptions {
    /// The devices that are named before a colon and a rate.
    pub(crate) fn throttled(&self) -> impl Iterator<Item = &Path> {
        let all =
            [&self.device_read_bps, &self.device_write_bps, &self.device_read_iops, &self.device_write_iops];
        all.into_iter()
            .flatten()
            .filter_map(|text| text.rsplit_once(':'))
            .map(|(device, _)| Path::new(device))
    }
}

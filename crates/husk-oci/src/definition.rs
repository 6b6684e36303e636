// SPDX-License-Identifier: Apache-2.0
//! What can be typed, as data: the parser reads it, `--help` prints it, and man pages and completions are made of it.

/// A flag. It is written `--name value`, `--name=value`, or the same with one dash.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its names; one of one letter is written with one dash.
    pub names: &'static [&'static str],
    /// What stands for its value in the help; `None` for a switch, which takes `=true` and `=false` at most.
    pub value: Option<&'static str>,
    /// Whether every value counts, and not the last alone.
    pub repeats: bool,
    /// What it does, in a line.
    pub help: &'static str,
}

/// A verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// What follows its flags.
    pub arguments: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// Its flags.
    pub flags: &'static [&'static [Flag]],
}

impl Verb {
    /// Its flags, one after the other.
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().copied().flatten()
    }

    /// The verb with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        VERBS.iter().find(|verb| verb.name == name)
    }
}

/// What the program is, in a line.
pub const ABOUT: &str = "The OCI runtime that engines start: it takes runc's command line";

const fn switch(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag { names, value: None, repeats: false, help }
}

const fn value(names: &'static [&'static str], value: &'static str, help: &'static str) -> Flag {
    Flag { names, value: Some(value), repeats: false, help }
}

const fn values(names: &'static [&'static str], value: &'static str, help: &'static str) -> Flag {
    Flag { names, value: Some(value), repeats: true, help }
}

/// The flags before the verb.
pub const GLOBALS: &[Flag] = &[
    value(
        &["root"],
        "DIR",
        "Where the states of containers are (/run/husk; for a user $XDG_RUNTIME_DIR/husk)",
    ),
    value(&["log"], "FILE", "Append why a call failed to this file, beside standard error"),
    value(&["log-format"], "FORMAT", "The form of the lines in it: text or json (text)"),
    switch(&["debug"], "Log warnings and each step as well"),
    switch(&["systemd-cgroup"], "Ask systemd for the cgroup: a scope, by a cgroupsPath of SLICE:PREFIX:NAME"),
    value(&["rootless"], "WHEN", "Ignored: whether this user may make cgroups is seen. true, false or auto"),
    value(&["criu"], "FILE", "Ignored: there is no checkpoint"),
    switch(&["help", "h"], "Print what can be typed"),
    switch(&["version", "v"], "Print the version"),
];

const HELP: &[Flag] = &[switch(&["help", "h"], "Print what can be typed")];

const MAKING: &[Flag] = &[
    value(&["bundle", "b"], "DIR", "The directory with config.json (the working directory)"),
    value(&["console-socket"], "SOCKET", "Send the master of the terminal to this socket"),
    value(&["pidfd-socket"], "SOCKET", "Send a pidfd of the first process to this socket"),
    value(&["pid-file"], "FILE", "Write the id of the first process to this file"),
    switch(&["no-pivot"], "Enter the root by chroot, for a root in an initramfs; it can be left again"),
    switch(&["no-new-keyring"], "Keep the caller's session keyring"),
    value(&["preserve-fds"], "N", "Pass on N descriptors after the standard ones"),
];

const RUN: &[Flag] = &[
    switch(&["detach", "d"], "Let the container live on by itself"),
    switch(&["keep"], "Keep the state when the container has ended"),
    switch(&["no-subreaper"], "Ignored: no other process is reaped"),
];

const EXEC: &[Flag] = &[
    value(&["process", "p"], "FILE", "The process as JSON, as `process` in config.json"),
    switch(&["detach", "d"], "Let the process live on by itself"),
    switch(&["tty", "t"], "Give it a terminal of its own"),
    value(&["console-socket"], "SOCKET", "Send the master of the terminal to this socket"),
    value(&["pidfd-socket"], "SOCKET", "Send a pidfd of the process to this socket"),
    value(&["pid-file"], "FILE", "Write the id of the process to this file"),
    value(&["cwd"], "DIR", "Its working directory"),
    values(&["env", "e"], "NAME=VALUE", "A variable of its environment"),
    value(&["user", "u"], "UID[:GID]", "Who it runs as, by number"),
    values(&["additional-gids", "g"], "GID", "A supplementary group"),
    values(&["cap", "c"], "CAPABILITY", "A capability more"),
    switch(&["no-new-privs"], "Let it gain no privileges"),
    value(&["apparmor"], "PROFILE", "Its AppArmor profile"),
    value(&["process-label"], "LABEL", "Its SELinux label"),
    value(&["preserve-fds"], "N", "Pass on N descriptors after the standard ones"),
    values(
        &["cgroup"],
        "PATH",
        "Run in this cgroup below the container's own; on v1 also CONTROLLER[,CONTROLLER...]:PATH",
    ),
    switch(&["ignore-paused"], "Let it wait in a container that is paused"),
    switch(&["no-subreaper"], "Ignored: no other process is reaped"),
];

const LIST: &[Flag] =
    &[value(&["format", "f"], "FORMAT", "table or json (table)"), switch(&["quiet", "q"], "Ids alone")];

const PS: &[Flag] = &[value(&["format", "f"], "FORMAT", "table or json (table)")];

const UPDATE: &[Flag] = &[
    value(
        &["resources", "r"],
        "FILE",
        "The limits as JSON, as `linux.resources` in config.json; - for standard input",
    ),
    value(&["memory"], "SIZE", "Memory; -1 for no limit"),
    value(&["memory-reservation"], "SIZE", "The memory that it should keep to"),
    value(&["memory-swap"], "SIZE", "Memory and swap together; -1 for no limit"),
    value(&["kernel-memory"], "SIZE", "Without effect: no kernel of today limits it"),
    value(&["kernel-memory-tcp"], "SIZE", "Memory of TCP buffers, on cgroup v1"),
    value(&["cpu-share"], "N", "A share of the time, relative to others: 2 to 262144"),
    value(&["cpu-quota"], "MICROSECONDS", "Time in each period; -1 for no limit"),
    value(&["cpu-period"], "MICROSECONDS", "The period"),
    value(&["cpu-burst"], "MICROSECONDS", "Time that may be saved up"),
    value(&["cpu-idle"], "0|1", "Whether it runs only when nothing else does"),
    value(&["cpu-rt-runtime"], "MICROSECONDS", "Real time in each period, on cgroup v1"),
    value(&["cpu-rt-period"], "MICROSECONDS", "The period of that"),
    value(&["cpuset-cpus"], "LIST", "Processors: 0-3,7"),
    value(&["cpuset-mems"], "LIST", "Memory nodes: 0-3,7"),
    value(&["pids-limit"], "N", "Processes; -1 for no limit"),
    value(&["l3-cache-schema"], "LINES", "Lines of its group of resctrl, for caches: L3:0=7f0;1=1f"),
    value(&["mem-bw-schema"], "LINE", "The line of its group of resctrl for the memory bus: MB:0=20;1=70"),
    value(&["blkio-weight"], "N", "The weight against others on block devices: 10 to 1000"),
];

const EVENTS: &[Flag] =
    &[value(&["interval"], "TIME", "How often to count (5s)"), switch(&["stats"], "Count once, and end")];

const DELETE: &[Flag] = &[switch(&["force", "f"], "Also one that runs, and one that is not there")];

const KILL: &[Flag] = &[switch(&["all", "a"], "Every process of the container")];

const SPEC: &[Flag] = &[
    value(&["bundle", "b"], "DIR", "Where to write it (the working directory)"),
    switch(&["rootless"], "For a container without privilege"),
];

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "create",
        arguments: "ID",
        help: "Make a container, which then waits to be started",
        flags: &[MAKING, HELP],
    },
    Verb { name: "start", arguments: "ID", help: "Start what was created", flags: &[HELP] },
    Verb {
        name: "run",
        arguments: "ID",
        help: "Make a container, start it, and wait for its end",
        flags: &[MAKING, RUN, HELP],
    },
    Verb { name: "state", arguments: "ID", help: "Print the state of a container as JSON", flags: &[HELP] },
    Verb {
        name: "kill",
        arguments: "ID [SIGNAL]",
        help: "Send a signal, SIGTERM if none is named, to the first process",
        flags: &[KILL, HELP],
    },
    Verb {
        name: "delete",
        arguments: "ID",
        help: "Take away what there is of a container that has stopped",
        flags: &[DELETE, HELP],
    },
    Verb { name: "list", arguments: "", help: "Print the containers below --root", flags: &[LIST, HELP] },
    Verb {
        name: "exec",
        arguments: "ID [COMMAND [ARG…]]",
        help: "Run a further process in a container",
        flags: &[EXEC, HELP],
    },
    Verb {
        name: "ps",
        arguments: "ID [OPTION…]",
        help: "Print the processes of a container; the options are those of ps",
        flags: &[PS, HELP],
    },
    Verb { name: "pause", arguments: "ID", help: "Freeze the processes of a container", flags: &[HELP] },
    Verb { name: "resume", arguments: "ID", help: "Let them go on", flags: &[HELP] },
    Verb {
        name: "update",
        arguments: "ID",
        help: "Change the limits of a container",
        flags: &[UPDATE, HELP],
    },
    Verb {
        name: "events",
        arguments: "ID",
        help: "Print what a container uses, and when its memory runs out, as JSON",
        flags: &[EVENTS, HELP],
    },
    Verb { name: "spec", arguments: "", help: "Write a config.json to begin with", flags: &[SPEC, HELP] },
    Verb { name: "features", arguments: "", help: "Print what this runtime can do, as JSON", flags: &[HELP] },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_flag() {
        let tables = VERBS.iter().map(|verb| (verb.name, verb.flags().collect::<Vec<_>>()));
        for (verb, flags) in tables.chain([("", GLOBALS.iter().collect())]) {
            let mut names: Vec<_> = flags.iter().flat_map(|flag| flag.names).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{verb}");
            assert!(flags.iter().all(|flag| flag.names[0].len() > 1 && !flag.help.is_empty()), "{verb}");
        }
    }

    #[test]
    fn help_is_a_line() {
        for line in VERBS.iter().map(|verb| verb.help).chain(GLOBALS.iter().map(|flag| flag.help)) {
            assert!(!line.contains('\n') && !line.ends_with('.') && line.len() < 100, "{line}");
        }
    }
}

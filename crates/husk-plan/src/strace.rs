// SPDX-License-Identifier: Apache-2.0
//! The system calls of a step, written as `strace(1)` would print them. What is a number only at run time, such as a file
//! descriptor, stands as `<what it is>`.

use std::ffi::{CStr, CString};
use std::fmt::Write;

use husk_init::{Attach, Cover, Exec, Filesystem, FsOption, Hook, Propagation, Source, Step};
use husk_seccomp::FilterFlags;
use husk_spec::{Capabilities, IdMapping, NamespaceKind, Resource};
use rustix::thread::{CapabilitySet, UnshareFlags};

use crate::explain::treatment;
use crate::plan::{Action, CLONE_FLAGS, HostStep, IdMaps, TreeMaps};

const BENEATH: &str = "{flags=O_PATH|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24";
/// A copy of a mount, attached nowhere.
const CLONE: &str = "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC";

/// One byte that lets the child go on.
const GO: &str = "sendto(<link>, \"G\", 1, MSG_NOSIGNAL, NULL, 0)";
const OF_PROC: &str = "RESOLVE_NO_XDEV|RESOLVE_NO_MAGICLINKS|RESOLVE_BENEATH";

/// The calls named `name` that `action` makes, in order. A call that depends on what is found on the way, such as those that
/// make the directories above a mount point, is given once. Empty if the step has none of that name.
pub fn calls(action: &Action<'_>, name: &str) -> Vec<String> {
    let is_of = |call: &String| call.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
    // `ioctl(TIOCGPTPEER)` is named with its request.
    let request = name.strip_prefix("ioctl(").and_then(|rest| rest.strip_suffix(')'));
    all_calls(action)
        .into_iter()
        .filter(|call| is_of(call) || request.is_some_and(|r| call.contains(&format!(", {r}"))))
        .collect()
}

/// All calls that `action` makes, in order, as [`calls`] gives those of one name.
pub fn all_calls(action: &Action<'_>) -> Vec<String> {
    match action {
        Action::Host(step) => of_host(step),
        Action::Child(step) => of_child(step),
        Action::Seen(_) => Vec::new(),
    }
}

fn of_host(step: &HostStep<'_>) -> Vec<String> {
    match step {
        HostStep::ClaimIds(_) => vec![
            "socket(AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC, 0)".to_owned(),
            "bind(<socket>, {sa_family=AF_UNIX, sun_path=@\"husk/ids/<first>\"}, …)".to_owned(),
        ],
        HostStep::Join { kind, path } => vec![
            "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)".to_owned(),
            format!("open({}, O_RDONLY|O_CLOEXEC)", quoted(path)),
            format!("setns(<{}>, {})", text(path), namespace_flag(*kind)),
        ],
        HostStep::OpenCgroupNamespace { path } => {
            vec![format!("open({}, O_RDONLY|O_CLOEXEC)", quoted(path))]
        }
        HostStep::OomScoreAdj(value) => vec![
            "openat(AT_FDCWD, \"/proc/self/oom_score_adj\", O_WRONLY|O_CLOEXEC)".to_owned(),
            format!("write(</proc/self/oom_score_adj>, {}, {})", quoted(value), value.to_bytes().len()),
        ],
        HostStep::Processors(processors) => vec![processors_call(processors)],
        HostStep::OpenRoot { path, .. } => {
            vec![format!("open({}, O_PATH|O_DIRECTORY|O_CLOEXEC)", quoted(path))]
        }
        HostStep::PrepareTree { source, recursive, propagation, .. } => {
            let flag = if *recursive { "|AT_RECURSIVE" } else { "" };
            vec![
                format!("open_tree(AT_FDCWD, {}, OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC{flag})", quoted(source)),
                format!(
                    "mount_setattr(<copy>, \"\", AT_EMPTY_PATH{flag}, {{propagation={}}}, 32)",
                    propagation_flag(*propagation)
                ),
            ]
        }
        HostStep::MakeCgroup { path, .. } => vec![format!("mkdirat(AT_FDCWD, {}, 0755)", quoted(path))],
        HostStep::StartScope { unit, user, .. } => start_unit(unit, *user),
        HostStep::EnterScope { unit, .. } => {
            let seat = ["mkdirat(AT_FDCWD, <in the scope>, 0755)", "write(<its cgroup.procs>, \"0\", 1)"];
            start_unit(unit, true).into_iter().chain(seat.map(str::to_owned)).collect()
        }
        HostStep::AttachToScope { unit } => vec![
            format!("write(<socket>, AttachProcessesToUnit({}, …), …)", quoted(unit)),
            "read(<socket>, …)".to_owned(),
        ],
        HostStep::LimitCgroup { limits } => text(limits)
            .split(", ")
            .filter_map(|limit| limit.split_once(' '))
            .map(|(file, value)| format!("write(<{file}>, {value:?}, {})", value.len()))
            .collect(),
        HostStep::LimitDevices { .. } => {
            ["write(<devices.deny or devices.allow>, …)", "bpf(BPF_PROG_ATTACH, …)"]
                .map(str::to_owned)
                .to_vec()
        }
        HostStep::Clone { namespaces } => vec![format!(
            "clone3({{flags={}, pidfd=<pidfd>, exit_signal=SIGCHLD, stack=NULL, stack_size=0}}, 88)",
            joined(std::iter::once("CLONE_PIDFD").chain(namespace_flags(*namespaces)))
        )],
        HostStep::MapIds(maps) => map_ids(maps),
        HostStep::OwnPipes { .. } => vec!["fchown(<pipe>, <user outside>, <group outside>)".to_owned()],
        HostStep::MapTree { number, through, recursive } => map_tree(*number, through, *recursive),
        HostStep::MoveDevice { name, .. } => {
            let name = quoted(name);
            [
                "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE)".to_owned(),
                "netlink(RTM_GETLINK, …)".to_owned(),
                "netlink(RTM_GETADDR, …)".to_owned(),
                format!("netlink(RTM_NEWLINK, {{IFLA_NET_NS_FD=<the container's>, IFLA_IFNAME={name}}})"),
                "setns(<the container's network namespace>, CLONE_NEWNET)".to_owned(),
                "netlink(RTM_NEWADDR, <each address>)".to_owned(),
                "netlink(RTM_NEWLINK, {ifi_flags=IFF_UP})".to_owned(),
            ]
            .to_vec()
        }
        HostStep::PrepareResourceGroup(group) => {
            let mut calls = Vec::new();
            if group.make || group.make_monitor && group.monitor.is_some() {
                calls.push("mkdirat(AT_FDCWD, <the group>, 0755)".to_owned());
            }
            if let Some(schemata) = group.schemata {
                let length = schemata.to_bytes().len();
                calls.push("openat(AT_FDCWD, <its schemata>, O_WRONLY|O_CLOEXEC)".to_owned());
                calls.push(format!("write(<its schemata>, {}, {length})", quoted(schemata)));
            }
            calls.push("open(<its tasks>, O_WRONLY|O_CLOEXEC)".to_owned());
            calls
        }
        HostStep::JoinResourceGroup => vec!["write(<its tasks>, \"PID\\n\", …)".to_owned()],
        HostStep::Release => vec![GO.to_owned()],
        HostStep::HandOverCgroup => vec!["sendmsg(<link>, {…SCM_RIGHTS, <tasks>…}, MSG_NOSIGNAL)".to_owned()],
        HostStep::SweepCgroups => vec!["getdents64(<the directory above>, …)".to_owned()],
        HostStep::Hooks | HostStep::Commit => {
            vec!["recvmsg(<link>, …, MSG_CMSG_CLOEXEC)".to_owned(), GO.to_owned()]
        }
        HostStep::Guard => vec![
            "clone3({flags=CLONE_PIDFD, pidfd=<pidfd>, exit_signal=SIGCHLD, stack=NULL, stack_size=0}, 88)"
                .to_owned(),
        ],
    }
}

fn map_tree(number: usize, through: &TreeMaps<'_>, recursive: bool) -> Vec<String> {
    let (path, of) = match through {
        TreeMaps::Joined(path) => (text(path), text(path)),
        TreeMaps::Container => {
            ("/proc/<pid>/ns/user".to_owned(), "the container's user namespace".to_owned())
        }
        TreeMaps::Own { .. } => ("/proc/<pid>/ns/user".to_owned(), "a user namespace for it".to_owned()),
    };
    let mut calls = Vec::new();
    if let TreeMaps::Own { uids, gids } = *through {
        calls.push("clone3({flags=CLONE_NEWUSER|CLONE_PIDFD, exit_signal=SIGCHLD}, 88)".to_owned());
        calls.extend(map_ids(&IdMaps::Written { uids, gids, deny_setgroups: false }));
    }
    let flag = if recursive { "|AT_RECURSIVE" } else { "" };
    calls.push(format!("open({path:?}, O_RDONLY|O_CLOEXEC)"));
    calls.push(format!(
        "mount_setattr(<tree {number}>, \"\", AT_EMPTY_PATH{flag}, {{attr_set=MOUNT_ATTR_IDMAP, userns_fd=<{of}>}}, 32)"
    ));
    calls
}

fn start_unit(unit: &CStr, user: bool) -> Vec<String> {
    let bus = if user { "the user's bus" } else { "/run/dbus/system_bus_socket" };
    vec![
        format!("connect(<socket>, {bus}, …)"),
        format!("write(<socket>, StartTransientUnit({}, …), …)", quoted(unit)),
        "read(<socket>, JobRemoved(…), …)".to_owned(),
    ]
}

fn map_ids(maps: &IdMaps<'_>) -> Vec<String> {
    let write = |file: &str, text: &str| format!("write(</proc/PID/{file}>, {text:?}, {})", text.len());
    let (uids, gids, deny) = match maps {
        IdMaps::Claimed { count } => {
            // How many bytes that is depends on which are claimed.
            let write = |file: &str| format!("write(</proc/PID/{file}>, \"0 <claimed> {count}\\n\", …)");
            return vec![write("uid_map"), write("gid_map")];
        }
        IdMaps::Written { uids, gids, deny_setgroups } => (uids, gids, *deny_setgroups),
        IdMaps::ByHelpers { .. } => return Vec::new(),
    };
    let deny = deny.then(|| write("setgroups", "deny"));
    deny.into_iter().chain([write("uid_map", &map(uids)), write("gid_map", &map(gids))]).collect()
}

fn map(map: &[IdMapping]) -> String {
    map.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{} {} {}", line.inside, line.outside, line.count);
        text
    })
}

fn of_child(step: &Step<'_>) -> Vec<String> {
    match step {
        Step::DieWithParent => vec![
            "prctl(PR_SET_PDEATHSIG, SIGKILL)".to_owned(),
            "recvfrom(<link>, …, 1, MSG_PEEK|MSG_DONTWAIT, NULL, NULL)".to_owned(),
        ],
        Step::AwaitParent => vec!["recvfrom(<link>, …, 1, 0, NULL, NULL)".to_owned()],
        Step::TellMounted => vec!["sendmsg(<link>, …, MSG_NOSIGNAL)".to_owned()],
        Step::Pause | Step::AwaitHooks | Step::AwaitCommit => {
            ["sendmsg(<link>, …, MSG_NOSIGNAL)", "recvfrom(<link>, …, 1, 0, NULL, NULL)"]
                .map(str::to_owned)
                .to_vec()
        }
        Step::EnterCgroup => vec!["write(<tasks>, \"0\", 1)".to_owned()],
        Step::AwaitCgroup => {
            ["recvmsg(<link>, …, MSG_CMSG_CLOEXEC)", "write(<tasks>, \"0\", 1)"].map(str::to_owned).to_vec()
        }
        Step::JoinCgroupNamespace => vec!["setns(<cgroup namespace>, CLONE_NEWCGROUP)".to_owned()],
        Step::Namespaces(namespaces) => {
            vec![format!("unshare({})", joined(namespace_flags(*namespaces).into_iter()))]
        }
        Step::CgroupNamespace => vec!["unshare(CLONE_NEWCGROUP)".to_owned()],
        Step::MountAttributes { target, attributes: changed } => {
            vec![beneath(target), attributes("<place>", changed.set, Some(changed.clear), false)]
        }
        Step::TimeNamespace { offsets } => {
            let length = offsets.to_bytes().len();
            vec![
                "unshare(CLONE_NEWTIME)".to_owned(),
                format!(
                    "openat2(</proc>, \"self/timens_offsets\", {{flags=O_WRONLY|O_CLOEXEC, resolve={OF_PROC}}}, 24)"
                ),
                format!("write(</proc/self/timens_offsets>, {}, {length})", quoted(offsets)),
                "openat(</proc>, \"self/ns/time_for_children\", O_CLOEXEC)".to_owned(),
                "setns(</proc/self/ns/time_for_children>, CLONE_NEWTIME)".to_owned(),
            ]
        }
        Step::BeOpaque => vec!["prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)".to_owned()],
        Step::LoopbackUp => vec![
            "socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP)".to_owned(),
            "ioctl(<socket>, SIOCSIFFLAGS, {ifr_name=\"lo\", ifr_flags=IFF_UP|IFF_RUNNING})".to_owned(),
        ],
        Step::Hostname(name) => {
            vec![format!("sethostname({}, {})", quoted(name), name.to_bytes().len())]
        }
        Step::Domainname(name) => {
            vec![format!("setdomainname({}, {})", quoted(name), name.to_bytes().len())]
        }
        Step::Propagation(propagation) => vec![root_propagation(*propagation, true)],
        Step::RootPropagation { propagation, recursive } => vec![root_propagation(*propagation, *recursive)],
        Step::ApparmorProfile { file, word } => written_in_proc(&text(file), word),
        Step::SelinuxLabel(label) => written_in_proc("self/attr/exec", label),
        Step::KeyLabel(label) => written_in_proc("self/attr/keycreate", label),
        Step::Processors(processors) => vec![processors_call(processors)],
        Step::Scheduler(attr) => vec![format!(
            "sched_setattr(0, {{size=56, sched_policy={}, sched_flags={:#x}, sched_nice={}, sched_priority={}, \
             sched_runtime={}, sched_deadline={}, sched_period={}}}, 0)",
            treatment::policy_name(attr.policy),
            attr.flags,
            attr.nice,
            attr.priority,
            attr.runtime,
            attr.deadline,
            attr.period
        )],
        Step::IoPriority { class, level } => {
            vec![format!("ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE({class}, {level}))")]
        }
        Step::MemoryPolicy { mode, nodes } => {
            let (name, bits) = (treatment::memory_mode(*mode), nodes.len() * 64 + 1);
            let nodes = match nodes {
                [] => "NULL".to_owned(),
                nodes => format!("[{}]", treatment::numbers(nodes)),
            };
            vec![format!("set_mempolicy({name}, {nodes}, {bits})")]
        }
        Step::Personality(domain) => vec![format!("personality({})", treatment::domain(*domain))],
        Step::Keyring(name) => vec![format!("keyctl(KEYCTL_JOIN_SESSION_KEYRING, {})", quoted(name))],
        Step::Hook(hook) => of_hook(hook),
        Step::FindCommand(exec) => exec
            .candidates
            .iter()
            .map(|path| format!("faccessat2(AT_FDCWD, {}, X_OK, AT_EACCESS)", quoted(path)))
            .collect(),
        Step::ForgetParent => vec!["prctl(PR_SET_PDEATHSIG, 0)".to_owned()],
        Step::AwaitStart { first } => vec![
            format!("close_range({first}, 4294967295, 0) but for <start> and <state>"),
            "rt_sigprocmask(SIG_SETMASK, [HUP INT QUIT USR1 USR2 TERM], …, 8)".to_owned(),
            "signalfd4(-1, [HUP INT QUIT USR1 USR2 TERM], 8, SFD_CLOEXEC|SFD_NONBLOCK)".to_owned(),
            "ppoll([<start>, <signals>], 2, NULL, NULL, 0)".to_owned(),
            "accept4(<start>, NULL, NULL, SOCK_CLOEXEC)".to_owned(),
            "recvfrom(<starter>, …, 1, 0, NULL, NULL)".to_owned(),
        ],
        Step::OwnTerminal { uid } => vec![format!("fchown(<terminal>, {uid}, -1)")],
        Step::Scratch { filesystem, mode } => {
            let mut calls = new_filesystem(filesystem);
            calls
                .extend(["lower", "upper", "work"].map(|name| format!("mkdirat(<scratch>, {name:?}, 0755)")));
            calls.push("openat(<scratch>, \"upper\", O_CLOEXEC)".to_owned());
            calls.push(format!("fchmod(<upper>, {})", octal(*mode)));
            calls
        }
        Step::Lower(source) => {
            let mut calls = copied(source, true);
            calls.push("move_mount(<scratch>, \"\", AT_FDCWD, \"/\", MOVE_MOUNT_F_EMPTY_PATH)".to_owned());
            calls.push(format!("openat2(<scratch>, \"lower\", {BENEATH})"));
            calls.push(attach("<copy>"));
            calls
        }
        Step::Overlay(filesystem) => {
            let mut calls = vec!["fchdir(<scratch>)".to_owned()];
            calls.extend(new_filesystem(filesystem));
            calls
        }
        Step::DetachScratch => vec!["umount2(\"/\", MNT_DETACH)".to_owned()],
        Step::OverlayRoot => vec![over_root("<overlay>")],
        Step::Root { source, recursive, attach } => {
            let mut calls = copied(source, *recursive);
            calls.extend(match attach {
                Attach::OverRoot => Some(over_root("<root>")),
                Attach::At(path) => Some(format!(
                    "move_mount(<root>, \"\", AT_FDCWD, {}, MOVE_MOUNT_F_EMPTY_PATH)",
                    quoted(path)
                )),
                Attach::Nowhere => None,
            });
            calls
        }
        Step::CurrentRoot => vec!["open(\"/\", O_PATH|O_DIRECTORY|O_CLOEXEC)".to_owned()],
        Step::RootAttributes(set) => vec![attributes("<root>", *set, None, false)],
        Step::MakeDirectory { path, mode } => {
            vec![above(path), format!("mkdirat(<above>, {}, {})", base(path), octal(*mode))]
        }
        Step::MakeFile { path } => vec![
            above(path),
            format!("openat(<above>, {}, O_RDONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0644)", base(path)),
        ],
        Step::Symlink { path, to } => {
            vec![above(path), format!("symlinkat({}, <above>, {})", quoted(to), base(path))]
        }
        Step::MakeNode { path, mode, device, owner } => {
            let mut calls = vec![
                above(path),
                format!(
                    "mknodat(<above>, {}, {}, makedev({}, {}))",
                    base(path),
                    octal(*mode),
                    rustix::fs::major(*device),
                    rustix::fs::minor(*device)
                ),
            ];
            calls.extend(owner.map(|(uid, gid)| {
                format!("fchownat(<above>, {}, {uid}, {gid}, AT_SYMLINK_NOFOLLOW)", base(path))
            }));
            calls
        }
        Step::Mount { filesystem, target, cover, propagation } => {
            let mut calls = match cover {
                Cover::NoLink => vec![beneath(target).replace("O_PATH", "O_PATH|O_NOFOLLOW")],
                _ => vec![beneath(target)],
            };
            calls.extend(look_for_proc(target));
            calls.extend(new_filesystem(filesystem));
            if let Cover::KeepMode | Cover::CopyUp { keep_mode: true } = cover {
                let (context, at) = (text(filesystem.kind), calls.len() - filesystem.options.len() - 3);
                let mode = "\"mode\", <mode of the place>";
                calls.insert(at, format!("fsconfig(<{context}>, FSCONFIG_SET_STRING, {mode}, 0)"));
            }
            if let Cover::CopyUp { .. } = cover {
                calls.push("sendfile(<each file of the copy>, <each file>, NULL, 1073741824)".to_owned());
            }
            calls.extend(mount_propagation("<mount>", propagation));
            calls.push(attach("<mount>"));
            calls
        }
        Step::MountByText { kind, source, options, attributes, target, propagation } => {
            let flags = joined(attributes.iter_names().map(|(name, _)| name)).replace("MOUNT_ATTR_", "MS_");
            let (kind, source, options) = (quoted(kind), quoted(source), quoted(options));
            let mut calls = vec![beneath(target)];
            calls.extend(look_for_proc(target));
            calls.extend([
                "fchdir(<place>)".to_owned(),
                format!("mount({source}, \".\", {kind}, {flags}, {options})"),
                "chdir(\"/\")".to_owned(),
            ]);
            calls.extend(mount_propagation("<place>", propagation));
            calls
        }
        Step::Reconfigure { target, options } => {
            let mut calls =
                vec![beneath(target), "fspick(<place>, \"\", FSPICK_CLOEXEC|FSPICK_EMPTY_PATH)".to_owned()];
            calls.extend(configured("<place>", options));
            calls.push("fsconfig(<place>, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)".to_owned());
            calls
        }
        Step::Bind { source, target, recursive, attributes: top, recursive_attributes, propagation } => {
            let mut calls = copied(source, *recursive);
            for (changed, recursive) in [(recursive_attributes, *recursive), (top, false)] {
                if !changed.is_none() {
                    calls.push(attributes("<copy>", changed.set, Some(changed.clear), recursive));
                }
            }
            calls.extend(mount_propagation("<copy>", propagation));
            if let (false, [(_, false), ..]) = (top.is_none(), *propagation) {
                in_one_call(&mut calls, propagation.len());
            }
            calls.push(beneath(target));
            calls.extend(look_for_proc(target));
            calls.push(attach("<copy>"));
            calls
        }
        Step::Sysctl { path, value } => vec![
            format!(
                "openat2(</proc/sys>, {}, {{flags=O_WRONLY|O_CLOEXEC, resolve={OF_PROC}}}, 24)",
                quoted(path)
            ),
            format!("write(</proc/sys/{}>, {}, {})", text(path), quoted(value), value.to_bytes().len()),
        ],
        Step::OpenProc => {
            vec!["open(\"/proc\", O_PATH|O_DIRECTORY|O_CLOEXEC)".to_owned(), "fstatfs(</proc>, …)".to_owned()]
        }
        Step::Mask { path } => {
            let empty = [("size", "0"), ("nr_inodes", "1")].map(|(key, value)| {
                format!("fsconfig(<tmpfs>, FSCONFIG_SET_STRING, \"{key}\", \"{value}\", 0)")
            });
            let mut calls = vec![
                beneath(path),
                format!("open_tree(AT_FDCWD, \"/dev/null\", {CLONE})"),
                "mount_setattr(<null>, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NOEXEC}, 32)"
                    .to_owned(),
                format!("open_tree(<empty>, \"\", {CLONE}|AT_EMPTY_PATH)"),
                "fsopen(\"tmpfs\", FSOPEN_CLOEXEC)".to_owned(),
                "fsconfig(<tmpfs>, FSCONFIG_SET_STRING, \"source\", \"masked\", 0)".to_owned(),
            ];
            calls.extend(empty);
            calls.push("fsconfig(<tmpfs>, FSCONFIG_CMD_CREATE, NULL, NULL, 0)".to_owned());
            let flags = "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC";
            calls.push(format!("fsmount(<tmpfs>, FSMOUNT_CLOEXEC, {flags})"));
            calls.push(attach("<what hides it>"));
            calls
        }
        Step::ReadOnly { path, recursive } => vec![
            beneath(path),
            "open_tree(<place>, \"\", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE)"
                .to_owned(),
            format!(
                "mount_setattr(<copy>, \"\", AT_EMPTY_PATH{}, {{attr_set=MOUNT_ATTR_RDONLY}}, 32)",
                if *recursive { "|AT_RECURSIVE" } else { "" }
            ),
            attach("<copy>"),
        ],
        Step::OpenTerminal { .. } => vec![
            "openat2(<root>, \"dev/pts/ptmx\", {flags=O_RDWR|O_NOCTTY|O_CLOEXEC, \
             resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24)"
                .to_owned(),
            "ioctl(<master>, TIOCSPTLCK, [0])".to_owned(),
            "ioctl(<master>, TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC)".to_owned(),
            "ioctl(<terminal>, TCSETS2, <the settings of husk's terminal>)".to_owned(),
            "ioctl(<terminal>, TIOCSWINSZ, <the size of husk's terminal>)".to_owned(),
        ],
        Step::PivotRoot => vec!["fchdir(<root>)".to_owned(), "pivot_root(\".\", \".\")".to_owned()],
        Step::DetachOldRoot => vec!["umount2(\".\", MNT_DETACH)".to_owned(), "chdir(\"/\")".to_owned()],
        Step::Chroot => {
            vec!["fchdir(<root>)".to_owned(), "chroot(\".\")".to_owned(), "chdir(\"/\")".to_owned()]
        }
        Step::BecomeInit => vec![
            "clone3({flags=CLONE_PIDFD, pidfd=<pidfd>, exit_signal=SIGCHLD, stack=NULL, stack_size=0}, 88)"
                .to_owned(),
        ],
        Step::NewSession => vec!["setsid()".to_owned()],
        Step::ControllingTerminal => vec!["ioctl(<terminal>, TIOCSCTTY, 0)".to_owned()],
        Step::TerminalStdio { which } => (0..3)
            .zip(which)
            .filter(|(_, on)| **on)
            .map(|(number, _)| duplicate("terminal", number))
            .collect(),
        Step::OwnPipes { uid, gid } => vec![format!("fchown(<pipe>, {uid}, {gid})")],
        Step::Rlimit { resource, soft, hard } => {
            let value = |v: &Option<u64>| v.map_or("RLIM64_INFINITY".to_owned(), |v| v.to_string());
            let name = Resource::all().nth(*resource as usize).map_or("?", Resource::name).to_uppercase();
            let (soft, hard) = (value(soft), value(hard));
            vec![format!("prlimit64(0, RLIMIT_{name}, {{rlim_cur={soft}, rlim_max={hard}}}, NULL)")]
        }
        Step::Umask(mask) => vec![format!("umask(0{mask:02o})")],
        Step::WorkingDirectory(path) => vec![
            "open(\"/\", O_PATH|O_DIRECTORY|O_CLOEXEC)".to_owned(),
            format!(
                "openat2(</>, {}, {{flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}}, 24)",
                quoted(path)
            ),
            format!("fchdir(<{}>)", text(path)),
            "getcwd(…, 4097)".to_owned(),
        ],

        Step::BoundingSet(_) => vec!["prctl(PR_CAPBSET_DROP, <each that is not kept>)".to_owned()],
        Step::KeepCapabilities => vec!["prctl(PR_SET_KEEPCAPS, 1)".to_owned()],
        Step::Groups(groups) => vec![format!("setgroups({}, {groups:?})", groups.len())],
        Step::Gid(id) => vec![format!("setresgid({id}, {id}, {id})")],
        Step::Uid(id) => vec![format!("setresuid({id}, {id}, {id})")],
        Step::Capabilities(sets) => {
            let [effective, permitted, inheritable] =
                [sets.effective, sets.permitted, sets.inheritable].map(capability_bits);
            let mut calls = vec![
                "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)".to_owned(),
                format!(
                    "capset({{version=_LINUX_CAPABILITY_VERSION_3, pid=0}}, {{effective={effective}, permitted={permitted}, inheritable={inheritable}}})"
                ),
            ];
            if !sets.ambient.is_empty() {
                calls.push("prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, <each>, 0, 0)".to_owned());
            }
            calls
        }
        Step::NoNewPrivileges => vec!["prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)".to_owned()],
        Step::Verify(_) => [
            "capget({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, …)",
            "geteuid()",
            "getegid()",
            "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, <each>, 0, 0)",
            "prctl(PR_CAPBSET_READ, <each>)",
            "prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)",
            "getuid()",
            "geteuid()",
            "getgid()",
            "getegid()",
        ]
        .map(str::to_owned)
        .to_vec(),
        Step::ResetSignals => {
            vec![
                "rt_sigaction(<each>, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8)".to_owned(),
                "rt_sigprocmask(SIG_SETMASK, [], …, 8)".to_owned(),
            ]
        }
        Step::CloseDescriptors { first } => {
            vec![format!("close_range({first}, 4294967295, CLOSE_RANGE_CLOEXEC)")]
        }
        Step::Seccomp(filter) => {
            let mut calls = vec![format!(
                "seccomp(SECCOMP_SET_MODE_FILTER, {}, {{len={}, filter=…}})",
                filter_flags(filter.flags),
                filter.instructions.len()
            )];
            if filter.flags & FilterFlags::NEW_LISTENER.bits() != 0 {
                calls.push(
                    "sendmsg(<link>, {…, cmsg_type=SCM_RIGHTS, cmsg_data=[<listener>]}, MSG_NOSIGNAL)"
                        .to_owned(),
                );
            }
            calls
        }
        Step::Exec(exec) => execs(exec),
    }
}

/// The calls of the container's process and, from the clone on, of the hook's.
fn of_hook(hook: &Hook<'_>) -> Vec<String> {
    let begin = [
        "lseek(<state>, 0, SEEK_SET)",
        "pipe2(…, O_CLOEXEC)",
        "pipe2(…, O_CLOEXEC)",
        "clone3({flags=CLONE_PIDFD, pidfd=<pidfd>, exit_signal=SIGCHLD, stack=NULL, stack_size=0}, 88)",
    ];
    let mut calls = begin.map(str::to_owned).to_vec();
    calls.push(format!("umask(0{:02o})", hook.umask));
    calls.extend([("state", 0), ("words", 1), ("words", 2)].map(|(from, number)| duplicate(from, number)));
    calls.extend(of_child(&Step::CloseDescriptors { first: 3 }));
    calls.extend(of_child(&Step::ResetSignals));
    calls.extend(execs(&hook.exec));
    calls.push("waitid(P_PIDFD, <hook>, …, WEXITED)".to_owned());
    calls
}

/// Newer architectures have only the call with flags.
fn duplicate(from: &str, number: usize) -> String {
    match cfg!(target_arch = "x86_64") {
        true => format!("dup2(<{from}>, {number})"),
        false => format!("dup3(<{from}>, {number}, 0)"),
    }
}

fn filter_flags(flags: u32) -> String {
    let names = [
        (FilterFlags::LOG, "SECCOMP_FILTER_FLAG_LOG"),
        (FilterFlags::SPEC_ALLOW, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
        (FilterFlags::NEW_LISTENER, "SECCOMP_FILTER_FLAG_NEW_LISTENER"),
        (FilterFlags::WAIT_KILLABLE_RECV, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"),
    ];
    joined(names.into_iter().filter(|(flag, _)| flags & flag.bits() != 0).map(|(_, name)| name))
}

fn written_in_proc(file: &str, value: &CStr) -> Vec<String> {
    vec![
        format!("openat2(</proc>, \"{file}\", {{flags=O_WRONLY|O_CLOEXEC, resolve={OF_PROC}}}, 24)"),
        format!("write(</proc/{file}>, {}, {})", quoted(value), value.to_bytes().len()),
    ]
}

fn processors_call(processors: &[u64]) -> String {
    format!("sched_setaffinity(0, {}, [{}])", size_of_val(processors), treatment::numbers(processors))
}

fn root_propagation(propagation: Propagation, recursive: bool) -> String {
    let flag = if recursive { "|AT_RECURSIVE" } else { "" };
    let to = propagation_flag(propagation);
    format!("mount_setattr(AT_FDCWD, \"/\", AT_EMPTY_PATH{flag}, {{propagation={to}}}, 32)")
}

fn mount_propagation(mount: &str, propagation: &[(Propagation, bool)]) -> Vec<String> {
    let call = |(to, recursive): &(Propagation, bool)| {
        let (flag, to) = (if *recursive { "|AT_RECURSIVE" } else { "" }, propagation_flag(*to));
        format!("mount_setattr({mount}, \"\", AT_EMPTY_PATH{flag}, {{propagation={to}}}, 32)")
    };
    propagation.iter().map(call).collect()
}

/// Of the calls, the last `count` of which set propagations, makes the one before these and the first of these one.
fn in_one_call(calls: &mut Vec<String>, count: usize) {
    let first = calls.len() - count;
    let propagation = calls.remove(first);
    if let Some((_, change)) = propagation.split_once('{') {
        calls[first - 1] = calls[first - 1].replace("}, 32)", &format!(", {change}"));
    }
}

/// One `execve` for each place where the command may be. Of the environment only the size: it may hold what is nobody's
/// business.
fn execs(exec: &Exec<'_>) -> Vec<String> {
    let arguments: Vec<_> = exec.arguments.iter().map(quoted).collect();
    let (arguments, variables) = (arguments.join(", "), exec.environment.iter().count());
    exec.candidates
        .iter()
        .map(|path| format!("execve({}, [{arguments}], <environment> /* {variables} vars */)", quoted(path)))
        .collect()
}

fn new_filesystem(filesystem: &Filesystem<'_>) -> Vec<String> {
    let context = format!("<{}>", text(filesystem.kind));
    let mut calls = vec![
        format!("fsopen({}, FSOPEN_CLOEXEC)", quoted(filesystem.kind)),
        format!("fsconfig({context}, FSCONFIG_SET_STRING, \"source\", {}, 0)", quoted(filesystem.source)),
    ];
    calls.extend(configured(&context, filesystem.options));
    calls.push(format!("fsconfig({context}, FSCONFIG_CMD_CREATE, NULL, NULL, 0)"));
    let flags = joined(filesystem.attributes.iter_names().map(|(name, _)| name));
    calls.push(format!("fsmount({context}, FSMOUNT_CLOEXEC, {flags})"));
    calls
}

fn configured(context: &str, options: &[FsOption<'_>]) -> Vec<String> {
    let call = |option: &FsOption<'_>| match option.value {
        Some(value) => {
            format!("fsconfig({context}, FSCONFIG_SET_STRING, {}, {}, 0)", quoted(option.key), quoted(value))
        }
        None => format!("fsconfig({context}, FSCONFIG_SET_FLAG, {}, NULL, 0)", quoted(option.key)),
    };
    options.iter().map(call).collect()
}

fn copied(source: &Source<'_>, recursive: bool) -> Vec<String> {
    let flag = if recursive { "|AT_RECURSIVE" } else { "" };
    match source {
        Source::Host(path) => {
            vec![format!("open_tree(AT_FDCWD, {}, OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC{flag})", quoted(path))]
        }
        Source::Terminal => {
            vec![format!(
                "open_tree(<terminal>, \"\", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH{flag})"
            )]
        }
        Source::Prepared(_) => Vec::new(),
    }
}

fn attributes(
    mount: &str,
    set: rustix::mount::MountAttrFlags,
    clear: Option<rustix::mount::MountAttrFlags>,
    recursive: bool,
) -> String {
    let names = |flags: rustix::mount::MountAttrFlags| joined(flags.iter_names().map(|(name, _)| name));
    let clear = clear.filter(|flags| !flags.is_empty());
    let clear = clear.map_or(String::new(), |flags| format!(", attr_clr={}", names(flags)));
    let flag = if recursive { "|AT_RECURSIVE" } else { "" };
    format!("mount_setattr({mount}, \"\", AT_EMPTY_PATH{flag}, {{attr_set={}{clear}}}, 32)", names(set))
}

/// A set of capabilities.
fn capability_bits(set: CapabilitySet) -> String {
    let names: Vec<String> = Capabilities::from_bits(set.bits())
        .iter()
        .map(|capability| format!("1<<{}", capability.name()))
        .collect();
    joined(names.iter().map(String::as_str))
}

/// What makes sure that nothing but `/proc` is mounted in a proc.
fn look_for_proc(target: &CStr) -> Option<String> {
    let is_in_proc = target == c"/proc" || target.to_bytes().starts_with(b"/proc/");
    (!is_in_proc).then(|| "fstatfs(<place>, …)".to_owned())
}

fn over_root(mount: &str) -> String {
    format!("move_mount({mount}, \"\", AT_FDCWD, \"/\", MOVE_MOUNT_F_EMPTY_PATH)")
}

fn attach(mount: &str) -> String {
    format!("move_mount({mount}, \"\", <place>, \"\", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)")
}

/// The last name of a path, which is what the call is given with the directory that it is in.
fn base(path: &CStr) -> String {
    let bytes = path.to_bytes();
    let start = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    format!("\"{}\"", String::from_utf8_lossy(&bytes[start..]).escape_debug().to_string().replace("\\'", "'"))
}

/// Opening the directory in which `path` is.
fn above(path: &CStr) -> String {
    let bytes = path.to_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let above = CString::new(if slash == 0 { b"/" } else { &bytes[..slash] }).unwrap_or_default();
    beneath(&above).replace("O_PATH|", "O_PATH|O_DIRECTORY|")
}

fn beneath(path: &CStr) -> String {
    format!("openat2(<root>, {}, {BENEATH})", quoted(path))
}

fn namespace_flags(flags: UnshareFlags) -> Vec<&'static str> {
    let wanted = CLONE_FLAGS.into_iter().filter(|(_, flag)| flags.contains(*flag));
    wanted.map(|(kind, _)| namespace_flag(kind)).collect()
}

fn namespace_flag(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::User => "CLONE_NEWUSER",
        NamespaceKind::Mount => "CLONE_NEWNS",
        NamespaceKind::Pid => "CLONE_NEWPID",
        NamespaceKind::Network => "CLONE_NEWNET",
        NamespaceKind::Ipc => "CLONE_NEWIPC",
        NamespaceKind::Uts => "CLONE_NEWUTS",
        NamespaceKind::Cgroup => "CLONE_NEWCGROUP",
        NamespaceKind::Time => "CLONE_NEWTIME",
    }
}

fn propagation_flag(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Shared => "MS_SHARED",
        Propagation::Slave => "MS_SLAVE",
        Propagation::Private => "MS_PRIVATE",
        Propagation::Unbindable => "MS_UNBINDABLE",
    }
}

fn octal(mode: u32) -> String {
    format!("0{mode:o}")
}

fn joined<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}

/// In quotes, with nothing in it that moves a cursor.
fn quoted(string: &CStr) -> String {
    format!("\"{}\"", string.to_string_lossy().escape_debug().to_string().replace("\\'", "'"))
}

fn text(string: &CStr) -> String {
    string.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use husk_init::Attributes;

    use super::*;

    #[test]
    fn calls_look_as_strace_prints_them() {
        let namespaces = UnshareFlags::NEWUSER | UnshareFlags::NEWPID;
        let clone = Action::Host(HostStep::Clone { namespaces });
        let expected = "clone3({flags=CLONE_PIDFD|CLONE_NEWUSER|CLONE_NEWPID, pidfd=<pidfd>, exit_signal=SIGCHLD, stack=NULL, stack_size=0}, 88)";
        assert_eq!(calls(&clone, "clone3"), [expected]);
        assert_eq!(calls(&clone, "clone"), [""; 0], "a name is a whole word");
        let name = Action::Child(Step::Hostname(c"it's\x1b"));
        assert_eq!(calls(&name, "sethostname"), ["sethostname(\"it's\\u{1b}\", 5)"]);
        let up = Action::Child(Step::LoopbackUp);
        assert_eq!(calls(&up, "ioctl(SIOCSIFFLAGS)").len(), 1);
        let umask = Action::Child(Step::MakeDirectory { path: c"/a", mode: 0o755 });
        assert_eq!(calls(&umask, "mkdirat"), ["mkdirat(<above>, \"a\", 0755)"]);
        let node =
            Action::Child(Step::MakeNode { path: c"/dev/x", mode: 0o20666, device: 0x103, owner: None });
        assert!(
            calls(&node, "openat2")[0].starts_with("openat2(<root>, \"/dev\", {flags=O_PATH|O_DIRECTORY|")
        );
        assert_eq!(calls(&node, "mknodat"), ["mknodat(<above>, \"x\", 020666, makedev(1, 3))"]);
    }

    #[test]
    fn a_hook_is_made_ready_as_a_command_is() {
        let arena = crate::Arena::new();
        let strings = arena.string_array(&[c"true"]);
        let exec = Exec { candidates: &[c"/bin/true"], arguments: strings, environment: strings };
        let hook = Action::Child(Step::Hook(Hook { exec, state: 0, timeout: None, umask: 0o022 }));
        let calls = all_calls(&hook);
        let names: Vec<_> = calls.iter().filter_map(|call| call.split('(').next()).collect();
        // As strace(1) has seen it.
        let dup = if cfg!(target_arch = "x86_64") { "dup2" } else { "dup3" };
        let parent = ["lseek", "pipe2", "pipe2", "clone3"];
        let hooks = ["umask", dup, dup, dup, "close_range", "rt_sigaction", "rt_sigprocmask", "execve"];
        assert_eq!(names, [&parent[..], &hooks, &["waitid"]].concat());
    }

    #[test]
    fn attributes_and_the_first_propagation_are_set_in_one_call() {
        let set = rustix::mount::MountAttrFlags::MOUNT_ATTR_RDONLY;
        let attributes = Attributes { set, clear: rustix::mount::MountAttrFlags::empty() };
        let bind = |propagation| {
            let recursive_attributes = Attributes { set: attributes.clear, ..attributes };
            let (source, target) = (Source::Host(c"/a"), c"/b");
            let recursive = true;
            Action::Child(Step::Bind {
                source,
                target,
                recursive,
                attributes,
                recursive_attributes,
                propagation,
            })
        };
        let ro = "mount_setattr(<copy>, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY";
        let private = "mount_setattr(<copy>, \"\", AT_EMPTY_PATH|AT_RECURSIVE, {propagation=MS_PRIVATE}, 32)";
        const OWN: (Propagation, bool) = (Propagation::Private, false);
        const ALL: (Propagation, bool) = (Propagation::Private, true);
        assert_eq!(
            calls(&bind(const { &[OWN] }), "mount_setattr"),
            [format!("{ro}, propagation=MS_PRIVATE}}, 32)")]
        );
        assert_eq!(
            calls(&bind(const { &[OWN, ALL] }), "mount_setattr"),
            [format!("{ro}, propagation=MS_PRIVATE}}, 32)"), private.to_owned()]
        );
        assert_eq!(
            calls(&bind(const { &[ALL] }), "mount_setattr"),
            [format!("{ro}}}, 32)"), private.to_owned()]
        );
    }

    #[test]
    fn a_file_system_is_configured_option_by_option() {
        let options = [FsOption { key: c"size", value: Some(c"64k") }];
        let attributes = rustix::mount::MountAttrFlags::MOUNT_ATTR_NOSUID;
        let filesystem = Filesystem { kind: c"tmpfs", source: c"none", options: &options, attributes };
        let mount = Action::Child(Step::Mount {
            filesystem,
            target: c"/tmp",
            cover: Cover::KeepMode,
            propagation: &[],
        });
        assert_eq!(calls(&mount, "fsconfig").len(), 4);
        assert_eq!(calls(&mount, "fsmount"), ["fsmount(<tmpfs>, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID)"]);
    }
}

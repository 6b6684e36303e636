// SPDX-License-Identifier: Apache-2.0
//! What each step is in the shell: util-linux 2.38, coreutils 9.1 and bash 5.2, as Debian 12 has them.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;

use husk_init::{
    Attributes, Cover, Exec, Filesystem, FsOption, Hook, ProcessCapabilities, Propagation, Source, Step,
};
use husk_spec::{Capabilities, IdMapping, MountFlags, NamespaceKind, Resource};
use rustix::mount::MountAttrFlags;
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::quote::{quote, quote_all};
use super::{Grade, cgroup, treatment};
use crate::plan::{Action, CLONE_FLAGS, CgroupPlan, Claim, HostStep, IdMaps, Plan, PlannedStep, Stage};
use crate::seen::Seen;

/// Where in the script a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: there is nothing to type.
    Nowhere,
    /// First of all, in a process that stays outside and removes what it has made; of a scope, the first in it.
    Cgroup,
    /// An option of systemd-run.
    Scope,
    /// Before the namespaces, in a mount namespace that only keeps what is prepared out of the host's sight.
    Outside,
    /// An option of nsenter.
    Nsenter,
    /// An option of unshare.
    Unshare,
    /// Beside the new user namespace, on the host.
    Maps,
    /// In the new namespaces.
    Inside,
    /// The word `setsid` before the command.
    Setsid,
    /// An option of env before the command.
    Env,
    /// An option of prlimit before the command.
    Prlimit,
    /// An option of setpriv before the command.
    Setpriv,
    /// Beside the first process, when that has given up its rights.
    Roots,
    /// There too, when the container's root is the root.
    NewRoot,
    /// In the first process, as long as it has the host's root.
    Descriptors,
    /// In the first process, at its end.
    Finish,
}

/// A step in the shell, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) code: String,
    pub(super) grade: Grade,
    pub(super) remark: String,
    pub(super) differs: Option<&'static str>,
    /// The line in full, where `code` calls a function of the script.
    pub(super) in_full: Option<String>,
}

impl Piece {
    pub(super) fn new(place: Place, code: impl Into<String>) -> Self {
        let (code, remark) = (code.into(), String::new());
        Self { place, code, grade: Grade::Same, remark, differs: None, in_full: None }
    }

    /// Done without a word of its own.
    pub(super) fn done(remark: &str) -> Self {
        Self { remark: remark.to_owned(), ..Self::new(Place::Nowhere, "") }
    }

    pub(super) fn impossible(key: &'static str, why: impl Into<String>) -> Self {
        let piece = Self::new(Place::Nowhere, "");
        Self { grade: Grade::Impossible, remark: why.into(), differs: Some(key), ..piece }
    }

    pub(super) fn weaker(self, key: &'static str, how: impl Into<String>) -> Self {
        Self { grade: Grade::Weaker, remark: how.into(), differs: Some(key), ..self }
    }

    pub(super) fn in_full(self, line: String) -> Self {
        Self { in_full: Some(line), ..self }
    }

    /// With `word` for the container's root, where that is not mounted by the script.
    fn with_root(self, word: &str) -> Self {
        let replaced = |code: String| if word == ROOT { code } else { code.replace(ROOT, word) };
        Self { code: replaced(self.code), in_full: self.in_full.map(replaced), ..self }
    }

    /// What a person would type.
    pub(super) fn shown(&self) -> String {
        let code = &self.code;
        match (&self.in_full, self.place) {
            (Some(line), _) => line.clone(),
            (None, Place::Scope) => format!("systemd-run {code} …"),
            (None, Place::Nsenter) => format!("nsenter {code} …"),
            (None, Place::Unshare) => format!("unshare {code} …"),
            (None, Place::Env) => format!("env {code} …"),
            (None, Place::Prlimit) => format!("prlimit {code} …"),
            (None, Place::Setpriv) => format!("setpriv {code} …"),
            (None, Place::Setsid) => format!("{code} …"),
            (None, _) => code.replace('\n', "; "),
        }
    }
}

/// Where the script mounts the container's root.
const ROOT: &str = "\"$root\"";

/// How the command comes to its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// By `pivot_root(8)`, which a process beside it runs.
    Pivot,
    /// By `chroot(1)`, the last program of the host's.
    Chroot,
    /// By `nsenter(1)` into a mount namespace, the last program of the host's.
    Mount(&'a CStr),
    /// Not at all: its root is that of the mount namespace as it came to be.
    Stay,
}

impl Entry<'_> {
    /// The capabilities that the last program of the host's needs, and the command then has too.
    fn needs(self) -> CapabilitySet {
        match self {
            Self::Pivot | Self::Stay => CapabilitySet::empty(),
            Self::Chroot => CapabilitySet::SYS_CHROOT,
            Self::Mount(_) => CapabilitySet::SYS_CHROOT | CapabilitySet::SYS_ADMIN,
        }
    }
}

/// What the translation of one step has to know of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) entry: Entry<'a>,
    pub(super) maps: Option<IdMaps<'a>>,
    pub(super) joins_user: bool,
    /// Whether groups are set on the way into the namespaces.
    pub(super) sets_groups: bool,
    pub(super) terminal: bool,
    pub(super) init: bool,
    /// The command's user and group.
    pub(super) ids: (u32, u32),
    /// A root that is a directory of the mount namespace as it came to be.
    pub(super) root: Option<&'a CStr>,
    /// Whether the script makes its caller root inside, where the maps that were read back have no root of the caller's.
    one_id: bool,
}

impl<'a> Context<'a> {
    pub(super) fn of(plan: &Plan<'a>) -> Self {
        let mut context = Self {
            entry: Entry::Stay,
            maps: None,
            joins_user: false,
            sets_groups: false,
            terminal: false,
            init: false,
            ids: (0, 0),
            root: None,
            one_id: false,
        };
        for step in &plan.steps {
            match step.action {
                Action::Host(HostStep::Join { kind: NamespaceKind::Mount, path }) => {
                    context.entry = Entry::Mount(path);
                }
                Action::Host(HostStep::Join { kind: NamespaceKind::User, .. }) => context.joins_user = true,
                Action::Host(HostStep::MapIds(maps)) => context.maps = Some(maps),
                Action::Child(Step::Groups(_)) => context.sets_groups |= step.stage == Stage::Namespaces,
                Action::Child(Step::Chroot) => context.entry = Entry::Chroot,
                Action::Child(Step::OpenTerminal { .. }) | Action::Seen(Seen::Console) => {
                    context.terminal = true
                }
                Action::Child(Step::BecomeInit) => context.init = true,
                Action::Child(Step::Uid(uid)) if step.stage == Stage::Identity => context.ids.0 = uid,
                Action::Child(Step::Gid(gid)) if step.stage == Stage::Identity => context.ids.1 = gid,
                Action::Child(Step::PivotRoot) => context.entry = Entry::Pivot,
                Action::Seen(Seen::ChangeRoot { path }) => {
                    context.root = Some(path);
                    if context.entry == Entry::Stay {
                        context.entry = Entry::Chroot;
                    }
                }
                Action::Seen(Seen::ForeignMaps { uids, .. }) => {
                    context.one_id = matches!(uids, [IdMapping { count: 1, .. }]);
                    context.maps = Some(IdMaps::Claimed { count: uids.iter().map(|map| map.count).sum() });
                }
                Action::Seen(Seen::NoMaps) => context.one_id = true,
                _ => {}
            }
        }
        context
    }

    /// Whether unshare itself can write the id maps: the caller's own ids become root's, and no others.
    pub(super) fn maps_root_alone(&self) -> bool {
        if self.one_id {
            return true;
        }
        let alone = |map: &[IdMapping]| matches!(map, [IdMapping { inside: 0, count: 1, .. }]);
        matches!(self.maps, Some(IdMaps::Written { uids, gids, deny_setgroups: true }) if alone(uids) && alone(gids))
    }

    /// The container's root as a word of the script, before it is the root.
    pub(super) fn root_word(&self) -> String {
        match (self.entry, self.root) {
            (Entry::Stay, _) => String::new(),
            (Entry::Chroot, Some(path)) => text(path),
            _ => ROOT.to_owned(),
        }
    }

    /// Whether the maps are written from beside.
    pub(super) fn maps_by_hand(&self) -> bool {
        self.maps.is_some() && !self.maps_root_alone()
    }
}

/// The steps of `plan` in the shell.
pub(super) fn pieces(plan: &Plan<'_>) -> Vec<Piece> {
    let context = Context::of(plan);
    let piece = |step: &PlannedStep<'_>| match &step.action {
        Action::Host(host) => host_piece(&context, host),
        Action::Child(child) => child_piece(&context, step.stage, child),
        Action::Seen(seen) => super::seen::piece(&context, seen),
    };
    let piece = |step: &PlannedStep<'_>| cgroup::piece(plan, &step.action).unwrap_or_else(|| piece(step));
    let finished = |step| with_callers_cgroup(plan, step, piece(step)).with_root(&context.root_word());
    plan.steps.iter().map(finished).collect()
}

/// A cgroup of the container's that is shown in it: the script makes none, so it shows those of the caller.
fn with_callers_cgroup(plan: &Plan<'_>, step: &PlannedStep<'_>, piece: Piece) -> Piece {
    let source = match step.action {
        Action::Host(HostStep::PrepareTree { source, .. })
        | Action::Child(Step::Bind { source: Source::Host(source), .. }) => source.to_bytes(),
        _ => return piece,
    };
    let mut directories =
        plan.cgroup.iter().filter_map(CgroupPlan::place).flat_map(husk_cgroup::Place::directories);
    let shown = directories.find(|directory| directory.path.as_os_str().as_bytes() == source);
    let Some(directory) = shown else { return piece };
    let (own, all) = (quote(source), quote(directory.mount.as_os_str().as_bytes()));
    let replaced = |code: String| code.replacen(&own, &all, 2);
    Piece { code: replaced(piece.code.clone()), in_full: piece.in_full.clone().map(replaced), ..piece }
        .weaker("cgroup", "all cgroups of the machine are shown, since the container has none of its own")
}

fn host_piece(context: &Context<'_>, step: &HostStep<'_>) -> Piece {
    match step {
        HostStep::ClaimIds(claim) => unclaimed(claim),
        HostStep::Join { kind: NamespaceKind::Mount, path } => {
            Piece::done("the last program before the command does it")
                .in_full(format!("nsenter --mount={} …", text(path)))
        }
        HostStep::Join { kind: NamespaceKind::User, path } if !context.sets_groups => {
            Piece::new(Place::Nsenter, format!("--user={} --preserve-credentials", text(path)))
        }
        HostStep::Join { kind, path } => {
            Piece::new(Place::Nsenter, format!("--{}={}", long_option(*kind), text(path)))
        }
        HostStep::OpenCgroupNamespace { path } => {
            Piece::new(Place::Nsenter, format!("--cgroup={}", text(path)))
        }
        HostStep::OomScoreAdj(value) => {
            Piece::new(Place::Inside, format!("echo {} >/proc/self/oom_score_adj", text(value)))
        }
        HostStep::Processors(processors) => treatment::processors(Place::Outside, processors),
        HostStep::OpenRoot { .. } => Piece::done("a script enters no container"),
        HostStep::PrepareTree { number, source, recursive, .. } => prepare(*number, source, *recursive),
        HostStep::Clone { namespaces } => match options(*namespaces) {
            none if none.is_empty() => Piece::done("the command of nsenter is that process"),
            some => Piece::new(Place::Unshare, some.join(" ")),
        },
        HostStep::MapIds(maps) => map_ids(context, maps),
        HostStep::OwnPipes { uid, gid } => own_pipes(*uid, *gid),
        HostStep::MapTree { .. } => Piece::impossible(
            "idmapped",
            "idmapped mounts need util-linux 2.39 (mount -o X-mount.idmap): the files show the owners that they have \
             on the host",
        ),
        HostStep::PrepareResourceGroup(_) | HostStep::JoinResourceGroup => {
            Piece::impossible("resource-group", "nothing would take the resource group away again")
        }
        HostStep::MoveDevice { .. } => {
            Piece::impossible("net-devices", "a network device that has moved would not come back by itself")
        }
        HostStep::Release if context.maps.is_none() => Piece::done("a script does it all in one"),
        HostStep::Release if context.maps_root_alone() => Piece::done("unshare goes on by itself"),
        HostStep::Release => Piece::new(Place::Maps, "echo go"),
        HostStep::EnterScope { .. }
        | HostStep::MakeCgroup { .. }
        | HostStep::StartScope { .. }
        | HostStep::AttachToScope { .. }
        | HostStep::LimitCgroup { .. }
        | HostStep::LimitDevices { .. }
        | HostStep::HandOverCgroup => Piece::impossible(
            "cgroup",
            "the script leaves its processes in the caller's cgroups, without limits",
        ),
        HostStep::SweepCgroups => Piece::done("a script makes none"),
        HostStep::Hooks => Piece::impossible("hooks", "hooks on the host are not part of the script"),
        HostStep::Commit => Piece::done("a script keeps no state"),
        HostStep::Guard => Piece::impossible(
            "guard",
            "a script that is killed takes only processes along that have not changed their user, and leaves an empty \
             directory in /tmp",
        ),
    }
}

fn unclaimed(claim: &Claim<'_>) -> Piece {
    Piece::impossible(
        "id-map",
        format!(
            "without idmapped mounts the files would belong to nobody, so the container's ids 0 to {} are the host's \
             own: its root has root's files, though not root's capabilities",
            claim.count - 1
        ),
    )
}

fn prepare(number: usize, source: &CStr, recursive: bool) -> Piece {
    let bind = bind_option(recursive);
    let (source, tree) = (text(source), format!("\"$work\"/tree{number}"));
    let mount = format!("mount {bind} {source} {tree}");
    Piece::new(Place::Outside, format!("place {source} {tree}\n{mount}")).in_full(mount)
}

fn map_ids(context: &Context<'_>, maps: &IdMaps<'_>) -> Piece {
    match maps {
        IdMaps::Claimed { count } => {
            let map = format!("0 0 {count}");
            Piece::new(Place::Maps, write_maps(&map, &map, false))
                .weaker("id-map", "the ids inside are mapped to the same ids outside")
        }
        IdMaps::Written { .. } if context.maps_root_alone() => Piece::new(Place::Unshare, "--map-root-user"),
        IdMaps::Written { uids, gids, deny_setgroups } => {
            let text = |map: &[IdMapping]| map.iter().map(map_line).collect::<Vec<_>>().join(r"\n");
            Piece::new(Place::Maps, write_maps(&text(uids), &text(gids), *deny_setgroups))
        }
        IdMaps::ByHelpers { uids, gids, helpers } => {
            let line = |helper: &CStr, map: &[IdMapping]| {
                let ranges: Vec<_> = map.iter().map(map_line).collect();
                format!("{} \"$pid\" {}", text(helper), ranges.join(" "))
            };
            Piece::new(Place::Maps, format!("{}\n{}", line(helpers[0], uids), line(helpers[1], gids)))
        }
    }
}

pub(super) fn map_line(map: &IdMapping) -> String {
    format!("{} {} {}", map.inside, map.outside, map.count)
}

pub(super) fn write_maps(uids: &str, gids: &str, deny_setgroups: bool) -> String {
    let deny = if deny_setgroups { "echo deny >/proc/$pid/setgroups\n" } else { "" };
    format!("{deny}printf '{uids}\\n' >/proc/$pid/uid_map\nprintf '{gids}\\n' >/proc/$pid/gid_map")
}

fn child_piece(context: &Context<'_>, stage: Stage, step: &Step<'_>) -> Piece {
    match step {
        Step::Pause => Piece::done("a script does not wait"),
        Step::DieWithParent if stage == Stage::Confine => Piece::new(Place::Setpriv, "--pdeathsig KILL"),
        Step::DieWithParent => Piece::new(Place::Unshare, "--kill-child"),
        Step::AwaitParent if context.maps.is_none() => Piece::done("a script does it all in one"),
        Step::AwaitParent if context.maps_root_alone() => Piece::done("unshare has written the maps itself"),
        Step::AwaitParent => Piece::done("the inside part waits for a line from the outside part")
            .in_full("read -r _ <&3".to_owned()),
        Step::EnterCgroup | Step::AwaitCgroup => Piece::impossible(
            "cgroup",
            "the script leaves its processes in the caller's cgroups, without limits",
        ),
        Step::Namespaces(namespaces) => Piece::new(Place::Unshare, options(*namespaces).join(" ")),
        Step::CgroupNamespace => Piece::new(Place::Unshare, "--cgroup"),
        Step::JoinCgroupNamespace => Piece::done("nsenter has entered it"),
        Step::TimeNamespace { offsets } => time_namespace(&offsets.to_string_lossy()),
        Step::BeOpaque => Piece::impossible(
            "traceable",
            "no program sets PR_SET_DUMPABLE: until the command runs, /proc/1/exe is the host's bash",
        ),
        Step::LoopbackUp => Piece::new(Place::Inside, "ip link set lo up"),
        Step::Hostname(name) => Piece::new(Place::Inside, format!("hostname {}", text(name))),
        Step::Domainname(name) => {
            Piece::new(Place::Inside, format!("printf %s {} >/proc/sys/kernel/domainname", text(name)))
        }
        Step::Propagation(propagation) => {
            // Said to unshare, which makes them private otherwise, before anything can be slave.
            Piece::new(Place::Unshare, format!("--propagation {}", propagation_word(*propagation)))
                .in_full(format!("mount --make-r{} /", propagation_word(*propagation)))
        }
        Step::OpenProc => Piece::done("the host's /proc is in sight until the root changes"),
        Step::Sysctl { path, value } => {
            let file = format!("/proc/sys/{}", path.to_string_lossy());
            Piece::new(Place::Inside, format!("printf %s {} >{}", text(value), quote(file.as_bytes())))
        }
        Step::Groups(_) | Step::Gid(_) | Step::Uid(_) if stage == Stage::Namespaces => taken_ids(context),
        step if stage <= Stage::Mounts => tree_piece(step),
        step => process_piece(context, step),
    }
}

fn taken_ids(context: &Context<'_>) -> Piece {
    if context.joins_user {
        Piece::done("nsenter does")
    } else {
        Piece::done("the caller's own id is 0 inside")
    }
}

/// util-linux 2.38 takes whole seconds.
fn time_namespace(offsets: &str) -> Piece {
    let mut options = vec!["--time".to_owned()];
    let mut rounded = false;
    for line in offsets.lines() {
        let mut words = line.split(' ');
        if let (Some(clock), Some(seconds)) = (words.next(), words.next()) {
            options.push(format!("--{clock}={seconds}"));
            rounded |= words.next().is_some_and(|nanoseconds| nanoseconds != "0");
        }
    }
    let piece = Piece::new(Place::Unshare, options.join(" "));
    if rounded { piece.weaker("clocks", "unshare takes whole seconds") } else { piece }
}

/// The steps that make the container's file tree.
fn tree_piece(step: &Step<'_>) -> Piece {
    let inside = |code: String| Piece::new(Place::Inside, code);
    match step {
        Step::Umask(mask) => inside(format!("umask {mask:03o}")),
        Step::Scratch { filesystem, mode } => inside(format!(
            "{}\nmkdir \"$work\"/scratch/{{lower,upper,work}}\nchmod {mode:04o} \"$work\"/scratch/upper",
            mount(filesystem, "\"$work\"/scratch")
        )),
        Step::Lower(source) => inside(format!("mount --rbind {} \"$work\"/scratch/lower", tree(source))),
        Step::Overlay(filesystem) => {
            inside(format!("cd \"$work\"/scratch\n{}\ncd /", mount(filesystem, "\"$root\"")))
        }
        Step::DetachScratch => inside("umount -l \"$work\"/scratch".to_owned()),
        Step::OverlayRoot => Piece::done("it is mounted there already").weaker("hostile-paths", HOSTILE),
        Step::Root { source, recursive, .. } => {
            inside(format!("mount {} {} \"$root\"", bind_option(*recursive), tree(source)))
                .weaker("hostile-paths", HOSTILE)
        }
        Step::CurrentRoot => Piece::done("the command finds it when it gets there"),
        Step::MakeDirectory { path, mode } => inside(format!("mkdir -p -m {mode:o} {}", below(path))),
        Step::MakeFile { path } if *path == c"/dev/console" => no_terminal(),
        Step::MakeFile { path } => inside(format!("[ -e {0} ] || : >{0}", below(path))),
        Step::Symlink { path, to } => inside(format!("ln -sT {} {}", text(to), below(path))),
        Step::MakeNode { path, mode, device, owner } => make_node(path, *mode, *device, *owner),
        Step::AwaitHooks => Piece::impossible("hooks", "hooks on the host are not part of the script"),
        Step::Hook(hook) => {
            inside(hook_line(hook)).weaker("hooks", "without the container's state on standard input")
        }
        Step::Mount { filesystem, target, cover, propagation } => {
            let piece = covering(mount(filesystem, &below(target)), target, *cover);
            let piece = Piece { code: piece.code + &make_propagation(propagation, target), ..piece };
            if filesystem.attributes.contains(MountAttrFlags::MOUNT_ATTR_RDONLY) {
                return piece.weaker(
                    "superblock",
                    "the file system itself becomes read-only, not this mount of it alone",
                );
            }
            piece
        }
        Step::MountByText { kind, source, options, attributes, target, propagation } => {
            let mut words: Vec<_> = MountFlags::set(*attributes).options();
            let options = options.to_string_lossy();
            words.push(&options);
            let (kind, words) = (text(kind), quote(words.join(",").as_bytes()));
            let line = format!("mount -t {kind} -o {words} {} {}", text(source), below(target));
            inside(line + &make_propagation(propagation, target))
        }
        Step::Reconfigure { target, options } => {
            let words: Vec<_> = options.iter().map(option).collect();
            inside(format!("mount -o remount,{} {}", quote(&words.join(&b","[..])), below(target)))
        }
        Step::Bind { source: Source::Terminal, .. } | Step::OpenTerminal { .. } => no_terminal(),
        Step::Bind { source, target, recursive, attributes, recursive_attributes, propagation } => {
            let flags = |attributes: &Attributes| MountFlags { set: attributes.set, clear: attributes.clear };
            let mut piece = bind(source, target, *recursive, flags(recursive_attributes));
            let words = flags(attributes).options().join(",");
            if !words.is_empty() {
                piece.code += &format!("\nmount -o remount,bind,{words} {}", below(target));
            }
            piece.code += &make_propagation(propagation, target);
            piece
        }
        Step::MountAttributes { target, attributes } => {
            let words = MountFlags { set: attributes.set, clear: attributes.clear }.options().join(",");
            inside(format!("mount -o remount,bind,{words} {}", below(target)))
        }
        Step::Mask { path } => inside(format!("mask {}", below(path))).in_full(format!(
            "if [ -d {0} ]; then {EMPTY} {0}; mount -o remount,bind,ro {0}\n\
             else mount --bind /dev/null {0}; mount -o remount,bind,ro,nosuid,noexec {0}; fi",
            below(path)
        )),
        Step::ReadOnly { path, recursive: false } => inside(format!(
            "if [ -e {0} ]; then mount --rbind {0} {0}; mount -o remount,bind,ro {0}; fi",
            below(path)
        )),
        Step::ReadOnly { path, recursive: true } => inside(format!("read_only {}", below(path)))
            .in_full(format!("mount --rbind {0} {0}; mount -o remount,bind,ro {0}", below(path))),
        _ => Piece::impossible("unknown", "husk has no words for it"),
    }
}

/// 3 and 4 lead to what changes the root, and are closed after that.
const CLOSE_DESCRIPTORS: &str =
    "for fd in /proc/self/fd/*; do fd=${fd##*/}; if ((fd > 4)); then exec {fd}>&-; fi; done";

const HOSTILE: &str = "from here on, paths in the root are looked up as the host sees them: a symbolic link in it can lead \
                       out";

/// What covers a directory that is hidden.
pub(super) const EMPTY: &str = "mount -t tmpfs -o nosuid,nodev,noexec,size=0,nr_inodes=1 masked";

pub(super) fn no_terminal() -> Piece {
    Piece::impossible(
        "terminal",
        "no program makes a terminal in the container's /dev/pts: the command has the caller's, and can type into it",
    )
}

fn make_node(path: &CStr, mode: u32, device: u64, owner: Option<(u32, u32)>) -> Piece {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let kind = match mode & 0o170_000 {
        0o060_000 => format!("b {major} {minor}"),
        0o010_000 => "p".to_owned(),
        _ => format!("c {major} {minor}"),
    };
    let mut line = format!("mknod -m {:o} {} {kind}", mode & 0o7777, below(path));
    if let Some((uid, gid)) = owner {
        line += &format!("\nchown {uid}:{gid} {}", below(path));
    }
    Piece::new(Place::Inside, line)
}

fn make_propagation(propagation: &[(Propagation, bool)], target: &CStr) -> String {
    let line = |(to, recursive): &(Propagation, bool)| {
        let all = if *recursive { "r" } else { "" };
        format!("\nmount --make-{all}{} {}", propagation_word(*to), below(target))
    };
    propagation.iter().map(line).collect()
}

/// The line of a mount, with what it has to do with the directory that it covers.
fn covering(line: String, target: &CStr, cover: Cover) -> Piece {
    let target = below(target);
    let keep = |mode: bool| if mode { format!("\nchmod \"$mode\" {target}") } else { String::new() };
    match cover {
        Cover::Any => Piece::new(Place::Inside, line),
        Cover::NoLink => Piece::new(Place::Inside, format!("[ ! -L {target} ]\n{line}")),
        Cover::KeepMode => {
            Piece::new(Place::Inside, format!("mode=$(stat -c %a {target})\n{line}{}", keep(true)))
        }
        Cover::CopyUp { keep_mode } => Piece::new(
            Place::Inside,
            format!(
                "mode=$(stat -c %a {target})\nexec 9<{target}\n{line}\ncp -a /proc/self/fd/9/. {target}\nexec 9<&-{}",
                keep(keep_mode)
            ),
        ),
    }
}

fn option(option: &FsOption<'_>) -> Vec<u8> {
    match option.value {
        Some(value) => [option.key.to_bytes(), b"=", value.to_bytes()].concat(),
        None => option.key.to_bytes().to_vec(),
    }
}

fn hook_line(hook: &Hook<'_>) -> String {
    let words = quote_all(hook.exec.arguments.iter().skip(1).map(CStr::to_bytes));
    let environment = quote_all(hook.exec.environment.iter().map(CStr::to_bytes));
    let timeout = hook.timeout.map_or(String::new(), |seconds| format!("timeout -s KILL {seconds} "));
    format!("{timeout}env -i {environment} {} {words} </dev/null", text(hook.exec.candidates[0]))
}

fn bind(source: &Source<'_>, target: &CStr, recursive: bool, flags: MountFlags) -> Piece {
    // What was prepared has no more below it than it should.
    let all = recursive || matches!(source, Source::Prepared(_));
    let target = below(target);
    let mount = format!("mount {} {} {target}", bind_option(all), tree(source));
    let words = flags.options().join(",");
    if words.is_empty() {
        return Piece::new(Place::Inside, mount);
    }
    let remount = format!("mount -o remount,bind,{words} {target}");
    if !recursive {
        return Piece::new(Place::Inside, format!("{mount}\n{remount}"));
    }
    Piece::new(Place::Inside, format!("{mount}\nattributes {words} {target}"))
        .in_full(format!("{mount}; {remount} (and each mount below it)"))
}

/// The steps that make the process what it is.
fn process_piece(context: &Context<'_>, step: &Step<'_>) -> Piece {
    match step {
        Step::RootAttributes(set) => {
            let words = MountFlags::set(*set).options().join(",");
            Piece::new(Place::Inside, format!("mount -o remount,bind,{words} \"$root\""))
        }
        Step::RootPropagation { propagation, recursive } => {
            let all = if *recursive { "r" } else { "" };
            let make = format!("mount -c --make-{all}{}", propagation_word(*propagation));
            match context.entry {
                Entry::Pivot => Piece::new(Place::NewRoot, format!("{make} .")).in_full(format!("{make} /")),
                _ => Piece::new(Place::Inside, format!("{make} \"$root\"")),
            }
        }
        Step::Processors(processors) => treatment::processors(Place::Inside, processors),
        Step::Scheduler(attr) => treatment::scheduler(attr),
        Step::IoPriority { class, level } => treatment::io_priority(*class, *level),
        Step::MemoryPolicy { mode, .. } => treatment::memory_policy(*mode),
        Step::Personality(domain) => treatment::personality(*domain),
        Step::ApparmorProfile { file, word } => {
            let file = file.to_string_lossy();
            treatment::attribute(file.strip_prefix("self/attr/").unwrap_or(&file), word)
        }
        Step::SelinuxLabel(label) => treatment::attribute("exec", label),
        Step::KeyLabel(_) => Piece::impossible("keyring", "the command has the caller's session keyring"),
        Step::Keyring(_) => Piece::impossible("keyring", "the command has the caller's session keyring"),
        Step::OwnTerminal { .. } => no_terminal(),
        Step::Hook(_) => Piece::impossible("hooks", "hooks right before the command are not part of the script"),
        Step::FindCommand(_) => Piece::done("bash says so when it executes the command"),
        Step::ForgetParent | Step::TellMounted | Step::AwaitCommit => Piece::done("the script itself becomes the command"),
        Step::AwaitStart { .. } => Piece::impossible("created", "a script does not wait to be started"),
        Step::PivotRoot => Piece::new(Place::Roots, "pivot_root . ."),
        Step::DetachOldRoot => Piece::new(Place::Roots, "umount -i -c -l ."),
        Step::Chroot => Piece::done("the last program before the command does it")
            .in_full("chroot \"$root\" …".to_owned()),
        Step::BecomeInit => Piece::done("bash stays as PID 1")
            .weaker("init", "bash stays as PID 1: it reaps, but forwards no signals, and is the host's file"),
        Step::NewSession if context.terminal => Piece::impossible(
            "session",
            "with the caller's terminal and a session of its own, the command would have no job control",
        ),
        Step::NewSession => Piece::new(Place::Setsid, "setsid"),
        Step::ControllingTerminal | Step::TerminalStdio { .. } => no_terminal(),
        Step::OwnPipes { uid, gid } => own_pipes(*uid, *gid),
        Step::Rlimit { resource, soft, hard } => {
            let value = |limit: &Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
            let name = Resource::all().nth(*resource as usize).map_or("?", Resource::name);
            Piece::new(Place::Prlimit, format!("--{name}={}:{}", value(soft), value(hard)))
        }
        Step::WorkingDirectory(path) => working_directory(context, path),
        Step::BoundingSet(set) => bounding_set(context, *set),
        Step::KeepCapabilities => Piece::done("setpriv does"),
        Step::Groups(_) | Step::Gid(_) | Step::Uid(_) => identity(context, step),
        Step::Capabilities(sets) => own_capabilities(sets),
        Step::Seccomp(_) => Piece::impossible("seccomp", "system calls are not filtered"),
        Step::NoNewPrivileges => Piece::new(Place::Setpriv, "--no-new-privs"),
        Step::Verify(_) => {
            Piece::done("").weaker("verify", "setpriv says whether each call worked; nothing is read back")
        }
        Step::Umask(mask) => Piece::new(Place::Finish, format!("umask {mask:03o}")),
        Step::ResetSignals => Piece::new(Place::Env, "--default-signal")
            .weaker(
            "signals",
            "what the caller blocks stays blocked; and 32 and 33, which the C library keeps for itself, stay ignored if they \
             were",
        ),
        Step::CloseDescriptors { first: 3 } => Piece::new(Place::Descriptors, CLOSE_DESCRIPTORS),
        Step::CloseDescriptors { .. } => Piece::impossible("descriptors", "the command has none but the standard ones"),
        Step::Exec(exec) => execute(context, exec),
        _ => Piece::impossible("unknown", "husk has no words for it"),
    }
}

fn own_pipes(uid: u32, gid: u32) -> Piece {
    // Without a redirection, whatever chown has to say: it would change the owner of what its output is redirected to.
    let fd = "/proc/self/fd/$fd";
    let line = format!("for fd in 0 1 2; do if [ -p {fd} ]; then chown -f {uid}:{gid} {fd} || :; fi; done");
    Piece::new(Place::Inside, line).weaker("named-pipes", "a pipe that has a name changes its owner as well")
}

pub(super) fn working_directory(context: &Context<'_>, path: &CStr) -> Piece {
    match context.entry {
        Entry::Pivot | Entry::Stay => {
            let piece = Piece::new(Place::Finish, format!("cd -- {}", text(path)));
            if context.ids.0 == 0 || path == c"/" {
                return piece;
            }
            piece.weaker("working-directory", "done as the command's user, who must be let in")
        }
        Entry::Chroot if path == c"/" => Piece::done("chroot does"),
        Entry::Chroot => {
            Piece::impossible("working-directory", "chroot(1) changes to / and executes the command there")
        }
        Entry::Mount(_) => Piece::done("nsenter does").in_full(format!("nsenter --wdns={} …", text(path))),
    }
}

fn bounding_set(context: &Context<'_>, set: CapabilitySet) -> Piece {
    let kept = set | context.entry.needs();
    let names = Capabilities::from_bits(kept.bits()).iter().map(|c| {
        let name = c.name().to_ascii_lowercase();
        format!(",+{}", name.trim_start_matches("cap_"))
    });
    let piece = Piece::new(Place::Setpriv, format!("--bounding-set=-all{}", names.collect::<String>()));
    if kept == set {
        return piece;
    }
    let extra = Capabilities::from_bits((kept - set).bits());
    piece.weaker(
        "capabilities",
        format!("keeps {extra} as well, which the last program of the host's needs to let the command in"),
    )
}

/// setpriv knows inheritable and ambient capabilities; the permitted and effective ones are what exec makes of the rest.
fn own_capabilities(sets: &ProcessCapabilities) -> Piece {
    let list = |set: CapabilitySet| {
        let names = Capabilities::from_bits(set.bits()).iter().map(|c| {
            let name = c.name().to_ascii_lowercase();
            format!(",+{}", name.trim_start_matches("cap_"))
        });
        format!("-all{}", names.collect::<String>())
    };
    let line = format!("--inh-caps={} --ambient-caps={}", list(sets.inheritable), list(sets.ambient));
    Piece::new(Place::Setpriv, line)
}

/// Who is root nowhere else may not chroot: then the last program changes the ids.
fn identity(context: &Context<'_>, step: &Step<'_>) -> Piece {
    let has_last = matches!(context.entry, Entry::Chroot | Entry::Mount(_));
    if has_last && context.ids.0 != 0 {
        return Piece::done("the last program before the command does it");
    }
    let option = match step {
        Step::Groups([]) => "--clear-groups".to_owned(),
        Step::Groups(groups) => {
            let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
            format!("--groups={}", groups.join(","))
        }
        Step::Gid(gid) => format!("--regid={gid}"),
        Step::Uid(uid) => format!("--reuid={uid}"),
        _ => String::new(),
    };
    Piece::new(Place::Setpriv, option)
}

fn execute(context: &Context<'_>, exec: &Exec<'_>) -> Piece {
    let words = quote_all(exec.arguments.iter().map(CStr::to_bytes));
    let piece = Piece::new(Place::Finish, words.clone()).in_full(format!("env -i … {words}"));
    let lost: Vec<_> = exec.environment.iter().filter_map(lost_variable).collect();
    match (context.entry, lost.is_empty()) {
        (_, false) => piece.weaker("environment", format!("bash keeps {} for itself", lost.join(", "))),
        (Entry::Pivot | Entry::Stay, true) => piece,
        (_, true) => piece.weaker(
            "last-program",
            "the command's variables are there already when the last program of the host's runs",
        ),
    }
}

/// The name of a variable that bash gives a meaning or a value of its own.
fn lost_variable(variable: &CStr) -> Option<String> {
    let (name, _) = split(variable);
    let name = String::from_utf8_lossy(name).into_owned();
    let own = [
        "DIRSTACK",
        "EPOCHREALTIME",
        "EPOCHSECONDS",
        "EUID",
        "FUNCNAME",
        "GROUPS",
        "HISTCMD",
        "LINENO",
        "PIPESTATUS",
        "PPID",
        "RANDOM",
        "SECONDS",
        "SHELLOPTS",
        "SHLVL",
        "SRANDOM",
        "UID",
        "_",
    ];
    (own.contains(&name.as_str()) || name.starts_with("BASH")).then_some(name)
}

/// The variables that bash can export, as `NAME=VALUE` words, and those whose names only env can give.
pub(super) fn environment(exec: &Exec<'_>) -> (Vec<String>, Vec<String>) {
    let is_name = |name: &[u8]| {
        name.first().is_some_and(|first| !first.is_ascii_digit())
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let kept = exec.environment.iter().filter(|variable| lost_variable(variable).is_none());
    let (named, odd): (Vec<&CStr>, Vec<&CStr>) = kept.partition(|variable| is_name(split(variable).0));
    let assignment = |variable: &CStr| {
        let (name, value) = split(variable);
        format!("{}={}", String::from_utf8_lossy(name), quote(value))
    };
    (
        named.into_iter().map(assignment).collect(),
        odd.into_iter().map(|variable| quote(variable.to_bytes())).collect(),
    )
}

fn split(variable: &CStr) -> (&[u8], &[u8]) {
    let bytes = variable.to_bytes();
    let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn mount(filesystem: &Filesystem<'_>, target: &str) -> String {
    let attributes = MountFlags::set(filesystem.attributes).options();
    let words: Vec<Vec<u8>> = attributes
        .into_iter()
        .map(|word| word.as_bytes().to_vec())
        .chain(filesystem.options.iter().map(option))
        .collect();
    let with =
        if words.is_empty() { String::new() } else { format!(" -o {}", quote(&words.join(&b","[..]))) };
    format!("mount -t {}{with} {} {target}", text(filesystem.kind), text(filesystem.source))
}

fn tree(source: &Source<'_>) -> String {
    match source {
        Source::Host(path) => text(path),
        Source::Prepared(number) => format!("\"$work\"/tree{number}"),
        Source::Terminal => "\"$(tty)\"".to_owned(),
    }
}

/// A path in the container's root.
pub(super) fn below(path: &CStr) -> String {
    let bytes = path.to_bytes();
    let slash = if bytes.starts_with(b"/") { "" } else { "/" };
    format!("\"$root\"{slash}{}", quote(bytes))
}

pub(super) fn text(string: &CStr) -> String {
    quote(string.to_bytes())
}

fn bind_option(recursive: bool) -> &'static str {
    if recursive { "--rbind" } else { "--bind" }
}

fn propagation_word(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Shared => "shared",
        Propagation::Slave => "slave",
        Propagation::Private => "private",
        Propagation::Unbindable => "unbindable",
    }
}

fn long_option(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Mount => "mount",
        kind => kind.file_name(),
    }
}

fn options(namespaces: UnshareFlags) -> Vec<String> {
    CLONE_FLAGS
        .into_iter()
        .filter(|(_, flag)| namespaces.contains(*flag))
        .map(|(kind, _)| format!("--{}", long_option(kind)))
        .collect()
}

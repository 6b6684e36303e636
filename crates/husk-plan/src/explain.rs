// SPDX-License-Identifier: Apache-2.0
//! The words: what each step of a plan does, and why, for a person.

use std::ffi::CStr;
use std::fmt;

use husk_init::{Filesystem, Propagation, Source, Step};
use husk_spec::{Capabilities, IdMapping, MountFlags, NamespaceKind, Resource};
use rustix::thread::{CapabilitySet, UnshareFlags};

use crate::plan::{Action, Actor, CLONE_FLAGS, HostStep, IdMaps, Plan, PlannedStep};

/// A plan in words, stage by stage.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'p> {
    /// The plan.
    pub plan: &'p Plan<'p>,
    /// Whether to set stages and origins apart by a terminal's escape sequences.
    pub colour: bool,
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bold, dim, off) = if self.colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let mut stage = None;
        for (number, step) in self.plan.steps.iter().enumerate() {
            if stage != Some(step.stage) {
                let gap = if stage.is_some() { "\n" } else { "" };
                writeln!(f, "{gap}{bold}{}{off}", step.stage.name())?;
                stage = Some(step.stage);
            }
            let (number, actor, sentence) = (number + 1, actor(step.actor()), sentence(&step.action));
            writeln!(f, "{number:4}  {actor:9}  {sentence}  {dim}[{}]{off}", step.origin)?;
        }
        for note in &self.plan.notes {
            writeln!(f, "\nnote: {}", note.what)?;
            if let Some(cure) = &note.cure {
                writeln!(f, "      {cure}")?;
            }
        }
        Ok(())
    }
}

/// The name of an actor, as explanations and errors have it.
pub fn actor(actor: Actor) -> &'static str {
    match actor {
        Actor::Husk => "husk",
        Actor::Container => "container",
    }
}

/// What `step` does, as a sentence in the imperative, without a full stop.
pub fn describe(step: &PlannedStep<'_>) -> String {
    sentence(&step.action)
}

fn sentence(action: &Action<'_>) -> String {
    match action {
        Action::Host(step) => host_sentence(step),
        Action::Child(step) => child_sentence(step),
    }
}

fn host_sentence(step: &HostStep<'_>) -> String {
    match step {
        HostStep::ClaimIds(claim) => format!(
            "claim {} host ids that nobody else has, somewhere between {} and {}",
            claim.count, claim.first, claim.last
        ),
        HostStep::Join { kind, path } => {
            format!("enter the {} namespace {}", namespace(*kind), text(path))
        }
        HostStep::PrepareTree { number, source, recursive } => format!(
            "take a detached, private copy of the mount at {}{} (tree {number})",
            text(source),
            if *recursive { " and those below" } else { "" }
        ),
        HostStep::Clone { namespaces } => match new_namespaces(*namespaces) {
            none if none.is_empty() => "start the container's first process".to_owned(),
            some => {
                format!("start the container's first process in new {} namespaces", list(&some))
            }
        },
        HostStep::MapIds(maps) => id_maps(maps),
        HostStep::OwnPipes { .. } => own_pipes(),
        HostStep::MapTree { number, .. } => {
            format!("show the files of tree {number} through the container's id maps")
        }
        HostStep::Release => "let the container's process go on".to_owned(),
        HostStep::Guard => {
            "put a guard beside husk, to end the container and restore the terminal if husk is killed"
                .to_owned()
        }
    }
}

fn own_pipes() -> String {
    "give pipes among standard input, output and error to the container's user".to_owned()
}

fn id_maps(maps: &IdMaps<'_>) -> String {
    match maps {
        IdMaps::Claimed { count } => {
            format!("map ids 0 to {} inside to the claimed ids outside", count - 1)
        }
        IdMaps::Written { uids, gids, deny_setgroups } => format!(
            "map user ids {} and group ids {}{}",
            ranges(uids),
            ranges(gids),
            if *deny_setgroups { ", and give up setgroups, which the kernel asks in return" } else { "" }
        ),
        IdMaps::ByHelpers { uids, gids, .. } => {
            format!("have newuidmap map user ids {} and newgidmap group ids {}", ranges(uids), ranges(gids))
        }
    }
}

fn ranges(map: &[IdMapping]) -> String {
    let range = |first: u32, count: u32| match count {
        1 => first.to_string(),
        _ => format!("{first}-{}", first + (count - 1)),
    };
    let lines: Vec<String> = map
        .iter()
        .map(|m| format!("{} (outside {})", range(m.inside, m.count), range(m.outside, m.count)))
        .collect();
    lines.join(" and ")
}

fn child_sentence(step: &Step<'_>) -> String {
    match step {
        Step::DieWithParent => "ask the kernel to be killed when husk dies".to_owned(),
        Step::AwaitParent => "wait until husk has written the id maps".to_owned(),
        Step::TimeNamespace { offsets } => {
            format!(
                "enter a new time namespace with the clocks {}",
                text(offsets).trim().replace('\n', " and ")
            )
        }
        Step::BeOpaque => {
            "let nobody inside trace this process or follow its /proc links to husk's own file".to_owned()
        }
        Step::LoopbackUp => "bring the loopback interface up".to_owned(),
        Step::Hostname(name) => format!("set the host name to {}", text(name)),
        Step::Propagation(propagation) => {
            format!("make every mount {}, recursively", propagation_name(*propagation))
        }
        Step::Scratch { .. } => {
            "make a tmpfs that takes the writes to the root and goes with the container".to_owned()
        }
        Step::Lower(source) => format!("put {} under the overlay", tree(source)),
        Step::Overlay(_) => "make an overlay of it, with the writes in the tmpfs".to_owned(),
        Step::DetachScratch => "take the tmpfs out of sight, where only the overlay has it".to_owned(),
        Step::OverlayRoot => "make the overlay the container's root".to_owned(),
        Step::Root { source, .. } => format!("make {} the container's root", tree(source)),
        Step::CurrentRoot => "keep the root of the mount namespace that was entered".to_owned(),
        Step::RootAttributes(set) => format!("make the root {}", words(MountFlags::set(*set))),
        Step::MakeDirectory { path, .. } => format!("make the directory {}", text(path)),
        Step::MakeFile { path } => format!("make the file {} to mount on", text(path)),
        Step::Symlink { path, to } => format!("link {} to {}", text(path), text(to)),
        Step::MakeNode { path, device, .. } => format!(
            "make the device node {} ({}:{})",
            text(path),
            rustix::fs::major(*device),
            rustix::fs::minor(*device)
        ),
        Step::Mount { filesystem, target } => mount(filesystem, target),
        Step::Bind { source, target, recursive, set, clear } => {
            let with = words(MountFlags { set: *set, clear: *clear });
            format!(
                "bind {} to {}{}{}",
                tree(source),
                text(target),
                if *recursive { " with all below it" } else { "" },
                if with.is_empty() { String::new() } else { format!(", {with}") }
            )
        }
        Step::OpenProc => "open the host's /proc, to write kernel parameters through".to_owned(),
        Step::Sysctl { path, value } => {
            format!("set the kernel parameter {} to {}", text(path).replace('/', "."), text(value))
        }
        Step::Mask { path } => format!("hide {}", text(path)),
        Step::ReadOnly { path } => format!("make {} read-only", text(path)),
        Step::OpenTerminal { .. } => {
            "make a pseudo-terminal in the container's /dev/pts and hand its master side to husk".to_owned()
        }
        Step::PivotRoot => "make the container's root the root (pivot_root)".to_owned(),
        Step::DetachOldRoot => "unmount the host's root".to_owned(),
        Step::Chroot => "change the root, and leave the host's mounted (chroot)".to_owned(),
        Step::BecomeInit => {
            "stay as a small PID 1 that forwards signals and reaps, and go on in a child".to_owned()
        }
        Step::NewSession => "start a session of its own".to_owned(),
        Step::ControllingTerminal => "make the terminal the session's controlling terminal".to_owned(),
        Step::TerminalStdio { which } => {
            let names: Vec<&str> = ["input", "output", "error"]
                .into_iter()
                .zip(which)
                .filter_map(|(name, on)| on.then_some(name))
                .collect();
            format!("make it standard {}", list(&names))
        }
        Step::OwnPipes { .. } => own_pipes(),
        Step::Rlimit { resource, soft, hard } => {
            let value = |v: &Option<u64>| v.map_or("unlimited".to_owned(), |v| v.to_string());
            let name = Resource::all().nth(*resource as usize).map_or("?", Resource::name);
            format!("limit {name} to {} (at most {})", value(soft), value(hard))
        }
        Step::Umask(mask) => format!("set the umask to {mask:03o}"),
        Step::WorkingDirectory(path) => {
            format!("change to {}, and check that it is inside the root", text(path))
        }
        Step::BoundingSet(set) => {
            format!("drop every capability but {} from the bounding set", capabilities(*set))
        }
        Step::KeepCapabilities => "keep the capabilities over the change of user".to_owned(),
        Step::Groups([]) => "drop all supplementary groups".to_owned(),
        Step::Groups(groups) => format!(
            "set the supplementary groups to {}",
            groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
        Step::Gid(gid) => format!("become group {gid}"),
        Step::Uid(uid) => format!("become user {uid}"),
        Step::Capabilities(set) => {
            format!("keep the capabilities {}, none inheritable, none ambient", capabilities(*set))
        }
        Step::NoNewPrivileges => "let no program gain privileges any more (no_new_privs)".to_owned(),
        Step::Verify(_) => {
            "read ids and capabilities back, and go no further if they are not these".to_owned()
        }
        Step::ResetSignals => "give signals their default meaning, and block none".to_owned(),
        Step::CloseDescriptors => "let no open file but standard input, output and error pass on".to_owned(),
        Step::Exec(exec) => {
            let words: Vec<_> = exec.arguments.iter().map(text).collect();
            format!("execute {}", words.join(" "))
        }
    }
}

fn mount(filesystem: &Filesystem<'_>, target: &CStr) -> String {
    let mut options: Vec<String> = filesystem
        .options
        .iter()
        .map(|option| match option.value {
            Some(value) => format!("{}={}", text(option.key), text(value)),
            None => text(option.key),
        })
        .collect();
    options.extend(MountFlags::set(filesystem.attributes).words().into_iter().map(str::to_owned));
    let with = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
    format!("mount a new {} on {}{with}", text(filesystem.kind), text(target))
}

fn tree(source: &Source<'_>) -> String {
    match source {
        Source::Host(path) => format!("the host's {}", text(path)),
        Source::Prepared(number) => format!("tree {number}"),
        Source::Terminal => "the terminal".to_owned(),
    }
}

fn words(flags: MountFlags) -> String {
    flags.words().join(", ").replace("ro", "read-only")
}

fn capabilities(set: CapabilitySet) -> String {
    Capabilities::from_bits(set.bits()).to_string()
}

fn propagation_name(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Shared => "shared",
        Propagation::Slave => "slave",
        Propagation::Private => "private",
        Propagation::Unbindable => "unbindable",
    }
}

/// The name of a kind of namespace in a sentence.
pub fn namespace(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::User => "user",
        NamespaceKind::Mount => "mount",
        NamespaceKind::Pid => "pid",
        NamespaceKind::Network => "network",
        NamespaceKind::Ipc => "IPC",
        NamespaceKind::Uts => "UTS",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Time => "time",
    }
}

fn new_namespaces(flags: UnshareFlags) -> Vec<&'static str> {
    CLONE_FLAGS
        .into_iter()
        .filter(|(_, flag)| flags.contains(*flag))
        .map(|(kind, _)| namespace(kind))
        .collect()
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn text(string: &CStr) -> String {
    string.to_string_lossy().into_owned()
}

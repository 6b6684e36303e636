// SPDX-License-Identifier: Apache-2.0
//! The words: what each step of a plan does, and why, for a person.

mod flow;
mod seen;
pub(crate) mod treatment;

use std::ffi::CStr;
use std::fmt;
use std::time::Duration;

use husk_cgroup::limits::Hierarchy;
use husk_init::{
    Attributes, Cover, Filesystem, FsOption, ProcessCapabilities, Propagation, Source, Step, SyscallFilter,
};
use husk_seccomp::{FilterFlags, Outcome};
use husk_spec::{Capabilities, IdMapping, MountFlags, NamespaceKind, Resource};
use rustix::thread::{CapabilitySet, UnshareFlags};

use crate::plan::{
    Action, Actor, CLONE_FLAGS, HostStep, IdMaps, Need, Plan, PlannedStep, ReadBack, Stage, TreeMaps,
};
use crate::seen::Seen;
use crate::shell;
use flow::flow;

/// A plan in words, stage by stage, each step with its line in the shell.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'p> {
    /// The plan.
    pub plan: &'p Plan<'p>,
    /// Whether to set stages and origins apart by a terminal's escape sequences.
    pub colour: bool,
    /// What each step cost, if it was carried out.
    pub costs: Option<&'p [Duration]>,
    /// The columns that there are, if that matters: longer lines are broken between words.
    pub width: Option<usize>,
}

/// Where what a step does begins, and what follows in further lines.
const INDENT: usize = 17;

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.steps.is_empty() {
            writeln!(f, "{}", nothing(self.plan))?;
        }
        let (bold, dim, off) = if self.colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let mut stage = None;
        let lines = shell::lines(self.plan);
        let actings = actings(self.plan);
        let mut acting = String::new();
        for (index, step) in self.plan.steps.iter().enumerate() {
            if stage != Some(step.stage) {
                let gap = if stage.is_some() { "\n" } else { "" };
                writeln!(f, "{gap}{bold}{}{off}", step.stage.name())?;
                stage = Some(step.stage);
            }
            if acting != actings[index] {
                acting.clone_from(&actings[index]);
                let acting = flow(&[&format!("as {acting}")], 6, 9, self.width);
                writeln!(f, "      {dim}{}{off}", acting[0])?;
            }
            let (number, actor) = (index + 1, actor_of(self.plan, step.actor()));
            let sentence = sentence(&step.action);
            let cost = self.costs.and_then(|costs| costs.get(index)).map_or(String::new(), cost);
            let origin = format!("[{}]", step.origin);
            let start = INDENT + cost.chars().count();
            let told = flow(&[&sentence, &origin], start, INDENT + 2, self.width);
            writeln!(f, "{number:4}  {actor:9}  {cost}{}{dim}{}{off}", told[0], told[1])?;
            let shell = flow(&[&shell_line(&lines[index])], INDENT, INDENT + 2, self.width);
            writeln!(f, "{:INDENT$}{dim}{}{off}", "", shell[0])?;
        }
        if let Some(costs) = self.costs {
            let told =
                format!("Husk's steps and the container's run side by side, so the sum says little; {WAITS}");
            writeln!(f, "\n{}", flow(&[&told], 0, 0, self.width)[0])?;
            writeln!(f, "the slowest: {}", flow(&[&slowest(self.plan, costs)], 13, 13, self.width)[0])?;
        }
        for note in &self.plan.notes {
            writeln!(f, "\nnote: {}", flow(&[&note.what], 6, 6, self.width)[0])?;
            if let Some(cure) = &note.cure {
                writeln!(f, "      {}", flow(&[cure], 6, 6, self.width)[0])?;
            }
        }
        Ok(())
    }
}

/// What there is to say of a plan without steps.
pub(crate) fn nothing(plan: &Plan<'_>) -> &'static str {
    match &plan.read_back {
        Some(read_back) if !read_back.is_seen => "unknown: you may not look at what it sees",
        _ => "nothing: it sees what the host sees",
    }
}

const WAITS: &str = "waiting counts where it is done.";

/// The steps that cost most, three at most.
fn slowest(plan: &Plan<'_>, costs: &[Duration]) -> String {
    let mut order: Vec<usize> = (0..costs.len().min(plan.steps.len())).collect();
    order.sort_by_key(|index| std::cmp::Reverse(costs[*index]));
    let named = |index: &usize| format!("{} ({})", index + 1, cost(&costs[*index]).trim());
    list(&order.iter().take(3).map(named).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>())
}

fn cost(cost: &Duration) -> String {
    format!("{:>7.1} µs  ", cost.as_secs_f64() * 1e6)
}

/// A line in the shell: its grade, what to type, and what to know.
fn shell_line(line: &shell::Line) -> String {
    let sign = line.grade.sign();
    match (line.code.is_empty(), line.remark.is_empty()) {
        (true, _) => format!("{sign} {}", line.remark),
        (false, true) => format!("{sign} {}", line.code),
        (false, false) => format!("{sign} {}  # {}", line.code, line.remark),
    }
}

/// A plan as a table in Markdown.
#[derive(Clone, Copy, Debug)]
pub struct Table<'p> {
    /// The plan.
    pub plan: &'p Plan<'p>,
    /// What each step cost, if it was carried out.
    pub costs: Option<&'p [Duration]>,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, rule) = if self.costs.is_some() { (" cost |", " ---: |") } else { ("", "") };
        writeln!(f, "# {}\n", in_cell(&self.plan.name))?;
        if self.plan.steps.is_empty() {
            return writeln!(f, "{}", nothing(self.plan));
        }
        writeln!(f, "| | stage | who | what | from | in the shell |{title}")?;
        writeln!(f, "| ---: | --- | --- | --- | --- | --- |{rule}")?;
        for (index, (step, line)) in self.plan.steps.iter().zip(shell::lines(self.plan)).enumerate() {
            let [sentence, origin, remark] = [describe(step), step.origin.to_string(), line.remark.clone()];
            let code =
                if line.code.is_empty() { String::new() } else { format!(" {}", code_cell(&line.code)) };
            let remark = if remark.is_empty() { remark } else { format!(" {}", in_cell(&remark)) };
            write!(
                f,
                "| {} | {} | {} | {} | {} | {}{code}{remark} |",
                index + 1,
                step.stage.name(),
                actor_of(self.plan, step.actor()),
                in_cell(&sentence),
                in_cell(&origin),
                line.grade.sign()
            )?;
            match self.costs.and_then(|costs| costs.get(index)) {
                Some(duration) => writeln!(f, " {} |", cost(duration).trim())?,
                None => writeln!(f)?,
            }
        }
        self.plan.notes.iter().try_for_each(|note| writeln!(f, "\nNote: {}", in_cell(&note.what)))
    }
}

/// Text within a cell: what Markdown would take for its own is escaped, line breaks are made visible.
fn in_cell(text: &str) -> String {
    text.chars().fold(String::new(), |mut cell, c| {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '<' | '[' => cell.extend(['\\', c]),
            c if c.is_control() => cell.extend(c.escape_default()),
            c => cell.push(c),
        }
        cell
    })
}

/// Code within a cell, between more backticks than it has in a row.
fn code_cell(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", code.replace('|', "\\|"))
}

/// Who does each step: which process, which ids, in which namespaces, before which files.
pub fn actings(plan: &Plan<'_>) -> Vec<String> {
    let mut acting = Acting { mapped: true, read_back: plan.read_back.clone(), ..Acting::default() };
    plan.steps.iter().map(|step| acting.next(&step.action)).collect()
}

/// Who does the next step.
#[derive(Default)]
struct Acting {
    read_back: Option<ReadBack>,
    namespaces: Vec<&'static str>,
    joined: Vec<&'static str>,
    pid: bool,
    mapped: bool,
    pivoted: bool,
    ids: Option<(u32, u32)>,
}

impl Acting {
    fn next(&mut self, action: &Action<'_>) -> String {
        let by_child = match action {
            Action::Host(_) => false,
            Action::Child(_) => true,
            Action::Seen(seen) => seen.actor() == Actor::Container,
        };
        let now = if by_child { self.child() } else { self.outside() };
        match action {
            Action::Seen(Seen::ForeignMaps { uids, gids }) => {
                self.mapped = true;
                if let ([uid], [gid]) = (uids, gids)
                    && (uid.count, gid.count) == (1, 1)
                {
                    self.ids = Some((uid.inside, gid.inside));
                }
            }
            Action::Host(HostStep::MapIds(_)) if self.read_back.is_some() => self.mapped = true,
            Action::Seen(Seen::ChangeRoot { .. }) => self.pivoted = true,
            Action::Host(HostStep::Join { kind, .. }) => self.joined.push(namespace(*kind)),
            Action::Host(HostStep::Clone { namespaces }) => {
                self.namespaces = new_namespaces(*namespaces);
                self.pid = namespaces.contains(UnshareFlags::NEWPID);
                self.mapped = !namespaces.contains(UnshareFlags::NEWUSER);
            }
            Action::Child(Step::Namespaces(namespaces)) => {
                self.namespaces.extend(new_namespaces(*namespaces));
            }
            Action::Child(Step::AwaitParent) => self.mapped = true,
            Action::Child(Step::PivotRoot | Step::Chroot | Step::CurrentRoot) => self.pivoted = true,
            Action::Child(Step::Gid(gid)) => self.ids = Some((self.ids.map_or(0, |ids| ids.0), *gid)),
            Action::Child(Step::Uid(uid)) => self.ids = Some((*uid, self.ids.map_or(0, |ids| ids.1))),
            _ => {}
        }
        now
    }

    fn outside(&self) -> String {
        let who = match &self.read_back {
            None => "husk",
            Some(read_back) => read_back.maker.as_deref().unwrap_or("whoever made it"),
        };
        match self.joined.as_slice() {
            [] => format!("{who}, on the host"),
            joined => format!("{who}, in the {} namespaces that it entered", list(joined)),
        }
    }

    fn child(&self) -> String {
        if self.read_back.as_ref().is_some_and(|read_back| !read_back.is_seen) {
            return "this process, or one that it comes from, somewhere where you may not look".to_owned();
        }
        let process = match &self.read_back {
            Some(read_back) if !read_back.is_first => "this process, or one that it comes from",
            _ if self.pid => "PID 1",
            _ => "the first process",
        };
        let who = match (self.mapped, self.ids) {
            (false, _) => "nobody yet, since no id is mapped,".to_owned(),
            (true, Some((uid, gid))) if (uid, gid) != (0, 0) => format!("user {uid}, group {gid},"),
            (true, _) => "root".to_owned(),
        };
        let files = if self.pivoted { "the container's files" } else { "the host's files" };
        match self.namespaces.as_slice() {
            [] => format!("{process}, {who} before {files}"),
            some => format!("{process}, {who} in {}, before {files}", new(some)),
        }
    }
}

/// What has become true when `stage` of `plan` is over.
pub fn is_true_after(plan: &Plan<'_>, stage: Stage) -> String {
    let namespaces = plan.steps.iter().fold(UnshareFlags::empty(), |all, step| match step.action {
        Action::Host(HostStep::Clone { namespaces }) | Action::Child(Step::Namespaces(namespaces)) => {
            all | namespaces
        }
        _ => all,
    });
    match stage {
        Stage::Prepare => "husk has got hold of what it needs; there is no container yet".to_owned(),
        Stage::Namespaces => {
            let own = match new_namespaces(namespaces) {
                own if own.is_empty() => "no namespaces of its own".to_owned(),
                own => new(&own),
            };
            format!("the container's first process is there, in {own}; it still sees the host's files")
        }
        Stage::Root => {
            "the container's root stands, on top of the host's root, where no path leads yet; /proc and /dev are missing"
                .to_owned()
        }
        Stage::Mounts => {
            "everything is mounted in the container's root; the process itself still sees the host's files".to_owned()
        }
        Stage::Pivot => "the container's root is the root; the host's files are out of reach".to_owned(),
        Stage::Identity => "the process has the command's user, groups, limits and working directory".to_owned(),
        Stage::Confine => {
            "the process has the command's capabilities and can gain none; what comes next is the command".to_owned()
        }
        Stage::Exec => "the command runs".to_owned(),
    }
}

/// The name of an actor, as explanations and errors have it.
pub fn actor(actor: Actor) -> &'static str {
    match actor {
        Actor::Husk => "husk",
        Actor::Container => "container",
    }
}

/// The name of an actor in `plan`: what was read back was made by whoever, not by husk.
pub fn actor_of(plan: &Plan<'_>, who: Actor) -> &'static str {
    match who {
        Actor::Husk if plan.read_back.is_some() => "maker",
        who => actor(who),
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
        Action::Seen(step) => seen::sentence(step),
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
        HostStep::OpenCgroupNamespace { path } => format!("open the cgroup namespace {}", text(path)),
        HostStep::OomScoreAdj(value) => format!(
            "set how readily the kernel kills it when memory is short to {}, as the process made next then has it",
            text(value)
        ),
        HostStep::Processors(processors) => {
            format!(
                "run on the processors {} alone, as the process made next then does",
                treatment::numbers(processors)
            )
        }
        HostStep::OpenRoot { number, path } => format!("open the root {} (tree {number})", text(path)),
        HostStep::PrepareTree { number, source, recursive, propagation } => format!(
            "take a detached, {} copy of the mount at {}{} (tree {number})",
            propagation_name(*propagation),
            text(source),
            if *recursive { " and those below" } else { "" }
        ),
        HostStep::EnterScope { unit, slice } => format!(
            "have the user's systemd make the scope {} in {} around husk, since the cgroup that husk is in is not the user's to divide",
            text(unit),
            text(slice)
        ),
        HostStep::MakeCgroup { path, hierarchies, only, need } => {
            let its_like = match (hierarchies, only) {
                (1, Some(Hierarchy::V2)) => ", in which the container's first process will start".to_owned(),
                (1, _) => String::new(),
                (some, _) => format!(" and its like, one in each of {some} hierarchies"),
            };
            let unless = if *need == Need::Always { "" } else { ", if it can be had" };
            format!("make the cgroup {}{its_like}{unless}", text(path))
        }
        HostStep::StartScope { unit, slice, properties, user, held } => format!(
            "have {} systemd make the scope {} in {} around {}{}{}",
            if *user { "the user's" } else { "the machine's" },
            text(unit),
            text(slice),
            if *held { "a process that holds its place" } else { "it" },
            if properties.is_empty() { "" } else { ", with " },
            text(properties)
        ),
        HostStep::AttachToScope { unit } => format!("have systemd move it into the scope {}", text(unit)),
        HostStep::LimitCgroup { limits } => format!("write the limits {}", text(limits)),
        HostStep::LimitDevices { rules } => {
            format!("let its processes use the devices of {rules} rules, and no others")
        }
        HostStep::Clone { namespaces } => match new_namespaces(*namespaces) {
            none if none.is_empty() => "start the container's first process".to_owned(),
            some => format!("start the container's first process in {}", new(&some)),
        },
        HostStep::MapIds(maps) => id_maps(maps),
        HostStep::OwnPipes { .. } => own_pipes(),
        HostStep::MapTree { number, through: TreeMaps::Own { uids, gids }, recursive } => {
            let below = if *recursive { ", and those of the mounts below," } else { "" };
            let (uids, gids) = (ranges(uids), ranges(gids));
            format!("show the files of tree {number}{below} with user ids {uids} and group ids {gids}")
        }
        HostStep::MapTree { number, .. } => {
            format!("show the files of tree {number} through the container's id maps")
        }
        HostStep::MoveDevice { device, name, .. } if device == name => {
            format!("move the network device {} into the container, with its addresses", text(device))
        }
        HostStep::MoveDevice { device, name, .. } => {
            let (device, name) = (text(device), text(name));
            format!("move the network device {device} into the container as {name}, with its addresses")
        }
        HostStep::PrepareResourceGroup(group) => {
            let (name, root) = (text(group.name), text(group.root));
            let make = if group.make { "make" } else { "open" };
            let limits = group.schemata.map_or(String::new(), |lines| {
                format!(" with {}", visible(&lines.to_string_lossy().trim().replace('\n', ", ")))
            });
            let monitor = if group.monitor.is_some() { ", and one for monitoring in it" } else { "" };
            format!("{make} the resource group {name} in {root}{limits}{monitor}")
        }
        HostStep::JoinResourceGroup => "put the container's process into that resource group".to_owned(),
        HostStep::Release => "let the container's process go on".to_owned(),
        HostStep::HandOverCgroup => "hand the container's process the way into them".to_owned(),
        HostStep::Hooks => {
            "wait until everything is mounted, run the hooks that belong on the host, and let it go on"
                .to_owned()
        }
        HostStep::Commit => {
            "wait until the container's process is ready, write its state down, and let it go on".to_owned()
        }
        HostStep::SweepCgroups => {
            "remove empty cgroups beside it whose husk was killed, and its guard".to_owned()
        }
        HostStep::Guard => {
            "put a guard beside husk, to end the container and restore the terminal if husk is killed"
                .to_owned()
        }
    }
}

fn seccomp(filter: &SyscallFilter<'_>) -> String {
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let listener = match filter.flags & FilterFlags::NEW_LISTENER.bits() {
        0 => "",
        _ => ", and hand the listener of its notifications to husk",
    };
    format!(
        "filter system calls by {} about {}, with {} for the others ({}){listener}",
        counted(filter.rules, "rule"),
        counted(filter.calls, "call"),
        Outcome(filter.default),
        counted(filter.instructions.len(), "instruction"),
    )
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

pub(crate) fn ranges(map: &[IdMapping]) -> String {
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
        Step::AwaitParent => "wait until husk has done its part".to_owned(),
        Step::EnterCgroup => "enter the container's cgroups".to_owned(),
        Step::AwaitCgroup => "wait until husk has made the container's cgroups, and enter them".to_owned(),
        Step::JoinCgroupNamespace => "enter the cgroup namespace that was opened".to_owned(),
        Step::Namespaces(namespaces) => {
            format!("enter {}", new(&new_namespaces(*namespaces)))
        }
        Step::CgroupNamespace => "enter a new cgroup namespace, whose root they are".to_owned(),
        Step::MountAttributes { target, attributes } => {
            match words(MountFlags { set: attributes.set, clear: attributes.clear }) {
                none if none.is_empty() => format!("take all restrictions off {}", text(target)),
                some => format!("make {} {some}", text(target)),
            }
        }
        Step::TimeNamespace { offsets } => {
            format!(
                "enter a new time namespace with the clocks {}",
                visible(&offsets.to_string_lossy().trim().replace('\n', " and "))
            )
        }
        Step::BeOpaque => {
            "let nobody inside trace this process or follow its /proc links to husk's own file".to_owned()
        }
        Step::LoopbackUp => "bring the loopback interface up".to_owned(),
        Step::Hostname(name) => format!("set the host name to {}", text(name)),
        Step::Domainname(name) => format!("set the NIS domain name to {}", text(name)),
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
        Step::RootPropagation { propagation, recursive } => format!(
            "make the root mount {}{}",
            propagation_name(*propagation),
            if *recursive { ", and those below" } else { "" }
        ),
        Step::MakeDirectory { path, .. } => format!("make the directory {}", text(path)),
        Step::MakeFile { path } => format!("make the file {} to mount on", text(path)),
        Step::Symlink { path, to } => format!("link {} to {}", text(path), text(to)),
        Step::MakeNode { path, device, owner, .. } => format!(
            "make the device node {} ({}:{}){}",
            text(path),
            rustix::fs::major(*device),
            rustix::fs::minor(*device),
            owner.map_or(String::new(), |(uid, gid)| format!(", owned by {uid}:{gid}"))
        ),
        Step::Mount { filesystem, target, cover, propagation } => {
            mount(filesystem, target) + covers(*cover) + &travels(propagation)
        }
        Step::MountByText { kind, options, attributes, target, propagation, .. } => {
            let words = MountFlags::set(*attributes).words().join(", ");
            let with = if words.is_empty() { words } else { format!(", {words}") };
            let (kind, target, options) = (text(kind), text(target), text(options));
            format!("mount a new {kind} on {target} ({options}{with}){}", travels(propagation))
        }
        Step::Reconfigure { target, options } => {
            let options: Vec<_> = options.iter().map(option).collect();
            let target = text(target);
            format!("give the file system that is mounted at {target} other options: {}", options.join(", "))
        }
        Step::Bind { source, target, recursive, attributes, recursive_attributes, propagation } => {
            let with = |attributes: &Attributes| {
                let with = words(MountFlags { set: attributes.set, clear: attributes.clear });
                if with.is_empty() { String::new() } else { format!(", {with}") }
            };
            let below = match with(recursive_attributes) {
                some if !some.is_empty() && !attributes.is_none() && *recursive => {
                    format!("{some} also below")
                }
                some => some,
            };
            format!(
                "bind {} to {}{}{}{below}{}",
                tree(source),
                text(target),
                if *recursive { " with all below it" } else { "" },
                with(attributes),
                travels(propagation)
            )
        }
        Step::Processors(processors) => {
            format!("run on the processors {} alone", treatment::numbers(processors))
        }
        Step::Scheduler(attr) => treatment::scheduler(attr),
        Step::IoPriority { class, level } => treatment::io_priority(*class, *level),
        Step::MemoryPolicy { mode, nodes } => treatment::memory_policy(*mode, nodes),
        Step::Personality(domain) => format!("take the execution domain {}", treatment::domain(*domain)),
        Step::ApparmorProfile { word, .. } => format!(
            "have the command confined by the AppArmor profile {}",
            text(word).trim_start_matches("exec ")
        ),
        Step::SelinuxLabel(label) => format!("have the command run with the SELinux label {}", text(label)),
        Step::KeyLabel(label) => format!("have new keyrings the SELinux label {}", text(label)),
        Step::Keyring(name) => format!("start the session keyring {}", text(name)),
        Step::OpenProc => "open the host's /proc, to write kernel parameters through".to_owned(),
        Step::Sysctl { path, value } => {
            format!("set the kernel parameter {} to {}", text(path).replace('/', "."), text(value))
        }
        Step::Mask { path } => format!("hide {}", text(path)),
        Step::ReadOnly { path, recursive: true } => format!("make {} read-only", text(path)),
        Step::ReadOnly { path, recursive: false } => {
            format!("make {} read-only, but for what is mounted below", text(path))
        }
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
        Step::OwnTerminal { uid } => format!("give the terminal to user {uid}"),
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
        Step::BoundingSet(set) if set.is_empty() => "drop every capability from the bounding set".to_owned(),
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
        Step::Capabilities(sets) => own_capabilities(sets),
        Step::NoNewPrivileges => "let no program gain privileges any more (no_new_privs)".to_owned(),
        Step::Verify(_) => {
            "read ids and capabilities back, and go no further if they are not these".to_owned()
        }
        Step::ResetSignals => "give signals their default meaning, and block none".to_owned(),
        Step::CloseDescriptors { first: 3 } => {
            "let no open file but standard input, output and error pass on".to_owned()
        }
        Step::CloseDescriptors { first } => format!("let no open file from number {first} on pass on"),
        Step::Seccomp(filter) => seccomp(filter),
        Step::Pause => "wait until somebody who looks round says go on".to_owned(),
        Step::AwaitHooks => "wait until husk has run its hooks".to_owned(),
        Step::Hook(hook) => format!(
            "run the hook {}{}",
            text(hook.exec.candidates[0]),
            hook.timeout.map_or(String::new(), |seconds| format!(", for at most {seconds} s"))
        ),
        Step::FindCommand(exec) => {
            format!("look for the command {}", exec.arguments.iter().next().map_or(String::new(), text))
        }
        Step::ForgetParent => "live on when husk ends".to_owned(),
        Step::TellMounted => "tell husk that everything is mounted, and go on".to_owned(),
        Step::AwaitCommit => "wait until husk has written the state down".to_owned(),
        Step::AwaitStart { .. } => "wait to be started".to_owned(),
        Step::Exec(exec) => {
            let words: Vec<_> = exec.arguments.iter().map(text).collect();
            format!("execute {}", words.join(" "))
        }
    }
}

fn own_capabilities(sets: &ProcessCapabilities) -> String {
    let named = |name: &str, set: CapabilitySet| {
        if set.is_empty() { format!("none {name}") } else { format!("{} {name}", capabilities(set)) }
    };
    let effective = if sets.effective == sets.permitted {
        String::new()
    } else {
        format!(" ({})", named("effective", sets.effective))
    };
    format!(
        "keep the capabilities {}{effective}, {}, {}",
        capabilities(sets.permitted),
        named("inheritable", sets.inheritable),
        named("ambient", sets.ambient)
    )
}

fn travels(propagation: &[(Propagation, bool)]) -> String {
    let word = |(to, recursive): &(Propagation, bool)| {
        format!(", {}{}", propagation_name(*to), if *recursive { " with all below" } else { "" })
    };
    propagation.iter().map(word).collect()
}

fn covers(cover: Cover) -> &'static str {
    match cover {
        Cover::Any => "",
        Cover::NoLink => ", which must not be a link",
        Cover::KeepMode => ", with the mode of the directory there",
        Cover::CopyUp { .. } => ", with a copy of the directory there",
    }
}

fn option(option: &FsOption<'_>) -> String {
    match option.value {
        Some(value) => format!("{}={}", text(option.key), text(value)),
        None => text(option.key),
    }
}

fn mount(filesystem: &Filesystem<'_>, target: &CStr) -> String {
    let mut options: Vec<String> = filesystem.options.iter().map(option).collect();
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

/// `a new pid namespace`, `new pid and mount namespaces`.
fn new(namespaces: &[&str]) -> String {
    match namespaces {
        [one] => format!("a new {one} namespace"),
        some => format!("new {} namespaces", list(some)),
    }
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
    visible(&string.to_string_lossy())
}

/// `text` with everything escaped that is not plainly to be seen: it may be a stranger's, and try to move the cursor or to
/// turn the line round.
pub(crate) fn visible(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ';
    text.chars().fold(String::new(), |mut shown, c| {
        match is_plain(c) {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
        shown
    })
}

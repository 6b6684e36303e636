// SPDX-License-Identifier: Apache-2.0
//! What a plan is.

use std::ffi::CStr;

use husk_cgroup::device::Rule;
use husk_cgroup::limits::{Hierarchy, Limits, Write};
use husk_cgroup::systemd::Scope;
use husk_cgroup::{CgroupError, Place};
use husk_init::{Propagation, Step};
use husk_spec::oci::Seccomp;
use husk_spec::{IdMapping, NamespaceKind, Origin};
use rustix::thread::UnshareFlags;

use crate::seen::Seen;
use crate::{Arena, PlanError, seccomp};

/// The kinds of namespaces and the flags by which `clone3(2)` makes new ones.
pub const CLONE_FLAGS: [(NamespaceKind, UnshareFlags); 8] = [
    (NamespaceKind::User, UnshareFlags::NEWUSER),
    (NamespaceKind::Mount, UnshareFlags::NEWNS),
    (NamespaceKind::Pid, UnshareFlags::NEWPID),
    (NamespaceKind::Network, UnshareFlags::NEWNET),
    (NamespaceKind::Ipc, UnshareFlags::NEWIPC),
    (NamespaceKind::Uts, UnshareFlags::NEWUTS),
    (NamespaceKind::Cgroup, UnshareFlags::NEWCGROUP),
    (NamespaceKind::Time, UnshareFlags::NEWTIME),
];

/// Everything that will be done to start a container, in order.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The container's name.
    pub name: String,
    /// The steps of both actors. The child's come after the one that makes it; from there on the two run side by side.
    pub steps: Vec<PlannedStep<'a>>,
    /// The container's cgroups, if it is to have some of its own.
    pub cgroup: Option<CgroupPlan>,
    /// What a person should know before: what is missing here, and what it costs.
    pub notes: Vec<Note>,
    /// Whose plan it is, if it was read back from a running process instead of made by husk. It is then to be told, not
    /// carried out.
    pub read_back: Option<ReadBack>,
}

/// The actors of a plan that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// The process.
    pub pid: u32,
    /// Who made its container, if that is known.
    pub maker: Option<String>,
    /// Whether it is the first process of its pid namespace; another one has got much from those that it comes from.
    pub is_first: bool,
    /// Whether its namespaces could be looked at.
    pub is_seen: bool,
}

impl<'a> Plan<'a> {
    /// The same plan with a pause after each stage but the last. Who looks round in a pause must be able to follow the
    /// process's links in /proc, so the step that forbids that is left out.
    #[must_use]
    pub fn with_pauses(mut self) -> Self {
        self.steps.retain(|step| !matches!(step.action, Action::Child(Step::BeOpaque)));
        self.await_cgroup_first();
        for stage in Stage::ALL.into_iter().filter(|stage| *stage != Stage::Exec) {
            let of_stage = |step: &PlannedStep<'_>| step.stage == stage && step.actor() == Actor::Container;
            if let Some(last) = self.steps.iter().rposition(of_stage) {
                let origin = Origin::Argument("husk step".to_owned());
                let pause = PlannedStep { stage, action: Action::Child(Step::Pause), origin };
                self.steps.insert(last + 1, pause);
            }
        }
        self
    }

    /// Has the child wait for its cgroups before its first pause. What husk sends when they are made would end that.
    fn await_cgroup_first(&mut self) {
        let is_awaited = |step: &PlannedStep<'_>| matches!(step.action, Action::Child(Step::AwaitCgroup));
        let Some(at) = self.steps.iter().position(is_awaited) else { return };
        let enters = |step: &&PlannedStep<'_>| {
            matches!(step.action, Action::Child(Step::CgroupNamespace | Step::JoinCgroupNamespace))
        };
        let end = at + 1 + self.steps[at + 1..].iter().take_while(enters).count();
        let first = self
            .steps
            .iter()
            .position(|step| step.actor() == Actor::Container && step.stage > Stage::Namespaces);
        let Some(first) = first.filter(|first| *first <= at) else { return };
        self.steps[first..end].rotate_right(end - at);
        self.steps[first..first + end - at].iter_mut().for_each(|step| step.stage = Stage::Namespaces);
    }

    /// The same plan, made with the filter of `profile`, with one that asks whoever has its listener where this one would refuse.
    ///
    /// # Errors
    /// A profile that notifies somebody already, or that keeps the listener from being sent.
    pub fn with_refusals_told(self, profile: &Seccomp, arena: &'a Arena) -> Result<Self, PlanError> {
        seccomp::tell_refusals(self, profile, arena)
    }

    /// The stages after which the child pauses, in order.
    pub fn pauses(&self) -> impl Iterator<Item = Stage> {
        let pauses = self.steps.iter().filter(|step| matches!(step.action, Action::Child(Step::Pause)));
        pauses.map(|step| step.stage)
    }

    /// The child's program, and for each of its steps the number of the planned one.
    pub fn program(&self) -> (Vec<Step<'a>>, Vec<usize>) {
        // Room for all at once: what is touched before the clone is copied by it.
        let mut steps = Vec::with_capacity(self.steps.len());
        let mut numbers = Vec::with_capacity(self.steps.len());
        for (number, planned) in self.steps.iter().enumerate() {
            if let Action::Child(step) = planned.action {
                steps.push(step);
                numbers.push(number);
            }
        }
        (steps, numbers)
    }
}

/// A container's own cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPlan {
    /// Where they are, and who makes them.
    pub driver: CgroupDriver,
    /// What they limit.
    pub limits: Limits,
    /// The controllers without which it is not what was asked for.
    pub controllers: Vec<String>,
    /// Which devices may be used; everybody's own rights decide if `None`.
    pub devices: Option<Vec<Rule>>,
    /// When the container does without.
    pub need: Need,
    /// The user on the host that gets the container's part of cgroup v2 to divide further.
    pub owner: Option<u32>,
    /// The words for a person: in the place of a field of the specification, the option that was typed.
    pub options: Vec<(&'static str, &'static str)>,
    /// The scope that husk enters to make them there, if they cannot be made where it is.
    pub around: Option<Scope>,
}

/// When a container does without cgroups of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Never.
    Always,
    /// If anything stands in the way: nobody asked for a limit.
    IfPossible,
}

impl CgroupPlan {
    /// Whether it goes with the container.
    pub fn passes(&self) -> bool {
        !self.options.is_empty()
    }

    /// What went wrong, in the terms of whoever asked.
    pub fn said(&self, error: &CgroupError) -> String {
        said(&self.limits, &self.options, error)
    }
}

/// What went wrong with cgroups that are to limit so much, with the limit to which it matters.
pub(crate) fn said(limits: &Limits, options: &[(&str, &str)], error: &CgroupError) -> String {
    let said = match error {
        CgroupError::NotDelegated { controller, .. } => {
            let has_option = |write: &&Write| {
                options.iter().any(|(field, _)| write.origin.starts_with(&format!("linux.{field}")))
            };
            let mut asking = limits.writes.iter().filter(|write| write.controller == *controller);
            // What was typed, and not what follows from it.
            let asks = asking.clone().find(has_option).or_else(|| asking.next());
            asks.map_or_else(|| error.to_string(), |write| format!("{}: {error}", write.origin))
        }
        _ => error.to_string(),
    };
    in_options(options, said)
}

/// `text` with options in the place of fields.
pub(crate) fn in_options(options: &[(&str, &str)], text: String) -> String {
    options.iter().fold(text, |text, (field, option)| text.replace(&format!("linux.{field}"), option))
}

impl CgroupPlan {
    /// What husk makes: all of them or, with systemd on version 1, those that it does not make.
    pub fn place(&self) -> Option<&Place> {
        match &self.driver {
            CgroupDriver::Cgroupfs(place) => Some(place),
            CgroupDriver::Systemd { beside, .. } => beside.as_ref(),
        }
    }

    /// What systemd is asked for.
    pub fn scope(&self) -> Option<&Scope> {
        match &self.driver {
            CgroupDriver::Cgroupfs(_) => None,
            CgroupDriver::Systemd { scope, .. } => Some(scope),
        }
    }
}

/// Who makes a container's cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// husk: directories.
    Cgroupfs(Place),
    /// systemd, which is asked for a scope.
    Systemd {
        /// The scope.
        scope: Scope,
        /// On version 1: what husk makes beside it.
        beside: Option<Place>,
    },
}

/// Something that a person should know before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is missing here, and what it costs.
    pub what: String,
    /// How to get it, if there is a way.
    pub cure: Option<String>,
}

/// A step of a plan.
#[derive(Clone, Debug)]
pub struct PlannedStep<'a> {
    /// The stage that it belongs to.
    pub stage: Stage,
    /// What is done, and by whom.
    pub action: Action<'a>,
    /// Why it is in the plan.
    pub origin: Origin,
}

impl PlannedStep<'_> {
    /// Who does it.
    pub fn actor(&self) -> Actor {
        match self.action {
            Action::Host(_) => Actor::Husk,
            Action::Child(_) => Actor::Container,
            Action::Seen(seen) => seen.actor(),
        }
    }
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// husk, on the host.
    Host(HostStep<'a>),
    /// The container's first process.
    Child(Step<'a>),
    /// What a running process shows and husk has no step for: in a plan that was read back.
    Seen(Seen<'a>),
}

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// husk itself, on the host.
    Husk,
    /// The process that becomes the command.
    Container,
}

/// The stages of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What is got hold of before there is a container.
    Prepare,
    /// The process in its namespaces, and the ids that its user namespace maps.
    Namespaces,
    /// The root file system.
    Root,
    /// What is mounted in it.
    Mounts,
    /// The change of root.
    Pivot,
    /// Who the process is.
    Identity,
    /// What it may do.
    Confine,
    /// The command.
    Exec,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::Prepare,
        Self::Namespaces,
        Self::Root,
        Self::Mounts,
        Self::Pivot,
        Self::Identity,
        Self::Confine,
        Self::Exec,
    ];

    /// Its name, the same in explanations, in errors and in the code.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Namespaces => "namespaces",
            Self::Root => "root",
            Self::Mounts => "mounts",
            Self::Pivot => "pivot",
            Self::Identity => "identity",
            Self::Confine => "confine",
            Self::Exec => "exec",
        }
    }
}

/// What husk does on the host.
#[derive(Clone, Copy, Debug)]
pub enum HostStep<'a> {
    /// Claim host ids that no other container, user or subordinate range has. They are free again when husk ends.
    ClaimIds(Claim<'a>),
    /// Enter an existing namespace, which the container is then born in.
    Join {
        /// Of which kind.
        kind: NamespaceKind,
        /// A file that stands for it.
        path: &'a CStr,
    },
    /// Open an existing cgroup namespace for the child to enter. husk stays outside: from inside, a cgroup of the container's that
    /// is not below its own would be out of reach.
    OpenCgroupNamespace {
        /// A file that stands for it.
        path: &'a CStr,
    },
    /// Be killed so readily when memory is short (`/proc/self/oom_score_adj`), and so is the child, which has that from husk. Below
    /// what it was, that takes `CAP_SYS_RESOURCE` in the machine's first user namespace, which the child may not be in.
    OomScoreAdj(&'a CStr),
    /// Run on the processors alone whose bits are set, and so does the child, which has them from husk.
    Processors(&'a [u64]),
    /// Take a detached copy of a part of the host's file tree, with which no mount travels.
    PrepareTree {
        /// The number by which the child knows it.
        number: usize,
        /// What.
        source: &'a CStr,
        /// Whether the mounts below come along.
        recursive: bool,
        /// Its propagation.
        propagation: Propagation,
    },
    /// Open the root of a process that is there.
    OpenRoot {
        /// The number by which the child knows it.
        number: usize,
        /// The link to it, in /proc.
        path: &'a CStr,
    },
    /// Have the user's systemd make a scope around husk, and go to a cgroup in it, so that others can be made beside that.
    EnterScope {
        /// The unit.
        unit: &'a CStr,
        /// The slice that it is in.
        slice: &'a CStr,
    },
    /// Make the container's cgroups.
    MakeCgroup {
        /// The directory in the hierarchy that counts.
        path: &'a CStr,
        /// In how many hierarchies.
        hierarchies: usize,
        /// Those of this version alone: the clone enters one of version 2, and those of version 1 beside it are made while the child
        /// mounts.
        only: Option<Hierarchy>,
        /// When the container does without.
        need: Need,
    },
    /// Have systemd make a scope, a cgroup, around the child; or, before there is one, around a process that holds its place.
    StartScope {
        /// The unit.
        unit: &'a CStr,
        /// The slice that it is in.
        slice: &'a CStr,
        /// The limits as properties, and those that it is given besides, for a person.
        properties: &'a CStr,
        /// Whether it is asked of the user's own systemd.
        user: bool,
        /// Whether there is no child yet.
        held: bool,
    },
    /// Have systemd move the child into a scope that is there.
    AttachToScope {
        /// The unit.
        unit: &'a CStr,
    },
    /// Write their limits.
    LimitCgroup {
        /// Files and values, for a person.
        limits: &'a CStr,
    },
    /// Say which devices their processes may use.
    LimitDevices {
        /// How many rules say so.
        rules: usize,
    },
    /// Make the child in its new namespaces, and on cgroup v2 in its cgroup if that is there.
    Clone {
        /// Which.
        namespaces: UnshareFlags,
    },
    /// Write the child's id maps.
    MapIds(IdMaps<'a>),
    /// Give pipes among standard input, output and error to the container's user, so that it can open `/dev/stdout`. Files and
    /// devices stay whose they are: their owner is the host's business.
    OwnPipes {
        /// The user id inside.
        uid: u32,
        /// The group id inside.
        gid: u32,
    },
    /// Show the files of a prepared tree through a user namespace's id maps.
    MapTree {
        /// Its number.
        number: usize,
        /// Which.
        through: TreeMaps<'a>,
        /// Whether the mounts below change as well.
        recursive: bool,
    },
    /// Move a network device of husk's into the container's network namespace, where it keeps its addresses and is up.
    MoveDevice {
        /// Its name outside.
        device: &'a CStr,
        /// Its name inside.
        name: &'a CStr,
        /// A file that stands for the namespace; the child's own if `None`.
        namespace: Option<&'a CStr>,
    },
    /// Make a group of the resource control file system, as far as it is to be made, and open the files by which it is joined.
    PrepareResourceGroup(ResourceGroup<'a>),
    /// Put the child into the group that was prepared.
    JoinResourceGroup,
    /// Let the child go on.
    Release,
    /// Send the child the files by which it enters its cgroups, which are there now.
    HandOverCgroup,
    /// Remove cgroups beside the container's that nobody is left to remove: of runs that were killed together with their guard.
    SweepCgroups,
    /// Wait until everything is mounted, run the hooks that belong on the host, and let the child go on.
    Hooks,
    /// Wait until the child is all ready, write down that it is, and let it go on.
    Commit,
    /// Put a guard beside husk, which ends the container and restores the terminal should husk be killed.
    Guard,
}

/// A group of the resource control file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceGroup<'a> {
    /// Where the file system is mounted.
    pub root: &'a CStr,
    /// The name of the group.
    pub name: &'a CStr,
    /// Whether it is made if it is not there.
    pub make: bool,
    /// What is written to its `schemata`.
    pub schemata: Option<&'a CStr>,
    /// The name of the group for monitoring in it.
    pub monitor: Option<&'a CStr>,
    /// Whether that is made.
    pub make_monitor: bool,
}

/// Through which id maps the files of a tree are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeMaps<'a> {
    /// The container's own.
    Container,
    /// Those of the user namespace that this file stands for.
    Joined(&'a CStr),
    /// Those of a user namespace that is made for it.
    Own {
        /// User ids.
        uids: &'a [IdMapping],
        /// Group ids.
        gids: &'a [IdMapping],
    },
}

/// How host ids are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// How many; the claim starts at a multiple of that.
    pub count: u32,
    /// The lowest that it may be.
    pub first: u32,
    /// The highest that it may reach.
    pub last: u32,
    /// Ranges that are somebody's already, (first, count).
    pub taken: &'a [(u32, u32)],
}

/// Which ids a container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdMaps<'a> {
    /// 0 and up inside are the claimed ids outside.
    Claimed {
        /// How many.
        count: u32,
    },
    /// As given, written by husk.
    Written {
        /// User ids.
        uids: &'a [IdMapping],
        /// Group ids.
        gids: &'a [IdMapping],
        /// Whether `setgroups(2)` must be given up first, the price of writing a group map without privilege.
        deny_setgroups: bool,
    },
    /// As given, written by the set-user-id helpers of the shadow package.
    ByHelpers {
        /// User ids.
        uids: &'a [IdMapping],
        /// Group ids.
        gids: &'a [IdMapping],
        /// `newuidmap` and `newgidmap`.
        helpers: [&'a CStr; 2],
    },
}

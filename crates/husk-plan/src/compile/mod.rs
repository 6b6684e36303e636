// SPDX-License-Identifier: Apache-2.0
//! The compiler.

mod cgroup;
mod lifetime;
mod mounts;
mod namespaces;
mod process;
mod root;
mod seccomp;
mod treatment;

pub use process::command_paths;

use husk_init::{Source, Step};
use husk_spec::{BindIdmap, Config, Origin, Propagation};
pub(crate) use process::resource;

use crate::host::Host;
use crate::plan::{Action, CgroupPlan, HostStep, Note, Plan, PlannedStep, Stage, TreeMaps};
use crate::user_namespace::{self, UserKind, UserPlan};
use crate::{Arena, PlanError};

/// Compiles `config` for `host`. Pure: the same input gives the same plan.
///
/// # Errors
/// Whatever can be known in advance to fail.
pub fn plan<'a>(config: &Config, host: &Host, arena: &'a Arena) -> Result<Plan<'a>, PlanError> {
    let normal = namespaces::checked(config, host)?;
    let config = normal.as_ref().unwrap_or(config);
    let mut notes = Vec::new();
    let root_file_system =
        config.root.as_ref().and_then(|root| host.file_systems.get(&root.path.value).copied());
    let user = user_namespace::decide(arena, &config.namespaces.user, host, root_file_system, &mut notes)?;
    let mut compiler = Compiler {
        arena,
        config,
        host,
        user,
        before: Vec::new(),
        after: Vec::new(),
        meanwhile: Vec::new(),
        child: Vec::new(),
        trees: 0,
        cgroup: None,
        notes,
    };
    compiler.make_cgroup()?;
    compiler.begin()?;
    let clone = compiler.clone_step();
    compiler.take_first_processors();
    compiler.take_oom_score()?;
    compiler.enter_namespaces()?;
    compiler.make_root()?;
    compiler.mount()?;
    compiler.await_cgroup();
    compiler.run_hooks_outside_root()?;
    compiler.enter_root()?;
    let (account, late) = compiler.become_user()?;
    compiler.execute(&account, late)?;
    let Compiler { before, after, child, cgroup, notes, .. } = compiler;
    let steps = before.into_iter().chain([clone]).chain(after).chain(child).collect();
    Ok(Plan { name: config.name.clone(), steps, cgroup, notes, read_back: None })
}

/// A propagation in the terms of the system call.
fn travel(propagation: Propagation) -> husk_init::Propagation {
    match propagation {
        Propagation::Shared => husk_init::Propagation::Shared,
        Propagation::Slave => husk_init::Propagation::Slave,
        Propagation::Private => husk_init::Propagation::Private,
        Propagation::Unbindable => husk_init::Propagation::Unbindable,
    }
}

/// A plan in the making.
struct Compiler<'a, 'c> {
    arena: &'a Arena,
    config: &'c Config,
    host: &'c Host,
    user: UserPlan<'a>,
    /// What husk does before the clone.
    before: Vec<PlannedStep<'a>>,
    /// What husk does after it.
    after: Vec<PlannedStep<'a>>,
    /// What husk does for the container's cgroups while the child mounts; empty if they are there before it is.
    meanwhile: Vec<PlannedStep<'a>>,
    /// What the child does.
    child: Vec<PlannedStep<'a>>,
    /// How many trees have been prepared.
    trees: usize,
    /// The container's own cgroups.
    cgroup: Option<CgroupPlan>,
    /// What a person should know before.
    notes: Vec<Note>,
}

impl<'a> Compiler<'a, '_> {
    fn child(&mut self, stage: Stage, step: Step<'a>, origin: &Origin) {
        self.child.push(PlannedStep { stage, action: Action::Child(step), origin: origin.clone() });
    }

    fn before(&mut self, stage: Stage, step: HostStep<'a>, origin: &Origin) {
        self.before.push(PlannedStep { stage, action: Action::Host(step), origin: origin.clone() });
    }

    fn after(&mut self, step: HostStep<'a>, origin: &Origin) {
        self.after.push(after_clone(step, origin));
    }

    /// A part of the host's tree. A privileged husk prepares it, since the container's ids may not reach it and only husk
    /// may idmap it; otherwise the child can reach what husk can.
    fn host_tree(&mut self, tree: &HostTree<'_>, origin: &Origin) -> Result<Source<'a>, PlanError> {
        let source = self.arena.cstr(tree.path)?;
        let maps = self.tree_maps(tree, origin)?;
        let is_for_husk = self.host.privileged && !self.user.is_host() && !tree.later;
        if !is_for_husk && maps.is_none() && !tree.shared {
            return Ok(Source::Host(source));
        }
        let number = self.trees;
        self.trees += 1;
        let (recursive, propagation) = (tree.recursive, tree.propagation());
        self.before(Stage::Prepare, HostStep::PrepareTree { number, source, recursive, propagation }, origin);
        if let Some((through, recursive)) = maps {
            let step = HostStep::MapTree { number, recursive, through };
            let because = Origin::Because("so that files keep their owners".to_owned());
            match through {
                TreeMaps::Container => self.after(step, &because),
                TreeMaps::Joined(_) => self.before(Stage::Prepare, step, &because),
                TreeMaps::Own { .. } => self.before(Stage::Prepare, step, origin),
            }
        }
        Ok(Source::Prepared(number))
    }

    /// Through which maps a tree is shown, and whether the mounts below are meant too.
    fn tree_maps(
        &self,
        tree: &HostTree<'_>,
        origin: &Origin,
    ) -> Result<Option<(TreeMaps<'a>, bool)>, PlanError> {
        let container = || match self.user.kind {
            UserKind::Host => None,
            UserKind::Join(path) => Some(TreeMaps::Joined(path)),
            UserKind::New { .. } => Some(TreeMaps::Container),
        };
        let (through, recursive) = match tree.idmap {
            BindIdmap::Off => return Ok(None),
            BindIdmap::WherePossible => {
                let possible = self.host.privileged && self.user.shift && self.can_idmap(tree.path);
                return Ok(container().filter(|_| possible).map(|maps| (maps, tree.recursive)));
            }
            BindIdmap::Container { recursive } => {
                let none = || PlanError::Contradiction {
                    origin: origin.clone(),
                    problem: "idmap has no maps to use: the container has no user namespace of its own"
                        .to_owned(),
                    hint: "give uidMappings and gidMappings, or add a user namespace".to_owned(),
                };
                (container().ok_or_else(none)?, *recursive)
            }
            BindIdmap::Own { uids, gids, recursive } => {
                let (uids, gids) = (self.arena.slice(uids), self.arena.slice(gids));
                (TreeMaps::Own { uids, gids }, *recursive)
            }
        };
        if self.host.privileged {
            Ok(Some((through, recursive)))
        } else {
            Err(PlanError::NeedsRoot { origin: origin.clone(), what: "an idmapped mount" })
        }
    }
}

fn after_clone<'a>(step: HostStep<'a>, origin: &Origin) -> PlannedStep<'a> {
    PlannedStep { stage: Stage::Namespaces, action: Action::Host(step), origin: origin.clone() }
}

/// Whether what is mounted on the host later shows in a mount of this kind.
fn follows(propagation: Propagation) -> bool {
    matches!(propagation, Propagation::Shared | Propagation::Slave)
}

/// A part of the host's tree that is wanted.
struct HostTree<'t> {
    path: &'t std::path::Path,
    recursive: bool,
    idmap: &'t BindIdmap,
    /// Whether it is to stay a peer of the host's mount.
    shared: bool,
    /// Whether it is not there before the child waits for husk.
    later: bool,
    /// Whether what is mounted on the host later is to show in it.
    follows_host: bool,
}

impl HostTree<'_> {
    /// But for a peer, it may share nothing with the host's own mounts: what is mounted in the container would turn up there.
    fn propagation(&self) -> husk_init::Propagation {
        match (self.shared, self.follows_host) {
            (true, _) => husk_init::Propagation::Shared,
            (false, true) => husk_init::Propagation::Slave,
            (false, false) => husk_init::Propagation::Private,
        }
    }
}

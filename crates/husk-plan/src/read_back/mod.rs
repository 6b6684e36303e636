// SPDX-License-Identifier: Apache-2.0
//! The planner backwards: from what the kernel shows of a running process to the steps that must have led there.
//!
//! Who made the container does not matter, and what the kernel does not show is not guessed: it is a note, or a step that says
//! so. Each step's origin is the file in `/proc` that shows it.

mod mounts;
mod namespaces;
mod observed;
mod process;

use husk_spec::Origin;

use crate::plan::{Action, HostStep, Note, Plan, PlannedStep, ReadBack, Stage};
use crate::seen::Seen;
use crate::{Arena, PlanError};
use husk_init::Step;
pub use observed::{
    Observed, ObservedCapabilities, ObservedCgroup, ObservedIds, ObservedMount, ObservedProcess,
    ObservedRoot, ObservedSeccomp, Whose,
};

/// The steps that must have led to what was observed: none, if the process sees what the host sees and may do what anybody
/// there may.
///
/// # Errors
/// A string with a NUL in it, which the kernel gives nowhere.
pub fn read_back<'a>(observed: &Observed, arena: &'a Arena) -> Result<Plan<'a>, PlanError> {
    let mut reader = Reader {
        arena,
        observed,
        before: Vec::new(),
        after: Vec::new(),
        child: Vec::new(),
        notes: Vec::new(),
        trees: 0,
    };
    reader.say_what_is_unreadable();
    let clone = reader.namespaces()?;
    reader.root_and_mounts()?;
    reader.process()?;
    let Reader { before, after, child, notes, .. } = reader;
    let mut steps: Vec<PlannedStep<'a>> = before.into_iter().chain(clone).chain(after).chain(child).collect();
    steps.sort_by_key(|step| step.stage);
    let read_back = Some(ReadBack {
        pid: observed.pid,
        maker: observed.maker.clone(),
        is_first: observed.pids.last() == Some(&1) || observed.is_first,
        is_seen: !observed.namespaces.is_empty(),
    });
    Ok(Plan { name: observed.name.clone(), steps, cgroup: None, notes, read_back })
}

/// A plan in the making.
struct Reader<'a, 'o> {
    arena: &'a Arena,
    observed: &'o Observed,
    /// What was done on the host before the process was made.
    before: Vec<PlannedStep<'a>>,
    /// What was done to it from outside.
    after: Vec<PlannedStep<'a>>,
    /// What it did itself, or those that it comes from.
    child: Vec<PlannedStep<'a>>,
    notes: Vec<Note>,
    trees: usize,
}

impl<'a> Reader<'a, '_> {
    /// The origin: a file of the process's in `/proc`, and what is in it.
    fn shown_by(&self, file: &str) -> Origin {
        Origin::Because(format!("/proc/{}/{file}", self.observed.pid))
    }

    fn child(&mut self, stage: Stage, step: Step<'a>, origin: Origin) {
        self.child.push(PlannedStep { stage, action: Action::Child(step), origin });
    }

    fn before(&mut self, stage: Stage, step: HostStep<'a>, origin: Origin) {
        self.before.push(PlannedStep { stage, action: Action::Host(step), origin });
    }

    fn after(&mut self, action: Action<'a>, origin: Origin) {
        self.after.push(PlannedStep { stage: Stage::Namespaces, action, origin });
    }

    fn seen(&mut self, stage: Stage, seen: Seen<'a>, origin: Origin) {
        self.child.push(PlannedStep { stage, action: Action::Seen(seen), origin });
    }

    fn note(&mut self, what: impl Into<String>, cure: Option<&str>) {
        self.notes.push(Note { what: what.into(), cure: cure.map(str::to_owned) });
    }

    fn say_what_is_unreadable(&mut self) {
        let unreadable = &self.observed.unreadable;
        if unreadable.is_empty() {
            return;
        }
        let what =
            format!("you may not read {}: what they would show is missing here", unreadable.join(", "));
        self.note(what, (!self.observed.is_reader_root).then_some("ask again as root"));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! What this host can do: facts ([`husk_plan::survey`]), trials, and the findings made of them. Nothing is changed.
//!
//! The findings are a pure function of the facts, and all their words are here.

mod cgroups;
mod kernel;
mod places;
mod security;
mod trial;
mod users;

use husk_init::Step;
use husk_plan::survey::Survey;
use husk_plan::{Action, HostStep};

pub use places::Places;
pub use trial::{Trials, Tried};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The kernel and what it can do.
    Kernel,
    /// User namespaces, and what works in them.
    Users,
    /// Which ids may be mapped.
    Ids,
    /// Limits.
    Cgroups,
    /// Security modules and system call filters.
    Security,
    /// Whether husk runs in a container itself.
    Nesting,
    /// The terminal, root file systems, husk itself.
    Places,
}

impl Group {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Kernel, Self::Users, Self::Ids, Self::Cgroups, Self::Security, Self::Nesting, Self::Places];

    /// Its name, for people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Users => "users",
            Self::Ids => "ids",
            Self::Cgroups => "cgroups",
            Self::Security => "security",
            Self::Nesting => "nesting",
            Self::Places => "places",
        }
    }
}

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// It works, at a cost.
    Limited,
    /// It does not work.
    Missing,
}

impl State {
    /// Its name, for people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The word by which it can be asked for: `overlay`.
    pub id: String,
    /// What it is about.
    pub group: Group,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What it costs that it is not good.
    pub cost: Option<String>,
    /// What to do about it: a command, where there is one.
    pub cure: Option<String>,
    /// Whether no container can run with husk's defaults if it is missing.
    pub needed: bool,
}

impl Finding {
    fn new(group: Group, id: impl Into<String>, state: State, found: impl Into<String>) -> Self {
        let (id, found) = (id.into(), found.into());
        Self { id, group, state, found, cost: None, cure: None, needed: false }
    }

    fn good(group: Group, id: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(group, id, State::Good, found)
    }

    fn limited(
        group: Group,
        id: impl Into<String>,
        found: impl Into<String>,
        cost: impl Into<String>,
    ) -> Self {
        Self { cost: Some(cost.into()), ..Self::new(group, id, State::Limited, found) }
    }

    fn missing(
        group: Group,
        id: impl Into<String>,
        found: impl Into<String>,
        cost: impl Into<String>,
    ) -> Self {
        Self { cost: Some(cost.into()), ..Self::new(group, id, State::Missing, found) }
    }

    fn cure(self, cure: impl Into<String>) -> Self {
        Self { cure: Some(cure.into()), ..self }
    }

    fn needed(self) -> Self {
        Self { needed: true, ..self }
    }
}

/// All that is known about a host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What it says of itself.
    pub survey: Survey,
    /// What was tried.
    pub trials: Trials,
    /// Where husk is and what it has there.
    pub places: Places,
}

impl Facts {
    /// Looks and tries.
    pub fn gather() -> Self {
        let survey = Survey::look();
        let places = Places::look();
        let trials = Trials::make(survey.account.privileged, places.default_root.as_deref());
        Self { survey, trials, places }
    }

    /// What there is to say about them, in the order of the groups.
    pub fn findings(&self) -> Vec<Finding> {
        let parts = [
            kernel::findings(self),
            users::findings(self),
            cgroups::findings(self),
            security::findings(self),
            places::findings(self),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// Whether a container can run with husk's defaults.
pub fn can_run(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| !(finding.needed && finding.state == State::Missing))
}

/// The findings that `word` asks for: those of a group, or the one with that id.
pub fn asked<'f>(findings: &'f [Finding], word: &str) -> Vec<&'f Finding> {
    findings.iter().filter(|finding| finding.group.name() == word || finding.id == word).collect()
}

/// The findings that can explain why `call` failed in a step that does `action`: those that are not good.
pub fn relevant<'f>(findings: &'f [Finding], action: &Action<'_>, call: &str) -> Vec<&'f Finding> {
    let ids: &[&str] = match action {
        Action::Host(HostStep::Clone { .. }) | Action::Child(Step::Namespaces(_)) => &[
            "version",
            "clone3",
            "user-namespaces",
            "max-namespaces",
            "userns-clone",
            "apparmor-userns",
            "nested",
            "seccomp",
            "mnt",
            "pid",
            "net",
            "ipc",
            "uts",
            "cgroup",
            "time",
        ],
        Action::Host(HostStep::MapIds(_)) => {
            &["map-ids", "subuid", "subgid", "newuidmap", "newgidmap", "apparmor-userns", "ids"]
        }
        Action::Host(HostStep::MapTree { .. }) => &["idmap", "version"],
        Action::Child(Step::Mount { filesystem, .. }) if filesystem.kind == c"proc" => {
            &["new-proc", "nested", "apparmor-userns", "label"]
        }
        Action::Child(Step::Mount { filesystem, .. }) if filesystem.kind == c"sysfs" => {
            &["new-sysfs", "nested", "apparmor-userns", "label"]
        }
        Action::Child(Step::OpenProc | Step::Sysctl { .. }) => &["new-proc", "nested"],
        Action::Child(Step::Scratch { .. } | Step::Lower(_) | Step::Overlay(_)) => {
            &["overlay", "overlay-upper", "apparmor-userns", "label", "selinux"]
        }
        Action::Child(Step::TimeNamespace { .. }) => &["time"],
        Action::Child(Step::Exec(_)) => &["selinux"],
        Action::Child(_) if ["mount_setattr", "move_mount", "open_tree", "fsopen"].contains(&call) => {
            &["mounts-inside", "apparmor-userns", "label", "selinux"]
        }
        _ => &[],
    };
    let matters = |finding: &&Finding| finding.state != State::Good && ids.contains(&finding.id.as_str());
    findings.iter().filter(matters).collect()
}

/// `a`, `a and b`, `a, b and c`.
fn list<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<_> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: Apache-2.0
//! From the limits of a configuration to the files of a cgroup and what is written into them. Pure.
//!
//! The fields are those of the OCI specification, `linux.resources`; the files those of the kernel's
//! `admin-guide/cgroup-v1` and `cgroup-v2.rst`. The values are those that runc 1.5 writes: where it takes 0 for "not
//! set", as Go programs send it, so does this. Where runc passes over what a hierarchy cannot do, this is an error.

mod block_io;
mod cpu;
mod memory;
mod others;
#[cfg(test)]
mod tests;

use husk_spec::oci::Resources;

/// The two kinds of hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// One for each controller, or for a few together.
    V1,
    /// One for all.
    V2,
}

/// One value for one file of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The controller whose file it is: `memory`. `cgroup` for the files that every cgroup of version 2 has.
    pub controller: String,
    /// The file: `memory.max`.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The field that asks for it: `linux.resources.memory.limit`.
    pub origin: String,
    /// What to do where the kernel has no such file.
    pub missing: Missing,
}

impl Write {
    /// The line of a device's file that it takes the place of; what it would say, if there is none.
    fn line_in(&self, text: &str, unset: &str) -> String {
        // A weight without a device is that of all others.
        let key = self.value.split_once(' ').map_or("default", |(key, _)| key);
        let line = text.lines().find(|line| line.split(' ').next() == Some(key));
        line.map_or_else(|| format!("{key} {unset}"), str::to_owned)
    }

    /// The files that it may change.
    fn files(&self) -> impl Iterator<Item = &str> {
        let instead = match &self.missing {
            Missing::Instead { file, .. } => Some(file.as_str()),
            _ => None,
        };
        // A cgroup that becomes idle, or no longer is, loses its share.
        let share: &[&str] = if self.file == "cpu.idle" { &["cpu.shares", "cpu.weight"] } else { &[] };
        [self.file.as_str()].into_iter().chain(instead).chain(share.iter().copied())
    }
}

/// What to do where the kernel has no such file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Fail: what was asked for cannot be had.
    Refuse,
    /// Nothing: without the file there is nothing to limit.
    Skip,
    /// Write another file of the same controller.
    Instead {
        /// The other file.
        file: String,
        /// What is written there.
        value: String,
    },
}

/// What a configuration comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What is written, in this order.
    pub writes: Vec<Write>,
    /// What an update must look at first.
    pub check: Option<UsageCheck>,
    /// Fields that no kernel of today heeds, which engines may still send: to be reported, not to fail for.
    pub without_effect: Vec<Ignored>,
}

impl Limits {
    /// The controllers that the writes need, each once, in alphabetical order.
    pub fn controllers(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.writes.iter().map(|write| write.controller.as_str()).collect();
        names.retain(|name| *name != CORE);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The files that change when the writes are made.
    pub(crate) fn files(&self) -> Vec<&str> {
        self.writes.iter().flat_map(Write::files).collect()
    }

    /// The limits that are in force in these files, `now` telling what is in one that is there.
    pub(crate) fn in_force(&self, now: impl Fn(&str) -> Option<String>) -> Self {
        let held = |write: &Write, file: &str| {
            let (controller, origin) = (write.controller.clone(), write.origin.clone());
            let text = now(file)?;
            let value = match unset(file) {
                Some(unset) => write.line_in(&text, unset),
                None => text.trim_end().to_owned(),
            };
            Some(Write { controller, file: file.to_owned(), value, origin, missing: Missing::Skip })
        };
        let writes =
            self.writes.iter().flat_map(|write| write.files().filter_map(move |file| held(write, file)));
        Self { writes: writes.collect(), ..Self::default() }
    }
}

/// The files that every cgroup of version 2 has, with all controllers off.
const CORE: &str = "cgroup";

/// `memory.checkBeforeUpdate` on version 2: an update below what is in use is refused. On version 1 the kernel itself
/// refuses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageCheck {
    /// The new limit of memory, in bytes.
    pub limit: Option<u64>,
    /// The new limit of memory and swap together, in bytes.
    pub swap: Option<u64>,
}

/// A field without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The field: `linux.resources.memory.kernel`.
    pub field: String,
    /// Why it has none.
    pub reason: &'static str,
}

/// A limit that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct LimitError {
    /// The field: `linux.resources.memory.swap`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is version 1 that has it.
    #[error("cgroup v2 has no such limit; {0}")]
    OnlyV1(&'static str),
    /// It is version 2 that has it.
    #[error(
        "this needs cgroup v2, and this host has its controllers in v1; use the field of the limit instead"
    )]
    OnlyV2,
    /// The number is not one of those possible.
    #[error("{value} is out of range: {range}")]
    Range {
        /// The number.
        value: i128,
        /// Which are possible.
        range: &'static str,
    },
    /// It contradicts another field.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A text that is none of those possible.
    #[error("{value:?} is not {expected}")]
    Form {
        /// The text.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// What to write for `resources` in a hierarchy. Device rules are not here: see `device`.
///
/// # Errors
/// The field that the hierarchy cannot do, or whose value no kernel would take.
pub fn files(resources: &Resources, hierarchy: Hierarchy) -> Result<Limits, LimitError> {
    let mut list = List { hierarchy, limits: Limits::default() };
    others::pids(resources, &mut list);
    if let Some(memory) = &resources.memory {
        memory::writes(memory, &mut list)?;
    }
    if let Some(block_io) = &resources.block_io {
        block_io::writes(block_io, &mut list)?;
    }
    if let Some(cpu) = &resources.cpu {
        cpu::writes(cpu, &mut list)?;
    }
    others::hugepages(resources, &mut list)?;
    others::rdma(resources, &mut list)?;
    others::network(resources, &mut list)?;
    others::unified(resources, &mut list)?;
    Ok(list.limits)
}

/// The list while it is made.
struct List {
    hierarchy: Hierarchy,
    limits: Limits,
}

impl List {
    fn is_v2(&self) -> bool {
        self.hierarchy == Hierarchy::V2
    }

    /// The controller is the file's first word. `field` is below `linux.resources`.
    fn push(&mut self, file: &str, value: impl ToString, field: &str, missing: Missing) {
        self.limits.writes.push(Write {
            controller: file.split('.').next().unwrap_or(file).to_owned(),
            file: file.to_owned(),
            value: value.to_string(),
            origin: origin(field),
            missing,
        });
    }

    fn require(&mut self, file: &str, value: impl ToString, field: &str) {
        self.push(file, value, field, Missing::Refuse);
    }

    fn ignore(&mut self, field: &str, reason: &'static str) {
        self.limits.without_effect.push(Ignored { field: origin(field), reason });
    }
}

fn origin(field: &str) -> String {
    format!("linux.resources.{field}")
}

fn error(field: &str, problem: Problem) -> LimitError {
    LimitError { field: origin(field), problem }
}

/// Go programs send 0 for "not set".
pub(crate) fn set<T: Copy + Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// What takes a line away from a file that has one for each device or interface, which stands first in it. `None` for a file with
/// one value.
pub(crate) fn unset(file: &str) -> Option<&'static str> {
    match file {
        "io.max" => Some("rbps=max wbps=max riops=max wiops=max"),
        "io.latency" => Some("target=max"),
        "io.weight" | "io.bfq.weight" => Some("default"),
        "rdma.max" => Some("hca_handle=max hca_object=max"),
        "misc.max" => Some("max"),
        "net_prio.ifpriomap" => Some("0"),
        _ if file.starts_with("blkio.throttle.") || file.ends_with("weight_device") => Some("0"),
        _ => None,
    }
}

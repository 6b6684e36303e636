// SPDX-License-Identifier: Apache-2.0
//! Effects: what a plan says, done.
//!
//! [`run`] starts a container and stays with it until it ends. Nothing that it does needs to be cleaned up afterwards by
//! anybody: namespaces, mounts and overlays live as long as the container's processes, claimed ids as long as husk, and
//! should husk be killed, its guard ends the container.
#![forbid(unsafe_code)]

mod bundle_hooks;
mod claim;
pub mod container;
pub mod doctor;
pub mod elf;
mod error;
mod hint;
mod id_map;
pub mod ldcache;
mod link;
mod net_device;
mod netlink;
pub mod own_binary;
mod passing;
pub mod past_failures;
mod pause;
mod refusals;
mod resctrl;
pub mod rootfs;
pub mod seccomp_log;
pub mod shebang;
mod start;
mod stopwatch;
mod supervise;
mod terminal;
pub mod why;
pub mod why_exec;

pub use bundle_hooks::BundleHooks;
pub use error::{Error, StepError};
pub use pause::{Next, Pause, take_foreground};
pub use refusals::{Refusal, run_told};

use std::time::Duration;

pub use husk_cgroup::{MemoryKills, MemoryLimit};
use husk_plan::Plan;
use husk_spec::Terminal;
use pause::{Pauses, Stops};
use stopwatch::Stopwatch;

/// How a container's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(u8),
    /// By a signal.
    Killed {
        /// Its number.
        signal: i32,
        /// Whether husk did what the signal would have done: a PID 1 without a handler for it does not notice it.
        by_husk: bool,
    },
}

impl End {
    /// The exit status as a shell would have it: 128 + N for signal N.
    pub fn status(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Killed { signal, .. } => 128 + signal as u8,
        }
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its first process.
    pub end: End,
    /// Whether the kernel has killed processes of it for want of memory, as far as a cgroup of its own counted them.
    pub memory: Option<MemoryKills>,
}

/// Runs a container to its end and returns how it ended; with the hooks of its bundle, if it has any.
///
/// # Errors
/// Whatever kept the command from running; nothing is left of the attempt.
pub fn run(plan: &Plan<'_>, terminal: &Terminal, hooks: Option<&mut BundleHooks>) -> Result<Ended, Error> {
    attend(plan, terminal, hooks, &Stopwatch::default(), None, None)
}

/// As [`run`], and says what each step of the plan has cost.
///
/// # Errors
/// As [`run`].
pub fn run_timed(
    plan: &Plan<'_>,
    terminal: &Terminal,
    hooks: Option<&mut BundleHooks>,
) -> Result<(End, Vec<Duration>), Error> {
    let stopwatch = Stopwatch::started(plan.steps.len()).map_err(Error::Supervise)?;
    let ended = attend(plan, terminal, hooks, &stopwatch, None, None)?;
    Ok((ended.end, stopwatch.costs(plan)))
}

/// As [`run`], for a plan with pauses: at each of them `ask` says how to go on. `None` if it says to stop.
///
/// # Errors
/// As [`run`].
pub fn run_stepwise(
    plan: &Plan<'_>,
    terminal: &Terminal,
    hooks: Option<&mut BundleHooks>,
    ask: &mut dyn FnMut(Pause) -> Next,
) -> Result<Option<Ended>, Error> {
    let mut stopped = false;
    let ask = |pause| {
        let next = ask(pause);
        stopped |= next == Next::Stop;
        next
    };
    let ended = attend(plan, terminal, hooks, &Stopwatch::default(), Some(Pauses::of(plan, ask)), None)?;
    Ok((!stopped).then_some(ended))
}

fn attend(
    plan: &Plan<'_>,
    terminal: &Terminal,
    mut hooks: Option<&mut BundleHooks>,
    stopwatch: &Stopwatch,
    pauses: Option<Pauses<'_>>,
    listen: Option<supervise::Listen<'_>>,
) -> Result<Ended, Error> {
    let signals = supervise::Signals::take().map_err(Error::Supervise)?;
    let terminal = terminal::HostTerminal::new(terminal);
    let states = hooks.as_ref().map_or(&[][..], |hooks| hooks.states());
    let inheritance = start::Inheritance { states, description: &plan.name, ..start::Inheritance::default() };
    let ended = start::start(plan, inheritance, &terminal, stopwatch).and_then(|container| {
        let stops = Stops::of(plan, hooks.as_deref_mut(), pauses);
        supervise::stay(plan, container, terminal, &signals, stopwatch, (stops, listen))
    });
    if let Some(hooks) = hooks {
        hooks.ended();
    }
    ended
}

// SPDX-License-Identifier: Apache-2.0
//! Effects: what a plan says, done.
//!
//! [`run`] starts a container and stays with it until it ends. Nothing that it does needs to be cleaned up afterwards by
//! anybody: namespaces, mounts and overlays live as long as the container's processes, claimed ids as long as husk, and
//! should husk be killed, its guard ends the container.
#![forbid(unsafe_code)]

mod claim;
pub mod elf;
mod error;
mod hint;
mod id_map;
pub mod ldcache;
mod link;
mod pause;
pub mod rootfs;
pub mod shebang;
mod start;
mod stopwatch;
mod supervise;
mod terminal;
pub mod why_exec;

pub use error::{Error, StepError};
pub use pause::{Next, Pause, take_foreground};

use std::time::Duration;

use husk_plan::Plan;
use husk_spec::Terminal;
use pause::Pauses;
use stopwatch::Stopwatch;

/// Runs a container to its end and returns its exit status: the command's own, or 128 + N if signal N ended it.
///
/// # Errors
/// Whatever kept the command from running; nothing is left of the attempt.
pub fn run(plan: &Plan<'_>, terminal: &Terminal) -> Result<u8, Error> {
    attend(plan, terminal, &Stopwatch::default(), None)
}

/// As [`run`], and says what each step of the plan has cost.
///
/// # Errors
/// As [`run`].
pub fn run_timed(plan: &Plan<'_>, terminal: &Terminal) -> Result<(u8, Vec<Duration>), Error> {
    let stopwatch = Stopwatch::started(plan.steps.len()).map_err(Error::Supervise)?;
    let status = attend(plan, terminal, &stopwatch, None)?;
    Ok((status, stopwatch.costs(plan)))
}

/// As [`run`], for a plan with pauses: at each of them `ask` says how to go on. `None` if it says to stop.
///
/// # Errors
/// As [`run`].
pub fn run_stepwise(
    plan: &Plan<'_>,
    terminal: &Terminal,
    ask: &mut dyn FnMut(Pause) -> Next,
) -> Result<Option<u8>, Error> {
    let mut stopped = false;
    let ask = |pause| {
        let next = ask(pause);
        stopped |= next == Next::Stop;
        next
    };
    let status = attend(plan, terminal, &Stopwatch::default(), Some(Pauses::of(plan, ask)))?;
    Ok((!stopped).then_some(status))
}

fn attend(
    plan: &Plan<'_>,
    terminal: &Terminal,
    stopwatch: &Stopwatch,
    pauses: Option<Pauses<'_>>,
) -> Result<u8, Error> {
    let signals = supervise::Signals::take().map_err(Error::Supervise)?;
    let terminal = terminal::HostTerminal::new(terminal);
    let container = start::start(plan, &terminal, stopwatch)?;
    supervise::stay(plan, container, terminal, &signals, stopwatch, pauses)
}

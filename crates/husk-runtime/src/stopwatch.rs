// SPDX-License-Identifier: Apache-2.0
//! What each step costs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use husk_plan::{Action, Actor, HostStep, Plan};
use husk_sys::{SharedNumbers, now};
use rustix::io;

/// When each step of a plan was done, in memory that the child has as well; or nothing, which costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch(Option<(u64, SharedNumbers)>);

impl Stopwatch {
    /// One that runs, for `steps` steps.
    pub(crate) fn started(steps: usize) -> io::Result<Self> {
        Ok(Self(Some((now(), SharedNumbers::new(steps)?))))
    }

    /// Notes that step number `index` is done.
    pub(crate) fn done(&self, index: usize) {
        if let Some((_, times)) = &self.0 {
            times.as_slice()[index].store(now(), Ordering::Relaxed);
        }
    }

    /// Where a child whose first step is number `first` notes its own.
    pub(crate) fn of_child(&self, first: usize) -> Option<&[AtomicU64]> {
        self.0.as_ref().map(|(_, times)| &times.as_slice()[first..])
    }

    /// What each step has cost: the time since the same process's step before it. Those of the child start when it has
    /// been made.
    pub(crate) fn costs(&self, plan: &Plan<'_>) -> Vec<Duration> {
        let Some((begin, times)) = &self.0 else { return Vec::new() };
        let (mut husk, mut child) = (*begin, *begin);
        let costs = plan.steps.iter().zip(times.as_slice()).map(|(step, done)| {
            let before = match step.actor() {
                Actor::Husk => &mut husk,
                Actor::Container => &mut child,
            };
            let done = done.load(Ordering::Relaxed);
            let cost = Duration::from_nanos(done.saturating_sub(*before));
            *before = done.max(*before);
            if let Action::Host(HostStep::Clone { .. }) = step.action {
                child = husk;
            }
            cost
        });
        costs.collect()
    }
}

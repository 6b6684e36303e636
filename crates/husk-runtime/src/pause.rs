// SPDX-License-Identifier: Apache-2.0
//! Pauses between the stages of a start, for somebody who looks round.

use std::collections::VecDeque;

use husk_init::Step;
use husk_plan::{Action, HostStep, Plan, PlannedStep, Stage};
use husk_sys::{SignalSet, set_signal_mask};
use rustix::process::{Signal, getpgrp};
use rustix::stdio::stdin;
use rustix::termios::tcsetpgrp;

use crate::BundleHooks;

/// A stop after a stage. The container's first process waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The stage that is over.
    pub stage: Stage,
    /// The process, as husk counts it.
    pub pid: i32,
}

/// What is to be done at a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next stage.
    GoOn,
    /// Nothing more: the container is ended.
    Stop,
}

/// Puts husk in the foreground of its terminal again, where a shell in another pid namespace has been: that shell could not
/// name husk's process group when it ended.
pub fn take_foreground() {
    let stops = SignalSet::EMPTY.with(Signal::TTOU);
    if let Ok(before) = set_signal_mask(stops) {
        // Without a terminal there is no foreground.
        let _ = tcsetpgrp(stdin(), getpgrp());
        let _ = set_signal_mask(before);
    }
}

/// Whom to ask at each stop, and the stops that are still to come.
pub(crate) struct Pauses<'a> {
    stages: VecDeque<Stage>,
    ask: Box<dyn FnMut(Pause) -> Next + 'a>,
}

impl<'a> Pauses<'a> {
    pub(crate) fn of(plan: &Plan<'_>, ask: impl FnMut(Pause) -> Next + 'a) -> Self {
        Self { stages: plan.pauses().collect(), ask: Box::new(ask) }
    }

    /// Asks what to do now that process `pid` waits.
    pub(crate) fn ask(&mut self, pid: i32) -> Next {
        self.stages.pop_front().map_or(Next::GoOn, |stage| (self.ask)(Pause { stage, pid }))
    }
}

/// Where the child of an attended container waits for husk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// For the hooks; with the number of husk's step.
    Hooks(usize),
    /// For somebody who looks round.
    Look,
}

/// The stops that are still to come, and who has something to do there or later.
#[derive(Default)]
pub(crate) struct Stops<'a> {
    pub(crate) next: VecDeque<Stop>,
    pub(crate) hooks: Option<&'a mut BundleHooks>,
    pub(crate) pauses: Option<Pauses<'a>>,
    /// Whether somebody has said to stop: there will be no command.
    pub(crate) is_over: bool,
}

impl<'a> Stops<'a> {
    pub(crate) fn of(
        plan: &Plan<'_>,
        hooks: Option<&'a mut BundleHooks>,
        pauses: Option<Pauses<'a>>,
    ) -> Self {
        let is_hosts = |step: &PlannedStep<'_>| matches!(step.action, Action::Host(HostStep::Hooks));
        let hosts = plan.steps.iter().position(is_hosts).unwrap_or_default();
        let stop = |step: &PlannedStep<'_>| match step.action {
            Action::Child(Step::AwaitHooks) => Some(Stop::Hooks(hosts)),
            Action::Child(Step::Pause) => Some(Stop::Look),
            _ => None,
        };
        Self { next: plan.steps.iter().filter_map(stop).collect(), hooks, pauses, is_over: false }
    }
}

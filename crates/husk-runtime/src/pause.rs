// SPDX-License-Identifier: Apache-2.0
//! Pauses between the stages of a start, for somebody who looks round.

use std::collections::VecDeque;

use husk_plan::{Plan, Stage};
use husk_sys::{SignalSet, set_signal_mask};
use rustix::process::{Signal, getpgrp};
use rustix::stdio::stdin;
use rustix::termios::tcsetpgrp;

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

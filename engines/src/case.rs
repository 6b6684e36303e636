// SPDX-License-Identifier: Apache-2.0
//! A case: what is typed, and what must come of it whatever the runtime.

use crate::Engine;

/// Something that people and programs do with an engine.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name among the cases of its engine.
    pub name: &'static str,
    /// The engine.
    pub engine: Engine,
    /// What is typed, one after the other; all of it is compared.
    pub steps: &'static [Step],
}

/// A line that is typed into a shell of the world.
///
/// What comes of it (exit status, standard output, standard error) is the same with every runtime, once what differs
/// from run to run is taken out.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The line.
    pub typed: &'static str,
    /// The exit status that it must have, with the reference too: else the case shows nothing.
    pub exits: i32,
    /// What its standard output must contain, with the reference too: the proof that the step does what it is for.
    pub shows: &'static str,
}

/// A step that succeeds.
pub(crate) const fn does(typed: &'static str) -> Step {
    Step { typed, exits: 0, shows: "" }
}

/// A step that succeeds and prints something with this in it.
pub(crate) const fn shows(typed: &'static str, shows: &'static str) -> Step {
    Step { typed, exits: 0, shows }
}

/// A step that ends with this exit status.
pub(crate) const fn exits(exits: i32, typed: &'static str) -> Step {
    Step { typed, exits, shows: "" }
}

// SPDX-License-Identifier: Apache-2.0
//! `husk explain --pid N` and `husk explain CONTAINER`.

use std::process::ExitCode;

use husk_plan::Arena;
use husk_plan::read_back::read_back;

use super::see::{Target, details, find, observe};
use crate::cli::{ExplainRunning, is_slip};
use crate::failure::{COMMAND_FAILED, Failure};
use crate::observe;
use crate::output;

/// Tells how a running process came to what it sees.
///
/// # Errors
/// `/proc` cannot be read; there is no such process or container.
pub(crate) fn explain(explain: &ExplainRunning) -> Result<ExitCode, Failure> {
    let machine = observe()?;
    let target = match (explain.pid, &explain.container) {
        (Some(pid), _) => {
            // Looked for as a process alone: a container may be called 7.
            let process = machine.process(pid).ok_or_else(|| Failure {
                doing: format!("looking for process {pid}"),
                problem: "there is none with this id".to_owned(),
                hints: vec!["`husk see` lists the containers and their processes".to_owned()],
                status: COMMAND_FAILED,
            })?;
            Target { container: machine.container_of(process.pid), pid }
        }
        (None, name) => {
            let name = name.as_deref().unwrap_or_default();
            find(&machine, name).map_err(|failure| meant_run(failure, name))?
        }
    };
    let seen = details(&machine, target.pid)?;
    let own = details(&machine, machine.own_id())?;
    let observed = observe::observe(&machine, target.container, &seen, &own);
    let arena = Arena::new();
    let plan = read_back(&observed, &arena).map_err(|error| Failure {
        doing: format!("explaining process {}", target.pid),
        problem: error.to_string(),
        hints: Vec::new(),
        status: COMMAND_FAILED,
    })?;
    Ok(output::explanation(&plan, explain.format, rustix::process::geteuid().as_raw(), None))
}

/// No container is called so, and it may be the word `run` that was meant.
fn meant_run(failure: Failure, word: &str) -> Failure {
    let mut hints = failure.hints;
    if is_slip(word, "run") {
        hints.insert(0, "did you mean `husk explain run`?".to_owned());
    }
    Failure { hints, ..failure }
}

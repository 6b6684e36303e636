// SPDX-License-Identifier: Apache-2.0
//! `husk run` and `husk explain run`.

use std::path::PathBuf;
use std::process::ExitCode;

use husk_spec::Config;

use crate::caller::Caller;
use crate::cli::Run;
use crate::failure::{COMMAND_FAILED, Failure, RUN_FAILED};
use crate::lower::{Lowered, lower};
use crate::output;

/// What to do with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Run it.
    Run,
    /// Print the plan, then run it.
    ExplainAndRun,
    /// Print the plan alone.
    Explain,
}

/// Runs a container; the exit status is its command's.
///
/// # Errors
/// Whatever keeps the command from running.
pub(crate) fn run(run: &Run) -> Result<ExitCode, Failure> {
    let mode = if run.options.explain { Mode::ExplainAndRun } else { Mode::Run };
    start(configure(run)?, mode)
}

/// Prints the plan of a container and runs nothing.
///
/// # Errors
/// Whatever keeps the plan from being made.
pub(crate) fn explain(run: &Run) -> Result<ExitCode, Failure> {
    let as_explain = |failure| Failure { status: COMMAND_FAILED, ..failure };
    configure(run).and_then(|config| start(config, Mode::Explain)).map_err(as_explain)
}

fn configure(run: &Run) -> Result<Config, Failure> {
    let caller = Caller::of_this_process(run, default_root()?)?;
    let Lowered { config, notes } = lower(run, &caller)?;
    if !run.options.quiet {
        notes.iter().for_each(|note| output::note(note));
    }
    Ok(config)
}

/// Where the root for containers without one is.
fn default_root() -> Result<PathBuf, Failure> {
    Ok(PathBuf::from("/var/lib/husk/root"))
}

fn start(config: Config, mode: Mode) -> Result<ExitCode, Failure> {
    Err(Failure {
        doing: format!("starting {}", config.name),
        problem: format!("{mode:?} is not built yet"),
        hints: Vec::new(),
        status: RUN_FAILED,
    })
}

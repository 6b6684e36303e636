// SPDX-License-Identifier: Apache-2.0
//! `husk run` and `husk explain run`.

use std::path::PathBuf;
use std::process::ExitCode;

use husk_plan::{Arena, Host};
use husk_runtime::rootfs::{self, default_root_path, ensure_default_root};
use husk_spec::Config;

use crate::caller::Caller;
use crate::cli::Run;
use crate::commands::why::Teller;
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
    /// Run it, and tell at length how it ended.
    Why,
}

/// Runs a container; the exit status is its command's.
///
/// # Errors
/// Whatever keeps the command from running.
pub(crate) fn run(run: &Run) -> Result<ExitCode, Failure> {
    let mode = if run.options.explain { Mode::ExplainAndRun } else { Mode::Run };
    start(run, &configure(run)?, mode)
}

/// Prints the plan of a container and runs nothing.
///
/// # Errors
/// Whatever keeps the plan from being made.
pub(crate) fn explain(run: &Run) -> Result<ExitCode, Failure> {
    let as_explain = |failure| Failure { status: COMMAND_FAILED, ..failure };
    configure(run).and_then(|config| start(run, &config, Mode::Explain)).map_err(as_explain)
}

/// Runs a container as [`run`] does, and tells how it ended.
///
/// # Errors
/// What keeps the container from being planned at all; all else is told.
pub(crate) fn why(run: &Run) -> Result<ExitCode, Failure> {
    start(run, &configure(run)?, Mode::Why)
}

fn configure(run: &Run) -> Result<Config, Failure> {
    // Only where it is needed: who names a root needs no home.
    let default_root = match &run.rootfs {
        Some(_) => PathBuf::new(),
        None => default_root_path().map_err(default_root_failure)?,
    };
    let caller = Caller::of_this_process(run, default_root)?;
    let Lowered { config, notes } = lower(run, &caller)?;
    if !run.options.quiet {
        notes.iter().for_each(|note| output::note(note));
    }
    Ok(config)
}

fn start(run: &Run, config: &Config, mode: Mode) -> Result<ExitCode, Failure> {
    let uses_default_root = run.rootfs.is_none() && config.root.is_some();
    if uses_default_root && mode != Mode::Explain {
        build_default_root(run.options.quiet)?;
    }
    let is_built = config.root.as_ref().is_none_or(|root| root.path.value.exists());
    let host =
        if uses_default_root && !is_built { Host::probe_before_root(config) } else { Host::probe(config) };
    let arena = Arena::new();
    let teller = Teller::new(&config.name, mode == Mode::Why);
    let plan = match host.and_then(|host| husk_plan::plan(config, &host, &arena)) {
        Ok(plan) => plan,
        Err(error) => return teller.cannot_plan(&error),
    };
    if matches!(mode, Mode::Explain | Mode::ExplainAndRun) {
        output::plan(&plan, mode == Mode::Explain);
    }
    if mode == Mode::Explain {
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(mode, Mode::Run | Mode::Why) && !run.options.quiet {
        plan.notes.iter().for_each(|note| output::note(&note.what));
    }
    match husk_runtime::run(&plan, &config.process.terminal) {
        Ok(end) => Ok(teller.ended(end)),
        Err(error) => teller.cannot_start(&plan, &error),
    }
}

/// Builds the root for containers without one, if this is the first of them.
fn build_default_root(quiet: bool) -> Result<(), Failure> {
    let root = ensure_default_root().map_err(default_root_failure)?;
    if let Some(built) = root.built.filter(|_| !quiet) {
        output::note(&format!("built the default root in {}", built.dir.display()));
        built.notes.iter().for_each(|note| output::note(&note.to_string()));
    }
    Ok(())
}

fn default_root_failure(error: rootfs::Error) -> Failure {
    Failure {
        doing: "preparing the default root".to_owned(),
        hints: error.hint().into_iter().collect(),
        problem: error.to_string(),
        status: RUN_FAILED,
    }
}

// SPDX-License-Identifier: Apache-2.0
//! `husk run` and `husk explain run`.

use std::path::PathBuf;
use std::process::ExitCode;

use husk_plan::{Arena, Host, Plan};
use husk_runtime::BundleHooks;
use husk_runtime::own_binary;
use husk_runtime::rootfs::{self, default_root_path, ensure_default_root};
use husk_runtime::why::Story;
use husk_spec::Config;

use crate::caller::Caller;
use crate::cli::{ExplainRun, Format, Run};
use crate::commands::why::Teller;
use crate::failure::{COMMAND_FAILED, Failure, RUN_FAILED};
use crate::lower::{Lowered, lower};
use crate::output;

/// Runs a container, or prints the script that would; the exit status is that of the container's command.
///
/// # Errors
/// Whatever keeps the command from running.
pub(crate) fn run(run: &Run) -> Result<ExitCode, Failure> {
    protect_own_binary(run)?;
    let lowered = configure(run)?;
    let teller = Teller::new(&lowered, false);
    with_plan(run, &lowered.config, Root::Built, &teller, |plan, host| {
        if run.options.as_shell {
            return Ok(output::explanation(plan, Format::Sh, host.uid, None));
        }
        if run.options.explain {
            output::plan(plan);
        } else if !run.options.quiet {
            note(plan);
        }
        start(plan, &lowered, &teller)
    })
}

/// Runs a container as [`run`] does, and tells how it ended.
///
/// # Errors
/// What keeps the container from being planned at all; all else is told.
pub(crate) fn why(run: &Run) -> Result<ExitCode, Failure> {
    protect_own_binary(run)?;
    let lowered = configure(run)?;
    let teller = Teller::new(&lowered, true);
    with_plan(run, &lowered.config, Root::Built, &teller, |plan, _| {
        if !run.options.quiet {
            note(plan);
        }
        start_told(plan, &lowered, &teller)
    })
}

fn note(plan: &Plan<'_>) {
    plan.notes.iter().for_each(|note| output::note(&note.what));
}

fn start(plan: &Plan<'_>, lowered: &Lowered, teller: &Teller<'_>) -> Result<ExitCode, Failure> {
    let terminal = &lowered.config.process.terminal;
    match with_hooks(lowered, |hooks| husk_runtime::run(plan, terminal, hooks)) {
        Ok(ended) => Ok(teller.ended(&ended)),
        Err(error) => teller.cannot_start(plan, &error),
    }
}

/// As [`start`], and tells what the seccomp profile has refused, if there is one that can be told about.
fn start_told(plan: &Plan<'_>, lowered: &Lowered, teller: &Teller<'_>) -> Result<ExitCode, Failure> {
    let Some(profile) = lowered.config.process.seccomp.as_ref().map(|given| &given.value) else {
        return start(plan, lowered, teller);
    };
    let arena = Arena::new();
    let told = match plan.clone().with_refusals_told(profile, &arena) {
        Ok(told) => told,
        Err(error) => {
            output::note(&error.to_string());
            return start(plan, lowered, teller);
        }
    };
    let terminal = &lowered.config.process.terminal;
    match with_hooks(lowered, |hooks| husk_runtime::run_told(&told, terminal, hooks, profile)) {
        Ok((ended, refusals)) => {
            let status = teller.ended(&ended);
            output::story(&Story::of_refusals(&refusals));
            Ok(status)
        }
        Err(error) => teller.cannot_start(&told, &error),
    }
}

/// Does `act` with the hooks of the bundle, if there is one, and says what the last of them had to complain about.
pub(super) fn with_hooks<T>(
    lowered: &Lowered,
    act: impl FnOnce(Option<&mut BundleHooks>) -> Result<T, husk_runtime::Error>,
) -> Result<T, husk_runtime::Error> {
    let Some(bundle) = &lowered.bundle else { return act(None) };
    let mut hooks = BundleHooks::of(&bundle.spec, &lowered.config.name, &bundle.directory)?;
    let done = act(hooks.as_mut())?;
    hooks.iter().flat_map(BundleHooks::problems).for_each(output::note);
    Ok(done)
}

/// Prints the plan of a container; runs it only if it is to be timed.
///
/// # Errors
/// Whatever keeps the plan from being made, or from being timed.
pub(crate) fn explain(explain: &ExplainRun) -> Result<ExitCode, Failure> {
    let run = &explain.run;
    if explain.timing {
        protect_own_binary(run)?;
    }
    let as_explain = |failure| Failure { status: COMMAND_FAILED, ..failure };
    let root = if explain.timing { Root::Built } else { Root::AsItIs };
    let explained = configure(run).and_then(|lowered| {
        let config = &lowered.config;
        let teller = Teller::new(&lowered, false);
        with_plan(run, config, root, &teller, |plan, host| {
            if !explain.timing {
                return Ok(output::explanation(plan, explain.format, host.uid, None));
            }
            let timed = |hooks: Option<&mut BundleHooks>| {
                husk_runtime::run_timed(plan, &config.process.terminal, hooks)
            };
            match with_hooks(&lowered, timed) {
                Ok((_, costs)) => Ok(output::explanation(plan, explain.format, host.uid, Some(&costs))),
                Err(error) => teller.cannot_start(plan, &error),
            }
        })
    });
    explained.map_err(as_explain)
}

/// What to do about a default root that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// Build it.
    Built,
    /// Plan as if it were there.
    AsItIs,
}

/// Keeps husk's own program from being written by a container in which root is the machine's, or that joins another's namespaces, where
/// somebody may wait for it: its command may be `/proc/self/exe` (CVE-2019-5736). In a user namespace of root's making root owns no file
/// of the host's; in a new one of an ordinary user's that command is refused. Before anything that is not to be done twice, since husk is
/// then executed again, from a read-only mount or a sealed copy.
///
/// # Errors
/// That cannot be.
pub(super) fn protect_own_binary(run: &Run) -> Result<(), Failure> {
    let options = &run.options;
    let is_root = rustix::process::geteuid().is_root();
    let joins = !options.join.is_empty() || options.bundle.is_some();
    if options.as_shell || !(joins || is_root && options.userns.is_some()) {
        return Ok(());
    }
    own_binary::protect(|| own_binary::ALL.to_vec()).map_err(|error| Failure {
        doing: "starting".to_owned(),
        problem: error.to_string(),
        hints: vec!["install husk on a read-only file system, or chattr +i its file".to_owned()],
        status: RUN_FAILED,
    })
}

/// Lowers the words of `husk run`.
///
/// # Errors
/// Words that make no sense.
pub(super) fn configure(run: &Run) -> Result<Lowered, Failure> {
    // Only where it is needed: who names a root needs no home.
    let default_root = match &run.rootfs {
        Some(_) => PathBuf::new(),
        None if run.options.bundle.is_some() => PathBuf::new(),
        None => default_root_path().map_err(default_root_failure)?,
    };
    let caller = Caller::of_this_process(run, default_root)?;
    let lowered = lower(run, &caller)?;
    if !run.options.quiet {
        lowered.notes.iter().for_each(|note| output::note(note));
    }
    Ok(lowered)
}

/// Plans `config` and hands the plan on.
pub(super) fn with_plan(
    run: &Run,
    config: &Config,
    root: Root,
    teller: &Teller<'_>,
    then: impl FnOnce(&Plan<'_>, &Host) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let uses_default_root = run.rootfs.is_none() && run.options.bundle.is_none() && config.root.is_some();
    if uses_default_root && root == Root::Built {
        build_default_root(run.options.quiet)?;
    }
    let is_built = config.root.as_ref().is_none_or(|root| root.path.value.exists());
    let host =
        if uses_default_root && !is_built { Host::probe_before_root(config) } else { Host::probe(config) };
    let arena = Arena::new();
    let planned = host.and_then(|host| Ok((husk_plan::plan(config, &host, &arena)?, host)));
    match planned {
        Ok((plan, host)) => then(&plan, &host),
        Err(error) => teller.cannot_plan(&error),
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

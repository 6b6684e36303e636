// SPDX-License-Identifier: Apache-2.0
//! What can be typed. Words stay words here: what they mean is [`crate::lower`]'s.

mod doctor;
mod explain;
mod learn;
mod refusal;
mod rootfs;
mod run;
mod see;
mod step;
#[cfg(test)]
mod tests;
mod why;

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap::{Args, FromArgMatches, Parser, Subcommand};

pub(crate) use doctor::Doctor;
pub(crate) use explain::{ExplainRun, ExplainRunning, Format};
pub(crate) use learn::Learn;
pub(crate) use refusal::is_slip;
pub(crate) use rootfs::{From, RootfsNew};
pub(crate) use run::{Run, RunOptions};
pub(crate) use see::{Diff, See};
pub(crate) use step::StepRun;
pub(crate) use why::Why;

use crate::failure::{COMMAND_FAILED, DIFF_FAILED, Failure, RUN_FAILED};
use explain::{Explain, ExplainLine};
use run::RunLine;
use step::StepLine;
use why::WhyLine;

const ABOUT: &str = "\
husk runs a command in a container: a Linux process that sees files, processes,
users, a host name and a network of its own. It needs no daemon and no root.";

const EXAMPLES: &str = "\
Examples:
  husk run                             a shell, in a root that is thrown away
  husk rootfs new web                  a root to keep, in ./web, from busybox
  husk run -v ./site:/srv web ls /srv  a command in it; ./site is /srv there
  husk explain run web                 what that does, step by step, and why

`husk run --help` lists the options of a container; `husk --version`: which husk.";

/// Without the options, of which there are but two, so that the rest fits a screen.
const TEMPLATE: &str = "{about}\n\nUsage: {usage}\n\nCommands:\n{subcommands}{after-help}\n";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "husk", version, about = ABOUT, after_help = EXAMPLES, help_template = TEMPLATE)]
#[command(
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    override_usage = "husk COMMAND ..."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Run a command in a container
    #[command(override_usage = run::USAGE)]
    Run(RunLine),
    /// Show each step to a container, be it planned or running
    Explain(Explain),
    /// Run a command stage by stage, with a look round at each stop
    Step(Step),
    /// Build a root file system
    Rootfs(Rootfs),
    /// Show the containers on this machine, whoever made them
    See(See),
    /// Show what differs between two containers, processes or the host
    Diff(Diff),
    /// Show what this host can do, what it lacks, and how to mend that
    Doctor(Doctor),
    /// Tell the cause of a failure, of a run or of the last one
    Why(WhyLine),
    /// Make a container by hand, lesson by lesson, and see why
    Learn(Learn),
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Explained {
    /// Show what `husk run` with these arguments would do; needs no privilege
    #[command(override_usage = run::EXPLAIN_USAGE)]
    Run(ExplainLine),
}

#[derive(Debug, Args)]
struct Step {
    #[command(subcommand)]
    command: Stepped,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Stepped {
    /// Do what `husk run` with these arguments does, and stop after each stage
    #[command(override_usage = run::STEP_USAGE)]
    Run(StepLine),
}

#[derive(Debug, Args)]
struct Rootfs {
    #[command(subcommand)]
    command: RootfsCommand,
}

#[derive(Debug, Subcommand)]
enum RootfsCommand {
    /// Build a root file system in a new directory
    New(RootfsNew),
}

/// What is asked of husk.
#[derive(Debug)]
pub(crate) enum Request {
    /// To print this: a help text, the version.
    Print(StyledStr),
    /// `husk run`.
    Run(Run),
    /// `husk explain run`.
    ExplainRun(ExplainRun),
    /// `husk explain --pid N` or `husk explain CONTAINER`.
    ExplainRunning(ExplainRunning),
    /// `husk step run`.
    StepRun(StepRun),
    /// `husk rootfs new`.
    RootfsNew(RootfsNew),
    /// `husk see`.
    See(See),
    /// `husk diff`.
    Diff(Diff),
    /// `husk doctor`.
    Doctor(Doctor),
    /// `husk why`.
    Why(Why),
    /// `husk learn`.
    Learn(Learn),
}

/// What can be typed, as clap has it: commands, options, and the words of their help.
pub fn definition() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Reads a command line, of which the first word is husk's own name.
///
/// # Errors
/// Words that husk does not know, or not there.
pub(crate) fn parse(line: &[OsString]) -> Result<Request, Failure> {
    parse_with(definition(), line)
}

fn parse_with(command: clap::Command, line: &[OsString]) -> Result<Request, Failure> {
    let parsed = command.try_get_matches_from(line).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => {
            return match e.kind() {
                // `husk` and `husk rootfs` alone ask what there is.
                ErrorKind::DisplayHelp
                | ErrorKind::DisplayVersion
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Ok(Request::Print(e.render())),
                _ => Err(refusal::failure_of(&e, line)),
            };
        }
    };
    Ok(match cli.command {
        Command::Run(run) => Request::Run(run.split(line)),
        Command::Explain(explain) => explain.meant(line)?,
        Command::Step(Step { command: Stepped::Run(run) }) => Request::StepRun(run.split(line)?),
        Command::Rootfs(Rootfs { command: RootfsCommand::New(new) }) => Request::RootfsNew(new.check()?),
        Command::See(see) => Request::See(see),
        Command::Diff(diff) => Request::Diff(diff),
        Command::Doctor(doctor) => Request::Doctor(doctor),
        Command::Why(why) => Request::Why(why.meant(line)),
        Command::Learn(learn) => Request::Learn(learn),
    })
}

/// The exit status of a line that cannot be understood: some commands keep 1 for something else.
fn refusal_status(line: &[OsString]) -> u8 {
    // `husk why run` and `husk step run` are runs, too.
    let mut words = line.iter().skip(1).skip_while(|word| *word == "why" || *word == "step");
    match words.next().and_then(|word| word.to_str()) {
        Some("run") => RUN_FAILED,
        Some("diff") => DIFF_FAILED,
        _ => COMMAND_FAILED,
    }
}

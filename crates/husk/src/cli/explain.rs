// SPDX-License-Identifier: Apache-2.0
//! The words of `husk explain`: those of `husk run`, or a running process, and how to show it.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::run::{EXPLAIN_AFTER, Run, RunLine, RunOptions};
use super::{Explained, Request};
use crate::failure::{COMMAND_FAILED, Failure};

/// `husk explain run` as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExplainRun {
    /// What is explained.
    pub(crate) run: Run,
    /// In which form.
    pub(crate) format: Format,
    /// Whether to run it, to see what each step costs.
    pub(crate) timing: bool,
}

const USAGE: &str = "husk explain run [OPTIONS] [ROOTFS] [COMMAND [ARG...]]
       husk explain [--format FORMAT] --bundle DIR
       husk explain [--format FORMAT] CONTAINER
       husk explain [--format FORMAT] --pid N";

const RUNNING_AFTER: &str = "\
CONTAINER is a running one, by a name or an id of `husk see`, whoever made it;
its first process is explained. What the kernel shows is read back: each step
that must have led there says which file in /proc shows it. husk enters nothing,
and what it may not look at is named. `--bundle DIR` is short for `run --bundle
DIR`, what `husk run` would do with an OCI bundle.";

/// `husk explain` of a running process, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExplainRunning {
    /// Which process.
    pub(crate) pid: Option<u32>,
    /// Or which container.
    pub(crate) container: Option<String>,
    /// In which form.
    pub(crate) format: Format,
}

// No doc comment: clap would print it.
#[derive(Debug, Args)]
#[command(override_usage = USAGE, after_help = RUNNING_AFTER, arg_required_else_help = true)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Explain {
    #[command(subcommand)]
    command: Option<Explained>,
    /// What is explained
    #[arg(value_name = "CONTAINER", hide = true, required_unless_present_any = ["pid", "bundle"])]
    container: Option<String>,
    /// Explain this process
    #[arg(long, value_name = "N", value_parser = process_id, conflicts_with = "container")]
    pid: Option<u32>,
    /// Explain what running this OCI bundle would do
    #[arg(long, short = 'b', value_name = "DIR", conflicts_with_all = ["container", "pid"])]
    bundle: Option<OsString>,
    /// Have systemd asked for its cgroup; without a word, where its cgroupsPath looks like that
    #[arg(long, requires = "bundle", overrides_with = "no_systemd_cgroup")]
    systemd_cgroup: bool,
    /// Have it not asked: its cgroupsPath is a path
    #[arg(long, requires = "bundle", overrides_with = "systemd_cgroup")]
    no_systemd_cgroup: bool,
    /// text; json: for programs; sh: a script; md: a table in Markdown
    #[arg(long, value_name = "text|json|sh|md", hide_possible_values = true)]
    format: Option<Format>,
}

fn process_id(word: &str) -> Result<u32, &'static str> {
    word.parse().ok().filter(|pid| *pid > 0).ok_or("a process id is a number from 1 on")
}

impl Explain {
    /// What was meant by `line`.
    pub(super) fn meant(self, line: &[OsString]) -> Result<Request, Failure> {
        let Self { command, container, pid, bundle, systemd_cgroup, no_systemd_cgroup, format } = self;
        let format = format.unwrap_or_default();
        Ok(match command {
            Some(Explained::Run(run)) => Request::ExplainRun(run.split(line)?),
            None if bundle.is_some() => {
                let options =
                    RunOptions { bundle, systemd_cgroup, no_systemd_cgroup, ..RunOptions::default() };
                let run = Run { options, ..Run::default() };
                Request::ExplainRun(ExplainRun { run, format, timing: false })
            }
            None => Request::ExplainRunning(ExplainRunning { pid, container, format }),
        })
    }
}

// No doc comment: clap would print it.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_AFTER, args_override_self = true, disable_help_flag = true)]
pub(super) struct ExplainLine {
    /// text; json: for programs; sh: a script, as of husk run --as-shell; md: a table in Markdown
    #[arg(long, value_name = "text|json|sh|md", hide_possible_values = true, help_heading = "Explanation")]
    format: Option<Format>,
    /// Run it, then show what each step cost
    #[arg(long, help_heading = "Explanation")]
    timing: bool,
    #[command(flatten)]
    run: RunLine,
}

impl ExplainLine {
    pub(super) fn split(self, line: &[OsString]) -> Result<ExplainRun, Failure> {
        let run = self.run.split(line);
        let default = if run.options.as_shell { Format::Sh } else { Format::Text };
        let format = self.format.unwrap_or(default);
        if self.timing && format == Format::Sh {
            return Err(Failure {
                doing: "reading the command line".to_owned(),
                problem: "--timing and --format sh: a script has no place for what its steps cost".to_owned(),
                hints: vec!["leave one of the two out".to_owned()],
                status: COMMAND_FAILED,
            });
        }
        Ok(ExplainRun { run, format, timing: self.timing })
    }
}

/// How an explanation is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    #[default]
    Text,
    /// For a program.
    Json,
    /// A script.
    Sh,
    /// A table in Markdown.
    Md,
}

// SPDX-License-Identifier: Apache-2.0
//! The words of `husk explain run`: those of `husk run`, and how to show it.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::run::{AFTER, Run, RunLine};
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

// No doc comment: clap would print it.
#[derive(Debug, Args)]
#[command(after_help = AFTER, args_override_self = true, disable_help_flag = true)]
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

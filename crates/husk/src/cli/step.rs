// SPDX-License-Identifier: Apache-2.0
//! The words of `husk step run`: those of `husk run`, and where to stop.

use std::ffi::OsString;

use clap::Args;
use clap::builder::PossibleValuesParser;
use husk_plan::Stage;

use super::run::{Run, RunLine, STEP_AFTER};
use crate::failure::{Failure, RUN_FAILED};

/// `husk step run` as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepRun {
    /// What is run.
    pub(crate) run: Run,
    /// The first stage to stop after.
    pub(crate) until: Option<Stage>,
}

// No doc comment: clap would print it.
#[derive(Debug, Args)]
#[command(after_help = STEP_AFTER, args_override_self = true, disable_help_flag = true)]
pub(super) struct StepLine {
    /// Go on without asking until this stage is over: namespaces, root, mounts, pivot, identity or confine
    #[arg(
        long,
        value_name = "STAGE",
        value_parser = PossibleValuesParser::new(STOPS.map(Stage::name)),
        hide_possible_values = true,
        help_heading = "Steps"
    )]
    until: Option<String>,
    #[command(flatten)]
    run: RunLine,
}

/// The stages after which there is a process that can wait.
const STOPS: [Stage; 6] =
    [Stage::Namespaces, Stage::Root, Stage::Mounts, Stage::Pivot, Stage::Identity, Stage::Confine];

impl StepLine {
    pub(super) fn split(self, line: &[OsString]) -> Result<StepRun, Failure> {
        let run = self.run.split(line);
        if run.options.as_shell {
            return Err(Failure {
                doing: "reading the command line".to_owned(),
                problem: "--as-shell: a script has no stages to stop after".to_owned(),
                hints: vec!["`husk run --as-shell` prints it".to_owned()],
                status: RUN_FAILED,
            });
        }
        let until = self.until.and_then(|name| STOPS.into_iter().find(|stage| stage.name() == name));
        Ok(StepRun { run, until })
    }
}

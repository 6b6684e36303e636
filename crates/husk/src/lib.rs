// SPDX-License-Identifier: Apache-2.0
//! husk, the people's program: runs a command in a container, and shows how. A library, so that man pages and completions can be
//! made from the same definition of the command line that the program reads.
//!
//! `cli` is what can be typed, `lower` what it means, `observe` what is there, `planned` what a plan would make of it, `commands` what is then done, `learn` the lessons, `view` how it looks, `output` the only place that
//! prints.
#![forbid(unsafe_code)]

mod caller;
mod cli;
mod commands;
mod explanation;
mod failure;
mod learn;
mod lower;
mod names;
mod observe;
mod output;
mod planned;
mod view;

use std::process::ExitCode;

pub use cli::definition;
use failure::{Failure, RUN_FAILED};

/// What the program does: reads its command line, obeys it, and says how it went.
pub fn main() -> ExitCode {
    if husk_sys::is_more_privileged_than_caller() {
        return output::failure(&Failure {
            doing: "starting".to_owned(),
            problem: "husk has a set-user-id or set-group-id bit or file capabilities here, and is not made for that"
                .to_owned(),
            hints: vec![
                "take them away: chmod ug-s husk; setcap -r husk; an ordinary user needs no more than user namespaces"
                    .to_owned(),
            ],
            status: RUN_FAILED,
        });
    }
    let line: Vec<_> = std::env::args_os().collect();
    match cli::parse(&line) {
        Ok(cli::Request::Print(text)) => output::text(&text),
        Ok(cli::Request::Run(run)) => finish(commands::run::run(&run)),
        Ok(cli::Request::ExplainRun(explain)) => finish(commands::run::explain(&explain)),
        Ok(cli::Request::ExplainRunning(explain)) => finish(commands::explain::explain(&explain)),
        Ok(cli::Request::StepRun(step)) => finish(commands::step::run(&step)),
        Ok(cli::Request::RootfsNew(new)) => finish(commands::rootfs::new(&new)),
        Ok(cli::Request::See(see)) => finish(commands::see::see(&see)),
        Ok(cli::Request::Diff(diff)) => finish(commands::diff::diff(&diff)),
        Ok(cli::Request::Doctor(doctor)) => finish(commands::doctor::doctor(&doctor)),
        Ok(cli::Request::Why(why)) => finish(commands::why::why(&why)),
        Ok(cli::Request::Learn(learn)) => finish(commands::learn::learn(&learn)),
        Err(failure) => output::failure(&failure),
    }
}

fn finish(result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| output::failure(&failure))
}

// SPDX-License-Identifier: Apache-2.0
//! `husk step run`.

use std::io::{self, BufRead, IsTerminal};
use std::process::{Command, ExitCode};

use husk_plan::{Plan, Stage, explain, in_words};
use husk_runtime::{BundleHooks, Next, Pause};

use super::run::{Root, configure, protect_own_binary, with_hooks, with_plan};
use super::why::Teller;
use crate::cli::StepRun;
use crate::failure::{Failure, RUN_FAILED};
use crate::output;

/// Runs a container stage by stage; the exit status is its command's, or 0 if it was stopped before.
///
/// # Errors
/// Whatever keeps the command from running; nobody there to ask.
pub(crate) fn run(step: &StepRun) -> Result<ExitCode, Failure> {
    let asks = io::stdin().is_terminal();
    if !asks && step.until.is_none() {
        return Err(Failure {
            doing: "stopping after each stage".to_owned(),
            problem: "standard input is no terminal, so there is nobody to say go on".to_owned(),
            hints: vec![
                "--until STAGE goes on by itself until then, says what is true there, and ends".to_owned(),
            ],
            status: RUN_FAILED,
        });
    }
    protect_own_binary(&step.run)?;
    let lowered = configure(&step.run)?;
    let teller = Teller::new(&lowered, false);
    with_plan(&step.run, &lowered.config, Root::Built, &teller, |plan, _| {
        let plan = plan.clone().with_pauses();
        if step.run.options.explain {
            output::plan(&plan);
        }
        let mut until = step.until;
        let mut ask = |pause: Pause| {
            if until.is_some_and(|stage| pause.stage < stage) {
                return Next::GoOn;
            }
            until = None;
            at_stop(&plan, pause, asks)
        };
        let terminal = &lowered.config.process.terminal;
        let stepwise =
            |hooks: Option<&mut BundleHooks>| husk_runtime::run_stepwise(&plan, terminal, hooks, &mut ask);
        match with_hooks(&lowered, stepwise) {
            Ok(ended) => Ok(ended.map_or(ExitCode::SUCCESS, |ended| teller.ended(&ended))),
            Err(error) => teller.cannot_start(&plan, &error),
        }
    })
}

/// Says what is true now, and asks what to do until it is to go on or to stop.
fn at_stop(plan: &Plan<'_>, pause: Pause, asks: bool) -> Next {
    let Pause { stage, pid } = pause;
    output::stop(stage.name(), &explain::is_true_after(plan, stage), pid);
    if !asks {
        return Next::Stop;
    }
    loop {
        output::question("Enter: go on; s: a shell there; q: stop here > ");
        let mut answer = String::new();
        match io::stdin().lock().read_line(&mut answer) {
            Ok(1..) => {}
            _ => return Next::Stop,
        }
        match answer.trim() {
            "" => return Next::GoOn,
            "s" => shell(stage, pid),
            "q" => return Next::Stop,
            _ => {}
        }
    }
}

/// A shell where the process is: as a person would get there, and with the line to do so by hand.
fn shell(stage: Stage, pid: i32) {
    let mut words = vec![format!("--target={pid}")];
    words.extend(own_namespaces(pid).map(|option| format!("--{option}")));
    words.extend(["--root", "--wd"].map(str::to_owned));
    // Where nobody may set groups, nsenter must not try to; the caller's own id is root's inside then.
    let setgroups = std::fs::read_to_string(format!("/proc/{pid}/setgroups")).unwrap_or_default();
    if setgroups.trim() == "deny" {
        words.push("--preserve-credentials".to_owned());
    }
    output::typed(&format!("nsenter {} /bin/sh", words.join(" ")));
    words.extend(["/bin/sh", "-mc", IN_A_GROUP_OF_ITS_OWN].map(str::to_owned));
    let prompt = format!("{} # ", stage.name());
    let mut nsenter = Command::new("nsenter");
    nsenter.args(&words).env("PS1", prompt).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let status = nsenter.status();
    husk_runtime::take_foreground();
    if let Err(error) = status {
        output::note(&format!("nsenter cannot be started: {}", in_words(error)));
    }
}

/// A shell hands the terminal back in the end to the group that had it, which in another pid namespace it cannot name, and says so.
/// One that is a job of another shell finds its own group there; the other one complains where nobody hears it.
const IN_A_GROUP_OF_ITS_OWN: &str = "exec 3>&2 2>&-; /bin/sh 2>&3 3>&-";

/// The options of nsenter for the namespaces of process `pid` that husk is not in: entering one's own needs rights that an
/// ordinary user lacks.
fn own_namespaces(pid: i32) -> impl Iterator<Item = &'static str> {
    let kinds = ["user", "mount", "pid", "net", "ipc", "uts", "cgroup", "time"];
    kinds.into_iter().filter(move |kind| {
        let name = if *kind == "mount" { "mnt" } else { kind };
        let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/{name}")).ok();
        namespace(&pid.to_string()) != namespace("self")
    })
}

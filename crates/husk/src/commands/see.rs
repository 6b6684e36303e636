// SPDX-License-Identifier: Apache-2.0
//! `husk see`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use husk_plan::in_words;
use husk_see::{Details, Machine};

use crate::cli::See;
use crate::failure::{COMMAND_FAILED, Failure};
use crate::output::{self, Screen};
use crate::view;

/// How often `--watch` looks again.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a name stands for: a process, and the container that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) container: Option<usize>,
    pub(super) pid: u32,
}

/// Shows the containers of this machine, or what was named.
///
/// # Errors
/// `/proc` cannot be read; there is nothing with such a name.
pub(crate) fn see(see: &See) -> Result<ExitCode, Failure> {
    if see.watch {
        return watch(see);
    }
    let machine = observe()?;
    if let Some(file) = &see.html {
        return write_page(&machine, file);
    }
    let screen = Screen::of_stdout();
    let text = draw(&machine, see, screen)?;
    Ok(output::view(&text))
}

pub(super) fn observe() -> Result<Machine, Failure> {
    Machine::observe().map_err(|error| Failure {
        doing: "looking at the processes of this machine".to_owned(),
        problem: in_words(error),
        hints: vec!["husk see reads /proc: mount -t proc proc /proc".to_owned()],
        status: COMMAND_FAILED,
    })
}

fn watch(see: &See) -> Result<ExitCode, Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure {
            doing: "reading the command line".to_owned(),
            problem: "--watch: standard output is not a terminal".to_owned(),
            hints: vec!["leave --watch out, or ask again in a loop".to_owned()],
            status: COMMAND_FAILED,
        });
    }
    loop {
        let screen = Screen::of_stdout();
        let text = draw(&observe()?, see, screen)?;
        if !output::redraw(&text, screen.size.map_or(24, |(_, rows)| rows)) {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(INTERVAL);
    }
}

fn draw(machine: &Machine, see: &See, screen: Screen) -> Result<String, Failure> {
    let targets: Vec<Target> = see.names.iter().map(|name| find(machine, name)).collect::<Result<_, _>>()?;
    let details = |target: &Target| details(machine, target.pid);
    if see.json {
        let mut shown: Vec<usize> = targets.iter().filter_map(|target| target.container).collect();
        shown.sort_unstable();
        shown.dedup();
        if targets.is_empty() {
            shown = (0..machine.containers.len()).collect();
        }
        let named: Vec<Details> = targets.iter().map(details).collect::<Result<_, _>>()?;
        return Ok(view::json::machine(machine, &shown, &named));
    }
    if see.tree {
        return Ok(view::tree::tree(machine, screen));
    }
    if targets.is_empty() {
        let all = if see.mounts { view::overview::all_mounts } else { view::overview::overview };
        return Ok(all(machine, screen));
    }
    let one = |target: &Target| {
        let details = details(target)?;
        Ok(view::detail::detail(machine, target.container, &details, see.mounts, screen))
    };
    Ok(targets.iter().map(one).collect::<Result<Vec<String>, Failure>>()?.join("\n"))
}

/// What a word stands for: first a container's name, then a process, then the beginning of an engine's id.
pub(super) fn find(machine: &Machine, word: &str) -> Result<Target, Failure> {
    let process = || machine.process(word.parse().ok()?).map(|process| process.pid);
    let named = machine.named(word);
    let found = if named.is_empty() {
        if let Some(pid) = process() {
            return Ok(Target { container: machine.container_of(pid), pid });
        }
        machine.numbered(word)
    } else {
        named
    };
    let shown = husk_see::Text::from(word);
    let failure = |problem: String, hint: String| Failure {
        doing: format!("looking for {shown}"),
        problem,
        hints: vec![hint],
        status: COMMAND_FAILED,
    };
    match found.as_slice() {
        [one] => Ok(Target { container: Some(*one), pid: machine.containers[*one].id }),
        [] => Err(failure(
            "there is no container with this name and no process with this id".to_owned(),
            "`husk see` lists all containers".to_owned(),
        )),
        several => {
            let ids: Vec<_> = several.iter().map(|index| machine.containers[*index].id.to_string()).collect();
            let hint = format!("name one by its process: {}", ids.join(", "));
            Err(failure(format!("{} containers are called so", several.len()), hint))
        }
    }
}

/// Everything about a process.
pub(super) fn details(machine: &Machine, pid: u32) -> Result<Details, Failure> {
    machine.details(pid).ok_or_else(|| Failure {
        doing: format!("looking at process {pid}"),
        problem: "it has ended meanwhile".to_owned(),
        hints: vec!["`husk see` lists what there is now".to_owned()],
        status: COMMAND_FAILED,
    })
}

fn write_page(machine: &Machine, file: &std::path::Path) -> Result<ExitCode, Failure> {
    std::fs::write(file, view::page::page(machine)).map_err(|error| Failure {
        doing: format!("writing {}", file.display()),
        problem: in_words(error),
        hints: vec!["--html takes the path of a file that you may write".to_owned()],
        status: COMMAND_FAILED,
    })?;
    let count = match machine.containers.len() {
        1 => "1 container".to_owned(),
        count => format!("{count} containers"),
    };
    Ok(output::line(&format!("{}: {count}", file.display())))
}

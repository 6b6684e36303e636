// SPDX-License-Identifier: Apache-2.0
//! `husk learn`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use husk_plan::in_words;
use husk_see::{Engine, Machine};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::see::{find, observe};
use crate::cli::Learn;
use crate::failure::{COMMAND_FAILED, Failure};
use crate::learn::{self, Input, Progress, Say, Walk, Workshop};
use crate::output::{self, Screen};
use crate::view::lessons::Lessons;
use crate::view::words;

/// How often husk looks.
const INTERVAL: Duration = Duration::from_millis(400);

/// What the person has typed into husk's own terminal.
enum Typed {
    Input(Input),
    Quit,
}

/// Goes through the lessons with a person, or grades a container.
///
/// # Errors
/// There is no terminal; `/proc` cannot be read; nothing of this name is there to be graded.
pub(crate) fn learn(learn: &Learn) -> Result<ExitCode, Failure> {
    match learn.check {
        true => check(learn.name.as_deref()),
        false => walk(learn.restart),
    }
}

fn failure(problem: &str, hint: &str) -> Failure {
    Failure {
        doing: "learning".to_owned(),
        problem: problem.to_owned(),
        hints: vec![hint.to_owned()],
        status: COMMAND_FAILED,
    }
}

fn walk(restart: bool) -> Result<ExitCode, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(failure(
            "standard input and output have to be a terminal, since it is a conversation",
            "`husk learn --check` grades a container without one",
        ));
    }
    let file = Progress::file();
    let kept = file.as_deref().and_then(Progress::load).filter(|progress| !restart && progress.has_begun());
    let goes_on = kept.is_some();
    let progress = match kept {
        Some(progress) => progress,
        None => Progress::new(working_directory()?),
    };
    let workshop = Workshop::new(progress.directory.clone());
    let opening = match goes_on {
        true => vec![learn::going_on(&progress)],
        false => learn::opening(&workshop),
    };
    output::say(&Lessons::new(Screen::of_stdout()).text(&opening));
    let mut walk = Walk::new(workshop.clone(), progress);
    let ended = converse(&mut walk, &workshop, file.as_deref())?;
    if ended {
        close(&workshop)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn working_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        failure(
            &format!("the working directory: {}", in_words(error)),
            "change to a directory that exists: cd",
        )
    })
}

/// Looks, says, and listens, until the last lesson is over (`true`) or the person has had enough.
fn converse(walk: &mut Walk, workshop: &Workshop, file: Option<&std::path::Path>) -> Result<bool, Failure> {
    let begin = Instant::now();
    let mut input = Input::Nothing;
    let mut can_save = true;
    loop {
        let machine = observe()?;
        let Some(sight) = learn::look(&machine, workshop) else {
            return Err(failure("/proc does not show husk itself", "mount -t proc proc /proc"));
        };
        let said = walk.advance(&sight, input, begin.elapsed());
        if !said.is_empty() || input != Input::Nothing {
            if let Some(file) = file.filter(|_| can_save)
                && let Err(error) = walk.progress().save(file)
            {
                can_save = false;
                let (file, why) = (file.display(), in_words(error));
                output::note(&format!("{file}: {why}: the next time begins at the beginning"));
            }
            if !show(walk, &said) {
                return Ok(false);
            }
        }
        if said.contains(&Say::End) {
            return Ok(true);
        }
        input = match typed() {
            Typed::Input(input) => input,
            Typed::Quit => {
                output::say("  `husk learn` goes on from here.\n");
                return Ok(false);
            }
        };
    }
}

fn show(walk: &Walk, said: &[Say]) -> bool {
    let lessons = Lessons::new(Screen::of_stdout());
    let text: String = said.iter().map(|say| lessons.say(say)).collect();
    let keys = if walk.current().is_some() { lessons.keys(walk.is_by_eye()) } else { String::new() };
    output::say(&(text + &keys))
}

/// What was typed until the next look is due. A line at a time, so that the terminal stays as it is whatever happens to husk.
fn typed() -> Typed {
    let stdin = io::stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    let interval = Timespec { tv_sec: 0, tv_nsec: INTERVAL.subsec_nanos().into() };
    match poll(&mut ready, Some(&interval)) {
        Ok(1..) => {}
        _ => return Typed::Input(Input::Nothing),
    }
    let mut line = [0; 256];
    // Not through the buffer of std: what that holds, poll does not see.
    match rustix::io::read(&stdin, &mut line) {
        Ok(0) | Err(_) => Typed::Quit,
        Ok(length) => match line[..length].trim_ascii() {
            b"" => Typed::Input(Input::Enter),
            b"s" => Typed::Input(Input::Skip),
            b"q" => Typed::Quit,
            _ => Typed::Input(Input::Hint),
        },
    }
}

/// The last words: the grading, and where to go from here.
fn close(workshop: &Workshop) -> Result<(), Failure> {
    let lessons = Lessons::new(Screen::of_stdout());
    let machine = observe()?;
    let graded = learn::look(&machine, workshop).and_then(|sight| {
        let pid = sight.inside()?.pid;
        Some((pid, learn::grade(&machine, pid)?))
    });
    if let Some((pid, marks)) = graded {
        let heading =
            "\nThat is a container, and you have made it. This is how `husk learn --check` grades it:\n";
        output::say(&format!("{heading}\n{}", lessons.grading(&subject(&machine, pid), &marks)));
    }
    let end = "It lives as long as its process 1: `exit` in it ends that one, and with it all others and \
               all mounts. The directory stays. Where to go from here:";
    let commands = "
      husk run ./mycontainer          all of this in one command, and more of the second list
      husk explain run ./mycontainer  each step of that, with the shell line that you now know
      husk see                        the containers of this machine, with yours among them
      husk learn --check NAME         the same questions to another container

";
    output::say(&format!("\n{}{commands}", lessons.text(&[end.to_owned()])));
    Ok(())
}

fn check(name: Option<&str>) -> Result<ExitCode, Failure> {
    let machine = observe()?;
    let pid = match name {
        Some(name) => {
            let target = find(&machine, name)?;
            let is_process = name.parse() == Ok(target.pid);
            target
                .container
                .filter(|_| !is_process)
                .map_or(target.pid, |container| learn::fullest(&machine, container))
        }
        None => by_hand(&machine)?,
    };
    let marks = learn::grade(&machine, pid).ok_or_else(|| {
        failure(&format!("process {pid} has ended meanwhile"), "`husk see` lists what there is now")
    })?;
    let lessons = Lessons::new(Screen::of_stdout());
    let printed = output::view(&lessons.grading(&subject(&machine, pid), &marks));
    let unknown = marks.iter().any(|mark| mark.outcome == learn::Outcome::Unknown);
    if unknown && !machine.is_root() {
        output::note("what is marked `?` only root may see: sudo husk learn --check");
    }
    Ok(if learn::holds(&marks) { printed } else { ExitCode::from(COMMAND_FAILED) })
}

fn subject(machine: &Machine, pid: u32) -> String {
    format!("process {pid}: {}", words::command(machine, pid))
}

/// The process in the container of the lessons; without one, in the only container that `unshare` has made.
fn by_hand(machine: &Machine) -> Result<u32, Failure> {
    let progress = Progress::file().as_deref().and_then(Progress::load);
    let sight = progress.and_then(|progress| learn::look(machine, &Workshop::new(progress.directory)));
    if let Some(member) = sight.as_ref().and_then(|sight| sight.inside().or_else(|| sight.init())) {
        return Ok(member.pid);
    }
    let made = (0..machine.containers.len())
        .filter(|index| machine.containers[*index].maker.engine == Engine::Unshare)
        .collect::<Vec<_>>();
    match made.as_slice() {
        [one] => Ok(learn::fullest(machine, *one)),
        [] => Err(failure(
            "no container is running that was made by hand",
            "`husk learn` makes one with you; `husk learn --check PID` grades any process",
        )),
        several => {
            let ids: Vec<_> = several.iter().map(|index| machine.containers[*index].id.to_string()).collect();
            Err(failure(
                &format!("{} containers are running that were made by hand", several.len()),
                &format!("name one by its process: husk learn --check PID, with one of {}", ids.join(", ")),
            ))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The whole story of a failure: the step, the call as strace would print it, the kernel's words, what on this host explains
//! it, and the cure.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use husk_cgroup::MemoryKills;
use husk_plan::survey::oom::{self, MemoryLevel, OutOfMemory};
use husk_plan::{Action, Plan, PlanError, PlannedStep, explain, in_words, strace};
use rustix::io::Errno;

use crate::doctor::{self, Finding};
use crate::error::{Error, StepError};
use crate::{End, Refusal, seccomp_log};

/// A failure told in rows, each with a word before it. What is in it of a root's has nothing that moves a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The rows.
    pub rows: Vec<(&'static str, String)>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|(word, text)| writeln!(f, "  {word:8} {text}"))
    }
}

impl Story {
    fn row(mut self, word: &'static str, text: impl Into<String>) -> Self {
        self.rows.push((word, text.into()));
        self
    }

    fn rows(self, word: &'static str, texts: impl IntoIterator<Item = String>) -> Self {
        texts.into_iter().fold(self, |story, text| story.row(word, text))
    }

    /// What on this host explains it, and what to do: once each, the likeliest first.
    fn explained(self, hint: Option<String>, findings: &[&Finding]) -> Self {
        let here = findings.iter().map(|finding| format!("{}: {}", finding.id, finding.found));
        let mut cures: Vec<String> = hint.into_iter().collect();
        for cure in findings.iter().filter_map(|finding| finding.cure.clone()) {
            if !cures.contains(&cure) {
                cures.push(cure);
            }
        }
        self.rows("here", here).rows("cure", cures)
    }

    /// Why there was no plan. `findings` are asked for only where they can matter.
    pub fn of_plan_error(error: &PlanError, findings: impl FnOnce() -> Vec<Finding>) -> Self {
        let story =
            Self::default().row("stage", "planning: nothing has been touched, no process was started");
        let story = match error.origin() {
            Some(origin) => story.row("because", origin.to_string()),
            None => story,
        };
        let findings = if error.is_about_ids() { findings() } else { Vec::new() };
        let ids = ["subuid", "subgid", "newuidmap", "newgidmap"];
        let matters = |finding: &&Finding| finding.cost.is_some() && ids.contains(&finding.id.as_str());
        let relevant: Vec<_> = findings.iter().filter(matters).collect();
        story.explained(error.hint(), &relevant)
    }

    /// Why a container did not start. `findings` are asked for only where they can matter.
    pub fn of_error(plan: &Plan<'_>, error: &Error, findings: impl FnOnce() -> Vec<Finding>) -> Self {
        match error {
            Error::Step(step) => of_step(plan, step, &findings()),
            Error::Exec { errno, .. } => of_exec(plan, error, *errno),
            Error::Helper { .. } => {
                let step = |step: &&PlannedStep<'_>| {
                    matches!(step.action, Action::Host(husk_plan::HostStep::MapIds(_)))
                };
                let Some(index) = plan.steps.iter().position(|planned| step(&planned)) else {
                    return Self::default().explained(error.hint(), &[]);
                };
                let findings = findings();
                let relevant = doctor::relevant(&findings, &plan.steps[index].action, "write");
                place(plan, index).explained(error.hint(), &relevant)
            }
            Error::Cgroup { number, .. } => {
                let findings = findings();
                let about_delegation = |finding: &&Finding| {
                    finding.cost.is_some() && (finding.id == "delegation" || finding.id.starts_with("level:"))
                };
                let relevant: Vec<_> = findings.iter().filter(about_delegation).collect();
                place(plan, number - 1).explained(error.hint(), &relevant)
            }
            Error::Ended { number, .. } => place(plan, number - 1).explained(error.hint(), &[]),
            Error::OwnProgram
            | Error::Hook { .. }
            | Error::NoFreeIds { .. }
            | Error::Interrupted(_)
            | Error::Terminal(_)
            | Error::Supervise(_) => Self::default().explained(error.hint(), &[]),
        }
    }

    /// What a seccomp profile refused to the command: call, rule, and how often.
    pub fn of_refusals(refusals: &[Refusal]) -> Self {
        let told = refusals.iter().map(|refusal| {
            let times =
                if refusal.times == 1 { "once".to_owned() } else { format!("{} times", refusal.times) };
            let to =
                refusal.program.as_ref().map_or(String::new(), |program| format!(", first to {program}"));
            format!("{}, {times}{to}: {}", refusal.call, refusal.by).escape_debug_but_quotes()
        });
        let story = Self::default().rows("refused", told);
        match refusals {
            [] => story.row("refused", "nothing: the seccomp profile let every system call pass"),
            _ => story,
        }
    }

    /// How the command ended, if that needs words: a signal, or a status that stands for one. `memory` is what the container's own
    /// cgroup has counted.
    pub fn of_end(end: End, memory: Option<(&MemoryKills, Setting)>, watch: Option<&Watch>) -> Option<Self> {
        let (signal, story) = match end {
            End::Killed { signal, by_husk } => {
                let story = Self::default().row("signal", named(signal));
                let story = match by_husk {
                    true => story.row("who", "husk was sent it and passed it on"),
                    false => story,
                };
                (signal, story)
            }
            End::Exited(status @ 129..=192) => {
                let signal = i32::from(status) - 128;
                let text = format!(
                    "exit status {status} is 128 + {signal}: what a shell says when {} ended what it ran",
                    named(signal)
                );
                (signal, Self::default().row("status", text))
            }
            End::Exited(_) => return None,
        };
        let story = story.row("means", meaning(signal));
        if let Some((kills, setting)) = memory {
            let logged = watch.map(Watch::logged).unwrap_or_default();
            let story = story
                .row("memory", killed_for_memory(kills, setting))
                .row("cure", more_memory(kills, setting));
            return Some(story.rows("log", logged));
        }
        Some(match watch {
            Some(watch) => watch.tell(story, signal),
            None if signal == KILL => {
                story.row("cure", "to see whether memory ran out, and whose: husk why run …")
            }
            None => story,
        })
    }
}

/// Where in the plan, what, and why.
fn place(plan: &Plan<'_>, index: usize) -> Story {
    let step = &plan.steps[index];
    let (number, of) = (index + 1, plan.steps.len());
    let actor = match step.actor() {
        husk_plan::Actor::Husk => "husk, on the host",
        husk_plan::Actor::Container => "the container's first process",
    };
    Story::default()
        .row("step", format!("{number} of {of}, stage {}, by {actor}", step.stage.name()))
        .row("doing", explain::describe(step).escape_debug_but_quotes())
        .row("because", step.origin.to_string())
}

fn of_step(plan: &Plan<'_>, error: &StepError, findings: &[Finding]) -> Story {
    let index = error.number - 1;
    let action = &plan.steps[index].action;
    let story = place(plan, index).rows("call", called(action, error.call, error.errno));
    let story = match error.kernel.is_empty() {
        true => story,
        false => story.row("kernel", error.kernel.escape_debug_but_quotes()),
    };
    let relevant = doctor::relevant(findings, action, error.call);
    // The numbers of a namespace's sort that were refused say more than the step's own sentence.
    story.explained(error.hint.clone(), &relevant)
}

fn of_exec(plan: &Plan<'_>, error: &Error, errno: Errno) -> Story {
    let Some(index) = plan.steps.len().checked_sub(1) else { return Story::default() };
    let step = &plan.steps[index];
    place(plan, index).rows("call", called(&step.action, "execve", errno)).explained(error.hint(), &[])
}

/// The calls of that name, and what came of it. Of several, any may be the one that failed; what came before it did not.
fn called(action: &Action<'_>, call: &str, errno: Errno) -> Vec<String> {
    let mut calls = strace::calls(action, call);
    if calls.is_empty() {
        calls.push(format!("{call}(…)"));
    }
    let name = husk_sys::errno_name(errno).map_or_else(|| errno.raw_os_error().to_string(), str::to_owned);
    let result = format!(" = -1 {name} ({})", in_words(errno));
    let several = calls.len() > 1;
    if several {
        calls.push(format!("one of these{result}"));
    } else if let Some(only) = calls.first_mut() {
        only.push_str(&result);
    }
    calls
}

/// Text with names out of a hostile root, for a terminal.
trait Harmless {
    fn escape_debug_but_quotes(&self) -> String;
}

impl Harmless for str {
    fn escape_debug_but_quotes(&self) -> String {
        self.chars().fold(String::new(), |mut text, c| {
            match c {
                '"' | '\'' | '\\' => text.push(c),
                c => {
                    let _ = write!(text, "{}", c.escape_debug());
                }
            }
            text
        })
    }
}

const KILL: i32 = 9;

/// Signals that end a process by default, and what they mean when they did (signal(7)).
const SIGNALS: &[(i32, &str, &str)] = &[
    (1, "SIGHUP", "the terminal is gone, or somebody asked it to end"),
    (2, "SIGINT", "Control-C was typed, or somebody sent it"),
    (3, "SIGQUIT", "Control-\\ was typed, or somebody sent it"),
    (
        4,
        "SIGILL",
        "an instruction that this processor does not have: the program may have been built for a newer one",
    ),
    (5, "SIGTRAP", "a breakpoint, or a check that the compiler put in"),
    (
        6,
        "SIGABRT",
        "the program gave up by itself, at a failed assertion or by abort(3): its last lines should say why",
    ),
    (
        7,
        "SIGBUS",
        "memory that could not be had: a mapped file was cut short, or a file system in memory, such as /dev/shm, is full",
    ),
    (8, "SIGFPE", "a division by zero, or another operation that has no result"),
    (KILL, "SIGKILL", "somebody killed it, or the kernel did, for want of memory; no program can catch it"),
    (
        11,
        "SIGSEGV",
        "it touched memory that is not its own: a fault of the program's, or of a library that does not fit it",
    ),
    (13, "SIGPIPE", "it wrote into a pipe that nobody reads any more: that is how `husk run … | head` ends"),
    (14, "SIGALRM", "its own timer, alarm(2), ran out"),
    (15, "SIGTERM", "somebody asked it to end"),
    (24, "SIGXCPU", "it used up its processor time: --ulimit cpu, or `ulimit -t`"),
    (25, "SIGXFSZ", "a file grew beyond --ulimit fsize, or `ulimit -f`"),
    (31, "SIGSYS", "a system call that a seccomp filter answers with death"),
];

fn named(signal: i32) -> String {
    SIGNALS
        .iter()
        .find(|(number, ..)| *number == signal)
        .map_or_else(|| format!("signal {signal}"), |(_, name, _)| format!("signal {signal} ({name})"))
}

fn meaning(signal: i32) -> &'static str {
    SIGNALS
        .iter()
        .find(|(number, ..)| *number == signal)
        .map_or("somebody sent it, and the program had no use for it", |(.., meaning)| meaning)
}

/// Where the limit of a container's memory is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// By an option.
    Option,
    /// In `config.json`.
    Field,
}

impl Setting {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Option => "--memory",
            Self::Field => "linux.resources.memory.limit",
        }
    }
}

/// That the kernel has killed for want of memory: whose limit it was, of which cgroup, and how much. `setting` is what sets the
/// container's own.
pub fn killed_for_memory(kills: &MemoryKills, setting: Setting) -> String {
    let killed = match kills.kills {
        1 => "the kernel killed one of its processes for want of memory",
        // With memory.oom.group the kernel counts the first one twice.
        _ => "the kernel killed processes of it for want of memory",
    };
    let peak = kills.peak.map_or(String::new(), |bytes| format!("; it used {} at most", amount(bytes)));
    match &kills.limit {
        Some(limit) if limit.is_own => format!(
            "{killed}: its own limit of {} was reached ({}, cgroup {}){peak}",
            amount(limit.bytes),
            setting.name(),
            limit.directory.display()
        ),
        Some(limit) => format!(
            "{killed}: its own limit was not reached; above it, the cgroup {} has one of {}{peak}",
            limit.directory.display(),
            amount(limit.bytes)
        ),
        None => format!(
            "{killed}: no limit was reached that can be seen from here, so the machine's memory ran out{peak}"
        ),
    }
}

/// What to do about it.
pub fn more_memory(kills: &MemoryKills, setting: Setting) -> String {
    match &kills.limit {
        Some(limit) if limit.is_own => {
            // The kernel makes less than a page 0.
            let enough = limit.bytes.saturating_mul(2).div_ceil(1 << 20).max(1);
            match setting {
                Setting::Option => format!("give it more: {} {enough}m", setting.name()),
                Setting::Field => {
                    format!("give it more, in config.json: {}: {}", setting.name(), enough << 20)
                }
            }
        }
        Some(limit) => format!("whoever set the limit of {} can raise it", limit.directory.display()),
        None => "end something else, or give the machine more memory or swap".to_owned(),
    }
}

/// An amount of memory, exact where that is short.
fn amount(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        // Floating-point numbers would be the only ones that core::fmt has to know in husk-oci.
        bytes if bytes >= 10 << 20 => {
            let tenths = ((bytes >> 10) * 10 + (1 << 9)) >> 10;
            format!("{}.{} MiB", tenths / 10, tenths % 10)
        }
        bytes => format!("{bytes} bytes"),
    }
}

/// What is looked at before and after, to tell who ran out of memory.
#[derive(Debug)]
pub struct Watch {
    memory: Vec<MemoryLevel>,
    /// At the end of the kernel's log, if it may be read.
    log: Option<File>,
}

impl Watch {
    /// Begins to watch.
    pub fn begin() -> Self {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let log = File::options().read(true).custom_flags(nonblock).open("/dev/kmsg").ok();
        let at_end = |mut log: File| log.seek(SeekFrom::End(0)).is_ok().then_some(log);
        Self { memory: oom::levels(), log: log.and_then(at_end) }
    }

    fn tell(&self, story: Story, signal: i32) -> Story {
        let after = oom::levels();
        let story = match oom::between(&self.memory, &after) {
            Some(OutOfMemory::Cgroup(level)) => {
                let limit = level.limit.unwrap_or_default();
                let file = level.limit_file.display();
                story
                    .row("memory", format!("ran out in the cgroup {}, whose limit is {limit} bytes", level.directory.display()))
                    .row("cure", format!("give it more, as whoever set that limit: echo BYTES > {file}"))
            }
            Some(OutOfMemory::Machine) => story
                .row("memory", "a process of husk's cgroup was killed for want of memory, and no limit that can be seen from here was reached: the machine's own, or that of a cgroup above"),
            None if signal == KILL && after.is_empty() => {
                story.row("memory", "whether it ran out cannot be told: no memory cgroup of husk's can be read")
            }
            None if signal == KILL => story.row("memory", "no: no process of husk's cgroup was killed for want of it"),
            None => story,
        };
        story.rows("log", self.logged())
    }

    /// What the kernel has logged since about processes that it killed or that faulted.
    fn logged(&self) -> Vec<String> {
        const TELLING: [&str; 4] = ["oom-kill:", "Killed process", "segfault at", "general protection"];
        let mut lines = Vec::new();
        let Some(mut log) = self.log.as_ref() else { return lines };
        let mut record = [0; 8192];
        // Each read gives one record; EPIPE says that some were overwritten, EAGAIN that there are no more.
        for _ in 0..10_000 {
            match log.read(&mut record) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    if let Some(call) = seccomp_log::parse(&text) {
                        lines.push(call.to_string());
                        continue;
                    }
                    let text = text
                        .split_once(';')
                        .map_or("", |(_, text)| text)
                        .lines()
                        .next()
                        .unwrap_or("")
                        .to_owned();
                    if TELLING.iter().any(|word| text.contains(word)) {
                        lines.push(text.escape_debug_but_quotes());
                    }
                }
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
                Err(_) => break,
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_if_a_signal_was_in_it() {
        assert_eq!(Story::of_end(End::Exited(1), None, None), None);
        let told = |end| Story::of_end(end, None, None).expect("a story").to_string();
        assert!(told(End::Killed { signal: 11, by_husk: false }).contains("signal 11 (SIGSEGV)"));
        assert!(told(End::Exited(137)).contains("137 is 128 + 9"));
        assert!(told(End::Killed { signal: 15, by_husk: true }).contains("passed it on"));
        assert!(told(End::Killed { signal: 40, by_husk: false }).contains("signal 40\n"));
    }

    #[test]
    fn refusals_are_told_by_call_and_rule() {
        let refusal = Refusal {
            call: "mkdir".to_owned(),
            by: "linux.seccomp.syscalls[3].names[0] has SCMP_ACT_ERRNO(1) for mkdir".to_owned(),
            program: Some("a\u{1b}[2J".to_owned()),
            times: 2,
        };
        let told = Story::of_refusals(&[Refusal { times: 1, program: None, ..refusal.clone() }, refusal])
            .to_string();
        let by = "linux.seccomp.syscalls[3].names[0] has SCMP_ACT_ERRNO(1) for mkdir";
        let expected = format!(
            "  refused  mkdir, once: {by}\n  refused  mkdir, 2 times, first to a\\u{{1b}}[2J: {by}\n"
        );
        assert_eq!(told, expected);
        assert!(Story::of_refusals(&[]).to_string().contains("nothing"));
    }

    #[test]
    fn the_kernel_log_is_read_from_here_on() {
        let watch = Watch::begin();
        assert!(watch.logged().len() < 100);
    }

    #[test]
    fn nothing_in_a_story_moves_the_cursor() {
        assert_eq!("make /a\u{1b}[2J \"b\"".escape_debug_but_quotes(), "make /a\\u{1b}[2J \"b\"");
    }
}

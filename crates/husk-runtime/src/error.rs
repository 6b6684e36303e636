// SPDX-License-Identifier: Apache-2.0
//! What can go wrong, said with the plan at hand: what was being done, what failed, why, and what to do.

use std::fmt;
use std::path::PathBuf;

use husk_init::{Call, Failure};
use husk_plan::{Plan, Stage, explain, in_words};
use husk_spec::Origin;
use rustix::io::Errno;

use crate::hint;
use crate::why_exec::ExecProblem;

/// Why a container did not run, or could not be stayed with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step of the plan failed.
    #[error(transparent)]
    Step(Box<StepError>),
    /// The command cannot be executed.
    #[error("{problem}")]
    Exec {
        /// Why.
        problem: ExecProblem,
        /// What `execve(2)` said.
        errno: Errno,
    },
    /// The command is husk's own program, by a way past the container's files.
    #[error(
        "the command is husk's own program file on the host, by way of /proc/self/exe: a container that joins this one could write it"
    )]
    OwnProgram,
    /// A program that helps to map ids failed.
    #[error("cannot {doing}: {helper} failed: {said}")]
    Helper {
        /// What was being done.
        doing: String,
        /// The program.
        helper: String,
        /// What it wrote to standard error, or its exit status.
        said: String,
    },
    /// Every range of ids that could be claimed is in use.
    #[error("cannot {doing}: all of them are in use")]
    NoFreeIds {
        /// What was being done.
        doing: String,
    },
    /// A hook failed.
    #[error("{origin} ({}) failed: {problem}{}", .path.display(), last(.words))]
    Hook {
        /// Where it stands in the configuration.
        origin: String,
        /// The program.
        path: PathBuf,
        /// How it failed.
        problem: String,
        /// The last that it wrote.
        words: String,
    },
    /// A cgroup could not be made, limited or entered.
    #[error("cannot {doing}: {problem} [step {number}, {origin}]")]
    Cgroup {
        /// What was being done.
        doing: String,
        /// What failed, and why.
        problem: String,
        /// The number of the step in the plan, from 1.
        number: usize,
        /// Why it was in the plan.
        origin: Origin,
    },
    /// The container's first process has ended before the command ran, and has not said why.
    #[error("cannot {doing}: the container's first process {} [step {number}, {origin}]", ended(.signal))]
    Ended {
        /// What was being done.
        doing: String,
        /// The signal that it was killed by.
        signal: Option<i32>,
        /// The number of the step in the plan, from 1.
        number: usize,
        /// Why it was in the plan.
        origin: Origin,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A signal asked husk to stop before the command ran.
    #[error("interrupted by signal {0} before the command ran")]
    Interrupted(i32),
    /// The terminal that husk was called from could not be made raw.
    #[error("cannot hand over what is typed: tcsetattr of the terminal on standard input: {}", in_words(.0))]
    Terminal(#[source] Errno),
    /// husk could not wait, poll or read.
    #[error("cannot attend to the container: {}", in_words(.0))]
    Supervise(#[source] Errno),
}

/// A step that failed.
#[derive(Debug)]
pub struct StepError {
    /// The number of the step in the plan, from 1.
    pub number: usize,
    /// Its stage.
    pub stage: Stage,
    /// What it was to do.
    pub doing: String,
    /// Why it was in the plan.
    pub origin: Origin,
    /// The system call that failed.
    pub call: &'static str,
    /// How.
    pub errno: Errno,
    /// The kernel's own words, where it has any.
    pub kernel: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match hook_problem(self.call, self.errno) {
            Some(problem) => write!(f, "cannot {}: {problem}", self.doing)?,
            None => write!(f, "cannot {}: {}: {}", self.doing, self.call, in_words(self.errno))?,
        }
        if !self.kernel.is_empty() {
            write!(f, " ({})", self.kernel)?;
        }
        write!(f, " [step {}, {}, {}]", self.number, self.stage.name(), self.origin)
    }
}

impl std::error::Error for StepError {}

fn ended(signal: &Option<i32>) -> String {
    signal.map_or("has ended".to_owned(), |signal| format!("was killed by signal {signal}"))
}

fn last(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

impl Error {
    /// The error of a hook that failed in the container's own process; `None` if it is of something else.
    pub(crate) fn hook(origin: String, path: PathBuf, failure: &Failure) -> Option<Self> {
        let problem = hook_problem(failure.call.name(), failure.errno)?;
        let words = String::from_utf8_lossy(failure.kernel_log()).trim().to_owned();
        Some(Self::Hook { origin, path, problem, words })
    }

    pub(crate) fn cgroup(plan: &Plan<'_>, index: usize, error: &dyn fmt::Display) -> Self {
        let step = &plan.steps[index];
        Self::Cgroup {
            doing: explain::describe(step),
            problem: error.to_string(),
            number: index + 1,
            origin: step.origin.clone(),
        }
    }

    /// The error of a first process that has ended while step number `index` (from 0) of `plan` waited for it.
    pub(crate) fn ended(plan: &Plan<'_>, index: usize, signal: Option<i32>) -> Self {
        let step = &plan.steps[index];
        Self::Ended {
            doing: explain::describe(step),
            signal,
            number: index + 1,
            origin: step.origin.clone(),
            hint: None,
        }
    }

    /// The error of step number `index` (from 0) of `plan`.
    pub(crate) fn step(
        plan: &Plan<'_>,
        index: usize,
        call: &'static str,
        errno: Errno,
        kernel: &[u8],
    ) -> Self {
        let step = &plan.steps[index];
        Self::Step(Box::new(StepError {
            number: index + 1,
            stage: step.stage,
            doing: explain::describe(step),
            origin: step.origin.clone(),
            call,
            errno,
            kernel: kernel_words(kernel),
            hint: hint::for_step(&step.action, call, errno),
        }))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Step(step) => step.hint.clone(),
            Self::Exec { problem, .. } => problem.hint(),
            Self::OwnProgram => Some(
                "name a program of the root; look at the interpreter that its first line names".to_owned(),
            ),
            Self::Helper { .. } => Some(
                "check your ranges in /etc/subuid and /etc/subgid, or do without: --userns single".to_owned(),
            ),
            Self::NoFreeIds { .. } => Some("end other containers first, or use --userns single".to_owned()),
            Self::Terminal(Errno::IO) => Some(
                "it is in the background, and nobody is left to bring it to the foreground: start it in the foreground, or \
                 with another standard input (</dev/null)"
                    .to_owned(),
            ),
            Self::Ended { hint, .. } => hint.clone(),
            Self::Hook { .. }
            | Self::Cgroup { .. }
            | Self::Interrupted(_)
            | Self::Terminal(_)
            | Self::Supervise(_) => None,
        }
    }

    /// The exit status of husk for it: 126 for a command that cannot be executed, 127 for one that is not there, 128 + N if
    /// signal N interrupted, 125 for all else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Interrupted(signal) => 128 + *signal as u8,
            Self::Exec {
                problem:
                    ExecProblem::NotFound { .. } | ExecProblem::NotADirectory { .. } | ExecProblem::EmptyRoot,
                ..
            } => 127,
            Self::Exec { .. } | Self::OwnProgram => 126,
            _ => husk_init::OWN_FAILURE as u8,
        }
    }
}

/// How a hook failed, if it was one. Its exit status or signal comes in the errno's place.
pub(crate) fn hook_problem(call: &str, errno: Errno) -> Option<String> {
    let number = errno.raw_os_error();
    let hook = |known: Call| call == known.name();
    Some(match () {
        () if hook(Call::HookExit) => format!("exit status {number}"),
        () if hook(Call::HookSignal) => format!("killed by signal {number}"),
        () if hook(Call::HookTimeout) => "it did not end in time".to_owned(),
        () if hook(Call::HookExecve) => format!("it cannot be executed: {}", in_words(errno)),
        () => return None,
    })
}

/// The kernel prefixes its lines with a letter for their weight: `e overlay: no such layer`.
fn kernel_words(log: &[u8]) -> String {
    String::from_utf8_lossy(log)
        .lines()
        .map(|line| {
            ["e ", "w ", "i "].iter().find_map(|weight| line.strip_prefix(weight)).unwrap_or(line).trim()
        })
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

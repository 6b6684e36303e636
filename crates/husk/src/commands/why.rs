// SPDX-License-Identifier: Apache-2.0
//! `husk why`, and what every failed `husk run` leaves for it.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use husk_plan::{Plan, PlanError};
use husk_runtime::doctor::Facts;
use husk_runtime::past_failures;
use husk_runtime::why::{self, Setting, Story, Watch};
use husk_runtime::{End, Ended, Error};
use husk_see::Text;

use crate::cli::{Why, is_slip};
use crate::commands::{run, see, why_running};
use crate::failure::{COMMAND_FAILED, Failure, RUN_FAILED};
use crate::lower::Lowered;
use crate::output;
use crate::view::lines::hanging;

/// Tells the cause of a failure.
///
/// # Errors
/// That there is none to tell of; or, of a run, a command line that is wrong.
pub(crate) fn why(why: &Why) -> Result<ExitCode, Failure> {
    match why {
        Why::Run(run) => run::why(run),
        Why::Last(name) => last(name.as_deref()),
    }
}

fn last(name: Option<&str>) -> Result<ExitCode, Failure> {
    let failure = past_failures::recall(name);
    let running = name.map(running).transpose()?.flatten();
    if failure.is_none() && running.is_none() {
        return Err(unknown(name));
    }
    let told = failure.map(|failure| {
        let when = SystemTime::now().duration_since(failure.when).map_or("just now".to_owned(), ago);
        format!("{when}\n{}", failure.text.trim_end())
    });
    let text: Vec<String> = told.into_iter().chain(running).collect();
    Ok(output::line(&text.join("\n\n")))
}

/// What is to be said of a container that runs.
fn running(name: &str) -> Result<Option<String>, Failure> {
    let machine = see::observe()?;
    let Ok(target) = see::find(&machine, name) else { return Ok(None) };
    let (sentence, story) = why_running::story(&machine, target)?;
    let columns = output::columns_of_stdout();
    Ok(Some(format!("{}\n{}", hanging(&sentence, 0, columns), output::rows(&story, columns).trim_end())))
}

fn unknown(name: Option<&str>) -> Failure {
    let mut hints = vec!["to run one and be told: husk why run ...".to_owned()];
    if name.is_some_and(|name| is_slip(name, "run")) {
        hints.insert(0, "did you mean `husk why run`?".to_owned());
    }
    if name.is_some() {
        hints.push("of an engine's container that has ended only the engine knows; husk why run --bundle DIR runs its OCI bundle again, and tells".to_owned());
    }
    Failure {
        doing: "looking for a failure".to_owned(),
        problem: match name {
            Some(name) => {
                format!("none of a container {} is known, and none of that name runs", Text::from(name))
            }
            None => "none is known: every container of yours has started".to_owned(),
        },
        hints,
        status: COMMAND_FAILED,
    }
}

fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..=1 => return "just now".to_owned(),
        2..=119 => (seconds, "seconds"),
        120..=7199 => (seconds / 60, "minutes"),
        7200..=172_799 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit} ago")
}

/// Who tells of the end of a container: in a sentence, or, for `husk why`, at length. The whole story of a failure is kept.
#[derive(Debug)]
pub(crate) struct Teller<'n> {
    name: &'n str,
    limits: Setting,
    /// With `husk why`: what was seen before.
    watch: Option<Watch>,
}

impl<'n> Teller<'n> {
    /// For a container; `at_length` for `husk why`.
    pub(crate) fn new(lowered: &'n Lowered, at_length: bool) -> Self {
        let limits = if lowered.bundle.is_some() { Setting::Field } else { Setting::Option };
        Self { name: &lowered.config.name, limits, watch: at_length.then(Watch::begin) }
    }

    /// There is no plan.
    ///
    /// # Errors
    /// The failure, unless it has been told already.
    pub(crate) fn cannot_plan(&self, error: &PlanError) -> Result<ExitCode, Failure> {
        let failure = Failure {
            doing: format!("planning {}", self.name),
            hints: error.hint().into_iter().collect(),
            problem: error.to_string(),
            status: RUN_FAILED,
        };
        self.failed(failure, &Story::of_plan_error(error, || Facts::gather().findings()))
    }

    /// The container did not start.
    ///
    /// # Errors
    /// As [`Self::cannot_plan`].
    pub(crate) fn cannot_start(&self, plan: &Plan<'_>, error: &Error) -> Result<ExitCode, Failure> {
        let failure = Failure {
            doing: format!("starting {}", self.name),
            hints: error.hint().into_iter().collect(),
            problem: error.to_string(),
            status: error.exit_status(),
        };
        self.failed(failure, &Story::of_error(plan, error, || Facts::gather().findings()))
    }

    fn failed(&self, failure: Failure, story: &Story) -> Result<ExitCode, Failure> {
        let sentence = Failure { hints: Vec::new(), ..failure.clone() };
        past_failures::keep(self.name, &format!("{sentence}\n{story}"));
        if self.watch.is_none() {
            return Err(failure);
        }
        let status = output::failure(&sentence);
        output::story(story);
        Ok(status)
    }

    /// The command ran and ended.
    pub(crate) fn ended(&self, ended: &Ended) -> ExitCode {
        let Ended { end, memory } = ended;
        let end = *end;
        let memory = memory.as_ref().map(|kills| (kills, self.limits));
        let story = Story::of_end(end, memory, self.watch.as_ref());
        if let (Some((kills, limits)), None) = (memory, &self.watch) {
            output::told(&format!("husk: {}: {}", self.name, why::killed_for_memory(kills, limits)));
            output::hint(&why::more_memory(kills, limits));
        }
        let what = match (&story, end.status()) {
            (Some(_), _) => "the command did not end by itself".to_owned(),
            (None, 0) => "nothing failed: the command ran, and ended with exit status 0".to_owned(),
            (None, status) => format!(
                "nothing of husk's failed: the command ran, and chose to end with exit status {status}"
            ),
        };
        let sentence = format!("husk: {}: {what}", self.name);
        // A status that only looks like a signal's is the command's own business, and a signal that husk passed on is no failure.
        if let (Some(story), End::Killed { by_husk: false, .. }) = (&story, end) {
            past_failures::keep(self.name, &format!("{sentence}\n{story}"));
        }
        if self.watch.is_some() {
            output::told(&sentence);
            story.iter().for_each(output::story);
        }
        ExitCode::from(end.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago() {
        let texts = [0, 2, 119, 120, 7200, 172_800].map(|seconds| ago(Duration::from_secs(seconds)));
        assert_eq!(
            texts,
            ["just now", "2 seconds ago", "119 seconds ago", "2 minutes ago", "2 hours ago", "2 days ago"]
        );
    }
}

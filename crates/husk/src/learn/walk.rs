// SPDX-License-Identifier: Apache-2.0
//! The way through the lessons: from what is seen, and what the person wants, to what is said. No clock and no screen of its own.

use std::time::Duration;

use super::lesson::{Lesson, Need};
use super::progress::Progress;
use super::sight::Sight;
use super::workshop::Workshop;
use super::{changes, hints, words};

/// How long something has to look wrong before husk says so: a person is still typing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long nothing may happen before husk offers help.
const SILENCE: Duration = Duration::from_secs(90);

/// How long what a lesson is built on may be gone: between two commands it may be, for a moment.
const GRACE: Duration = Duration::from_secs(1);

/// What the person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Nothing was typed.
    Nothing,
    /// To go on: where only the person can tell, it is done; elsewhere a hint.
    Enter,
    /// A hint.
    Hint,
    /// To pass over the lesson.
    Skip,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// The lesson begins: what to type, and why.
    Task {
        /// Which.
        lesson: Lesson,
        /// Why, a paragraph each.
        text: Vec<String>,
        /// What to type, a line each.
        commands: Vec<String>,
    },
    /// It is done, and this is what has changed.
    Done(Vec<String>),
    /// There is nothing to do in this lesson, and why.
    Already(Lesson, Vec<String>),
    /// What is wrong, or what may be.
    Hint(String),
    /// What a lesson was built on is gone.
    Lost(String),
    /// There is no lesson left.
    End,
}

/// Where the person is on the way.
#[derive(Debug)]
pub(crate) struct Walk {
    workshop: Workshop,
    progress: Progress,
    current: Option<Lesson>,
    has_started: bool,
    /// Whether only the person can tell that the lesson is done.
    by_eye: bool,
    /// The name of the machine at the beginning.
    host_name: String,
    /// The first processes of other containers when the lesson began.
    known: Vec<u32>,
    /// When something last happened in this lesson.
    since: Duration,
    /// What looks wrong, since when, and whether that was said.
    wrong: Option<(String, Duration, bool)>,
    /// Since when what the lesson is built on is gone.
    lost: Option<Duration>,
}

impl Walk {
    /// Goes on from `progress`.
    pub(crate) fn new(workshop: Workshop, progress: Progress) -> Self {
        Self {
            workshop,
            progress,
            current: None,
            has_started: false,
            by_eye: false,
            host_name: String::new(),
            known: Vec::new(),
            since: Duration::ZERO,
            wrong: None,
            lost: None,
        }
    }

    /// What to remember.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The lesson that the person is in.
    pub(crate) fn current(&self) -> Option<Lesson> {
        self.current
    }

    /// Whether only the person can tell that this lesson is done.
    pub(crate) fn is_by_eye(&self) -> bool {
        self.by_eye
    }

    /// The way on from here, after one more look at `now` (since any beginning).
    pub(crate) fn advance(&mut self, sight: &Sight, input: Input, now: Duration) -> Vec<Say> {
        let mut said = Vec::new();
        if !self.has_started {
            self.has_started = true;
            self.host_name = sight.host_name.clone();
            self.begin_after(None, sight, now, &mut said);
            return said;
        }
        let Some(lesson) = self.current else { return said };
        if self.is_over(lesson, sight, input) {
            said.push(Say::Done(changes::done(lesson, sight, &self.workshop)));
            self.progress.note_done(lesson);
            self.begin_after(Some(lesson), sight, now, &mut said);
        } else if self.is_lost(lesson, sight, now) {
            said.push(Say::Lost(changes::lost(sight)));
            self.begin_after(None, sight, now, &mut said);
        } else if input == Input::Skip {
            self.skip(lesson, sight, now, &mut said);
        } else {
            self.help(lesson, sight, input, now, &mut said);
        }
        said
    }

    /// Whether the lesson is done: what it is about is so, and where that is to be looked at, it was.
    fn is_over(&self, lesson: Lesson, sight: &Sight, input: Input) -> bool {
        let holds = match lesson {
            Lesson::HostName => sight.host_name == self.host_name,
            _ => lesson.holds(sight, &self.workshop),
        };
        holds && (!self.by_eye || input == Input::Enter)
    }

    /// Begins the next lesson that is not yet done, and says of those before it what they would have taught.
    fn begin_after(&mut self, last: Option<Lesson>, sight: &Sight, now: Duration, said: &mut Vec<Say>) {
        let rest = Lesson::ALL.into_iter().filter(|lesson| last.is_none_or(|last| *lesson > last));
        for lesson in rest {
            let holds = lesson.holds(sight, &self.workshop);
            match (self.progress.is_past(lesson), holds) {
                (true, true) => {}
                (true, false) if !lesson.builds() || self.is_superseded(lesson) => {}
                // unshare does it by itself, but it is to be seen.
                (false, true) if lesson != Lesson::Private => {
                    said.push(Say::Already(lesson, changes::already(lesson, sight, &self.workshop)));
                    self.progress.note_done(lesson);
                }
                _ => return self.begin(lesson, sight, now, said),
            }
        }
        self.current = None;
        said.push(Say::End);
    }

    /// Whether a later lesson has put something better in its place.
    fn is_superseded(&self, lesson: Lesson) -> bool {
        let pivot = Lesson::Pivot;
        lesson == Lesson::Chroot && self.progress.is_done(pivot)
            || lesson == pivot && !self.progress.is_done(pivot)
    }

    fn begin(&mut self, lesson: Lesson, sight: &Sight, now: Duration, said: &mut Vec<Say>) {
        self.current = Some(lesson);
        self.by_eye = lesson == Lesson::HostName || lesson.holds(sight, &self.workshop);
        self.since = now;
        self.wrong = None;
        self.lost = None;
        self.known = sight.others.iter().map(|(pid, _)| *pid).chain(sight.of_root.iter().copied()).collect();
        said.push(Say::Task {
            lesson,
            text: words::task(lesson, sight, &self.workshop),
            commands: words::commands(lesson, sight, &self.workshop),
        });
    }

    /// Whether what the lesson is built on has been gone for a while.
    fn is_lost(&mut self, lesson: Lesson, sight: &Sight, now: Duration) -> bool {
        let is_there = match lesson.need() {
            Need::Nothing => true,
            Need::Container => sight.init().is_some(),
            Need::Inside => sight.inside().is_some(),
        };
        if is_there {
            self.lost = None;
            return false;
        }
        now.saturating_sub(*self.lost.get_or_insert(now)) >= GRACE
    }

    fn skip(&mut self, lesson: Lesson, sight: &Sight, now: Duration, said: &mut Vec<Say>) {
        if !lesson.may_be_skipped() {
            return said.push(Say::Hint(words::CANNOT_SKIP.to_owned()));
        }
        self.progress.note_skipped(lesson);
        self.begin_after(Some(lesson), sight, now, said);
    }

    /// A hint, if one is asked for or if one is due.
    fn help(&mut self, lesson: Lesson, sight: &Sight, input: Input, now: Duration, said: &mut Vec<Say>) {
        let wrong = hints::diagnose(lesson, sight, &self.workshop, &self.host_name, &self.known);
        let is_asked = input != Input::Nothing;
        let is_new = self.wrong.as_ref().map(|(text, ..)| text) != wrong.as_ref();
        if is_new {
            self.wrong = wrong.map(|text| (text, now, false));
        }
        if let Some((text, since, was_said)) = &mut self.wrong
            && (is_asked || (!*was_said && now.saturating_sub(*since) >= PATIENCE))
        {
            *was_said = true;
            self.since = now;
            return said.push(Say::Hint(text.clone()));
        }
        if is_asked || now.saturating_sub(self.since) >= SILENCE {
            // Once is enough, unless it is asked for.
            self.since = if is_asked { now } else { Duration::MAX };
            said.push(Say::Hint(hints::usual(lesson, sight, &self.workshop)));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! A container by hand, in lessons: what to type, what has to be true then, and why it matters.
//!
//! `look` reads the kernel and the directory, once for each look, into a [`sight::Sight`]; everything else is pure: which
//! lesson is next (`walk`), whether it is done (`lesson`), what to say (`words`, `changes`, `hints`), and what a container is graded by (`criteria`).

mod changes;
mod criteria;
mod hints;
mod lesson;
mod look;
mod progress;
mod sight;
#[cfg(test)]
mod tests;
mod walk;
mod words;
mod workshop;

pub(crate) use criteria::{Mark, Outcome, grade, holds};
pub(crate) use lesson::Lesson;
pub(crate) use look::{fullest, look};
pub(crate) use progress::Progress;
pub(crate) use walk::{Input, Say, Walk};
pub(crate) use words::{going_on, opening, title};
pub(crate) use workshop::Workshop;

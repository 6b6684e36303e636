// SPDX-License-Identifier: Apache-2.0
//! Why an option is refused.

use std::ffi::OsStr;

use crate::failure::{Failure, RUN_FAILED};

/// What is wrong with a value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// It is the problem of `option` as typed with `value`.
    pub(super) fn of(self, option: &str, value: impl AsRef<OsStr>) -> Refused {
        let value = value.as_ref().to_string_lossy();
        let words =
            if value.is_empty() { option.to_owned() } else { format!("{option} {}", value.escape_debug()) };
        Refused { words, problem: self }
    }

    /// It is the problem of two options that do not go together.
    pub(super) fn of_both(self, one: &str, other: &str) -> Refused {
        Refused { words: format!("{one} and {other}"), problem: self }
    }
}

/// An option that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// As it was typed, or nearly: short options under their long names.
    words: String,
    problem: Problem,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let Refused { words, problem: Problem { why, hint } } = refused;
        Self {
            doing: "reading the command line".to_owned(),
            problem: format!("{words}: {why}"),
            hints: hint.into_iter().collect(),
            status: RUN_FAILED,
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! A plan in the shell: each step as a line, graded by how near it comes, and all of them as one script.

mod cgroup;
mod quote;
mod script;
mod seen;
mod steps;
mod treatment;

pub use quote::{quote, quote_all};
pub use script::Script;

use crate::plan::Plan;
use steps::{Piece, pieces};

/// How near the shell comes to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grade {
    /// It does the same.
    Same,
    /// It does something weaker or different.
    Weaker,
    /// It has no means for it.
    Impossible,
}

impl Grade {
    /// All, from the best on.
    pub const ALL: [Self; 3] = [Self::Same, Self::Weaker, Self::Impossible];

    /// Its sign in explanations.
    pub fn sign(self) -> char {
        match self {
            Self::Same => '=',
            Self::Weaker => '≈',
            Self::Impossible => '–',
        }
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Weaker => "weaker",
            Self::Impossible => "impossible",
        }
    }
}

/// A step of a plan in the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How near it comes.
    pub grade: Grade,
    /// What a person would type, empty if there is nothing to type.
    pub code: String,
    /// What else there is to know: how it differs, or why there is nothing to type. May be empty.
    pub remark: String,
    /// By what the script declares the difference, if there is one.
    pub differs: Option<&'static str>,
}

impl From<Piece> for Line {
    fn from(piece: Piece) -> Self {
        Self { grade: piece.grade, code: piece.shown(), remark: piece.remark, differs: piece.differs }
    }
}

/// The steps of `plan` in the shell, one line for each.
pub fn lines(plan: &Plan<'_>) -> Vec<Line> {
    pieces(plan).into_iter().map(Line::from).collect()
}

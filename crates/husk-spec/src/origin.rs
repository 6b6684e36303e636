// SPDX-License-Identifier: Apache-2.0
//! Where a part of a configuration came from.

use std::fmt;

/// Where a part of a [`crate::Config`] came from, as a person would point at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// husk's own default; says which (`/dev`, `masked paths`).
    Default(&'static str),
    /// A word of the command line: an option (`--tmpfs`) or an argument (`ROOTFS`).
    Argument(String),
    /// A place in `config.json`, as a JSON path (`mounts[3]`).
    Config(String),
    /// It follows from something else, or from the host; says from what (`the kernel allows no mknod here`).
    Because(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(what) => write!(f, "default: {what}"),
            Self::Argument(option) => f.write_str(option),
            Self::Config(path) => f.write_str(path),
            Self::Because(reason) => f.write_str(reason),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Given<T> {
    /// `value`, which came from the option or argument `word`.
    pub fn argument(value: T, word: impl Into<String>) -> Self {
        Self { value, origin: Origin::Argument(word.into()) }
    }

    /// `value`, which stands in `config.json` at `path`.
    pub fn config(value: T, path: impl Into<String>) -> Self {
        Self { value, origin: Origin::Config(path.into()) }
    }

    /// `value`, which is husk's default for `what`.
    pub fn default(value: T, what: &'static str) -> Self {
        Self { value, origin: Origin::Default(what) }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The name under which a caller knows a container.

use std::fmt;
use std::str::FromStr;

/// The longest id in bytes. It names a directory, and the kernel takes no longer name (NAME_MAX).
const MAX_BYTES: usize = 255;

/// A container's id: letters, digits and `_ + . -`, as runc takes them; never `.` or `..`. It is safe as the name of a
/// file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is no container's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContainerId {
    /// Nothing.
    #[error("the container's id is empty")]
    Empty,
    /// More than can be the name of a directory.
    #[error("the container's id has {0} bytes: at most {MAX_BYTES}")]
    TooLong(usize),
    /// A character that is none of the alphabet.
    #[error("container id {id:?} has {character:?}: letters, digits and _ + . - are allowed")]
    Character {
        /// The whole.
        id: String,
        /// The first that is wrong.
        character: char,
    },
    /// The name of a directory that is always there.
    #[error("{0:?} is no container's id: it means a directory")]
    Directory(String),
}

impl FromStr for ContainerId {
    type Err = InvalidContainerId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        if id.is_empty() {
            return Err(InvalidContainerId::Empty);
        }
        if id.len() > MAX_BYTES {
            return Err(InvalidContainerId::TooLong(id.len()));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-');
        if let Some(character) = id.chars().find(|c| !allowed(c)) {
            return Err(InvalidContainerId::Character { id: id.to_owned(), character });
        }
        if id == "." || id == ".." {
            return Err(InvalidContainerId::Directory(id.to_owned()));
        }
        Ok(Self(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_use_is_an_id() {
        let longest = "a".repeat(MAX_BYTES);
        let docker = "0123456789abcdef".repeat(4);
        for id in ["a", "k8s_pod.name-x+1", "...", "-x", ".a", &docker, &longest] {
            assert_eq!(id.parse::<ContainerId>().map(|id| id.to_string()), Ok(id.to_owned()));
        }
    }

    #[test]
    fn what_could_name_another_file_is_none() {
        let parse = str::parse::<ContainerId>;
        assert_eq!(parse(""), Err(InvalidContainerId::Empty));
        assert_eq!(parse(&"a".repeat(256)), Err(InvalidContainerId::TooLong(256)));
        for directory in [".", ".."] {
            assert_eq!(parse(directory), Err(InvalidContainerId::Directory(directory.to_owned())));
        }
        for character in ['/', '\0', '\n', ' ', ':', '\u{1b}', '\u{202e}', 'é', '@', '%', '\\'] {
            let id = format!("a{character}b");
            assert_eq!(parse(&id), Err(InvalidContainerId::Character { id, character }));
        }
    }

    #[test]
    fn an_error_shows_no_control_character() {
        let error = "a\u{1b}[2J\u{202e}b".parse::<ContainerId>().expect_err("control characters").to_string();
        assert!(error.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{error}");
    }
}

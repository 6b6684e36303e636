// SPDX-License-Identifier: Apache-2.0
//! Container ids.

use std::fmt;
use std::str::FromStr;

/// The longest id in bytes: it is the name of a directory.
const MAX: usize = 255;

/// A container's id: letters, digits and `_+-.`, at most 255 of them, and neither `.` nor `..`, since it is the name of a
/// directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// Text that is no container id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid container id {0:?}: an id is made of letters, digits, `_`, `+`, `-` and `.`, 255 at most, and is not `.` or `..`"
)]
pub struct InvalidContainerId(pub String);

impl ContainerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = InvalidContainerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte));
        if !legal || text.is_empty() || text.len() > MAX || matches!(text, "." | "..") {
            return Err(InvalidContainerId(text.chars().take(MAX).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_name_of_a_directory() {
        let is_id = |text: &str| text.parse::<ContainerId>().is_ok();
        assert!(["a", "A-1_b+c.d", "..a", "-x"].into_iter().all(is_id));
        assert!(is_id(&"a".repeat(MAX)) && !is_id(&"a".repeat(MAX + 1)));
        for bad in ["", ".", "..", "a/b", "../x", "a b", "a\n", "a\u{202e}b", "ä", "a\0"] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }
}

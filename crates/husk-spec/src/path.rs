// SPDX-License-Identifier: Apache-2.0
//! Paths by their words alone.

use std::path::{Component, Path, PathBuf};

/// The path from `/` on, without `.` and `..`; the parent of `/` is itself. Nothing is looked up: a link counts as a directory.
pub fn normalized(path: impl AsRef<Path>) -> PathBuf {
    let mut normalized = PathBuf::from("/");
    for component in path.as_ref().components() {
        match component {
            Component::Normal(name) => normalized.push(name),
            Component::ParentDir => drop(normalized.pop()),
            _ => {}
        }
    }
    normalized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_taken_out_and_the_top_is_not_left() {
        let cases = [("a", "/a"), ("/a/./b/", "/a/b"), ("/a/../../b", "/b"), ("..", "/"), ("", "/")];
        for (path, expected) in cases {
            assert_eq!(normalized(path), Path::new(expected), "{path}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

//! A runtime, and what it says about itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::output;

/// A runtime to try the suite on.
pub(super) struct Runtime {
    pub(super) path: PathBuf,
    pub(super) name: String,
    /// All that `--version` says.
    pub(super) version: String,
}

impl Runtime {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        let version = output(Command::new(&path).arg("--version"))?;
        let name = version.split_whitespace().next().ok_or("--version says nothing")?.to_owned();
        Ok(Self { path, name, version })
    }

    /// The first line of `--version`.
    pub(super) fn title(&self) -> &str {
        self.version.lines().next().unwrap_or_default()
    }

    /// crun refuses a machine whose v2 hierarchy, beside those of v1, has a controller; so it is not shown that one.
    pub(super) fn hidden_hierarchies(&self) -> &'static str {
        if self.name == "crun" { "unified" } else { "" }
    }
}

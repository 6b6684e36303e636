// SPDX-License-Identifier: Apache-2.0
//! A bundle: a directory with a `config.json` and a root file system.

use std::fs;
use std::path::{Path, PathBuf};

use husk_plan::in_words;
use husk_spec::oci::Spec;

use crate::failure::Failure;

/// A bundle and what its `config.json` says.
pub(crate) struct Bundle {
    /// Its directory. Absolute.
    pub(crate) path: PathBuf,
    /// The `config.json` as it is.
    pub(crate) config: Vec<u8>,
    /// What it says.
    pub(crate) spec: Spec,
}

impl Bundle {
    /// Reads the one at `path`, or in the working directory.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let asked = path.unwrap_or(Path::new("."));
        let failed = |path: &Path, error: std::io::Error| {
            Failure::new(format!("cannot read {}: {}", path.display(), in_words(error).to_lowercase()))
        };
        let path = fs::canonicalize(asked).map_err(|error| failed(asked, error))?;
        let file = path.join("config.json");
        let config = fs::read(&file).map_err(|error| failed(&file, error))?;
        let spec =
            Spec::from_json(&config).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        Ok(Self { path, config, spec })
    }
}

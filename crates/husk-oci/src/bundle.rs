// SPDX-License-Identifier: Apache-2.0
//! A bundle: a directory with a `config.json` and a root file system. Read and judged here, once.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use husk_plan::in_words;
use husk_runtime::own_binary;
use husk_spec::oci::{self, Process, Spec, UserIds};

use crate::command_line::Globals;
use crate::failure::Failure;
use crate::log;

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
    /// Reads the one at `path`, or in the working directory, for a container to be made of it.
    pub(crate) fn read(globals: &Globals, path: Option<&Path>) -> Result<Self, Failure> {
        let asked = path.unwrap_or(Path::new("."));
        let path = fs::canonicalize(asked).map_err(|error| {
            unreadable(asked, error, "--bundle names the bundle, a directory with config.json")
        })?;
        let file = path.join("config.json");
        let config = read_bounded(&file, "--bundle names its directory, and husk-oci spec writes one")?;
        // Before anything else: this program may have to begin again.
        own_binary::protect(|| uids(&UserIds::of_config(&config)))?;
        let refused = |problem: String| Failure::new(format!("{}: {problem}", file.display()));
        let spec = Spec::from_json(&config).map_err(|error| refused(error.to_string()))?;
        let warnings = oci::validate(&spec).map_err(|error| refused(error.to_string()))?;
        warn(globals, &file, &warnings);
        Ok(Self { path, config, spec })
    }
}

/// Reads the file of `exec --process`.
pub(crate) fn read_process(globals: &Globals, file: &Path) -> Result<Process, Failure> {
    let bytes = read_bounded(file, "")?;
    let refused = |problem: String| Failure::new(format!("{}: {problem}", file.display()));
    let process = Process::from_json(&bytes).map_err(|error| refused(error.to_string()))?;
    judge_process(globals, file, &process)?;
    Ok(process)
}

/// Judges a process of an exec that is described by `source`.
pub(crate) fn judge_process(globals: &Globals, source: &Path, process: &Process) -> Result<(), Failure> {
    let judged = oci::validate_process(process);
    let warnings = judged.map_err(|error| Failure::new(format!("{}: {error}", source.display())))?;
    warn(globals, source, &warnings);
    Ok(())
}

fn warn(globals: &Globals, file: &Path, warnings: &[oci::Warning]) {
    for warning in warnings {
        log::warning(globals, &format!("{}: {}: {}", file.display(), warning.path, warning.problem));
    }
}

/// Room for what engines mostly write, in bytes: it is then read at once.
const USUAL: usize = 16 << 10;

/// What a file holds. `missing` is the way out where there is none.
pub(crate) fn read_bounded(file: &Path, missing: &str) -> Result<Vec<u8>, Failure> {
    File::open(file).and_then(bounded).map_err(|error| unreadable(file, error, missing))
}

/// One byte more than is taken, so that a file that is too large is refused and not cut off.
pub(crate) fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL);
    source.take(oci::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn unreadable(path: &Path, error: io::Error, missing: &str) -> Failure {
    let is_missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    let colon = if is_missing && !missing.is_empty() { ": " } else { "" };
    let hint = if is_missing { missing } else { "" };
    Failure::new(format!("cannot read {}: {}{colon}{hint}", path.display(), in_words(error).to_lowercase()))
}

fn uids(ids: &UserIds) -> Vec<(u32, u32)> {
    match ids {
        UserIds::All => own_binary::ALL.to_vec(),
        UserIds::Ranges(ranges) => ranges.clone(),
        UserIds::Of(path) => own_binary::uids_of(path),
    }
}

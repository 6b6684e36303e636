// SPDX-License-Identifier: Apache-2.0
//! Who calls husk, and from where: the inputs of lowering that are not on the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use husk_plan::in_words;
use husk_spec::Stdio;
use husk_spec::oci::MAX_BYTES;

use crate::cli::Run;
use crate::failure::{Failure, RUN_FAILED};
use crate::names;

/// Larger than any list of variables that `execve(2)` would take.
const ENV_FILE_LIMIT: u64 = 8 << 20;

/// What lowering knows of the caller. Nothing but data, so that lowering is a pure function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The working directory. Absolute.
    pub(crate) directory: PathBuf,
    /// The environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// What each `--env-file` holds, in their order.
    pub(crate) env_files: Vec<Vec<u8>>,
    /// The bundle that `--bundle` names.
    pub(crate) bundle: Option<BundleFile>,
    /// The block devices that options name, with their numbers; `None` for what is no block device.
    pub(crate) block_devices: BTreeMap<PathBuf, Option<(u32, u32)>>,
    /// Which of standard input, output and error are terminals.
    pub(crate) terminals: Vec<Stdio>,
    /// Columns and rows of the first of them.
    pub(crate) terminal_size: Option<(u16, u16)>,
    /// The root for a container that was given none. Absolute; not looked at otherwise.
    pub(crate) default_root: PathBuf,
    /// The name for a container that was given none.
    pub(crate) name: String,
}

/// A bundle, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BundleFile {
    /// Its directory. Absolute.
    pub(crate) directory: PathBuf,
    /// What its `config.json` holds.
    pub(crate) config: Vec<u8>,
}

impl BundleFile {
    /// The one in `directory`.
    ///
    /// # Errors
    /// There is none, or none that can be read.
    pub(crate) fn read(directory: &Path) -> Result<Self, Failure> {
        let failed = |path: &Path, e: io::Error| Failure {
            doing: format!("reading the bundle {}", directory.display()),
            problem: format!("{}: {}", path.display(), in_words(e)),
            hints: vec![
                "a bundle is a directory with a config.json, as `husk-oci spec` writes it".to_owned(),
            ],
            status: RUN_FAILED,
        };
        let absolute = fs::canonicalize(directory).map_err(|e| failed(directory, e))?;
        let file = absolute.join("config.json");
        let config = read_bounded(&file, MAX_BYTES as u64).map_err(|e| failed(&file, e))?;
        Ok(Self { directory: absolute, config })
    }
}

impl Caller {
    /// The caller of this process, as far as `run` asks.
    ///
    /// # Errors
    /// A working directory that is gone; an `--env-file` or a bundle that cannot be read.
    pub(crate) fn of_this_process(run: &Run, default_root: PathBuf) -> Result<Self, Failure> {
        let failed = |doing: String, e: io::Error, hint: &str| Failure {
            doing,
            problem: in_words(e),
            hints: vec![hint.to_owned()],
            status: RUN_FAILED,
        };
        let directory = std::env::current_dir().map_err(|e| {
            failed("looking up the working directory".into(), e, "change to a directory that exists: cd")
        })?;
        let read = |path: &OsString| {
            let path = Path::new(path);
            let hint = "--env-file takes a file of NAME=VALUE lines";
            read_bounded(path, ENV_FILE_LIMIT)
                .map_err(|e| failed(format!("reading --env-file {}", path.display()), e, hint))
        };
        let env_files = run.options.env_file.iter().map(read).collect::<Result<_, _>>()?;
        let bundle =
            run.options.bundle.as_ref().map(|bundle| BundleFile::read(Path::new(bundle))).transpose()?;
        let terminals = terminals();
        let terminal_size = terminals.first().and_then(|stdio| size(*stdio));
        Ok(Self {
            directory,
            environment: std::env::vars_os().collect(),
            env_files,
            bundle,
            block_devices: run
                .options
                .throttled()
                .map(|path| (path.to_owned(), block_device(path)))
                .collect(),
            terminals,
            terminal_size,
            default_root,
            name: names::random(),
        })
    }
}

fn block_device(path: &Path) -> Option<(u32, u32)> {
    let device = fs::metadata(path).ok().filter(|metadata| metadata.file_type().is_block_device())?.rdev();
    Some((rustix::fs::major(device), rustix::fs::minor(device)))
}

/// Reads a file that may be a pipe (`--env-file <(...)`), but not one without end.
fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {} MiB", limit >> 20)));
    }
    Ok(content)
}

fn terminals() -> Vec<Stdio> {
    let is_terminal = |stdio: &Stdio| match stdio {
        Stdio::Input => io::stdin().is_terminal(),
        Stdio::Output => io::stdout().is_terminal(),
        Stdio::Error => io::stderr().is_terminal(),
    };
    [Stdio::Input, Stdio::Output, Stdio::Error].into_iter().filter(is_terminal).collect()
}

fn size(stdio: Stdio) -> Option<(u16, u16)> {
    let size = match stdio {
        Stdio::Input => rustix::termios::tcgetwinsize(io::stdin()),
        Stdio::Output => rustix::termios::tcgetwinsize(io::stdout()),
        Stdio::Error => rustix::termios::tcgetwinsize(io::stderr()),
    };
    // A serial line says 0 by 0, which is not known.
    size.ok().map(|size| (size.ws_col, size.ws_row)).filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_refused() {
        let error = read_bounded(Path::new("/dev/zero"), ENV_FILE_LIMIT).expect_err("endless");
        assert_eq!(error.to_string(), "larger than 8 MiB");
        assert_eq!(read_bounded(Path::new("/dev/null"), ENV_FILE_LIMIT).expect("empty"), b"");
    }
}

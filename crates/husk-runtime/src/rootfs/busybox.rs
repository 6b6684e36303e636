// SPDX-License-Identifier: Apache-2.0
//! The host's busybox: which one, and what it can do.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;
use super::tree::Tree;
use crate::elf;

/// What a busybox is called; Alpine's static one has a name of its own.
const NAMES: [&str; 2] = ["busybox", "busybox.static"];

/// A busybox of this host.
#[derive(Debug)]
pub(super) struct Busybox {
    pub(super) path: PathBuf,
    pub(super) is_static: bool,
    file: File,
    mode: u32,
}

/// A file that may be a busybox, as stat(2) shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) ino: u64,
    dev: u64,
    pub(super) size: u64,
    pub(super) mtime: (i64, i64),
    path: PathBuf,
}

/// The directories of PATH, then the standard ones. Relative entries are left out: what they mean depends on
/// where one stands.
pub(super) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let standard = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(standard) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// The busyboxes that the caller may mean: those on PATH, and the installed ones.
pub(super) fn on_path() -> Vec<Candidate> {
    candidates(&search_path())
}

/// The busyboxes installed on the host, whatever PATH says; only if there are none, those on PATH.
pub(super) fn installed() -> Vec<Candidate> {
    let installed = candidates(&["/usr/bin".into(), "/bin".into()]);
    if installed.is_empty() { on_path() } else { installed }
}

/// All executable files that are called busybox, each once, in the order in which they are found. Only
/// stat(2) is used: this is on the way of every start with the default root.
pub(super) fn candidates(dirs: &[PathBuf]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for path in dirs.iter().flat_map(|dir| NAMES.map(|name| dir.join(name))) {
        if let Ok(meta) = std::fs::metadata(&path)
            && meta.is_file()
            && meta.mode() & 0o111 != 0
            && !found.iter().any(|known| (known.dev, known.ino) == (meta.dev(), meta.ino()))
        {
            let mtime = (meta.mtime(), meta.mtime_nsec());
            found.push(Candidate { ino: meta.ino(), dev: meta.dev(), size: meta.size(), mtime, path });
        }
    }
    found
}

/// The busybox to take: a static one if there is any, else the first. None if the host has none that runs
/// here.
///
/// # Errors
/// When there is one, but none that can be read.
pub(super) fn choose(candidates: &[Candidate]) -> Result<Option<Busybox>, Error> {
    let mut unreadable = None;
    let mut dynamic = None;
    for candidate in candidates {
        match open(&candidate.path) {
            Ok(Some(busybox)) if busybox.is_static => return Ok(Some(busybox)),
            Ok(Some(busybox)) => dynamic = dynamic.or(Some(busybox)),
            Ok(None) => {}
            Err(e) => unreadable = unreadable.or(Some(e)),
        }
    }
    match (dynamic, unreadable) {
        (None, Some(error)) => Err(error),
        (found, _) => Ok(found),
    }
}

/// None for what is no program for this machine: a wrapper script, say.
fn open(path: &Path) -> Result<Option<Busybox>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mode = file.metadata().map_err(Error::io("read", path))?.permissions().mode();
    Ok(elf::read(&file).ok().filter(|image| image.runnable && image.arch.runs_here()).map(|image| Busybox {
        path: path.to_owned(),
        is_static: image.interpreter.is_none(),
        file,
        mode,
    }))
}

impl Busybox {
    /// Copies it to `bin/busybox`, and links each of `applets` to it.
    pub(super) fn install(&mut self, tree: &mut Tree, applets: &[impl AsRef<str>]) -> Result<(), Error> {
        tree.copy(&mut self.file, "bin/busybox", self.mode)?;
        let bin = Path::new("bin");
        applets.iter().try_for_each(|applet| tree.symlink("busybox", bin.join(applet.as_ref())))
    }

    /// The names under which it can be called, as it says itself.
    pub(super) fn applets(&self) -> Result<Vec<String>, Error> {
        let failed = |reason| Error::Applets { busybox: self.path.clone(), reason };
        let output = Command::new(&self.path)
            .arg0("busybox")
            .arg("--list")
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .map_err(|e| failed(e.to_string()))?;
        let applets = parse_applets(&output.stdout);
        match applets.is_empty() {
            false if output.status.success() => Ok(applets),
            _ => Err(failed(format!("{} and {} names", output.status, applets.len()))),
        }
    }
}

/// One name a line; what could not be a name in bin/, or would replace busybox itself, is left out.
fn parse_applets(list: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = String::from_utf8_lossy(list)
        .lines()
        .map(str::trim)
        .filter(|name| Path::new(name).file_name() == Some(OsStr::new(name)) && *name != "busybox")
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_links() {
        let list = b"[\nsh\nls\n../evil\n/bin/x\n\n..\nbusybox\nls\n";
        assert_eq!(parse_applets(list), ["[", "ls", "sh"]);
    }
}

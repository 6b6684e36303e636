// SPDX-License-Identifier: Apache-2.0
//! A root of the host's own programs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::closure::Closure;
use super::mirror::Mirror;
use super::tree::Tree;
use super::{Error, Note, Source, busybox, skeleton};

/// What one wants at hand in a first container.
const PROGRAMS: [&str; 49] = [
    "sh", "bash", "ls", "ps", "echo", "hostname", "mount", "umount", "cat", "id", "env", "ln", "mkdir",
    "rmdir", "rm", "cp", "mv", "sleep", "true", "false", "kill", "ip", "stat", "touch", "grep", "sed",
    "head", "tail", "wc", "sort", "uname", "whoami", "tty", "stty", "df", "free", "more", "chmod", "chown",
    "date", "dd", "find", "readlink", "printf", "pwd", "test", "[", "seq", "top",
];

/// Without these, a shell cannot edit lines and top cannot draw.
const TERMINALS: [&str; 6] =
    ["l/linux", "v/vt100", "x/xterm", "x/xterm-256color", "s/screen-256color", "t/tmux-256color"];
const TERMINFO: [&str; 3] = ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"];

/// Where every container has a mount of its own.
const HIDDEN: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];

/// The programs, libraries and notes of a root of the host's programs.
pub(super) type Filled = (Source, Vec<PathBuf>, Vec<Note>);

/// Fills a root with the default programs and those in `add`.
pub(super) fn fill(tree: &mut Tree, add: &[String]) -> Result<Filled, Error> {
    let added = add.iter().map(|program| resolve(program)).collect::<Result<Vec<_>, _>>()?;
    // First, so that the root has the host's idea of what is a link (`bin -> usr/bin`).
    let mut mirror = Mirror::new(tree);
    ["/bin", "/sbin", "/usr/bin", "/usr/sbin"].iter().try_for_each(|dir| mirror.directory(Path::new(dir)))?;
    skeleton::lay_out(mirror.tree)?;

    let mut closure = Closure::new(mirror);
    let mut programs = Vec::new();
    let mut missing = Vec::new();
    for name in PROGRAMS {
        match look_up(OsStr::new(name)) {
            Some(path) => match closure.program(&path) {
                Ok(()) => programs.push(path),
                // A program that does not run on the host is no reason to have no root.
                Err(Error::MissingLibrary { program, library }) => {
                    closure.notes.push(Note::Incomplete { program, library });
                }
                Err(e) => return Err(e),
            },
            None => missing.push(name.to_owned()),
        }
    }
    for path in added {
        closure.program(&path)?;
        programs.push(path);
    }
    for entry in TERMINFO.iter().flat_map(|dir| TERMINALS.map(|entry| Path::new(dir).join(entry))) {
        if entry.is_file() {
            closure.program(&entry)?;
        }
    }
    let (libraries, mut notes) = closure.finish()?;
    if !missing.is_empty() {
        notes.push(Note::NotOnHost(missing));
    }
    Ok((Source::Host { programs }, libraries, notes))
}

/// The program that this name means on the host's PATH, or in the standard directories.
pub(super) fn look_up(name: &OsStr) -> Option<PathBuf> {
    let is_program =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0);
    busybox::search_path().iter().map(|dir| dir.join(name)).find(is_program)
}

/// What the caller means by a program: a path, or a name on PATH.
fn resolve(program: &str) -> Result<PathBuf, Error> {
    let path = match program.as_bytes().contains(&b'/') {
        true => std::path::absolute(program).map_err(Error::io("find", Path::new(program)))?,
        false => look_up(OsStr::new(program)).ok_or_else(|| Error::NoSuchProgram(program.to_owned()))?,
    };
    let meta = std::fs::metadata(&path).map_err(Error::io("read", &path))?;
    if !meta.is_file() {
        return Err(Error::NotAFile(path));
    }
    let top = path.components().nth(1).map(|top| PathBuf::from(top.as_os_str())).unwrap_or_default();
    match HIDDEN.iter().any(|hidden| top.as_os_str().as_bytes() == hidden.as_bytes()) {
        true => Err(Error::Hidden { path, top }),
        false => Ok(path),
    }
}

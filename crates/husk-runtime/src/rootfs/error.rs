// SPDX-License-Identifier: Apache-2.0
//! Why a root could not be built, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use husk_plan::in_words;
use rustix::io::Errno;

/// Why a root could not be built. Nothing is left behind when one of these is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory has something in it, which a new root would bury.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// There is something else of that name.
    #[error("{} exists and is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A root is put in place by a rename in its parent, which a mount point does not allow.
    #[error("{} is a mount point, and a finished root is put in place by a rename", .0.display())]
    MountPoint(PathBuf),
    /// Renaming a new directory over the current one would leave the caller's shell in a deleted directory.
    #[error("{} is the current directory, and a finished root takes the place of the directory named", .0.display())]
    CurrentDirectory(PathBuf),
    /// The directory in which the root is to be made does not exist.
    #[error("there is no directory {} to make the root in", .0.display())]
    NoParent(PathBuf),
    /// No name can be had from the path: `..`, or nothing at all.
    #[error("`{}` does not name a directory that could be made", .0.display())]
    NoName(PathBuf),
    /// A program asked for by name is nowhere on PATH.
    #[error("there is no program `{0}` on this host's PATH")]
    NoSuchProgram(String),
    /// A file asked for by path is a directory, a device or the like.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// A file asked for lies where every container has a mount of its own, so it would never be seen.
    #[error("{} would be hidden: a container has its own /{}", path.display(), top.display())]
    Hidden {
        /// The file asked for.
        path: PathBuf,
        /// `proc`, `sys`, `dev`, `run` or `tmp`.
        top: PathBuf,
    },
    /// A program asked for could not start in the root.
    #[error("{} needs {}, which is not on this host", program.display(), library.display())]
    MissingLibrary {
        /// The program or library that asks for it.
        program: PathBuf,
        /// The library's name, or the interpreter's path.
        library: PathBuf,
    },
    /// A minimal root is busybox alone, and there is none.
    #[error("there is no busybox on this host")]
    NoBusybox,
    /// `busybox --list` did not say which applets there are.
    #[error("asking {} for its applets (`busybox --list`) failed: {reason}", busybox.display())]
    Applets {
        /// The busybox that was asked.
        busybox: PathBuf,
        /// What happened instead.
        reason: String,
    },
    /// Neither `XDG_DATA_HOME` nor `HOME` says where to keep the default root.
    #[error(
        "neither XDG_DATA_HOME nor HOME is an absolute path, so there is no place to keep the default root"
    )]
    NoHome,
    /// The default root belongs to, or can be written by, somebody else.
    #[error("the default root {} can be changed by others: owner {uid}, mode {mode:04o}", path.display())]
    Foreign {
        /// The default root.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A system call failed.
    #[error("cannot {doing} {}: {}", path.display(), in_words(source))]
    Io {
        /// What was being done, as a verb: "create", "copy".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
        move |source| Error::Io { doing, path: path.to_owned(), source: source.into() }
    }

    /// What to do about it, in one sentence without a full stop; None where the error says it all.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::NotEmpty(dir) | Error::MountPoint(dir) => {
                format!(
                    "name a directory that does not exist yet, for example {}",
                    dir.join("root").display()
                )
            }
            Error::NotADirectory(_) | Error::NoName(_) => "name a directory that does not exist yet".into(),
            Error::CurrentDirectory(dir) => {
                format!("name it from outside: cd .. && husk rootfs new {}", last(dir))
            }
            Error::NoParent(parent) => format!("make it first: mkdir -p {}", parent.display()),
            Error::NoSuchProgram(_) => "give its absolute path, or install it".into(),
            Error::NotAFile(_) => "--add takes programs and other files, one by one".into(),
            Error::Hidden { .. } => "copy it somewhere else first, and add that".into(),
            Error::MissingLibrary { .. } => {
                "install the package that has it; the program does not run here either".into()
            }
            Error::NoBusybox => "install one: apt-get install busybox-static".into(),
            Error::Applets { .. } => "install another busybox: apt-get install busybox-static".into(),
            Error::NoHome => "set HOME, or name a root".into(),
            Error::Foreign { path, .. } => format!("look at it, then remove it: rm -r {}", path.display()),
            Error::Io { source, path, .. } => return io_hint(source, path),
        })
    }
}

fn last(dir: &Path) -> String {
    dir.file_name().unwrap_or(dir.as_os_str()).display().to_string()
}

fn io_hint(source: &io::Error, path: &Path) -> Option<String> {
    Some(match Errno::from_io_error(source)? {
        Errno::NOSPC => "make room on that file system (df, df -i), or name a directory on another".into(),
        Errno::DQUOT => "your quota is used up (quota): make room, or name a directory elsewhere".into(),
        Errno::ROFS => "that file system is read-only: name a directory on another".into(),
        Errno::ACCESS | Errno::PERM => format!("check who may use it: ls -ld {}", path.display()),
        _ => return None,
    })
}

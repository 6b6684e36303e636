// SPDX-License-Identifier: Apache-2.0
//! Why `execve` failed: its errno says little, the root says the rest.
//!
//! ENOENT alone stands for a command that is not there, a dynamic linker that is not there, and a script's
//! interpreter that is not there. This looks again at what the kernel looked at. The root is hostile: paths
//! are resolved by openat2(2) below the root's descriptor, nothing but regular files is opened for reading,
//! and reads are bounded.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use husk_init::Failure;
use husk_plan::in_words;
use rustix::fs::{self, Dir, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags};
use rustix::io::Errno;

use crate::Error;
use crate::elf::{self, Arch, ElfError, ReadAt};
use crate::shebang;

/// The kernel's limit on interpreters of interpreters (`exec_binprm`), after which it says ELOOP.
const MAX_INTERPRETERS: usize = 5;

/// Why a command could not be executed in a root. Paths are as seen from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecProblem {
    /// There is nothing at all in the root.
    EmptyRoot,
    /// No such file; or, for a name without a slash, none of that name on PATH.
    NotFound {
        /// What was to be executed.
        command: PathBuf,
        /// Whether the root has a `/bin/sh`.
        has_shell: bool,
    },
    /// A component of the path before the last is a file.
    NotADirectory {
        /// What was to be executed.
        command: PathBuf,
    },
    /// The path's symbolic links lead round in a circle.
    LinkLoop {
        /// What was to be executed.
        command: PathBuf,
    },
    /// It is a directory.
    IsDirectory {
        /// What was to be executed.
        command: PathBuf,
    },
    /// It is a device, a FIFO or a socket.
    NotAFile {
        /// What was to be executed.
        command: PathBuf,
    },
    /// It is a file that nobody may execute.
    NotExecutable {
        /// What was to be executed.
        command: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody may execute it, but not the container's user; or that user may not search a directory on the
    /// way.
    Denied {
        /// What was to be executed.
        command: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is on a file system mounted `noexec`.
    NoexecMount {
        /// What was to be executed.
        command: PathBuf,
    },
    /// It is a program for another machine.
    OtherMachine {
        /// What was to be executed.
        command: PathBuf,
        /// What it is for.
        arch: Arch,
    },
    /// It is an ELF file that no kernel would run.
    BrokenElf {
        /// What was to be executed.
        command: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is an empty file.
    EmptyFile {
        /// What was to be executed.
        command: PathBuf,
    },
    /// It is neither an ELF file nor does it begin with a `#!` line.
    UnknownFormat {
        /// What was to be executed.
        command: PathBuf,
        /// Whether it looks like text: then it may be a script that lacks its first line.
        text: bool,
    },
    /// The dynamic linker that the program asks for is not in the root.
    MissingLoader {
        /// What was to be executed.
        command: PathBuf,
        /// Its `PT_INTERP`.
        loader: PathBuf,
    },
    /// The interpreter that the script asks for is not in the root.
    MissingInterpreter {
        /// The script.
        command: PathBuf,
        /// Its first line.
        line: OsString,
        /// The interpreter in it.
        interpreter: PathBuf,
    },
    /// The script's first line ends in a carriage return, which the kernel takes for a part of the
    /// interpreter's name.
    CarriageReturn {
        /// The script.
        command: PathBuf,
        /// Its first line.
        line: OsString,
    },
    /// The script's interpreter is a script whose interpreter is a script, and so on.
    TooManyInterpreters {
        /// The script.
        command: PathBuf,
    },
    /// The interpreter or the dynamic linker is there, but cannot be executed itself.
    Interpreter {
        /// What was to be executed.
        command: PathBuf,
        /// What is wrong with its interpreter.
        problem: Box<ExecProblem>,
    },
    /// Somebody has it open for writing.
    Busy {
        /// What was to be executed.
        command: PathBuf,
    },
    /// Nothing is wrong with the file; the errno has to speak for itself.
    Other {
        /// What was to be executed.
        command: PathBuf,
        /// What the kernel said.
        errno: Errno,
    },
}

/// Finds out why executing `command` failed with `errno` in this root.
///
/// `command` is as it was executed inside: absolute, or relative to `cwd`, or a name without a slash that was
/// not found on PATH. `cwd` is the absolute path inside. `root` may be an `O_PATH` descriptor; it should be
/// of the container's own mounts, or a file on a `noexec` mount of the container's cannot be told.
pub fn diagnose(root: BorrowedFd<'_>, cwd: &[u8], command: &[u8], errno: Errno) -> ExecProblem {
    Diagnosis { root, cwd, errno }.of(command, 0)
}

/// A command that was tried inside.
pub(crate) struct Attempt<'a> {
    /// The working directory.
    pub(crate) directory: &'a [u8],
    /// The command as it was given.
    pub(crate) name: &'a [u8],
    /// The paths at which it was tried, in order.
    pub(crate) candidates: &'a [&'a [u8]],
}

impl Attempt<'_> {
    /// Why none of the paths could be executed. The child still waits, so its root is as it was.
    pub(crate) fn failed(&self, failure: &Failure, root: BorrowedFd<'_>) -> Error {
        let errno = failure.errno;
        let why = |path: &[u8]| diagnose(root, self.directory, path, errno);
        let is_absent = |problem: &ExecProblem| {
            matches!(problem, ExecProblem::NotFound { .. } | ExecProblem::NotADirectory { .. })
        };
        let problem = match self.candidates.get(failure.candidate as usize) {
            Some(path) if !matches!(errno, Errno::NOENT | Errno::NOTDIR) => why(path),
            // ENOENT of a file that is there is that of its interpreter.
            _ => {
                let mut problems = self.candidates.iter().map(|path| why(path));
                problems.find(|problem| !is_absent(problem)).unwrap_or_else(|| why(self.name))
            }
        };
        Error::Exec { problem, errno }
    }
}

/// Whether there is nothing at all in this directory, which may be an `O_PATH` descriptor. False if it cannot
/// be read.
pub fn is_empty(root: BorrowedFd<'_>) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = fs::openat2(root, ".", flags, Mode::empty(), BENEATH) else { return false };
    let Ok(mut entries) = Dir::new(directory) else { return false };
    entries.all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
}

/// An absolute link, or enough `..`, would lead out of the root; a link in a mounted /proc would lead
/// anywhere.
const BENEATH: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// How often a path is looked up again.
const TRIES: usize = 128;

struct Diagnosis<'a> {
    root: BorrowedFd<'a>,
    cwd: &'a [u8],
    errno: Errno,
}

impl Diagnosis<'_> {
    /// `depth` is how many interpreters lie between this one and the command.
    fn of(&self, command: &[u8], depth: usize) -> ExecProblem {
        let path = PathBuf::from(OsStr::from_bytes(command));
        if depth == 0 && !command.contains(&b'/') {
            return self.not_found(path);
        }
        let file = match self.resolve(command) {
            Ok(file) => file,
            Err(Errno::NOENT) => return self.not_found(path),
            Err(Errno::NOTDIR) => return ExecProblem::NotADirectory { command: path },
            Err(Errno::LOOP) => return ExecProblem::LinkLoop { command: path },
            Err(_) => return ExecProblem::Other { command: path, errno: self.errno },
        };
        let Ok(stat) = fs::fstat(&file) else {
            return ExecProblem::Other { command: path, errno: self.errno };
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return ExecProblem::IsDirectory { command: path },
            _ => return ExecProblem::NotAFile { command: path },
        }
        let mode = stat.st_mode & 0o7777;
        if mode & 0o111 == 0 {
            return ExecProblem::NotExecutable { command: path, mode };
        }
        if fs::fstatvfs(&file).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
            return ExecProblem::NoexecMount { command: path };
        }
        if self.errno == Errno::TXTBSY {
            return ExecProblem::Busy { command: path };
        }
        match self.content(&file, path, depth) {
            // EACCES does not say whose: the kernel looks at the command first, and so do we, unless all may execute it.
            Ok(ExecProblem::Interpreter { command, problem })
                if matches!(*problem, ExecProblem::Denied { mode: of_interpreter, .. }
                    if !for_all(mode) || for_all(of_interpreter)) =>
            {
                ExecProblem::Denied { command, mode }
            }
            Ok(problem) => problem,
            Err(command) if self.errno == Errno::ACCESS => ExecProblem::Denied { command, mode },
            Err(command) => ExecProblem::Other { command, errno: self.errno },
        }
    }

    /// What the file's content has to say. Nothing wrong with it: the path is given back.
    fn content(&self, found: &OwnedFd, path: PathBuf, depth: usize) -> Result<ExecProblem, PathBuf> {
        let Ok(file) = reopen(found) else { return Err(path) };
        match elf::read(&file) {
            Ok(image) if !image.arch.runs_here() => {
                Ok(ExecProblem::OtherMachine { command: path, arch: image.arch })
            }
            Ok(image) if !image.runnable => Ok(ExecProblem::BrokenElf {
                command: path,
                reason: "it is an object file or a core dump, not a program",
            }),
            Ok(image) => match image.interpreter {
                Some(loader) => self.loader(path, &loader, depth),
                None => Err(path),
            },
            Err(ElfError::Malformed(reason)) => Ok(ExecProblem::BrokenElf { command: path, reason }),
            Err(ElfError::NotElf) => self.script(path, &file, depth),
            Err(ElfError::Io(_)) => Err(path),
        }
    }

    fn loader(&self, command: PathBuf, loader: &[u8], depth: usize) -> Result<ExecProblem, PathBuf> {
        // A loader is loaded as it is: that it asks for a loader again means nothing.
        if depth > MAX_INTERPRETERS {
            return Err(command);
        }
        match self.of(loader, depth + 1) {
            ExecProblem::NotFound { command: loader, .. } => {
                Ok(ExecProblem::MissingLoader { command, loader })
            }
            ExecProblem::Other { .. } => Err(command),
            problem => Ok(ExecProblem::Interpreter { command, problem: Box::new(problem) }),
        }
    }

    fn script(&self, command: PathBuf, file: &File, depth: usize) -> Result<ExecProblem, PathBuf> {
        let mut head = [0; shebang::HEAD];
        let Ok(len) = ReadAt::read_at(file, &mut head, 0) else { return Err(command) };
        let head = &head[..len];
        if head.is_empty() {
            return Ok(ExecProblem::EmptyFile { command });
        }
        let Some(found) = shebang::parse(head) else {
            return Ok(ExecProblem::UnknownFormat { command, text: looks_like_text(head) });
        };
        if depth == MAX_INTERPRETERS {
            return Ok(ExecProblem::TooManyInterpreters { command });
        }
        let line = OsStr::from_bytes(found.line).to_owned();
        match self.of(found.interpreter, depth + 1) {
            ExecProblem::NotFound { .. } if found.interpreter.ends_with(b"\r") => {
                Ok(ExecProblem::CarriageReturn { command, line })
            }
            ExecProblem::NotFound { command: interpreter, .. } => {
                Ok(ExecProblem::MissingInterpreter { command, line, interpreter })
            }
            ExecProblem::TooManyInterpreters { .. } => Ok(ExecProblem::TooManyInterpreters { command }),
            ExecProblem::Other { .. } => Err(command),
            problem => Ok(ExecProblem::Interpreter { command, problem: Box::new(problem) }),
        }
    }

    fn not_found(&self, command: PathBuf) -> ExecProblem {
        match is_empty(self.root) {
            true => ExecProblem::EmptyRoot,
            false => ExecProblem::NotFound { command, has_shell: self.resolve(b"/bin/sh").is_ok() },
        }
    }

    fn resolve(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        // A path inside, joined to a path inside: what it means is for openat2 to find out, below the root.
        let inside = if path.starts_with(b"/") { path.to_vec() } else { [self.cwd, b"/", path].concat() };
        // EAGAIN: something was mounted or renamed, anywhere on the host, while a `..` was looked up.
        for _ in 1..TRIES {
            match fs::openat2(self.root, &inside, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), BENEATH) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }
}

/// Opens for reading what an `O_PATH` descriptor has been seen to be. By its path it could have become a FIFO
/// or a device since, which opening alone may set going.
fn reopen(found: &OwnedFd) -> std::io::Result<File> {
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

fn for_all(mode: u32) -> bool {
    mode & 0o111 == 0o111
}

/// Whether these bytes could have been typed: no control characters but white space.
fn looks_like_text(head: &[u8]) -> bool {
    head.iter().all(|&byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

/// A name out of a hostile root, for a terminal: nothing in it moves the cursor or turns the line round.
struct Shown<'a>(&'a OsStr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.to_string_lossy().escape_debug())
    }
}

fn shown(path: &Path) -> Shown<'_> {
    Shown(path.as_os_str())
}

/// A path out of a hostile root, to be typed into a shell: backquotes would execute it.
struct Typed<'a>(&'a Path);

impl fmt::Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.to_string_lossy();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+".contains(&b);
        if path.starts_with('-') || path.escape_debug().to_string() != path {
            f.write_str("FILE")
        } else if path.bytes().all(plain) {
            f.write_str(&path)
        } else {
            write!(f, "'{path}'")
        }
    }
}

impl fmt::Display for ExecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ExecProblem as P;
        match self {
            P::EmptyRoot => f.write_str("the root is empty: there is nothing in it to run"),
            P::NotFound { command, .. } if command.as_os_str().is_empty() => {
                f.write_str("the name of the command is empty")
            }
            P::NotFound { command, .. } if command.as_os_str().as_bytes().contains(&b'/') => {
                write!(f, "there is no {} in the root", shown(command))
            }
            P::NotFound { command, .. } => {
                write!(f, "there is no {} on the PATH of the root", shown(command))
            }
            P::NotADirectory { command } => {
                write!(f, "cannot run {}: a part of the path is a file, not a directory", shown(command))
            }
            P::LinkLoop { command } => {
                write!(f, "cannot run {}: its symbolic links form a circle", shown(command))
            }
            P::IsDirectory { command } => write!(f, "cannot run {}: it is a directory", shown(command)),
            P::NotAFile { command } => write!(f, "cannot run {}: it is not a regular file", shown(command)),
            P::NotExecutable { command, mode } => {
                write!(f, "cannot run {}: it is not executable (mode {mode:04o})", shown(command))
            }
            P::Denied { command, mode } => write!(
                f,
                "cannot run {} (mode {mode:04o}): its user may not execute it, or not search a directory on the way",
                shown(command)
            ),
            P::NoexecMount { command } => {
                write!(f, "cannot run {}: its file system is mounted noexec", shown(command))
            }
            P::OtherMachine { command, arch } => {
                write!(
                    f,
                    "cannot run {}: it is a program for {arch}, and this machine is {}",
                    shown(command),
                    Arch::HOST
                )
            }
            P::BrokenElf { command, reason } => write!(f, "cannot run {}: {reason}", shown(command)),
            P::EmptyFile { command } => write!(f, "cannot run {}: the file is empty", shown(command)),
            P::UnknownFormat { command, text: true } => {
                write!(
                    f,
                    "cannot run {}: it is text without a #! line that names an interpreter",
                    shown(command)
                )
            }
            P::UnknownFormat { command, text: false } => {
                write!(f, "cannot run {}: it is neither an ELF program nor a script", shown(command))
            }
            P::MissingLoader { command, loader } => write!(
                f,
                "cannot run {}: it needs the dynamic linker {}, which is not in the root",
                shown(command),
                shown(loader)
            ),
            P::MissingInterpreter { command, line, interpreter } => write!(
                f,
                "cannot run {}: its first line is {}, and there is no {} in the root",
                shown(command),
                Shown(line),
                shown(interpreter)
            ),
            P::CarriageReturn { command, line } => write!(
                f,
                "cannot run {}: its first line, {}, ends in a carriage return, as lines of Windows do",
                shown(command),
                Shown(line)
            ),
            P::TooManyInterpreters { command } => {
                write!(
                    f,
                    "cannot run {}: its interpreter is a script, whose interpreter is a script, and so on",
                    shown(command)
                )
            }
            P::Interpreter { command, problem } => {
                write!(f, "cannot run {}, because of its interpreter: {problem}", shown(command))
            }
            P::Busy { command } => write!(f, "cannot run {}: it is open for writing", shown(command)),
            P::Other { command, errno } => write!(f, "cannot run {}: {}", shown(command), in_words(errno)),
        }
    }
}

impl std::error::Error for ExecProblem {}

impl ExecProblem {
    /// What to do about it, in one sentence without a full stop; None where there is nothing better than the
    /// message.
    pub fn hint(&self) -> Option<String> {
        use ExecProblem as P;
        Some(match self {
            P::EmptyRoot => "fill it: husk rootfs new DIR".into(),
            P::NotFound { command, has_shell: false } if command == Path::new("/bin/sh") => {
                "name a command that is there, or make a root with husk rootfs new DIR".into()
            }
            P::NotFound { command, .. } if command.as_os_str().is_empty() => "name a program".into(),
            P::NotFound { has_shell: false, .. } => {
                "there is no /bin/sh in it either: name a command that is, or make a root with husk rootfs new DIR".into()
            }
            P::NotFound { has_shell: true, .. } => "run /bin/sh in it to see what there is".into(),
            P::NotADirectory { .. } | P::LinkLoop { .. } | P::NotAFile { .. } | P::IsDirectory { .. } => {
                "name a program".into()
            }
            P::NotExecutable { command, .. } => format!("in the root: chmod +x {}", Typed(command)),
            P::Denied { .. } => "run it as another user (--user), or change its mode".into(),
            P::NoexecMount { .. } => "put it elsewhere, or mount that file system with exec".into(),
            P::OtherMachine { .. } => {
                format!("take a root made for {}, or install an emulator: apt-get install qemu-user-static", Arch::HOST)
            }
            P::BrokenElf { .. } | P::EmptyFile { .. } => "copy the file again: it may have been cut short".into(),
            P::UnknownFormat { command, text: true } => {
                format!("give it a first line such as #!/bin/sh, or run it as: /bin/sh {}", Typed(command))
            }
            P::UnknownFormat { text: false, .. } => return None,
            P::MissingLoader { loader, .. } => {
                let libc = if is_musl(loader) { "musl" } else { "glibc" };
                format!(
                    "the program was built for {libc}: take a root that has it, copy the linker and the libraries in, or make a root \
                     with them: husk rootfs new DIR --from host --add PROGRAM"
                )
            }
            P::MissingInterpreter { .. } => "install it in the root, or change the first line".into(),
            P::CarriageReturn { command, .. } => format!("in the root: sed -i 's/\\r$//' {}", Typed(command)),
            P::TooManyInterpreters { .. } => "name a program, not a script, after #!".into(),
            P::Interpreter { problem, .. } => return problem.hint(),
            P::Busy { .. } => "wait until whoever writes it has closed it".into(),
            P::Other { errno: Errno::TOOBIG, .. } => "pass fewer or shorter arguments and variables".into(),
            P::Other { .. } => return None,
        })
    }
}

fn is_musl(loader: &Path) -> bool {
    loader.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_hostile_root_are_shown_harmlessly() {
        let problem = ExecProblem::EmptyFile { command: "/a\u{1b}[2J\u{202e}é".into() };
        assert_eq!(problem.to_string(), "cannot run `/a\\u{1b}[2J\\u{202e}é`: the file is empty");
    }

    #[test]
    fn a_name_from_a_hostile_root_can_be_pasted_into_a_shell() {
        let typed = |path: &str| Typed(Path::new(path)).to_string();
        assert_eq!(typed("/usr/bin/a-b.sh"), "/usr/bin/a-b.sh");
        assert_eq!(typed("/a b$(reboot)`reboot`"), "'/a b$(reboot)`reboot`'");
        for odd in ["-rf", "/it's", "/a\nb", "/a\\"] {
            assert_eq!(typed(odd), "FILE");
        }
    }

    #[test]
    fn text_is_told_from_data() {
        assert!(looks_like_text("echo hé\n\tok\r\n".as_bytes()));
        assert!(!looks_like_text(b"PK\x03\x04"));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Why there can be no plan.

use std::path::PathBuf;

use husk_cgroup::in_words;
use husk_spec::{Given, NamespaceKind, Origin};
use rustix::io::Errno;

use crate::explain::namespace;

/// Why no plan can be made. Nothing has been touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The root is not there.
    #[error("{}no such root: {}", field(.0), .0.value.display())]
    NoSuchRoot(Given<PathBuf>),
    /// The root cannot be looked into.
    #[error("{}cannot open the root {}: {}", field(.root), .root.value.display(), in_words(.errno))]
    UnreadableRoot {
        /// The root.
        root: Given<PathBuf>,
        /// Why.
        errno: Errno,
    },
    /// The root is a file.
    #[error("{}the root {} is not a directory", field(.0), .0.value.display())]
    RootIsNoDirectory(Given<PathBuf>),
    /// There is nothing in the root.
    #[error("{}the root {} is empty: there is no command in it to run", field(.0), .0.value.display())]
    EmptyRoot(Given<PathBuf>),
    /// A bind mount's source is not there.
    #[error("{origin}: there is no {} on the host", .source_path.display())]
    NoSuchSource {
        /// The option.
        origin: Origin,
        /// What is missing.
        source_path: PathBuf,
    },
    /// A mount's target is of the other kind than its source.
    #[error("{origin}: not a directory: {} is a {} on the host, and {} a {} in the root: one cannot be mounted on the other",
        .source_path.display(), kind(*.directory), .target.display(), kind(!*.directory))]
    TargetOfOtherKind {
        /// The option.
        origin: Origin,
        /// The source.
        source_path: PathBuf,
        /// The target.
        target: PathBuf,
        /// Whether the source is the directory of the two.
        directory: bool,
    },
    /// A file that is to stand for a namespace stands for another kind of them, or for none.
    #[error("{origin}: {} is {}, not {}", .path.display(), named(*.found), named(Some(*.wanted)))]
    NotThatNamespace {
        /// The option.
        origin: Origin,
        /// The file.
        path: PathBuf,
        /// What it is to be.
        wanted: NamespaceKind,
        /// What it is.
        found: Option<NamespaceKind>,
    },
    /// A user is not in the container's passwd.
    #[error("{origin}: there is no user {name:?} in the container's /etc/passwd")]
    NoSuchUser {
        /// The option.
        origin: Origin,
        /// The name.
        name: String,
    },
    /// A group is not in the container's group file.
    #[error("{origin}: there is no group {name:?} in the container's /etc/group")]
    NoSuchGroup {
        /// The option.
        origin: Origin,
        /// The name.
        name: String,
    },
    /// An id that the container's user namespace does not have.
    #[error("{origin}: {what} id {id} is not mapped in the container's user namespace, which has {mapped}")]
    UnmappedId {
        /// The option.
        origin: Origin,
        /// `user` or `group`.
        what: &'static str,
        /// The id.
        id: u32,
        /// What is mapped, in words.
        mapped: String,
        /// What to do about it.
        hint: String,
    },
    /// Something that only root can do.
    #[error("{origin}: {what} needs root")]
    NeedsRoot {
        /// The option.
        origin: Origin,
        /// What.
        what: &'static str,
    },
    /// Two things that exclude each other.
    #[error("{origin}: {problem}")]
    Contradiction {
        /// The option.
        origin: Origin,
        /// What excludes what, and why.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// A limit that the cgroups here cannot set, or a place where they cannot be.
    #[error("{problem}")]
    Cgroup {
        /// Which, why not, and what would do.
        problem: String,
    },
    /// A profile of which no filter of system calls can be made.
    #[error("{origin}.{problem}")]
    Seccomp {
        /// The profile.
        origin: Origin,
        /// The field in it, what is wrong there, and the way out.
        problem: String,
    },
    /// A string that the kernel cannot take.
    #[error("there is a NUL byte in {text:?}")]
    NulByte {
        /// The string.
        text: String,
    },
    /// The host could not be looked at.
    #[error("cannot read {path}: {}", in_words(.errno))]
    Probe {
        /// What was read.
        path: &'static str,
        /// Why it failed.
        errno: Errno,
    },
}

fn named(kind: Option<NamespaceKind>) -> String {
    match kind {
        Some(NamespaceKind::Ipc) => "an IPC namespace".to_owned(),
        Some(kind) => format!("a {} namespace", namespace(kind)),
        None => "no namespace".to_owned(),
    }
}

/// The field of `config.json` that names a root, to begin a message with; on a command line it is plain which word does.
fn field(root: &Given<PathBuf>) -> String {
    match &root.origin {
        Origin::Config(path) => format!("{path}: "),
        _ => String::new(),
    }
}

fn kind(directory: bool) -> &'static str {
    if directory { "directory" } else { "file" }
}

impl PlanError {
    /// What in the configuration it is about, if it is about one thing.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::NoSuchSource { origin, .. }
            | Self::TargetOfOtherKind { origin, .. }
            | Self::NotThatNamespace { origin, .. }
            | Self::NoSuchUser { origin, .. }
            | Self::NoSuchGroup { origin, .. }
            | Self::UnmappedId { origin, .. }
            | Self::NeedsRoot { origin, .. }
            | Self::Seccomp { origin, .. }
            | Self::Contradiction { origin, .. } => Some(origin),
            _ => None,
        }
    }

    /// Whether it is about ids that the container does not have.
    pub fn is_about_ids(&self) -> bool {
        matches!(self, Self::UnmappedId { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchRoot(Given { value: path, origin: Origin::Config(_) }) => format!(
                "make one: husk rootfs new {}; or name one that is there, in full or from the bundle",
                path.display()
            ),
            Self::RootIsNoDirectory(Given { origin: Origin::Config(_), .. }) => {
                "name the directory of a root file system, in full or from the bundle".to_owned()
            }
            Self::NoSuchRoot(Given { value: path, .. }) => {
                format!("make one: husk rootfs new {}; or leave it out: husk run -- COMMAND", path.display())
            }
            Self::EmptyRoot(root) => format!("fill it: husk rootfs new {}", root.value.display()),
            Self::RootIsNoDirectory(_) => {
                "the first word after the options is the root; for the default root write: husk run -- COMMAND".to_owned()
            }
            Self::UnreadableRoot { errno: Errno::ACCESS, .. } => {
                "the directory and all those above it must be readable for you".to_owned()
            }
            Self::NoSuchSource { source_path, .. } if source_path.starts_with("/dev") => {
                "`ls /dev` shows which devices there are".to_owned()
            }
            Self::NoSuchSource { source_path, .. } => {
                format!("make it first: mkdir -p {}", source_path.display())
            }
            Self::NotThatNamespace { .. } => {
                "`lsns` shows which namespaces there are; their files are /proc/PID/ns/*".to_owned()
            }
            Self::TargetOfOtherKind { .. } => "name a target of the same kind".to_owned(),
            Self::NoSuchUser { .. } | Self::NoSuchGroup { .. } => {
                "use a number, or add the name to the file in the root".to_owned()
            }
            Self::NeedsRoot { origin: Origin::Config(path), .. } if path.starts_with("linux.namespaces") => {
                "run it with sudo, or add a user namespace to linux.namespaces in config.json, with uidMappings and \
                 gidMappings, as `husk-oci spec --rootless` writes them"
                    .to_owned()
            }
            Self::NeedsRoot { .. } => "run it with sudo, or leave the option out".to_owned(),
            Self::Contradiction { hint, .. } | Self::UnmappedId { hint, .. } => hint.clone(),
            Self::Probe { path, errno: Errno::NOENT } if path.starts_with("/proc") => {
                "husk needs the host's /proc: mount -t proc proc /proc".to_owned()
            }
            Self::Probe { errno: Errno::MFILE | Errno::NFILE, .. } => {
                "too many open files: look at `ulimit -n`".to_owned()
            }
            Self::Cgroup { .. }
            | Self::NulByte { .. }
            | Self::Probe { .. }
            | Self::Seccomp { .. }
            | Self::UnreadableRoot { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_errors_have_words_and_no_numbers() {
        let words = "No such file or directory";
        assert_eq!(in_words(Errno::NOENT), words);
        assert_eq!(in_words(std::io::Error::from(Errno::NOENT)), words);
        assert_eq!(in_words(std::io::Error::other("larger than 8 MiB")), "larger than 8 MiB");
    }

    #[test]
    fn what_keeps_the_host_from_being_looked_at_has_a_way_out() {
        let hint = |path, errno| PlanError::Probe { path, errno }.hint().unwrap_or_default();
        assert!(hint("/proc/self/uid_map", Errno::NOENT).contains("mount -t proc"));
        assert!(hint("/proc/self/uid_map", Errno::MFILE).contains("ulimit -n"));
    }
}

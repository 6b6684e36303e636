// SPDX-License-Identifier: Apache-2.0
//! Root file systems made from what the host has: its busybox, or its own programs and their libraries.
//!
//! A root is built in a temporary directory beside its place and renamed into it: it is there whole, or not
//! at all.

mod busybox;
mod closure;
mod default;
mod error;
mod host;
mod mirror;
mod skeleton;
mod staging;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

pub use default::{DefaultRoot, default_root_path, ensure_default_root};
pub(crate) use default::{create_data_directory, data_directory};
pub use error::Error;

use crate::elf::Arch;
use busybox::{Busybox, Candidate};
use closure::Closure;
use mirror::Mirror;
use staging::{Place, Staging};
use tree::Tree;

/// The busybox that the default root is made from, if this host has one.
pub fn installed_busybox() -> Option<PathBuf> {
    busybox::choose(&busybox::installed()).ok().flatten().map(|busybox| busybox.path)
}

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Recipe {
    /// The host's busybox with a link for each of its applets. Without a busybox on the host, as
    /// [`Recipe::Host`].
    #[default]
    Busybox,
    /// A set of the host's own programs, with the libraries that they need.
    Host {
        /// More programs, by name or by path; also files of other kinds, by path.
        add: Vec<String>,
    },
    /// busybox as `sh`, `ls`, `ps` and `echo`, an empty `proc`, and nothing else: the least that can show
    /// what a container is.
    Minimal,
}

/// What has been built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The root, as an absolute path.
    pub dir: PathBuf,
    /// Whose programs are in it.
    pub source: Source,
    /// Interpreters and shared libraries that came along, by the names under which programs ask for them.
    pub libraries: Vec<PathBuf>,
    /// Size of all files together.
    pub bytes: u64,
    /// What the caller may want to know besides.
    pub notes: Vec<Note>,
}

/// Whose programs are in a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One busybox.
    Busybox {
        /// The host's busybox that was copied.
        path: PathBuf,
        /// Whether it is one file that needs no libraries.
        is_static: bool,
        /// How many links lead to it.
        applets: usize,
    },
    /// The host's own programs.
    Host {
        /// Their paths, on the host and in the root alike.
        programs: Vec<PathBuf>,
    },
}

/// Something worth knowing about a root that has been built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// There was no busybox, and the host's programs were taken instead.
    NoBusybox,
    /// The minimal root is not as small as it could be.
    DynamicBusybox {
        /// The busybox that brought its libraries.
        busybox: PathBuf,
    },
    /// Programs of the usual set that this host does not have.
    NotOnHost(Vec<String>),
    /// A program of the usual set that was left unable to start.
    Incomplete {
        /// The program.
        program: PathBuf,
        /// What it needs and the host does not have.
        library: PathBuf,
    },
    /// A program was brought that this machine cannot run by itself.
    OtherMachine {
        /// The program.
        program: PathBuf,
        /// What it is for.
        arch: Arch,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NoBusybox => f.write_str(
                "no busybox on this host: built from the host's own programs instead; to get one: apt-get install busybox-static",
            ),
            Note::DynamicBusybox { busybox } => write!(
                f,
                "{} is dynamically linked, so its libraries came along; a static one does without: apt-get install busybox-static",
                busybox.display()
            ),
            Note::NotOnHost(names) => write!(f, "not on this host, so not in the root: {}", names.join(", ")),
            Note::Incomplete { program, library } => {
                write!(f, "{} will not start: it needs {}, which is not on this host", program.display(), library.display())
            }
            Note::OtherMachine { program, arch } => {
                write!(f, "{} is for {arch}; this machine is {}", program.display(), Arch::HOST)
            }
        }
    }
}

/// Builds a root at `dir`, which is a directory that does not exist yet, in one that does, or an empty one.
/// Files belong to the caller.
///
/// # Errors
/// As [`Error`]. Nothing is left behind then.
pub fn build(dir: &Path, recipe: &Recipe) -> Result<Built, Error> {
    stage(dir, recipe, &busybox::on_path())?.commit()
}

/// A root that is complete but not in its place.
struct Staged {
    staging: Staging,
    built: Built,
}

impl Staged {
    fn commit(self) -> Result<Built, Error> {
        self.staging.commit()?;
        Ok(self.built)
    }
}

fn stage(dir: &Path, recipe: &Recipe, busyboxes: &[Candidate]) -> Result<Staged, Error> {
    let place = Place::find(dir)?;
    let dir = place.dir();
    let staging = Staging::create(place)?;
    let mut tree = Tree::new(staging.directory()?, dir.clone());
    let (source, libraries, notes) = fill(&mut tree, recipe, busyboxes)?;
    let built = Built { dir, source, libraries, bytes: tree.bytes, notes };
    Ok(Staged { staging, built })
}

fn fill(tree: &mut Tree, recipe: &Recipe, busyboxes: &[Candidate]) -> Result<host::Filled, Error> {
    match recipe {
        Recipe::Host { add } => host::fill(tree, add),
        Recipe::Busybox => match busybox::choose(busyboxes)? {
            Some(busybox) => fill_busybox(tree, busybox),
            None => {
                let (source, libraries, mut notes) = host::fill(tree, &[])?;
                notes.insert(0, Note::NoBusybox);
                Ok((source, libraries, notes))
            }
        },
        Recipe::Minimal => fill_minimal(tree, busybox::choose(busyboxes)?.ok_or(Error::NoBusybox)?),
    }
}

fn fill_busybox(tree: &mut Tree, mut busybox: Busybox) -> Result<host::Filled, Error> {
    skeleton::lay_out(tree)?;
    skeleton::one_bin(tree)?;
    let applets = busybox.applets()?;
    busybox.install(tree, &applets)?;
    let (libraries, notes) = libraries_of(tree, &busybox)?;
    Ok((source(busybox, applets.len()), libraries, notes))
}

fn fill_minimal(tree: &mut Tree, mut busybox: Busybox) -> Result<host::Filled, Error> {
    const APPLETS: [&str; 4] = ["sh", "ls", "ps", "echo"];
    tree.directory("bin", 0o755)?;
    tree.directory("proc", 0o755)?;
    busybox.install(tree, &APPLETS)?;
    let (libraries, mut notes) = libraries_of(tree, &busybox)?;
    if !busybox.is_static {
        notes.push(Note::DynamicBusybox { busybox: busybox.path.clone() });
    }
    Ok((source(busybox, APPLETS.len()), libraries, notes))
}

fn libraries_of(tree: &mut Tree, busybox: &Busybox) -> Result<(Vec<PathBuf>, Vec<Note>), Error> {
    let mut closure = Closure::new(Mirror::new(tree));
    closure.needs_of(&busybox.path)?;
    closure.finish()
}

fn source(busybox: Busybox, applets: usize) -> Source {
    Source::Busybox { path: busybox.path, is_static: busybox.is_static, applets }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    /// A root made with what is in `dir` for a busybox.
    fn minimal(dir: &Path) -> Result<Built, Error> {
        let busyboxes = busybox::candidates(&[dir.join("host")]);
        stage(&dir.join("root"), &Recipe::Minimal, &busyboxes)?.commit()
    }

    /// A directory in which `host/NAME` is a copy of the host's shell: dynamically linked, on most hosts.
    fn with_busybox(name: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("host")).unwrap();
        std::fs::copy("/bin/sh", dir.path().join("host").join(name)).unwrap();
        dir
    }

    #[test]
    fn a_dynamic_busybox_brings_its_libraries() {
        let dir = with_busybox("busybox");
        let built = minimal(dir.path()).unwrap();
        let Source::Busybox { is_static: false, .. } = built.source else { return };
        assert!(matches!(&built.notes[..], [Note::DynamicBusybox { .. }]), "{:?}", built.notes);
        assert!(!built.libraries.is_empty());
        for library in &built.libraries {
            assert!(built.dir.join(mirror::inside(library)).symlink_metadata().is_ok(), "{library:?}");
        }
        let mut chroot = Command::new("unshare");
        chroot.args(["-r", "chroot"]).arg(&built.dir).args(["/bin/sh", "-c", "echo started"]);
        let output = chroot.output().unwrap();
        // Without user namespaces unshare says so itself, before anything runs.
        if !String::from_utf8_lossy(&output.stderr).starts_with("unshare:") {
            assert_eq!(output.stdout, b"started\n", "{output:?}");
        }
    }

    #[test]
    fn without_a_busybox_a_minimal_root_is_refused_and_a_full_one_is_of_the_hosts_programs() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(minimal(dir.path()), Err(Error::NoBusybox)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let built = stage(&dir.path().join("root"), &Recipe::Busybox, &[]).unwrap().commit().unwrap();
        assert!(matches!(built.source, Source::Host { .. }));
        assert_eq!(built.notes[0], Note::NoBusybox);
    }

    #[test]
    fn what_is_called_busybox_and_is_none_is_passed_over() {
        let mut foreign = std::fs::read("/bin/sh").unwrap();
        // e_machine
        foreign[18] = 243;
        for content in [b"#!/bin/sh\n".to_vec(), foreign] {
            let dir = with_busybox("busybox.static");
            let impostor = dir.path().join("host/busybox");
            std::fs::write(&impostor, content).unwrap();
            std::fs::set_permissions(&impostor, PermissionsExt::from_mode(0o755)).unwrap();
            let built = minimal(dir.path()).unwrap();
            assert!(matches!(built.source, Source::Busybox { path, .. } if path.ends_with("busybox.static")));
        }
    }

    #[test]
    fn a_busybox_that_cannot_be_read_is_named_unless_there_is_another() {
        let dir = with_busybox("busybox");
        let other = with_busybox("busybox");
        let mut candidates = busybox::candidates(&[dir.path().join("host"), other.path().join("host")]);
        std::fs::remove_file(dir.path().join("host/busybox")).unwrap();
        assert!(busybox::choose(&candidates).unwrap().is_some());
        candidates.truncate(1);
        let error = busybox::choose(&candidates).unwrap_err();
        assert!(error.to_string().contains("host/busybox"), "{error}");
    }

    #[test]
    fn a_busybox_without_a_list_of_applets_is_named() {
        let dir = with_busybox("busybox");
        let busyboxes = busybox::candidates(&[dir.path().join("host")]);
        let error = stage(&dir.path().join("root"), &Recipe::Busybox, &busyboxes).err().unwrap();
        assert!(matches!(error, Error::Applets { .. }), "{error}");
        assert!(!dir.path().join("root").exists());
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The terminal, root file systems, and husk itself.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Facts, Finding, Group, list};
use crate::elf;
use crate::rootfs::{default_root_path, installed_busybox};

const PLACES: Group = Group::Places;

/// Where husk is and what it has there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Which of standard input, output and error are terminals.
    pub terminals: Vec<&'static str>,
    /// The variable TERM.
    pub term: Option<String>,
    /// Where the default root is or would be; `None` without a home.
    pub default_root: Option<PathBuf>,
    /// Whether it is built.
    pub default_root_built: bool,
    /// The busybox that it would be built from.
    pub busybox: Option<PathBuf>,
    /// husk's own file.
    pub binary: Option<Binary>,
}

/// A program's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it needs no dynamic linker, if that can be told.
    pub is_static: Option<bool>,
    /// What others than root and the caller may write: the file, or a directory above it.
    pub writable: Vec<PathBuf>,
}

impl Places {
    /// Looks.
    pub fn look() -> Self {
        let streams = [
            ("input", std::io::stdin().is_terminal()),
            ("output", std::io::stdout().is_terminal()),
            ("error", std::io::stderr().is_terminal()),
        ];
        let default_root = default_root_path().ok();
        Self {
            terminals: streams.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect(),
            term: std::env::var("TERM").ok(),
            default_root_built: default_root.as_ref().is_some_and(|path| path.is_dir()),
            default_root,
            busybox: installed_busybox(),
            binary: std::env::current_exe().ok().map(|path| Binary::look(&path)),
        }
    }
}

impl Binary {
    fn look(path: &Path) -> Self {
        let image = File::open(path).ok().and_then(|file| elf::read(&file).ok());
        let uid = rustix::process::geteuid().as_raw();
        let writable =
            path.ancestors().filter(|path| may_be_written_by_others(path, uid)).map(Path::to_owned);
        Self {
            path: path.to_owned(),
            is_static: image.map(|image| image.interpreter.is_none()),
            writable: writable.collect(),
        }
    }
}

/// In a sticky directory such as /tmp nobody can replace what is another's.
fn may_be_written_by_others(path: &Path, uid: u32) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
    let of_others = ![0, uid].contains(&metadata.uid());
    of_others
        || (metadata.mode() & 0o002 != 0 && !sticky)
        || (metadata.mode() & 0o020 != 0 && metadata.gid() != 0 && !sticky)
}

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let places = &facts.places;
    let mut findings = vec![terminal(places), default_root(places), busybox(places)];
    findings.extend(places.binary.as_ref().map(husk));
    findings
}

fn terminal(places: &Places) -> Finding {
    match (places.terminals.as_slice(), places.term.as_deref()) {
        ([], _) => Finding::good(PLACES, "terminal", "none: a container gets one with -t"),
        (some, Some(term)) => {
            Finding::good(PLACES, "terminal", format!("standard {}, TERM is {term}", list(some)))
        }
        (some, None) => Finding::limited(
            PLACES,
            "terminal",
            format!("standard {}, but TERM is not set", list(some)),
            "programs inside that draw on the screen may not know how",
        )
        .cure("export TERM=xterm"),
    }
}

fn default_root(places: &Places) -> Finding {
    match &places.default_root {
        None => Finding::limited(
            PLACES,
            "default-root",
            "neither HOME nor XDG_DATA_HOME is set",
            "there is no default root: every run has to name one",
        )
        .cure("export HOME=DIR"),
        Some(path) if places.default_root_built => {
            Finding::good(PLACES, "default-root", path.display().to_string())
        }
        Some(path) => Finding::good(
            PLACES,
            "default-root",
            format!("{}, built by the first run that needs it", path.display()),
        ),
    }
}

fn busybox(places: &Places) -> Finding {
    match &places.busybox {
        Some(path) => Finding::good(PLACES, "busybox", path.display().to_string()),
        None => Finding::limited(
            PLACES,
            "busybox",
            "not installed",
            "roots are made of the host's own programs, which are fewer and larger",
        )
        .cure("as root: apt-get install busybox-static"),
    }
}

fn husk(binary: &Binary) -> Finding {
    let path = binary.path.display();
    if !binary.writable.is_empty() {
        let writable: Vec<_> = binary.writable.iter().map(|path| path.display().to_string()).collect();
        let found = format!("{path}; others than root and you may write {}", list(&writable));
        return Finding::limited(PLACES, "husk", found, "who writes there decides what runs as you")
            .cure(format!("as root: install -m 755 {path} /usr/local/bin/husk"));
    }
    match binary.is_static {
        Some(false) => {
            Finding::limited(PLACES, "husk", format!("{path}, dynamically linked"), "it starts more slowly")
                .cure("cargo build --release, in a clone of the repository")
        }
        _ => Finding::good(PLACES, "husk", format!("{path}, static")),
    }
}

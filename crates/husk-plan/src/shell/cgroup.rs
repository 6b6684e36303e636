// SPDX-License-Identifier: Apache-2.0
//! A cgroup that goes with its container, in the shell. The script makes it in its first process, enters it in a second one, and the
//! first one removes it.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use husk_cgroup::limits::{Hierarchy, Missing, Write};
use husk_cgroup::{Directory, Place};
use husk_init::Step;

use super::quote::quote;
use super::steps::{Piece, Place as Line};
use crate::plan::{Action, CgroupPlan, HostStep, Plan};

/// What a step is to such a cgroup; `None` if it is no step of one.
pub(super) fn piece(plan: &Plan<'_>, action: &Action<'_>) -> Option<Piece> {
    let (cgroup, place) = passing(plan)?;
    Some(match action {
        Action::Host(HostStep::EnterScope { .. }) => Piece::new(Line::Cgroup, enter_scope(cgroup, place)?),
        Action::Host(HostStep::MakeCgroup { .. }) => Piece::new(Line::Cgroup, make(cgroup, place)),
        Action::Host(HostStep::LimitCgroup { .. }) => {
            let lines = cgroup.limits.writes.iter().filter_map(|write| limit(cgroup, place, write));
            Piece::new(Line::Cgroup, lines.collect::<Vec<_>>().join("\n"))
        }
        Action::Host(HostStep::SweepCgroups) => {
            Piece::done("what a script that is killed leaves, the next `husk run` removes")
        }
        Action::Host(HostStep::HandOverCgroup) => Piece::done("a script makes them before all else"),
        Action::Child(Step::EnterCgroup | Step::AwaitCgroup) => {
            Piece::done("the script enters them before it makes namespaces")
                .in_full(enter(cgroup, place).join("; "))
        }
        _ => return None,
    })
}

/// The lines by which a process enters it.
pub(super) fn entering(plan: &Plan<'_>) -> Vec<String> {
    passing(plan).map(|(cgroup, place)| enter(cgroup, place)).unwrap_or_default()
}

fn passing<'p>(plan: &'p Plan<'_>) -> Option<(&'p CgroupPlan, &'p Place)> {
    let cgroup = plan.cgroup.as_ref().filter(|cgroup| cgroup.passes())?;
    Some((cgroup, cgroup.place()?))
}

fn enter(cgroup: &CgroupPlan, place: &Place) -> Vec<String> {
    let directories = place.directories().iter();
    directories
        .map(|directory| format!("echo 0 >{}/cgroup.procs", path_in_scope(cgroup, &directory.path)))
        .collect()
}

/// The path, with the script's number in the place of husk's: the name says whose it is.
fn path(cgroup: &Path) -> String {
    let above = cgroup.parent().unwrap_or(Path::new("/"));
    match cgroup.file_name().and_then(|name| of_script(name.as_bytes())) {
        Some(name) => format!("{}/{name}", quote(above.as_os_str().as_bytes())),
        None => quote(cgroup.as_os_str().as_bytes()),
    }
}

/// A name such as `husk-4711-NAME`.
fn of_script(name: &[u8]) -> Option<String> {
    let rest = name.strip_prefix(b"husk-")?;
    let dash = rest.iter().position(|byte| *byte == b'-')?;
    rest[..dash].iter().all(u8::is_ascii_digit).then(|| format!("husk-$${}", quote(&rest[dash..])))
}

/// A path in the scope that the script enters, if it enters one.
fn path_in_scope(cgroup: &CgroupPlan, directory: &Path) -> String {
    let scope = cgroup.around.as_ref().zip(directory.parent());
    let scope = scope.filter(|(scope, above)| above.ends_with(&scope.unit));
    match (scope, directory.file_name()) {
        (Some((_, above)), Some(name)) => {
            let name = name.as_bytes();
            format!("{}/{}", path(above), of_script(name).unwrap_or_else(|| quote(name)))
        }
        _ => path(directory),
    }
}

/// `busctl` and not `systemd-run`, which would put another process into the scope than this one.
fn enter_scope(cgroup: &CgroupPlan, place: &Place) -> Option<String> {
    let scope = cgroup.around.as_ref()?;
    let directory = path(place.v2()?.path.parent()?);
    let unit = of_script(scope.unit.as_bytes())?;
    let slice = quote(scope.slice.as_bytes());
    Some(format!(
        "XDG_RUNTIME_DIR=${{XDG_RUNTIME_DIR:-/run/user/$UID}} busctl --user call org.freedesktop.systemd1 \
         /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartTransientUnit 'ssa(sv)a(sa(sv))' {unit} replace 4 \
         Slice s {slice} PIDs au 1 $$ Delegate b true CollectMode s inactive-or-failed 0 >/dev/null\n\
         for try in {{1..100}}; do if grep -q /{unit} /proc/$$/cgroup; then break; fi; sleep 0.1; done\n\
         mkdir {directory}/husk\necho $$ >{directory}/husk/cgroup.procs\n"
    ))
}

fn make(cgroup: &CgroupPlan, place: &Place) -> String {
    let mut code = String::new();
    for directory in place.directories() {
        let made = path_in_scope(cgroup, &directory.path);
        if place.version() == Hierarchy::V2 {
            code += &pass_down(cgroup, directory);
        }
        let _ = writeln!(code, "mkdir {made}\ncgroups+=({made})");
        if directory.controllers.iter().any(|name| name == "cpuset") {
            let above = quote(directory.path.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes());
            let _ = writeln!(
                code,
                "for file in cpuset.cpus cpuset.mems; do cat {above}/$file >{made}/$file; done"
            );
        }
    }
    code
}

/// Each level must give a controller to the one below.
fn pass_down(cgroup: &CgroupPlan, directory: &Directory) -> String {
    let mut controllers = cgroup.limits.controllers();
    controllers.retain(|name| *name != "memory" || cgroup.controllers.iter().any(|needed| needed == name));
    let levels = directory.path.ancestors().skip(1).take_while(|level| level.starts_with(&directory.mount));
    let mut levels: Vec<_> = levels
        .map(|level| match &cgroup.around {
            Some(scope) if level.ends_with(&scope.unit) => path(level),
            _ => quote(level.as_os_str().as_bytes()),
        })
        .collect();
    levels.reverse();
    let words: Vec<_> = controllers.iter().map(|name| format!("+{name}")).collect();
    format!(
        "for level in {}; do for one in {}; do echo $one >\"$level\"/cgroup.subtree_control || :; done; done 2>/dev/null\n",
        levels.join(" "),
        words.join(" ")
    )
}

fn limit(cgroup: &CgroupPlan, place: &Place, write: &Write) -> Option<String> {
    let directory = path_in_scope(cgroup, &place.directory(&write.controller)?.path);
    let line = |file: &str, value: &str| format!("echo {} >{directory}/{file}", quote(value.as_bytes()));
    let set = line(&write.file, &write.value);
    Some(match &write.missing {
        Missing::Refuse => set,
        Missing::Skip => format!("if [ -e {directory}/{} ]; then {set}; fi", write.file),
        Missing::Instead { file, value } => {
            format!("if [ -e {directory}/{} ]; then {set}; else {}; fi", write.file, line(file, value))
        }
    })
}

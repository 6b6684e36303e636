// SPDX-License-Identifier: Apache-2.0
//! A cgroup that goes with its container, in the shell. The script makes it in its first process, enters it in a second one, and the
//! first one removes it. A scope is systemd's to make and to remove: `systemd-run(1)` becomes the second process.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use husk_cgroup::limits::{Hierarchy, Missing, Write};
use husk_cgroup::systemd::Scope;
use husk_cgroup::{Directory, Place};
use husk_init::Step;

use super::quote::quote;
use super::steps::{Piece, Place as Line};
use crate::plan::{Action, CgroupPlan, HostStep, Plan};

/// What a step is to such a cgroup; `None` if it is no step of one.
pub(super) fn piece(plan: &Plan<'_>, action: &Action<'_>) -> Option<Piece> {
    if let Some((cgroup, scope)) = scope(plan) {
        return scope_piece(plan, cgroup, scope, action);
    }
    let (cgroup, place) = passing(plan)?;
    Some(match action {
        Action::Host(HostStep::EnterScope { .. }) => Piece::new(Line::Cgroup, enter_scope(cgroup, place)?),
        Action::Host(HostStep::MakeCgroup { .. }) => Piece::new(Line::Cgroup, make(cgroup, place)),
        Action::Host(HostStep::LimitCgroup { .. }) => {
            let lines = cgroup.limits.writes.iter().filter_map(|write| limit(place, write));
            Piece::new(Line::Cgroup, lines.collect::<Vec<_>>().join("\n"))
        }
        Action::Host(HostStep::SweepCgroups) => {
            Piece::done("what a script that is killed leaves, the next `husk run` removes")
        }
        Action::Host(HostStep::HandOverCgroup) => Piece::done("a script makes them before all else"),
        Action::Child(Step::EnterCgroup | Step::AwaitCgroup) => {
            Piece::done("the script enters them before it makes namespaces").in_full(enter(place).join("; "))
        }
        _ => return None,
    })
}

/// The lines by which a process enters it.
pub(super) fn entering(plan: &Plan<'_>) -> Vec<String> {
    passing(plan).map(|(_, place)| enter(place)).unwrap_or_default()
}

/// One of version 1 has directories beside it that nobody would take away.
fn scope<'p>(plan: &'p Plan<'_>) -> Option<(&'p CgroupPlan, &'p Scope)> {
    let cgroup = plan.cgroup.as_ref().filter(|cgroup| cgroup.place().is_none())?;
    Some((cgroup, cgroup.scope()?))
}

fn scope_piece(plan: &Plan<'_>, cgroup: &CgroupPlan, scope: &Scope, action: &Action<'_>) -> Option<Piece> {
    Some(match action {
        Action::Host(HostStep::StartScope { .. }) => {
            Piece::new(Line::Scope, systemd_run(&plan.name, cgroup, scope))
        }
        Action::Host(HostStep::LimitCgroup { .. }) => {
            let line = |write| limit_in(SCOPE, write);
            let lines = cgroup.limits.writes.iter().map(line).collect::<Vec<_>>();
            Piece::new(Line::Cgroup, lines.join("\n"))
        }
        Action::Host(HostStep::LimitDevices { .. }) => Piece::impossible(
            "device-rules",
            "there is no program for the rules about devices: all of the host's can be used, where there is a node",
        ),
        _ => return None,
    })
}

/// The options with which a scope is made that is like husk's.
fn systemd_run(name: &str, cgroup: &CgroupPlan, scope: &Scope) -> String {
    let mut words = vec!["--quiet".to_owned(), "--scope".to_owned()];
    words.extend(scope.user.then(|| "--user".to_owned()));
    words.push(format!("--description={}", quote(name.as_bytes())));
    words.push(format!("--unit={}", quote(scope.unit.as_bytes())));
    words.push(format!("--slice={}", quote(scope.slice.as_bytes())));
    // What cannot be asked for is refused where the plan is made.
    let asked = scope.assignments(&cgroup.limits, Hierarchy::V2).unwrap_or_default();
    let properties = Scope::common_assignments().into_iter().chain(asked);
    words.extend(properties.map(|property| format!("-p {}", quote(property.as_bytes()))));
    words.join(" ")
}

/// The variable of the script that has the cgroup of a scope.
const SCOPE: &str = "\"$cgroup\"";

/// The lines with which the first process in a scope begins; empty if the container has none.
pub(super) fn in_scope(plan: &Plan<'_>) -> String {
    let Some((cgroup, _)) = scope(plan) else { return String::new() };
    let mut code = "cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)\n".to_owned();
    if let Some(uid) = cgroup.owner {
        let _ = writeln!(
            code,
            "for file in . $(cat /sys/kernel/cgroup/delegate); do\n    \
             if [ -e {SCOPE}/$file ]; then chown {uid} {SCOPE}/$file; fi\ndone"
        );
    }
    code
}

fn passing<'p>(plan: &'p Plan<'_>) -> Option<(&'p CgroupPlan, &'p Place)> {
    let cgroup = plan.cgroup.as_ref().filter(|cgroup| cgroup.passes())?;
    Some((cgroup, cgroup.place()?))
}

fn enter(place: &Place) -> Vec<String> {
    let directories = place.directories().iter();
    directories.map(|directory| format!("echo 0 >{}/cgroup.procs", path(&directory.path))).collect()
}

/// The path, with the script's number in the place of husk's: the name says whose it is, and so does that of a scope around husk.
fn path(cgroup: &Path) -> String {
    let name = cgroup.file_name().unwrap_or_default().as_bytes();
    let above = cgroup.parent().unwrap_or(Path::new("/"));
    let scope = above.file_name().map(OsStrExt::as_bytes).filter(|scope| scope.ends_with(b".scope"));
    match (numbered(name), scope.and_then(numbered)) {
        (Some((number, rest)), Some((same, _))) if number == same => {
            format!("{}/husk-$${}", path(above), quote(rest))
        }
        (Some((_, rest)), _) => format!("{}/husk-$${}", quote(above.as_os_str().as_bytes()), quote(rest)),
        (None, _) => quote(cgroup.as_os_str().as_bytes()),
    }
}

/// The number in a name such as `husk-4711-NAME`, and what follows.
fn numbered(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = name.strip_prefix(b"husk-")?;
    let (number, rest) = rest.split_at(rest.iter().position(|byte| *byte == b'-')?);
    number.iter().all(u8::is_ascii_digit).then_some((number, rest))
}

/// `busctl` and not `systemd-run`, which would put another process into the scope than this one.
fn enter_scope(cgroup: &CgroupPlan, place: &Place) -> Option<String> {
    let scope = cgroup.around.as_ref()?;
    let directory = path(place.v2()?.path.parent()?);
    let (_, rest) = numbered(scope.unit.as_bytes())?;
    let unit = format!("husk-$${}", quote(rest));
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
        let made = path(&directory.path);
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

fn limit(place: &Place, write: &Write) -> Option<String> {
    Some(limit_in(&path(&place.directory(&write.controller)?.path), write))
}

/// The line that writes into `directory`, a word of the script.
fn limit_in(directory: &str, write: &Write) -> String {
    let line = |file: &str, value: &str| format!("echo {} >{directory}/{file}", quote(value.as_bytes()));
    let set = line(&write.file, &write.value);
    match &write.missing {
        Missing::Refuse => set,
        Missing::Skip => format!("if [ -e {directory}/{} ]; then {set}; fi", write.file),
        Missing::Instead { file, value } => {
            format!("if [ -e {directory}/{} ]; then {set}; else {}; fi", write.file, line(file, value))
        }
    }
}

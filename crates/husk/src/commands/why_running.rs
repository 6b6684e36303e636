// SPDX-License-Identifier: Apache-2.0
//! `husk why` of a container that runs, whoever made it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use husk_plan::shell::quote;
use husk_runtime::seccomp_log::{LoggedCall, logged_calls};
use husk_runtime::why::Story;
use husk_see::{Details, Engine, Limit, Machine, Seccomp, Text};
use serde_json::Value;

use super::see::{Target, details};
use crate::failure::Failure;
use crate::view::table::cut;
use crate::view::words;

/// As many as are told of the calls that the kernel has logged: the newest.
const MANY: usize = 8;

/// As much of a command line as is shown.
const GLANCE: usize = 60;

/// What the kernel knows of the troubles of a container that runs.
///
/// # Errors
/// It has ended meanwhile.
pub(super) fn story(machine: &Machine, target: Target) -> Result<(String, Story), Failure> {
    let seen = details(machine, target.pid)?;
    let container = target.container.map(|index| &machine.containers[index]);
    let name = container.map_or_else(|| seen.status.name.to_string(), words::name);
    let maker = container.map(|container| container.maker.engine).filter(|engine| *engine != Engine::Unknown);
    let maker = maker.map_or_else(String::new, |engine| format!(", made by {}", engine.name()));
    let command = cut(&words::command(machine, target.pid), GLANCE);
    let sentence = format!(
        "husk: {name} runs{maker}: process {}, {command}. What the kernel knows of its troubles:",
        target.pid
    );
    let mut rows = limits(machine, &seen);
    rows.extend(seccomp(machine, target, &seen));
    Ok((sentence, Story { rows }))
}

fn limits(machine: &Machine, seen: &Details) -> Vec<(&'static str, String)> {
    let encounters = machine.encounters(seen);
    let memory = match encounters.memory_kills {
        Some(0) => "no process of its cgroup was killed for want of memory".to_owned(),
        Some(1) => "a process of its cgroup was killed for want of memory".to_owned(),
        Some(count) => format!("{count} processes of its cgroup were killed for want of memory"),
        None => "whether it ran out cannot be told from here".to_owned(),
    };
    let processes = match encounters.refused_processes {
        Some(0) => "no new process of its cgroup was refused".to_owned(),
        Some(1) => "a new process of its cgroup was refused".to_owned(),
        Some(count) => format!("{count} new processes of its cgroup were refused"),
        None => "whether it had too many cannot be told from here".to_owned(),
    };
    let limits = seen.limits;
    let memory = format!("{memory}; limit: {}", limit(limits.memory, words::bytes));
    let count = |count: u64| count.to_string();
    vec![
        ("memory", memory),
        ("pids", format!("{processes}; limit: {}", words::limit(limits.processes, count))),
    ]
}

fn limit(limit: Limit, unit: impl Fn(u64) -> String) -> String {
    if limit == Limit::None { "none".to_owned() } else { words::limit(limit, unit) }
}

fn seccomp(machine: &Machine, target: Target, seen: &Details) -> Vec<(&'static str, String)> {
    let filter = match seen.status.seccomp {
        Some(Seccomp::Filter) => seen.status.seccomp_filters.unwrap_or(1),
        _ => return vec![("seccomp", "no filter: every system call passes".to_owned())],
    };
    let plural = if filter == 1 { "filter" } else { "filters" };
    let mut rows = vec![("seccomp", format!("{filter} {plural}"))];
    rows.extend(logged(machine, target).into_iter().map(|told| ("log", told)));
    rows.push((
        "unseen",
        "a call that a filter answers with an error leaves no trace, unless the profile has SECCOMP_FILTER_FLAG_LOG"
            .to_owned(),
    ));
    rows.push(("cure", again(machine, target)));
    rows
}

/// What the kernel's log has of its processes, and of those that have ended since it was started.
fn logged(machine: &Machine, target: Target) -> Vec<String> {
    let Some(all) = logged_calls() else {
        return vec![
            "the kernel's log may not be read: as root, husk why says which calls were refused".to_owned(),
        ];
    };
    let members = match target.container {
        Some(index) => machine.containers[index].processes.as_slice(),
        None => std::slice::from_ref(&target.pid),
    };
    let began = machine.started(target.pid).unwrap_or(Duration::MAX);
    let whose = |call: &LoggedCall| match machine.started(call.pid) {
        Some(started) if started <= call.when => members.contains(&call.pid).then_some(""),
        // Gone, and perhaps another has its id now.
        _ => (call.when >= began).then_some(" (it has ended: perhaps it was not of this container)"),
    };
    let told = all.iter().rev().filter_map(|call| Some((call, whose(call)?)));
    let mut told: Vec<String> = told.take(MANY).map(|(call, doubt)| format!("{call}{doubt}")).collect();
    told.reverse();
    if told.is_empty() {
        told.push("the kernel's log has no call that it was killed for".to_owned());
    }
    told
}

/// The command that runs it again and tells of each call that is refused.
fn again(machine: &Machine, target: Target) -> String {
    const TOLD: &str = "runs its command once more, and tells each call that is refused, and by which rule";
    let Some(bundle) = bundle(machine, target) else {
        return format!("husk why run --bundle DIR, with the OCI bundle that its engine made: {TOLD}");
    };
    let changes = changes(&bundle);
    let bundle = quote(bundle.as_os_str().as_bytes());
    if changes.is_empty() {
        return format!("husk why run --bundle {bundle}: {TOLD}");
    }
    // Its cgroup is in use, and its hooks would be run on what the engine has made for the container that runs.
    format!(
        "mkdir again && jq {} {bundle}/config.json > again/config.json && husk why run --bundle again: {TOLD}; \
         on the same root, in another cgroup and without hooks, and so without its network",
        quote(changes.join(" | ").as_bytes())
    )
}

/// What has to be otherwise in a second container of the same bundle, as jq(1) says it.
fn changes(bundle: &Path) -> Vec<String> {
    let config = std::fs::read(bundle.join("config.json")).ok();
    let config: Option<Value> = config.and_then(|config| serde_json::from_slice(&config).ok());
    let config = config.unwrap_or_default();
    let removed = [(&config["linux"]["cgroupsPath"], ".linux.cgroupsPath"), (&config["hooks"], ".hooks")];
    let removed: Vec<_> =
        removed.into_iter().filter(|(value, _)| !value.is_null()).map(|(_, place)| place).collect();
    let removal = (!removed.is_empty()).then(|| format!("del({})", removed.join(", ")));
    let root = config["root"]["path"].as_str().map(Path::new).filter(|root| root.is_relative());
    let root = root.map(|root| format!(".root.path = {}", Value::from(bundle.join(root).to_string_lossy())));
    removal.into_iter().chain(root).collect()
}

/// The bundle, from who waits for the container: conmon is told it, and containerd's shim works in it.
fn bundle(machine: &Machine, target: Target) -> Option<PathBuf> {
    let container = &machine.containers[target.container?];
    let parent = machine.process(container.id).map(|first| first.parent);
    let around = parent.into_iter().chain(container.outside.iter().copied());
    let path = |text: &Text| PathBuf::from(OsStr::from_bytes(text.bytes()));
    let has_config = |path: &Path| path.join("config.json").exists();
    around.filter_map(|pid| machine.details(pid)).find_map(|waiting| {
        let after =
            |flag: &str| waiting.command.windows(2).find(|pair| pair[0].is(flag)).map(|pair| path(&pair[1]));
        let told = ["-b", "--bundle", "-bundle"].into_iter().filter_map(after);
        told.chain(waiting.directory.as_ref().map(path)).find(|path| path.is_absolute() && has_config(path))
    })
}

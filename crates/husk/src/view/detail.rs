// SPDX-License-Identifier: Apache-2.0
//! One process and its container, in words.

use husk_see::{Container, Details, Engine, Kind, Machine, Seen, Text};

use super::lines::hanging;
use super::table::{Column, cut, table};
use super::{Paint, overview, words};
use crate::output::Screen;

/// As much of another process's command line as is shown: some are kilobytes.
const GLANCE: usize = 100;

const PROCESSES: [Column; 5] = [
    Column::number("PID"),
    Column::number("INSIDE"),
    Column::number("USER"),
    Column::long("COMMAND"),
    Column::long("ROOT"),
];

/// A part of the account: a heading, and what is said below it.
struct Section {
    heading: &'static str,
    rows: Vec<(String, String)>,
}

/// Everything about the process, and about the container that it is in.
pub(crate) fn detail(
    machine: &Machine,
    container: Option<usize>,
    details: &Details,
    with_mounts: bool,
    screen: Screen,
) -> String {
    let paint = Paint(screen.colour);
    let container = container.map(|index| &machine.containers[index]);
    let title = hanging(&title(machine, container, details), 0, screen.size.map(|(columns, _)| columns));
    let mut text = paint.strong(&title) + "\n";
    let sections = [
        process(machine, container, details),
        namespaces(machine, container, details),
        root(details),
        host_name(machine, container, details),
        ids(details),
        limits(details),
        capabilities(details),
        confinement(details),
    ];
    text.extend(sections.iter().map(|section| section.drawn(screen)));
    if let Some(container) = container {
        text += &format!(
            "\n{}\n{}",
            paint.strong("processes of the container"),
            members(machine, container, screen)
        );
    }
    if with_mounts {
        let list = details.mounts.as_ref();
        let list =
            list.map_or_else(|| format!("{}\n", words::UNKNOWN), |list| overview::mounts(list, screen));
        text += &format!("\n{}\n{list}", paint.strong("mounts"));
    }
    text
}

impl Section {
    fn drawn(&self, screen: Screen) -> String {
        let paint = Paint(screen.colour);
        let columns = screen.size.map(|(columns, _)| columns);
        let width = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let row = |(label, value): &(String, String)| {
            let value = hanging(value, width + 4, columns);
            format!("  {}  {value}\n", paint.faint(&format!("{label:width$}")))
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!("\n{}\n{rows}", paint.strong(self.heading))
    }
}

fn row(label: &str, value: impl Into<String>) -> (String, String) {
    (label.to_owned(), value.into())
}

fn title(machine: &Machine, container: Option<&Container>, details: &Details) -> String {
    let process = format!("process {}", details.pid);
    let Some(container) = container else {
        let known = !details.namespaces.is_unknown();
        let whose = if known { "in the host's namespaces" } else { "whose namespaces may not be looked at" };
        return format!("{process}, {whose}");
    };
    let maker = match container.maker.engine {
        Engine::Unknown => "of an unknown maker".to_owned(),
        engine => format!("made by {}", engine.name()),
    };
    let id = container.maker.id.as_ref().map_or_else(String::new, |id| format!(" as {id}"));
    let around = container.parent.map(|parent| words::name(&machine.containers[parent]));
    let around = around.map_or_else(String::new, |name| format!(", inside {name}"));
    format!("{process} in the container {}, {maker}{id}{around}", words::name(container))
}

fn process(machine: &Machine, container: Option<&Container>, details: &Details) -> Section {
    let status = &details.status;
    let pids = match status.pids.as_slice() {
        [] | [_] => "that of the host".to_owned(),
        [_, inner @ ..] => {
            let inner: Vec<_> = inner.iter().map(u32::to_string).collect();
            format!("{} (one for each pid namespace on the way in)", inner.join(", then "))
        }
    };
    let parent = match status.parent {
        0 => "outside of what can be seen".to_owned(),
        parent => format!("{parent} {}", cut(&words::command(machine, parent), GLANCE)),
    };
    let mut rows = vec![
        row("command", words::line(&details.command)),
        row("name", status.name.to_string()),
        row("program", words::known(details.executable.as_ref())),
        row("directory", words::known(details.directory.as_ref())),
        row("pid inside", pids),
        row("parent", parent),
        row("threads", status.threads.to_string()),
    ];
    for pid in container.iter().flat_map(|container| &container.outside) {
        let command = cut(&words::command(machine, *pid), GLANCE);
        rows.push(row("outside", format!("{pid} {command} waits for it")));
    }
    Section { heading: "process", rows }
}

fn namespaces(machine: &Machine, container: Option<&Container>, details: &Details) -> Section {
    let whose = |kind: Kind| match container.map(|container| &container.whose[kind as usize]) {
        Some(Seen::Own) => "its own".to_owned(),
        Some(Seen::Shared(with)) => format!("shared with {}", words::with_whom(machine, with)),
        Some(Seen::Unknown) => words::UNKNOWN.to_owned(),
        Some(Seen::Host) => "the host's".to_owned(),
        None if details.namespaces[kind].is_none() => words::UNKNOWN.to_owned(),
        None => "the host's".to_owned(),
    };
    let owner = |kind: Kind| match details.owners[kind as usize] {
        Some(owner) if Some(owner) == machine.host.namespaces[Kind::User] => {
            ", owned by the host's user namespace".to_owned()
        }
        Some(owner) if Some(owner) == details.namespaces[Kind::User] => {
            ", owned by its user namespace".to_owned()
        }
        Some(owner) => format!(", owned by user namespace {owner}"),
        None => String::new(),
    };
    let mut rows: Vec<_> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let inode = details.namespaces[kind].map_or_else(String::new, |inode| format!(" ({inode})"));
            row(kind.name(), format!("{}{inode}{}", whose(kind), owner(kind)))
        })
        .collect();
    if let Some(owner) = details.user_owner {
        rows.push(row("made by", format!("user {owner} made its user namespace")));
    }
    if details.user_nesting.len() > 1 {
        let nesting: Vec<_> = details.user_nesting.iter().map(u64::to_string).collect();
        rows.push(row("nesting", format!("user namespaces, innermost first: {}", nesting.join(", in "))));
    }
    Section { heading: "namespaces", rows }
}

fn root(details: &Details) -> Section {
    let mut rows = vec![row("root", words::root(details.root.as_ref()))];
    if let Some(root) = &details.root {
        let what = match root.source.is_empty() || root.source == root.fs_type {
            true => root.fs_type.to_string(),
            false => format!("{} of {}", root.fs_type, root.source),
        };
        rows.push(row("file system", format!("{what}, directory {} of it", root.directory)));
        if let Some(path) = root.path.as_ref().filter(|_| root.is_chroot()) {
            let path = format!("{path} in its mount namespace, whose other files are still there");
            rows.push(row("changed root", path));
        }
        let layers = root.layers.iter().enumerate();
        rows.extend(layers.map(|(index, layer)| row(&format!("layer {}", index + 1), layer.to_string())));
    }
    let mounts = details.mounts.as_ref().map(|mounts| format!("{} (--mounts shows them)", mounts.len()));
    rows.push(row("mounts", words::known(mounts)));
    Section { heading: "root file system", rows }
}

fn host_name(machine: &Machine, container: Option<&Container>, details: &Details) -> Section {
    let hosts = details.namespaces[Kind::Uts].is_some()
        && details.namespaces[Kind::Uts] == machine.host.namespaces[Kind::Uts];
    let variable = details.environment.iter().flatten().find(|(name, _)| name.is("HOSTNAME"));
    let given = container.filter(|container| container.maker.engine == Engine::Husk).is_some();
    let value = match (&details.host_name, variable) {
        (Some(name), _) if hosts => format!("{name}, the host's"),
        (Some(name), _) => name.to_string(),
        (None, Some((_, name))) if given => {
            format!("{name} when husk started it; the kernel tells the present one to those inside alone")
        }
        (None, Some((_, name))) => {
            format!("? (the kernel tells it to those inside alone; the variable HOSTNAME says {name})")
        }
        (None, None) => "? (the kernel tells it to those inside alone)".to_owned(),
    };
    Section { heading: "host name", rows: vec![row("name", value)] }
}

fn ids(details: &Details) -> Section {
    let inside = |map: Option<&husk_see::IdMap>, id: u32| match map.map(|map| map.inside(id)) {
        Some(Some(inside)) if inside != id => format!("{id} outside, {inside} inside"),
        Some(None) => format!("{id} outside, not mapped inside"),
        _ => id.to_string(),
    };
    let status = &details.status;
    let (uids, gids) = (details.uid_map.as_ref(), details.gid_map.as_ref());
    let groups: Vec<_> = status.groups.iter().map(u32::to_string).collect();
    let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(" ") };
    let setgroups = details.setgroups.map(|may| if may { "allowed" } else { "denied" });
    Section {
        heading: "ids",
        rows: vec![
            row("user", inside(uids, status.uids[1])),
            row("group", inside(gids, status.gids[1])),
            row("other groups", groups),
            row("users", words::ranges(uids)),
            row("groups", words::ranges(gids)),
            row("setgroups", words::known(setgroups)),
        ],
    }
}

fn limits(details: &Details) -> Section {
    let mut paths: Vec<(&Text, Vec<String>)> = Vec::new();
    for cgroup in &details.cgroups {
        let hierarchy = if cgroup.is_v2() { "v2".to_owned() } else { cgroup.controllers.to_string() };
        match paths.iter_mut().find(|(path, _)| **path == cgroup.path) {
            Some((_, hierarchies)) => hierarchies.push(hierarchy),
            None => paths.push((&cgroup.path, vec![hierarchy])),
        }
    }
    let path = |(path, hierarchies): (&Text, Vec<String>)| format!("{path} ({})", hierarchies.join(" "));
    let limits = details.limits;
    let mut rows: Vec<_> = paths.into_iter().map(|place| row("cgroup", path(place))).collect();
    rows.extend([
        row("memory", words::limit(limits.memory, words::bytes)),
        row("processes", words::limit(limits.processes, |number| number.to_string())),
        row("cpu", words::limit(limits.cpu, words::cpus)),
        row("oom_score_adj", words::known(details.oom_score)),
    ]);
    Section { heading: "cgroups and their limits", rows }
}

fn capabilities(details: &Details) -> Section {
    let sets = details.status.capabilities.iter().flat_map(|capabilities| capabilities.sets());
    let mut rows: Vec<_> = sets.map(|(name, set)| row(name, set.to_string())).collect();
    if rows.is_empty() {
        rows.push(row("all sets", words::UNKNOWN));
    }
    Section { heading: "capabilities", rows }
}

fn confinement(details: &Details) -> Section {
    let status = &details.status;
    let seccomp = match (status.seccomp, status.seccomp_filters) {
        (Some(husk_see::Seccomp::Filter), Some(count)) if count > 1 => format!("{count} filters"),
        (mode, _) => words::known(mode.map(husk_see::Seccomp::name)),
    };
    Section {
        heading: "confinement",
        rows: vec![
            row("seccomp", seccomp),
            row("no_new_privs", words::known(status.no_new_privs.map(|on| if on { "on" } else { "off" }))),
            row(
                "label",
                details.label.as_ref().map_or_else(|| "none, or not to be read".to_owned(), Text::to_string),
            ),
        ],
    }
}

fn members(machine: &Machine, container: &Container, screen: Screen) -> String {
    let row = |pid: &u32| {
        let process = machine.process(*pid)?;
        let root = container.root_of(*pid).map(|rooted| words::root(rooted.root.as_ref()));
        Some(vec![
            pid.to_string(),
            process.pid_inside().to_string(),
            process.uid.to_string(),
            words::command(machine, *pid),
            root.unwrap_or_default(),
        ])
    };
    let rows: Vec<_> = container.processes.iter().filter_map(row).collect();
    table(&PROCESSES, &rows, screen.size.map(|(columns, _)| columns), Paint(screen.colour))
}

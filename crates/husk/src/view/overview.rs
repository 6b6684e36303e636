// SPDX-License-Identifier: Apache-2.0
//! All containers: a row for each root file system in each.

use husk_see::{Container, Machine, Mount, Rooted};

use super::table::{Column, table};
use super::{Paint, words};
use crate::output::Screen;

const COLUMNS: [Column; 8] = [
    Column::text("CONTAINER"),
    Column::text("BY"),
    Column::number("PID"),
    Column::number("INSIDE"),
    Column::long("COMMAND"),
    Column::long("ROOT"),
    Column::long("OWN NAMESPACES"),
    Column::long("USERS"),
];

const MOUNTS: [Column; 4] =
    [Column::long("ON"), Column::text("TYPE"), Column::long("OF"), Column::long("OPTIONS")];

/// The table of all containers, or how to make one.
pub(crate) fn overview(machine: &Machine, screen: Screen) -> String {
    if machine.containers.is_empty() {
        return none(machine);
    }
    let rows: Vec<Vec<String>> =
        machine.containers.iter().flat_map(|container| rows(machine, container)).collect();
    let width = screen.size.map(|(columns, _)| columns);
    table(&COLUMNS, &rows, width, Paint(screen.colour)) + &note(machine)
}

fn none(machine: &Machine) -> String {
    let all = if machine.unreadable == 0 { "" } else { " that you may look at" };
    format!("There is no container on this machine{all}.\nTo make one: husk run\n{}", note(machine))
}

/// What the table cannot show, if there is something.
fn note(machine: &Machine) -> String {
    match machine.unreadable {
        0 => String::new(),
        1 => "\n1 process may not be looked at.\n".to_owned(),
        count if machine.is_root() => format!("\n{count} processes may not be looked at.\n"),
        count => format!("\n{count} processes may not be looked at (`?`); root sees more.\n"),
    }
}

fn rows(machine: &Machine, container: &Container) -> Vec<Vec<String>> {
    let row = |(index, rooted): (usize, &Rooted)| {
        let of_container = |text: String| if index == 0 { text } else { String::new() };
        let pid = rooted.processes[0];
        let others = match rooted.processes.len() - 1 {
            0 => String::new(),
            others => format!("  +{others}"),
        };
        let here = if container.is_here { " (you)" } else { "" };
        let inside = machine.process(pid).map(|process| process.pid_inside().to_string());
        vec![
            of_container(words::name(container) + here),
            of_container(container.maker.engine.name().to_owned()),
            pid.to_string(),
            inside.unwrap_or_default(),
            words::command(machine, pid) + &others,
            words::root(rooted.root.as_ref()),
            of_container(words::namespaces(machine, container)),
            of_container(words::users(container.uid_map.as_ref())),
        ]
    };
    container.roots.iter().enumerate().map(row).collect()
}

/// The mounts of each root of each container.
pub(crate) fn all_mounts(machine: &Machine, screen: Screen) -> String {
    let paint = Paint(screen.colour);
    let mut text = String::new();
    for container in &machine.containers {
        for pid in container.roots.iter().map(|rooted| rooted.processes[0]) {
            let heading = format!("{}, {pid} {}", words::name(container), words::command(machine, pid));
            text += &paint.strong(&heading);
            text += "\n";
            let list = machine.details(pid).and_then(|details| details.mounts);
            text += &list.map_or_else(|| format!("{}\n", words::UNKNOWN), |list| mounts(&list, screen));
            text += "\n";
        }
    }
    if text.is_empty() { none(machine) } else { text }
}

/// A table of mounts.
pub(crate) fn mounts(mounts: &[Mount], screen: Screen) -> String {
    let row = |mount: &Mount| {
        let source = match (mount.source == mount.fs_type, mount.root.is("/")) {
            (true, true) => String::new(),
            (true, false) => mount.root.to_string(),
            (false, true) => mount.source.to_string(),
            (false, false) => format!("{} {}", mount.source, mount.root),
        };
        let propagation =
            if mount.propagation.is_empty() { "private" } else { &mount.propagation.to_string() };
        let owners = words::owners(mount.uid_map.as_ref(), mount.gid_map.as_ref());
        let options = format!("{}, {propagation}{owners}", mount.options);
        vec![mount.point.to_string(), mount.fs_type.to_string(), source, options]
    };
    let rows: Vec<_> = mounts.iter().map(row).collect();
    let width = screen.size.map(|(columns, _)| columns);
    table(&MOUNTS, &rows, width, Paint(screen.colour))
}

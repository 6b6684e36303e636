// SPDX-License-Identifier: Apache-2.0
//! Which container is in which, with their processes.

use husk_see::{Container, Machine};

use super::table::cut;
use super::{Paint, words};
use crate::output::Screen;

/// A line and what hangs from it.
struct Node {
    text: String,
    is_container: bool,
    below: Vec<Node>,
}

/// The tree of all containers, from the host down.
pub(crate) fn tree(machine: &Machine, screen: Screen) -> String {
    let paint = Paint(screen.colour);
    let host = format!("{} (the host, Linux {})", machine.host.name, machine.host.kernel);
    let mut lines = vec![paint.strong(&host)];
    let width = screen.size.map_or(usize::MAX, |(columns, _)| columns);
    draw(&below(machine, None), "", width, paint, &mut lines);
    lines.join("\n") + "\n"
}

fn below(machine: &Machine, parent: Option<usize>) -> Vec<Node> {
    let is_below = |(_, container): &(usize, &Container)| container.parent == parent;
    let inside = machine.containers.iter().enumerate().filter(is_below);
    inside.map(|(index, container)| node(machine, index, container)).collect()
}

fn node(machine: &Machine, index: usize, container: &Container) -> Node {
    let maker = container.maker.engine.name();
    let namespaces = words::namespaces(machine, container);
    let users = words::users(container.uid_map.as_ref());
    let users = if users.is_empty() { users } else { format!("; {users}") };
    let text = format!("{}  by {maker}; own: {namespaces}{users}", words::name(container));
    let leaf = |text: String| Node { text, is_container: false, below: Vec::new() };
    let outside =
        container.outside.iter().map(|pid| leaf(format!("{pid} outside  {}", words::command(machine, *pid))));
    let processes = container.processes.iter().map(|pid| {
        let inside = machine.process(*pid).map_or(0, husk_see::Process::pid_inside);
        let root = container.root_of(*pid).filter(|rooted| rooted.processes[0] == *pid);
        let root =
            root.map_or_else(String::new, |rooted| format!("  at {}", words::root(rooted.root.as_ref())));
        leaf(format!("{pid} is {inside}  {}{root}", words::command(machine, *pid)))
    });
    let below = outside.chain(processes).chain(below(machine, Some(index))).collect();
    Node { text, is_container: true, below }
}

fn draw(nodes: &[Node], indent: &str, width: usize, paint: Paint, lines: &mut Vec<String>) {
    for (index, node) in nodes.iter().enumerate() {
        let is_last = index + 1 == nodes.len();
        let (branch, rest) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let room = width.saturating_sub(indent.chars().count() + 3);
        let text = cut(&node.text, room);
        let text = if node.is_container { paint.strong(&text) } else { text };
        lines.push(format!("{}{text}", paint.faint(&format!("{indent}{branch}"))));
        draw(&node.below, &format!("{indent}{rest}"), width, paint, lines);
    }
}

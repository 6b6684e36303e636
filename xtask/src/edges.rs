// SPDX-License-Identifier: Apache-2.0

//! Which crate may depend on which. A crate exists where a constraint changes (unsafe, allocation,
//! purity, effects, printing), so an edge too many is a constraint lost.

use std::fmt::{self, Display};

use serde_json::Value;

use crate::Result;
use crate::workspace::{self, members, string};

/// The arrows: a crate, and what it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    // The programs need husk-sys for one thing: the global allocator of debug builds, which aborts
    // when the child after clone3 allocates.
    ("husk", &["husk-runtime", "husk-plan", "husk-see", "husk-spec", "husk-sys"]),
    ("husk-oci", &["husk-runtime", "husk-plan", "husk-see", "husk-spec", "husk-sys"]),
    ("husk-runtime", &["husk-plan", "husk-cgroup", "husk-init", "husk-sys", "husk-spec"]),
    ("husk-plan", &["husk-spec", "husk-seccomp", "husk-cgroup", "husk-init"]),
    ("husk-see", &["husk-sys"]),
    ("husk-init", &["husk-sys"]),
    ("husk-seccomp", &["husk-spec"]),
    ("husk-cgroup", &["husk-spec", "husk-sys"]),
    ("husk-spec", &[]),
    ("husk-sys", &[]),
    ("husk-manual", &["husk", "husk-oci"]),
    ("husk-tests", &[]),
    ("husk-engines", &[]),
    ("xtask", &[]),
];

/// One workspace crate that depends on another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    /// Only for tests: free, as long as it does not turn an arrow round.
    dev: bool,
}

impl Display for Edge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.dev { " (dev)" } else { "" };
        write!(f, "{} → {}{kind}", self.from, self.to)
    }
}

/// The verb.
pub(crate) fn run() -> Result {
    let metadata = workspace::metadata()?;
    let mut violations = violations(&names(&metadata), &edges(&metadata));
    let map = workspace::read("ARCHITECTURE.md")?;
    violations
        .extend(undocumented(&map).into_iter().map(|row| format!("ARCHITECTURE.md lacks the line `{row}`")));
    if violations.is_empty() {
        println!("edges: every edge between crates is an allowed one");
        return Ok(());
    }
    Err(format!(
        "edges that the design does not have (the table is in xtask/src/edges.rs):\n  {}",
        violations.join("\n  ")
    )
    .into())
}

fn names(metadata: &Value) -> Vec<&str> {
    members(metadata, "packages").map(|package| string(package, "name")).collect()
}

fn edges(metadata: &Value) -> Vec<Edge<'_>> {
    let names = names(metadata);
    members(metadata, "packages")
        .flat_map(|package| {
            let from = string(package, "name");
            members(package, "dependencies").map(move |dependency| Edge {
                from,
                to: string(dependency, "name"),
                dev: string(dependency, "kind") == "dev",
            })
        })
        .filter(|edge| names.contains(&edge.to))
        .collect()
}

fn violations(names: &[&str], edges: &[Edge<'_>]) -> Vec<String> {
    let unknown = names.iter().filter(|name| !ALLOWED.iter().any(|(from, _)| from == *name));
    let unknown = unknown.map(|name| format!("{name}: has no row in the table"));
    let forbidden =
        edges.iter().filter(|edge| !is_allowed(edge)).map(|edge| match may_reach(edge.to, edge.from) {
            true => format!("{edge}: turns an arrow round, {} may depend on {}", edge.to, edge.from),
            false => format!("{edge}: {} may depend on {}", edge.from, listed(targets(edge.from))),
        });
    unknown.chain(forbidden).collect()
}

fn is_allowed(edge: &Edge<'_>) -> bool {
    if edge.dev { !may_reach(edge.to, edge.from) } else { targets(edge.from).contains(&edge.to) }
}

/// Whether the table lets `from` depend on `to`, directly or through others.
fn may_reach(from: &str, to: &str) -> bool {
    targets(from).iter().any(|target| *target == to || may_reach(target, to))
}

fn targets(from: &str) -> &'static [&'static str] {
    ALLOWED.iter().find(|(name, _)| *name == from).map_or(&[], |(_, targets)| targets)
}

fn listed(targets: &[&str]) -> String {
    if targets.is_empty() { "none of the workspace".into() } else { targets.join(", ") }
}

/// Rows of the table that the map for readers does not show as they are.
fn undocumented(map: &str) -> Vec<String> {
    let rows = ALLOWED.iter().map(|(from, targets)| format!("{from} → {}", listed(targets)));
    rows.filter(|row| !map.lines().any(|line| line == row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge<'a>(from: &'a str, to: &'a str, dev: bool) -> Edge<'a> {
        Edge { from, to, dev }
    }

    #[test]
    fn this_workspace_has_only_allowed_edges() {
        run().unwrap();
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        let found = violations(&["husk-spec", "husk-sys"], &[edge("husk-spec", "husk-sys", false)]);
        assert_eq!(found, ["husk-spec → husk-sys: husk-spec may depend on none of the workspace"]);
    }

    #[test]
    fn a_dev_edge_is_free_unless_it_turns_an_arrow_round() {
        assert!(is_allowed(&edge("husk-spec", "husk-sys", true)));
        let found = violations(&[], &[edge("husk-sys", "husk-runtime", true)]);
        assert_eq!(
            found,
            ["husk-sys → husk-runtime (dev): turns an arrow round, husk-runtime may depend on husk-sys"]
        );
    }

    #[test]
    fn a_crate_that_is_not_in_the_table_is_found() {
        assert_eq!(violations(&["husk-extra"], &[]), ["husk-extra: has no row in the table"]);
    }

    #[test]
    fn edges_are_read_from_cargos_metadata() {
        let metadata = serde_json::json!({"packages": [
            {"name": "a", "dependencies": [{"name": "b", "kind": null}, {"name": "serde", "kind": null}]},
            {"name": "b", "dependencies": [{"name": "a", "kind": "dev"}]},
        ]});
        assert_eq!(edges(&metadata), [edge("a", "b", false), edge("b", "a", true)]);
    }

    #[test]
    fn a_row_that_the_map_lacks_is_found() {
        let missing = undocumented("husk-see → husk-sys\n");
        assert!(!missing.contains(&"husk-see → husk-sys".into()));
        assert!(missing.contains(&"husk-init → husk-sys".into()));
    }
}

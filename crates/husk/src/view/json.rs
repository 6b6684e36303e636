// SPDX-License-Identifier: Apache-2.0
//! JSON, in the shape that docs/see.md describes. A change that a reader could trip over changes the version.

use husk_see::{
    Container, Details, Difference, IdMap, Kind, Limit, Machine, Mount, Namespaces, Root, Seen, Text,
    is_invisible,
};
use serde_json::{Value, json};

/// The version of the shape.
const VERSION: u32 = 1;

/// The host and its containers, or some of them, and what was asked for by name.
pub(crate) fn machine(machine: &Machine, shown: &[usize], named: &[Details]) -> String {
    let host = &machine.host;
    let containers: Vec<Value> =
        shown.iter().map(|index| container(machine, &machine.containers[*index])).collect();
    let mut value = json!({
        "version": VERSION,
        "host": {
            "name": text(&host.name),
            "kernel": text(&host.kernel),
            "namespaces": namespaces(&host.namespaces),
            "namespaces_of_process": host.process,
        },
        "containers": containers,
        "unreadable_processes": machine.unreadable,
    });
    if !named.is_empty() {
        let all = named.iter().map(|details| self::details(machine, details)).collect();
        value["processes"] = Value::Array(all);
    }
    printed(&value)
}

/// The differences between two.
pub(crate) fn differences(a: &str, b: &str, all: &[Difference], unknown: &[&str]) -> String {
    let difference = |difference: &Difference| {
        let Difference { topic, what, a, b } = difference;
        json!({"topic": topic.name(), "what": text(what), "a": optional(a.as_ref()), "b": optional(b.as_ref())})
    };
    let all: Vec<Value> = all.iter().map(difference).collect();
    printed(&json!({"version": VERSION, "a": a, "b": b, "differences": all, "not_compared": unknown}))
}

/// With every character escaped that a terminal could obey or hide: serde_json escapes those below U+0020 alone. Outside of
/// strings there is none.
pub(crate) fn printed(value: &Value) -> String {
    let plain = format!("{value:#}\n");
    let mut printed = String::with_capacity(plain.len());
    for c in plain.chars() {
        if c != '\n' && is_invisible(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| printed += &format!("\\u{unit:04x}"));
        } else {
            printed.push(c);
        }
    }
    printed
}

fn container(machine: &Machine, container: &Container) -> Value {
    let ids = |indices: &[usize]| -> Vec<u32> {
        indices.iter().map(|index| machine.containers[*index].id).collect()
    };
    let whose = Kind::ALL.into_iter().map(|kind| {
        let (whose, with) = match &container.whose[kind as usize] {
            Seen::Own => ("own", vec![]),
            Seen::Host => ("host", vec![]),
            Seen::Shared(with) => ("shared", ids(with)),
            Seen::Unknown => ("unknown", vec![]),
        };
        let inode = container.namespaces[kind];
        (kind.name().to_owned(), json!({"inode": inode, "is": whose, "with": with}))
    });
    let roots = container.roots.iter();
    let roots = roots.map(|one| json!({"processes": one.processes, "root": one.root.as_ref().map(root)}));
    json!({
        "id": container.id,
        "name": optional(container.name.as_ref()),
        "engine": match container.maker.engine {
            husk_see::Engine::Unknown => Value::Null,
            engine => engine.name().into(),
        },
        "engine_id": optional(container.maker.id.as_ref()),
        "inside": container.parent.map(|parent| machine.containers[parent].id),
        "is_here": container.is_here,
        "namespaces": whose.collect::<serde_json::Map<_, _>>(),
        "roots": roots.collect::<Vec<_>>(),
        "uid_map": container.uid_map.as_ref().map(map),
        "processes": container.processes.iter().filter_map(|pid| process(machine, *pid)).collect::<Vec<_>>(),
        "outside": container.outside.iter().filter_map(|pid| process(machine, *pid)).collect::<Vec<_>>(),
    })
}

fn process(machine: &Machine, pid: u32) -> Option<Value> {
    let process = machine.process(pid)?;
    Some(json!({
        "pid": pid,
        "parent": process.parent,
        "pids": process.pids,
        "uid": process.uid,
        "name": text(&process.name),
        "command": texts(&process.command),
    }))
}

fn details(machine: &Machine, details: &Details) -> Value {
    let Details { status, limits, .. } = details;
    let container = machine.container_of(details.pid).map(|index| machine.containers[index].id);
    let sets = status.capabilities.map(|capabilities| {
        let sets = capabilities.sets().into_iter().map(|(name, set)| (name.to_owned(), json!(set.names())));
        sets.collect::<serde_json::Map<_, _>>()
    });
    let owners =
        Kind::ALL.into_iter().zip(details.owners).map(|(kind, owner)| (kind.name().to_owned(), json!(owner)));
    let limit = |limit: Limit| match limit {
        Limit::Unknown => json!("unknown"),
        Limit::None => Value::Null,
        Limit::At(number) => json!(number),
    };
    let resource = details.resource_limits.iter().map(
        |limit| json!({"name": text(&limit.name), "soft": text(&limit.soft), "hard": text(&limit.hard)}),
    );
    let cgroups = details.cgroups.iter();
    let cgroups =
        cgroups.map(|cgroup| json!({"controllers": text(&cgroup.controllers), "path": text(&cgroup.path)}));
    json!({
        "pid": details.pid,
        "container": container,
        "parent": status.parent,
        "pids": status.pids,
        "name": text(&status.name),
        "command": texts(&details.command),
        "program": optional(details.executable.as_ref()),
        "directory": optional(details.directory.as_ref()),
        "threads": status.threads,
        "namespaces": namespaces(&details.namespaces),
        "namespace_owners": owners.collect::<serde_json::Map<_, _>>(),
        "user_namespaces": details.user_nesting,
        "user_namespace_made_by": details.user_owner,
        "root": details.root.as_ref().map(root),
        "mounts": details.mounts.as_ref().map(|all| all.iter().map(mount).collect::<Vec<_>>()),
        "host_name": optional(details.host_name.as_ref()),
        "uids": status.uids,
        "gids": status.gids,
        "groups": status.groups,
        "uid_map": details.uid_map.as_ref().map(map),
        "gid_map": details.gid_map.as_ref().map(map),
        "setgroups": details.setgroups,
        "cgroups": cgroups.collect::<Vec<_>>(),
        "limits": {
            "memory_bytes": limit(limits.memory),
            "processes": limit(limits.processes),
            "cpu_thousandths": limit(limits.cpu),
        },
        "resource_limits": resource.collect::<Vec<_>>(),
        "oom_score_adj": details.oom_score,
        "capabilities": sets,
        "seccomp": status.seccomp.map(husk_see::Seccomp::name),
        "seccomp_filters": status.seccomp_filters,
        "no_new_privs": status.no_new_privs,
        "label": optional(details.label.as_ref()),
    })
}

fn namespaces(namespaces: &Namespaces) -> Value {
    let each = Kind::ALL.into_iter().map(|kind| (kind.name().to_owned(), json!(namespaces[kind])));
    Value::Object(each.collect())
}

fn root(root: &Root) -> Value {
    json!({
        "is_host": root.is_host,
        "is_chroot": root.path.as_ref().map(|_| root.is_chroot()),
        "path": optional(root.path.as_ref()),
        "type": text(&root.fs_type),
        "source": text(&root.source),
        "directory": text(&root.directory),
        "on_host": optional(root.on_host.as_ref()),
        "layers": texts(&root.layers),
    })
}

fn mount(mount: &Mount) -> Value {
    json!({
        "id": mount.id,
        "parent": mount.parent,
        "device": format!("{}:{}", mount.device.0, mount.device.1),
        "directory": text(&mount.root),
        "on": text(&mount.point),
        "options": text(&mount.options),
        "propagation": text(&mount.propagation),
        "type": text(&mount.fs_type),
        "source": text(&mount.source),
        "fs_options": text(&mount.fs_options),
        "uid_map": mount.uid_map.as_ref().map(map),
        "gid_map": mount.gid_map.as_ref().map(map),
    })
}

fn map(map: &IdMap) -> Value {
    let range = |range: &husk_see::IdRange| json!({"inside": range.inside, "outside": range.outside, "count": range.count});
    Value::Array(map.0.iter().map(range).collect())
}

fn text(text: &Text) -> Value {
    Value::String(text.unicode().into_owned())
}

fn texts(all: &[Text]) -> Value {
    Value::Array(all.iter().map(text).collect())
}

fn optional(text: Option<&Text>) -> Value {
    text.map_or(Value::Null, self::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_could_obey_is_escaped_and_can_be_read_back() {
        let value = json!({"a\u{9b}": "\u{202e}\x1b\u{e0041}ü\\\"\n"});
        let printed = printed(&value);
        assert!(printed.contains(r#""a\u009b": "\u202e\u001b\udb40\udc41ü\\\"\n""#), "{printed}");
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), value);
    }
}

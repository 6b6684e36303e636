// SPDX-License-Identifier: Apache-2.0
//! What differs between two processes.

use std::collections::BTreeMap;

use crate::cgroup::Limit;
use crate::details::Details;
use crate::id_map::IdMap;
use crate::mountinfo::Mount;
use crate::namespace::Kind;
use crate::text::Text;

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Namespaces.
    Namespaces,
    /// Users and groups, and how they are mapped.
    Ids,
    /// Capabilities.
    Capabilities,
    /// Whether system calls are filtered, programs can gain privileges, and the LSM's label.
    Confinement,
    /// The root file system.
    Root,
    /// Limits, of the cgroup's and of its own.
    Limits,
    /// Cgroups.
    Cgroups,
    /// Mounts.
    Mounts,
    /// The environment.
    Environment,
}

impl Topic {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Root => "root",
            Self::Mounts => "mounts",
            Self::Ids => "ids",
            Self::Capabilities => "capabilities",
            Self::Confinement => "confinement",
            Self::Limits => "limits",
            Self::Cgroups => "cgroups",
            Self::Environment => "environment",
        }
    }
}

/// One thing that the two have differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub topic: Topic,
    /// What it is: `mnt`, `/proc`, `uid`, `effective`, `PATH`.
    pub what: Text,
    /// The first's, `None` if it has none, or if it cannot be known.
    pub a: Option<Text>,
    /// The second's.
    pub b: Option<Text>,
}

/// The things of one process that can differ, by topic and name.
type Things = BTreeMap<(Topic, Text), Text>;

/// What one process sees, or will see, in the form in which two are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Things);

impl Facts {
    /// Those of a process. Values of variables only `with_values`.
    pub fn of(details: &Details, with_values: bool) -> Self {
        Self(things(details, with_values))
    }

    /// Puts `value` in the place of whatever is known of `what`; nothing is known any more with `None`.
    pub fn set(&mut self, topic: Topic, what: &str, value: Option<Text>) {
        let key = (topic, Text::from(what));
        match value {
            Some(value) => drop(self.0.insert(key, value)),
            None => drop(self.0.remove(&key)),
        }
    }

    /// Keeps only what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(Topic, &Text) -> bool) {
        self.0.retain(|(topic, what), _| keep(*topic, what));
    }

    /// Whether anything is known of `what`.
    pub fn has(&self, topic: Topic, what: &Text) -> bool {
        self.0.contains_key(&(topic, what.clone()))
    }

    /// What differs from `other`, in the order of the topics.
    pub fn compare(&self, other: &Self) -> Vec<Difference> {
        differing(&self.0, &other.0)
    }
}

/// What differs between two processes, in the order of the topics. Values of variables only `with_values`.
pub fn compare(a: &Details, b: &Details, with_values: bool) -> Vec<Difference> {
    differing(&things(a, with_values), &things(b, with_values))
}

fn differing(a: &Things, b: &Things) -> Vec<Difference> {
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter(|key| a.get(key) != b.get(key));
    differing
        .map(|key| Difference {
            topic: key.0,
            what: key.1.clone(),
            a: a.get(key).cloned(),
            b: b.get(key).cloned(),
        })
        .collect()
}

fn things(details: &Details, with_values: bool) -> Things {
    let mut things = Things::new();
    let mut put = |topic, what: &str, value: Option<Text>| {
        value.into_iter().for_each(|value| drop(things.insert((topic, what.into()), value)));
    };
    let text = |value: String| Some(Text::from(value));
    for kind in Kind::ALL {
        put(
            Topic::Namespaces,
            kind.name(),
            details.namespaces[kind].and_then(|inode| text(inode.to_string())),
        );
    }
    if let Some(root) = &details.root {
        let place = root.on_host.as_ref().map_or_else(|| root.directory.clone(), Clone::clone);
        put(Topic::Root, "directory", Some(place));
        put(Topic::Root, "file system", Some(root.fs_type.clone()));
        put(Topic::Root, "path in its mount namespace", root.path.clone());
    }
    let status = &details.status;
    put(Topic::Ids, "user", text(ids(&status.uids)));
    put(Topic::Ids, "group", text(ids(&status.gids)));
    put(Topic::Ids, "supplementary groups", text(joined(&status.groups)));
    put(Topic::Ids, "user map", details.uid_map.as_ref().and_then(|ids| text(map(ids))));
    put(Topic::Ids, "group map", details.gid_map.as_ref().and_then(|ids| text(map(ids))));
    put(Topic::Ids, "setgroups", details.setgroups.and_then(|may| text(yes(may, "allowed", "denied"))));
    for (name, set) in status.capabilities.iter().flat_map(|capabilities| capabilities.sets()) {
        put(Topic::Capabilities, name, text(set.names().join(" ")));
    }
    put(Topic::Confinement, "seccomp", status.seccomp.and_then(|mode| text(mode.name().to_owned())));
    put(
        Topic::Confinement,
        "seccomp filters",
        status.seccomp_filters.and_then(|count| text(count.to_string())),
    );
    put(Topic::Confinement, "no_new_privs", status.no_new_privs.and_then(|on| text(yes(on, "on", "off"))));
    put(Topic::Confinement, "label", details.label.clone());
    let limits = &details.limits;
    put(Topic::Limits, "memory of the cgroup", limit(limits.memory, "bytes"));
    put(Topic::Limits, "processes of the cgroup", limit(limits.processes, "processes"));
    put(Topic::Limits, "CPU of the cgroup", limit(limits.cpu, "thousandths of a CPU"));
    put(Topic::Limits, "oom_score_adj", details.oom_score.and_then(|score| text(score.to_string())));
    put(Topic::Mounts, "(all)", details.mounts.is_none().then(|| Text::from("?")));
    for limit in &details.resource_limits {
        let value = text(format!("{} (hard {})", limit.soft.unicode(), limit.hard.unicode()));
        put(Topic::Limits, &limit.name.unicode(), value);
    }
    for cgroup in &details.cgroups {
        let hierarchy = if cgroup.is_v2() { "v2".into() } else { cgroup.controllers.unicode() };
        put(Topic::Cgroups, &hierarchy, Some(cgroup.path.clone()));
    }
    for mount in details.mounts.iter().flatten() {
        things.insert((Topic::Mounts, mount.point.clone()), described(mount));
    }
    for (name, value) in details.environment.iter().flatten() {
        let value = if with_values { value.clone() } else { Text::from("set") };
        things.insert((Topic::Environment, name.clone()), value);
    }
    things
}

fn yes(condition: bool, yes: &str, no: &str) -> String {
    if condition { yes } else { no }.to_owned()
}

/// Real and effective alone if all are the same.
fn ids(ids: &[u32; 4]) -> String {
    match ids {
        [real, others @ ..] if others.iter().all(|id| id == real) => real.to_string(),
        [real, effective, saved, fs] => {
            format!("real {real}, effective {effective}, saved {saved}, file system {fs}")
        }
    }
}

fn joined(ids: &[u32]) -> String {
    match ids {
        [] => "none".to_owned(),
        _ => ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn map(map: &IdMap) -> String {
    if map.is_identity() {
        return "every id is itself".to_owned();
    }
    let range = |range: &crate::IdRange| format!("{}={}+{}", range.inside, range.outside, range.count);
    match map.0.as_slice() {
        [] => "nothing is mapped".to_owned(),
        ranges => ranges.iter().map(range).collect::<Vec<_>>().join(" "),
    }
}

fn limit(limit: Limit, unit: &str) -> Option<Text> {
    match limit {
        Limit::Unknown => None,
        Limit::None => Some("none".into()),
        Limit::At(number) => Some(format!("{number} {unit}").into()),
    }
}

fn described(mount: &Mount) -> Text {
    let Mount { fs_type, source, root, options, .. } = mount;
    let mut text = fs_type.bytes().to_vec();
    if !source.is_empty() && source != fs_type {
        text.extend([b" ", source.bytes()].concat());
    }
    if !root.is("/") {
        text.extend([b" ", root.bytes()].concat());
    }
    text.extend([b" (", options.bytes(), b")"].concat());
    text.into()
}

// SPDX-License-Identifier: Apache-2.0
//! What the command of a planned container would see, in the shape of what husk-see reads of a running process.

mod mounts;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use husk_see::{
    Capabilities, CapabilitySet, Details, Difference, Facts, IdMap, IdRange, Kind, Seccomp, Text, Topic,
};
use husk_spec::{Config, Grant, IdMapping, Namespace, User, UserNamespace};

/// What shows only when the command runs, and so is not compared.
pub(crate) const UNKNOWN: [&str; 6] = [
    "cgroups, their limits and their mounts",
    "the LSM's label",
    "the host name, which is told to those inside alone",
    "the number of seccomp filters",
    "HOME, where nothing sets it",
    "/dev/console",
];

/// What the command of a planned container would see.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    facts: Facts,
    /// The namespaces that it would enter, by inode.
    joined: Vec<(u64, String)>,
}

impl Planned {
    /// What `config` makes of a process such as husk's own, of which `own` tells.
    pub(crate) fn of(config: &Config, own: &Details, with_values: bool) -> Self {
        let mut details = own.clone();
        details.label = None;
        details.status.seccomp_filters = None;
        details.cgroups.clear();
        details.limits = husk_see::Limits::default();
        details.mounts = mounts::planned(config, own.mounts.as_deref().unwrap_or_default());
        details.environment = Some(environment(config));
        become_user(config, &mut details);
        let process = &config.process;
        details.status.no_new_privs =
            Some(process.no_new_privileges.value || own.status.no_new_privs == Some(true));
        if process.seccomp.is_some() {
            details.status.seccomp = Some(Seccomp::Filter);
        }
        if let Some(score) = &process.oom_score_adj {
            details.oom_score = Some(score.value);
        }
        for limit in &process.rlimits {
            let value =
                |value: Option<u64>| value.map_or("unlimited".into(), |value| value.to_string().into());
            // /proc/PID/limits has them in the order of their numbers.
            if let Some(shown) = details.resource_limits.get_mut(usize::from(limit.value.resource.number())) {
                (shown.soft, shown.hard) = (value(limit.value.soft), value(limit.value.hard));
            }
        }
        let mut facts = Facts::of(&details, with_values);
        let joined = namespaces(config, own, &mut facts);
        let place = config.root.as_ref().map(|root| canonical(&root.path.value));
        facts.set(Topic::Root, "directory", place.map(Text::from));
        facts.set(Topic::Root, "file system", root_kind(&details));
        facts.set(Topic::Root, "path in its mount namespace", Some("/".into()));
        let mut planned = Self { facts, joined };
        planned.forget();
        planned
    }

    /// What differs from a process that runs. `host` is one that is in no container.
    pub(crate) fn compare(&self, process: &Details, host: &Details, with_values: bool) -> Vec<Difference> {
        let mut details = process.clone();
        details.mounts = details.mounts.map(mounts::comparable);
        let mut facts = Facts::of(&details, with_values);
        for kind in Kind::ALL {
            let told = process.namespaces[kind].map(|inode| {
                match self.joined.iter().find(|(its, _)| *its == inode) {
                    Some((_, path)) => path.clone(),
                    None if Some(inode) == host.namespaces[kind] => HOSTS.to_owned(),
                    None => OWN.to_owned(),
                }
            });
            facts.set(Topic::Namespaces, kind.name(), told.map(Text::from));
        }
        let mut running = Self { facts, joined: Vec::new() };
        running.forget();
        // Of mounts and variables the plan knows them all; of all else it says what it knows.
        running.facts.retain(|topic, what| {
            matches!(topic, Topic::Mounts | Topic::Environment) || self.facts.has(topic, what)
        });
        self.facts.compare(&running.facts)
    }

    /// What differs from another that is planned.
    pub(crate) fn compare_planned(&self, other: &Self) -> Vec<Difference> {
        self.facts.compare(&other.facts)
    }

    fn forget(&mut self) {
        let is_cgroup = |what: &Text| what.bytes().starts_with(b"/sys/fs/cgroup");
        self.facts.retain(|topic, what| match topic {
            Topic::Cgroups => false,
            Topic::Mounts => !is_cgroup(what) && !what.is("/dev/console"),
            Topic::Environment => !what.is("HOME"),
            Topic::Confinement => !what.is("label") && !what.is("seccomp filters"),
            Topic::Limits => !what.unicode().ends_with("of the cgroup"),
            _ => true,
        });
    }
}

const HOSTS: &str = "the host's";
const OWN: &str = "its own";

/// Sets the facts about namespaces; returns those that are entered.
fn namespaces(config: &Config, own: &Details, facts: &mut Facts) -> Vec<(u64, String)> {
    let all = &config.namespaces;
    let user = match &all.user.value {
        UserNamespace::Host => Namespace::Host,
        UserNamespace::Join(path) => Namespace::Join(path.clone()),
        _ => Namespace::New,
    };
    let mut joined = Vec::new();
    for kind in Kind::ALL {
        let namespace = match kind {
            Kind::User => &user,
            Kind::Mnt => &all.mount.value,
            Kind::Pid => &all.pid.value,
            Kind::Net => &all.network.value,
            Kind::Ipc => &all.ipc.value,
            Kind::Uts => &all.uts.value,
            Kind::Cgroup => &all.cgroup.value,
            Kind::Time => &all.time.value,
        };
        let told = match namespace {
            Namespace::New => Some(OWN.to_owned()),
            Namespace::Host => own.namespaces[kind].map(|_| HOSTS.to_owned()),
            Namespace::Join(path) => {
                let told = format!("that of {}", path.display());
                joined.extend(fs::metadata(path).ok().map(|namespace| (namespace.ino(), told.clone())));
                Some(told)
            }
        };
        facts.set(Topic::Namespaces, kind.name(), told.map(Text::from));
    }
    joined
}

/// Who the command is, as husk's own user namespace numbers users, and what it may do.
fn become_user(config: &Config, details: &mut Details) {
    let is_zero = matches!(config.process.user.value, User::Numeric { uid: 0, .. });
    let ranges = |map: &[IdMapping]| {
        IdMap(map.iter().map(|m| IdRange { inside: m.inside, outside: m.outside, count: m.count }).collect())
    };
    if let UserNamespace::Mapped { uids, gids } = &config.namespaces.user.value {
        (details.uid_map, details.gid_map) = (Some(ranges(uids)), Some(ranges(gids)));
        details.setgroups = None;
    }
    if let (User::Numeric { uid, gid, groups }, Some(uids), Some(gids)) =
        (&config.process.user.value, &details.uid_map, &details.gid_map)
    {
        details.status.uids = [uids.outside(*uid).unwrap_or(*uid); 4];
        details.status.gids = [gids.outside(*gid).unwrap_or(*gid); 4];
        details.status.groups = groups.iter().map(|gid| gids.outside(*gid).unwrap_or(*gid)).collect();
        details.status.groups.sort_unstable();
    }
    let Grant::Sets(sets) = config.process.capabilities.value else { return };
    let [bounding, permitted, inheritable, ambient] =
        [sets.bounding, sets.permitted, sets.inheritable, sets.ambient].map(|set| set.bits());
    // What execve(2) makes of them (capabilities(7)): root gets all that is not kept from it.
    let by_root =
        (bounding | inheritable) & if config.process.no_new_privileges.value { permitted } else { !0 };
    let after = if is_zero { by_root | ambient } else { ambient };
    details.status.capabilities = Some(Capabilities {
        effective: CapabilitySet(after),
        permitted: CapabilitySet(after),
        inheritable: CapabilitySet(inheritable),
        bounding: CapabilitySet(bounding),
        ambient: CapabilitySet(ambient),
    });
}

fn environment(config: &Config) -> Vec<(Text, Text)> {
    let text = |word: &std::ffi::OsString| Text::from(word.as_bytes());
    let all = config.process.environment.iter();
    all.map(|variable| (text(&variable.value.name), text(&variable.value.value))).collect()
}

fn root_kind(details: &Details) -> Option<Text> {
    let root = details.mounts.as_ref()?.iter().find(|mount| mount.point.is("/"))?;
    Some(root.fs_type.clone())
}

fn canonical(path: &Path) -> Vec<u8> {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).as_os_str().as_bytes().to_vec()
}

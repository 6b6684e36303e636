// SPDX-License-Identifier: Apache-2.0
//! Containers: sets of processes that share a set of namespaces that is not the host's.

use std::collections::{BTreeMap, HashMap};

use crate::engine::Maker;
use crate::id_map::IdMap;
use crate::namespace::{Kind, Namespaces};
use crate::process::Process;
use crate::root::Root;
use crate::text::Text;

/// A set of processes that share a set of namespaces that is not the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The host's id of its first process: the container's name for husk where it has no other.
    pub id: u32,
    /// What it is called, if anybody has named it.
    pub name: Option<Text>,
    /// Who made it.
    pub maker: Maker,
    /// The container that it is in, as an index of [`crate::Machine::containers`].
    pub parent: Option<usize>,
    /// Its namespaces, by inode.
    pub namespaces: Namespaces,
    /// Whose each of them is, in the order of [`Kind::ALL`].
    pub whose: [Seen; 8],
    /// Its processes, by their ids on the host.
    pub processes: Vec<u32>,
    /// Processes that are not in it but belong to it: who made it and waits for it.
    pub outside: Vec<u32>,
    /// Its processes by their root file systems.
    pub roots: Vec<Rooted>,
    /// The ids of its user namespace, if that is not the host's.
    pub uid_map: Option<IdMap>,
    /// Whether husk itself is in it.
    pub is_here: bool,
}

/// Processes of a container that have the same root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rooted {
    /// Their ids on the host; the one that the others come from first.
    pub processes: Vec<u32>,
    /// The root, `None` if the caller may not look.
    pub root: Option<Root>,
}

/// Whose a namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The container's own: only it, and what is in it, has this one.
    Own,
    /// The host's.
    Host,
    /// Shared with these containers: the one around it, or its neighbours.
    Shared(Vec<usize>),
    /// The caller may not look, or the kernel has no such namespaces.
    Unknown,
}

impl Container {
    /// The root that a process has.
    pub fn root_of(&self, pid: u32) -> Option<&Rooted> {
        self.roots.iter().find(|rooted| rooted.processes.contains(&pid))
    }
}

/// What holds a group of processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The same namespaces.
    Namespaces(Namespaces),
    /// A pid namespace that cannot be seen, by its first process that can.
    Unseen(u32),
}

/// A group of processes, by their indices.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) namespaces: Namespaces,
    pub(crate) members: Vec<usize>,
    pub(crate) outside: Vec<usize>,
}

/// The processes of this host, and which of them is which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Census<'p> {
    pub(crate) processes: &'p [Process],
    pub(crate) host: &'p Namespaces,
}

impl<'p> Census<'p> {
    pub(crate) fn by_pid(&self, pid: u32) -> Option<usize> {
        self.processes.binary_search_by_key(&pid, |process| process.pid).ok()
    }

    fn parent(&self, process: &Process) -> Option<&'p Process> {
        self.by_pid(process.parent).map(|index| &self.processes[index])
    }

    /// Parent, grandparent and so on. Bounded, since the parts were not read at one moment.
    fn ancestors(&self, process: &Process) -> impl Iterator<Item = &'p Process> {
        let census = *self;
        std::iter::successors(self.parent(process), move |process| census.parent(process)).take(64)
    }

    /// The processes that are not simply the host's, in groups; the group of the lowest process first.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        let mut first: HashMap<Key, usize> = HashMap::new();
        let mut starters = Vec::new();
        for (index, process) in self.processes.iter().enumerate().filter(|(_, process)| !process.is_kernel) {
            if self.is_starter(process) || self.is_monitor(process) {
                starters.push(index);
            } else if let Some(key) = self.key(process) {
                let first = *first.entry(key).or_insert(index);
                let namespaces = process.namespaces;
                let group =
                    groups.entry(first).or_insert(Group { namespaces, members: vec![], outside: vec![] });
                group.members.push(index);
            }
        }
        for index in starters {
            self.attach(index, &mut groups, &mut first);
        }
        // A starter may have come late to a group that its own children made.
        groups.values_mut().for_each(|group| group.members.sort_unstable());
        groups.into_values().collect()
    }

    /// Whether its children will be in another pid namespace: `unshare --pid --fork` waits like this for its container.
    fn is_starter(&self, process: &Process) -> bool {
        process.childrens_pid.is_some() && process.childrens_pid != process.namespaces[Kind::Pid]
    }

    /// Whether it only waits for a container, in namespaces that are not the host's, and is none itself: a conmon, which for a
    /// container with ids of its own has mounts of its own too; and a husk that has entered some of another's.
    fn is_monitor(&self, process: &Process) -> bool {
        match process.name.bytes() {
            b"conmon" => self.watched(process).is_some(),
            b"husk" => self.has_entered(process) || self.guarded(process).is_some(),
            _ => false,
        }
    }

    /// Whether it has entered namespaces that its own parent is not in, and started a container. From then on it is not
    /// dumpable, and only root sees which those are.
    fn has_entered(&self, husk: &Process) -> bool {
        let is_elsewhere =
            |parent: &Process| husk.namespaces.is_unknown() || parent.namespaces != husk.namespaces;
        self.watched(husk).is_some() && self.parent(husk).is_some_and(is_elsewhere)
    }

    /// The husk that a guard stands beside, if that one waits for a container in namespaces that it has entered.
    fn guarded(&self, guard: &Process) -> Option<&'p Process> {
        let beside = |parent: &&Process| parent.name.is("husk") && parent.namespaces == guard.namespaces;
        self.parent(guard).filter(beside).filter(|husk| self.has_entered(husk))
    }

    /// The process that a monitor has started in namespaces that are not the monitor's.
    fn watched(&self, monitor: &Process) -> Option<usize> {
        let is_watched =
            |other: &Process| other.parent == monitor.pid && other.namespaces != monitor.namespaces;
        self.processes.iter().position(is_watched)
    }

    fn key(&self, process: &Process) -> Option<Key> {
        if process.namespaces.is_unknown() {
            return (process.pids.len() > 1).then(|| Key::Unseen(self.unseen_init(process)));
        }
        let is_hosts = |kind: Kind| match (process.namespaces[kind], self.host[kind]) {
            (Some(its), Some(hosts)) => its == hosts,
            _ => true,
        };
        (!Kind::ALL.into_iter().all(is_hosts)).then_some(Key::Namespaces(process.namespaces))
    }

    /// The process that is 1 in the pid namespace of this one, as far as the line of its parents leads there.
    fn unseen_init(&self, process: &Process) -> u32 {
        let depth = process.pids.len();
        let line = std::iter::once(process).chain(self.ancestors(process));
        let inside = line.take_while(|ancestor| ancestor.pids.len() >= depth);
        let of_namespace = inside.filter(|ancestor| ancestor.pids.len() == depth);
        of_namespace.last().map_or(process.pid, |init| init.pid)
    }

    /// Puts a starter outside of the container that it started, or, if there is none, where it is itself.
    fn attach(&self, index: usize, groups: &mut BTreeMap<usize, Group>, first: &mut HashMap<Key, usize>) {
        let process = &self.processes[index];
        if self.is_monitor(process) {
            let watched = self.watched(self.guarded(process).unwrap_or(process));
            let group =
                groups.values_mut().find(|group| watched.is_some_and(|it| group.members.contains(&it)));
            return group.into_iter().for_each(|group| group.outside.push(index));
        }
        let started =
            groups.values_mut().filter(|group| group.namespaces[Kind::Pid] == process.childrens_pid);
        if let Some(group) = started.max_by_key(|group| group.namespaces.common(&process.namespaces)) {
            return group.outside.push(index);
        }
        if let Some(key) = self.key(process) {
            let first = *first.entry(key).or_insert(index);
            let group = groups.entry(first).or_insert(Group {
                namespaces: process.namespaces,
                members: vec![],
                outside: vec![],
            });
            group.members.push(index);
        }
    }

    /// The process that the others of a group come from: the first in the line that leads out of it.
    pub(crate) fn first(&self, group: &Group) -> usize {
        let leads_out = |index: &&usize| {
            let parent = self.by_pid(self.processes[**index].parent);
            parent.is_none_or(|parent| group.members.binary_search(&parent).is_err())
        };
        let is_init = |index: &&usize| self.processes[**index].pid_inside() == 1;
        let all = || group.members.iter();
        *all().find(is_init).or_else(|| all().find(leads_out)).unwrap_or(&group.members[0])
    }

    /// The container around each: by its pid namespace, its user namespace, or the processes that it comes from.
    /// `parent_of` asks the kernel for the parent of a process's namespace.
    pub(crate) fn parents(
        &self,
        groups: &[Group],
        parent_of: impl Fn(usize, Kind) -> Option<u64>,
    ) -> Vec<Option<usize>> {
        let firsts: Vec<usize> = groups.iter().map(|group| self.first(group)).collect();
        let owners = [Kind::Pid, Kind::User].map(|kind| self.owners(groups, &firsts, kind));
        let around = |(index, group): (usize, &Group)| {
            let by_namespace = [Kind::Pid, Kind::User].into_iter().zip(&owners).find_map(|(kind, owners)| {
                let own = group.namespaces[kind].filter(|own| Some(*own) != self.host[kind])?;
                let owner = owners.get(&own).copied().filter(|owner| *owner != index);
                owner.or_else(|| owners.get(&parent_of(firsts[index], kind)?).copied())
            });
            by_namespace
                .or_else(|| self.group_above(groups, index, firsts[index]))
                .filter(|parent| *parent != index)
        };
        without_cycles(groups.iter().enumerate().map(around).collect())
    }

    /// Which group a namespace is: the one with its first process, or else the first that has it.
    fn owners(&self, groups: &[Group], firsts: &[usize], kind: Kind) -> HashMap<u64, usize> {
        let mut owners: HashMap<u64, usize> = HashMap::new();
        for (index, group) in groups.iter().enumerate() {
            let Some(own) = group.namespaces[kind].filter(|own| Some(*own) != self.host[kind]) else {
                continue;
            };
            let is_init = kind == Kind::Pid && self.processes[firsts[index]].pid_inside() == 1;
            match owners.get(&own) {
                Some(_) if !is_init => {}
                _ => drop(owners.insert(own, index)),
            }
        }
        owners
    }

    /// The group that an ancestor is in, if both share more than the host's.
    fn group_above(&self, groups: &[Group], index: usize, first: usize) -> Option<usize> {
        let own = &groups[index].namespaces;
        let is_shared =
            |kind: &Kind, other: &Namespaces| own[*kind] == other[*kind] && own[*kind] != self.host[*kind];
        let is_around = |other: &Namespaces| {
            own.is_unknown() || Kind::ALL.iter().any(|kind| own[*kind].is_some() && is_shared(kind, other))
        };
        self.ancestors(&self.processes[first]).find_map(|ancestor| {
            let ancestor = self.by_pid(ancestor.pid)?;
            let is_of =
                |group: &Group| group.members.contains(&ancestor) || group.outside.contains(&ancestor);
            let other = groups.iter().position(is_of)?;
            (other != index && is_around(&groups[other].namespaces)).then_some(other)
        })
    }

    /// Whose the namespaces of each group are.
    pub(crate) fn whose(&self, groups: &[Group], parents: &[Option<usize>]) -> Vec<[Seen; 8]> {
        let mut having: HashMap<(Kind, u64), Vec<usize>> = HashMap::new();
        for (index, group) in groups.iter().enumerate() {
            for kind in Kind::ALL {
                let namespace = group.namespaces[kind].filter(|own| Some(*own) != self.host[kind]);
                namespace.into_iter().for_each(|own| having.entry((kind, own)).or_default().push(index));
            }
        }
        let is_in = |inner: usize, outer: usize| {
            std::iter::successors(parents[inner], |parent| parents[*parent]).any(|parent| parent == outer)
        };
        let seen = |index: usize, kind: Kind| {
            let Some(own) = groups[index].namespaces[kind] else { return Seen::Unknown };
            let Some(having) = having.get(&(kind, own)) else { return Seen::Host };
            let others = having.iter().copied().filter(|other| *other != index && !is_in(*other, index));
            let others: Vec<usize> = others.collect();
            let around = std::iter::successors(parents[index], |parent| parents[*parent]);
            match around.into_iter().find(|outer| others.contains(outer)) {
                Some(outer) => Seen::Shared(vec![outer]),
                None if others.is_empty() => Seen::Own,
                None => Seen::Shared(others),
            }
        };
        (0..groups.len()).map(|index| Kind::ALL.map(|kind| seen(index, kind))).collect()
    }
}

/// Cuts a line that leads back to itself: what was read at different moments may say so.
fn without_cycles(mut parents: Vec<Option<usize>>) -> Vec<Option<usize>> {
    for index in 0..parents.len() {
        let above = std::iter::successors(parents[index], |parent| parents[*parent]).take(parents.len() + 1);
        if above.into_iter().any(|parent| parent == index) {
            parents[index] = None;
        }
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: u64 = 1;

    fn namespaces(set: &[(Kind, u64)]) -> Namespaces {
        let mut all = Namespaces::default();
        Kind::ALL.into_iter().for_each(|kind| all[kind] = Some(HOST));
        set.iter().for_each(|(kind, inode)| all[*kind] = Some(*inode));
        all
    }

    fn process(pid: u32, parent: u32, pids: &[u32], set: &[(Kind, u64)]) -> Process {
        let namespaces = namespaces(set);
        let childrens_pid = namespaces[Kind::Pid];
        Process { pid, parent, pids: pids.to_vec(), namespaces, childrens_pid, ..Process::default() }
    }

    fn groups(processes: &[Process]) -> (Vec<Group>, Vec<Option<usize>>, Vec<[Seen; 8]>) {
        let host = namespaces(&[]);
        let census = Census { processes, host: &host };
        let groups = census.groups();
        let parents = census.parents(&groups, |_, _| None);
        let whose = census.whose(&groups, &parents);
        (groups, parents, whose)
    }

    const CLASSIC: [(Kind, u64); 4] = [(Kind::Mnt, 2), (Kind::Uts, 3), (Kind::Ipc, 4), (Kind::Pid, 5)];

    #[test]
    fn the_classic_pair_is_one_container_and_unshare_waits_outside() {
        let mut unshare = process(10, 1, &[10], &CLASSIC[..3]);
        unshare.childrens_pid = Some(5);
        let bash = process(11, 10, &[11, 1], &CLASSIC);
        let chroot = process(19, 11, &[19, 9], &CLASSIC);
        let (groups, parents, whose) = groups(&[process(1, 0, &[1], &[]), unshare, bash, chroot]);
        assert_eq!((groups.len(), &parents[..]), (1, &[None][..]));
        assert_eq!((&groups[0].members, &groups[0].outside), (&vec![2, 3], &vec![1]));
        let own: Vec<_> =
            Kind::ALL.into_iter().zip(&whose[0]).filter(|(_, seen)| **seen == Seen::Own).collect();
        assert_eq!(
            own.into_iter().map(|(kind, _)| kind.name()).collect::<Vec<_>>(),
            ["mnt", "pid", "uts", "ipc"]
        );
    }

    #[test]
    fn a_container_in_a_container_shares_what_it_has_not_made() {
        let outer = process(11, 1, &[11, 1], &CLASSIC);
        let inner = process(20, 11, &[20, 5], &[(Kind::Mnt, 9), CLASSIC[1], CLASSIC[2], CLASSIC[3]]);
        let (_, parents, whose) = groups(&[outer, inner]);
        assert_eq!(parents, [None, Some(0)]);
        assert_eq!(whose[0][Kind::Pid as usize], Seen::Own);
        assert_eq!(whose[1][Kind::Mnt as usize], Seen::Own);
        assert_eq!(whose[1][Kind::Pid as usize], Seen::Shared(vec![0]));
        assert_eq!(whose[1][Kind::Net as usize], Seen::Host);
    }

    #[test]
    fn a_conmon_with_mounts_of_its_own_is_outside_of_what_it_watches() {
        let mut conmon = process(10, 1, &[10], &[(Kind::Mnt, 7)]);
        let first = process(11, 10, &[11, 1], &CLASSIC);
        let (alone, ..) = groups(&[conmon.clone(), first.clone()]);
        assert_eq!(alone.len(), 2, "another program in its place would be a container");
        conmon.name = "conmon".into();
        let (groups, ..) = groups(&[conmon.clone(), first]);
        assert_eq!(groups.len(), 1);
        assert_eq!((&groups[0].members, &groups[0].outside), (&vec![1], &vec![0]));
        let (groups, ..) = self::groups(&[conmon]);
        assert_eq!(groups[0].members, [0], "a name alone hides nothing");
    }

    #[test]
    fn neighbours_share_with_each_other() {
        let one = process(11, 1, &[11], &[(Kind::Mnt, 2), (Kind::Net, 7)]);
        let two = process(12, 1, &[12], &[(Kind::Mnt, 3), (Kind::Net, 7)]);
        let (_, parents, whose) = groups(&[one, two]);
        assert_eq!(parents, [None, None]);
        assert_eq!(whose[0][Kind::Net as usize], Seen::Shared(vec![1]));
        assert_eq!(whose[1][Kind::Net as usize], Seen::Shared(vec![0]));
    }

    #[test]
    fn what_may_not_be_seen_is_grouped_by_its_first_process() {
        let unseen =
            |pid, parent, pids: &[u32]| Process { pid, parent, pids: pids.to_vec(), ..Process::default() };
        let all = [
            unseen(10, 1, &[10]),
            unseen(11, 10, &[11, 1]),
            unseen(12, 11, &[12, 2]),
            unseen(13, 10, &[13, 1]),
        ];
        let (groups, _, whose) = groups(&all);
        assert_eq!(
            groups.iter().map(|group| group.members.clone()).collect::<Vec<_>>(),
            [vec![1, 2], vec![3]]
        );
        assert!(whose[0].iter().all(|seen| *seen == Seen::Unknown));
    }

    #[test]
    fn lines_that_lead_back_to_themselves_are_cut() {
        assert_eq!(without_cycles(vec![Some(1), Some(0), Some(0)]), [None, Some(0), Some(0)]);
        assert_eq!(without_cycles(vec![Some(0)]), [None]);
    }

    #[test]
    fn a_husk_that_has_entered_namespaces_waits_outside_of_its_container() {
        let named = |process: Process| Process { name: "husk".into(), ..process };
        let web = [(Kind::Net, 2), (Kind::Pid, 3), (Kind::Mnt, 4)];
        let tool = [(Kind::Net, 2), (Kind::Pid, 5), (Kind::Mnt, 6)];
        let processes = [
            process(1, 0, &[1], &[]),
            process(10, 1, &[10, 1], &web),
            named(process(20, 1, &[20], &web[..1])),
            process(21, 20, &[21, 1], &tool),
            named(process(22, 20, &[22], &web[..1])),
            // One that somebody runs inside is a part of what it runs in.
            named(process(30, 10, &[30, 2], &web)),
            process(31, 30, &[31, 3, 1], &[(Kind::Net, 7), (Kind::Pid, 8), (Kind::Mnt, 9)]),
        ];
        let (groups, _, _) = groups(&processes);
        let seen: Vec<_> =
            groups.iter().map(|group| (group.members.clone(), group.outside.clone())).collect();
        assert_eq!(seen, [(vec![1, 5], vec![]), (vec![3], vec![2, 4]), (vec![6], vec![])]);
    }
}

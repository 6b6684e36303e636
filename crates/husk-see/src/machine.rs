// SPDX-License-Identifier: Apache-2.0
//! The host and all its containers, in one pass over `/proc`.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, CWD, StatxFlags, fstat, statx};

use crate::cgroup::{self, Encounters};
use crate::container::{Census, Container, Group, Rooted, Seen};
use crate::details::Details;
use crate::engine::{self, Engine, Maker};
use crate::id_map;
use crate::kernel::Kernel;
use crate::mountinfo::{self, Mount};
use crate::namespace::{Kind, Namespaces};
use crate::process::{self, Process};
use crate::procfs::{Proc, ProcessDirectory};
use crate::root::Root;
use crate::text::Text;

/// The host: what containers differ from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// The process that they are read from: 1, the kernel's first thread, or husk itself if those may not be looked at.
    pub process: u32,
    /// Its name: that of husk's own UTS namespace.
    pub name: Text,
    /// The kernel's release.
    pub kernel: Text,
}

/// The host and its containers, as they were when they were looked at.
#[derive(Debug)]
pub struct Machine {
    /// The host.
    pub host: Host,
    /// All processes, by id.
    pub processes: Vec<Process>,
    /// All containers, by the id of their first process.
    pub containers: Vec<Container>,
    /// How many processes have namespaces that the caller may not see.
    pub unreadable: usize,
    proc: Proc,
    kernel: Kernel,
    mounts: Vec<Mount>,
    own: Process,
}

impl Machine {
    /// Looks at every process.
    ///
    /// # Errors
    /// `/proc` cannot be read at all.
    pub fn observe() -> io::Result<Self> {
        let proc = Proc::open()?;
        let mut ids = proc.ids()?;
        ids.sort_unstable();
        let look = |pid: u32| proc.process(pid).and_then(|directory| Process::of(pid, &directory));
        let processes: Vec<Process> = ids.into_iter().filter_map(look).collect();
        let own = proc
            .own_id()
            .and_then(look)
            .ok_or_else(|| io::Error::other("/proc does not show husk itself"))?;
        let host = Host::of(&processes, &own);
        let readable = |process: &&Process| process.is_kernel || !process.namespaces.is_unknown();
        let unreadable = processes.len() - processes.iter().filter(readable).count();
        let kernel = Kernel::probe(own.pid);
        let mounts = Self::mounts(&proc, kernel, &host, &own);
        let mut machine =
            Self { host, processes, containers: Vec::new(), unreadable, proc, kernel, mounts, own };
        let groups = machine.census().groups();
        machine.read_commands(&groups);
        machine.containers = machine.find_containers(&groups);
        Ok(machine)
    }

    /// The host's mounts, or husk's own where those cannot be had.
    fn mounts(proc: &Proc, kernel: Kernel, host: &Host, own: &Process) -> Vec<Mount> {
        let of = |pid: u32| mounts(&proc.process(pid)?, kernel);
        let is_own = host.namespaces[Kind::Mnt] == own.namespaces[Kind::Mnt];
        let hosts = if is_own { None } else { of(host.process).filter(|mounts| !mounts.is_empty()) };
        hosts.or_else(|| of(own.pid)).unwrap_or_default()
    }

    /// A process.
    pub fn process(&self, pid: u32) -> Option<&Process> {
        self.census().by_pid(pid).map(|index| &self.processes[index])
    }

    /// The container that a process is in or belongs to.
    pub fn container_of(&self, pid: u32) -> Option<usize> {
        self.containers.iter().position(|container| container.processes.contains(&pid))
    }

    /// Everything about one process, `None` if it is gone.
    pub fn details(&self, pid: u32) -> Option<Details> {
        let directory = self.proc.process(pid)?;
        let root = self.root(&directory, self.process(pid)?);
        let is_here = self.process(pid)?.namespaces[Kind::Uts].is_some()
            && self.process(pid)?.namespaces[Kind::Uts] == self.own.namespaces[Kind::Uts];
        let name = is_here.then(|| self.host.name.clone());
        Details::of(pid, &directory, self.kernel, root, name, &self.mounts)
    }

    /// What the limits of a process's own cgroups have led to.
    pub fn encounters(&self, of: &Details) -> Encounters {
        Encounters::of(&of.cgroups, &self.mounts)
    }

    /// When a process was started, since the machine was; `None` if it is gone.
    pub fn started(&self, pid: u32) -> Option<Duration> {
        /// `USER_HZ`, the same on every machine that husk knows.
        const TICKS_IN_A_SECOND: u64 = 100;
        let stat = self.proc.process(pid)?.read("stat")?;
        // The name, in brackets, may have brackets and blanks in it.
        let behind = stat.get(stat.iter().rposition(|byte| *byte == b')')? + 2..)?;
        let ticks = std::str::from_utf8(behind).ok()?.split(' ').nth(19)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 1000 / TICKS_IN_A_SECOND))
    }

    /// The id of husk itself, as the host numbers processes.
    pub fn own_id(&self) -> u32 {
        self.own.pid
    }

    /// Whether the root of a process is this directory, `None` if the caller may not look or one of them is gone.
    pub fn has_root(&self, pid: u32, directory: &Path) -> Option<bool> {
        // DONT_SYNC: a file system of somebody's own (FUSE) is not asked, and so cannot keep husk waiting.
        let look = |at: BorrowedFd<'_>, path: &Path| {
            let status = statx(at, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
            Some((status.stx_dev_major, status.stx_dev_minor, status.stx_ino))
        };
        let its = look(self.proc.process(pid)?.as_fd(), Path::new("root"))?;
        Some(its == look(CWD, directory)?)
    }

    /// The containers with this name.
    pub fn named(&self, name: &str) -> Vec<usize> {
        self.containers_where(|container| container.name.as_ref().is_some_and(|its| its.is(name)))
    }

    /// The containers whose id at their engine begins like this, with four digits or more.
    pub fn numbered(&self, beginning: &str) -> Vec<usize> {
        let begins = |id: &Text| beginning.len() >= 4 && id.bytes().starts_with(beginning.as_bytes());
        self.containers_where(|container| container.maker.id.as_ref().is_some_and(begins))
    }

    fn containers_where(&self, is_meant: impl Fn(&Container) -> bool) -> Vec<usize> {
        (0..self.containers.len()).filter(|index| is_meant(&self.containers[*index])).collect()
    }

    /// The mounts of the host, or husk's own where those cannot be had.
    pub fn host_mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Whether husk runs as root.
    pub fn is_root(&self) -> bool {
        self.own.uid == 0
    }

    /// Whether husk itself is in the host's namespaces.
    pub fn is_on_host(&self) -> bool {
        self.own.namespaces == self.host.namespaces
    }

    fn census(&self) -> Census<'_> {
        Census { processes: &self.processes, host: &self.host.namespaces }
    }

    /// Reads the command lines of all that are in or around a container.
    fn read_commands(&mut self, groups: &[Group]) {
        let members: Vec<usize> =
            groups.iter().flat_map(|group| group.members.iter().chain(&group.outside)).copied().collect();
        let parent = |index: &usize| self.census().by_pid(self.processes[*index].parent);
        let mut around: Vec<usize> =
            members.iter().filter_map(parent).chain(members.iter().copied()).collect();
        around.sort_unstable();
        around.dedup();
        for index in around {
            if let Some(directory) = self.directory(&self.processes[index]) {
                self.processes[index].read_command(&directory);
            }
        }
    }

    fn find_containers(&self, groups: &[Group]) -> Vec<Container> {
        let census = self.census();
        let parents = census.parents(groups, |first, kind| self.parent_namespace(first, kind));
        let whose = census.whose(groups, &parents);
        let own_cgroups = self.proc.process(self.own.pid).map(|own| cgroups(&own)).unwrap_or_default();
        let mut peers = Peers { machine: self, known: HashMap::new() };
        let made = groups.iter().zip(whose).zip(&parents).map(|((group, whose), parent)| {
            let first = &self.processes[census.first(group)];
            self.container(group, first, whose, *parent, &own_cgroups, &mut peers)
        });
        made.collect()
    }

    fn container(
        &self,
        group: &Group,
        first: &Process,
        whose: [Seen; 8],
        parent: Option<usize>,
        own_cgroups: &[cgroup::Cgroup],
        peers: &mut Peers<'_>,
    ) -> Container {
        let directory = self.directory(first);
        let maker = self.maker(group, first, directory.as_ref(), own_cgroups);
        let has_own_ids = first.namespaces[Kind::User] != self.host.namespaces[Kind::User];
        let uid_map =
            directory.as_ref().filter(|_| has_own_ids).and_then(|directory| directory.read("uid_map"));
        let pids = |indices: &[usize]| indices.iter().map(|index| self.processes[*index].pid).collect();
        let mut members = group.members.clone();
        // The first process is told first; the others follow as they were started.
        members.sort_by_key(|index| (self.processes[*index].pid != first.pid, *index));
        Container {
            id: first.pid,
            name: self.name(&maker, directory.as_ref()),
            maker,
            parent,
            namespaces: group.namespaces,
            whose,
            roots: self.roots(&members, peers),
            processes: pids(&members),
            outside: pids(&group.outside),
            // Everybody may read it, also where the namespace itself is not to be seen.
            uid_map: uid_map
                .map(|content| id_map::parse(&content))
                .filter(|map| has_own_ids && !map.is_identity()),
            is_here: group.namespaces == self.own.namespaces,
        }
    }

    /// The directory of a process that was seen before, `None` if it is gone.
    fn directory(&self, process: &Process) -> Option<ProcessDirectory> {
        let directory = self.proc.process(process.pid)?;
        // Another process with the same id is hardly in the same mount namespace.
        let is_same = directory.namespace(Kind::Mnt.file()) == process.namespaces[Kind::Mnt];
        is_same.then_some(directory)
    }

    fn maker(
        &self,
        group: &Group,
        first: &Process,
        directory: Option<&ProcessDirectory>,
        own_cgroups: &[cgroup::Cgroup],
    ) -> Maker {
        let is_member = |process: &&Process| {
            group.members.iter().any(|member| self.processes[*member].pid == process.pid)
        };
        let parent = self.process(first.parent).filter(|parent| !is_member(parent));
        let starters = group.outside.iter().map(|index| &self.processes[*index]);
        let outside: Vec<&Process> = parent.into_iter().chain(starters).collect();
        // Where husk itself is says nothing about others: the whole machine may be somebody's container.
        let mut cgroups = directory.map(cgroups).unwrap_or_default();
        cgroups.retain(|cgroup| !own_cgroups.contains(cgroup));
        engine::recognise(first, &outside, &cgroups)
    }

    fn name(&self, maker: &Maker, first: Option<&ProcessDirectory>) -> Option<Text> {
        let from_engine = match maker.engine {
            // husk gives every container a name, and the name as HOSTNAME to its command.
            Engine::Husk => maker.name.clone().or_else(|| variable(first?, "HOSTNAME")),
            Engine::Docker => {
                maker.id.as_ref().and_then(|id| self.docker_name(id)).or_else(|| maker.name.clone())
            }
            _ => maker.name.clone(),
        };
        from_engine.or_else(|| Some(engine::short(maker.id.as_ref()?)))
    }

    /// The name that Docker has for a container, from the file of a daemon that runs here, wherever it keeps its data. Only
    /// root's daemons on the host and husk's own user's are believed: anybody can call a process dockerd, and have root
    /// open what it likes.
    fn docker_name(&self, id: &Text) -> Option<Text> {
        let is_believed = |process: &&Process| {
            process.name.is("dockerd")
                && (process.uid == 0 || process.uid == self.own.uid)
                && process.namespaces[Kind::Mnt] == self.host.namespaces[Kind::Mnt]
        };
        let daemons = self.processes.iter().filter(is_believed);
        let told = daemons.filter_map(|daemon| {
            let mut daemon = daemon.clone();
            daemon.read_command(&self.proc.process(daemon.pid)?);
            engine::docker_data(&daemon.command)
        });
        let mut places = told.chain([Text::from("/var/lib/docker")]);
        places.find_map(|place| engine::docker_name(&place, id))
    }

    fn roots(&self, members: &[usize], peers: &mut Peers<'_>) -> Vec<Rooted> {
        let mut roots: Vec<(Option<Text>, Rooted)> = Vec::new();
        for process in members.iter().map(|index| &self.processes[*index]) {
            let directory = self.directory(process);
            let path = directory.as_ref().and_then(|directory| directory.link("root"));
            if let Some((_, same)) = roots.iter_mut().find(|(known, _)| *known == path) {
                same.processes.push(process.pid);
                continue;
            }
            let mounts = || peers.of(process);
            let root =
                directory.and_then(|directory| Root::of(&directory, self.kernel, &self.mounts, mounts));
            roots.push((path, Rooted { processes: vec![process.pid], root }));
        }
        roots.into_iter().map(|(_, rooted)| rooted).collect()
    }

    fn root(&self, directory: &ProcessDirectory, process: &Process) -> Option<Root> {
        Root::of(directory, self.kernel, &self.mounts, || {
            Peers { machine: self, known: HashMap::new() }.of(process)
        })
    }

    /// The parent of a process's namespace.
    fn parent_namespace(&self, process: usize, kind: Kind) -> Option<u64> {
        let namespace = self.directory(&self.processes[process])?.open_namespace(kind)?;
        let parent = husk_sys::parent_namespace(namespace.as_fd()).ok()?;
        Some(fstat(&parent).ok()?.st_ino)
    }
}

impl Host {
    fn of(processes: &[Process], own: &Process) -> Self {
        // The kernel's threads are always in the first namespaces of all.
        let is_reference = |process: &&Process| process.pid == 1 || (process.is_kernel && process.pid == 2);
        let known = processes.iter().filter(is_reference).find(|process| !process.namespaces.is_unknown());
        let reference = known.unwrap_or(own);
        let uname = rustix::system::uname();
        Self {
            namespaces: reference.namespaces,
            process: reference.pid,
            name: uname.nodename().to_bytes().into(),
            kernel: uname.release().to_bytes().into(),
        }
    }
}

/// The mounts of processes whose root is the top of their mount namespace, by that namespace.
struct Peers<'m> {
    machine: &'m Machine,
    known: HashMap<Option<u64>, Vec<Mount>>,
}

impl Peers<'_> {
    fn of(&mut self, process: &Process) -> Vec<Mount> {
        let namespace = process.namespaces[Kind::Mnt];
        let machine = self.machine;
        let look = || {
            let same = machine.processes.iter().filter(|other| other.namespaces[Kind::Mnt] == namespace);
            let mut directories = same.filter_map(|other| machine.directory(other));
            let top = directories.find(|other| other.link("root").is_some_and(|root| root.is("/")))?;
            Some(mountinfo::parse(&top.read("mountinfo")?))
        };
        self.known.entry(namespace).or_insert_with(|| look().unwrap_or_default()).clone()
    }
}

/// The mounts that a process sees; none of a process on its way out.
pub(crate) fn mounts(directory: &ProcessDirectory, kernel: Kernel) -> Option<Vec<Mount>> {
    let read = || directory.read("mountinfo").map(|content| mountinfo::parse(&content));
    kernel.mounts(directory).or_else(read)
}

fn cgroups(directory: &ProcessDirectory) -> Vec<cgroup::Cgroup> {
    directory.read("cgroup").map(|content| cgroup::parse(&content)).unwrap_or_default()
}

/// A variable of the environment that a process was started with; the process may have changed it since.
fn variable(directory: &ProcessDirectory, name: &str) -> Option<Text> {
    let words = process::words(directory.read("environ")?);
    let value =
        |word: &Text| Some(Text::from(word.bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?));
    words.iter().find_map(value).filter(|value| !value.is_empty())
}

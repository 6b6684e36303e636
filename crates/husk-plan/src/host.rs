// SPDX-License-Identifier: Apache-2.0
//! What is there: the facts about a host that a plan depends on. Reads, never writes, needs no privilege.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use husk_cgroup::limits::{self, Hierarchy};
use husk_cgroup::systemd::{Scope, UserSystemd};
use husk_cgroup::{Hierarchies, Place};
use husk_spec::{
    BindMount, Cgroup, Config, Given, IdMapping, Mount, Namespace, NamespaceKind, PassingCgroup,
    UserNamespace,
};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, openat2, stat, statfs, statx,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::PlanError;

/// A range of ids: first and count.
pub type IdRange = (u32, u32);

/// The facts that a plan depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// husk's effective user id.
    pub uid: u32,
    /// husk's effective group id.
    pub gid: u32,
    /// Whether husk may mount and map ids in its own user namespace: CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID.
    pub privileged: bool,
    /// The id maps of husk's own user namespace.
    pub uid_map: Vec<IdMapping>,
    /// As `uid_map`, for groups.
    pub gid_map: Vec<IdMapping>,
    /// Whether `setgroups(2)` is denied in husk's own user namespace, and so in all below it.
    pub setgroups_denied: bool,
    /// The kernel's version, major and minor.
    pub kernel: (u32, u32),
    /// The ids that `subuid(5)` gives: to husk's user, or for a privileged husk to anybody.
    pub subordinate_uids: Vec<IdRange>,
    /// As `subordinate_uids`, for groups.
    pub subordinate_gids: Vec<IdRange>,
    /// The programs that may map subordinate ids, if they are installed.
    pub map_helpers: Option<MapHelpers>,
    /// The permission bits of the root directory.
    pub root_mode: u32,
    /// What stands in the root at the places where something is to be mounted.
    pub in_root: BTreeMap<PathBuf, Found>,
    /// The sources of bind mounts and devices, and what they are.
    pub sources: BTreeMap<PathBuf, Found>,
    /// The types (`f_type` of `statfs(2)`) of the file systems that the root and the sources of bind mounts are on.
    pub file_systems: BTreeMap<PathBuf, u64>,
    /// What the files are that stand for namespaces to be entered, as far as somebody has asked: `None` for what is no
    /// namespace.
    pub namespaces: BTreeMap<PathBuf, Option<NamespaceKind>>,
    /// Of the namespaces to be entered, the kinds of those that husk is in already.
    pub own_namespaces: Vec<NamespaceKind>,
    /// Where the resource control file system is mounted, if the container asks for it and it is.
    pub resctrl: Option<PathBuf>,
    /// The user namespace that is to be entered, if it can be told whose it is.
    pub joined: Option<JoinedUser>,
    /// Whether the kernel shows its memory (`/proc/kcore`).
    pub has_kcore: bool,
    /// The hierarchies of cgroups, if the container is to have cgroups of its own and there are any.
    pub cgroups: Option<Hierarchies>,
    /// husk's own number: a cgroup that goes with the container is named by it.
    pub pid: u32,
    /// Whether systemd runs here, if it is to be asked for cgroups (`sd_booted(3)`).
    pub systemd: bool,
    /// The user's systemd, if limits were asked for, the cgroup for them cannot be made where husk is, and it answers.
    pub user_systemd: Option<UserSystemd>,
    /// Whether husk may make the container's cgroups: root of the machine may, of others it is asked.
    pub may_make_cgroups: bool,
    /// The file below `/proc` by which a process asks for an AppArmor profile, if AppArmor is enabled and was asked for.
    pub apparmor: Option<&'static CStr>,
    /// Whether SELinux is enabled, if it was asked for.
    pub selinux: bool,
    /// The container's accounts.
    pub accounts: HostAccounts,
}

/// An existing user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedUser {
    /// Its user ids.
    pub uid_map: Vec<IdMapping>,
    /// Its group ids.
    pub gid_map: Vec<IdMapping>,
    /// Whether `setgroups(2)` works in it.
    pub setgroups: bool,
}

/// The texts of the container's `passwd` and `group`; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAccounts {
    /// `/etc/passwd` in the container.
    pub passwd: String,
    /// `/etc/group` in the container.
    pub group: String,
}

impl HostAccounts {
    /// Those of a root, or of what `mounts` put over it.
    fn of(root: BorrowedFd<'_>, mounts: &[Given<Mount>]) -> Self {
        let text = |path: &str| {
            let path = Path::new(path);
            let covering = mounts.iter().map(|mount| &mount.value).rfind(|mount| covers(mount, path));
            match covering {
                None => accounts_text(root, path),
                Some(Mount::Bind(bind)) => bound_accounts_text(bind, path).unwrap_or_default(),
                Some(_) => String::new(),
            }
        };
        Self { passwd: text("/etc/passwd"), group: text("/etc/group") }
    }
}

/// Whether `path` is another file for this mount than it was before.
fn covers(mount: &Mount, path: &Path) -> bool {
    let begins_as_it_was = match mount {
        Mount::Filesystem(new) => new.copy_up,
        Mount::Remount(_) => true,
        Mount::Bind(_) | Mount::Cgroup(_) => false,
    };
    !begins_as_it_was && path.starts_with(mount.target())
}

/// The set-user-id programs of the shadow package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapHelpers {
    /// `newuidmap(1)`.
    pub newuidmap: PathBuf,
    /// `newgidmap(1)`.
    pub newgidmap: PathBuf,
}

/// What is found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// A device, with its type and permission bits and its number.
    Device {
        /// `st_mode`.
        mode: u32,
        /// `st_rdev`.
        device: u64,
    },
    /// Anything else.
    Other,
}

/// Helpers are taken from here and not from PATH, which the caller's environment sets.
pub(crate) const HELPER_DIRECTORIES: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/bin"];

/// 9p's own type (`linux/magic.h`).
const V9FS_MAGIC: u64 = 0x0102_1997;

/// selinuxfs (`linux/magic.h`), which is there where SELinux is enabled.
const SELINUX_MAGIC: u64 = 0xf97c_ff8c;

/// No honest `passwd` or `group` is larger.
const ACCOUNTS_MAX: u64 = 1 << 20;

impl Host {
    /// Looks at the host with `config` in mind.
    ///
    /// # Errors
    /// A root or a source that is not there, and a /proc that cannot be read.
    pub fn probe(config: &Config) -> Result<Self, PlanError> {
        let mut host = Self {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            privileged: is_privileged(),
            uid_map: id_map("/proc/self/uid_map")?,
            gid_map: id_map("/proc/self/gid_map")?,
            setgroups_denied: read_text("/proc/self/setgroups").trim() == "deny",
            kernel: kernel_version(),
            has_kcore: Path::new("/proc/kcore").exists(),
            ..Self::default()
        };
        host.privileged = host.privileged && (host.has_all_ids() || may_mount());
        host.probe_namespaces(config);
        if config.resource_group.is_some() {
            host.resctrl = resctrl();
        }
        if !matches!(config.namespaces.user.value, UserNamespace::Host | UserNamespace::Join(_)) {
            host.probe_subordinate_ids();
        }
        host.probe_sources(config);
        match config.cgroup.as_ref().map(|given| &given.value) {
            Some(Cgroup::New { path, systemd, .. }) => {
                host.cgroups = Hierarchies::read().ok();
                host.systemd = systemd.is_some() && Path::new("/run/systemd/system").is_dir();
                host.may_make_cgroups = systemd.is_some() && host.refuses_scopes().is_none()
                    || host.is_root()
                    || host.can_make_cgroups(path.as_deref(), &config.name);
            }
            Some(Cgroup::Passing(passing)) => {
                host.cgroups = Hierarchies::read().ok();
                host.pid = std::process::id();
                host.may_make_cgroups =
                    !passing.asked.is_empty() || host.can_have_cgroup(passing, &config.name);
                if !passing.asked.is_empty() && !host.is_root() {
                    host.user_systemd = host.find_user_systemd(passing, &config.name);
                }
            }
            Some(Cgroup::Scope { .. } | Cgroup::Existing) | None => {}
        }
        if config.process.labels.apparmor.is_some() {
            host.apparmor = apparmor_file();
        }
        if config.process.labels.selinux.is_some() || config.mount_label.is_some() {
            host.selinux = file_system(Path::new("/sys/fs/selinux")) == Some(SELINUX_MAGIC);
        }
        if let Some(root) = &config.root {
            host.probe_root(&root.path, config)?;
        }
        Ok(host)
    }

    /// Looks at the host as [`Host::probe`] does, but for a root that has not been built yet and will have all mount points.
    ///
    /// # Errors
    /// As [`Host::probe`].
    pub fn probe_before_root(config: &Config) -> Result<Self, PlanError> {
        let mut host = Self::probe(&Config { root: None, ..config.clone() })?;
        host.root_mode = 0o755;
        if let Some(root) = &config.root {
            let file_system = root.path.value.ancestors().find_map(file_system).unwrap_or_default();
            host.file_systems.insert(root.path.value.clone(), file_system);
        }
        host.in_root = targets(config).map(|target| (target.clone(), Found::Directory)).collect();
        Ok(host)
    }

    /// The accounts of a root that is there already.
    pub fn with_accounts_of(mut self, root: BorrowedFd<'_>) -> Self {
        self.accounts = HostAccounts::of(root, &[]);
        self
    }

    /// Whether husk's user namespace is the machine's first one, or at least has all ids.
    pub fn has_all_ids(&self) -> bool {
        let all = |map: &[IdMapping]| matches!(map, [IdMapping { inside: 0, count: u32::MAX, .. }]);
        all(&self.uid_map) && all(&self.gid_map)
    }

    /// Why systemd cannot be asked for a scope here, if it cannot.
    pub fn refuses_scopes(&self) -> Option<String> {
        if !self.systemd {
            return Some("systemd does not run here (there is no /run/systemd/system)".to_owned());
        }
        let user = self.is_users_systemd();
        self.cgroups.as_ref().and_then(|found| Scope::refused(found, user)).map(|why| why.to_string())
    }

    /// Whether it is the user's own systemd that is asked, for want of the machine's privilege.
    pub fn is_users_systemd(&self) -> bool {
        self.uid != 0 || !self.has_all_ids()
    }

    /// Whether husk is root of the whole machine. Root of a user namespace has the capabilities, and no more of the host's
    /// cgroups and devices than its user.
    pub fn is_root(&self) -> bool {
        self.privileged && self.has_all_ids()
    }

    fn can_make_cgroups(&self, path: Option<&str>, name: &str) -> bool {
        let place = self.cgroups.as_ref().map(|found| Place::new(found, path, name));
        place.is_some_and(|place| place.is_ok_and(|place| place.can_have(&[])))
    }

    fn can_have_cgroup(&self, passing: &PassingCgroup, name: &str) -> bool {
        let Some(found) = &self.cgroups else { return false };
        let Ok(limits) = limits::files(&passing.resources, found.version) else { return false };
        let mut controllers = limits.controllers();
        if !passing.asked.is_empty() {
            let asks = |write: &&limits::Write| passing.asks_for(&write.origin);
            controllers = limits.writes.iter().filter(asks).map(|write| write.controller.as_str()).collect();
        }
        let place = Place::passing(found, passing.parent.as_deref(), name, &controllers);
        place.is_ok_and(|place| place.can_have(&controllers))
    }

    /// Not for a cgroup in another that was named: systemd makes its scopes where it likes.
    fn find_user_systemd(&self, passing: &PassingCgroup, name: &str) -> Option<UserSystemd> {
        let found = self.cgroups.as_ref().filter(|found| found.version == Hierarchy::V2)?;
        if passing.parent.is_some() || self.can_have_cgroup(passing, name) {
            return None;
        }
        let map = self
            .uid_map
            .iter()
            .find(|map| (map.inside..map.inside.saturating_add(map.count)).contains(&self.uid))?;
        UserSystemd::find(found, map.outside + (self.uid - map.inside))
    }

    fn probe_namespaces(&mut self, config: &Config) {
        if let UserNamespace::Join(path) = &config.namespaces.user.value {
            self.joined = JoinedUser::at(path);
            self.probe_namespace(NamespaceKind::User, path);
        }
        for (kind, given) in config.namespaces.but_user() {
            if let Namespace::Join(path) = &given.value {
                self.probe_namespace(kind, path);
            }
        }
    }

    fn probe_namespace(&mut self, kind: NamespaceKind, path: &Path) {
        let Ok(file) = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return };
        let own = stat(format!("/proc/self/ns/{}", kind.file_name()));
        let same = |own: rustix::fs::Stat, its: rustix::fs::Stat| {
            (own.st_dev, own.st_ino) == (its.st_dev, its.st_ino)
        };
        if own.ok().zip(fstat(&file).ok()).is_some_and(|(own, its)| same(own, its)) {
            self.own_namespaces.push(kind);
        }
    }

    fn probe_subordinate_ids(&mut self) {
        let passwd = if self.privileged { String::new() } else { read_text("/etc/passwd") };
        let uid = self.uid.to_string();
        let name = account_name(&passwd, self.uid);
        let everybody = self.privileged;
        let ours = |owner: &str| everybody || owner == uid || Some(owner) == name;
        self.subordinate_uids = subordinate_ids(&read_text("/etc/subuid"), ours);
        self.subordinate_gids = subordinate_ids(&read_text("/etc/subgid"), ours);
        if !self.privileged && !self.subordinate_uids.is_empty() {
            self.map_helpers = helper("newuidmap")
                .zip(helper("newgidmap"))
                .map(|(newuidmap, newgidmap)| MapHelpers { newuidmap, newgidmap });
        }
    }

    fn probe_sources(&mut self, config: &Config) {
        let binds = config.mounts.iter().filter_map(|mount| match &mount.value {
            Mount::Bind(bind) => Some(&bind.source),
            _ => None,
        });
        for source in binds {
            self.file_systems.insert(source.clone(), file_system(source).unwrap_or_default());
            self.sources.insert(source.clone(), on_host(source));
        }
        for device in &config.devices {
            let source = &device.value.source;
            self.sources.insert(source.clone(), on_host(source));
        }
    }

    fn probe_root(&mut self, given: &Given<PathBuf>, config: &Config) -> Result<(), PlanError> {
        let path = given.value.as_path();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => PlanError::NoSuchRoot(given.clone()),
            Errno::NOTDIR => PlanError::RootIsNoDirectory(given.clone()),
            errno => PlanError::UnreadableRoot { root: given.clone(), errno },
        })?;
        let unreadable = |errno| PlanError::UnreadableRoot { root: given.clone(), errno };
        let has_binds = config.mounts.iter().any(|mount| matches!(mount.value, Mount::Bind(_)));
        if !has_binds && is_empty(root.as_fd()).map_err(unreadable)? {
            return Err(PlanError::EmptyRoot(given.clone()));
        }
        self.root_mode = fstat(&root).map_err(unreadable)?.st_mode & 0o7777;
        self.file_systems.insert(path.to_owned(), file_system(path).unwrap_or_default());
        for target in targets(config) {
            self.in_root.insert(target.clone(), in_root(root.as_fd(), target));
        }
        self.accounts = HostAccounts::of(root.as_fd(), &config.mounts);
        Ok(())
    }
}

fn targets(config: &Config) -> impl Iterator<Item = &PathBuf> {
    config.mounts.iter().map(|mount| mount.value.target())
}

pub(crate) fn is_privileged() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID;
    geteuid().is_root() && capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Whether capabilities are good for mounts too: root of a nested user namespace may be in a mount namespace that is not that
/// one's, as after `unshare --user` without `--mount`. A detached copy shows it, and is gone at once.
fn may_mount() -> bool {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    // Nothing but EPERM says so: EINVAL comes of mounts below that are locked.
    !matches!(open_tree(CWD, "/", flags), Err(Errno::PERM))
}

/// The file of AppArmor alone (Linux 5.8), else the one that all security modules share.
fn apparmor_file() -> Option<&'static CStr> {
    let enabled = read_text("/sys/module/apparmor/parameters/enabled").starts_with('Y');
    let own = Path::new("/proc/self/attr/apparmor/exec").exists();
    enabled.then_some(if own { c"self/attr/apparmor/exec" } else { c"self/attr/exec" })
}

fn id_map(path: &'static str) -> Result<Vec<IdMapping>, PlanError> {
    id_map_in(Path::new(path)).map_err(|error| PlanError::Probe {
        path,
        errno: error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error),
    })
}

pub(crate) fn id_map_in(path: &Path) -> std::io::Result<Vec<IdMapping>> {
    Ok(String::from_utf8_lossy(&read(path)?).lines().filter_map(id_map_line).collect())
}

impl JoinedUser {
    /// The user namespace behind `/proc/PID/ns/user`: its maps are beside it. `None` for any other path.
    pub fn at(path: &Path) -> Option<Self> {
        let process = path.parent()?.parent().filter(|process| process.starts_with("/proc"))?;
        Some(Self {
            uid_map: id_map_in(&process.join("uid_map")).ok()?,
            gid_map: id_map_in(&process.join("gid_map")).ok()?,
            setgroups: std::fs::read_to_string(process.join("setgroups")).ok()?.trim() == "allow",
        })
    }
}

fn id_map_line(line: &str) -> Option<IdMapping> {
    let mut numbers = line.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(IdMapping { inside: next()?, outside: next()?, count: next()? })
}

pub(crate) fn kernel_version() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The text of a host's file, empty if it cannot be read.
fn read_text(path: &str) -> String {
    read(path.as_ref()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The bytes of a file, mostly in two reads: those of the kernel do not say how long they are.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    read_up_to(File::open(path)?, u64::MAX)
}

fn read_up_to(file: File, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4096);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name of a user in the text of `passwd(5)`.
pub(crate) fn account_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The ranges of `subuid(5)` whose owner is one of `ours`.
pub(crate) fn subordinate_ids(text: &str, ours: impl Fn(&str) -> bool) -> Vec<IdRange> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            let range = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
            ours(owner).then_some(range)
        })
        .filter(|(first, count): &IdRange| *count > 0 && first.checked_add(*count).is_some())
        .collect()
}

fn helper(name: &str) -> Option<PathBuf> {
    HELPER_DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.exists())
}

fn found(stat: &rustix::fs::Stat) -> Found {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Directory,
        FileType::CharacterDevice | FileType::BlockDevice => {
            Found::Device { mode: stat.st_mode, device: stat.st_rdev }
        }
        _ => Found::Other,
    }
}

fn on_host(path: &Path) -> Found {
    stat(path).map_or(Found::Nothing, |stat| found(&stat))
}

/// How often a path is looked up again.
const TRIES: usize = 128;

/// The type of the file system at `path`. 9p passes on that of the file system which its server has (`v9fs_statfs`), so what is
/// on no device of this machine is looked up by name.
fn file_system(path: &Path) -> Option<u64> {
    let claimed = statfs(path).ok()?.f_type as u64;
    let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    let is_9p = || mount_type(&read_text("/proc/self/mountinfo"), stat.stx_mnt_id) == Some("9p".to_owned());
    Some(if stat.stx_dev_major == 0 && is_9p() { V9FS_MAGIC } else { claimed })
}

/// Where the resource control file system is mounted.
pub fn resctrl() -> Option<PathBuf> {
    resctrl_in(&read_text("/proc/self/mountinfo"))
}

fn resctrl_in(mountinfo: &str) -> Option<PathBuf> {
    let is_resctrl = |line: &&str| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("resctrl "));
    mountinfo.lines().find(is_resctrl)?.split(' ').nth(4).map(PathBuf::from)
}

/// The name of the file system of mount `id` (proc_pid_mountinfo(5): the first field, and the one after the lone hyphen).
fn mount_type(mountinfo: &str, id: u64) -> Option<String> {
    let id = id.to_string();
    let line = mountinfo.lines().find(|line| line.split(' ').next() == Some(&id))?;
    line.split(" - ").nth(1)?.split(' ').next().map(str::to_owned)
}

/// Opens a path beneath a root that may be hostile.
fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was mounted or renamed, anywhere on the host, while a `..` was looked up.
    for _ in 1..TRIES {
        match openat2(root, &path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

fn in_root(root: BorrowedFd<'_>, path: &Path) -> Found {
    open_beneath(root, path, OFlags::PATH).and_then(fstat).map_or(Found::Nothing, |stat| found(&stat))
}

/// The text of a regular file in the root, empty for anything else: a FIFO would block, a device do who knows what.
fn accounts_text(root: BorrowedFd<'_>, path: &Path) -> String {
    regular_text(|flags| open_beneath(root, path, flags)).unwrap_or_default()
}

/// The same of a bind mount, or of a file in one.
fn bound_accounts_text(bind: &BindMount, path: &Path) -> Option<String> {
    let below = path.strip_prefix(&bind.target).ok()?;
    let open = |flags| rustix::fs::open(&bind.source, flags | OFlags::CLOEXEC, Mode::empty());
    if below.as_os_str().is_empty() {
        return regular_text(open);
    }
    let directory = open(OFlags::PATH | OFlags::DIRECTORY).ok()?;
    Some(accounts_text(directory.as_fd(), below))
}

/// The text of what `open` opens, if that is a regular file: opening anything else may wait, or do something.
fn regular_text(open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Option<String> {
    let regular = |fd: &OwnedFd| {
        fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    };
    open(OFlags::PATH).ok().filter(regular)?;
    let file = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok().filter(regular)?;
    let bytes = read_up_to(file.into(), ACCOUNTS_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_empty(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    let directory = openat2(
        directory,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::empty(),
    )?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut entries = rustix::fs::RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_the_users_own() {
        let text =
            "anna:100000:65536\nbert:165536:65536\n1000:300000:10\nanna:x:1\nanna:4294967295:2\nanna:5:0\n";
        assert_eq!(subordinate_ids(text, |o| o == "anna" || o == "1000"), [(100_000, 65536), (300_000, 10)]);
        assert_eq!(subordinate_ids(text, |_| true).len(), 3);
    }

    #[test]
    fn resctrl_is_found_by_its_type() {
        let text = "22 27 0:21 / /sys rw - sysfs sysfs rw\n35 22 0:31 / /sys/fs/resctrl rw,relatime - resctrl resctrl rw\n";
        assert_eq!(resctrl_in(text), Some(PathBuf::from("/sys/fs/resctrl")));
        assert_eq!(resctrl_in("22 27 0:21 / /resctrl rw - tmpfs resctrl rw\n"), None);
    }

    #[test]
    fn a_mounts_file_system_is_found_by_its_id() {
        let text = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                    2 27 0:30 /a /mnt/x\\040- rw shared:1 - 9p share rw,cache=mmap\n";
        assert_eq!(mount_type(text, 2).as_deref(), Some("9p"));
        assert_eq!(mount_type(text, 22).as_deref(), Some("proc"));
        assert_eq!(mount_type(text, 3), None);
    }

    #[test]
    fn id_maps_are_read_as_the_kernel_writes_them() {
        let line = id_map_line("         0       1000          1");
        assert_eq!(line, Some(IdMapping { inside: 0, outside: 1000, count: 1 }));
        assert_eq!(id_map_line(""), None);
    }
}

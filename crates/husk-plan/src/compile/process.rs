// SPDX-License-Identifier: Apache-2.0
//! The process: its session, who it is, what it may do, and what it becomes.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use husk_init::{Exec, Privileges, ProcessCapabilities, Step};
use husk_spec::{Capabilities, Environment, Grant, Lifetime, Origin, Resource as ResourceName, Stdio};
use rustix::process::Resource;
use rustix::thread::CapabilitySet;

use super::Compiler;
use crate::PlanError;
use crate::accounts::{self, Account};
use crate::plan::{HostStep, IdMaps, Stage};
use crate::user_namespace::UserKind;

/// Where a command is looked for if its environment has no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As Docker has it.
pub(super) const UMASK: u32 = 0o022;

/// The kernel's resources by number (`asm-generic/resource.h`), as rustix names them.
const RESOURCES: [Resource; 16] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Memlock,
    Resource::As,
    Resource::Locks,
    Resource::Sigpending,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Rtprio,
    Resource::Rttime,
];

pub(crate) fn resource(name: ResourceName) -> Resource {
    RESOURCES[usize::from(name.number())]
}

impl<'a> Compiler<'a, '_> {
    /// The session and the identity. Privileges come back if they are not to be set before the filter of system calls is.
    pub(super) fn become_user(&mut self) -> Result<(Account, Option<Privileges>), PlanError> {
        let process = &self.config.process;
        let account = accounts::find(&process.user, &self.host.accounts.passwd, &self.host.accounts.group)?;
        self.check_ids(&account)?;
        if let Some(init) = &process.init {
            // What follows is the command's; PID 1 has changed its ids, and so lost the signal, for the last time.
            self.child(Stage::Identity, Step::DieWithParent, &init.origin);
            self.child(Stage::Identity, Step::BecomeInit, &init.origin);
        }
        self.take_terminal(account.uid);
        self.own_pipes(&account);
        for limit in &process.rlimits {
            let Rlimits { resource, soft, hard } = Rlimits::from(&limit.value);
            self.child(Stage::Identity, Step::Rlimit { resource, soft, hard }, &limit.origin);
        }
        self.set_working_directory()?;
        self.schedule();
        self.label()?;
        if let Some(keyring) = &process.keyring {
            let name = self.arena.cstr(&keyring.value)?;
            self.child(Stage::Identity, Step::Keyring(name), &keyring.origin);
        }
        let origin = &process.user.origin;
        let (bounding, capabilities) = granted(&process.capabilities.value, account.uid);
        self.child(Stage::Identity, Step::BoundingSet(bounding), &process.capabilities.origin);
        if self.user.setgroups {
            let groups = self.arena.slice(&account.groups);
            self.child(Stage::Identity, Step::Groups(groups), origin);
        }
        if account.gid != 0 {
            self.child(Stage::Identity, Step::Gid(account.gid), origin);
        }
        let held = self.held_for_filter(capabilities);
        if account.uid != 0 {
            if !capabilities.permitted.is_empty() || held.is_some() {
                let origin = &process.capabilities.origin;
                self.child(Stage::Identity, Step::KeepCapabilities, origin);
            }
            self.child(Stage::Identity, Step::Uid(account.uid), origin);
        }
        let no_new_privileges = process.no_new_privileges.value;
        let privileges =
            Privileges { uid: account.uid, gid: account.gid, capabilities, bounding, no_new_privileges };
        self.confine(privileges, held);
        Ok((account, held.map(|_| privileges)))
    }

    /// Without no_new_privs the kernel lets nobody have a filter who has no CAP_SYS_ADMIN (seccomp(2)). Who is not to have it
    /// holds it until then, so that the filter comes right before the command, and all that is done before needs no leave of
    /// its. No program gets it meanwhile: the bounding set is without it.
    fn held_for_filter(&self, capabilities: ProcessCapabilities) -> Option<ProcessCapabilities> {
        let process = &self.config.process;
        let admin = CapabilitySet::SYS_ADMIN;
        let needs = process.seccomp.is_some() && !process.no_new_privileges.value;
        (needs && !capabilities.effective.contains(admin)).then(|| ProcessCapabilities {
            effective: capabilities.effective | admin,
            permitted: capabilities.permitted | admin,
            ..capabilities
        })
    }

    fn confine(&mut self, privileges: Privileges, held: Option<ProcessCapabilities>) {
        let process = &self.config.process;
        match held {
            Some(held) => {
                let why =
                    Origin::Because("the filter needs CAP_SYS_ADMIN without noNewPrivileges".to_owned());
                self.child(Stage::Confine, Step::Capabilities(held), &why);
            }
            None => {
                let capabilities = Step::Capabilities(privileges.capabilities);
                self.child(Stage::Confine, capabilities, &process.capabilities.origin);
            }
        }
        if privileges.no_new_privileges {
            self.child(Stage::Confine, Step::NoNewPrivileges, &process.no_new_privileges.origin);
        }
        if self.config.lifetime == Lifetime::Attached {
            let again = Origin::Because("a change of identity clears the parent-death signal".to_owned());
            self.child(Stage::Confine, Step::DieWithParent, &again);
        }
        if held.is_none() {
            self.verify(Stage::Confine, privileges);
        }
    }

    fn verify(&mut self, stage: Stage, privileges: Privileges) {
        let origin = Origin::Default("nothing runs with more than the plan says");
        self.child(stage, Step::Verify(privileges), &origin);
    }

    fn check_ids(&self, account: &Account) -> Result<(), PlanError> {
        let process = &self.config.process;
        let unmapped = |what, id, ranges: &[(u32, u32)]| PlanError::UnmappedId {
            origin: process.user.origin.clone(),
            what,
            id,
            mapped: match ranges {
                [(0, 1)] => "0 alone, your own".to_owned(),
                ranges => ranges
                    .iter()
                    .map(|(first, count)| format!("{first} to {}", first + (count - 1)))
                    .collect::<Vec<_>>()
                    .join(" and "),
            },
            hint: self.user.cure().to_owned(),
        };
        if !self.user.has_uid(account.uid) {
            return Err(unmapped("user", account.uid, &self.user.uids));
        }
        // Where nobody may set groups, those of the container's group(5) are not set, as is planned above: that is no reason
        // to refuse what is root in many images, a member of other groups.
        let groups = account.groups.iter().filter(|_| self.user.setgroups);
        if let Some(gid) = groups.chain([&account.gid]).find(|gid| !self.user.has_gid(**gid)) {
            return Err(unmapped("group", *gid, &self.user.gids));
        }
        Ok(())
    }

    fn take_terminal(&mut self, uid: u32) {
        let stdio = &self.config.process.terminal.stdio;
        let origin = Origin::Default("a terminal of its own, or none");
        self.child(Stage::Identity, Step::NewSession, &origin);
        if !stdio.is_empty() {
            self.child(Stage::Identity, Step::ControllingTerminal, &origin);
            let which = [Stdio::Input, Stdio::Output, Stdio::Error].map(|fd| stdio.contains(&fd));
            self.child(Stage::Identity, Step::TerminalStdio { which }, &origin);
            if uid != 0 {
                self.child(Stage::Identity, Step::OwnTerminal { uid }, &origin);
            }
        }
    }

    /// A pipe that husk was given belongs to husk's user, who may be nobody inside.
    fn own_pipes(&mut self, account: &Account) {
        let (uid, gid) = (account.uid, account.gid);
        let origin = Origin::Default("/dev/stdout can be opened");
        match self.user.kind {
            // The ids outside of a claim are nobody's inside: only husk may give the pipe away.
            UserKind::New { maps: IdMaps::Claimed { .. }, .. } => {
                self.after(HostStep::OwnPipes { uid, gid }, &origin);
            }
            UserKind::New { .. } | UserKind::Host if uid != 0 => {
                self.child(Stage::Identity, Step::OwnPipes { uid, gid }, &origin);
            }
            _ => {}
        }
    }

    fn set_working_directory(&mut self) -> Result<(), PlanError> {
        let asked = &self.config.process.working_directory;
        let fallback = Origin::Default("/");
        let (path, origin) = match asked {
            Some(given) => (self.arena.cstr(&given.value)?, &given.origin),
            None => (c"/", &fallback),
        };
        self.child(Stage::Identity, Step::WorkingDirectory(path), origin);
        Ok(())
    }

    /// The last of it, with the privileges that wait for the filter.
    pub(super) fn execute(&mut self, account: &Account, late: Option<Privileges>) -> Result<(), PlanError> {
        let process = &self.config.process;
        let environment = self.environment(account)?;
        let arguments = self.strings(&process.args.value)?;
        let exec = Exec {
            candidates: self.candidates()?,
            arguments: self.arena.string_array(&arguments),
            environment: self.arena.string_array(&environment),
        };
        self.await_start(exec)?;
        let umask = process.umask.unwrap_or(UMASK);
        self.child(Stage::Exec, Step::Umask(umask), &Origin::Default("umask"));
        self.child(Stage::Exec, Step::ResetSignals, &Origin::Default("signals as a program expects them"));
        self.child(
            Stage::Exec,
            Step::CloseDescriptors { first: process.preserved_descriptors.saturating_add(3) },
            &Origin::Default("nothing of the host's stays open"),
        );
        if let Some((filter, origin)) = self.filter()? {
            self.child(Stage::Exec, Step::Seccomp(filter), &origin);
        }
        if let Some(privileges) = late {
            self.child(
                Stage::Exec,
                Step::Capabilities(privileges.capabilities),
                &process.capabilities.origin,
            );
            self.verify(Stage::Exec, privileges);
        }
        self.child(Stage::Exec, Step::Exec(exec), &process.args.origin);
        self.attend_to_start();
        Ok(())
    }

    pub(super) fn strings(&self, strings: &[OsString]) -> Result<Vec<&'a CStr>, PlanError> {
        strings.iter().map(|s| self.arena.cstr(s)).collect()
    }

    /// `NAME=VALUE` strings, the later of two with one name winning, with HOME from the container's accounts if it is
    /// not set, or empty: engines rely on that.
    fn environment(&self, account: &Account) -> Result<Vec<&'a CStr>, PlanError> {
        let mut names = BTreeSet::new();
        let given = self.config.process.environment.iter().rev().map(|given| &given.value);
        let mut given: Vec<_> = given.filter(|variable| names.insert(&variable.name)).collect();
        given.reverse();
        let is_home = |variable: &Environment| variable.name == "HOME";
        let has_home = given.iter().any(|variable| is_home(variable) && !variable.value.is_empty());
        let kept = given.into_iter().filter(|variable| has_home || !is_home(variable));
        let mut strings: Vec<OsString> =
            kept.map(|variable| join([&variable.name, OsStr::new("="), &variable.value])).collect();
        if !has_home {
            let usual = Path::new(if account.uid == 0 { "/root" } else { "/" });
            let fallback = self.config.process.default_home.as_deref().unwrap_or(usual);
            let home = account.home.as_ref().map_or(fallback, Path::new);
            strings.push(join([OsStr::new("HOME"), OsStr::new("="), home.as_os_str()]));
        }
        self.strings(&strings)
    }

    fn candidates(&self) -> Result<&'a [&'a CStr], PlanError> {
        let process = &self.config.process;
        let command = process.args.value.first().map_or(OsStr::new(""), OsString::as_os_str);
        let path = process.environment.iter().rev().find(|variable| variable.value.name == "PATH");
        let paths = command_paths(command, path.map(|variable| variable.value.value.as_os_str()));
        let candidates: Vec<_> = paths.iter().map(|path| self.arena.cstr(path)).collect::<Result<_, _>>()?;
        Ok(self.arena.slice(&candidates))
    }
}

/// The paths at which a command is tried: itself if it has a slash in it or is empty, else in each directory of the container's
/// PATH (execvp(3)).
pub fn command_paths(command: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if command.is_empty() || command.as_bytes().contains(&b'/') {
        return vec![command.into()];
    }
    let directories = path.unwrap_or(OsStr::new(PATH)).as_bytes().split(|byte| *byte == b':');
    let directories = directories.map(|directory| if directory.is_empty() { b"." } else { directory });
    directories.map(|directory| Path::new(OsStr::from_bytes(directory)).join(command)).collect()
}

/// The bounding set and the other sets.
fn granted(grant: &Grant, uid: u32) -> (CapabilitySet, ProcessCapabilities) {
    let set = |capabilities: Capabilities| CapabilitySet::from_bits_retain(capabilities.bits());
    let none = CapabilitySet::empty();
    match grant {
        Grant::Bounded(bounding) => {
            let own = if uid == 0 { set(*bounding) } else { none };
            (
                set(*bounding),
                ProcessCapabilities { effective: own, permitted: own, inheritable: none, ambient: none },
            )
        }
        Grant::Sets(sets) => (
            set(sets.bounding),
            ProcessCapabilities {
                effective: set(sets.effective),
                permitted: set(sets.permitted),
                inheritable: set(sets.inheritable),
                ambient: set(sets.ambient),
            },
        ),
    }
}

fn join(parts: [&OsStr; 3]) -> OsString {
    OsString::from_vec(parts.map(OsStr::as_bytes).concat())
}

/// A limit in the terms of the system call.
struct Rlimits {
    resource: Resource,
    soft: Option<u64>,
    hard: Option<u64>,
}

impl From<&husk_spec::Rlimit> for Rlimits {
    fn from(limit: &husk_spec::Rlimit) -> Self {
        Self { resource: resource(limit.resource), soft: limit.soft, hard: limit.hard }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The systemd of an ordinary user. A login's own cgroup is root's, what is below the user's systemd is not: so whoever wants a part
//! of the tree asks that systemd for a scope around itself (`systemd.scope(5)`), and makes cgroups in it.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::bus::{self, Bus};
use super::{Scope, SystemdError, always};
use crate::error::{CgroupError, DELEGATE};
use crate::file;
use crate::hierarchy::{Hierarchies, Mounted};
use crate::limits::Hierarchy;
use crate::place::Place;

/// The cgroup in a scope that its maker stays in: one with processes in it gives no controllers to those below.
const SEAT: &str = "husk";

/// A user's systemd that answers, on a host with cgroup v2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSystemd {
    /// Where version 2 is mounted.
    pub mount: PathBuf,
    /// Its cgroup.
    pub cgroup: PathBuf,
    /// The controllers that it was given, and may give to scopes.
    pub controllers: Vec<String>,
    /// The cgroups above its own, from there to the top, with the controllers of each.
    pub above: Vec<(PathBuf, Vec<String>)>,
}

impl UserSystemd {
    /// That of the user `uid` of the host, if there is one that this process can ask. It is connected to, and told nothing.
    pub fn find(found: &Hierarchies, uid: u32) -> Option<Self> {
        let v2 = found.v2.as_ref().filter(|_| found.version == Hierarchy::V2)?;
        // As logind names them (`user@.service(5)`).
        let cgroup = v2.mount.join(format!("user.slice/user-{uid}.slice/user@{uid}.service"));
        let controllers = controllers(&cgroup).ok()?;
        answers(&bus::socket(true)).ok()?;
        let above = cgroup.ancestors().skip(1).take_while(|level| level.starts_with(&v2.mount));
        let above =
            above.filter_map(|level| Some((level.to_owned(), self::controllers(level).ok()?))).collect();
        Some(Self { mount: v2.mount.clone(), cgroup, controllers, above })
    }

    /// Whether a scope of its can have these controllers.
    ///
    /// # Errors
    /// [`CgroupError::NotDelegated`] for the first that it cannot have.
    pub fn check(&self, controllers: &[String]) -> Result<(), CgroupError> {
        let Some(missing) = controllers.iter().find(|name| !self.controllers.contains(name)) else {
            return Ok(());
        };
        let level = self.above.iter().find(|(_, has)| has.contains(missing)).map(|(level, _)| level);
        Err(CgroupError::NotDelegated {
            controller: missing.clone(),
            level: level.unwrap_or(&self.mount).clone(),
            reason: format!("your systemd, {}, is not given it; {DELEGATE}", self.cgroup.display()),
        })
    }

    /// A scope of that name to be made by it, where it has what its user starts.
    pub fn scope(&self, name: &str) -> Scope {
        let (unit, slice) = (format!("{name}.scope"), "app.slice".to_owned());
        Scope { unit, slice, user: true, properties: Vec::new() }
    }

    /// The hierarchies as this process finds them once it is in `scope`.
    pub fn inside(&self, scope: &Scope) -> Hierarchies {
        let own = self.cgroup.join(&scope.slice).join(&scope.unit).join(SEAT);
        let v2 = Mounted { controllers: Vec::new(), mount: self.mount.clone(), own: Some(own) };
        Hierarchies { version: Hierarchy::V2, v1: Vec::new(), v2: Some(v2) }
    }
}

fn controllers(cgroup: &Path) -> Result<Vec<String>, Errno> {
    let text = file::read(&cgroup.join("cgroup.controllers"))?;
    Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Whether somebody listens there, and has not fallen behind.
fn answers(socket: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&client, &SocketAddrUnix::new(socket)?)
}

impl Scope {
    /// Makes the scope around this process, which then makes room in it for cgroups beside its own. When this process and all that
    /// it has started are gone, systemd takes the scope away.
    ///
    /// # Errors
    /// systemd cannot be reached, refuses, or does not get done; this process cannot go to its place in the scope.
    pub fn enter(&self, description: &str) -> Result<(), SystemdError> {
        let mut bus = Bus::connect(&bus::socket(self.user))?;
        // 0 is whoever asks, whatever its number is in its own pid namespace.
        let properties = [&self.own(0, description)[..], &always()[..]].concat();
        let answer = self.start_unit(&mut bus, &properties)?;
        bus.finish(&self.unit, &answer)?;
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Place::of_process(&Hierarchies::read()?, pid)?.take_seat(SEAT)?)
    }
}

impl Place {
    /// Moves this process from the cgroup of version 2 to one of that name in it.
    fn take_seat(&self, name: &str) -> Result<(), CgroupError> {
        let Some(directory) = self.v2() else { return Err(CgroupError::NoHierarchy) };
        let seat = directory.path.join(name);
        rustix::fs::mkdir(&seat, rustix::fs::Mode::from_raw_mode(0o755))
            .map_err(CgroupError::call("making", &seat))?;
        let procs = seat.join("cgroup.procs");
        file::write(&procs, "0").map_err(CgroupError::call("writing", &procs))
    }
}

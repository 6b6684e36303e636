// SPDX-License-Identifier: Apache-2.0
//! The systemd driver: the container's cgroup is a transient scope, made by systemd on request over D-Bus.
//!
//! A scope cannot be empty. So the container's first process comes first, and systemd moves it in, before anything of the
//! container runs; whoever calls [`Scope::start`] holds the process back that long.

mod assignment;
mod bus;
mod given;
mod io;
mod properties;
mod user;
mod wire;

use std::cell::RefCell;
use std::path::PathBuf;

use assignment::assignment;
use bus::Bus;
use rustix::process::Signal;
use wire::{Encoder, Property, Value};

use crate::device::Rule;
use crate::device::v1::List;
use crate::error::CgroupError;
use crate::hierarchy::Hierarchies;
use crate::limits::{Hierarchy, Limits};
use crate::place::{Kept, Place, SYSTEMDS};

pub use properties::SystemdPropertyError;
pub use user::UserSystemd;

/// Why systemd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// `cgroupsPath` has another form.
    #[error(
        "linux.cgroupsPath: {0:?} is not SLICE:PREFIX:NAME, as the systemd driver wants it, such as system.slice:husk:web"
    )]
    Path(String),
    /// Nobody is there.
    #[error("connecting to systemd through {}: {error}; is systemd running here? The other driver does without it", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What came of it.
        error: std::io::Error,
    },
    /// The connection broke.
    #[error("talking to systemd: {0}")]
    Talk(std::io::Error),
    /// systemd answered with an error.
    #[error("systemd refuses {call}: {text} ({name}){}", cure(name))]
    Refused {
        /// The method.
        call: String,
        /// The error's name: `org.freedesktop.systemd1.UnitExists`.
        name: String,
        /// What it says.
        text: String,
    },
    /// A job did not succeed.
    #[error("systemd's job for {unit} ended with: {result}; see systemctl status {unit}")]
    Job {
        /// The unit.
        unit: String,
        /// Its result.
        result: String,
    },
    /// An ordinary user's systemd has no part in version 1.
    #[error(
        "for an ordinary user's systemd that takes cgroup v2: the controllers of this host are in v1, where they are root's"
    )]
    UserOfVersion1,
    /// The hierarchy of version 1 that is systemd's own.
    #[error("systemd's own hierarchy ({SYSTEMDS}) is not mounted here")]
    NoHierarchy,
    /// Device rules of which systemd would allow too much.
    #[error(
        "linux.resources.devices: on cgroup v1 systemd can be told what is allowed, but not what is denied of it; allow devices one \
         by one, or leave out --systemd-cgroup"
    )]
    DeniedDevices,
    /// An annotation `org.systemd.property.NAME` that asks for no property.
    #[error(
        "annotations[\"org.systemd.property.{name}\"]: {value:?} is not a value in GVariant's text format, such as uint64 5, true or \
         'text', or no property has that name"
    )]
    Annotation {
        /// What follows the prefix.
        name: String,
        /// The annotation.
        value: String,
    },
    /// A limit that systemd cannot be told.
    #[error(transparent)]
    Property(#[from] SystemdPropertyError),
    /// The cgroup that systemd has made.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// What an update had told and written before it was refused could not be put back.
    #[error("{error}; what was changed before that could not be put back: {why}")]
    NotPutBack {
        /// Why it was refused.
        error: CgroupError,
        /// Why it could not.
        why: Box<Self>,
    },
}

fn cure(name: &str) -> &'static str {
    if name.ends_with(".UnitExists") { "; choose another linux.cgroupsPath" } else { "" }
}

/// A scope of systemd's. It is data, like a [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    /// The unit: `PREFIX-NAME.scope`.
    pub unit: String,
    /// The slice it is in.
    pub slice: String,
    /// Whether it is the user's own systemd that has it.
    pub user: bool,
    /// Properties that it is given besides: names, and values in GVariant's text format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<(String, String)>,
}

impl Scope {
    /// The scope that `linux.cgroupsPath` names: `SLICE:PREFIX:NAME`, of which the slice may be empty, and `-` for the topmost. Without a path it is
    /// `husk-ID.scope`. The slice is `system.slice` unless named, `user.slice` with the user's own systemd.
    ///
    /// # Errors
    /// The path has another form, or has characters that no unit's name may have.
    pub fn new(cgroups_path: Option<&str>, id: &str, user: bool) -> Result<Self, SystemdError> {
        let path = cgroups_path.filter(|path| !path.is_empty());
        let default = format!(":husk:{id}");
        let path = path.unwrap_or(&default);
        let is_word =
            |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
        let wrong = || SystemdError::Path(path.to_owned());
        let [slice, prefix, name] = path.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let slice = match slice {
            "" if user => "user.slice",
            "" => "system.slice",
            "-" => "-.slice",
            slice => slice,
        };
        if name.is_empty() || !slice.ends_with(".slice") || ![slice, prefix, name].into_iter().all(is_word) {
            return Err(wrong());
        }
        let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        Ok(Self { unit, slice: slice.to_owned(), user, properties: Vec::new() })
    }

    /// The same scope, with properties that the configuration's annotations ask for.
    ///
    /// # Errors
    /// One that is none.
    pub fn with_properties(self, properties: &[(String, String)]) -> Result<Self, SystemdError> {
        properties.iter().try_for_each(|(name, value)| given::property(name, value).map(drop))?;
        Ok(Self { properties: properties.to_vec(), ..self })
    }

    /// Why there is no scope to be had, of the machine's systemd or of a `user`'s own, whatever its name.
    pub fn refused(found: &Hierarchies, user: bool) -> Option<SystemdError> {
        let has_systemds = || found.v1.iter().any(|mounted| mounted.controllers == [SYSTEMDS]);
        match found.version {
            Hierarchy::V2 => None,
            Hierarchy::V1 if user => Some(SystemdError::UserOfVersion1),
            Hierarchy::V1 => (!has_systemds()).then_some(SystemdError::NoHierarchy),
        }
    }

    /// Where it will be on version 1. On version 2 that is known when it is there.
    pub fn place(&self, found: &Hierarchies) -> Option<Place> {
        (found.version == Hierarchy::V1).then(|| Place::of_scope(found, &self.path()))
    }

    /// The path from the top: `a-b.slice` is in `a.slice` (`systemd.slice(5)`).
    fn path(&self) -> PathBuf {
        let name = self.slice.strip_suffix(".slice").unwrap_or(&self.slice);
        let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
        let slices = ends.map(|end| &name[..end]).filter(|slice| !slice.is_empty() && *slice != "-");
        slices.map(|slice| format!("{slice}.slice")).chain([self.unit.clone()]).collect()
    }

    /// Makes the scope around the process `pid`, with what was `asked` for as properties, so that systemd keeps to it when it is
    /// reloaded. What comes back is the cgroup; limits and device rules are still to be written into its files, since systemd
    /// rounds some and knows not all. On version 1 the process is still to enter what is `beside` it.
    ///
    /// # Errors
    /// systemd cannot be reached, refuses, or does not get done; a controller that a limit needs does not reach the cgroup; on
    /// version 1, device rules of which systemd would allow too much.
    pub fn start(
        &self,
        pid: i32,
        asked: &Asked<'_>,
        description: &str,
        beside: Option<Place>,
    ) -> Result<Place, SystemdError> {
        let found = Hierarchies::read()?;
        if let Some(why) = Self::refused(&found, self.user) {
            return Err(why);
        }
        let expected = self.place(&found);
        let wanted = self.wanted(asked, found.version)?;
        let mut bus = Bus::connect(&bus::socket(self.user))?;
        let wanted = bus.known(wanted)?;
        let mut properties = self.own(pid, description).to_vec();
        properties.extend(always());
        properties.extend(wanted.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let started = self.start_unit(&mut bus, &properties);
        // What is left of a scope of that name that has failed.
        let answer = match started {
            Err(SystemdError::Refused { name, .. }) if name.ends_with(".UnitExists") => {
                let mut body = Encoder::default();
                body.text(&self.unit);
                bus.manager("ResetFailedUnit", "s", body)?;
                self.start_unit(&mut bus, &properties)?
            }
            result => result?,
        };
        bus.finish(&self.unit, &answer)?;
        if let Some((expected, beside)) = expected.zip(beside) {
            return Ok(expected.started(beside, pid)?);
        }
        let place = Place::of_process(&found, pid)?;
        place.adopt(&asked.limits.controllers())?;
        Ok(place)
    }

    fn start_unit(&self, bus: &mut Bus, properties: &[Property<'_>]) -> Result<wire::Message, SystemdError> {
        let mut body = Encoder::default();
        body.text(&self.unit);
        body.text("replace");
        body.properties(properties);
        body.nothing();
        bus.manager("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
    }

    /// What is wanted of this scope: what was `asked` for, and what it is given besides.
    fn wanted(&self, asked: &Asked<'_>, version: Hierarchy) -> Result<Vec<(String, Value)>, SystemdError> {
        let has_bfq = || Hierarchies::read().is_ok_and(|found| found.have(io::BFQ_WEIGHT));
        let asked = asked.properties(version, |_| None, has_bfq)?.into_iter();
        let asked = asked.map(|(name, value)| Ok((name.to_owned(), value)));
        // systemd takes the last of several.
        asked.chain(self.properties.iter().map(|(name, value)| given::property(name, value))).collect()
    }

    /// The properties by which `limits`, and what the scope is given besides, are asked for: `NAME=VALUE`, as `systemd-run -p` takes them.
    ///
    /// # Errors
    /// A limit that systemd cannot be told.
    pub fn assignments(&self, limits: &Limits, version: Hierarchy) -> Result<Vec<String>, SystemdError> {
        let wanted = self.wanted(&Asked { limits, devices: None }, version)?;
        Ok(wanted.iter().map(|(name, value)| assignment(name, value)).collect())
    }

    /// The properties that every scope is given, in the same form.
    pub fn common_assignments() -> Vec<String> {
        always().iter().map(|(name, value)| assignment(name, value)).collect()
    }

    fn own(&self, pid: i32, description: &str) -> [Property<'static>; 3] {
        [
            ("Description", Value::Text(description.to_owned())),
            ("Slice", Value::Text(self.slice.clone())),
            ("PIDs", Value::Pids(vec![pid.unsigned_abs()])),
        ]
    }

    /// Tells systemd of what is new, and then writes the limits, and device rules, if there are any. What is refused changes nothing:
    /// systemd is told again what it knew, and what was written is put back.
    ///
    /// # Errors
    /// As for [`Scope::start`]; [`CgroupError::InUse`]; [`SystemdError::NotPutBack`].
    pub fn update(&self, place: &Place, asked: &Asked<'_>) -> Result<(), SystemdError> {
        place.check(asked.limits)?;
        let has_bfq = || place.text(io::BFQ_WEIGHT).is_some();
        let properties = asked.properties(place.version(), |file| place.text(file), has_bfq)?;
        let before = place.before(asked.limits, asked.devices);
        let known = properties_of(place, &before, asked.limits)?;
        let told = if properties.is_empty() { Ok(()) } else { self.tell(place, properties, asked.limits) };
        let error = match told.and_then(|()| Ok(place.change(asked.limits, asked.devices)?)) {
            // What systemd itself refuses it has not begun.
            Err(SystemdError::Cgroup(error)) => error,
            result => return result,
        };
        let told = if known.is_empty() { Ok(()) } else { self.tell(place, known, asked.limits) };
        match told.and(before.put_back().map_err(SystemdError::from)) {
            Ok(()) => Err(error.into()),
            Err(why) => Err(SystemdError::NotPutBack { error, why: why.into() }),
        }
    }

    /// systemd then writes all that it knows of a scope anew, also what has not changed, as it has rounded it. On version 1 no
    /// device is allowed for a moment, in which nobody is to look for one.
    fn tell(&self, place: &Place, properties: Vec<Property<'_>>, new: &Limits) -> Result<(), SystemdError> {
        let new = new.files();
        let kept = place.keep(properties::FILES.into_iter().filter(|name| !new.contains(name)));
        // Where exceptions cannot be told there are none: systemd has none.
        let devices = place.device_list().map(|(at, list)| (at, Some(list.unwrap_or_else(List::open))));
        let kept = kept.with_devices(devices);
        let mut bus = Bus::connect(&bus::socket(self.user))?;
        let mut body = Encoder::default();
        body.text(&self.unit);
        body.boolean(true);
        body.properties(&bus.known(properties)?);
        let pauses =
            place.version() == Hierarchy::V1 && place.directory("freezer").is_some() && !place.is_frozen()?;
        if pauses {
            place.freeze()?;
        }
        let told = bus.manager("SetUnitProperties", "sba(sv)", body).map(drop);
        let told = told.and_then(|()| Ok(kept.put_back()?));
        if pauses {
            place.thaw()?;
        }
        told
    }

    /// Opens a way for one more process into the scope, whose cgroup is `place`, or into `seat`, a cgroup below.
    ///
    /// # Errors
    /// systemd cannot be reached.
    pub fn open(&self, place: &Place, seat: &Place) -> Result<ScopeEntry, SystemdError> {
        let bus = Bus::connect(&bus::socket(self.user))?;
        let path = |place: &Place| place.v2().map(|directory| directory.path.clone()).unwrap_or_default();
        let below = path(seat).strip_prefix(path(place)).map(|below| format!("/{}", below.display()));
        let below = below.unwrap_or_default();
        Ok(ScopeEntry { bus: bus.into(), unit: self.unit.clone(), below })
    }

    /// Ends the scope. One that is gone already, as they are when their last process is, is no error.
    ///
    /// # Errors
    /// systemd cannot be reached, or does not get done.
    pub fn stop(&self) -> Result<(), SystemdError> {
        self.stop_by(&mut Bus::connect(&bus::socket(self.user))?)
    }

    /// Ends the scope, and kills what is in it, if it is the one that was started with this description, and not another of its
    /// name. One whose process was dead before systemd came to move it is empty, and stays.
    ///
    /// # Errors
    /// As [`Scope::stop`].
    pub fn stop_if(&self, description: &str) -> Result<(), SystemdError> {
        let mut bus = Bus::connect(&bus::socket(self.user))?;
        if bus.description(&self.unit)?.is_none_or(|found| found != description) {
            return Ok(());
        }
        // By itself systemd asks them first, and waits a minute and a half for the first of a pid namespace, which cannot hear.
        let mut body = Encoder::default();
        body.text(&self.unit);
        body.text("all");
        body.number(Signal::KILL.as_raw().unsigned_abs());
        match bus.manager("KillUnit", "ssi", body) {
            // It has ended meanwhile.
            Ok(_) | Err(SystemdError::Refused { .. }) => self.stop_by(&mut bus),
            Err(error) => Err(error),
        }
    }

    fn stop_by(&self, bus: &mut Bus) -> Result<(), SystemdError> {
        let mut body = Encoder::default();
        body.text(&self.unit);
        body.text("replace");
        let stopped = match bus.manager("StopUnit", "ss", body) {
            Err(SystemdError::Refused { name, .. }) if name.ends_with(".NoSuchUnit") => Ok(()),
            result => result.and_then(|answer| bus.finish(&self.unit, &answer)),
        };
        let mut body = Encoder::default();
        body.text(&self.unit);
        match bus.manager("ResetFailedUnit", "s", body) {
            Ok(_) | Err(SystemdError::Refused { .. }) => stopped,
            Err(error) => Err(error),
        }
    }
}

/// The properties for what is in the files that `new` would write.
fn properties_of(
    place: &Place,
    before: &Kept<'_>,
    new: &Limits,
) -> Result<Vec<Property<'static>>, SystemdError> {
    let limits = new.in_force(|file| place.text(file));
    let asked = Asked { limits: &limits, devices: None };
    let has_bfq = || place.text(io::BFQ_WEIGHT).is_some();
    let mut all = asked.properties(place.version(), |file| place.text(file), has_bfq)?;
    if let Some(list) = before.devices() {
        all.extend(properties::of_devices(&list).ok_or(SystemdError::DeniedDevices)?);
    }
    Ok(all)
}

/// What every scope is.
fn always() -> [Property<'static>; 7] {
    let is = |name| (name, Value::Bool(true));
    [
        ("DefaultDependencies", Value::Bool(false)),
        // One whose processes were killed for memory has failed, and would stay to be looked at.
        ("CollectMode", Value::Text("inactive-or-failed".to_owned())),
        is("Delegate"),
        is("MemoryAccounting"),
        is("CPUAccounting"),
        is("IOAccounting"),
        is("TasksAccounting"),
    ]
}

/// What a scope is asked to keep to.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Limits.
    pub limits: &'a Limits,
    /// Device rules, if there are any, which systemd is told on version 1 alone: it would allow all devices. On version 2 its own
    /// rules are beside those of others.
    pub devices: Option<&'a [Rule]>,
}

impl Asked<'_> {
    /// `now` tells what is in a file of a cgroup that is there, `has_bfq` whether there is one for the weights of BFQ.
    fn properties(
        &self,
        version: Hierarchy,
        now: impl Fn(&str) -> Option<String>,
        has_bfq: impl FnOnce() -> bool,
    ) -> Result<Vec<Property<'static>>, SystemdError> {
        if version == Hierarchy::V2 {
            return Ok(properties::of(&self.limits.writes, now, has_bfq)?);
        }
        let mut all = properties::of_v1(&self.limits.writes, now)?;
        if let Some(rules) = self.devices {
            let list = List::new(rules).map_err(CgroupError::from)?;
            all.extend(properties::of_devices(&list).ok_or(SystemdError::DeniedDevices)?);
        }
        Ok(all)
    }
}

/// A way into a scope: systemd moves processes there that this process may not.
#[derive(Debug)]
pub struct ScopeEntry {
    bus: RefCell<Bus>,
    unit: String,
    /// The cgroup below the scope's, with a slash in front.
    below: String,
}

impl ScopeEntry {
    /// Has systemd move a process in.
    ///
    /// # Errors
    /// systemd refuses.
    pub fn attach(&self, pid: i32) -> Result<(), SystemdError> {
        let mut body = Encoder::default();
        body.text(&self.unit);
        body.text(&self.below);
        body.numbers(&[pid.unsigned_abs()]);
        self.bus.borrow_mut().manager("AttachProcessesToUnit", "ssau", body).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_slice_is_in_those_that_its_name_begins_with() {
        let path = |path| Scope::new(Some(path), "ID", false).expect("a scope").path();
        assert_eq!(path(":husk:x"), Path::new("system.slice/husk-x.scope"));
        assert_eq!(path("a-b-c.slice:husk:x"), Path::new("a.slice/a-b.slice/a-b-c.slice/husk-x.scope"));
        assert_eq!(path("-:husk:x"), Path::new("husk-x.scope"));
    }

    #[test]
    fn the_three_parts_of_a_path() {
        let scope =
            |path: Option<&str>, user| Scope::new(path, "ID", user).map(|scope| (scope.slice, scope.unit));
        let parts = |slice: &str, unit: &str| (slice.to_owned(), unit.to_owned());
        assert_eq!(
            scope(Some("a-b.slice:cri:x"), false).expect("a scope"),
            parts("a-b.slice", "cri-x.scope")
        );
        assert_eq!(scope(Some(":libpod:x"), true).expect("a scope"), parts("user.slice", "libpod-x.scope"));
        assert_eq!(scope(Some("-:cri:x"), false).expect("a scope"), parts("-.slice", "cri-x.scope"));
        assert_eq!(scope(None, false).expect("a scope"), parts("system.slice", "husk-ID.scope"));
        for wrong in ["/a/b", "a:b", "a:b:c", "a.slice:b:", "a.slice:b:../c", "a.slice:b:c:d"] {
            let error = scope(Some(wrong), false).expect_err("an error").to_string();
            assert!(
                error.starts_with("linux.cgroupsPath: ") && error.contains("SLICE:PREFIX:NAME"),
                "{error}"
            );
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! `--userns`, `--share`, `--join`, the options of Docker and Podman that mean the same, and the clocks.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use husk_spec::{Given, Namespace, NamespaceKind, Namespaces, TimeOffset, TimeOffsets, UserNamespace};

use super::{Problem, Refused, absolute, clock};
use crate::caller::Caller;
use crate::cli::RunOptions;

const KINDS: &str = "the kinds are user pid net ipc uts cgroup time, and with --join mnt";

/// What was asked for each kind but the user namespace's own modes, and by which words.
type Chosen = BTreeMap<NamespaceKind, Given<Namespace>>;

pub(super) fn lower(options: &RunOptions, caller: &Caller) -> Result<Namespaces, Refused> {
    let mut chosen = Chosen::new();
    for kinds in &options.share {
        share(&mut chosen, kinds)?;
    }
    for join in &options.join {
        let (kind, path) = joined(join, caller).map_err(|problem| problem.of("--join", join))?;
        let words = format!("--join {}", kind.file_name());
        choose(&mut chosen, kind, Given::argument(Namespace::Join(path), words))?;
    }
    for (option, kind, value) in [
        ("--network", NamespaceKind::Network, &options.network),
        ("--pid", NamespaceKind::Pid, &options.pid),
        ("--ipc", NamespaceKind::Ipc, &options.ipc),
        ("--uts", NamespaceKind::Uts, &options.uts),
        ("--cgroupns", NamespaceKind::Cgroup, &options.cgroupns),
    ] {
        if let Some(value) = value {
            let namespace = mode(kind, value, caller).map_err(|problem| problem.of(option, value))?;
            let words = format!("{option} {}", value.to_string_lossy());
            choose(&mut chosen, kind, Given::argument(namespace, words))?;
        }
    }
    let user = user(options, chosen.remove(&NamespaceKind::User))?;
    let time_offsets = time_offsets(options)?;
    let time = time(chosen.remove(&NamespaceKind::Time), &time_offsets)?;
    if let (Some(pid), true) = (chosen.get(&NamespaceKind::Pid), options.init)
        && pid.value != Namespace::New
    {
        return Err(Problem::new("the pid namespace has a PID 1 already")
            .hint("leave one of the two out")
            .of_both("--init", &pid.origin.to_string()));
    }
    let mut take = |kind| {
        let new = || Given::default(Namespace::New, "a namespace of its own");
        chosen.remove(&kind).unwrap_or_else(new)
    };
    Ok(Namespaces {
        user,
        mount: take(NamespaceKind::Mount),
        pid: take(NamespaceKind::Pid),
        network: take(NamespaceKind::Network),
        ipc: take(NamespaceKind::Ipc),
        uts: take(NamespaceKind::Uts),
        cgroup: take(NamespaceKind::Cgroup),
        time,
        time_offsets,
        joined_maps: None,
    })
}

/// Whether the user namespace is the container's own, and owns its other new namespaces.
pub(super) fn owns_user_namespace(namespaces: &Namespaces) -> bool {
    !matches!(namespaces.user.value, UserNamespace::Host | UserNamespace::Join(_))
}

fn choose(chosen: &mut Chosen, kind: NamespaceKind, choice: Given<Namespace>) -> Result<(), Refused> {
    match chosen.get(&kind) {
        Some(earlier) if earlier.value != choice.value => {
            let why = format!("they say different things about the {} namespace", kind.file_name());
            Err(Problem::new(why)
                .hint("leave one of the two out")
                .of_both(&earlier.origin.to_string(), &choice.origin.to_string()))
        }
        Some(_) => Ok(()),
        None => {
            chosen.insert(kind, choice);
            Ok(())
        }
    }
}

fn share(chosen: &mut Chosen, kinds: &str) -> Result<(), Refused> {
    for word in kinds.split(',') {
        let kind = kind_of(word).map_err(|problem| problem.of("--share", kinds))?;
        if kind == NamespaceKind::Mount {
            return Err(Problem::new(
                "without a mount namespace of its own its mounts would be made on the host",
            )
            .hint("-v SRC:DST shows files of the host; --join mnt=PID enters another mount namespace")
            .of("--share", kinds));
        }
        choose(chosen, kind, Given::argument(Namespace::Host, format!("--share {word}")))?;
    }
    Ok(())
}

fn kind_of(word: &str) -> Result<NamespaceKind, Problem> {
    NamespaceKind::from_name(word)
        .ok_or_else(|| Problem::new(format!("{word:?} is no kind of namespace")).hint(KINDS))
}

fn joined(join: &OsStr, caller: &Caller) -> Result<(NamespaceKind, PathBuf), Problem> {
    let bytes = join.as_bytes();
    let form = || {
        Problem::new("it is KIND=PID or KIND=PATH")
            .hint("such as --join net=1234 or --join net=/run/netns/blue")
    };
    let equals = bytes.iter().position(|byte| *byte == b'=').ok_or_else(form)?;
    let kind = kind_of(&String::from_utf8_lossy(&bytes[..equals]))?;
    let target = OsStr::from_bytes(&bytes[equals + 1..]);
    if !target.is_empty() && target.as_bytes().iter().all(u8::is_ascii_digit) {
        let pid = target.to_str().and_then(|digits| digits.parse::<i32>().ok()).filter(|pid| *pid > 0);
        let pid = pid.ok_or_else(|| Problem::new("no process has this number"))?;
        return Ok((kind, PathBuf::from(format!("/proc/{pid}/ns/{}", kind.file_name()))));
    }
    if !target.as_bytes().contains(&b'/') {
        return Err(form());
    }
    Ok((kind, absolute(Path::new(target), caller)))
}

/// The value of `--network`, `--pid`, …, in the words of Docker and Podman.
fn mode(kind: NamespaceKind, value: &OsString, caller: &Caller) -> Result<Namespace, Problem> {
    let name = kind.file_name();
    let own = if kind == NamespaceKind::Network { "none" } else { "private" };
    if let Some(path) = value.as_bytes().strip_prefix(b"ns:") {
        return Ok(Namespace::Join(absolute(Path::new(OsStr::from_bytes(path)), caller)));
    }
    match value.to_str() {
        Some("host") => Ok(Namespace::Host),
        Some(word) if word == own => Ok(Namespace::New),
        Some(word) if word.starts_with("container:") => {
            Err(Problem::new("husk looks for processes, not for names of containers")
                .hint(format!("--join {name}=PID enters the namespace of a process")))
        }
        Some("bridge" | "pasta" | "slirp4netns") if kind == NamespaceKind::Network => {
            Err(Problem::new("husk connects containers to no network yet")
                .hint("none: loopback alone; host: the host's network"))
        }
        _ => Err(Problem::new(format!("the choice is {own} or host"))
            .hint(format!("--join {name}=PID enters the namespace of a process"))),
    }
}

fn user(options: &RunOptions, chosen: Option<Given<Namespace>>) -> Result<Given<UserNamespace>, Refused> {
    let mode = options.userns.as_deref().map(|mode| {
        let words = format!("--userns {mode}");
        match mode {
            "auto" => Ok(Given::argument(UserNamespace::Auto, words)),
            "single" => Ok(Given::argument(UserNamespace::Single, words)),
            "host" => Ok(Given::argument(UserNamespace::Host, words)),
            _ => Err(Problem::new("the choice is auto, single or host")
                .hint("--join user=PID enters the user namespace of a process")
                .of("--userns", mode)),
        }
    });
    let chosen = chosen.map(|chosen| {
        let value = match chosen.value {
            Namespace::Join(path) => UserNamespace::Join(path),
            Namespace::Host | Namespace::New => UserNamespace::Host,
        };
        Given { value, origin: chosen.origin }
    });
    match (mode.transpose()?, chosen) {
        (Some(mode), Some(chosen)) if mode.value != chosen.value => {
            Err(Problem::new("they say different things about the user namespace")
                .hint("leave one of the two out")
                .of_both(&mode.origin.to_string(), &chosen.origin.to_string()))
        }
        (Some(user), _) | (None, Some(user)) => Ok(user),
        (None, None) => Ok(Given::default(UserNamespace::Auto, "a user namespace of its own")),
    }
}

fn time_offsets(options: &RunOptions) -> Result<TimeOffsets, Refused> {
    let offset = |option: &str, value: &Option<String>| -> Result<Option<Given<TimeOffset>>, Refused> {
        let Some(value) = value else { return Ok(None) };
        let offset = clock::parse(value).map_err(|problem| problem.of(option, value))?;
        Ok(Some(Given::argument(offset, option)))
    };
    Ok(TimeOffsets {
        monotonic: offset("--monotonic", &options.monotonic)?,
        boottime: offset("--boottime", &options.boottime)?,
    })
}

/// A time namespace whose clocks are the host's changes nothing, but takes the slower way through every clock read of
/// the container (the vDSO's second page): there is one only if its clocks differ.
fn time(chosen: Option<Given<Namespace>>, offsets: &TimeOffsets) -> Result<Given<Namespace>, Refused> {
    let option = match offsets {
        TimeOffsets { monotonic: Some(_), .. } => Some("--monotonic"),
        TimeOffsets { boottime: Some(_), .. } => Some("--boottime"),
        _ => None,
    };
    match (chosen, option) {
        (None, None) => Ok(Given::default(Namespace::Host, "clocks: the host's")),
        (None, Some(option)) => Ok(Given::argument(Namespace::New, option)),
        (Some(chosen), None) => Ok(chosen),
        (Some(chosen), Some(option)) => Err(Problem::new("clocks can be set only in a new time namespace")
            .hint("leave one of the two out")
            .of_both(option, &chosen.origin.to_string())),
    }
}

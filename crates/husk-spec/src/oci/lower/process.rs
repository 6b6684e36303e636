// SPDX-License-Identifier: Apache-2.0
//! `process`.

use std::ffi::OsString;

use super::*;
use crate::oci;
use crate::{
    Capabilities, CapabilitySets, Environment, Grant, InvalidNumberSet, Labels, MemoryPolicy, NumberSet,
    Process, Rlimit, Scheduling, Stdio, Terminal, User,
};

/// What a `process` means, in `config.json` (where it stands at `path`) or in the file of an exec.
pub(super) fn lower(process: &oci::Process, path: &str) -> Result<Process, InvalidConfig> {
    let at = |field: &str| format!("{path}.{field}");
    if process.args.is_empty() {
        return Err(invalid(at("args"), "there is no command"));
    }
    let environment = process.env.iter().enumerate().map(|(index, variable)| {
        let path = at(&format!("env[{index}]"));
        let (name, value) = variable
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| invalid(path.clone(), format!("{variable:?} is not NAME=value")))?;
        Ok(Given::config(Environment { name: name.into(), value: value.into() }, path))
    });
    let user = User::Numeric {
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids.clone(),
    };
    let rlimits = process.rlimits.iter().enumerate().map(|(index, limit)| {
        let finite = |value: u64| (value != u64::MAX).then_some(value);
        let limit = Rlimit { resource: limit.kind, soft: finite(limit.soft), hard: finite(limit.hard) };
        Given::config(limit, at(&format!("rlimits[{index}]")))
    });
    let size = process.console_size.map(|size| (size.width, size.height));
    Ok(Process {
        args: Given::config(process.args.iter().map(OsString::from).collect(), at("args")),
        environment: environment.collect::<Result<_, _>>()?,
        working_directory: Some(Given::config(PathBuf::from(&process.cwd), at("cwd"))),
        make_working_directory: true,
        user: Given::config(user, at("user")),
        default_home: Some(PathBuf::from("/")),
        umask: process.user.umask,
        capabilities: Given::config(Grant::Sets(capabilities(process)), at("capabilities")),
        no_new_privileges: Given::config(process.no_new_privileges, at("noNewPrivileges")),
        seccomp: None,
        rlimits: rlimits.collect(),
        scheduling: scheduling(process, path),
        personality: None,
        labels: Labels {
            apparmor: text(&process.apparmor_profile, &at("apparmorProfile")),
            selinux: text(&process.selinux_label, &at("selinuxLabel")),
        },
        oom_score_adj: process.oom_score_adj.map(|value| Given::config(value, at("oomScoreAdj"))),
        keyring: None,
        preserved_descriptors: 0,
        init: None,
        terminal: Terminal {
            stdio: if process.terminal {
                vec![Stdio::Input, Stdio::Output, Stdio::Error]
            } else {
                Vec::new()
            },
            size: size.filter(|(columns, rows)| (*columns, *rows) != (0, 0)),
            inherit_settings: false,
        },
    })
}

fn text(value: &Option<String>, path: &str) -> Option<Given<String>> {
    value.as_ref().filter(|text| !text.is_empty()).map(|text| Given::config(text.clone(), path))
}

fn scheduling(process: &oci::Process, path: &str) -> Scheduling {
    let at = |field: &str| format!("{path}.{field}");
    Scheduling {
        scheduler: process.scheduler.clone().map(|value| Given::config(value, at("scheduler"))),
        io_priority: process.io_priority.map(|value| Given::config(value, at("ioPriority"))),
        ..Scheduling::default()
    }
}

/// What `linux` says about every process of a container.
pub(super) fn lower_linux(linux: &Linux, process: &mut Process) -> Result<(), InvalidConfig> {
    let personality = linux.personality.as_ref();
    process.personality = personality.map(|one| Given::config(one.domain, "linux.personality"));
    if let Some(policy) = &linux.memory_policy {
        let nodes = match policy.nodes.as_str() {
            "" => NumberSet::default(),
            list => numbers(list, "linux.memoryPolicy.nodes")?,
        };
        let policy = MemoryPolicy { mode: policy.mode, flags: policy.flags.clone(), nodes };
        process.scheduling.memory_policy = Some(Given::config(policy, "linux.memoryPolicy"));
    }
    Ok(())
}

/// The processors of an exec. As in runc, the first ones stay where no others come after.
pub(super) fn lower_affinity(process: &oci::Process, lowered: &mut Process) -> Result<(), InvalidConfig> {
    let Some(affinity) = &process.exec_cpu_affinity else { return Ok(()) };
    let list = |list: &Option<String>, name: &str| {
        let path = format!("process.execCPUAffinity.{name}");
        let set = list.as_ref().map(|list| Ok(Given::config(numbers(list, &path)?, path.clone())));
        set.transpose()
    };
    lowered.scheduling.first_processors = list(&affinity.initial, "initial")?;
    lowered.scheduling.processors = list(&affinity.last, "final")?;
    Ok(())
}

fn numbers(list: &str, path: &str) -> Result<NumberSet, InvalidConfig> {
    list.parse().map_err(|error: InvalidNumberSet| invalid(path, error.to_string()))
}

/// Names that this husk does not know are passed over: a newer kernel's capability is none that it could take away.
fn capabilities(process: &oci::Process) -> CapabilitySets {
    let Some(named) = &process.capabilities else { return CapabilitySets::default() };
    let set = oci::Capabilities::known_of;
    let (permitted, inheritable) = (set(&named.permitted), set(&named.inheritable));
    // The kernel lets nothing be ambient that is not both of these. Engines ask for it all the same, and expect no error.
    let can_be_ambient = permitted.bits() & inheritable.bits();
    let ambient = Capabilities::from_bits(set(&named.ambient).bits() & can_be_ambient);
    let (bounding, effective) = (set(&named.bounding), set(&named.effective));
    CapabilitySets { bounding, effective, permitted, inheritable, ambient }
}

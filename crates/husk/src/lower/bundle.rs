// SPDX-License-Identifier: Apache-2.0
//! What an OCI bundle means.

use std::path::PathBuf;

use husk_spec::oci::{Lowering, Spec, SystemdCgroup, validate};
use husk_spec::{Config, Lifetime, Stdio};

use super::{Lowered, Problem, Refused};
use crate::caller::{BundleFile, Caller};
use crate::cli::{Run, RunOptions};

/// An OCI bundle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bundle {
    /// Its directory. Absolute.
    pub(crate) directory: PathBuf,
    /// What its `config.json` says.
    pub(crate) spec: Spec,
}

/// Lowers a bundle to a container `name` that is attended to, as any of `husk run`.
///
/// # Errors
/// A `config.json` that makes no sense; says which field.
pub(crate) fn lower(
    file: &BundleFile,
    name: String,
    systemd_cgroup: SystemdCgroup,
    caller: &Caller,
) -> Result<Lowered, Refused> {
    let refused = |problem: &dyn std::fmt::Display| {
        Problem::new(format!("config.json: {problem}")).of("--bundle", &file.directory)
    };
    let spec = Spec::from_json(&file.config).map_err(|error| refused(&error))?;
    let warnings = validate(&spec).map_err(|error| refused(&error))?;
    let with = Lowering {
        id: &name,
        bundle: &file.directory,
        lifetime: Lifetime::Attached,
        no_pivot: false,
        no_new_keyring: false,
        systemd_cgroup,
        preserved_descriptors: 0,
    };
    let mut config = spec.lower(&with).map_err(|error| refused(&error))?;
    take_terminal(&mut config, caller);
    let notes = warnings.iter().map(|warning| format!("config.json: {}: {}", warning.path, warning.problem));
    let notes = notes.collect();
    Ok(Lowered { config, notes, bundle: Some(Bundle { directory: file.directory.clone(), spec }) })
}

/// A terminal that `process.terminal` asks for is all three of the standard streams, and looks like the caller's if there is one.
fn take_terminal(config: &mut Config, caller: &Caller) {
    let terminal = &mut config.process.terminal;
    if terminal.stdio.is_empty() {
        return;
    }
    terminal.stdio = vec![Stdio::Input, Stdio::Output, Stdio::Error];
    terminal.inherit_settings = true;
    terminal.size = caller.terminal_size.or(terminal.size);
}

/// Refuses what `config.json` says itself.
pub(super) fn refuse_others(run: &Run) -> Result<(), Refused> {
    let words =
        [("ROOTFS", run.rootfs.is_some(), "root.path"), ("COMMAND", !run.command.is_empty(), "process.args")];
    let set = words.into_iter().chain(options(&run.options)).find(|(_, is_set, _)| *is_set);
    let Some((word, _, field)) = set else { return Ok(()) };
    Err(Problem::new("a bundle says itself what its container is")
        .hint(format!("leave {word} out, and write it to config.json: {field}"))
        .of_both("--bundle", word))
}

/// Who is asked for the cgroup.
pub(super) fn systemd_cgroup(options: &RunOptions) -> SystemdCgroup {
    match options {
        RunOptions { systemd_cgroup: true, .. } => SystemdCgroup::Yes,
        RunOptions { no_systemd_cgroup: true, .. } => SystemdCgroup::No,
        _ => SystemdCgroup::ByForm,
    }
}

/// Refuses what is for bundles alone.
pub(super) fn refuse_without(options: &RunOptions) -> Result<(), Refused> {
    let option = match systemd_cgroup(options) {
        SystemdCgroup::Yes => "--systemd-cgroup",
        SystemdCgroup::No => "--no-systemd-cgroup",
        SystemdCgroup::ByForm => return Ok(()),
    };
    Err(Problem::new("this is about the cgroup that the config.json of a bundle asks for, and there is no bundle")
        .hint("name one with --bundle DIR; without, husk run makes its own cgroup: systemd-run --scope --slice NAME husk run ...")
        .of(option, ""))
}

/// The options that say what a container is, which of them are there, and the field of `config.json` that says the same.
fn options(options: &RunOptions) -> impl Iterator<Item = (&'static str, bool, &'static str)> {
    let RunOptions {
        name: _,
        bundle: _,
        systemd_cgroup: _,
        no_systemd_cgroup: _,
        hostname,
        init,
        explain: _,
        as_shell: _,
        quiet: _,
        rm: _,
        help: _,
        env,
        env_file,
        workdir,
        user,
        umask,
        ulimit,
        interactive: _,
        tty,
        volume,
        mount,
        tmpfs,
        device,
        read_only,
        ephemeral,
        chroot,
        userns,
        share,
        join,
        network,
        pid,
        ipc,
        uts,
        cgroupns,
        monotonic,
        boottime,
        sysctl,
        cap_add,
        cap_drop,
        allow_setuid,
        hardened,
        memory,
        memory_swap,
        memory_reservation,
        cpus,
        cpu_shares,
        cpuset_cpus,
        cpuset_mems,
        pids_limit,
        io_weight,
        device_read_bps,
        device_write_bps,
        device_read_iops,
        device_write_iops,
        cgroup_parent,
    } = options;
    let namespaces = "linux.namespaces";
    [
        ("--hostname", hostname.is_some(), "hostname"),
        ("--init", *init, "process.args, with an init of the root before the command"),
        ("--env", !env.is_empty(), "process.env"),
        ("--env-file", !env_file.is_empty(), "process.env"),
        ("--workdir", workdir.is_some(), "process.cwd"),
        ("--user", user.is_some(), "process.user"),
        ("--umask", umask.is_some(), "process.user.umask"),
        ("--ulimit", !ulimit.is_empty(), "process.rlimits"),
        ("--tty", *tty, "process.terminal"),
        ("--volume", !volume.is_empty(), "mounts"),
        ("--mount", !mount.is_empty(), "mounts"),
        ("--tmpfs", !tmpfs.is_empty(), "mounts"),
        ("--device", !device.is_empty(), "linux.devices"),
        ("--read-only", *read_only, "root.readonly"),
        ("--ephemeral", *ephemeral, "root.path, with an overlay there"),
        ("--chroot", *chroot, "root.path, on a file system that pivot_root(2) takes"),
        ("--userns", userns.is_some(), namespaces),
        ("--share", !share.is_empty(), namespaces),
        ("--join", !join.is_empty(), namespaces),
        ("--network", network.is_some(), namespaces),
        ("--pid", pid.is_some(), namespaces),
        ("--ipc", ipc.is_some(), namespaces),
        ("--uts", uts.is_some(), namespaces),
        ("--cgroupns", cgroupns.is_some(), namespaces),
        ("--monotonic", monotonic.is_some(), "linux.timeOffsets"),
        ("--boottime", boottime.is_some(), "linux.timeOffsets"),
        ("--sysctl", !sysctl.is_empty(), "linux.sysctl"),
        ("--cap-add", !cap_add.is_empty(), "process.capabilities"),
        ("--cap-drop", !cap_drop.is_empty(), "process.capabilities"),
        ("--allow-setuid", *allow_setuid, "process.noNewPrivileges"),
        ("--hardened", *hardened, "linux.maskedPaths and mounts"),
        ("--memory", memory.is_some(), "linux.resources.memory.limit"),
        ("--memory-swap", memory_swap.is_some(), "linux.resources.memory.swap"),
        ("--memory-reservation", memory_reservation.is_some(), "linux.resources.memory.reservation"),
        ("--cpus", cpus.is_some(), "linux.resources.cpu.quota"),
        ("--cpu-shares", cpu_shares.is_some(), "linux.resources.cpu.shares"),
        ("--cpuset-cpus", cpuset_cpus.is_some(), "linux.resources.cpu.cpus"),
        ("--cpuset-mems", cpuset_mems.is_some(), "linux.resources.cpu.mems"),
        ("--pids-limit", pids_limit.is_some(), "linux.resources.pids.limit"),
        ("--io-weight", io_weight.is_some(), "linux.resources.blockIO.weight"),
        ("--device-read-bps", !device_read_bps.is_empty(), "linux.resources.blockIO"),
        ("--device-write-bps", !device_write_bps.is_empty(), "linux.resources.blockIO"),
        ("--device-read-iops", !device_read_iops.is_empty(), "linux.resources.blockIO"),
        ("--device-write-iops", !device_write_iops.is_empty(), "linux.resources.blockIO"),
        ("--cgroup-parent", cgroup_parent.is_some(), "linux.cgroupsPath"),
    ]
    .into_iter()
}

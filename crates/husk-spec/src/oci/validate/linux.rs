// SPDX-License-Identifier: Apache-2.0
//! What `linux` holds beside namespaces.

use std::collections::BTreeMap;

use super::super::{
    Device, DeviceKind, DeviceRule, DeviceRuleKind, IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag,
    MemoryPolicyMode, NamespaceKind, NetDevice,
};
use super::namespaces::has;
use super::{Outcome, Warnings, id, inside, number_list, refuse, seccomp, text};

/// The highest numbers of a device (`include/linux/kdev_t.h`: 12 and 20 bits).
const MAX_MAJOR: i64 = 0xfff;
const MAX_MINOR: i64 = 0xf_ffff;

/// The bytes of a network device's name and its NUL (`include/uapi/linux/if.h`).
const IFNAMSIZ: usize = 16;

pub(super) fn check(linux: &Linux, warnings: &mut Warnings) -> Outcome {
    for (name, value) in [("cgroupsPath", &linux.cgroups_path), ("mountLabel", &linux.mount_label)] {
        value.as_ref().map_or(Ok(()), |value| text(&format!("linux.{name}"), value))?;
    }
    for (i, device) in linux.devices.iter().enumerate() {
        check_device(&format!("linux.devices[{i}]"), device, warnings)?;
    }
    if let Some(resources) = &linux.resources {
        for (i, rule) in resources.devices.iter().enumerate() {
            check_rule(&format!("linux.resources.devices[{i}]"), rule)?;
        }
    }
    net_devices(linux)?;
    hidden(linux, warnings)?;
    if let Some(personality) = linux.personality.as_ref().filter(|one| !one.flags.is_empty()) {
        let problem = format!("no flag is defined: {} ignored", personality.flags.join(", "));
        warnings.push("linux.personality.flags", problem);
    }
    linux.intel_rdt.as_ref().map_or(Ok(()), intel_rdt)?;
    linux.memory_policy.as_ref().map_or(Ok(()), memory_policy)?;
    linux.seccomp.as_ref().map_or(Ok(()), |profile| seccomp::check(profile, warnings))
}

fn check_device(at: &str, device: &Device, warnings: &mut Warnings) -> Outcome {
    inside(&format!("{at}.path"), &device.path, warnings)?;
    for (name, owner) in [("uid", device.uid), ("gid", device.gid)] {
        owner.map_or(Ok(()), |owner| id(&format!("{at}.{name}"), owner))?;
    }
    if device.kind == DeviceKind::Fifo {
        return Ok(());
    }
    for (name, number, most) in [("major", device.major, MAX_MAJOR), ("minor", device.minor, MAX_MINOR)] {
        if !(0..=most).contains(&number) {
            return refuse(format!("{at}.{name}"), format!("{number} is out of range: 0 to {most}"));
        }
    }
    Ok(())
}

fn check_rule(at: &str, rule: &DeviceRule) -> Outcome {
    if rule.access.is_empty() {
        return refuse(format!("{at}.access"), "missing: some of r (read), w (write) and m (make a node)");
    }
    let about_all = matches!(rule.kind, None | Some(DeviceRuleKind::All));
    if !about_all && !rule.access.bytes().all(|letter| b"rwm".contains(&letter)) {
        let problem = format!("{:?} is not made of r (read), w (write) and m (make a node)", rule.access);
        return refuse(format!("{at}.access"), problem);
    }
    for (name, number) in [("major", rule.major), ("minor", rule.minor)] {
        if let Some(number) = number.filter(|number| *number < -1) {
            return refuse(
                format!("{at}.{name}"),
                format!("{number} is out of range: from 0, or -1 for all"),
            );
        }
    }
    Ok(())
}

fn net_devices(linux: &Linux) -> Outcome {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    if !has(linux, NamespaceKind::Network) {
        return refuse(
            "linux.netDevices",
            "there is no network namespace to move them to: add one to linux.namespaces",
        );
    }
    let mut taken = BTreeMap::new();
    for (outside, NetDevice { name }) in &linux.net_devices {
        let path = format!("linux.netDevices.{outside}");
        device_name(&path, outside)?;
        name.as_ref().map_or(Ok(()), |name| device_name(&format!("{path}.name"), name))?;
        let inside = name.as_ref().unwrap_or(outside);
        // A name with %d is a pattern, for which the kernel finds a number.
        if inside.contains("%d") {
            continue;
        }
        if let Some(other) = taken.insert(inside, outside) {
            return refuse(path, format!("it would have the name {inside:?} inside, as {other:?} has"));
        }
    }
    Ok(())
}

/// The rules of `dev_valid_name` (`net/core/dev.c`).
fn device_name(path: &str, name: &str) -> Outcome {
    text(path, name)?;
    if name.is_empty() || name == "." || name == ".." {
        return refuse(path, format!("{name:?} is no name of a network device"));
    }
    if name.len() >= IFNAMSIZ {
        return refuse(path, format!("{name:?} is too long: at most {} bytes", IFNAMSIZ - 1));
    }
    let is_space = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    if let Some(bad) = name.chars().find(|c| matches!(c, '/' | ':') || is_space(*c)) {
        return refuse(path, format!("{name:?} has {bad:?}, which no network device's name can have"));
    }
    Ok(())
}

fn hidden(linux: &Linux, warnings: &mut Warnings) -> Outcome {
    for (name, list) in [("maskedPaths", &linux.masked_paths), ("readonlyPaths", &linux.readonly_paths)] {
        let at = format!("linux.{name}");
        if !list.is_empty() && !has(linux, NamespaceKind::Mount) {
            return refuse(at, "it would hide them on the host: add a mount namespace to linux.namespaces");
        }
        for (i, path) in list.iter().enumerate() {
            inside(&format!("{at}[{i}]"), path, warnings)?;
        }
    }
    Ok(())
}

fn intel_rdt(rdt: &IntelRdt) -> Outcome {
    let Some(class) = &rdt.clos_id else { return Ok(()) };
    text("linux.intelRdt.closID", class)?;
    if class == "." || class == ".." || class != "/" && class.contains('/') {
        let problem = format!(
            "{class:?} is no name of a directory in resctrl: without /, or / alone for the default class"
        );
        return refuse("linux.intelRdt.closID", problem);
    }
    Ok(())
}

/// The rules of `set_mempolicy(2)`.
fn memory_policy(policy: &MemoryPolicy) -> Outcome {
    use MemoryPolicyMode as Mode;
    let path = "linux.memoryPolicy.nodes";
    if policy.nodes.is_empty() {
        if !matches!(policy.mode, Mode::MpolDefault | Mode::MpolLocal | Mode::MpolPreferred) {
            return refuse(path, "missing: this mode needs nodes, such as 0-3,7");
        }
    } else {
        number_list(path, &policy.nodes)?;
        if matches!(policy.mode, Mode::MpolDefault | Mode::MpolLocal) {
            return refuse(path, "this mode takes no nodes: leave them out");
        }
    }
    let both = [MemoryPolicyFlag::MpolFStaticNodes, MemoryPolicyFlag::MpolFRelativeNodes];
    if both.iter().all(|flag| policy.flags.contains(flag)) {
        return refuse("linux.memoryPolicy.flags", "nodes are static or relative, not both");
    }
    Ok(())
}

// SPDX-License-Identifier: Apache-2.0
//! `memory`.

use husk_spec::oci::Memory;

use super::{LimitError, List, Missing, Problem, UsageCheck, error, set};

/// −1 in the configuration, and in the files of version 1.
const UNLIMITED: i64 = -1;

pub(super) fn writes(memory: &Memory, list: &mut List) -> Result<(), LimitError> {
    let limit = bytes(memory.limit, "memory.limit")?;
    let reservation = bytes(memory.reservation, "memory.reservation")?;
    let swap = bytes(memory.swap, "memory.swap")?;
    deprecated(memory, list);
    if list.is_v2() {
        only_v1(memory)?;
        v2(limit, swap, reservation, list)?;
        if memory.check_before_update == Some(true) {
            let known = |value: Option<i64>| value.and_then(|bytes| u64::try_from(bytes).ok());
            list.limits.check = Some(UsageCheck { limit: known(limit), swap: known(swap) });
        }
        return Ok(());
    }
    v1(memory, limit, swap, reservation, list)
}

/// A number of bytes or −1; 0 is none.
fn bytes(value: Option<i64>, field: &str) -> Result<Option<i64>, LimitError> {
    const RANGE: &str = "a number of bytes, or -1 for unlimited";
    match set(value) {
        Some(bytes) if bytes < UNLIMITED => {
            Err(error(field, Problem::Range { value: bytes.into(), range: RANGE }))
        }
        bytes => Ok(bytes),
    }
}

/// `memory.kmem.limit_in_bytes` has been without effect since Linux 5.16 (commit 58056f77502f).
fn deprecated(memory: &Memory, list: &mut List) {
    if memory.kernel.is_some_and(|bytes| bytes > 0) {
        list.ignore("memory.kernel", "the kernel has no limit of its own for kernel memory any more");
    }
}

fn v2(
    limit: Option<i64>,
    swap: Option<i64>,
    reservation: Option<i64>,
    list: &mut List,
) -> Result<(), LimitError> {
    if let Some(value) = swap_alone(limit, swap)? {
        // Where the kernel has no swap there is nothing to forbid, and nothing to allow.
        let missing = if value <= 0 { Missing::Skip } else { Missing::Refuse };
        let field = if swap.is_some() { "memory.swap" } else { "memory.limit" };
        list.push("memory.swap.max", or_max(value), field, missing);
    }
    if let Some(limit) = limit {
        list.require("memory.max", or_max(limit), "memory.limit");
    }
    if let Some(reservation) = reservation {
        list.require("memory.low", or_max(reservation), "memory.reservation");
    }
    Ok(())
}

/// The limit of swap alone, as version 2 has it, from that of memory and swap together.
fn swap_alone(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>, LimitError> {
    let contradiction = |text| Err(error("memory.swap", Problem::Contradiction(text)));
    match (limit, swap) {
        // As with version 1, where unlimited memory with a limit of both would be refused.
        (Some(UNLIMITED), None) | (_, Some(UNLIMITED)) => Ok(Some(UNLIMITED)),
        (_, None) => Ok(None),
        (Some(UNLIMITED), swap) => Ok(swap),
        (None, Some(_)) => {
            contradiction("it counts memory and swap together, and needs memory.limit beside it")
        }
        (Some(limit), Some(swap)) if swap < limit => {
            contradiction("it counts memory and swap together, and must not be less than memory.limit")
        }
        (Some(limit), Some(swap)) => Ok(Some(swap - limit)),
    }
}

fn or_max(value: i64) -> String {
    if value == UNLIMITED { "max".to_owned() } else { value.to_string() }
}

fn only_v1(memory: &Memory) -> Result<(), LimitError> {
    let refuse = |field, text| Err(error(field, Problem::OnlyV1(text)));
    if memory.kernel_tcp.is_some_and(|bytes| bytes > 0) {
        return refuse("memory.kernelTCP", "buffers count in memory.limit");
    }
    if memory.swappiness.is_some() {
        return refuse(
            "memory.swappiness",
            "limit swap itself with memory.swap, or set vm.swappiness on the host",
        );
    }
    if memory.disable_oom_killer == Some(true) {
        return refuse("memory.disableOOMKiller", "leave it out");
    }
    if memory.use_hierarchy == Some(false) {
        return refuse("memory.useHierarchy", "memory of cgroups below always counts: leave it out");
    }
    Ok(())
}

fn v1(
    memory: &Memory,
    limit: Option<i64>,
    swap: Option<i64>,
    reservation: Option<i64>,
    list: &mut List,
) -> Result<(), LimitError> {
    if let Some(limit) = limit {
        list.require("memory.limit_in_bytes", limit, "memory.limit");
    }
    match (limit, swap) {
        (_, Some(swap)) => list.require("memory.memsw.limit_in_bytes", swap, "memory.swap"),
        // Memory must not exceed memory and swap together: unlimited memory needs the other so, too.
        (Some(UNLIMITED), None) => {
            list.push("memory.memsw.limit_in_bytes", UNLIMITED, "memory.limit", Missing::Skip);
        }
        _ => {}
    }
    if let Some(bytes) = bytes(memory.kernel_tcp, "memory.kernelTCP")? {
        let missing = if bytes == UNLIMITED { Missing::Skip } else { Missing::Refuse };
        list.push("memory.kmem.tcp.limit_in_bytes", bytes, "memory.kernelTCP", missing);
    }
    if let Some(reservation) = reservation {
        list.require("memory.soft_limit_in_bytes", reservation, "memory.reservation");
    }
    if memory.disable_oom_killer == Some(true) {
        list.require("memory.oom_control", 1, "memory.disableOOMKiller");
    }
    if memory.use_hierarchy == Some(false) {
        let text = "memory of cgroups below always counts (since Linux 5.11): leave it out";
        return Err(error("memory.useHierarchy", Problem::Contradiction(text)));
    }
    swappiness(memory.swappiness, list)
}

fn swappiness(value: Option<u64>, list: &mut List) -> Result<(), LimitError> {
    /// −1 in Go, which is how "not set" was once said.
    const NOT_SET: u64 = u64::MAX;
    match value {
        None | Some(NOT_SET) => {}
        Some(value @ 0..=100) => list.require("memory.swappiness", value, "memory.swappiness"),
        Some(value) => {
            let problem = Problem::Range { value: value.into(), range: "0 to 100" };
            return Err(error("memory.swappiness", problem));
        }
    }
    Ok(())
}

// SPDX-License-Identifier: Apache-2.0
//! `cpu`: two controllers, `cpu` and `cpuset`.

use husk_spec::oci::Cpu;

use super::{LimitError, List, Problem, error, set};

/// What version 2 takes for the period where none is given (`cgroup-v2.rst`), in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// The shares that version 1 knows: `MIN_SHARES` and `MAX_SHARES` of the kernel's scheduler.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

pub(super) fn writes(cpu: &Cpu, list: &mut List) -> Result<(), LimitError> {
    check(cpu)?;
    if list.is_v2() {
        v2(cpu, list)?
    } else {
        v1(cpu, list)?
    }
    if !cpu.cpus.is_empty() {
        list.require("cpuset.cpus", &cpu.cpus, "cpu.cpus");
    }
    if !cpu.mems.is_empty() {
        list.require("cpuset.mems", &cpu.mems, "cpu.mems");
    }
    Ok(())
}

/// What the kernel refuses with EINVAL, without a word which of the files it was about.
fn check(cpu: &Cpu) -> Result<(), LimitError> {
    if let (Some(burst), Some(quota @ 1..)) = (cpu.burst, cpu.quota)
        && burst > quota.unsigned_abs()
    {
        return Err(error("cpu.burst", Problem::Contradiction("it must not exceed cpu.quota")));
    }
    match cpu.idle {
        None | Some(0) => Ok(()),
        Some(1) if set(cpu.shares).is_none() => Ok(()),
        Some(1) => {
            let text = "a group that runs only when nothing else does has no share: leave out cpu.shares";
            Err(error("cpu.idle", Problem::Contradiction(text)))
        }
        Some(value) => Err(error("cpu.idle", Problem::Range { value: value.into(), range: "0 or 1" })),
    }
}

fn v2(cpu: &Cpu, list: &mut List) -> Result<(), LimitError> {
    for (is_set, field) in [
        (set(cpu.realtime_runtime).is_some(), "cpu.realtimeRuntime"),
        (set(cpu.realtime_period).is_some(), "cpu.realtimePeriod"),
    ] {
        if is_set {
            return Err(error(
                field,
                Problem::OnlyV1("real-time processes cannot be limited by group there"),
            ));
        }
    }
    if let Some(idle) = cpu.idle {
        list.require("cpu.idle", idle, "cpu.idle");
    }
    if let Some(shares) = set(cpu.shares) {
        list.require("cpu.weight", weight(shares), "cpu.shares");
    }
    let (quota, period) = (set(cpu.quota), set(cpu.period));
    if quota.is_some() || period.is_some() {
        let quota_word = quota.filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
        let field = if quota.is_some() { "cpu.quota" } else { "cpu.period" };
        list.require("cpu.max", format!("{quota_word} {}", period.unwrap_or(DEFAULT_PERIOD)), field);
    }
    if let Some(burst) = cpu.burst {
        list.require("cpu.max.burst", burst, "cpu.burst");
    }
    Ok(())
}

/// Shares of version 1 (2 to 262144, 1024 by default) as a weight of version 2 (1 to 10000, 100 by default): a curve
/// through these three points, as runc has it since 1.3.2 and crun since 1.23 (opencontainers/runc#4785). The straight
/// line of before made of the default a weight of 39.
fn weight(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

fn v1(cpu: &Cpu, list: &mut List) -> Result<(), LimitError> {
    if let Some(period) = set(cpu.realtime_period) {
        list.require("cpu.rt_period_us", period, "cpu.realtimePeriod");
    }
    if let Some(runtime) = set(cpu.realtime_runtime) {
        list.require("cpu.rt_runtime_us", runtime, "cpu.realtimeRuntime");
    }
    if let Some(shares) = set(cpu.shares) {
        // The kernel would take it and use the nearest.
        if !SHARES.contains(&shares) {
            let problem = Problem::Range { value: shares.into(), range: "2 to 262144" };
            return Err(error("cpu.shares", problem));
        }
        list.require("cpu.shares", shares, "cpu.shares");
    }
    if let Some(period) = set(cpu.period) {
        list.require("cpu.cfs_period_us", period, "cpu.period");
    }
    if let Some(quota) = set(cpu.quota) {
        list.require("cpu.cfs_quota_us", quota, "cpu.quota");
    }
    if let Some(burst) = cpu.burst {
        list.require("cpu.cfs_burst_us", burst, "cpu.burst");
    }
    if let Some(idle) = cpu.idle {
        list.require("cpu.idle", idle, "cpu.idle");
    }
    Ok(())
}

// SPDX-License-Identifier: Apache-2.0
//! Limits as properties of a unit (`systemd.resource-control(5)`, `org.freedesktop.systemd1(5)`). Pure.

use super::wire::{Property, Value};
use crate::limits::Write;

/// A value that systemd cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {value:?} is not a value of {file}")]
pub struct SystemdPropertyError {
    /// The field.
    pub origin: String,
    /// The file of version 2.
    pub file: String,
    /// What was to be written there.
    pub value: String,
}

/// What no limit is.
pub(super) const INFINITY: u64 = u64::MAX;

/// Microseconds that make a percent of a second: systemd keeps quotas in percent.
pub(super) const PERCENT: u64 = 10_000;

/// The properties for files of version 2. systemd knows not all of them: the others keep what is written into them, because
/// the scope is delegated.
pub(super) fn of(writes: &[Write]) -> Result<Vec<Property<'static>>, SystemdPropertyError> {
    let mut properties = Vec::new();
    let is_idle = writes.iter().any(|write| write.file == "cpu.idle" && write.value == "1");
    for write in writes {
        let wrong = || SystemdPropertyError {
            origin: write.origin.clone(),
            file: write.file.clone(),
            value: write.value.clone(),
        };
        let number = || limit(&write.value).ok_or_else(wrong);
        match write.file.as_str() {
            "memory.max" => properties.push(("MemoryMax", Value::Number(number()?))),
            "memory.high" => properties.push(("MemoryHigh", Value::Number(number()?))),
            "memory.low" => properties.push(("MemoryLow", Value::Number(number()?))),
            "memory.min" => properties.push(("MemoryMin", Value::Number(number()?))),
            "memory.swap.max" => properties.push(("MemorySwapMax", Value::Number(number()?))),
            // 0 is no value there.
            "pids.max" => properties.push(("TasksMax", Value::Number(number()?.max(1)))),
            "cpu.weight" if !is_idle => properties.push(("CPUWeight", Value::Number(number()?))),
            // Since systemd 252, 0 means idle.
            "cpu.idle" if is_idle => properties.push(("CPUWeight", Value::Number(0))),
            "cpu.max" => properties.extend(quota(&write.value).ok_or_else(wrong)?),
            "cpuset.cpus" => {
                properties.push(("AllowedCPUs", Value::Bytes(bits(&write.value).ok_or_else(wrong)?)));
            }
            "cpuset.mems" => {
                properties.push(("AllowedMemoryNodes", Value::Bytes(bits(&write.value).ok_or_else(wrong)?)));
            }
            _ => {}
        }
    }
    Ok(properties)
}

fn limit(value: &str) -> Option<u64> {
    match value.trim() {
        "max" => Some(INFINITY),
        number => number.parse().ok(),
    }
}

/// `QUOTA PERIOD` as microseconds a second, rounded up to what systemd can keep, so that it never holds back more than was
/// asked; the file gets the exact value.
fn quota(value: &str) -> Option<[Property<'static>; 2]> {
    let mut words = value.split_ascii_whitespace();
    let quota = limit(words.next()?)?;
    let period: u64 = words.next().map_or(Some(100_000), |word| word.parse().ok())?;
    let second = match quota {
        INFINITY => INFINITY,
        quota => quota.checked_mul(1_000_000)?.checked_div(period)?.next_multiple_of(PERCENT),
    };
    Some([("CPUQuotaPeriodUSec", Value::Number(period)), ("CPUQuotaPerSecUSec", Value::Number(second))])
}

/// `0-2,7` as a field of bits, the lowest first.
fn bits(list: &str) -> Option<Vec<u8>> {
    /// More than any kernel has processors.
    const MOST: usize = 1 << 16;
    let mut bytes = Vec::new();
    for part in list.trim().split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last < first || last >= MOST {
            return None;
        }
        for bit in first..=last {
            bytes.resize(bytes.len().max(bit / 8 + 1), 0);
            bytes[bit / 8] |= 1 << (bit % 8);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Hierarchy, files};
    use husk_spec::oci::Resources;

    fn properties(resources: serde_json::Value) -> Result<Vec<Property<'static>>, SystemdPropertyError> {
        let resources: Resources = serde_json::from_value(resources).expect("resources");
        of(&files(&resources, Hierarchy::V2).expect("limits").writes)
    }

    #[test]
    fn limits_that_systemd_knows() {
        let found = properties(serde_json::json!({
            "memory": { "limit": 64, "swap": 96, "reservation": -1 },
            "cpu": { "shares": 1024, "quota": 12_345, "period": 50_000, "cpus": "0-2,9", "mems": "1" },
            "pids": { "limit": 0 },
            "unified": { "memory.high": "5", "memory.oom.group": "1" },
        }));
        let number = Value::Number;
        let expected = [
            ("TasksMax", number(1)),
            ("MemorySwapMax", number(32)),
            ("MemoryMax", number(64)),
            ("MemoryLow", number(u64::MAX)),
            ("CPUWeight", number(100)),
            ("CPUQuotaPeriodUSec", number(50_000)),
            ("CPUQuotaPerSecUSec", number(250_000)),
            ("AllowedCPUs", Value::Bytes(vec![0b111, 0b10])),
            ("AllowedMemoryNodes", Value::Bytes(vec![0b10])),
            ("MemoryHigh", number(5)),
        ];
        assert_eq!(found.expect("properties"), expected);
    }

    #[test]
    fn no_quota_and_idle() {
        let found = properties(serde_json::json!({ "cpu": { "quota": -1, "idle": 1 } })).expect("properties");
        let expected = [
            ("CPUWeight", Value::Number(0)),
            ("CPUQuotaPeriodUSec", Value::Number(100_000)),
            ("CPUQuotaPerSecUSec", Value::Number(u64::MAX)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_value_is_named() {
        let error = properties(serde_json::json!({ "cpu": { "cpus": "3-1" } })).expect_err("an error");
        assert_eq!(error.to_string(), "linux.resources.cpu.cpus: \"3-1\" is not a value of cpuset.cpus");
        assert!(properties(serde_json::json!({ "cpu": { "cpus": "0-99999999" } })).is_err());
    }
}

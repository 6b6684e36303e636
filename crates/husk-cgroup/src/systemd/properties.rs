// SPDX-License-Identifier: Apache-2.0
//! Limits as properties of a unit (`systemd.resource-control(5)`, `org.freedesktop.systemd1(5)`). Pure.

use super::io;
use super::wire::{Property, Value};
use crate::device::Kind;
use crate::device::v1::List;
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

/// The files that systemd writes of a scope, of either version.
pub(super) const FILES: [&str; 17] = [
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.max",
    "memory.zswap.max",
    "memory.limit_in_bytes",
    "pids.max",
    "cpu.weight",
    "cpu.max",
    "cpu.shares",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "io.weight",
    "io.bfq.weight",
    "blkio.weight",
    "blkio.bfq.weight",
];

/// What no limit is.
pub(super) const INFINITY: u64 = u64::MAX;

/// Microseconds that make a percent of a second: systemd keeps quotas in percent.
pub(super) const PERCENT: u64 = 10_000;

/// What systemd has been able to be told since some version: the property, the value if it is not any, the version.
const SINCE: [(&str, Option<Value>, u32); 2] =
    [("CPUWeight", Some(IDLE), 252), ("MemoryZSwapMax", None, 253)];

/// The weight of what runs only when nothing else does.
const IDLE: Value = Value::Number(0);

/// The version from which on systemd can be told the property, if that is one to ask it for.
pub(super) fn since(name: &str, value: &Value) -> Option<u32> {
    let is_it = |(known, of, _): &&(&str, Option<Value>, u32)| {
        *known == name && of.as_ref().is_none_or(|of| of == value)
    };
    SINCE.iter().find(is_it).map(|(_, _, version)| *version)
}

/// The properties for files of version 2. systemd knows not all of them: the others keep what is written into them, because
/// the scope is delegated. `now` tells what is in a file of a cgroup that is there already, `has_bfq` whether new ones have
/// `io.bfq.weight`.
pub(super) fn of(
    writes: &[Write],
    now: impl Fn(&str) -> Option<String>,
    has_bfq: impl FnOnce() -> bool,
) -> Result<Vec<Property<'static>>, SystemdPropertyError> {
    /// A new cgroup's weight, which is also that of one that is not idle any more (`cgroup-v2.rst`).
    const WEIGHT: Value = Value::Number(100);
    let mut properties = io::properties(writes, &now, has_bfq);
    let has_weight = writes.iter().any(|write| write.file == "cpu.weight");
    let was_idle = || now("cpu.idle").is_some_and(|text| text.trim() == "1");
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
            "cpu.idle" if is_idle => properties.push(("CPUWeight", IDLE)),
            "cpu.idle" if !has_weight && was_idle() => properties.push(("CPUWeight", WEIGHT)),
            "memory.zswap.max" => properties.push(("MemoryZSwapMax", Value::Number(number()?))),
            "cpu.max" => properties.extend(quota(&write.value).ok_or_else(wrong)?),
            "cpuset.cpus" => {
                properties.push(("AllowedCPUs", Value::Bytes(set(&write.value).ok_or_else(wrong)?)));
            }
            "cpuset.mems" => {
                properties.push(("AllowedMemoryNodes", Value::Bytes(set(&write.value).ok_or_else(wrong)?)));
            }
            _ => {}
        }
    }
    Ok(properties)
}

/// The same for files of version 1. systemd is told quota and period together, since it would work out the other one anew: what is
/// not among the writes is what `now` says of the file.
pub(super) fn of_v1(
    writes: &[Write],
    now: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Property<'static>>, SystemdPropertyError> {
    /// A new cgroup's quota and period (`sched-bwc.rst`).
    const BANDWIDTH: [(&str, &str); 2] = [("cpu.cfs_quota_us", "-1"), ("cpu.cfs_period_us", "100000")];
    let wrong = |write: &Write| SystemdPropertyError {
        origin: write.origin.clone(),
        file: write.file.clone(),
        value: write.value.clone(),
    };
    let mut properties = Vec::new();
    for write in writes {
        let number = || limit(&write.value).map(Value::Number).ok_or_else(|| wrong(write));
        match write.file.as_str() {
            "memory.limit_in_bytes" if is_none(&write.value) => {
                properties.push(("MemoryLimit", Value::Number(INFINITY)));
            }
            "memory.limit_in_bytes" => properties.push(("MemoryLimit", number()?)),
            // 0 is no value there.
            "pids.max" if write.value == "0" => properties.push(("TasksMax", Value::Number(1))),
            "pids.max" => properties.push(("TasksMax", number()?)),
            "cpu.shares" => properties.push(("CPUShares", number()?)),
            "blkio.weight" => properties.push(("BlockIOWeight", number()?)),
            _ => {}
        }
    }
    let is_bandwidth = |write: &&Write| BANDWIDTH.iter().any(|(file, _)| write.file == *file);
    if let Some(write) = writes.iter().find(is_bandwidth) {
        let both = BANDWIDTH.map(|(file, default)| {
            let written = writes.iter().find(|write| write.file == file).map(|write| write.value.clone());
            written.or_else(|| now(file)).unwrap_or_else(|| default.to_owned())
        });
        properties.extend(quota(&both.join(" ")).ok_or_else(|| wrong(write))?);
    }
    Ok(properties)
}

/// The properties for devices of version 1; `None` if what is not allowed is a part of what is, which systemd cannot be told. It
/// cannot be told either of one number of a device whatever the other: that is left to the file.
pub(super) fn of_devices(list: &List) -> Option<Vec<Property<'static>>> {
    let pairs = list.allowed()?.into_iter().filter_map(|((kind, major, minor), access)| {
        let word = match kind {
            Kind::Block => "block",
            Kind::Character => "char",
        };
        let devices = match (major, minor) {
            (Some(major), Some(minor)) => format!("/dev/{word}/{major}:{minor}"),
            (Some(major), None) => format!("{word}-{major}"),
            (None, None) => format!("{word}-*"),
            (None, Some(_)) => return None,
        };
        Some((devices, access.to_string()))
    });
    Some(vec![
        ("DevicePolicy", Value::Text("strict".to_owned())),
        // What comes is added to what was, but for an empty list.
        ("DeviceAllow", Value::Pairs(Vec::new())),
        ("DeviceAllow", Value::Pairs(pairs.collect())),
    ])
}

pub(super) fn limit(value: &str) -> Option<u64> {
    match value.trim() {
        "max" | "-1" => Some(INFINITY),
        number => number.parse().ok(),
    }
}

/// Whether version 1 shows no limit of memory: the largest number of whole pages (`PAGE_COUNTER_MAX`), of 64 KiB at most.
fn is_none(value: &str) -> bool {
    value.parse().is_ok_and(|bytes: i64| bytes >= i64::MAX & !0xffff)
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

/// As [`bits`]; nothing for a file that is empty, as it is where there is no limit.
fn set(list: &str) -> Option<Vec<u8>> {
    if list.is_empty() { Some(Vec::new()) } else { bits(list) }
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
        of(&files(&resources, Hierarchy::V2).expect("limits").writes, |_| None, || false)
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
    fn idle_no_more_is_told_once() {
        let told = |cpu, idle: &str| {
            let resources: Resources =
                serde_json::from_value(serde_json::json!({ "cpu": cpu })).expect("resources");
            let now = |file: &str| (file == "cpu.idle").then(|| idle.to_owned());
            of(&files(&resources, Hierarchy::V2).expect("limits").writes, now, || false).expect("properties")
        };
        let weight = |weight| [("CPUWeight", Value::Number(weight))];
        assert_eq!(told(serde_json::json!({ "idle": 0 }), "1\n"), weight(100));
        assert_eq!(told(serde_json::json!({ "idle": 0 }), "0\n"), []);
        assert_eq!(told(serde_json::json!({ "idle": 0, "shares": 512 }), "1\n"), weight(59));
        assert_eq!(told(serde_json::json!({ "idle": 1 }), "0\n"), weight(0));
    }

    #[test]
    fn some_properties_are_younger_than_others() {
        assert_eq!(since("CPUWeight", &IDLE), Some(252));
        assert_eq!(since("CPUWeight", &Value::Number(100)), None);
        assert_eq!(since("MemoryZSwapMax", &Value::Number(5)), Some(253));
        assert_eq!(since("MemoryMax", &Value::Number(0)), None);
    }

    fn properties_of_v1(resources: serde_json::Value, now: &[(&str, &str)]) -> Vec<Property<'static>> {
        let resources: Resources = serde_json::from_value(resources).expect("resources");
        let writes = files(&resources, Hierarchy::V1).expect("limits").writes;
        let now = |file: &str| now.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned());
        of_v1(&writes, now).expect("properties")
    }

    #[test]
    fn limits_of_version_1_that_systemd_knows() {
        let found = properties_of_v1(
            serde_json::json!({
                "memory": { "limit": 64, "swap": 96, "reservation": 32 },
                "cpu": { "shares": 1024, "quota": 12_345, "period": 50_000, "cpus": "0-2", "idle": 0 },
                "blockIO": { "weight": 300 },
                "pids": { "limit": 0 },
            }),
            &[],
        );
        let number = Value::Number;
        let expected = [
            ("TasksMax", number(1)),
            ("MemoryLimit", number(64)),
            ("BlockIOWeight", number(300)),
            ("CPUShares", number(1024)),
            ("CPUQuotaPeriodUSec", number(50_000)),
            ("CPUQuotaPerSecUSec", number(250_000)),
        ];
        assert_eq!(found, expected);
        let unlimited = serde_json::json!({ "memory": { "limit": -1 }, "pids": { "limit": -1 } });
        let expected = [("TasksMax", number(u64::MAX)), ("MemoryLimit", number(u64::MAX))];
        assert_eq!(properties_of_v1(unlimited, &[]), expected);
    }

    #[test]
    fn what_the_kernel_shows_as_no_limit_is_told_as_none() {
        let limits = |resources: serde_json::Value, hierarchy| {
            let resources: Resources = serde_json::from_value(resources).expect("resources");
            files(&resources, hierarchy).expect("limits")
        };
        let some = serde_json::json!({ "memory": { "limit": 64 }, "pids": { "limit": 5 }, "cpu": { "quota": 5000 } });
        let shown = |file: &str| {
            let text = match file {
                "memory.limit_in_bytes" => "9223372036854771712\n",
                "cpu.cfs_quota_us" => "-1\n",
                "cpu.max" => "max 100000\n",
                _ => "max\n",
            };
            Some(text.to_owned())
        };
        let number = Value::Number;
        let quota = [("CPUQuotaPeriodUSec", number(100_000)), ("CPUQuotaPerSecUSec", number(INFINITY))];
        for (hierarchy, memory) in [(Hierarchy::V1, "MemoryLimit"), (Hierarchy::V2, "MemoryMax")] {
            let now = limits(some.clone(), hierarchy).in_force(shown);
            let told = match hierarchy {
                Hierarchy::V1 => of_v1(&now.writes, |_| None),
                Hierarchy::V2 => of(&now.writes, |_| None, || false),
            };
            let mut expected = vec![("TasksMax", number(INFINITY)), (memory, number(INFINITY))];
            expected.extend(quota.clone());
            assert_eq!(told.expect("properties"), expected, "{hierarchy:?}");
        }
        let cpus = limits(serde_json::json!({ "cpu": { "cpus": "1", "idle": 1 } }), Hierarchy::V2);
        let now = cpus.in_force(|file| match file {
            "cpu.weight" => Some("77\n".to_owned()),
            "cpu.shares" => None,
            "cpuset.cpus" => Some("\n".to_owned()),
            _ => Some("0\n".to_owned()),
        });
        let expected = [("CPUWeight", number(77)), ("AllowedCPUs", Value::Bytes(Vec::new()))];
        assert_eq!(of(&now.writes, |_| None, || false).expect("properties"), expected);

        let device = |minor: i64| serde_json::json!({ "major": 8, "minor": minor, "rate": 5 });
        let rates = serde_json::json!({ "blockIO": { "throttleReadBpsDevice": [device(0), device(16)] } });
        let now = limits(rates, Hierarchy::V2).in_force(|_| {
            Some(
                "8:0 rbps=7 wbps=max riops=max wiops=max\n8:32 rbps=1 wbps=max riops=max wiops=max\n"
                    .to_owned(),
            )
        });
        let values: Vec<_> = now.writes.iter().map(|write| write.value.as_str()).collect();
        let expected =
            ["8:0 rbps=7 wbps=max riops=max wiops=max", "8:16 rbps=max wbps=max riops=max wiops=max"];
        assert_eq!(values, expected);
    }

    #[test]
    fn quota_and_period_of_version_1_are_told_together() {
        let found = |cpu, now: &[(&str, &str)]| {
            let found = properties_of_v1(serde_json::json!({ "cpu": cpu }), now);
            let number =
                |name| found.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
            [number("CPUQuotaPeriodUSec"), number("CPUQuotaPerSecUSec")]
        };
        let both = |period, second| [Some(Value::Number(period)), Some(Value::Number(second))];
        let period = || serde_json::json!({ "period": 20_000 });
        let quota = || serde_json::json!({ "quota": 10_000 });
        assert_eq!(found(period(), &[]), both(20_000, u64::MAX));
        assert_eq!(found(quota(), &[]), both(100_000, 100_000));
        let now = [("cpu.cfs_quota_us", "5000\n"), ("cpu.cfs_period_us", "50000\n")];
        assert_eq!(found(period(), &now), both(20_000, 250_000));
        assert_eq!(found(quota(), &now), both(50_000, 200_000));
        assert_eq!(found(serde_json::json!({ "shares": 2 }), &now), [None, None]);
    }

    #[test]
    fn devices_that_systemd_is_told_of() {
        let told = |content| of_devices(&List::read(content).unwrap_or_else(List::open));
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = |(one, other): &(&str, &str)| ((*one).to_owned(), (*other).to_owned());
            Some(vec![
                ("DevicePolicy", Value::Text("strict".to_owned())),
                ("DeviceAllow", Value::Pairs(Vec::new())),
                ("DeviceAllow", Value::Pairs(pairs.iter().map(owned).collect())),
            ])
        };
        let some = "b 8:0 r\nb *:* m\nc 1:3 rwm\nc 136:* rw\nc *:5 rwm\n";
        let expected =
            [("block-*", "m"), ("/dev/block/8:0", "r"), ("/dev/char/1:3", "rwm"), ("char-136", "rw")];
        assert_eq!(told(some), pairs(&expected));
        assert_eq!(told(""), pairs(&[]));
        assert_eq!(told("a *:* rwm\n"), pairs(&[("block-*", "rwm"), ("char-*", "rwm")]));
        let rule = |allow, major: Option<u32>| crate::device::Rule {
            allow,
            kind: Some(Kind::Character).filter(|_| major.is_some()),
            major,
            minor: None,
            access: crate::device::Access::parse("rwm").expect("letters"),
        };
        let list = List::new(&[rule(true, None), rule(false, Some(1))]).expect("a list");
        assert_eq!(of_devices(&list), None);
    }

    #[test]
    fn what_is_no_value_is_named() {
        let error = properties(serde_json::json!({ "cpu": { "cpus": "3-1" } })).expect_err("an error");
        assert_eq!(error.to_string(), "linux.resources.cpu.cpus: \"3-1\" is not a value of cpuset.cpus");
        assert!(properties(serde_json::json!({ "cpu": { "cpus": "0-99999999" } })).is_err());
    }
}

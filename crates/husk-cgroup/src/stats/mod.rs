// SPDX-License-Identifier: Apache-2.0
//! Statistics of a container, in one shape for both versions: the `data` of runc's `events --stats` (its `types/events.go`),
//! which containerd and Podman parse. What a version does not tell is 0 or left out, as there.

mod v1;
mod v2;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::error::CgroupError;
use crate::file;
use crate::limits::Hierarchy;
use crate::place::Place;

/// What a container uses, and has used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processors.
    pub cpu: Cpu,
    /// Which processors and memory nodes (version 1).
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages, by size.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Intel's resource director, which is no cgroup: empty here.
    pub intel_rdt: BTreeMap<String, String>,
    /// Always `null`: runc knows only interfaces that it made itself.
    pub network_interfaces: (),
}

/// Processors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// What the quota has held back.
    pub throttling: Throttling,
    /// Time that processes waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    /// In all.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// On each processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// On each processor, in the kernel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// On each processor, in programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// What the quota has held back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods in which something ran.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Periods in which the quota was used up.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Pressure stall information (`accounting/psi.rst`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Time in which at least one process waited.
    pub some: PressureLine,
    /// Time in which all did.
    pub full: PressureLine,
}

/// A line of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PressureLine {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last five minutes.
    pub avg300: f64,
    /// Microseconds.
    pub total: u64,
}

/// A cpuset of version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are those of its files")]
pub struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Of it, cached files.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// Memory.
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    /// Of the kernel (version 1).
    pub kernel: MemoryEntry,
    /// Of the kernel, for TCP (version 1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Time that processes waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One count of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryEntry {
    /// At most; the largest number is unlimited.
    pub limit: u64,
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there was.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit (version 1).
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// At most; 0 is unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are those of the files of version 1")]
pub struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A count of one kind of operation on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlkioEntry {
    /// The major number.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// The minor number.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// How much.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hugetlb {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there was (version 1).
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Place {
    /// Reads the statistics. What cannot be read, because the controller is not there, is 0.
    ///
    /// # Errors
    /// The container's cgroups are gone.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        if !self.exists() {
            let path = self.directories().first().map(|directory| directory.path.as_path());
            let path = path.unwrap_or(Path::new("/sys/fs/cgroup"));
            return Err(CgroupError::call("reading", path)(rustix::io::Errno::NOENT));
        }
        Ok(match self.version() {
            Hierarchy::V1 => v1::stats(self),
            Hierarchy::V2 => self.v2().map(|directory| v2::stats(&directory.path)).unwrap_or_default(),
        })
    }
}

fn text(directory: &Path, name: &str) -> String {
    file::read(&directory.join(name)).unwrap_or_default()
}

fn number(directory: &Path, name: &str) -> u64 {
    file::number(&directory.join(name)).unwrap_or(0)
}

/// `max` is 0 there.
fn pids_limit(directory: &Path) -> u64 {
    text(directory, "pids.max").trim().parse().unwrap_or(0)
}

fn pairs(text: &str) -> BTreeMap<String, u64> {
    file::pairs(text).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The sizes of huge pages that the kernel has, as cgroups name them.
fn page_sizes() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    entries.filter_map(|entry| page_size(entry.file_name().to_str()?)).collect()
}

/// `hugepages-2048kB` is `2MB`.
fn page_size(name: &str) -> Option<String> {
    let kilobytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kilobytes {
        1_048_576.. => format!("{}GB", kilobytes >> 20),
        1024.. => format!("{}MB", kilobytes >> 10),
        _ => format!("{kilobytes}KB"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_that_engines_parse() {
        let stats = Stats {
            cpu: Cpu {
                usage: CpuUsage { total: 5, kernel: 2, user: 3, ..CpuUsage::default() },
                ..Cpu::default()
            },
            pids: Pids { current: 1, limit: 0 },
            ..Stats::default()
        };
        let json = serde_json::to_value(&stats).expect("JSON");
        assert_eq!(json["cpu"]["usage"], serde_json::json!({"total": 5, "kernel": 2, "user": 3}));
        assert_eq!(json["cpu"]["throttling"], serde_json::json!({}));
        assert_eq!(json["pids"], serde_json::json!({"current": 1}));
        assert_eq!(json["memory"]["kernelTCP"], serde_json::json!({"limit": 0, "failcnt": 0}));
        assert_eq!(
            (&json["network_interfaces"], &json["hugetlb"]),
            (&serde_json::Value::Null, &serde_json::json!({}))
        );
        let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        let expected =
            ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn page_sizes_have_the_names_of_cgroups() {
        for (directory, name) in
            [("hugepages-64kB", "64KB"), ("hugepages-2048kB", "2MB"), ("hugepages-1048576kB", "1GB")]
        {
            assert_eq!(page_size(directory).as_deref(), Some(name));
        }
        assert_eq!(page_size("other"), None);
    }
}

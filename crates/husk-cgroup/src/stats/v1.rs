// SPDX-License-Identifier: Apache-2.0
//! Statistics of version 1.

use std::path::Path;

use super::{
    Blkio, BlkioEntry, Cpu, CpuUsage, Cpuset, Hugetlb, Memory, MemoryEntry, Pids, Stats, Throttling, number,
    page_sizes, pairs, pids_limit, text,
};
use crate::file;
use crate::place::Place;

/// Ticks of `cpuacct.stat`: `USER_HZ` is 100 on every architecture that husk runs on.
const NANOSECONDS_A_TICK: u64 = 10_000_000;

pub(super) fn stats(place: &Place) -> Stats {
    let of = |controller: &str| place.directory(controller).map(|directory| directory.path.as_path());
    let mut stats = Stats::default();
    if let Some(path) = of("cpuacct") {
        stats.cpu.usage = cpu_usage(path);
    }
    if let Some(path) = of("cpu") {
        stats.cpu = Cpu { throttling: throttling(path), ..stats.cpu };
    }
    stats.cpuset = of("cpuset").map(cpuset).unwrap_or_default();
    stats.memory = of("memory").map(memory).unwrap_or_default();
    stats.blkio = of("blkio").map(blkio).unwrap_or_default();
    if let Some(path) = of("pids") {
        stats.pids = Pids { current: number(path, "pids.current"), limit: pids_limit(path) };
    }
    if let Some(path) = of("hugetlb") {
        stats.hugetlb = page_sizes().into_iter().map(|size| (size.clone(), hugetlb(path, &size))).collect();
    }
    stats
}

fn cpu_usage(path: &Path) -> CpuUsage {
    let stat = text(path, "cpuacct.stat");
    let nanoseconds = |key| file::value_of(&stat, key).unwrap_or(0).saturating_mul(NANOSECONDS_A_TICK);
    let all = text(path, "cpuacct.usage_all");
    // `cpu user system`, below a line of headings.
    let column = |index: usize| {
        let rows = all.lines().skip(1).map(|line| line.split(' '));
        rows.filter_map(|mut row| row.nth(index)?.parse().ok()).collect()
    };
    let percpu = text(path, "cpuacct.usage_percpu");
    CpuUsage {
        total: number(path, "cpuacct.usage"),
        percpu: percpu.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect(),
        percpu_user: column(1),
        percpu_kernel: column(2),
        kernel: nanoseconds("system"),
        user: nanoseconds("user"),
    }
}

fn throttling(path: &Path) -> Throttling {
    let stat = text(path, "cpu.stat");
    let value = |key| file::value_of(&stat, key).unwrap_or(0);
    Throttling {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value("throttled_time"),
    }
}

fn cpuset(path: &Path) -> Cpuset {
    let number = |name: &str| number(path, &format!("cpuset.{name}"));
    Cpuset {
        cpus: list(&text(path, "cpuset.cpus")),
        cpu_exclusive: number("cpu_exclusive"),
        mems: list(&text(path, "cpuset.mems")),
        mem_hardwall: number("mem_hardwall"),
        mem_exclusive: number("mem_exclusive"),
        memory_migrate: number("memory_migrate"),
        memory_spread_page: number("memory_spread_page"),
        memory_spread_slab: number("memory_spread_slab"),
        memory_pressure: number("memory_pressure"),
        sched_load_balance: number("sched_load_balance"),
        sched_relax_domain_level: text(path, "cpuset.sched_relax_domain_level").trim().parse().unwrap_or(0),
    }
}

/// `0-2,7`.
fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn memory(path: &Path) -> Memory {
    let entry = |name: &str| MemoryEntry {
        limit: number(path, &format!("{name}.limit_in_bytes")),
        usage: number(path, &format!("{name}.usage_in_bytes")),
        max: number(path, &format!("{name}.max_usage_in_bytes")),
        failcnt: number(path, &format!("{name}.failcnt")),
    };
    let raw = pairs(&text(path, "memory.stat"));
    Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry("memory"),
        swap: entry("memory.memsw"),
        kernel: entry("memory.kmem"),
        kernel_tcp: entry("memory.kmem.tcp"),
        raw,
        psi: None,
    }
}

fn hugetlb(path: &Path, size: &str) -> Hugetlb {
    let reserved = format!("hugetlb.{size}.rsvd");
    let used = format!("hugetlb.{size}");
    let name = if path.join(format!("{reserved}.usage_in_bytes")).exists() { reserved } else { used };
    Hugetlb {
        usage: number(path, &format!("{name}.usage_in_bytes")),
        max: number(path, &format!("{name}.max_usage_in_bytes")),
        failcnt: number(path, &format!("{name}.failcnt")),
    }
}

/// What counts depends on the scheduler: BFQ's own files with cgroups below, else those of the throttling, which every
/// kernel has.
fn blkio(path: &Path) -> Blkio {
    let entries = |names: &[&str]| {
        let lists = names.iter().map(|name| entries(&text(path, &format!("blkio.{name}"))));
        lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default()
    };
    let bytes = ["bfq", "throttle"].map(|of| format!("{of}.io_service_bytes_recursive"));
    let operations = ["bfq", "throttle"].map(|of| format!("{of}.io_serviced_recursive"));
    Blkio {
        io_service_bytes_recursive: entries(&[&bytes[0], &bytes[1], "throttle.io_service_bytes"]),
        io_serviced_recursive: entries(&[&operations[0], &operations[1], "throttle.io_serviced"]),
        io_queued_recursive: entries(&["bfq.io_queued_recursive"]),
        io_service_time_recursive: entries(&["bfq.io_service_time_recursive"]),
        io_wait_time_recursive: entries(&["bfq.io_wait_time_recursive"]),
        io_merged_recursive: entries(&["bfq.io_merged_recursive"]),
        io_time_recursive: entries(&["bfq.time_recursive"]),
        sectors_recursive: entries(&["bfq.sectors_recursive"]),
        psi: None,
    }
}

/// `8:0 Read 1282048`; without a word in between for a file with one count. The line `Total 5` is none of a device.
fn entries(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let (device, op, value) = match words[..] {
            [device, op, value] => (device, op, value),
            [device, value] => (device, "", value),
            _ => return None,
        };
        let (major, minor) = device.split_once(':')?;
        let number = |word: &str| word.parse::<u64>().ok();
        Some(BlkioEntry {
            major: number(major)?,
            minor: number(minor)?,
            op: op.to_owned(),
            value: number(value)?,
        })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a file");
        }
        directory
    }

    #[test]
    fn times_of_processors() {
        let directory = files(&[
            ("cpuacct.usage", "900\n"),
            ("cpuacct.stat", "user 7\nsystem 3\n"),
            ("cpuacct.usage_percpu", "500 400 \n"),
            ("cpuacct.usage_all", "cpu user system\n0 300 200\n1 310 90\n"),
            ("cpu.stat", "nr_periods 5\nnr_throttled 4\nthrottled_time 77\n"),
        ]);
        let expected = CpuUsage {
            total: 900,
            percpu: vec![500, 400],
            percpu_user: vec![300, 310],
            percpu_kernel: vec![200, 90],
            kernel: 30_000_000,
            user: 70_000_000,
        };
        assert_eq!(cpu_usage(directory.path()), expected);
        let expected = Throttling { periods: 5, throttled_periods: 4, throttled_time: 77 };
        assert_eq!(throttling(directory.path()), expected);
    }

    #[test]
    fn counts_of_memory_and_sets() {
        let directory = files(&[
            ("memory.stat", "cache 11\nrss 12\n"),
            ("memory.limit_in_bytes", "100\n"),
            ("memory.usage_in_bytes", "50\n"),
            ("memory.max_usage_in_bytes", "60\n"),
            ("memory.failcnt", "3\n"),
            ("memory.memsw.usage_in_bytes", "70\n"),
            ("cpuset.cpus", "0-1\n"),
            ("cpuset.mems", "0\n"),
        ]);
        let found = memory(directory.path());
        assert_eq!(found.usage, MemoryEntry { limit: 100, usage: 50, max: 60, failcnt: 3 });
        assert_eq!((found.cache, found.swap.usage), (11, 70));
        let found = cpuset(directory.path());
        assert_eq!((found.cpus, found.mems), (vec![0, 1], vec![0]));
    }

    #[test]
    fn lists_of_processors() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert!(list("\n").is_empty());
    }

    #[test]
    fn counts_of_devices() {
        let found = entries("8:0 Read 1282048\n8:0 Total 3477504\nTotal 3477504\n8:16 6792\n");
        let shown: Vec<_> =
            found.iter().map(|e| format!("{}:{} {} {}", e.major, e.minor, e.op, e.value)).collect();
        assert_eq!(shown, ["8:0 Read 1282048", "8:0 Total 3477504", "8:16  6792"]);
    }
}

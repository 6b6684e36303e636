// SPDX-License-Identifier: Apache-2.0
//! Statistics of version 2, in the terms of version 1 as far as that goes (`cgroup-v2.rst`).

use std::path::Path;

use super::{
    Blkio, BlkioEntry, Cpu, CpuUsage, Hugetlb, Memory, MemoryEntry, Pids, Pressure, PressureLine, Stats,
    Throttling, number, page_sizes, pairs, pids_limit, text,
};
use crate::file;

pub(super) fn stats(path: &Path) -> Stats {
    let hugetlb = |size: String| {
        let has = path.join(format!("hugetlb.{size}.current")).exists();
        has.then(|| (size.clone(), hugetlb(path, &size)))
    };
    Stats {
        cpu: cpu(path),
        memory: memory(path),
        pids: pids(path),
        blkio: blkio(&text(path, "io.stat"), pressure(&text(path, "io.pressure"))),
        hugetlb: page_sizes().into_iter().filter_map(hugetlb).collect(),
        ..Stats::default()
    }
}

fn cpu(path: &Path) -> Cpu {
    let stat = text(path, "cpu.stat");
    let value = |key| file::value_of(&stat, key).unwrap_or(0);
    let nanoseconds = |key| value(key).saturating_mul(1000);
    Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(&text(path, "cpu.pressure")),
    }
}

fn memory(path: &Path) -> Memory {
    let entry = |name: &str| MemoryEntry {
        limit: number(path, &format!("{name}.max")),
        usage: number(path, &format!("{name}.current")),
        max: number(path, &format!("{name}.peak")),
        failcnt: 0,
    };
    let usage = entry("memory");
    let swap = entry("memory.swap");
    let raw = pairs(&text(path, "memory.stat"));
    Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        // Together, as version 1 counts. The peaks need not have been at the same time.
        swap: MemoryEntry {
            limit: swap.limit.saturating_add(usage.limit),
            usage: swap.usage.saturating_add(usage.usage),
            max: 0,
            failcnt: 0,
        },
        raw,
        psi: pressure(&text(path, "memory.pressure")),
        ..Memory::default()
    }
}

/// Without the controller the threads are counted.
fn pids(path: &Path) -> Pids {
    let current = file::number(&path.join("pids.current"));
    let threads = || text(path, "cgroup.threads").lines().count() as u64;
    Pids { current: current.unwrap_or_else(|_| threads()), limit: pids_limit(path) }
}

/// `8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 …`
fn blkio(stat: &str, psi: Option<Pressure>) -> Blkio {
    let mut blkio = Blkio { psi, ..Blkio::default() };
    for line in stat.lines() {
        let mut words = line.split(' ');
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((major, minor)) = device else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            let value = file::parse_number(value).unwrap_or(0);
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    blkio
}

fn hugetlb(path: &Path, size: &str) -> Hugetlb {
    let reserved = format!("hugetlb.{size}.rsvd.current");
    let name = if path.join(&reserved).exists() { reserved } else { format!("hugetlb.{size}.current") };
    let events = text(path, &format!("hugetlb.{size}.events"));
    Hugetlb { usage: number(path, &name), max: 0, failcnt: file::value_of(&events, "max").unwrap_or(0) }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`; empty where the kernel does not measure it.
fn pressure(text: &str) -> Option<Pressure> {
    let line = |which: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(which))?;
        let mut found = PressureLine::default();
        for (key, value) in line.split(' ').filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => found.avg10 = value.parse().ok()?,
                "avg60" => found.avg60 = value.parse().ok()?,
                "avg300" => found.avg300 = value.parse().ok()?,
                "total" => found.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(found)
    };
    // cpu.pressure had no line `full` before Linux 5.13.
    Some(Pressure { some: line("some ")?, full: line("full ").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_devices_in_the_terms_of_version_1() {
        let stat = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n8:0 \n";
        let blkio = blkio(stat, None);
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 16, op: op.to_owned(), value };
        assert_eq!(blkio.io_service_bytes_recursive, [entry("Read", 1_459_200), entry("Write", 314_773_504)]);
        assert_eq!(blkio.io_serviced_recursive, [entry("Read", 192), entry("Write", 353)]);
    }

    #[test]
    fn counts_in_the_units_of_version_1() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in [
            (
                "cpu.stat",
                "usage_usec 9\nuser_usec 6\nsystem_usec 3\nnr_periods 5\nnr_throttled 4\nthrottled_usec 2\n",
            ),
            ("memory.stat", "anon 12\nfile 11\n"),
            ("memory.max", "100\n"),
            ("memory.current", "50\n"),
            ("memory.peak", "60\n"),
            ("memory.swap.max", "30\n"),
            ("memory.swap.current", "5\n"),
            ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=8\n"),
            ("cgroup.threads", "1\n2\n3\n"),
        ] {
            std::fs::write(directory.path().join(name), text).expect("a file");
        }
        let found = stats(directory.path());
        let usage = CpuUsage { total: 9000, kernel: 3000, user: 6000, ..CpuUsage::default() };
        assert_eq!(found.cpu.usage, usage);
        let throttling = Throttling { periods: 5, throttled_periods: 4, throttled_time: 2000 };
        assert_eq!(found.cpu.throttling, throttling);
        assert_eq!(found.memory.usage, MemoryEntry { limit: 100, usage: 50, max: 60, failcnt: 0 });
        assert_eq!(found.memory.swap, MemoryEntry { limit: 130, usage: 55, max: 0, failcnt: 0 });
        assert_eq!((found.memory.cache, found.pids.current), (11, 3));
        assert_eq!(found.memory.psi.map(|psi| psi.some.total), Some(8));
    }

    #[test]
    fn pressure_in_the_words_of_the_kernel() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.05 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4\n";
        let found = pressure(text).expect("two lines");
        let some = PressureLine { avg10: 1.5, avg60: 0.25, avg300: 0.05, total: 9 };
        assert_eq!((found.some, found.full.total), (some, 4));
        assert_eq!(pressure(""), None);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Tables from the OCI specification (its own examples among them) and the kernel's documents.

use husk_spec::oci::{
    BlockIo, Cpu, HugepageLimit, Memory, Network, NetworkPriority, Pids, Rdma, ThrottleDevice, WeightDevice,
};

use super::Hierarchy::{V1, V2};
use super::*;

/// `FILE=VALUE`, with `?` where the file may be missing and `|` before what is written instead.
fn shown(write: &Write) -> String {
    let (file, value) = (&write.file, &write.value);
    match &write.missing {
        Missing::Refuse => format!("{file}={value}"),
        Missing::Skip => format!("{file}={value}?"),
        Missing::Instead { file: other, value: other_value } => {
            format!("{file}={value}|{other}={other_value}")
        }
    }
}

fn written(resources: &Resources, hierarchy: Hierarchy) -> Vec<String> {
    let limits = files(resources, hierarchy).unwrap_or_else(|error| panic!("{error} for {resources:?}"));
    limits.writes.iter().map(shown).collect()
}

#[track_caller]
fn both(resources: &Resources, v1: &[&str], v2: &[&str]) {
    assert_eq!(written(resources, V1), v1, "version 1");
    assert_eq!(written(resources, V2), v2, "version 2");
}

fn refused(resources: &Resources, hierarchy: Hierarchy) -> String {
    files(resources, hierarchy).expect_err("an error").to_string()
}

fn memory(memory: Memory) -> Resources {
    Resources { memory: Some(memory), ..Resources::default() }
}

fn cpu(cpu: Cpu) -> Resources {
    Resources { cpu: Some(cpu), ..Resources::default() }
}

fn block_io(block_io: BlockIo) -> Resources {
    Resources { block_io: Some(block_io), ..Resources::default() }
}

fn pids(limit: i64) -> Resources {
    Resources { pids: Some(Pids { limit: Some(limit) }), ..Resources::default() }
}

#[test]
fn nothing_asked_for_is_nothing_written() {
    both(&Resources::default(), &[], &[]);
}

/// What Docker sends for a container without limits.
#[test]
fn the_zeros_of_engines_ask_for_nothing() {
    let resources = Resources {
        memory: Some(Memory {
            limit: Some(0),
            swap: Some(0),
            reservation: Some(0),
            kernel: Some(0),
            kernel_tcp: Some(0),
            disable_oom_killer: Some(false),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(0),
            quota: Some(0),
            period: Some(0),
            realtime_period: Some(0),
            realtime_runtime: Some(0),
            ..Cpu::default()
        }),
        block_io: Some(BlockIo { weight: Some(0), leaf_weight: Some(0), ..BlockIo::default() }),
        network: Some(Network { class_id: Some(0), ..Network::default() }),
        pids: Some(Pids::default()),
        ..Resources::default()
    };
    both(&resources, &[], &[]);
}

#[test]
fn memory_and_swap() {
    const M: i64 = 1 << 20;
    let row =
        |limit: i64, swap: Option<i64>| memory(Memory { limit: Some(limit), swap, ..Memory::default() });
    both(&row(64 * M, None), &["memory.limit_in_bytes=67108864"], &["memory.max=67108864"]);
    both(
        &row(64 * M, Some(96 * M)),
        &["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=100663296"],
        &["memory.swap.max=33554432", "memory.max=67108864"],
    );
    // The same value for both: no swap.
    both(
        &row(64 * M, Some(64 * M)),
        &["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=67108864"],
        &["memory.swap.max=0?", "memory.max=67108864"],
    );
    both(
        &row(64 * M, Some(-1)),
        &["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=-1"],
        &["memory.swap.max=max?", "memory.max=67108864"],
    );
    both(
        &row(-1, None),
        &["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1?"],
        &["memory.swap.max=max?", "memory.max=max"],
    );
    both(
        &row(-1, Some(64 * M)),
        &["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=67108864"],
        &["memory.swap.max=67108864", "memory.max=max"],
    );
    let alone = memory(Memory { swap: Some(64 * M), ..Memory::default() });
    assert_eq!(written(&alone, V1), ["memory.memsw.limit_in_bytes=67108864"]);
    assert!(
        refused(&alone, V2).starts_with("linux.resources.memory.swap: it counts memory and swap together")
    );
    assert!(refused(&row(64 * M, Some(M)), V2).contains("must not be less than memory.limit"));
    assert_eq!(
        refused(&row(-2, None), V1),
        "linux.resources.memory.limit: -2 is out of range: a number of bytes, or -1 for unlimited"
    );
}

/// The example of the specification, without what has left the kernel.
#[test]
fn the_other_fields_of_memory() {
    let all = memory(Memory {
        limit: Some(536_870_912),
        reservation: Some(536_870_912),
        swap: Some(536_870_912),
        kernel: Some(-1),
        kernel_tcp: Some(-1),
        swappiness: Some(0),
        disable_oom_killer: Some(false),
        ..Memory::default()
    });
    assert_eq!(
        written(&all, V1),
        [
            "memory.limit_in_bytes=536870912",
            "memory.memsw.limit_in_bytes=536870912",
            "memory.kmem.tcp.limit_in_bytes=-1?",
            "memory.soft_limit_in_bytes=536870912",
            "memory.swappiness=0",
        ]
    );
    both(
        &memory(Memory { reservation: Some(-1), use_hierarchy: Some(true), ..Memory::default() }),
        &["memory.soft_limit_in_bytes=-1"],
        &["memory.low=max"],
    );
    let disabled = memory(Memory { disable_oom_killer: Some(true), ..Memory::default() });
    assert_eq!(written(&disabled, V1), ["memory.oom_control=1"]);
}

#[test]
fn a_kernel_limit_without_effect_is_reported() {
    let resources = memory(Memory { kernel: Some(4096), ..Memory::default() });
    for hierarchy in [V1, V2] {
        let limits = files(&resources, hierarchy).expect("no error");
        assert!(limits.writes.is_empty());
        assert_eq!(limits.without_effect[0].field, "linux.resources.memory.kernel");
    }
}

#[test]
fn what_only_version_1_has_is_refused_by_name() {
    let swappiness = Memory { swappiness: Some(50), ..Memory::default() };
    let oom = Memory { disable_oom_killer: Some(true), ..Memory::default() };
    let tcp = Memory { kernel_tcp: Some(1), ..Memory::default() };
    let hierarchy = Memory { use_hierarchy: Some(false), ..Memory::default() };
    let runtime = Cpu { realtime_runtime: Some(950_000), ..Cpu::default() };
    let period = Cpu { realtime_period: Some(1_000_000), ..Cpu::default() };
    let leaf = BlockIo { leaf_weight: Some(10), ..BlockIo::default() };
    let network = |class_id, priorities| Resources {
        network: Some(Network { class_id, priorities }),
        ..Resources::default()
    };
    let priority = NetworkPriority { name: "eth0".to_owned(), priority: 500 };
    for (resources, field) in [
        (memory(swappiness), "memory.swappiness"),
        (memory(oom), "memory.disableOOMKiller"),
        (memory(tcp), "memory.kernelTCP"),
        (memory(hierarchy), "memory.useHierarchy"),
        (cpu(runtime), "cpu.realtimeRuntime"),
        (cpu(period), "cpu.realtimePeriod"),
        (block_io(leaf), "blockIO.leafWeight"),
        (network(Some(1_048_577), Vec::new()), "network.classID"),
        (network(None, vec![priority]), "network.priorities"),
    ] {
        let text = refused(&resources, V2);
        assert!(
            text.starts_with(&format!("linux.resources.{field}: cgroup v2 has no such limit; ")),
            "{text}"
        );
    }
}

#[test]
fn check_before_update_is_for_version_2() {
    let resources = memory(Memory {
        limit: Some(4096),
        swap: Some(8192),
        check_before_update: Some(true),
        ..Memory::default()
    });
    let check = |hierarchy| files(&resources, hierarchy).expect("no error").check;
    assert_eq!(check(V2), Some(UsageCheck { limit: Some(4096), swap: Some(8192) }));
    assert_eq!(check(V1), None, "the kernel checks");
}

#[test]
fn swappiness_has_a_range() {
    let row = |value| memory(Memory { swappiness: Some(value), ..Memory::default() });
    assert_eq!(written(&row(100), V1), ["memory.swappiness=100"]);
    assert_eq!(refused(&row(101), V1), "linux.resources.memory.swappiness: 101 is out of range: 0 to 100");
    assert!(written(&row(u64::MAX), V1).is_empty(), "-1 of a Go program");
}

/// Values of opencontainers/runc#4785, by the formula in it; the ends and the default meet.
#[test]
fn shares_become_weights() {
    for (shares, weight) in [
        (1, 1),
        (2, 1),
        (3, 2),
        (10, 4),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262_143, 10_000),
        (262_144, 10_000),
        (1 << 40, 10_000),
    ] {
        let resources = cpu(Cpu { shares: Some(shares), ..Cpu::default() });
        assert_eq!(written(&resources, V2), [format!("cpu.weight={weight}")], "{shares}");
    }
    for shares in [1, 262_145] {
        let resources = cpu(Cpu { shares: Some(shares), ..Cpu::default() });
        assert!(refused(&resources, V1).ends_with("is out of range: 2 to 262144"));
    }
    let least = cpu(Cpu { shares: Some(2), ..Cpu::default() });
    assert_eq!(written(&least, V1), ["cpu.shares=2"]);
}

#[test]
fn quota_period_burst() {
    let row = |quota, period, burst| cpu(Cpu { quota, period, burst, ..Cpu::default() });
    both(&row(Some(50_000), None, None), &["cpu.cfs_quota_us=50000"], &["cpu.max=50000 100000"]);
    both(&row(None, Some(20_000), None), &["cpu.cfs_period_us=20000"], &["cpu.max=max 20000"]);
    both(
        &row(Some(1_000_000), Some(500_000), Some(1_000_000)),
        &["cpu.cfs_period_us=500000", "cpu.cfs_quota_us=1000000", "cpu.cfs_burst_us=1000000"],
        &["cpu.max=1000000 500000", "cpu.max.burst=1000000"],
    );
    both(
        &row(Some(-1), None, Some(0)),
        &["cpu.cfs_quota_us=-1", "cpu.cfs_burst_us=0"],
        &["cpu.max=max 100000", "cpu.max.burst=0"],
    );
    assert!(refused(&row(Some(10), None, Some(11)), V2).contains("cpu.burst: it must not exceed cpu.quota"));
}

#[test]
fn idle_realtime_and_sets() {
    both(&cpu(Cpu { idle: Some(1), ..Cpu::default() }), &["cpu.idle=1"], &["cpu.idle=1"]);
    both(
        &cpu(Cpu { cpus: "2-3".to_owned(), mems: "0-7".to_owned(), ..Cpu::default() }),
        &["cpuset.cpus=2-3", "cpuset.mems=0-7"],
        &["cpuset.cpus=2-3", "cpuset.mems=0-7"],
    );
    let realtime =
        cpu(Cpu { realtime_runtime: Some(950_000), realtime_period: Some(1_000_000), ..Cpu::default() });
    assert_eq!(written(&realtime, V1), ["cpu.rt_period_us=1000000", "cpu.rt_runtime_us=950000"]);
    assert!(
        refused(&cpu(Cpu { idle: Some(2), ..Cpu::default() }), V2).contains("cpu.idle: 2 is out of range")
    );
    let both_set = cpu(Cpu { idle: Some(1), shares: Some(1024), ..Cpu::default() });
    assert!(refused(&both_set, V2).contains("leave out cpu.shares"));
    // Out of the idle class and to a weight in one update: the first makes room for the second.
    let awake = cpu(Cpu { idle: Some(0), shares: Some(1024), ..Cpu::default() });
    assert_eq!(written(&awake, V2), ["cpu.idle=0", "cpu.weight=100"]);
}

#[test]
fn pids_zero_and_below() {
    for (limit, value) in [(32_771, "32771"), (1, "1"), (0, "1"), (-1, "max"), (-5, "max")] {
        let expected = format!("pids.max={value}");
        both(&pids(limit), &[&expected], &[&expected]);
    }
}

/// The example of the specification.
#[test]
fn block_weights_and_rates() {
    let device = |minor, weight, leaf_weight| WeightDevice { major: 8, minor, weight, leaf_weight };
    let rate = |minor, rate| ThrottleDevice { major: 8, minor, rate };
    let resources = block_io(BlockIo {
        weight: Some(10),
        leaf_weight: Some(10),
        weight_device: vec![device(0, Some(500), Some(300)), device(16, Some(500), None)],
        throttle_read_bps_device: vec![rate(0, 600)],
        throttle_write_iops_device: vec![rate(16, 300)],
        ..BlockIo::default()
    });
    assert_eq!(
        written(&resources, V1),
        [
            "blkio.weight=10|blkio.bfq.weight=10",
            "blkio.leaf_weight=10",
            "blkio.weight_device=8:0 500|blkio.bfq.weight_device=8:0 500",
            "blkio.leaf_weight_device=8:0 300",
            "blkio.weight_device=8:16 500|blkio.bfq.weight_device=8:16 500",
            "blkio.throttle.read_bps_device=8:0 600",
            "blkio.throttle.write_iops_device=8:16 300",
        ]
    );
    let resources = block_io(BlockIo {
        weight: Some(1000),
        weight_device: vec![device(0, Some(10), None), device(1, Some(0), None)],
        throttle_read_bps_device: vec![rate(0, 600)],
        throttle_write_bps_device: vec![rate(0, 0)],
        throttle_read_iops_device: vec![rate(0, 1)],
        throttle_write_iops_device: vec![rate(16, 300)],
        ..BlockIo::default()
    });
    assert_eq!(
        written(&resources, V2),
        [
            "io.bfq.weight=1000|io.weight=10000",
            "io.bfq.weight=8:0 10|io.weight=8:0 1",
            "io.bfq.weight=8:1 default|io.weight=8:1 default",
            "io.max=8:0 rbps=600",
            "io.max=8:0 wbps=max",
            "io.max=8:0 riops=1",
            "io.max=8:16 wiops=300",
        ]
    );
}

#[test]
fn block_errors_name_the_entry() {
    let with = |device| block_io(BlockIo { weight_device: vec![device], ..BlockIo::default() });
    let device = WeightDevice { major: 8, minor: 0, ..WeightDevice::default() };
    assert!(
        refused(&with(device.clone()), V2).starts_with("linux.resources.blockIO.weightDevice[0]: it needs")
    );
    let low = WeightDevice { weight: Some(9), ..device };
    assert!(
        refused(&with(low), V1).contains("blockIO.weightDevice[0].weight: 9 is out of range: 10 to 1000")
    );
    let negative = ThrottleDevice { major: -1, ..ThrottleDevice::default() };
    let rates = BlockIo { throttle_read_bps_device: vec![negative], ..BlockIo::default() };
    assert!(refused(&block_io(rates), V2).contains("blockIO.throttleReadBpsDevice[0].major: -1"));
    for hierarchy in [V1, V2] {
        let low = block_io(BlockIo { weight: Some(9), ..BlockIo::default() });
        assert!(refused(&low, hierarchy).contains("blockIO.weight: 9"));
    }
}

#[test]
fn huge_pages_used_and_reserved() {
    let with = |page_size: &str| Resources {
        hugepage_limits: vec![HugepageLimit { page_size: page_size.to_owned(), limit: 209_715_200 }],
        ..Resources::default()
    };
    both(
        &with("2MB"),
        &["hugetlb.2MB.limit_in_bytes=209715200", "hugetlb.2MB.rsvd.limit_in_bytes=209715200?"],
        &["hugetlb.2MB.max=209715200", "hugetlb.2MB.rsvd.max=209715200?"],
    );
    for size in ["", "MB", "2", "2mb", "../2MB", "2.MB"] {
        assert!(refused(&with(size), V2).contains("hugepageLimits[0].pageSize: "), "{size}");
    }
}

/// The example of the specification.
#[test]
fn rdma_devices() {
    let with = |device: &str, hca_handles, hca_objects| Resources {
        rdma: [(device.to_owned(), Rdma { hca_handles, hca_objects })].into(),
        ..Resources::default()
    };
    for (resources, value) in [
        (with("mlx5_1", Some(3), Some(10_000)), "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"),
        (with("mlx4_0", None, Some(1000)), "rdma.max=mlx4_0 hca_object=1000"),
    ] {
        both(&resources, &[value], &[value]);
    }
    assert!(refused(&with("rxe3", None, None), V2).starts_with("linux.resources.rdma[\"rxe3\"]: it needs"));
    assert!(refused(&with("a b", Some(1), None), V1).contains("is not the name of a device"));
}

#[test]
fn network_classes() {
    let priority = |name: &str, priority| NetworkPriority { name: name.to_owned(), priority };
    let network =
        Network { class_id: Some(1_048_577), priorities: vec![priority("eth0", 500), priority("eth1", 0)] };
    let resources = Resources { network: Some(network), ..Resources::default() };
    assert_eq!(
        written(&resources, V1),
        ["net_cls.classid=1048577", "net_prio.ifpriomap=eth0 500", "net_prio.ifpriomap=eth1 0"]
    );
}

#[test]
fn unified_goes_to_version_2_line_by_line() {
    let with = |file: &str, value: &str| Resources {
        unified: [(file.to_owned(), value.to_owned())].into(),
        ..Resources::default()
    };
    let rates = with("io.max", "259:0 rbps=2097152 wiops=120\n253:0 rbps=2097152 wiops=120");
    assert_eq!(
        written(&rates, V2),
        ["io.max=259:0 rbps=2097152 wiops=120", "io.max=253:0 rbps=2097152 wiops=120"]
    );
    let huge = files(&with("hugetlb.1GB.max", "1073741824"), V2).expect("no error");
    assert_eq!(huge.controllers(), ["hugetlb"]);
    let core = files(&with("cgroup.max.depth", "3"), V2).expect("no error");
    assert!(core.controllers().is_empty() && core.writes.len() == 1);
    assert!(refused(&rates, V1).starts_with("linux.resources.unified[\"io.max\"]: this needs cgroup v2"));
    for file in ["", "memory", ".max", "memory.", "../memory.max", "a/b.c", "../../x.y"] {
        assert!(refused(&with(file, "1"), V2).contains("CONTROLLER.PARAMETER"), "{file}");
    }
}

#[test]
fn every_write_says_where_it_comes_from() {
    let resources = Resources {
        memory: Some(Memory { limit: Some(-1), ..Memory::default() }),
        cpu: Some(Cpu { period: Some(1000), cpus: "0".to_owned(), ..Cpu::default() }),
        ..pids(1)
    };
    let limits = files(&resources, V2).expect("no error");
    assert_eq!(limits.controllers(), ["cpu", "cpuset", "memory", "pids"]);
    let origins: Vec<_> = limits.writes.iter().map(|write| write.origin.as_str()).collect();
    assert_eq!(
        origins,
        [
            "linux.resources.pids.limit",
            "linux.resources.memory.limit",
            "linux.resources.memory.limit",
            "linux.resources.cpu.period",
            "linux.resources.cpu.cpus",
        ]
    );
}

// SPDX-License-Identifier: Apache-2.0
//! `linux.cgroupsPath` and `linux.resources` of config.json: what stands in the container's cgroup.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use husk_tests::oci::{Bundle, Cgroup, Driver, Site, is_unified};
use husk_tests::oci_site;
use serde_json::{Value, json};

/// A file of a cgroup: of v1 with its controller, or of v2.
struct File {
    v1: (&'static str, &'static str),
    v2: &'static str,
}

/// Creates a container with these resources and reads files of its cgroup; where the machine's cgroups have no such
/// file, that is said as a skip, and nothing comes back.
fn with(site: &Site, resources: Value, files: &[File]) -> Option<Vec<String>> {
    let bundle = site.bundle().change(|spec| {
        for (name, value) in resources.as_object().expect("an object") {
            spec["linux"]["resources"][name] = value.clone();
        }
    });
    for file in files {
        if !is_there(file) {
            let (controller, name) = file.v1;
            // What has no file of version 2 is known by that of version 1.
            let name = if is_unified() && !file.v2.is_empty() { file.v2 } else { name };
            site.note(&format!("this machine's cgroups have no {name} ({controller})"));
            return None;
        }
    }
    let container = bundle.create();
    let read = |file: &File| {
        let (controller, name) = if is_unified() { ("", file.v2) } else { file.v1 };
        container
            .cgroup()
            .read(controller, name)
            .unwrap_or_else(|| panic!("no {name} in the container's cgroup"))
    };
    let found = files.iter().map(read).collect();
    container.delete();
    Some(found)
}

/// Whether cgroups here have such a file: tried with one that is made and removed.
fn is_there(file: &File) -> bool {
    let (controller, name) = if is_unified() { ("", file.v2) } else { file.v1 };
    let probe =
        Cgroup::new(&format!("husk-oci-probe-{}-{:?}", std::process::id(), std::thread::current().id()));
    let directory = probe.directory(controller);
    if is_unified() {
        // As runtimes do.
        let controller = name.split('.').next().unwrap_or_default();
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", format!("+{controller}"));
    }
    let made = !name.is_empty() && fs::create_dir(&directory).is_ok();
    let is_there = made && directory.join(name).exists();
    if made {
        fs::remove_dir(&directory).expect("a cgroup of the test's");
    }
    is_there
}

fn file(controller: &'static str, v1: &'static str, v2: &'static str) -> File {
    File { v1: (controller, v1), v2 }
}

#[track_caller]
fn expect(resources: Value, rows: &[(File, &str, &str)], site: &Site) {
    let files: Vec<_> = rows.iter().map(|(file, _, _)| File { v1: file.v1, v2: file.v2 }).collect();
    let Some(found) = with(site, resources, &files) else { return };
    let expected: Vec<_> = rows.iter().map(|(_, v1, v2)| if is_unified() { *v2 } else { *v1 }).collect();
    assert_eq!(found, expected);
}

const MIB: u64 = 1 << 20;

#[test]
fn linux_cgroups_path() {
    let site = oci_site!();
    let above = site.cgroup().path();
    let (path, cgroup) = match site.driver() {
        Driver::Cgroupfs => {
            let path = format!("{above}/deep/er/inner");
            (path.clone(), Cgroup::new(&path))
        }
        // A dash leads from a slice to one in it.
        Driver::Systemd => {
            let slice = above.trim_matches('/').trim_end_matches(".slice");
            let cgroup = Cgroup::new(&format!("{above}/{slice}-deep.slice/{slice}-inner.scope"));
            (format!("{slice}-deep.slice:{slice}:inner"), cgroup)
        }
    };
    let container = site.bundle().change(|spec| spec["linux"]["cgroupsPath"] = json!(path)).create();
    assert_eq!(cgroup.processes(), [container.pid()]);
    container.delete();
    assert!(!cgroup.exists(), "its own cgroup goes: {:?}", cgroup.directories());
}

#[test]
fn linux_cgroups_path_is_given_to_every_hierarchy() {
    let site = oci_site!();
    let container = site.bundle().create();
    let text = fs::read_to_string(container.proc("cgroup")).expect("cgroups");
    let has_both_versions = Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists();
    let elsewhere: Vec<_> = text
        .lines()
        .filter(|line| !line.ends_with(&container.cgroup().path()))
        .filter(|line| !line.starts_with("0::") || is_unified() || has_both_versions)
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    container.delete();
}

#[test]
fn linux_resources_memory_limit_reservation_and_swap() {
    let site = oci_site!();
    let rows = [
        (file("memory", "memory.limit_in_bytes", "memory.max"), "67108864", "67108864"),
        (file("memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432", "33554432"),
    ];
    expect(json!({"memory": {"limit": 64 * MIB, "reservation": 32 * MIB}}), &rows, &site);
    let swap = [(file("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), "134217728", "67108864")];
    expect(json!({"memory": {"limit": 64 * MIB, "swap": 128 * MIB}}), &swap, &site);
    let none = [(file("memory", "memory.limit_in_bytes", "memory.max"), "9223372036854771712", "max")];
    expect(json!({"memory": {"limit": -1}}), &none, &site);
}

#[test]
fn linux_resources_memory_of_v1() {
    let site = oci_site!();
    if is_unified() {
        return site.note("swappiness, disableOOMKiller and kernelTCP are of cgroup v1");
    }
    let rows = [
        (file("memory", "memory.swappiness", ""), "37", ""),
        (file("memory", "memory.oom_control", ""), "oom_kill_disable 1\nunder_oom 0\noom_kill 0", ""),
    ];
    expect(json!({"memory": {"limit": 64 * MIB, "swappiness": 37, "disableOOMKiller": true}}), &rows, &site);
    if site.deviates("runc", "leaves kernelTCP out") {
        return;
    }
    let rows = [(file("memory", "memory.kmem.tcp.limit_in_bytes", ""), "16777216", "")];
    expect(json!({"memory": {"kernelTCP": 16 * MIB}}), &rows, &site);
}

/// The kernel has had no limit of its own for kernel memory since Linux 5.16, so that there is nothing to see of it.
#[test]
fn linux_resources_memory_kernel_is_left_out() {
    let site = oci_site!();
    let rows = [(file("memory", "memory.limit_in_bytes", "memory.max"), "67108864", "67108864")];
    expect(json!({"memory": {"limit": 64 * MIB, "kernel": 16 * MIB}}), &rows, &site);
}

/// What is below is counted above, as on version 2 always and on version 1 since Linux 5.11.
#[test]
fn linux_resources_memory_use_hierarchy() {
    let site = oci_site!();
    let with = |value: bool| {
        site.bundle().change(|spec| spec["linux"]["resources"]["memory"] = json!({"useHierarchy": value}))
    };
    with(true).output().succeeds();
    if site.deviates("runc", "takes no notice of memory.useHierarchy")
        || site.deviates("crun", "takes no notice of memory.useHierarchy")
    {
        return;
    }
    with(false).refused().says("linux.resources.memory.useHierarchy");
}

#[test]
fn linux_resources_memory_check_before_update() {
    let site = oci_site!();
    let bundle = site.bundle().sh("head -c 24m /dev/zero > /dev/shm/file; echo full; exec sleep 1000");
    let bundle = bundle.change(|spec| spec["linux"]["resources"]["memory"] = json!({"limit": 64 * MIB}));
    let container = bundle.start();
    container.wait_for("full");
    let update = |limit: u64, check: bool| {
        let resources = json!({"memory": {"limit": limit, "checkBeforeUpdate": check}});
        container.verb_with("update", ["--resources", "-"]).input(resources.to_string()).run()
    };
    let limit = || {
        let (controller, name) =
            if is_unified() { ("", "memory.max") } else { ("memory", "memory.limit_in_bytes") };
        container.cgroup().read(controller, name).expect("a limit").parse::<u64>().expect("a number")
    };
    if is_unified() && (site.is_too_old("runc", (1, 1, 6), "it") || site.is_too_old("crun", (1, 9, 0), "it"))
    {
        return;
    }
    // Without swap the kernel of version 1 finds nothing to give up, and says the same without being asked.
    update(8 * MIB, true).exits(1);
    assert_eq!(limit(), 64 * MIB);
    assert_eq!(container.status(), "running");
    update(48 * MIB, true).succeeds();
    assert_eq!(limit(), 48 * MIB);
    container.delete();
}

#[test]
fn linux_resources_memory_limit_is_felt() {
    let site = oci_site!();
    // One process asks for it all: of two the kernel may kill the shell after them.
    let bundle = site.bundle().sh("dd if=/dev/zero of=/dev/null bs=190M count=1; echo $?").change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 32 * MIB, "swap": 32 * MIB});
    });
    let output = bundle.output();
    assert_eq!(output.stdout, "137\n", "{output}");
}

#[test]
fn linux_resources_cpu_shares() {
    let site = oci_site!();
    if let Some(found) =
        with(&site, json!({"cpu": {"shares": 512}}), &[file("cpu", "cpu.shares", "cpu.weight")])
    {
        // Two conversions to v2 are in use: a line through the ends, and since 2025 one through 1024 and 100.
        let expected: &[&str] = if is_unified() { &["20", "59"] } else { &["512"] };
        assert!(expected.contains(&found[0].as_str()), "{found:?}");
    }
}

#[test]
fn linux_resources_cpu_quota_and_period() {
    let site = oci_site!();
    let resources = json!({"cpu": {"quota": 30_000, "period": 50_000}});
    if is_unified() {
        return expect(resources, &[(file("cpu", "", "cpu.max"), "", "30000 50000")], &site);
    }
    let rows = [
        (file("cpu", "cpu.cfs_quota_us", ""), "30000", ""),
        (file("cpu", "cpu.cfs_period_us", ""), "50000", ""),
    ];
    expect(resources, &rows, &site);
}

/// Engines may change one of them.
#[test]
fn linux_resources_cpu_quota_or_period_by_an_update() {
    let site = oci_site!();
    if site.deviates("crun", "takes the quota away with a period alone, on v2") {
        return;
    }
    let bundle = site
        .bundle()
        .change(|spec| spec["linux"]["resources"]["cpu"] = json!({"quota": 30_000, "period": 60_000}));
    let container = bundle.create();
    let update = |flag: &str, value: &str| {
        container.verb_with("update", [flag, value]).run().succeeds();
        let read = |file| container.cgroup().read("cpu", file).expect("a limit");
        match is_unified() {
            true => read("cpu.max"),
            false => format!("{} {}", read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")),
        }
    };
    assert_eq!(update("--cpu-period", "50000"), "30000 50000");
    assert_eq!(update("--cpu-quota", "20000"), "20000 50000");
    container.delete();
}

#[test]
fn linux_resources_cpu_burst() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "cpu.burst") || site.is_too_old("crun", (1, 9, 0), "cpu.burst") {
        return;
    }
    let rows = [(file("cpu", "cpu.cfs_burst_us", "cpu.max.burst"), "10000", "10000")];
    expect(json!({"cpu": {"quota": 30_000, "period": 50_000, "burst": 10_000}}), &rows, &site);
}

#[test]
fn linux_resources_cpu_idle() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 1, 6), "cpu.idle") || site.is_too_old("crun", (1, 9, 0), "cpu.idle") {
        return;
    }
    expect(json!({"cpu": {"idle": 1}}), &[(file("cpu", "cpu.idle", "cpu.idle"), "1", "1")], &site);
}

#[test]
fn linux_resources_cpu_realtime() {
    let site = oci_site!();
    let rows = [
        (file("cpu", "cpu.rt_runtime_us", ""), "0", ""),
        (file("cpu", "cpu.rt_period_us", ""), "500000", ""),
    ];
    expect(json!({"cpu": {"realtimeRuntime": 0, "realtimePeriod": 500_000}}), &rows, &site);
}

/// A cgroup of version 1 has no real time to give, unless it is given some.
#[test]
fn linux_resources_cpu_realtime_lets_a_real_time_caller_in() {
    let site = oci_site!();
    if is_unified() {
        site.note("version 2 limits no real time");
        return;
    }
    let real_time = ["--fifo", "10"];
    let tried = site.command("chrt").args(real_time).arg("true").run();
    if tried.code() != 0 {
        site.note(&format!("no real-time scheduling here: {}", tried.stderr.trim()));
        return;
    }
    let create = |bundle: &Bundle<'_>| {
        bundle.write();
        let command =
            site.command("chrt").args(real_time).arg(site.runtime().path()).args(site.globals(&site.root()));
        let command = command.args(["create", "--bundle"]).arg(bundle.path()).arg(bundle.id());
        let said = fs::File::create(bundle.path().join("said")).expect("a file");
        let mut process = command.process();
        let status = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).status();
        let said = fs::read_to_string(bundle.path().join("said")).expect("a file");
        (status.expect("chrt runs").success(), said)
    };
    let (made, said) = create(&site.bundle());
    assert!(!made, "it has no real time");
    if site.runtime().name() == "husk-oci" {
        assert!(
            said.contains("chrt --other 0") && said.contains("linux.resources.cpu.realtimeRuntime"),
            "{said}"
        );
    }
    let bundle = site.bundle().change(|spec| {
        spec["linux"]["resources"]["cpu"] = json!({"realtimeRuntime": 20_000});
    });
    let above = site.cgroup().directory("cpu");
    fs::create_dir_all(&above).expect("a cgroup");
    fs::write(above.join("cpu.rt_runtime_us"), "20000").expect("real time");
    let (made, said) = create(&bundle);
    assert!(made, "{said}");
    site.oci(["delete", "--force", bundle.id()]).run().succeeds();
}

#[test]
fn linux_resources_cpu_cpus_and_mems() {
    let site = oci_site!();
    let rows = [
        (file("cpuset", "cpuset.cpus", "cpuset.cpus"), "0", "0"),
        (file("cpuset", "cpuset.mems", "cpuset.mems"), "0", "0"),
    ];
    expect(json!({"cpu": {"cpus": "0", "mems": "0"}}), &rows, &site);
    let said = site.inside("grep Cpus_allowed_list /proc/self/status", |spec| {
        spec["linux"]["resources"]["cpu"] = json!({"cpus": "0"});
    });
    assert!(said.ends_with("\t0"), "{said}");
}

#[test]
fn linux_resources_pids() {
    let site = oci_site!();
    expect(json!({"pids": {"limit": 33}}), &[(file("pids", "pids.max", "pids.max"), "33", "33")], &site);
    if site.deviates("crun", "hands -1 on to pids.max, which takes no such number") {
        return;
    }
    expect(json!({"pids": {"limit": -1}}), &[(file("pids", "pids.max", "pids.max"), "max", "max")], &site);
    if site.is_too_old("runc", (1, 4, 0), "pids.limit 0") {
        return;
    }
    expect(json!({"pids": {"limit": 0}}), &[(file("pids", "pids.max", "pids.max"), "1", "1")], &site);
}

#[test]
fn linux_resources_pids_limit_is_felt() {
    let site = oci_site!();
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done 2>&1; echo end";
    let bundle =
        site.bundle().sh(script).change(|spec| spec["linux"]["resources"]["pids"] = json!({"limit": 4}));
    let output = bundle.output();
    assert!(output.stdout.contains("can't fork") || output.stderr.contains("can't fork"), "{output}");
}

#[test]
fn linux_resources_devices() {
    let site = oci_site!();
    // Nobody drives 240:7: where it is allowed, the kernel says that there is no such device.
    let attempt = |rules: Value| {
        let bundle = site.bundle().sh(": < /dev/mine").change(|spec| {
            spec["linux"]["devices"] =
                json!([{"path": "/dev/mine", "type": "c", "major": 240, "minor": 7, "fileMode": 0o666}]);
            spec["linux"]["resources"]["devices"] = rules;
        });
        bundle.output().stderr.clone()
    };
    let deny_all = json!({"allow": false, "access": "rwm"});
    let allow =
        |access: &str| json!({"allow": true, "type": "c", "major": 240, "minor": 7, "access": access});
    let any_minor = json!({"allow": true, "type": "c", "major": 240, "access": "r"});
    let refused = ["not permitted", "Permission denied"];
    for rules in [json!([deny_all]), json!([deny_all, allow("w")])] {
        let said = attempt(rules.clone());
        assert!(refused.iter().any(|word| said.contains(word)), "{rules}: {said}");
    }
    for rules in
        [json!([deny_all, allow("r")]), json!([deny_all, any_minor]), json!([deny_all, allow("rwm")])]
    {
        let said = attempt(rules.clone());
        assert!(said.contains("No such device"), "{rules}: {said}");
    }
    let said = site.inside("echo x > /dev/null && head -c 2 /dev/zero | wc -c", |_| ());
    assert_eq!(said, "2", "the default devices are always allowed");
}

#[test]
fn linux_resources_block_io() {
    let site = oci_site!();
    let weight = [(file("blkio", "blkio.weight", "io.weight"), "300", "default 2930")];
    expect(json!({"blockIO": {"weight": 300}}), &weight, &site);
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let numbers = devices.filter_map(|entry| fs::read_to_string(entry.path().join("dev")).ok());
    let Some(number) = numbers.map(|text| text.trim().to_owned()).find(|number| !number.starts_with("7:"))
    else {
        return site.note("this machine has no disk");
    };
    let (major, minor) = number.split_once(':').expect("two numbers");
    let (major, minor): (u32, u32) = (major.parse().expect("a number"), minor.parse().expect("a number"));
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let throttle = json!({"blockIO": {
        "throttleReadBpsDevice": device(1_048_576), "throttleWriteBpsDevice": device(2_097_152),
        "throttleReadIOPSDevice": device(100), "throttleWriteIOPSDevice": device(200)
    }});
    if is_unified() {
        let expected = format!("{number} rbps=1048576 wbps=2097152 riops=100 wiops=200");
        return expect(throttle, &[(file("", "", "io.max"), "", &expected)], &site);
    }
    let rows = [
        (file("blkio", "blkio.throttle.read_bps_device", ""), format!("{number} 1048576")),
        (file("blkio", "blkio.throttle.write_bps_device", ""), format!("{number} 2097152")),
        (file("blkio", "blkio.throttle.read_iops_device", ""), format!("{number} 100")),
        (file("blkio", "blkio.throttle.write_iops_device", ""), format!("{number} 200")),
    ];
    let rows: Vec<_> =
        rows.iter().map(|(file, v1)| (File { v1: file.v1, v2: file.v2 }, v1.as_str(), "")).collect();
    expect(throttle, &rows, &site);
}

#[test]
fn linux_resources_hugepage_limits() {
    let site = oci_site!();
    let rows = [(file("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"), "4194304", "4194304")];
    expect(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}), &rows, &site);
}

#[test]
fn linux_resources_network() {
    let site = oci_site!();
    let class = [(file("net_cls", "net_cls.classid", ""), "1048577", "")];
    expect(json!({"network": {"classID": 1_048_577}}), &class, &site);
    let priorities = [(file("net_prio", "net_prio.ifpriomap", ""), "lo 500", "")];
    expect(json!({"network": {"priorities": [{"name": "lo", "priority": 500}]}}), &priorities, &site);
}

#[test]
fn linux_resources_rdma() {
    let site = oci_site!();
    let Ok(mut devices) = fs::read_dir("/sys/class/infiniband") else {
        return site.note("this machine has no RDMA device");
    };
    let Some(Ok(device)) = devices.next() else { return site.note("this machine has no RDMA device") };
    let name = device.file_name().to_string_lossy().into_owned();
    let expected = format!("{name} hca_handle=3 hca_object=100");
    let rows = [(file("rdma", "rdma.max", "rdma.max"), expected.as_str(), expected.as_str())];
    expect(json!({"rdma": {name.as_str(): {"hcaHandles": 3, "hcaObjects": 100}}}), &rows, &site);
}

#[test]
fn linux_resources_unified() {
    let site = oci_site!();
    let resources = json!({"unified": {"memory.high": "50331648", "pids.max": "44"}});
    if is_unified() {
        let rows = [(file("", "", "memory.high"), "", "50331648"), (file("", "", "pids.max"), "", "44")];
        return expect(resources, &rows, &site);
    }
    if site.deviates("crun", "leaves `unified` out on cgroup v1") {
        return;
    }
    let bundle =
        site.bundle().change(|spec| spec["linux"]["resources"]["unified"] = resources["unified"].clone());
    bundle.refused();
}

#[test]
fn linux_resources_that_cannot_be() {
    let site = oci_site!();
    for wrong in [json!({"cpu": {"cpus": "9999"}}), json!({"memory": {"limit": 4096}})] {
        let bundle = site.bundle().change(|spec| {
            for (name, value) in wrong.as_object().expect("an object") {
                spec["linux"]["resources"][name] = value.clone();
            }
        });
        bundle.refused();
    }
}

/// What stands in the files of a container's cgroup that an update may write.
fn limits_of(cgroup: &Cgroup) -> Vec<(&'static str, Option<String>)> {
    const V1: [(&str, &str); 10] = [
        ("memory", "memory.limit_in_bytes"),
        ("memory", "memory.soft_limit_in_bytes"),
        ("pids", "pids.max"),
        ("cpu", "cpu.shares"),
        ("cpu", "cpu.idle"),
        ("cpu", "cpu.cfs_quota_us"),
        ("cpu", "cpu.cfs_period_us"),
        ("cpuset", "cpuset.cpus"),
        ("blkio", "blkio.throttle.read_bps_device"),
        ("devices", "devices.list"),
    ];
    const V2: [&str; 8] = [
        "memory.max",
        "memory.low",
        "pids.max",
        "cpu.weight",
        "cpu.idle",
        "cpu.max",
        "cpuset.cpus",
        "io.max",
    ];
    match is_unified() {
        true => V2.map(|file| (file, cgroup.read("", file))).into(),
        false => V1.map(|(controller, file)| (file, cgroup.read(controller, file))).into(),
    }
}

/// A block device, as `MAJOR:MINOR` in JSON.
fn block_device() -> Option<Value> {
    let text = fs::read_dir("/sys/block").ok()?.flatten().find_map(|entry| {
        let size = fs::read_to_string(entry.path().join("size")).ok()?;
        (size.trim() != "0").then(|| fs::read_to_string(entry.path().join("dev")).ok())?
    })?;
    let (major, minor) = text.trim().split_once(':')?;
    Some(json!({"major": major.parse::<u32>().ok()?, "minor": minor.parse::<u32>().ok()?}))
}

#[test]
fn an_update_that_is_refused_changes_nothing() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "cpu.idle") || site.deviates("crun", "leaves what it had written") {
        return;
    }
    let throttle = |rate: u64| match block_device() {
        Some(mut device) => {
            device["rate"] = json!(rate);
            json!([device])
        }
        None => json!([]),
    };
    let bundle = site.bundle().sh("sleep 1000").change(|spec| {
        let resources = &mut spec["linux"]["resources"];
        resources["memory"] = json!({"limit": 64 * MIB, "reservation": 32 * MIB});
        resources["pids"] = json!({"limit": 33});
        resources["cpu"] = json!({"shares": 512, "quota": 12_345, "period": 50_000});
    });
    let container = bundle.start();
    let update = |resources: &Value| {
        container.verb_with("update", ["--resources", "-"]).input(resources.to_string()).run()
    };
    let before = limits_of(&container.cgroup());
    let mut asked = json!({
        "memory": {"limit": 48 * MIB, "reservation": 16 * MIB},
        "pids": {"limit": 44},
        "cpu": {"idle": 1, "quota": 30_000, "period": 60_000},
        "blockIO": {"throttleReadBpsDevice": throttle(1 << 20)},
    });
    if !is_unified() {
        // On version 2 there is no way back to an empty set as long as there are processes.
        asked["cpu"]["cpus"] = json!("0");
    }
    // The last that is written; no kernel knows so many.
    asked["cpu"]["mems"] = json!("1023");
    let output = update(&asked);
    output.exits(1).says("mems");
    assert_eq!(limits_of(&container.cgroup()), before, "{output}");
    asked["cpu"].as_object_mut().expect("an object").remove("mems");
    update(&asked).succeeds();
    let new = limits_of(&container.cgroup());
    assert_ne!(new, before);
    // Back to a share, and more throttled, and refused once more.
    let mut asked = json!({
        "memory": {"limit": 96 * MIB},
        "cpu": {"idle": 0, "shares": 2048, "mems": "1023"},
        "blockIO": {"throttleReadBpsDevice": throttle(2 << 20)},
    });
    update(&asked).exits(1);
    assert_eq!(limits_of(&container.cgroup()), new);
    if !is_unified() && site.driver() == Driver::Cgroupfs {
        // Devices come last, and the cgroup above has the say about them.
        asked["cpu"].as_object_mut().expect("an object").remove("mems");
        let log = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"});
        let zero = json!({"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rwm"});
        fs::write(site.cgroup().directory("devices").join("devices.deny"), "c 1:11 rwm").expect("it denies");
        let new = limits_of(&container.cgroup());
        asked["devices"] = json!([{"allow": false, "access": "rwm"}, zero, log]);
        update(&asked).exits(1).says("linux.resources.devices");
        assert_eq!(limits_of(&container.cgroup()), new);
    }
    assert_eq!(container.status(), "running");
    container.delete();
}

/// Which takes a processor that has it.
#[test]
fn an_update_of_a_resource_group_without_the_hardware() {
    let site = oci_site!();
    if fs::metadata("/sys/fs/resctrl/schemata").is_ok() {
        return site.note("this machine has resctrl mounted, and the test would change it");
    }
    if site.deviates("crun", "leaves it out where there is none") {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    let before = limits_of(&container.cgroup());
    for [flag, value] in [["--l3-cache-schema", "L3:0=f"], ["--mem-bw-schema", "MB:0=50"]] {
        let output = container.verb_with("update", ["--pids-limit", "44", flag, value]).run();
        output.exits(1).says(if site.runtime().name() == "runc" { "Intel RDT" } else { "mount -t resctrl" });
    }
    assert_eq!(limits_of(&container.cgroup()), before);
    // What is empty is not asked for.
    let empty = ["--l3-cache-schema", "", "--memory", "", "--cpu-share", "", "--pids-limit", "44"];
    container.verb_with("update", empty).run().succeeds();
    assert_eq!(container.cgroup().read("pids", "pids.max").as_deref(), Some("44"));
    container.delete();
}

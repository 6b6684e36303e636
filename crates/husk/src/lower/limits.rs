// SPDX-License-Identifier: Apache-2.0
//! `--memory`, `--cpus`, `--pids-limit` and the like: what the container's cgroup limits.

use std::path::Path;

use husk_spec::oci::{BlockIo, Cpu, Memory, Pids, Resources, ThrottleDevice};
use husk_spec::{Cgroup, Given, Origin, PassingCgroup};

use super::{Problem, Refused};
use crate::caller::Caller;
use crate::cli::RunOptions;

/// So many processes and threads a container may have that was given no other number.
const PIDS: i64 = 1024;

/// Microseconds. Over such a span the kernel counts processors' time by default.
const PERIOD: u64 = 100_000;

/// A field of `linux.resources`, and the option that says it.
type Asked = (&'static str, &'static str);

pub(super) fn lower(options: &RunOptions, caller: &Caller) -> Result<Option<Given<Cgroup>>, Refused> {
    let mut asked = Vec::new();
    let resources = Resources {
        memory: memory(options, &mut asked)?,
        cpu: cpu(options, &mut asked)?,
        pids: pids(options, &mut asked)?,
        block_io: block_io(options, caller, &mut asked)?,
        ..Resources::default()
    };
    if options.cgroup_parent.is_some() {
        asked.push(("cgroupsPath", "--cgroup-parent"));
    }
    if resources.is_empty() && asked.is_empty() {
        return Ok(None);
    }
    let parent = options.cgroup_parent.as_deref().map(parent).transpose()?;
    let origin = match asked.is_empty() {
        true => Origin::Default("a limit of processes"),
        false => Origin::Argument(typed(&asked)),
    };
    let passing = PassingCgroup { parent, resources, asked };
    Ok(Some(Given { value: Cgroup::Passing(Box::new(passing)), origin }))
}

/// The options, each once.
fn typed(asked: &[Asked]) -> String {
    let mut options: Vec<_> = asked.iter().map(|(_, option)| *option).collect();
    options.dedup();
    options.join(" ")
}

fn memory(options: &RunOptions, asked: &mut Vec<Asked>) -> Result<Option<Memory>, Refused> {
    let of = |text: &Option<String>, option| {
        text.as_deref().map(|text| bytes(text).map_err(|problem| problem.of(option, text))).transpose()
    };
    let limit = of(&options.memory, "--memory")?;
    let reservation = of(&options.memory_reservation, "--memory-reservation")?;
    let swap = match options.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        _ => of(&options.memory_swap, "--memory-swap")?,
    };
    match (swap, limit) {
        (Some(_), None) => {
            return Err(Problem::new(
                "it counts memory and swap together, and says nothing without --memory",
            )
            .hint("--memory 512m --memory-swap 1g: half a gibibyte of each")
            .of("--memory-swap", options.memory_swap.as_deref().unwrap_or_default()));
        }
        (Some(swap), Some(limit)) if swap != -1 && swap < limit => {
            return Err(Problem::new(
                "it counts memory and swap together, so it is never less than --memory",
            )
            .hint("for no swap at all give both the same value")
            .of("--memory-swap", options.memory_swap.as_deref().unwrap_or_default()));
        }
        _ => {}
    }
    if let (Some(reservation), Some(limit)) = (reservation, limit)
        && reservation > limit
    {
        return Err(Problem::new("it would keep more than --memory lets it have")
            .hint("a reservation is less than the limit")
            .of("--memory-reservation", options.memory_reservation.as_deref().unwrap_or_default()));
    }
    let set = [
        (limit.is_some(), "resources.memory.limit", "--memory"),
        (swap.is_some(), "resources.memory.swap", "--memory-swap"),
        (reservation.is_some(), "resources.memory.reservation", "--memory-reservation"),
    ];
    asked.extend(set.into_iter().filter(|(is_set, ..)| *is_set).map(|(_, field, option)| (field, option)));
    // As Docker and Podman have it: as much swap again as memory.
    let swap = swap.or(limit.map(|limit| limit.saturating_mul(2)));
    let memory = Memory { limit, reservation, swap, ..Memory::default() };
    Ok((memory != Memory::default()).then_some(memory))
}

fn cpu(options: &RunOptions, asked: &mut Vec<Asked>) -> Result<Option<Cpu>, Refused> {
    let mut cpu = Cpu::default();
    if let Some(text) = &options.cpus {
        cpu.quota = Some(quota(text).map_err(|problem| problem.of("--cpus", text))?);
        cpu.period = Some(PERIOD);
        asked.extend([("resources.cpu.quota", "--cpus"), ("resources.cpu.period", "--cpus")]);
    }
    if let Some(text) = &options.cpu_shares {
        let wrong =
            || Problem::new("a share is a number from 2 to 262144").hint("twice the normal one is 2048");
        cpu.shares = Some(number(text, 2, 262_144).ok_or_else(|| wrong().of("--cpu-shares", text))?);
        asked.push(("resources.cpu.shares", "--cpu-shares"));
    }
    for (text, list, field, option, what) in [
        (&options.cpuset_cpus, &mut cpu.cpus, "resources.cpu.cpus", "--cpuset-cpus", "processors"),
        (&options.cpuset_mems, &mut cpu.mems, "resources.cpu.mems", "--cpuset-mems", "memory nodes"),
    ] {
        let Some(text) = text else { continue };
        if text.parse::<husk_spec::NumberSet>().is_err() || text.is_empty() {
            let why = format!("{what} are numbers and ranges of them: 0-2,5");
            return Err(Problem::new(why).of(option, text));
        }
        list.clone_from(text);
        asked.push((field, option));
    }
    Ok((cpu != Cpu::default()).then_some(cpu))
}

fn pids(options: &RunOptions, asked: &mut Vec<Asked>) -> Result<Option<Pids>, Refused> {
    let Some(text) = &options.pids_limit else { return Ok(Some(Pids { limit: Some(PIDS) })) };
    match text.as_str() {
        // As Docker has it.
        "-1" | "0" => Ok(None),
        text => {
            let wrong = || Problem::new("a number of processes, or -1 for any").of("--pids-limit", text);
            let limit = number(text, 1, 1 << 22).ok_or_else(wrong)?;
            asked.push(("resources.pids.limit", "--pids-limit"));
            Ok(Some(Pids { limit: Some(limit as i64) }))
        }
    }
}

fn block_io(
    options: &RunOptions,
    caller: &Caller,
    asked: &mut Vec<Asked>,
) -> Result<Option<BlockIo>, Refused> {
    let mut block_io = BlockIo::default();
    if let Some(text) = &options.io_weight {
        let wrong = || Problem::new("a weight is a number from 10 to 1000").of("--io-weight", text);
        block_io.weight = Some(number(text, 10, 1000).ok_or_else(wrong)? as u16);
        asked.push(("resources.blockIO.weight", "--io-weight"));
    }
    let BlockIo {
        throttle_read_bps_device: read_bps,
        throttle_write_bps_device: write_bps,
        throttle_read_iops_device: read_iops,
        throttle_write_iops_device: write_iops,
        ..
    } = &mut block_io;
    for (texts, list, field, option, in_bytes) in [
        (
            &options.device_read_bps,
            read_bps,
            "resources.blockIO.throttleReadBpsDevice",
            "--device-read-bps",
            true,
        ),
        (
            &options.device_write_bps,
            write_bps,
            "resources.blockIO.throttleWriteBpsDevice",
            "--device-write-bps",
            true,
        ),
        (
            &options.device_read_iops,
            read_iops,
            "resources.blockIO.throttleReadIOPSDevice",
            "--device-read-iops",
            false,
        ),
        (
            &options.device_write_iops,
            write_iops,
            "resources.blockIO.throttleWriteIOPSDevice",
            "--device-write-iops",
            false,
        ),
    ] {
        for text in texts {
            let throttle = throttle(text, in_bytes, caller).map_err(|problem| problem.of(option, text))?;
            list.push(throttle);
        }
        if !texts.is_empty() {
            asked.push((field, option));
        }
    }
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

/// `DEVICE:RATE`.
fn throttle(text: &str, in_bytes: bool, caller: &Caller) -> Result<ThrottleDevice, Problem> {
    let form = || {
        let example = if in_bytes { "/dev/sda:10m" } else { "/dev/sda:1000" };
        Problem::new("it takes a block device, a colon and a rate").hint(format!("such as {example}"))
    };
    let (device, rate) = text.rsplit_once(':').ok_or_else(form)?;
    let rate = match in_bytes {
        true => bytes(rate)? as u64,
        false => number(rate, 1, u64::from(u32::MAX)).ok_or_else(form)?,
    };
    let numbers = caller.block_devices.get(Path::new(device)).copied().flatten();
    let (major, minor) = numbers.ok_or_else(|| {
        Problem::new(format!("{} is no block device of this host", device.escape_debug()))
            .hint("lsblk lists them; a limit is set on a whole disk, not on a partition")
    })?;
    Ok(ThrottleDevice { major: major.into(), minor: minor.into(), rate })
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}

/// A size as Docker takes it: `1073741824`, `512m`, `1.5g`, `64MB`, `1GiB`; all units are powers of 1024.
fn bytes(text: &str) -> Result<i64, Problem> {
    let wrong = || Problem::new("a size is a number of bytes, or one with k, m, g or t").hint("512m, 1.5g");
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &lower[number.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || number.len() > 18 {
        return Err(wrong());
    }
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * (1_u64 << scale) as f64;
    if bytes < 1.0 {
        return Err(Problem::new("nothing at all is no limit that anything could run in"));
    }
    if bytes >= (1_u64 << 62) as f64 {
        return Err(Problem::new("no machine has that much").hint("leave it out for no limit"));
    }
    Ok(bytes as i64)
}

/// Microseconds in each period, from a number of processors.
fn quota(text: &str) -> Result<i64, Problem> {
    let wrong = || Problem::new("a number of processors, such as 0.5 or 2");
    let plain = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let cpus = text.parse::<f64>().ok().filter(|_| plain).ok_or_else(wrong)?;
    // The kernel takes no less than a millisecond in each period, of which there are ten a second.
    match cpus {
        0.01..=10_000.0 => Ok((cpus * PERIOD as f64).round() as i64),
        _ => Err(wrong().hint("from 0.01 up; without --cpus it may use all of them")),
    }
}

fn parent(text: &str) -> Result<String, Refused> {
    let refused = |why: &str| {
        Problem::new(why).hint("/a/b counts from the top of the hierarchy, a/b from your own cgroup")
    };
    if text.is_empty() {
        return Err(refused("it names no cgroup").of("--cgroup-parent", text));
    }
    if !text.contains('/') && text.ends_with(".slice") || text.contains(':') {
        let why = "this is how systemd is asked for a cgroup, and husk run makes its own";
        return Err(Problem::new(why)
            .hint("in a slice of systemd's: systemd-run --scope --slice NAME husk run ...")
            .of("--cgroup-parent", text));
    }
    if Path::new(text).components().any(|part| part == std::path::Component::ParentDir) || text.contains('\0')
    {
        return Err(refused("a cgroup is named without `..`").of("--cgroup-parent", text));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, expected) in [
            ("1", 1),
            ("4096b", 4096),
            ("64k", 64 << 10),
            ("512m", 512 << 20),
            ("512MB", 512 << 20),
            ("1GiB", 1 << 30),
            ("1.5g", 3 << 29),
            ("0.5k", 512),
            ("2t", 2 << 40),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "", "m", "-1", "+1", "1x", "1mm", "1 m", "0", "0.1b", ".5g", "1.g", "1e9", "9999999t", "1ibb",
            "٣",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processors_become_a_quota() {
        for (text, expected) in
            [("1", 100_000), ("1.5", 150_000), ("0.01", 1000), (".5", 50_000), ("64", 6_400_000)]
        {
            assert_eq!(quota(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "0.001", "-1", "1e3", "inf", "nan", "1,5", "."] {
            assert!(quota(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parents() {
        for good in ["/a", "a/b", "/a/b/", "x.scope", "/user.slice"] {
            assert!(parent(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "/a/../b", "user.slice", "system.slice:husk:a"] {
            assert!(parent(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = (bytes(&text), quota(&text), parent(&text), number(&text, 0, 9));
        }
    }
}

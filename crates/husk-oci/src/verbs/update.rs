// SPDX-License-Identifier: Apache-2.0
//! `update`.

use std::io::stdin;
use std::path::Path;

use husk_runtime::container;
use husk_spec::oci::{BlockIo, Cpu, IntelRdt, Memory, Pids, Resources};

use super::state_root;
use crate::bundle;
use crate::command_line::{Globals, Update};
use crate::failure::Failure;
use crate::{SUCCESS, Status};

pub(crate) fn update(globals: &Globals, update: &Update) -> Result<Status, Failure> {
    let resources = match &update.resources {
        Some(path) => read(path)?,
        None => from_flags(update)?,
    };
    let schema = |name| text(update, name).map(str::to_owned);
    // As in runc, also beside a file with limits.
    let schemas = IntelRdt {
        l3_cache_schema: schema("l3-cache-schema"),
        mem_bw_schema: schema("mem-bw-schema"),
        ..IntelRdt::default()
    };
    container::update(&state_root(globals), &update.id, resources, &schemas)?;
    Ok(SUCCESS)
}

/// The value of a flag; none, as in runc, if it is empty.
fn text<'u>(update: &'u Update, name: &str) -> Option<&'u str> {
    update
        .flags
        .iter()
        .find(|(flag, _)| *flag == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// The limits in a file, or on standard input for `-`.
fn read(path: &Path) -> Result<Resources, Failure> {
    let bytes = match path.as_os_str() == "-" {
        true => bundle::bounded(stdin().lock()).map_err(|error| bundle::unreadable(path, error, ""))?,
        false => bundle::read_bounded(path, "")?,
    };
    Resources::from_json(&bytes).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn from_flags(update: &Update) -> Result<Resources, Failure> {
    let text = |name: &str| text(update, name);
    let invalid = |name: &str, value: &str, expected: &str| {
        Failure::new(format!("update: --{name} {value:?}: {expected} was expected"))
    };
    let number = |name: &str| -> Result<Option<i64>, Failure> {
        let Some(value) = text(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| invalid(name, value, "a number"))
    };
    let count = |name: &str| -> Result<Option<u64>, Failure> {
        let Some(value) = text(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| invalid(name, value, "a number, at least 0"))
    };
    let bytes = |name: &str| -> Result<Option<i64>, Failure> {
        let Some(value) = text(name) else { return Ok(None) };
        size(value).map(Some).ok_or_else(|| invalid(name, value, "a size such as 64m, or -1 for no limit"))
    };
    let weight = |name: &str| -> Result<Option<u16>, Failure> {
        let Some(value) = text(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| invalid(name, value, "a number from 10 to 1000"))
    };
    let memory = Memory {
        limit: bytes("memory")?,
        reservation: bytes("memory-reservation")?,
        swap: bytes("memory-swap")?,
        kernel: bytes("kernel-memory")?,
        kernel_tcp: bytes("kernel-memory-tcp")?,
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: count("cpu-share")?,
        quota: number("cpu-quota")?,
        burst: count("cpu-burst")?,
        period: count("cpu-period")?,
        realtime_runtime: number("cpu-rt-runtime")?,
        realtime_period: count("cpu-rt-period")?,
        cpus: text("cpuset-cpus").unwrap_or_default().to_owned(),
        mems: text("cpuset-mems").unwrap_or_default().to_owned(),
        idle: number("cpu-idle")?,
    };
    Ok(Resources {
        memory: (memory != Memory::default()).then_some(memory),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        pids: number("pids-limit")?.map(|limit| Pids { limit: Some(limit) }),
        block_io: weight("blkio-weight")?
            .map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    })
}

/// A size in bytes, with a unit of 1024 or without: `64m`, `1GiB`, `-1`.
fn size(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor: i64 = match unit.trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    match number.parse::<i64>() {
        Ok(number) => number.checked_mul(factor),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * factor as f64;
            (0.0..i64::MAX as f64).contains(&bytes).then_some(bytes as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        let sizes =
            [("-1", -1), ("0", 0), ("4096", 4096), ("64m", 64 << 20), ("1GiB", 1 << 30), ("1.5k", 1536)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "m", "1x", "--1", "9223372036854775807k", "9223372036854775808", "9e9"] {
            assert_eq!(size(wrong), None, "{wrong:?}");
        }
    }
}

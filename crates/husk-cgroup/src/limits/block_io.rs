// SPDX-License-Identifier: Apache-2.0
//! `blockIO`: the controller `blkio` of version 1, `io` of version 2.

use husk_spec::oci::{BlockIo, ThrottleDevice, WeightDevice};

use super::{LimitError, List, Missing, Problem, error, set};

/// The weights that the specification knows.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

pub(super) fn writes(block_io: &BlockIo, list: &mut List) -> Result<(), LimitError> {
    if let Some(value) = set(block_io.weight) {
        default_weight(value, list)?;
    }
    if let Some(value) = set(block_io.leaf_weight) {
        leaf_weight("blkio.leaf_weight", value, value.to_string(), "blockIO.leafWeight", list)?;
    }
    for (index, device) in block_io.weight_device.iter().enumerate() {
        device_weight(device, &format!("blockIO.weightDevice[{index}]"), list)?;
    }
    for (devices, field, v1, v2) in [
        (&block_io.throttle_read_bps_device, "throttleReadBpsDevice", "read_bps_device", "rbps"),
        (&block_io.throttle_write_bps_device, "throttleWriteBpsDevice", "write_bps_device", "wbps"),
        (&block_io.throttle_read_iops_device, "throttleReadIOPSDevice", "read_iops_device", "riops"),
        (&block_io.throttle_write_iops_device, "throttleWriteIOPSDevice", "write_iops_device", "wiops"),
    ] {
        for (index, device) in devices.iter().enumerate() {
            throttle(device, &format!("blockIO.{field}[{index}]"), v1, v2, list)?;
        }
    }
    Ok(())
}

fn checked(value: u16, field: &str) -> Result<u16, LimitError> {
    match WEIGHTS.contains(&value) {
        true => Ok(value),
        false => Err(error(field, Problem::Range { value: value.into(), range: "10 to 1000" })),
    }
}

/// Weights of 10 to 1000 on the scale of `io.weight`, 1 to 10000, along a straight line (as runc and crun do).
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

/// A weight means something to the scheduler BFQ, or on version 2 to the cost model (`io.cost.qos`). Which of the
/// files there are is up to the kernel's build.
fn default_weight(value: u16, list: &mut List) -> Result<(), LimitError> {
    let field = "blockIO.weight";
    let value = checked(value, field)?;
    let (file, other, other_value) = match list.is_v2() {
        true => ("io.bfq.weight", "io.weight", io_weight(value)),
        false => ("blkio.weight", "blkio.bfq.weight", value.into()),
    };
    list.push(file, value, field, instead(other, other_value.to_string()));
    Ok(())
}

fn device_weight(device: &WeightDevice, field: &str, list: &mut List) -> Result<(), LimitError> {
    let name = name(device.major, device.minor, field)?;
    if device.weight.is_none() && device.leaf_weight.is_none() {
        return Err(error(field, Problem::Contradiction("it needs a weight, a leafWeight or both")));
    }
    if let Some(weight) = device.weight {
        let field = format!("{field}.weight");
        // 0 takes the device's own weight away again.
        let weight = set(Some(weight)).map(|weight| checked(weight, &field)).transpose()?;
        let line = |value: Option<u64>, none| match value {
            Some(value) => format!("{name} {value}"),
            None => format!("{name} {none}"),
        };
        let plain = weight.map(u64::from);
        let (file, value, other, other_value) = match list.is_v2() {
            true => {
                ("io.bfq.weight", line(plain, "default"), "io.weight", line(weight.map(io_weight), "default"))
            }
            false => ("blkio.weight_device", line(plain, "0"), "blkio.bfq.weight_device", line(plain, "0")),
        };
        list.push(file, value, &field, instead(other, other_value));
    }
    if let Some(value) = set(device.leaf_weight) {
        let field = format!("{field}.leafWeight");
        leaf_weight("blkio.leaf_weight_device", value, format!("{name} {value}"), &field, list)?;
    }
    Ok(())
}

/// Only the scheduler CFQ had it, which left with Linux 5.0.
fn leaf_weight(file: &str, value: u16, line: String, field: &str, list: &mut List) -> Result<(), LimitError> {
    if list.is_v2() {
        return Err(error(
            field,
            Problem::OnlyV1("leave it out, and make a cgroup for what has this weight"),
        ));
    }
    checked(value, field)?;
    list.require(file, line, field);
    Ok(())
}

fn throttle(
    device: &ThrottleDevice,
    field: &str,
    v1: &str,
    v2: &str,
    list: &mut List,
) -> Result<(), LimitError> {
    let name = name(device.major, device.minor, field)?;
    if list.is_v2() {
        let rate = set(Some(device.rate)).map_or("max".to_owned(), |rate| rate.to_string());
        list.require("io.max", format!("{name} {v2}={rate}"), field);
    } else {
        list.require(&format!("blkio.throttle.{v1}"), format!("{name} {}", device.rate), field);
    }
    Ok(())
}

/// `MAJOR:MINOR`.
fn name(major: i64, minor: i64, field: &str) -> Result<String, LimitError> {
    for (value, which) in [(major, "major"), (minor, "minor")] {
        if u32::try_from(value).is_err() {
            let problem = Problem::Range { value: value.into(), range: "the number of a device, 0 or more" };
            return Err(error(&format!("{field}.{which}"), problem));
        }
    }
    Ok(format!("{major}:{minor}"))
}

fn instead(file: &str, value: String) -> Missing {
    Missing::Instead { file: file.to_owned(), value }
}

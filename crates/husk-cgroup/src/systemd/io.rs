// SPDX-License-Identifier: Apache-2.0
//! Limits of input and output on version 2 as properties of a unit. Pure.
//!
//! systemd writes `io.weight` and `io.bfq.weight` of every unit that has the controller, and all four limits of a device at once.

use std::collections::BTreeMap;

use super::properties::limit;
use super::wire::{Property, Value};
use crate::limits::{Missing, Write};

/// The file of weights where the scheduler BFQ is there.
pub(super) const BFQ_WEIGHT: &str = "io.bfq.weight";

/// The words of `io.max`, with the properties for them.
const LIMITS: [(&str, &str); 4] = [
    ("rbps", "IOReadBandwidthMax"),
    ("wbps", "IOWriteBandwidthMax"),
    ("riops", "IOReadIOPSMax"),
    ("wiops", "IOWriteIOPSMax"),
];

/// What files say, by device where they do.
#[derive(Debug, Default)]
struct Said {
    weight: Option<u64>,
    /// `None` for a device that has the weight of all.
    weights: BTreeMap<String, Option<u64>>,
    /// By device, and the place in [`LIMITS`].
    limits: BTreeMap<String, [Option<u64>; LIMITS.len()]>,
}

/// The properties for what is written. `now` tells what is in a file of a cgroup that is there already: what systemd has not been told
/// of a device, it would take for no limit. A line that is none is left to the kernel, which refuses it.
pub(super) fn properties(
    writes: &[Write],
    now: impl Fn(&str) -> Option<String>,
    has_bfq: impl FnOnce() -> bool,
) -> Vec<Property<'static>> {
    let mut said = Said::default();
    let falls_back = |write: &Write| matches!(write.missing, Missing::Instead { .. });
    let is_bfq = writes.iter().any(|write| write.file == BFQ_WEIGHT && falls_back(write)) && has_bfq();
    for write in writes {
        match &write.missing {
            Missing::Instead { file, value } if write.file == BFQ_WEIGHT && !is_bfq => said.read(file, value),
            _ => said.read(&write.file, &write.value),
        }
    }
    let mut properties = Vec::new();
    properties.extend(said.weight.map(|weight| ("IOWeight", Value::Number(weight))));
    properties.extend(said.of_weights(&now));
    properties.extend(said.of_limits(&now));
    properties
}

impl Said {
    fn read(&mut self, file: &str, text: &str) {
        let scale = match file {
            "io.max" => return text.lines().for_each(|line| self.read_limits(line)),
            "io.weight" => |weight| weight,
            BFQ_WEIGHT => weight_of_bfq,
            _ => return,
        };
        text.lines().for_each(|line| self.read_weight(line, scale));
    }

    /// `WEIGHT`, `default WEIGHT`, `DEVICE WEIGHT` or `DEVICE default`.
    fn read_weight(&mut self, line: &str, scale: fn(u64) -> u64) {
        let number = |word: &str| word.parse().ok().map(scale);
        match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            [weight] | ["default", weight] => self.weight = number(weight).or(self.weight),
            [device, "default"] if is_device(device) => drop(self.weights.insert(device.to_owned(), None)),
            [device, weight] if is_device(device) => {
                if let Some(weight) = number(weight) {
                    self.weights.insert(device.to_owned(), Some(weight));
                }
            }
            _ => {}
        }
    }

    /// `DEVICE rbps=NUMBER wiops=max`
    fn read_limits(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let Some(device) = words.next().filter(|word| is_device(word)) else { return };
        let limits = self.limits.entry(device.to_owned()).or_default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let which = LIMITS.iter().position(|(known, _)| *known == name);
            if let (Some(which), Some(value)) = (which, limit(value)) {
                limits[which] = Some(value);
            }
        }
    }

    /// systemd can forget what weights devices have, but not that of one.
    fn of_weights(&self, now: impl Fn(&str) -> Option<String>) -> Vec<Property<'static>> {
        const NAME: &str = "IODeviceWeight";
        let mut told = Vec::new();
        let mut all = Self::default();
        if self.weights.values().any(Option::is_none) {
            told.push((NAME, Value::Rates(Vec::new())));
            let file = [BFQ_WEIGHT, "io.weight"].into_iter().find_map(|file| Some((file, now(file)?)));
            if let Some((file, text)) = file {
                all.read(file, &text);
            }
        }
        all.weights.extend(self.weights.clone());
        let weights = all.weights.into_iter().filter_map(|(device, weight)| Some((device, weight?)));
        told.extend(weights.map(|(device, weight)| (NAME, of_device(&device, weight))));
        told
    }

    fn of_limits(&self, now: impl Fn(&str) -> Option<String>) -> Vec<Property<'static>> {
        let mut before = Self::default();
        if !self.limits.is_empty() {
            before.read("io.max", &now("io.max").unwrap_or_default());
        }
        let mut told = Vec::new();
        for (device, limits) in &self.limits {
            let old = before.limits.get(device).copied().unwrap_or_default();
            for ((value, old), (_, name)) in limits.iter().zip(old).zip(LIMITS) {
                told.extend(value.or(old).map(|value| (name, of_device(device, value))));
            }
        }
        told
    }
}

/// `MAJOR:MINOR`
fn is_device(word: &str) -> bool {
    word.split_once(':')
        .is_some_and(|(major, minor)| [major, minor].iter().all(|number| number.parse::<u32>().is_ok()))
}

/// systemd reads the numbers from such a path, also where there is no node (`device_path_parse_major_minor` in its `devnum-util.c`).
fn of_device(device: &str, value: u64) -> Value {
    Value::Rates(vec![(format!("/dev/block/{device}"), value)])
}

/// The weight of which systemd makes this one of BFQ's (`BFQ_WEIGHT` in its `cgroup-util.h`): up to 100 they are the same, and above, an
/// eleventh more of the one is one more of the other.
fn weight_of_bfq(weight: u64) -> u64 {
    const DEFAULT: u64 = 100;
    weight.min(DEFAULT).saturating_add(weight.saturating_sub(DEFAULT).saturating_mul(11))
}

#[cfg(test)]
mod tests {
    use husk_spec::oci::Resources;
    use serde_json::json;

    use super::super::properties::INFINITY;
    use super::*;
    use crate::limits::{Hierarchy, files};

    fn told(resources: serde_json::Value, now: &[(&str, &str)], has_bfq: bool) -> Vec<Property<'static>> {
        let resources: Resources = serde_json::from_value(resources).expect("resources");
        let writes = files(&resources, Hierarchy::V2).expect("limits").writes;
        let now = |file: &str| now.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned());
        properties(&writes, now, || has_bfq)
    }

    fn of(name: &'static str, device: &str, value: u64) -> Property<'static> {
        (name, Value::Rates(vec![(format!("/dev/block/{device}"), value)]))
    }

    #[test]
    fn weights_are_on_the_scale_of_the_file_that_there_is() {
        let both = || json!({"blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 16, "weight": 1000}]}});
        let expected = |all, one| [("IOWeight", Value::Number(all)), of("IODeviceWeight", "8:16", one)];
        assert_eq!(told(both(), &[], true), expected(4500, 10_000));
        assert_eq!(told(both(), &[], false), expected(4950, 10_000));
        assert_eq!(told(json!({"blockIO": {"weight": 10}}), &[], true), [("IOWeight", Value::Number(10))]);
        // What names its file means that.
        let named = json!({"unified": {"io.weight": "default 300\n8:0 5"}});
        let expected = [("IOWeight", Value::Number(300)), of("IODeviceWeight", "8:0", 5)];
        assert_eq!(told(named, &[], true), expected);
        let named = json!({"unified": {"io.bfq.weight": "300"}});
        assert_eq!(told(named, &[], false), [("IOWeight", Value::Number(2300))]);
    }

    #[test]
    fn a_weight_that_is_taken_back_leaves_the_others() {
        let update = json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 0}]}});
        let now = [("io.bfq.weight", "default 7\n8:0 5\n8:16 200\n")];
        let forget = ("IODeviceWeight", Value::Rates(Vec::new()));
        let expected = [forget, of("IODeviceWeight", "8:16", 1200)];
        assert_eq!(told(update, &now, true), expected);
    }

    #[test]
    fn the_limits_of_a_device_are_told_together() {
        let bps = json!({"blockIO": {
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}],
        }});
        let now = [(
            "io.max",
            "8:0 rbps=max wbps=77 riops=max wiops=3\n8:16 rbps=5 wbps=max riops=max wiops=max\n",
        )];
        let read = of("IOReadBandwidthMax", "8:0", 1000);
        let write = of("IOWriteIOPSMax", "8:0", INFINITY);
        assert_eq!(told(bps.clone(), &[], false), [read.clone(), write.clone()]);
        let others = [of("IOWriteBandwidthMax", "8:0", 77), of("IOReadIOPSMax", "8:0", INFINITY)];
        let [wbps, riops] = others;
        assert_eq!(told(bps, &now, false), [read, wbps, riops, write]);
    }

    #[test]
    fn what_is_no_line_is_left_to_the_kernel() {
        for text in ["", "x", "default", "8:0", "8 5", "a:b 5", "8:0 5 6", "default x"] {
            assert_eq!(told(json!({"unified": {"io.weight": text}}), &[], false), [], "{text:?}");
        }
        for text in ["", "rbps=5", "8:0 rbps", "8:0 rbps=x", "8:0 speed=5"] {
            assert_eq!(told(json!({"unified": {"io.max": text}}), &[], false), [], "{text:?}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Properties in words: as they stand in a unit's file (`systemd.resource-control(5)`) and as `systemd-run -p` takes them. Pure.

use super::properties::{INFINITY, PERCENT};
use super::wire::Value;

/// `NAME=VALUE`
pub(super) fn assignment(name: &str, value: &Value) -> String {
    match (name, value) {
        ("CPUQuotaPerSecUSec", Value::Number(INFINITY)) => "CPUQuota=".to_owned(),
        ("CPUQuotaPerSecUSec", Value::Number(time)) => {
            let (percent, rest) = (time / PERCENT, time % PERCENT * 100 / PERCENT);
            if rest == 0 { format!("CPUQuota={percent}%") } else { format!("CPUQuota={percent}.{rest:02}%") }
        }
        ("CPUWeight", Value::Number(0)) => "CPUWeight=idle".to_owned(),
        (name, value) => match (name.strip_suffix("USec"), word(value)) {
            (Some(stem), word) if word == "infinity" => format!("{stem}Sec={word}"),
            (Some(stem), word) => format!("{stem}Sec={word}us"),
            (None, word) => format!("{name}={word}"),
        },
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(INFINITY) => "infinity".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Number32(number) => number.to_string(),
        Value::Signed32(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Pids(pids) => spaced(pids),
        Value::Bytes(bytes) => {
            let is_set = |bit: &usize| bytes[bit / 8] >> (bit % 8) & 1 == 1;
            spaced(&(0..bytes.len() * 8).filter(is_set).collect::<Vec<_>>())
        }
        Value::Texts(texts) => spaced(&texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>()),
        Value::Pairs(pairs) => {
            spaced(&pairs.iter().map(|(one, other)| format!("{one} {other}")).collect::<Vec<_>>())
        }
        Value::Rates(rates) => {
            let rate = |(of, rate): &(String, u64)| format!("{of} {}", word(&Value::Number(*rate)));
            spaced(&rates.iter().map(rate).collect::<Vec<_>>())
        }
    }
}

fn spaced(words: &[impl ToString]) -> String {
    words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_a_units_file_has_them() {
        let number = Value::Number;
        for (name, value, expected) in [
            ("MemoryMax", number(64), "MemoryMax=64"),
            ("MemoryLow", number(u64::MAX), "MemoryLow=infinity"),
            ("CPUWeight", number(0), "CPUWeight=idle"),
            ("CPUQuotaPerSecUSec", number(250_000), "CPUQuota=25%"),
            ("CPUQuotaPerSecUSec", number(1_005_100), "CPUQuota=100.51%"),
            ("CPUQuotaPerSecUSec", number(u64::MAX), "CPUQuota="),
            ("CPUQuotaPeriodUSec", number(50_000), "CPUQuotaPeriodSec=50000us"),
            ("TimeoutStopUSec", number(u64::MAX), "TimeoutStopSec=infinity"),
            ("AllowedCPUs", Value::Bytes(vec![0b111, 0b10]), "AllowedCPUs=0 1 2 9"),
            ("Delegate", Value::Bool(true), "Delegate=yes"),
            ("CollectMode", Value::Text("inactive-or-failed".to_owned()), "CollectMode=inactive-or-failed"),
            (
                "IOReadBandwidthMax",
                Value::Rates(vec![("/dev/block/8:0".to_owned(), u64::MAX)]),
                "IOReadBandwidthMax=/dev/block/8:0 infinity",
            ),
            ("IODeviceWeight", Value::Rates(Vec::new()), "IODeviceWeight="),
            (
                "After",
                Value::Texts(vec!["a.service".to_owned(), "b c".to_owned()]),
                "After=\"a.service\" \"b c\"",
            ),
        ] {
            assert_eq!(assignment(name, &value), expected);
        }
    }
}

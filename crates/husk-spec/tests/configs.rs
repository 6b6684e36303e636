// SPDX-License-Identifier: Apache-2.0
//! Configurations that engines made, and one with every field: what is read is what is written.
#![forbid(unsafe_code)]

use husk_spec::oci::{ReadError, Spec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Made by Docker's and Podman's own code; the last has every field of the specification that concerns Linux.
const CONFIGS: [(&str, &str); 3] = [
    ("docker", include_str!("configs/docker.json")),
    ("podman", include_str!("configs/podman.json")),
    ("every-field", include_str!("configs/every-field.json")),
];

fn every_field() -> Value {
    serde_json::from_str(CONFIGS[2].1).expect("JSON")
}

fn read(value: &Value) -> Result<Spec, ReadError> {
    Spec::from_json(value.to_string().as_bytes())
}

/// What may be left out, taken out: what a program in Go would not write either.
fn without_empty(value: &Value) -> Value {
    let absent = |key: &str, value: &Value| {
        value.is_null() || *value == json!([]) || key == "annotations" && *value == json!({})
    };
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, value)| !absent(key, value));
            Value::Object(kept.map(|(key, value)| (key.clone(), without_empty(value))).collect())
        }
        Value::Array(array) => Value::Array(array.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}

#[test]
fn nothing_is_lost() {
    for (name, text) in CONFIGS {
        let spec = Spec::from_json(text.as_bytes()).expect(name);
        let written = serde_json::to_value(&spec).expect(name);
        let original: Value = serde_json::from_str(text).expect(name);
        similar(name, &without_empty(&original), &written);
        assert_eq!(read(&written), Ok(spec), "{name}");
    }
}

/// Compares part by part, so that a difference shows as the few lines that it is.
fn similar(path: &str, original: &Value, written: &Value) {
    match (original, written) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(a), keys(b), "{path}");
            a.iter().for_each(|(key, value)| similar(&format!("{path}.{key}"), value, &b[key]));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| similar(&format!("{path}[{i}]"), a, b));
        }
        _ => assert_eq!(original, written, "{path}"),
    }
}

/// Every place in `value`, as JSON pointers.
fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, into: &mut Vec<String>) {
        into.push(at.to_owned());
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| {
                let key = key.replace('~', "~0").replace('/', "~1");
                walk(value, &format!("{at}/{key}"), into);
            }),
            Value::Array(array) => {
                array.iter().enumerate().for_each(|(i, value)| walk(value, &format!("{at}/{i}"), into));
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(value, "", &mut all);
    all
}

/// The field that a pointer ends in, and whether it is an element of a list or map.
fn is_element(value: &Value, pointer: &str) -> bool {
    let Some((parent, _)) = pointer.rsplit_once('/') else { return true };
    let maps = [
        "/annotations",
        "/linux/sysctl",
        "/linux/timeOffsets",
        "/linux/netDevices",
        "/linux/resources/rdma",
        "/linux/resources/unified",
    ];
    value.pointer(parent).is_some_and(Value::is_array) || maps.contains(&parent)
}

#[test]
fn null_stands_for_an_absent_list_map_or_object() {
    let whole = every_field();
    let mut tried = 0;
    for place in places(&whole) {
        let value = whole.pointer(&place).expect("a place");
        if is_element(&whole, &place) || !(value.is_array() || value.is_object()) {
            continue;
        }
        let mut changed = whole.clone();
        *changed.pointer_mut(&place).expect("a place") = Value::Null;
        assert_eq!(read(&changed).err(), None, "{place}");
        tried += 1;
    }
    assert!(tried > 50, "only {tried} places tried");
}

/// What Go writes for an unset string is nothing; a person may write the empty one.
#[test]
fn an_empty_string_is_an_absent_one() {
    let spec = Spec::from_json(
        br#"{"hostname":"","linux":{"cgroupsPath":"","rootfsPropagation":"","namespaces":[{"type":"pid","path":""}],
            "resources":{"devices":[{"allow":false,"type":"","access":"rwm"}]}}}"#,
    )
    .expect("a specification");
    let linux = spec.linux.expect("linux");
    assert_eq!((spec.hostname, linux.cgroups_path, linux.rootfs_propagation), (None, None, None));
    assert_eq!(linux.namespaces[0].path, None);
    assert_eq!(linux.resources.expect("resources").devices[0].kind, None);
}

#[test]
fn what_is_unknown_or_of_another_platform_is_passed_over() {
    let mut whole = every_field();
    let original = read(&whole);
    whole["windows"] = json!({ "layerFolders": [1, { "a": null }] });
    whole["process"]["commandLine"] = Value::from(7);
    whole["linux"]["nothingThatIs"] = Value::from("x");
    assert_eq!(read(&whole), original);
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(Value::from(1.5)),
        "[ -~\\x00é]{0,12}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([[{}], "a", 1])),
        Just(json!({})),
        Just(json!({ "path": [null] })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A value of the wrong kind anywhere: it is read, or the error names that place or one above or below it.
    #[test]
    fn a_wrong_value_is_named_by_its_place(index in any::<prop::sample::Index>(), value in any_value()) {
        let mut whole = every_field();
        let places = places(&whole);
        let place = &places[index.index(places.len())];
        *whole.pointer_mut(place).expect("a place") = value;
        match read(&whole) {
            Ok(_) => {}
            Err(ReadError::Value { path, problem, .. }) => {
                prop_assert!(!path.is_empty() && !problem.is_empty());
                let changed = place.split('/').nth(1).unwrap_or("top level");
                prop_assert!(path.starts_with(changed) || place.is_empty(), "{} for {}", path, place);
            }
            Err(error) => prop_assert!(false, "{} for {}", error, place),
        }
    }

    #[test]
    fn flipped_bytes_do_not_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = CONFIGS[2].1.as_bytes().to_vec();
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = Spec::from_json(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

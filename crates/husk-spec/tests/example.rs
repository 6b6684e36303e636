// SPDX-License-Identifier: Apache-2.0
//! `spec` writes what `runc spec` writes, but for what is listed here.
#![forbid(unsafe_code)]

use husk_spec::oci::{Spec, example, rootless};
use serde::Serialize;

/// What runc 1.1.5 wrote, as root on a host with cgroup v1.
const RUNC: &str = include_str!("runc/spec.json");
const RUNC_ROOTLESS: &str = include_str!("runc/spec-rootless.json");

/// What stands there in runc 1.1.5, and in husk. Later versions of runc have a later version there too.
const DIFFERENCES: [(&str, &str); 3] = [
    ("\"ociVersion\": \"1.0.2-dev\"", "\"ociVersion\": \"1.3.0\""),
    ("\"hostname\": \"runc\"", "\"hostname\": \"husk\""),
    // Nothing is inheritable, so that the kernel raises none of them.
    (
        ",\n\t\t\t\"ambient\": [\n\t\t\t\t\"CAP_AUDIT_WRITE\",\n\t\t\t\t\"CAP_KILL\",\n\t\t\t\t\"CAP_NET_BIND_SERVICE\"\n\t\t\t]",
        "",
    ),
];

/// As Go's `json.MarshalIndent` writes it, with tabs.
fn text(spec: &Spec) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    spec.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .expect("it is written");
    String::from_utf8(bytes).expect("UTF-8")
}

fn expected(runc: &str) -> String {
    DIFFERENCES.iter().fold(runc.trim_end().to_owned(), |text, (theirs, ours)| {
        assert_eq!(text.matches(theirs).count(), 1, "{theirs}");
        text.replace(theirs, ours)
    })
}

#[test]
fn it_is_the_text_of_runc() {
    assert_eq!(text(&example(false)), expected(RUNC));
}

#[test]
fn without_privilege_too() {
    assert_eq!(text(&rootless(example(false), 0, 0)), expected(RUNC_ROOTLESS));
}

#[test]
fn the_ids_outside_are_the_callers() {
    let linux = rootless(example(false), 1000, 1001).linux.expect("linux");
    assert_eq!((linux.uid_mappings[0].outside, linux.gid_mappings[0].outside), (1000, 1001));
}
